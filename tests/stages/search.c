/* The stage search: with programs made up here, and with the real ones where they are installed. */
#include "tests/stages/crops.h"
#include "tests/stages/outside.h"

#include <dirent.h>

extern const struct stage stage_search;

TestSuite(search, .init = outside_begin, .fini = outside_end, .timeout = 120);

static const char sequence[] = "MKTAYIAKQRQISFVKSHFSRQLEERLGLIEVQAPILSRVGDGTQDNLSG";
static struct stage_context context = {.name = "search"};

static void *open_tool(const char *tool, const char *database, const char *more)
{
    return stage_state(&stage_search,
                       arena_printf(&arena, "{tool: %s, database: %s, cache: %s/kept%s}", tool,
                                    database, folder, more),
                       &context, &arena);
}

static enum status feed(void *state, struct sample *out)
{
    struct sample in;
    struct work work = {0};
    cr_assert(sample_open(&in, SPAN("1abc_A/x"), &err) == STATUS_OK);
    cr_assert(sample_open(out, SPAN("1abc_A/x"), &err) == STATUS_OK);
    sample_add_text(&in, &arena, "sequence", SPAN(sequence));
    return stage_search.feed(state, &work, &in, out, &arena, &err);
}

/* What was found, as text. */
static struct span found(const struct sample *out)
{
    struct span path = sample_text(out, "found_alignment"), content;
    cr_assert(file_read(arena_text(&arena, path.data, path.size), 1 << 20, &arena, &content,
                        &err) == STATUS_OK,
              "%s", err.text);
    return content;
}

static int files(const char *name)
{
    int count = 0;
    DIR *list = opendir(name);
    for (struct dirent *entry; list && (entry = readdir(list));)
        count += entry->d_name[0] != '.';
    if (list)
        closedir(list);
    return count;
}

/* A jackhmmer that counts its runs in FOLDER/runs and then does this. */
static void fake(const char *then)
{
    outside_program("jackhmmer",
                    arena_printf(&arena, "#!/bin/sh\necho run >> %s/runs\n%s\n", folder, then));
}

static size_t runs(void)
{
    struct span content;
    char *path = arena_printf(&arena, "%s/runs", folder);
    return file_read(path, 1 << 20, &arena, &content, &err) == STATUS_OK ? content.size / 4 : 0;
}

Test(search, results_are_kept_and_not_made_twice)
{
    struct sample out;
    const char *database = outside_file("db.fasta", ">x\nAC\n");
    fake(arena_printf(&arena, "printf '# STOCKHOLM 1.0\\n\\nquery %s\\nother %s\\n//\\n'", sequence,
                      sequence));
    void *state = open_tool("jackhmmer", database, "");
    for (int again = 0; again < 2; again++) {
        cr_assert(feed(state, &out) == STATUS_OK, "%s", err.text);
        struct span path = sample_text(&out, "found_alignment");
        cr_assert(memmem(path.data, path.size, "/kept/1abc_A_x.", 15) &&
                      memcmp(path.data + path.size - 4, ".sto", 4) == 0,
                  "%.*s", (int)path.size, path.data);
        cr_assert(memmem(found(&out).data, found(&out).size, "other", 5));
    }
    stage_search.close(state);
    cr_assert(runs() == 1, "%zu runs", runs());
    state = open_tool("jackhmmer", database, ", evalue: 0.1");
    cr_assert(feed(state, &out) == STATUS_OK, "%s", err.text);
    stage_search.close(state);
    cr_assert(runs() == 2, "other settings are another search");
    outside_file("db.fasta", ">x\nACDEFG\n");
    state = open_tool("jackhmmer", database, "");
    cr_assert(feed(state, &out) == STATUS_OK, "%s", err.text);
    stage_search.close(state);
    cr_assert(runs() == 3, "another database, too");
}

Test(search, nothing_found_is_the_chain_alone)
{
    struct sample out;
    fake("true");
    void *state = open_tool("jackhmmer", outside_file("db.fasta", ">x\nAC\n"), "");
    cr_assert(feed(state, &out) == STATUS_OK, "%s", err.text);
    cr_assert(span_is(found(&out), arena_printf(&arena, ">query\n%s\n", sequence)));
    stage_search.close(state);
}

Test(search, failures_are_refused_by_name_and_keep_nothing)
{
    static const struct {
        const char *then, *word, *more;
    } bad[] = {
        {"echo no such format >&2; exit 1", "no such format", ""},
        {"kill -9 $$", "signal 9", ""},
        {"sleep 60", "more than 0.5 s", ", time_max: 500ms"},
        {"yes | head -c 100000", "100000", ", output_max: 5000"},
        {"echo what is this", "what jackhmmer gave", ""},
        {"printf '# STOCKHOLM 1.0\\nquery ACDE\\n//\\n'", "what jackhmmer gave", ""},
    };
    struct sample out;
    const char *database = outside_file("db.fasta", ">x\nAC\n");
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        fake(bad[i].then);
        void *state = open_tool("jackhmmer", database, bad[i].more);
        cr_assert(feed(state, &out) == STATUS_REFUSED, "%s: %s", bad[i].then, err.text);
        cr_assert(strstr(err.text, "jackhmmer"), "%s", err.text);
        if (strcmp(bad[i].word, "100000") != 0)
            cr_assert(strstr(err.text, bad[i].word), "%s: %s", bad[i].then, err.text);
        stage_search.close(state);
    }
    cr_assert(files(arena_printf(&arena, "%s/kept", folder)) == 0);
}

static void need(const char *program)
{
    char *path = arena_printf(&arena, "/usr/bin/%s", program);
    if (access(path, X_OK) != 0)
        cr_skip("%s is not installed", program);
    programs_allow("/usr/bin");
}

/* Twenty relatives of the sequence, every fifth letter another, among strangers. */
static const char *database_make(void)
{
    char text[8192] = "";
    for (int n = 0; n < 20; n++) {
        char row[sizeof sequence];
        memcpy(row, sequence, sizeof row);
        for (size_t i = (size_t)n % 5; i < strlen(row); i += 5)
            row[i] = "ACDEFGHIKLMNPQRSTVWY"[(i * 7 + (size_t)n) % 20];
        snprintf(text + strlen(text), sizeof text - strlen(text),
                 ">relative%d\n%s\n>stranger%d\n%s\n", n, row, n,
                 n % 2 ? "PPPPWWWWGGGGPPPPWWWWGGGGHHHH" : "CCCCHHHHCCCCHHHHWWWWCCCC");
    }
    return outside_file("db.fasta", text);
}

Test(search, jackhmmer_itself_finds_relatives)
{
    struct sample out;
    need("jackhmmer");
    void *state = open_tool("jackhmmer", database_make(), "");
    cr_assert(feed(state, &out) == STATUS_OK, "%s", err.text);
    struct span text = found(&out);
    cr_assert(memmem(text.data, text.size, "relative3", 9), "%.*s", (int)text.size, text.data);
    cr_assert(!memmem(text.data, text.size, "stranger", 8));
    stage_search.close(state);
}

Test(search, mmseqs_itself_finds_relatives)
{
    struct sample out;
    need("mmseqs");
    const char *fasta = database_make();
    char *command =
        arena_printf(&arena, "mmseqs createdb %s %s/db -v 1 > /dev/null", fasta, folder);
    cr_assert(system(command) == 0);
    void *state = open_tool("mmseqs", arena_printf(&arena, "%s/db", folder), "");
    cr_assert(feed(state, &out) == STATUS_OK, "%s", err.text);
    struct span text = found(&out);
    cr_assert(memmem(text.data, text.size, "relative3", 9), "%.*s", (int)text.size, text.data);
    cr_assert(files(arena_printf(&arena, "%s/kept", folder)) == 1, "its own folder is gone");
    stage_search.close(state);
}

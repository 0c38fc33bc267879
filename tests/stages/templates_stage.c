/* The stage templates as a graph runs it: settings, chains without hits, structures that are not
 * there, dates, and (with the golden data) real hits on real structures. */
#include "tests/stages/crops.h"
#include "tests/stages/features.h"

#include <stdio.h>
#include <unistd.h>

extern const struct stage stage_templates;

static struct arena arena;
static struct error err;
static char folder[] = "/tmp/foldmill_templates_XXXXXX";
static struct stage_context context = {.name = "templates"};

static void begin(void)
{
    arena_open(&arena, 0);
    cr_assert(mkdtemp(folder));
}

static void end(void)
{
    char command[100];
    snprintf(command, sizeof command, "rm -r %s", folder);
    cr_assert(system(command) == 0);
    arena_close(&arena);
}

TestSuite(templates_stage, .init = begin, .fini = end);

static const char *hits_file(const char *text)
{
    char *path = arena_printf(&arena, "%s/hits.hhr", folder);
    cr_assert(file_write_atomic(path, span_of(text), &err) == STATUS_OK, "%s", err.text);
    return path;
}

static enum status feed(void *state, const char *sequence, const char *entry, const char *date,
                        const char *hits, struct sample *out)
{
    struct sample in;
    struct work work = {0};
    cr_assert(sample_open(&in, SPAN("1abc_A"), &err) == STATUS_OK);
    cr_assert(sample_open(out, SPAN("1abc_A"), &err) == STATUS_OK);
    sample_add_text(&in, &arena, "sequence", span_of(sequence));
    sample_add_text(&in, &arena, "entry", span_of(entry));
    sample_add_text(&in, &arena, "release_date", span_of(date));
    sample_add_text(&in, &arena, "template_hits", span_of(hits));
    return stage_templates.feed(state, &work, &in, out, &arena, &err);
}

/* The refusal that opening with these settings gives. */
static const char *open_refused(const char *settings)
{
    static const struct param_roots roots = {.graph = "/"};
    struct complaints complaints;
    struct source_text *text = arena_zero(&arena, 1, sizeof *text);
    *text = (struct source_text){.name = "test", .text = span_of(settings)};
    char *state = arena_zero(&arena, 1, stage_templates.state_size);
    complaints_open(&complaints, &arena);
    struct yaml_node *node = yaml_parse(text, &arena, &complaints);
    params_fill(stage_templates.params, state, node, &roots, (struct place){text, 1, 1, 1}, &arena,
                &complaints);
    cr_assert(complaints.count == 0, "%s", settings);
    cr_assert(stage_templates.open(state, &context, &err) == STATUS_INVALID, "%s", settings);
    stage_templates.close(state);
    return err.text;
}

Test(templates_stage, says_what_is_wrong_with_its_settings)
{
    const char *text = open_refused("structures: /nowhere/at/all");
    cr_assert(strstr(text, "/nowhere/at/all") && strstr(text, "1abc.cif"), "%s", text);
    text = open_refused(arena_printf(&arena, "{structures: %s, date_max: \"2021-2-1\"}", folder));
    cr_assert(strstr(text, "YYYY-MM-DD"), "%s", text);
}

Test(templates_stage, a_chain_without_hits_has_no_templates)
{
    struct sample out;
    void *state = stage_state(&stage_templates, arena_printf(&arena, "structures: %s", folder),
                              &context, &arena);
    cr_assert(feed(state, "ACDEFGHIKL", "1abc", "2020-01-01", "", &out) == STATUS_OK, "%s",
              err.text);
    const struct field *letters = sample_find(&out, "template_sequence");
    cr_assert(letters && letters->size[0] == 0 && letters->size[1] == 10);
    cr_assert(sample_find(&out, "template_all_atom_positions")->size[2] == 37);
    cr_assert(*(int32_t *)sample_find(&out, "template_shuffled")->data == 0);
    stage_templates.close(state);
}

Test(templates_stage, what_cannot_be_had_is_named_and_the_sample_goes_on)
{
    struct sample out;
    static const char text[] =
        "No 1\n>2zzz_B\nAligned_cols=10 Sum_probs=9\n"
        "Q chain             1 ACDEFGHIKL   10 (12)\nT 2zzz_B            1 ACDEFGHIKM   10 (10)\n"
        "No 2\n>3bad_B\nAligned_cols=10 Sum_probs=8\n"
        "Q chain             1 ACDEFGHIKL   10 (12)\nT 3bad_B            1 ACDEFGHIKM   10 (10)\n";
    void *state = stage_state(&stage_templates, arena_printf(&arena, "structures: %s", folder),
                              &context, &arena);
    cr_assert(file_write_atomic(arena_printf(&arena, "%s/3bad.cif", folder), SPAN("garbage\n"),
                                &err) == STATUS_OK);
    for (int again = 0; again < 2; again++) { /* the second time out of what is kept */
        cr_assert(feed(state, "ACDEFGHIKLMN", "1abc", "", hits_file(text), &out) == STATUS_OK, "%s",
                  err.text);
        struct span report = sample_text(&out, "template_report");
        cr_assert(memmem(report.data, report.size, "2zzz.cif is not in", 18), "%.*s",
                  (int)report.size, report.data);
        cr_assert(memmem(report.data, report.size, "3bad.cif: ", 10), "%.*s", (int)report.size,
                  report.data);
    }
    cr_assert(feed(state, "ACDEFGHIKLMN", "1abc", "", hits_file("No 1\n"), &out) ==
                      STATUS_REFUSED &&
                  strstr(err.text, "hits.hhr: line 2"),
              "%s", err.text);
    cr_assert(feed(state, "ACDEFGHIKLMN", "1abc", "", "/nowhere.hhr", &out) == STATUS_REFUSED &&
                  strstr(err.text, "/nowhere.hhr"),
              "%s", err.text);
    stage_templates.close(state);
}

/* Candidates that a golden search gives under these settings. */
static int64_t golden_count(const char *settings, const char *entry, const char *date)
{
    struct sample out;
    const char *root = golden_root();
    void *state = stage_state(
        &stage_templates,
        arena_printf(&arena, "{structures: %s/features/inputs/template_mmcif, %s}", root, settings),
        &context, &arena);
    struct npz raw = golden_npz(&arena, "raw/3u8v_A__synth1500__hhr.npz");
    struct span query = golden_text(npz_find(&raw, "sequence"), 0);
    const char *hits = arena_printf(
        &arena, "%s/features/inputs/align/3u8v_A__synth1500__hhr/hhsearch_output.hhr", root);
    cr_assert(feed(state, arena_text(&arena, query.data, query.size), entry, date, hits, &out) ==
                  STATUS_OK,
              "%s", err.text);
    stage_templates.close(state);
    return sample_find(&out, "template_sequence")->size[0];
}

Test(templates_stage, corrected_and_as_the_reference)
{
    golden_root();
    int64_t all = golden_count("compat: openfold", "3u8v", "2011-10-26");
    cr_assert(all >= 3, "%d: pieces of its own structure are taken", (int)all);
    cr_assert(golden_count("own_entry: keep, date_margin: 0", "3u8v", "2011-10-26") == all);
    int64_t others = golden_count("date_margin: 0", "3u8v", "2011-10-26");
    cr_assert(others >= 1 && others < all, "not its own: %d of %d", (int)others, (int)all);
    cr_assert(golden_count("date_margin: 0, own_entry: keep", "9zzz", "") == all);
    cr_assert(golden_count("date_margin: 100", "9zzz", "1970-01-01") == 0, "all are later");
    cr_assert(golden_count("cache: 0", "9zzz", "2099-01-01") == all, "nothing is kept");
}

/* The stage templates as a graph runs it: settings, chains without hits, structures that are not
 * there, dates, and (with the golden data) real hits on real structures. */
#include "engine/base/log.h"
#include "engine/programs.h"
#include "tests/stages/cif_maker.h"
#include "tests/stages/crops.h"
#include "tests/stages/features.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
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
    text = open_refused(arena_printf(&arena, "{structures: %s, kalign: /usr/bin/kalign}", folder));
    cr_assert(strstr(text, "\"/usr/bin/kalign\"") && strstr(text, "--programs DIR"), "%s", text);
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

/* A file of the test's folder. */
static void file_put(const char *name, const char *text, mode_t mode)
{
    char *path = arena_printf(&arena, "%s/%s", folder, name);
    cr_assert(file_write_atomic(path, span_of(text), &err) == STATUS_OK, "%s", err.text);
    cr_assert(chmod(path, mode) == 0);
}

/* Templates of a hit whose string is not in its structure, of two samples made by worker `worker`
 * with these settings; what went to the log is added to log.txt. */
static int64_t realigned_count(const char *settings, int worker, struct span *report)
{
    static const char hit[] =
        "No 1\n>4fit_B\nAligned_cols=10 Sum_probs=9\n"
        "Q chain             1 ACDEFGHIKL   10 (14)\nT 4fit_B            1 ACDEFYHIKL   10 (10)\n";
    struct stage_context here = {.name = "templates", .worker = worker};
    struct sample out;
    int log = open(arena_printf(&arena, "%s/log.txt", folder), O_WRONLY | O_CREAT | O_APPEND, 0600);
    cr_assert(log >= 0);
    log_open("", LOG_INFO, log);
    void *state =
        stage_state(&stage_templates, arena_printf(&arena, "{structures: %s%s}", folder, settings),
                    &here, &arena);
    for (int again = 0; again < 2; again++)
        cr_assert(feed(state, "ACDEFGHIKLMNPQ", "1abc", "", hits_file(hit), &out) == STATUS_OK,
                  "%s", err.text);
    stage_templates.close(state);
    log_open("", LOG_INFO, 2);
    close(log);
    *report = sample_text(&out, "template_report");
    return sample_find(&out, "template_sequence")->size[0];
}

/* Warnings in log.txt. */
static int warnings(const char *about)
{
    struct span content, line;
    int count = 0;
    cr_assert(file_read(arena_printf(&arena, "%s/log.txt", folder), 1 << 20, &arena, &content,
                        &err) == STATUS_OK,
              "%s", err.text);
    while (span_line(&content, &line))
        count += memmem(line.data, line.size, " warn ", 6) &&
                 memmem(line.data, line.size, about, strlen(about));
    return count;
}

Test(templates_stage, kalign_comes_from_the_allowed_folders_or_is_missed_once)
{
    struct span report;
    file_put("4fit.cif", cif_make(&arena, "ACDEFGHIKLWW", "B", "2001-02-03"), 0644);
    file_put("kalign", "#!/bin/sh\nprintf '>1\\nACDEFYHIKL--\\n>2\\nACDEFGHIKLWW\\n'\n", 0755);
    programs_allow(NULL);
    for (int worker = 0; worker < 3; worker++)
        cr_assert(realigned_count("", worker, &report) == 0 &&
                      memmem(report.data, report.size, "there is no kalign", 18),
                  "%.*s", (int)report.size, report.data);
    cr_assert(warnings("--programs DIR") == 1, "two samples of three workers, told once");
    programs_allow("/nowhere");
    cr_assert(realigned_count("", 0, &report) == 0 && warnings("no kalign in /nowhere") == 1);
    cr_assert(realigned_count(", kalign: \"\"", 0, &report) == 0 && warnings("") == 2,
              "left out on purpose: nothing to warn of");
    programs_allow(folder);
    cr_assert(realigned_count("", 0, &report) == 1 && report.size == 0 && warnings("") == 2, "%.*s",
              (int)report.size, report.data);
    file_put("kalign", "#!/bin/sh\nexit 3\n", 0755);
    cr_assert(realigned_count("", 0, &report) == 0 &&
                  memmem(report.data, report.size, "exit code 3", 11),
              "%.*s", (int)report.size, report.data);
    programs_allow(NULL);
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

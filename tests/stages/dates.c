/* Release dates from JSON: which shapes are read, what is told of others, and that templates come
 * out the same with and without. */
#include "stages/listing/dates.h"
#include "tests/stages/cif_maker.h"
#include "tests/stages/crops.h"
#include "tests/stages/outside.h"

extern const struct stage stage_templates;

TestSuite(dates, .init = outside_begin, .fini = outside_end);

static enum status read_text(struct dates *dates, const char *text)
{
    dates_open(dates, &arena);
    return dates_read(dates, outside_file("dates.json", text), &err);
}

static bool says(const struct dates *dates, const char *entry, const char *date)
{
    return span_is(dates_find(dates, entry), date);
}

Test(dates, both_shapes_are_read)
{
    struct dates dates;
    const char *text =
        "{\"1abc\": {\"release_date\": \"2001-02-03\", \"no_chains\": 4, \"seqs\": [\"AC\", "
        "[1.5]],\n"
        "  \"more\": {\"release_date\": \"1999-01-01\", \"x\": [{}, true, null]}, \"resolution\": "
        "2.7},\n"
        " \"2XYZ\": \"1999-12-31\", \"3lrm_A\": {\"release_date\": \"2010-06-30\"},\n"
        " \"3lrm_B\": {\"seq\": \"AC\", \"release_date\": \"2010-07-01\"}, \"4nul\": null,\n"
        " \"5nul\": {\"release_date\": null}, \"6non\": {}, \"AF-P12345\": \"2020-01-01\",\n"
        " \"7x/y\": \"2020-01-01\", \"8\": \"2020-01-01\"}\n";
    cr_assert(read_text(&dates, text) == STATUS_OK, "%s", err.text);
    cr_assert(says(&dates, "1abc", "2001-02-03"), "not what stands deeper");
    cr_assert(says(&dates, "2xyz", "1999-12-31") && says(&dates, "3lrm", "2010-07-01"));
    cr_assert(says(&dates, "4nul", "") && says(&dates, "5nul", "") && says(&dates, "6non", ""));
    cr_assert(says(&dates, "AF-P", "") && says(&dates, "7x/y", "") && says(&dates, "8", ""));
    cr_assert(dates.entries.count == 3);
    cr_assert(dates_read(&dates, outside_file("more.json", "{\"9new\": \"2020-02-29\"}"), &err) ==
                  STATUS_OK,
              "a second file adds: %s", err.text);
    cr_assert(says(&dates, "9new", "2020-02-29") && says(&dates, "1abc", "2001-02-03"));
    cr_assert(read_text(&dates, "{}") == STATUS_OK && dates.entries.count == 0);
}

Test(dates, other_shapes_are_told_with_line)
{
    static const struct {
        const char *text, *word;
    } bad[] = {
        {"", "it ends too early: { of all entries"},
        {"[]", "line 1: { of all entries"},
        {"{\n\n\"1abc\": 3}", "line 3: { of an entry, or its date"},
        {"{\"1abc\": [\"2001-02-03\"]}", "{ of an entry, or its date"},
        {"{\"1abc\": true}", "{ of an entry, or its date"},
        {"{\"1abc\": \"2001-2-3\"}", "\"2001-2-3\" is no date"},
        {"{\"1abc\": \"2001-02-30\"}", "\"2001-02-30\" is no date"},
        {"{\"1abc\": {\"release_date\": \"soon\"}}", "\"soon\" is no date"},
        {"{\"1abc\": {\"release_date\": 2001}}", "a date, YYYY-MM-DD is wanted"},
        {"{\"1abc\": {\"release_date\": {}}}", "a date, YYYY-MM-DD is wanted"},
        {"{\"1abc\": {\"release_date\": []}}", "a date, YYYY-MM-DD is wanted"},
        {"{\"1abc\": {\"release_date\": \"2001-02-03\"}", "it ends too early: an entry's name"},
        {"{\"1abc\": {\"seqs\": [[", "it ends too early: a value"},
        {"{} {}", "no JSON"},
        {"{\"1abc\" \"2001-02-03\"}", "no JSON"},
        {"{\"\xff\": \"2001-02-03\"}", "no JSON"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct dates dates;
        enum status status = read_text(&dates, bad[i].text);
        cr_assert(status == STATUS_INVALID && strstr(err.text, bad[i].word) &&
                      strstr(err.text, "dates.json: line "),
                  "%s: %s", bad[i].text, err.text);
    }
    struct dates dates;
    dates_open(&dates, &arena);
    cr_assert(dates_read(&dates, "/nowhere.json", &err) == STATUS_IO &&
              strstr(err.text, "/nowhere.json"));
}

/* ---- in the stage templates ---- */

/* Four hits: too young, not there, good, too young; the limit is 2010-01-01. */
static const char hits[] =
    "No 1\n>1new_A\nAligned_cols=10 Sum_probs=9\n"
    "Q chain             1 ACDEFGHIKL   10 (14)\nT 1new_A            1 ACDEFGHIKL   10 (10)\n"
    "No 2\n>2non_A\nAligned_cols=10 Sum_probs=8\n"
    "Q chain             1 ACDEFGHIKL   10 (14)\nT 2non_A            1 ACDEFGHIKL   10 (10)\n"
    "No 3\n>3old_A\nAligned_cols=10 Sum_probs=7\n"
    "Q chain             1 ACDEFGHIKL   10 (14)\nT 3old_A            1 ACDEFGHIKL   10 (10)\n"
    "No 4\n>4new_A\nAligned_cols=10 Sum_probs=6\n"
    "Q chain             1 ACDEFGHIKL   10 (14)\nT 4new_A            1 ACDEFGHIKL   10 (10)\n";

/* What two samples in a row give under these settings: names, how many are permuted, the report. */
static const char *templates(const char *settings)
{
    struct stage_context context = {.name = "templates"};
    struct work work = {0};
    const char *text[2];
    void *state = stage_state(
        &stage_templates,
        arena_printf(&arena, "{structures: %s, kalign: \"\", date_max: \"2010-01-01\"%s}", folder,
                     settings),
        &context, &arena);
    for (int i = 0; i < 2; i++) {
        struct sample in, out;
        cr_assert(sample_open(&in, SPAN("1abc_A"), &err) == STATUS_OK);
        cr_assert(sample_open(&out, SPAN("1abc_A"), &err) == STATUS_OK);
        sample_add_text(&in, &arena, "sequence", SPAN("ACDEFGHIKLMNPQ"));
        sample_add_text(&in, &arena, "template_hits", span_of(outside_file("hits.hhr", hits)));
        cr_assert(stage_templates.feed(state, &work, &in, &out, &arena, &err) == STATUS_OK, "%s",
                  err.text);
        struct span names = sample_text(&out, "template_domain_names");
        struct span report = sample_text(&out, "template_report");
        text[i] = arena_printf(&arena, "%.*s%d permuted\n%.*s", (int)names.size, names.data,
                               *(const int32_t *)sample_find(&out, "template_shuffled")->data,
                               (int)report.size, report.data);
    }
    stage_templates.close(state);
    cr_assert(strcmp(text[0], text[1]) == 0, "%s\nthe second time: %s", text[0], text[1]);
    return text[0];
}

Test(dates, templates_are_the_same_with_and_without)
{
    outside_file("1new.cif", cif_make(&arena, "ACDEFGHIKLWW", "A", "2015-01-01"));
    outside_file("3old.cif", cif_make(&arena, "ACDEFGHIKLWW", "A", "2005-01-01"));
    outside_file("4new.cif", cif_make(&arena, "ACDEFGHIKLWW", "A", "2016-01-01"));
    outside_file("all.json", "{\"1new\": {\"release_date\": \"2015-01-01\"}, \"3old\": "
                             "{\"release_date\": \"2005-01-01\"}, \"4new\": {\"release_date\": "
                             "\"2016-01-01\"}}");
    const char *cache = arena_printf(&arena, ", release_dates: %s/all.json", folder);
    for (int candidates = 1; candidates <= 20; candidates += candidates == 1 ? 1 : 18) {
        const char *more = arena_printf(&arena, ", hits: 1, candidates: %d", candidates);
        const char *without = templates(more);
        const char *with = templates(arena_printf(&arena, "%s%s", more, cache));
        cr_assert(strcmp(with, without) == 0, "with: %s\nwithout: %s", with, without);
        cr_assert(strstr(with, "3old_A\n") == with && strstr(with, "2non.cif is not in") &&
                      strstr(with, "1new_A\treleased 2015-01-01, later than 2010-01-01"),
                  "%s", with);
        /* The place of a hit that is not there is taken, that of one too young is not. */
        cr_assert(strstr(with, candidates == 1 ? "0 permuted" : "1 permuted"), "%s", with);
    }
    /* Too young by the file of dates: the structures are not even looked for. */
    cr_assert(remove(arena_printf(&arena, "%s/1new.cif", folder)) == 0);
    const char *with = templates(cache);
    cr_assert(strstr(with, "1new_A\treleased 2015-01-01"), "%s", with);
    cr_assert(strstr(templates(""), "1new.cif is not in"));
    /* A structure that does not say its date has that of the file. */
    outside_file("3old.cif", cif_make(&arena, "ACDEFGHIKLWW", "A", NULL));
    cr_assert(strstr(templates(""), "3old has no release date"));
    cr_assert(strstr(templates(cache), "3old_A\n1 permuted"));
}

Test(dates, as_the_reference_the_file_frees_places)
{
    outside_file("1new.cif", cif_make(&arena, "ACDEFGHIKLWW", "A", "2015-01-01"));
    outside_file("2non.cif", cif_make(&arena, "ACDEFGHIKLWW", "A", "2005-01-01"));
    outside_file("3old.cif", cif_make(&arena, "ACDEFGHIKLWW", "A", "2005-01-01"));
    outside_file("new.json", "{\"1new\": \"2015-01-01\"}");
    static const char more[] = ", hits: 1, candidates: 1, compat: openfold";
    const char *without = templates(more);
    cr_assert(strstr(without, "2non_A\n0 permuted") == without, "%s", without);
    const char *with =
        templates(arena_printf(&arena, "%s, release_dates: %s/new.json", more, folder));
    cr_assert(strstr(with, "2non_A\n1 permuted") == with, "%s", with);
    const char *corrected = templates(", hits: 1, candidates: 1");
    cr_assert(strstr(corrected, "2non_A\n1 permuted") == corrected, "%s", corrected);
}

/* What scan lists by: indices of alignment databases, clusters, filters. */
#include "stages/listing/database.h"
#include "stages/listing/select.h"

#include "engine/base/file.h"
#include "stages/bio/input.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct arena arena;
static struct error err;
static char folder[] = "/tmp/foldmill_listing_XXXXXX";

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

TestSuite(listing, .init = begin, .fini = end);

static const char *file(const char *name, const char *text)
{
    char *path = arena_printf(&arena, "%s/%s", folder, name);
    cr_assert(file_write_atomic(path, span_of(text), &err) == STATUS_OK, "%s", err.text);
    return path;
}

Test(listing, databases_give_the_pieces_of_a_chain_in_order_of_names)
{
    struct database database;
    const char *line[DATABASE_CHAIN_FILES_MAX];
    struct span name[DATABASE_CHAIN_FILES_MAX], content;
    file("one.db", "0123456789>q\nMKV\n");
    file("two.db", "hits");
    const char *index = file(
        "super.index", "{\"1abc_A\": {\"db\": \"one.db\", \"files\": [[\"uniref.sto\", 0, 10],\n"
                       "  [\"bfd.a3m\", 10, 7]]},\n \"2xyz_B\": {\"files\": [[\"x.hhr\", 0, 4]], "
                       "\"db\": \"two.db\"}, \"3emp_C\": {\"db\": \"one.db\", \"files\": []}}");
    database_open(&database, &arena);
    cr_assert(database_read(&database, index, &err) == STATUS_OK, "%s", err.text);
    cr_assert(database_find(&database, "1abc_A", &arena, line, name) == 2);
    cr_assert(span_is(name[0], "bfd.a3m") && span_is(name[1], "uniref.sto"));
    struct span what;
    cr_assert(input_read(span_of(line[0]), 100, &arena, &what, &content, &err) == STATUS_OK, "%s",
              err.text);
    cr_assert(span_is(content, ">q\nMKV\n") && span_is(what, "bfd.a3m"));
    cr_assert(database_find(&database, "2xyz_B", &arena, line, name) == 1);
    cr_assert(input_read(span_of(line[0]), 100, &arena, &what, &content, &err) == STATUS_OK &&
              span_is(content, "hits"));
    cr_assert(database_find(&database, "3emp_C", &arena, line, name) == 0);
    cr_assert(database_find(&database, "9zzz_Z", &arena, line, name) == 0);
    cr_assert(database_read(&database,
                            file("more.index", "{\"4abc_A\": {\"db\": \"two.db\", "
                                               "\"files\": [[\"y.a3m\", 1, 3]]}}"),
                            &err) == STATUS_OK,
              "%s", err.text);
    cr_assert(database_find(&database, "4abc_A", &arena, line, name) == 1, "a second index adds");
    cr_assert(database_find(&database, "1abc_A", &arena, line, name) == 2);
}

Test(listing, broken_indices_are_told_with_line_and_reason)
{
    static const struct {
        const char *text, *word;
    } bad[] = {
        {"", "too early"},
        {"{", "too early"},
        {"[]", "{ of all chains"},
        {"{\"a\": 1}", "{ of a chain"},
        {"{\"a\": {\"dbs\": \"x\"}}", "\"db\" or \"files\""},
        {"{\"a\": {\"db\": 3}}", "database file's name"},
        {"{\n\"a\": {\"db\": \"none.db\"}}", "none.db is not there"},
        {"{\"a\": {\"db\": \"../x\"}}", "beside the index"},
        {"{\"a\": {\"db\": \"x.db\", \"files\": 1}}", "[ of the chain's files"},
        {"{\"a\": {\"db\": \"x.db\", \"files\": [1]}}", "[NAME, OFFSET, LENGTH]"},
        {"{\"a\": {\"db\": \"x.db\", \"files\": [[1, 2, 3]]}}", "a file's name"},
        {"{\"a\": {\"db\": \"x.db\", \"files\": [[\"n\", \"0\", 3]]}}", "an offset"},
        {"{\"a\": {\"db\": \"x.db\", \"files\": [[\"n\", 0, 1.5]]}}", "a length"},
        {"{\"a\": {\"db\": \"x.db\", \"files\": [[\"n\", 0, 1, 2]]}}", "] is wanted"},
        {"{\"a\": {\"db\": \"x.db\", \"files\": [[\"n\", 3, 3]]}}", "beyond the end"},
        {"{\"a\": {\"db\": \"x.db\", \"files\": [[\"n\", -1, 3]]}}", "beyond the end"},
        {"{\"a\": {\"db\": \"x.db\", \"files\": [[\"n\", 9223372036854775807, 3]]}}", "beyond"},
        {"{\"a\": {\"files\": []}}", "no \"db\""},
        {"{\"a\": {\"db\": \"x.db\", \"files\": []}, \"a\": {}}", "twice"},
        {"{\"a\": {\"db\": \"x.db\", \"files\": []}}}", "no JSON"},
        {"{\"a\": garbage", "no JSON"},
    };
    file("x.db", "12345");
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct database database;
        database_open(&database, &arena);
        enum status status = database_read(&database, file("bad.index", bad[i].text), &err);
        cr_assert(status == STATUS_INVALID && strstr(err.text, bad[i].word) &&
                      strstr(err.text, "bad.index: line "),
                  "%s: %s", bad[i].text, err.text);
    }
    struct database database;
    database_open(&database, &arena);
    cr_assert(database_read(&database, file("line.index", "{\n\n\n\"a\": 1}"), &err) ==
                      STATUS_INVALID &&
                  strstr(err.text, "line 4"),
              "%s", err.text);
    cr_assert(database_read(&database, "/nowhere.index", &err) == STATUS_IO &&
              strstr(err.text, "/nowhere.index"));
}

Test(listing, clusters_have_the_sizes_of_their_lines)
{
    struct clusters clusters;
    const char *path = file("clusters", "1abc_A 2XYZ_b\t3def_C\n\n4ghi_D\n");
    cr_assert(clusters_read(&clusters, path, &arena, &err) == STATUS_OK, "%s", err.text);
    cr_assert(clusters_find(&clusters, "1ABC_A") == 3 && clusters_find(&clusters, "2xyz_B") == 3);
    cr_assert(clusters_find(&clusters, "3def_C") == 3 && clusters_find(&clusters, "4ghi_D") == 1);
    cr_assert(clusters_find(&clusters, "5jkl_E") == -1 && clusters_find(&clusters, "") == -1);
    path = file("clusters", "1abc_A\n2xyz_B 1ABC_a\n");
    cr_assert(clusters_read(&clusters, path, &arena, &err) == STATUS_INVALID &&
                  strstr(err.text, "line 2"),
              "%s", err.text);
}

Test(listing, filters_refuse_by_resolution_letters_length_and_date)
{
    static const struct selection openfold = {
        .resolution_max = 9, .same_letter_max = 0.8, .unknown_refused = true, .date_max = ""};
    static const struct selection open = {.same_letter_max = 1, .date_max = ""};
    struct selection dated = {.same_letter_max = 1, .length_min = 5, .date_max = "2018-04-30"};
    static const struct {
        const char *sequence, *date, *word; /* word NULL: it passes */
        const struct selection *selection;
        float resolution;
    } cases[] = {
        {"ACDEFG", "", NULL, &openfold, 9.0f},
        {"ACDEFG", "", NULL, &openfold, 0},
        {"ACDEFG", "", "9.01", &openfold, 9.01f},
        {"ACDEFX", "", "1 residues are X", &openfold, 2},
        {"AAAAAAAACD", "", NULL, &openfold, 2},
        {"AAAAAAAAAC", "", "9 of 10 residues are A", &openfold, 2},
        {"XXXXXX", "", NULL, &open, 99},
        {"AAAAAA", "", NULL, &open, 99},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        enum status status = selection_check(cases[i].selection, span_of(cases[i].sequence),
                                             cases[i].resolution, span_of(cases[i].date), &err);
        cr_assert(status == (cases[i].word ? STATUS_REFUSED : STATUS_OK) &&
                      (!cases[i].word || strstr(err.text, cases[i].word)),
                  "%s: %s", cases[i].sequence, err.text);
    }
    cr_assert(selection_check(&dated, SPAN("ACDE"), 0, SPAN(""), &err) == STATUS_REFUSED);
    cr_assert(selection_check(&dated, SPAN("ACDEF"), 0, SPAN("2018-04-30"), &err) == STATUS_OK);
    cr_assert(selection_check(&dated, SPAN("ACDEF"), 0, SPAN(""), &err) == STATUS_OK);
    cr_assert(selection_check(&dated, SPAN("ACDEF"), 0, SPAN("2018-05-01"), &err) ==
                      STATUS_REFUSED &&
                  strstr(err.text, "2018-05-01"),
              "%s", err.text);
}

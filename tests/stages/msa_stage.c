/* The stage msa on files made here: own alignments, family alignments, what is refused, and
 * settings. */
#include "engine/base/file.h"
#include "engine/stage.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct arena arena;
static struct error err;
static char folder[] = "/tmp/foldmill_msa_XXXXXX";
static char *state;

/* A number or choice of the stage's settings. */
static void set(const char *name, const void *value, size_t size)
{
    for (const struct param *row = stage_find(SPAN("msa"))->params; row->name; row++)
        if (strcmp(row->name, name) == 0) {
            memcpy(state + row->offset, value, size);
            return;
        }
    cr_assert(false, "no setting %s", name);
}

static void begin(void)
{
    const struct stage *stage = stage_find(SPAN("msa"));
    struct stage_context context = {.name = "msa"};
    arena_open(&arena, 0);
    state = arena_zero(&arena, 1, stage->state_size);
    cr_assert(mkdtemp(folder));
    cr_assert(stage->open(state, &context, &err) == STATUS_OK);
}

static void end(void)
{
    char command[100];
    stage_find(SPAN("msa"))->close(state);
    snprintf(command, sizeof command, "rm -r %s", folder);
    cr_assert(system(command) == 0);
    arena_close(&arena);
}

static const char *file(const char *name, const char *text)
{
    char *path = arena_printf(&arena, "%s/%s", folder, name);
    cr_assert(file_write_atomic(path, span_of(text), &err) == STATUS_OK, "%s", err.text);
    return path;
}

static enum status feed(const char *sequence, const char *alignment, const char *row,
                        struct sample *out)
{
    struct sample in;
    struct work work = {0};
    cr_assert(sample_open(&in, SPAN("1abc_A"), &err) == STATUS_OK);
    cr_assert(sample_open(out, SPAN("1abc_A"), &err) == STATUS_OK);
    sample_add_text(&in, &arena, "sequence", span_of(sequence));
    sample_add_text(&in, &arena, "alignment", span_of(alignment));
    sample_add_text(&in, &arena, "row", span_of(row));
    return stage_find(SPAN("msa"))->feed(state, &work, &in, out, &arena, &err);
}

/* The rows of the feature msa. */
static int64_t rows_of(const struct sample *sample)
{
    const struct field *msa;
    cr_assert(sample_need(sample, "msa", KIND_U8, 2, &msa, &err) == STATUS_OK, "%s", err.text);
    return msa->size[0];
}

Test(msa_stage, a_chain_without_alignments_is_its_only_row, .init = begin, .fini = end)
{
    struct sample out;
    cr_assert(feed("ACB", "", "", &out) == STATUS_OK, "%s", err.text);
    static const uint8_t row[3] = {0, 4, 3};
    cr_assert(rows_of(&out) == 1 && memcmp(sample_find(&out, "msa")->data, row, 3) == 0);
    cr_assert(sample_find(&out, "deletion_column")->size[0] == 0);
    cr_assert(feed("", "", "", &out) == STATUS_REFUSED);
}

Test(msa_stage, own_files_are_joined_and_equal_rows_dropped, .init = begin, .fini = end)
{
    struct sample out;
    const char *a3m = file("x.a3m", ">q\nACD\n>r\nAeCD\n>s\nA-D\n");
    const char *sto = file("x.sto", "# STOCKHOLM 1.0\nq A-CD\ns AW-D\nt -WCD\n//\n");
    cr_assert(feed("ACD", arena_printf(&arena, "%s\n%s", a3m, sto), "", &out) == STATUS_OK, "%s",
              err.text);
    cr_assert(rows_of(&out) == 3, "r equals q, the second s the first");
    const int32_t *start = sample_find(&out, "deletion_start")->data;
    cr_assert(start[2] == 0 && start[3] == 1, "the first of equal rows keeps its own deletions");
    int64_t two = 2;
    set("rows_max", &two, sizeof two);
    cr_assert(feed("ACD", arena_printf(&arena, "%s\n%s", a3m, sto), "", &out) == STATUS_OK);
    cr_assert(rows_of(&out) == 2 && sample_find(&out, "deletion_column")->size[0] == 0);
}

Test(msa_stage, alignments_that_do_not_fit_are_refused_by_name, .init = begin, .fini = end)
{
    struct sample out;
    const char *a3m = file("x.a3m", ">q\nACD\n");
    cr_assert(feed("ACE", a3m, "", &out) == STATUS_REFUSED);
    cr_assert(strstr(err.text, a3m) && strstr(err.text, "D at residue 3, the chain has E"), "%s",
              err.text);
    cr_assert(feed("ACD", "/nowhere/x.a3m", "", &out) == STATUS_REFUSED);
    cr_assert(strstr(err.text, "/nowhere/x.a3m"), "%s", err.text);
    cr_assert(feed("ACD", file("x.txt", "ACD"), "", &out) == STATUS_REFUSED);
    cr_assert(strstr(err.text, "wanted .a3m"), "%s", err.text);
    cr_assert(feed("ACD", file("gaps.sto", "# STOCKHOLM 1.0\nq --\nr AC\n//\n"), "", &out) ==
              STATUS_REFUSED);
    cr_assert(strstr(err.text, "first row (q) has 0 columns"), "%s", err.text);
    cr_assert(feed("ACD", file("empty.sto", ""), "", &out) == STATUS_REFUSED);
    cr_assert(strstr(err.text, "empty.sto"), "%s", err.text);
}

Test(msa_stage, pieces_of_databases_count_as_files, .init = begin, .fini = end)
{
    struct sample out;
    const char *db =
        file("all.db", "garbage>q\nACD\n>r\nAeCW\n# STOCKHOLM 1.0\nq A-CD\nt AWWD\n//\n");
    const char *a3m = arena_printf(&arena, "hits.a3m@7+15@%s", db);
    const char *sto = arena_printf(&arena, "hits.sto@22+33@%s", db);
    const char *both = arena_printf(&arena, "%s\n%s", a3m, sto);
    cr_assert(feed("ACD", both, "", &out) == STATUS_OK, "%s", err.text);
    cr_assert(rows_of(&out) == 3 && sample_find(&out, "deletion_column")->size[0] == 2);
    cr_assert(feed("ACD", both, "q", &out) == STATUS_OK, "%s", err.text);
    cr_assert(rows_of(&out) == 3, "as families, too");
    cr_assert(feed("ACE", a3m, "", &out) == STATUS_REFUSED && strstr(err.text, a3m), "%s",
              err.text);
    cr_assert(feed("ACD", arena_printf(&arena, "hits.a3m@7+1000@%s", db), "", &out) ==
              STATUS_REFUSED);
    cr_assert(strstr(err.text, "do not belong together"), "%s", err.text);
    cr_assert(feed("ACD", arena_printf(&arena, "hits@7+15@%s", db), "", &out) == STATUS_REFUSED);
    cr_assert(strstr(err.text, "wanted .a3m"), "%s", err.text);
}

Test(msa_stage, families_give_each_chain_its_view, .init = begin, .fini = end)
{
    struct sample out;
    const char *family = file("f.a2m", ">1abc_A.pdb\nAC-DE\n>2xyz_B.pdb\nACWD-\n");
    const char *other = file("g.a2m", ">3uvw_C\nKKKKK\n");
    cr_assert(feed("ACDE", family, "1abc_A", &out) == STATUS_OK, "%s", err.text);
    cr_assert(rows_of(&out) == 2 && *(int32_t *)sample_find(&out, "deletion_column")->data == 2);
    cr_assert(feed("ACWD", family, "2xyz_B", &out) == STATUS_OK, "the same file again");
    cr_assert(feed("KKKKK", arena_printf(&arena, "%s\n%s", family, other), "3uvw_C", &out) ==
                  STATUS_OK,
              "the file that has the row is taken: %s", err.text);
    cr_assert(rows_of(&out) == 1);
    cr_assert(feed("WWWWW", family, "9zzz_Z", &out) == STATUS_REFUSED);
    cr_assert(strstr(err.text, "no row 9zzz_Z"), "%s", err.text);
    int alone = 1;
    set("missing", &alone, sizeof alone);
    cr_assert(feed("WWWWW", family, "9zzz_Z", &out) == STATUS_OK && rows_of(&out) == 1);
}

Test(msa_stage, species_are_given_when_asked, .init = begin, .fini = end)
{
    struct sample out;
    bool yes = true;
    const char *a3m = file("x.a3m", ">q\nACD\n>tr|A0A146SKV9|A0A146SKV9_FUNHE/9-90\nACC\n");
    cr_assert(feed("ACD", a3m, "", &out) == STATUS_OK);
    cr_assert(!sample_find(&out, "msa_species_identifiers"));
    set("species", &yes, sizeof yes);
    cr_assert(feed("ACD", a3m, "", &out) == STATUS_OK);
    cr_assert(memcmp(sample_find(&out, "msa_species_identifiers")->data, "\0\0\0\0\0FUNHE", 10) ==
              0);
}

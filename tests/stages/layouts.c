/* The layouts in which structures and alignments come: PDB's archive, OpenProteinSet as it is
 * downloaded and as its users flatten it, chains of equal sequence. */
#include "stages/listing/inputs.h"
#include "stages/listing/walk.h"
#include "tests/stages/cif_maker.h"
#include "tests/stages/crops.h"
#include "tests/stages/outside.h"

extern const struct stage stage_scan;

TestSuite(layouts, .init = outside_begin, .fini = outside_end);

/* FOLDER/name with the folders above it. */
static const char *put(const char *name, const char *text)
{
    char *path = arena_printf(&arena, "%s/%s", folder, name);
    char *slash = strrchr(path, '/');
    *slash = 0;
    cr_assert(file_make_dirs(path, &err) == STATUS_OK, "%s", err.text);
    *slash = '/';
    return outside_file(name, text);
}

static void gzip(const char *name)
{
    cr_assert(system(arena_printf(&arena, "gzip -n %s/%s", folder, name)) == 0);
}

/* ---- which files are visited ---- */

static const char *seen;

static void note(void *user, const struct walk_file *file)
{
    (void)user;
    size_t root = strlen(folder) + 1;
    seen =
        arena_printf(&arena, "%s%s %.*s%s%s%s%s\n", seen, file->path + root, (int)file->stem.size,
                     file->stem.data, file->cif ? " cif" : "", file->sequences ? " fasta" : "",
                     *file->family ? " family " : "", *file->family ? file->family + root : "");
}

static const char *walked(const char *name)
{
    const struct walk walk = {&arena, true, NULL, note};
    seen = "";
    enum status status = walk_path(&walk, arena_printf(&arena, "%s/%s", folder, name), &err);
    cr_assert(status == STATUS_OK, "%s: %s", name, err.text);
    return seen;
}

Test(layouts, archives_have_shelves_of_two_letters)
{
    put("mmCIF/ab/1abc.cif", "a");
    put("mmCIF/ab/2ab9.cif", "b");
    put("mmCIF/ab/fam.a3m", ">x\nAC\n");
    put("mmCIF/zz/index.txt", "no structure");
    put("mmCIF/9x/deep/3abc.cif", "too deep");
    put("mmCIF/old/4abc.cif", "no shelf");
    put("mmCIF/5abc.cif", "flat");
    put("mmCIF/qq", "a file of two letters");
    gzip("mmCIF/ab/1abc.cif");
    const char *all = walked("mmCIF");
    cr_assert(strcmp(all, "mmCIF/5abc.cif 5abc cif\n"
                          "mmCIF/ab/1abc.cif.gz 1abc cif family mmCIF/ab/fam.a3m\n"
                          "mmCIF/ab/2ab9.cif 2ab9 cif family mmCIF/ab/fam.a3m\n") == 0,
              "%s", all);
    put("pdb/ab/pdb1abc.ent", "a");
    gzip("pdb/ab/pdb1abc.ent");
    all = walked("pdb");
    cr_assert(strcmp(all, "pdb/ab/pdb1abc.ent.gz pdb1abc\n") == 0, "%s", all);
}

Test(layouts, openproteinset_has_a_folder_a_chain)
{
    put("uniclust30/A0A1/pdb/A0A1.pdb", "a");
    put("uniclust30/A0A1/a3m/uniclust30.a3m", ">x\nAC\n");
    put("uniclust30/B0/cif/B0.cif", "b");
    put("uniclust30/C0C0/a3m/uniclust30.a3m", ">x\nAC\n");
    const char *all = walked("uniclust30");
    cr_assert(strcmp(all, "uniclust30/A0A1/pdb/A0A1.pdb A0A1\n"
                          "uniclust30/B0/cif/B0.cif B0 cif\n") == 0,
              "%s", all);
}

Test(layouts, what_holds_nothing_is_told)
{
    const struct walk walk = {&arena, true, NULL, note};
    const char *root = arena_printf(&arena, "%s/none", folder);
    seen = "";
    put("none/old/1abc.cif", "no shelf");
    cr_assert(walk_path(&walk, root, &err) == STATUS_INVALID &&
                  strstr(err.text, "subfolders of two letters"),
              "%s", err.text);
    cr_assert(walk_path(&walk, "/nowhere/at/all", &err) == STATUS_IO && !*seen);
}

/* ---- a scan of an archive ---- */

static const char *listed;

static enum status emit(struct source *source, const struct sample *sample, struct error *error)
{
    (void)source, (void)error;
    struct span alignment = sample_text(sample, "alignment");
    struct span hits = sample_text(sample, "template_hits");
    size_t root = strlen(folder) + 1;
    listed =
        arena_printf(&arena, "%s%s %.*s %.*s\n", listed, sample->key,
                     alignment.size ? (int)(alignment.size - root) : 1,
                     alignment.size ? alignment.data + root : "-",
                     hits.size ? (int)(hits.size - root) : 1, hits.size ? hits.data + root : "-");
    return STATUS_OK;
}

static void refuse(struct source *source, const char *name, const char *reason)
{
    (void)source;
    cr_assert(false, "%s: %s", name, reason);
}

static enum status scanned(const char *settings)
{
    struct stage_context context = {.name = "scan"};
    struct source source = {.emit = emit, .refuse = refuse};
    listed = "";
    void *state = stage_state(&stage_scan, settings, &context, &arena);
    return stage_scan.list(state, &source, &err);
}

Test(layouts, a_chain_takes_the_alignments_of_its_twins)
{
    put("divided/ab/1abc.cif", cif_make(&arena, "ACDEFGHIKLMN", "A", "2001-02-03"));
    put("divided/ab/2abc.cif", cif_make(&arena, "ACDEFGHIKLMN", "B", "2001-02-03"));
    put("divided/xy/3xyz.cif", cif_make(&arena, "ACDEFGHIKLMN", "C", "2001-02-03"));
    put("divided/xy/4xyz.cif", cif_make(&arena, "WWWWWWYYYYYY", "D", "2001-02-03"));
    put("ali/2abc_B/a3m/one.a3m", ">q\nACDEFGHIKLMN\n");
    put("ali/3xyz_C/hhr/hits.hhr", "none\n");
    const char *twins = put("twins.txt", "5new_A\n9zzz_Z 3xyz_C 2abc_B 1abc_A\n\n4xyz_D 9yyy_Y\n");
    gzip("divided/ab/1abc.cif");
    gzip("divided/xy/4xyz.cif");
    const char *settings =
        arena_printf(&arena, "{structures: %s/divided, alignments: %s/ali}", folder, folder);
    cr_assert(scanned(settings) == STATUS_OK, "%s", err.text);
    cr_assert(strcmp(listed, "1abc_A - -\n2abc_B ali/2abc_B/a3m/one.a3m -\n"
                             "3xyz_C - ali/3xyz_C/hhr/hits.hhr\n4xyz_D - -\n") == 0,
              "%s", listed);
    const char *with =
        arena_printf(&arena, "{structures: %s/divided, alignments: %s/ali, duplicates: %s}", folder,
                     folder, twins);
    cr_assert(scanned(with) == STATUS_OK, "%s", err.text);
    cr_assert(strcmp(listed, "1abc_A - ali/3xyz_C/hhr/hits.hhr\n"
                             "2abc_B ali/2abc_B/a3m/one.a3m -\n"
                             "3xyz_C - ali/3xyz_C/hhr/hits.hhr\n4xyz_D - -\n") == 0,
              "the first twin that has something: %s", listed);
    /* Entries in capitals, as some name their folders, are those of the keys in lower case. */
    put("ali/1ABC_A/two.a3m", ">q\nACDEFGHIKLMN\n");
    put("ali/4XYZ_d/two.a3m", ">q\nWWWWWWYYYYYY\n");
    cr_assert(scanned(settings) == STATUS_OK, "%s", err.text);
    cr_assert(strcmp(listed, "1abc_A ali/1ABC_A/two.a3m -\n2abc_B ali/2abc_B/a3m/one.a3m -\n"
                             "3xyz_C - ali/3xyz_C/hhr/hits.hhr\n4xyz_D - -\n") == 0,
              "chain names keep their case: %s", listed);
    put("twins.txt", "1abc_A 2abc_B\n3xyz_C\n2abc_B 4xyz_D\n");
    cr_assert(scanned(with) == STATUS_INVALID && strstr(err.text, "line 3: chain 2abc_B"), "%s",
              err.text);
    cr_assert(scanned(arena_printf(&arena, "{structures: %s/divided, alignments: %s/al}", folder,
                                   folder)) == STATUS_IO &&
                  strstr(err.text, "/al: "),
              "a folder of alignments that is not there: %s", err.text);
}

Test(layouts, predictions_have_the_names_of_their_folders)
{
    static const char atoms[] =
        "ATOM      1  N   ALA A   1       0.000   0.000   0.000  1.00 90.00           N\n"
        "ATOM      2  CA  ALA A   1       1.460   0.000   0.000  1.00 90.00           C\n"
        "ATOM      3  C   ALA A   1       2.000   1.400   0.000  1.00 90.00           C\n";
    static const char *const names[] = {"A0A009F", "6KWC_1"};
    for (int i = 0; i < 2; i++) {
        put(arena_printf(&arena, "uc/%s/pdb/%s.pdb", names[i], names[i]), atoms);
        put(arena_printf(&arena, "uc/%s/a3m/uniclust30.a3m", names[i]), ">q\nA\n");
    }
    cr_assert(
        scanned(arena_printf(&arena, "{structures: %s/uc, alignments: %s/uc, source: distilled}",
                             folder, folder)) == STATUS_OK,
        "%s", err.text);
    cr_assert(strcmp(listed, "A0A009F uc/A0A009F/a3m/uniclust30.a3m -\n"
                             "6kwc_1 uc/6KWC_1/a3m/uniclust30.a3m -\n") == 0 ||
                  strcmp(listed, "6kwc_1 uc/6KWC_1/a3m/uniclust30.a3m -\n"
                                 "A0A009F uc/A0A009F/a3m/uniclust30.a3m -\n") == 0,
              "%s", listed);
}

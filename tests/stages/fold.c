/* Scores of structures on hand-made cases, and the file that a prediction becomes. */
#include "engine/base/file.h"
#include "engine/base/rng.h"
#include "stages/bio/cif.h"
#include "stages/bio/residue.h"
#include "stages/learn/fold_score.h"
#include "stages/learn/fold_write.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { COUNT = 40 };

/* A chain on a random walk; the last two residues are not known. */
static void chain_make(float *x, float *mask)
{
    struct rng rng = rng_open(3, 0, 0, "fold", 0);
    for (int i = 0; i < COUNT; i++) {
        mask[i] = i < COUNT - 2;
        for (int k = 0; k < 3; k++)
            x[3 * i + k] = (i ? x[3 * (i - 1) + k] : 0) + 2.2f * rng_normal(&rng);
    }
}

Test(fold, a_moved_structure_is_the_same)
{
    float x[3 * COUNT], y[3 * COUNT], mask[COUNT];
    const float turn[9] = {0.36f, 0.48f, -0.8f, -0.8f, 0.6f, 0, 0.48f, 0.64f, 0.6f};
    chain_make(x, mask);
    for (int i = 0; i < COUNT; i++)
        for (int a = 0; a < 3; a++) {
            y[3 * i + a] = 7.0f * (float)a - 20;
            for (int b = 0; b < 3; b++)
                y[3 * i + a] += turn[3 * a + b] * x[3 * i + b];
        }
    y[3 * COUNT - 1] = 500; /* where nothing is known */
    struct fold_score score = fold_score(COUNT, y, x, mask);
    cr_assert(score.lddt == 1 && score.gdt_ts == 1, "lDDT %g, GDT_TS %g", score.lddt, score.gdt_ts);
    cr_assert(score.drmsd < 1e-4, "dRMSD %g", score.drmsd);
}

Test(fold, a_mirrored_structure_has_the_distances_alone)
{
    float x[3 * COUNT], y[3 * COUNT], mask[COUNT];
    chain_make(x, mask);
    for (int i = 0; i < 3 * COUNT; i++)
        y[i] = i % 3 == 0 ? -x[i] : x[i];
    struct fold_score score = fold_score(COUNT, y, x, mask);
    cr_assert(score.lddt == 1 && score.drmsd < 1e-5, "lDDT %g", score.lddt);
    cr_assert(score.gdt_ts < 0.7, "GDT_TS %g", score.gdt_ts);
}

/* Four residues in a square of 10 A, one moved by 3 A along an edge: distances of it to its
 * neighbours change by 3 A and by sqrt(13^2) - ..., worked out by hand. */
Test(fold, one_residue_off)
{
    const float truth[12] = {0, 0, 0, 10, 0, 0, 10, 10, 0, 0, 10, 0}, mask[4] = {1, 1, 1, 1};
    float moved[12];
    memcpy(moved, truth, sizeof moved);
    moved[3] += 3; /* residue 1 to (13, 0) */
    /* pairs: 0-1 10 -> 13 (3); 1-2 10 -> sqrt(109) (0.4403); 1-3 sqrt(200) -> sqrt(269) (2.2589) */
    double off[3] = {3, sqrt(109) - 10, sqrt(269) - sqrt(200)};
    double drmsd = sqrt((off[0] * off[0] + off[1] * off[1] + off[2] * off[2]) / 6);
    /* preserved within 0.5, 1, 2, 4: residue 0: (0.25 + 1 + 1) / 3, 1: (0.25 + 1 + 0.25) / 3,
       2: (1 + 1 + 1) / 3, 3: (1 + 1 + 0.25) / 3 */
    double lddt = (2.25 + 1.5 + 3 + 2.25) / 12;
    struct fold_score score = fold_score(4, moved, truth, mask);
    cr_assert(fabs(score.drmsd - drmsd) < 1e-5, "dRMSD %g, wanted %g", score.drmsd, drmsd);
    cr_assert(fabs(score.lddt - lddt) < 1e-9, "lDDT %g, wanted %g", score.lddt, lddt);
    cr_assert(score.gdt_ts > 0.6 && score.gdt_ts < 1, "GDT_TS %g", score.gdt_ts);
}

Test(fold, nothing_known_is_no_number)
{
    const float x[3] = {1, 2, 3}, mask[1] = {0};
    struct fold_score score = fold_score(1, x, x, mask);
    cr_assert(isnan(score.lddt) && isnan(score.drmsd) && isnan(score.gdt_ts), "no number");
}

Test(fold, a_prediction_as_a_file)
{
    char path[] = "/tmp/foldmill-fold-XXXXXX";
    float atoms[2 * 14 * 3] = {0}, mask[3] = {1, 1, 0}, plddt[3] = {91.5f, 7, 0};
    int32_t aatype[3] = {7, 0, 0}, number[3] = {4, 5, 0};
    struct arena arena;
    struct span text;
    struct error err = {0};
    cr_assert(close(mkstemp(path)) == 0, "mkstemp");
    arena_open(&arena, 0);
    atoms[3] = -12.3456f; /* CA of the first residue */
    struct fold fold = {"test", "A TEST", 2, mask, aatype, number, atoms, plddt};
    cr_assert(fold_write_pdb(path, &fold, &err) == STATUS_OK, "%s", err.text);
    cr_assert(file_read(path, 1 << 16, &arena, &text, &err) == STATUS_OK, "%s", err.text);
    const char *ca = "ATOM      2  CA  GLY A   5     -12.346   0.000   0.000  1.00 91.50"
                     "           C\n";
    const char *cb = "ATOM      9  CB  ALA A   6       0.000   0.000   0.000  1.00  7.00"
                     "           C\n";
    cr_assert(strstr(text.data, ca) && strstr(text.data, cb), "%s", text.data);
    atoms[0] = NAN;
    cr_assert(fold_write_pdb(path, &fold, &err) == STATUS_LIMIT, "not a number");
    cr_assert(fold_write_cif(path, &fold, &err) == STATUS_LIMIT, "not a number");
    unlink(path);
    arena_close(&arena);
}

/* Written as mmCIF and read again: sequence, places and masks are the same, to a thousandth. */
Test(fold, a_prediction_comes_back_from_mmcif)
{
    enum { RESIDUES = 22 }; /* all types but X, one that is masked, and ALA again */
    char path[] = "/tmp/foldmill-fold-XXXXXX";
    static float atoms[RESIDUES * ATOM14 * 3], mask[RESIDUES], plddt[RESIDUES];
    int32_t aatype[RESIDUES], number[RESIDUES];
    struct rng rng = rng_open(5, 0, 0, "fold", 0);
    struct arena arena;
    struct span text;
    struct structure structure;
    struct error err = {0};
    for (int n = 0; n < RESIDUES; n++) {
        aatype[n] = n % 20, number[n] = n + 100;
        mask[n] = n != 20, plddt[n] = 4.5f * (float)n;
        for (int i = 0; i < ATOM14 * 3; i++)
            atoms[n * ATOM14 * 3 + i] = 40 * rng_normal(&rng);
    }
    struct fold fold = {"1abc_A", "PREDICTED", RESIDUES, mask, aatype, number, atoms, plddt};
    cr_assert(close(mkstemp(path)) == 0, "mkstemp");
    arena_open(&arena, 0);
    cr_assert(fold_write_cif(path, &fold, &err) == STATUS_OK, "%s", err.text);
    cr_assert(file_read(path, 1 << 20, &arena, &text, &err) == STATUS_OK, "%s", err.text);
    struct structure_wish wish = {.chain = SPAN("A"), .coordinates = true};
    cr_assert(cif_read(text, &wish, &arena, &structure, &err) == STATUS_OK, "%s", err.text);
    const struct structure_chain *chain = &structure.chain[0];
    cr_assert(structure.chain_count == 1 && chain->length == RESIDUES - 1, "%d residues",
              chain->length);
    cr_assert(strcmp(chain->sequence, "ARNDCQEGHILKMFPSTWYVR") == 0, "%s", chain->sequence);
    for (int r = 0; r < RESIDUES - 1; r++) {
        int n = r < 20 ? r : r + 1, known = 0;
        for (int k = 0; k < atom14_count[aatype[n]]; k++) {
            int slot = r * ATOM37 + atom14_to_atom37[aatype[n]][k];
            cr_assert(chain->mask[slot] == 1, "residue %d has no atom %d", r, k);
            for (int axis = 0; axis < 3; axis++)
                cr_assert(fabsf(chain->positions[3 * slot + axis] -
                                atoms[(n * ATOM14 + k) * 3 + axis]) < 6e-4f, "residue %d", r);
        }
        for (int k = 0; k < ATOM37; k++)
            known += chain->mask[r * ATOM37 + k];
        cr_assert(known == atom14_count[aatype[n]], "residue %d has %d atoms", r, known);
    }
    cr_assert(strstr(text.data, "ATOM 2 C CA . ALA A 1 1 ?") && strstr(text.data, " 0.00 101 ALA"),
              "the first atom's row");
    unlink(path);
    arena_close(&arena);
}

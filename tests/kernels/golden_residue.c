/* Idealised residues against the reference's tables. */
#include "kernels/net/residue.h"
#include "tests/kernels/golden.h"

static double worst(struct golden *g, const char *key, const float *got, int64_t count)
{
    const struct npz_array *a;
    const double *wanted = golden_values(g, key, &a);
    double most = 0;
    cr_assert((int64_t)a->count == count, "%s: %lld values", key, (long long)a->count);
    for (int64_t i = 0; i < count; i++)
        most = fmax(most, fabs(wanted[i] - (double)got[i]));
    return most;
}

Test(golden_residue, frames_places_and_groups)
{
    enum { TYPES = RESIDUE_TYPES, FRAMES = TYPES * RESIDUE_GROUPS };
    struct golden g;
    golden_open(&g, "torsion_to_atom14");
    static struct residue_facts facts;
    static float frame[FRAMES * 16];
    residue_facts_make(&facts);
    const double *group = golden_values(&g, "cfg.atom14_group", NULL);
    for (int i = 0; i < TYPES * RESIDUE_SLOTS; i++)
        cr_assert((int)group[i] == (&facts.group[0][0])[i], "group of slot %d", i);
    for (int n = 0; n < FRAMES; n++)
        for (int i = 0; i < 16; i++) {
            const float *from = (const float *)facts.base + 12 * n;
            frame[16 * n + i] = i >= 12 ? (float)(i == 15 && from[0] != 0)
                                : i % 4 == 3 ? from[9 + i / 4]
                                             : from[i / 4 * 3 + i % 4];
        }
    cr_assert(worst(&g, "cfg.atom14_mask", &facts.exists[0][0], TYPES * RESIDUE_SLOTS) == 0,
              "which atoms there are");
    cr_assert(worst(&g, "cfg.atom14_pos", &facts.place[0][0][0], TYPES * RESIDUE_SLOTS * 3) < 1e-6,
              "places");
    double off = worst(&g, "cfg.default_frame", frame, FRAMES * 16);
    cr_assert(off < 1e-6, "frames: %g", off);
    golden_close(&g);
}

Test(golden_residue, radii_of_elements)
{
    struct golden g;
    static struct residue_facts facts;
    golden_open(&g, "loss_violation");
    residue_facts_make(&facts);
    const double *type = golden_values(&g, "in.aatype", NULL);
    const double *to37 = golden_values(&g, "in.r14", NULL);
    const double *radii = golden_values(&g, "cfg.atomtype_radius", NULL);
    const double *exists = golden_values(&g, "in.ex", NULL);
    for (int i = 0; i < 24 * RESIDUE_SLOTS; i++) {
        float got = facts.radius[(int)type[i / RESIDUE_SLOTS]][i % RESIDUE_SLOTS];
        double wanted = exists[i] > 0 ? radii[(int)to37[i]] : 0;
        cr_assert(fabs(wanted - (double)got) < 1e-6, "slot %d: %g, wanted %g", i, (double)got,
                  wanted);
    }
    golden_close(&g);
}

Test(golden_residue, bounds_of_distances)
{
    enum { ALL = RESIDUE_TYPES * RESIDUE_SLOTS * RESIDUE_SLOTS };
    struct golden g;
    static struct residue_facts facts;
    static struct residue_bounds bounds;
    golden_open(&g, "loss_violation");
    residue_facts_make(&facts);
    residue_bounds_make(&facts, &bounds);
    double low = worst(&g, "cfg.atom14_lower", &bounds.lower[0][0][0], ALL);
    double high = worst(&g, "cfg.atom14_upper", &bounds.upper[0][0][0], ALL);
    cr_assert(low < 1e-4 && high < 1e-4, "bounds are off by %g and %g", low, high);
    golden_close(&g);
}

Test(golden_residue, frames_are_rotations)
{
    static struct residue_facts facts;
    residue_facts_make(&facts);
    for (int n = 0; n < RESIDUE_TYPES * RESIDUE_GROUPS; n++) {
        const float *r = (const float *)facts.base + 12 * n;
        for (int i = 0; i < 3 && r[0] != 0; i++)
            for (int j = 0; j < 3; j++) {
                float dot = r[3 * i] * r[3 * j] + r[3 * i + 1] * r[3 * j + 1] +
                            r[3 * i + 2] * r[3 * j + 2];
                cr_assert(fabsf(dot - (float)(i == j)) < 1e-6f, "frame %d", n);
            }
    }
    cr_assert(facts.beta[7] == 1 && facts.beta[0] == 4 && facts.beta[20] == 1, "pseudo beta atoms");
}

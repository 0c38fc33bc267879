/* Every group of features, made again here in another way: slowly, in double precision, from the
 * names of atoms. The golden tests hold them against the reference bit for bit; this one needs no
 * data. */
#include "tests/stages/crops.h"
#include "stages/bio/compact_write.h"
#include "stages/bio/features.h"
#include "stages/bio/geometry.h"
#include "stages/bio/residue.h"

#include <math.h>

enum { L = 44, K = 30, START = 9, WIDTH = 26 };

/* Side chains beyond N CA C O CB, in the order of atom14; torsions run from N CA CB over `chi`. */
static const struct {
    const char *atoms, *chi;
    int symmetric;                  /* the torsion that half a turn does not change; -1: none */
    const char *swapped[2][2];      /* names that are exchanged */
} residues[21] = {
    {"", "", -1, {{0}}},                                     /* A */
    {"CG CD NE CZ NH1 NH2", "CG CD NE CZ", -1, {{0}}},       /* R */
    {"CG OD1 ND2", "CG OD1", -1, {{0}}},                     /* N */
    {"CG OD1 OD2", "CG OD1", 1, {{"OD1", "OD2"}}},           /* D */
    {"SG", "SG", -1, {{0}}},                                 /* C */
    {"CG CD OE1 NE2", "CG CD OE1", -1, {{0}}},               /* Q */
    {"CG CD OE1 OE2", "CG CD OE1", 2, {{"OE1", "OE2"}}},     /* E */
    {NULL, "", -1, {{0}}},                                   /* G: no CB */
    {"CG ND1 CD2 CE1 NE2", "CG ND1", -1, {{0}}},             /* H */
    {"CG1 CG2 CD1", "CG1 CD1", -1, {{0}}},                   /* I */
    {"CG CD1 CD2", "CG CD1", -1, {{0}}},                     /* L */
    {"CG CD CE NZ", "CG CD CE NZ", -1, {{0}}},               /* K */
    {"CG SD CE", "CG SD CE", -1, {{0}}},                     /* M */
    {"CG CD1 CD2 CE1 CE2 CZ", "CG CD1", 1, {{"CD1", "CD2"}, {"CE1", "CE2"}}}, /* F */
    {"CG CD", "CG CD", -1, {{0}}},                           /* P */
    {"OG", "OG", -1, {{0}}},                                 /* S */
    {"OG1 CG2", "OG1", -1, {{0}}},                           /* T */
    {"CG CD1 CD2 NE1 CE2 CE3 CZ2 CZ3 CH2", "CG CD1", -1, {{0}}}, /* W */
    {"CG CD1 CD2 CE1 CE2 CZ OH", "CG CD1", 1, {{"CD1", "CD2"}, {"CE1", "CE2"}}}, /* Y */
    {"CG1 CG2", "CG1", -1, {{0}}},                           /* V */
    {NULL, "", -1, {{0}}},                                   /* X: none at all */
};

static struct arena arena;
static uint8_t aatype[L], mask[L * 37], template_mask[L * 37];
static int32_t residue_index[L];
static float positions[L * 111], template_positions[L * 111];
static uint8_t template_text[L];
static struct compact compact;
static struct features f;

/* The n-th word of a list; empty when there are fewer. */
static struct span word(const char *list, int n)
{
    struct span rest = span_of(list ? list : "");
    for (;; n--) {
        const char *blank = memchr(rest.data, ' ', rest.size);
        size_t size = blank ? (size_t)(blank - rest.data) : rest.size;
        if (n == 0)
            return (struct span){rest.data, size};
        if (!blank)
            return SPAN("");
        rest = (struct span){blank + 1, rest.size - size - 1};
    }
}

/* The n-th atom14 atom of a type as an atom37 number; -1: none. */
static int atom14_of(int type, int n)
{
    static const char *const backbone[] = {"N", "CA", "C", "O", "CB"};
    if (type == RESTYPE_X || (type == RESTYPE_GLY && n > 3))
        return -1;
    if (n < 5)
        return atom37_find(span_of(backbone[n]));
    struct span name = word(residues[type].atoms, n - 5);
    return name.size ? atom37_find(name) : -1;
}

/* Atom k of the chain of torsions: N CA CB and the chi names; -1: none. */
static int chi_atom_of(int type, int k)
{
    static const char *const first[] = {"N", "CA", "CB"};
    struct span name = k < 3 ? span_of(first[k]) : word(residues[type].chi, k - 3);
    return name.size ? atom37_find(name) : -1;
}

static void sample_make(void)
{
    struct rng rng = rng_open(3, 0, 0, "features", 0);
    struct compact_writer writer;
    struct error err;
    arena_open(&arena, 0);
    for (int i = 0; i < L; i++) {
        aatype[i] = (uint8_t)((i * 8 + 1) % 21); /* all types are in the crop */
        template_text[i] = (uint8_t)"ARNDCQEGHILKMFPSTWYV-X"[(i * 5 + 3) % 22];
        residue_index[i] = i;
        for (int a = 0; a < 37; a++) {
            mask[i * 37 + a] = rng_below(&rng, 8) > 0;
            template_mask[i * 37 + a] = rng_below(&rng, 8) > 0;
            for (int axis = 0; axis < 3; axis++) {
                positions[(i * 37 + a) * 3 + axis] = rng_normal(&rng) * 8;
                template_positions[(i * 37 + a) * 3 + axis] = rng_normal(&rng) * 8;
            }
        }
    }
    const struct compact_sizes sizes = {K, 2, 1, 3, 1};
    const struct compact_chain chain = {aatype, residue_index, positions, mask, 1.5f, 0};
    const struct compact_templates templates = {1, L, template_text, template_positions,
                                                template_mask, (const float[]){7}};
    cr_assert(compact_begin(&sizes, (struct compact_window){START, WIDTH}, true, &arena, &compact,
                            &writer));
    compact_put_chain(&compact, &writer, &chain);
    cr_assert(compact_put_templates(&compact, &writer, &templates, (uint32_t[]){0}, 1, &err) ==
              STATUS_OK);
    compact_end(&compact, &writer);
    *compact.use_clamped_fape = 1;
    cr_assert(compact_check(&compact, &err) == STATUS_OK, "%s", err.text);
    cr_assert(features_make(&compact, 0, FEATURES_ALL, &arena, &f, &err) == STATUS_OK, "%s",
              err.text);
}

static void sample_close(void)
{
    arena_close(&arena);
}

TestSuite(features, .init = sample_make, .fini = sample_close, .timeout = 60);

static void near(float value, double want, const char *what, int at)
{
    cr_assert(fabs((double)value - want) < 2e-3, "%s %d: %g, not %g", what, at, (double)value,
              want);
}

struct vector {
    double x[3];
};

static struct vector minus(struct vector a, struct vector b)
{
    return (struct vector){{a.x[0] - b.x[0], a.x[1] - b.x[1], a.x[2] - b.x[2]}};
}

static double dot(struct vector a, struct vector b)
{
    return a.x[0] * b.x[0] + a.x[1] * b.x[1] + a.x[2] * b.x[2];
}

static struct vector cross(struct vector a, struct vector b)
{
    return (struct vector){{a.x[1] * b.x[2] - a.x[2] * b.x[1], a.x[2] * b.x[0] - a.x[0] * b.x[2],
                            a.x[0] * b.x[1] - a.x[1] * b.x[0]}};
}

static struct vector atom_at(const float *xyz, int residue, int atom)
{
    const float *p = xyz + (residue * 37 + atom) * 3;
    return (struct vector){{(double)p[0], (double)p[1], (double)p[2]}};
}

/* The dihedral angle a b c d by the textbook: between the planes abc and bcd. */
static double dihedral(struct vector a, struct vector b, struct vector c, struct vector d)
{
    struct vector u = minus(b, a), v = minus(c, b), w = minus(d, c);
    return atan2(sqrt(dot(v, v)) * dot(u, cross(v, w)), dot(cross(u, v), cross(v, w)));
}

Test(features, of_the_chain)
{
    for (int i = 0; i < K; i++) {
        bool in = i < WIDTH;
        int type = in ? aatype[START + i] : 0;
        cr_assert(f.aatype[i] == type && f.seq_mask[i] == in);
        cr_assert(f.residue_index[i] == (in ? START + i : 0));
        for (int c = 0; c < 22; c++)
            cr_assert(f.target_feat[i * 22 + c] == (in && c == type + 1), "target_feat");
        int64_t place[37] = {0};
        bool has[37] = {false};
        for (int k = 0; k < 14; k++) {
            int atom = in ? atom14_of(type, k) : -1;
            cr_assert(f.atom14_atom_exists[i * 14 + k] == (atom >= 0), "residue %d atom %d", i, k);
            cr_assert(f.residx_atom14_to_atom37[i * 14 + k] == (atom < 0 ? 0 : atom));
            if (atom >= 0) {
                has[atom] = true;
                place[atom] = k;
            }
        }
        for (int a = 0; a < 37; a++) {
            cr_assert(f.atom37_atom_exists[i * 37 + a] == has[a]);
            cr_assert(f.residx_atom37_to_atom14[i * 37 + a] == place[a]);
        }
    }
    cr_assert(*f.seq_length == WIDTH && *f.use_clamped_fape == 1);
    cr_assert(*f.resolution == 1.5f && *f.is_distillation == 0);
}

Test(features, of_atoms)
{
    for (int i = 0; i < WIDTH; i++) {
        int at = START + i, type = aatype[at], beta = type == RESTYPE_GLY ? 1 : 3;
        cr_assert(f.pseudo_beta_mask[i] == mask[at * 37 + beta]);
        cr_assert(memcmp(f.pseudo_beta + 3 * i, positions + (at * 37 + beta) * 3, 12) == 0);
        cr_assert(memcmp(f.all_atom_positions + i * 111, positions + at * 111, 444) == 0);
        for (int k = 0; k < 14; k++) {
            int atom = atom14_of(type, k), other = atom;
            bool ambiguous = false;
            for (int s = 0; s < 4 && atom >= 0; s++) {
                const char *name = residues[type].swapped[s / 2][s % 2];
                if (!name || atom37_find(span_of(name)) != atom)
                    continue;
                other = atom37_find(span_of(residues[type].swapped[s / 2][1 - s % 2]));
                ambiguous = true;
            }
            bool exists = atom >= 0 && mask[at * 37 + atom];
            bool alt = other >= 0 && mask[at * 37 + other];
            cr_assert(f.atom14_gt_exists[i * 14 + k] == exists);
            cr_assert(f.atom14_alt_gt_exists[i * 14 + k] == alt, "residue %d atom %d", i, k);
            cr_assert(f.atom14_atom_is_ambiguous[i * 14 + k] == ambiguous);
            for (int axis = 0; axis < 3; axis++) {
                cr_assert(f.atom14_gt_positions[(i * 14 + k) * 3 + axis] ==
                          (exists ? positions[(at * 37 + atom) * 3 + axis] : 0));
                cr_assert(f.atom14_alt_gt_positions[(i * 14 + k) * 3 + axis] ==
                          (alt ? positions[(at * 37 + other) * 3 + axis] : 0));
            }
        }
        for (int a = 0; a < 37; a++)
            cr_assert(f.all_atom_mask[i * 37 + a] == mask[at * 37 + a]);
    }
}

/* The atoms of a rigid group: on the negative x axis, the origin, in the plane; false: none. */
static bool group_of(int type, int group, int atoms[3])
{
    static const int backbone[3] = {2, 1, 0}, psi[3] = {1, 2, 4};
    if (group == 0 || group == 3)
        memcpy(atoms, group ? psi : backbone, sizeof backbone);
    for (int k = 0; group > 3 && k < 3; k++)
        atoms[k] = chi_atom_of(type, group - 4 + 1 + k);
    return group == 0 || group == 3 || (group > 3 && atoms[2] >= 0 && type != RESTYPE_X);
}

Test(features, of_rigid_groups)
{
    for (int i = 0; i < WIDTH * 8; i++) {
        int at = START + i / 8, group = i % 8, type = aatype[at], atoms[3];
        bool here = group_of(type, group, atoms), all = here;
        bool turned = here && residues[type].symmetric >= 0 &&
                      group == 4 + residues[type].symmetric;
        for (int k = 0; here && k < 3; k++)
            all &= mask[at * 37 + atoms[k]];
        cr_assert(f.rigidgroups_group_exists[i] == here, "residue %d group %d", i / 8, group);
        cr_assert(f.rigidgroups_gt_exists[i] == all);
        cr_assert(f.rigidgroups_group_is_ambiguous[i] == turned);
        const float *frame = f.rigidgroups_gt_frames + i * 16;
        const float *other = f.rigidgroups_alt_gt_frames + i * 16;
        cr_assert(frame[12] == 0 && frame[13] == 0 && frame[14] == 0 && frame[15] == 1);
        if (!here)
            continue;
        struct vector a = atom_at(positions, at, atoms[0]), o = atom_at(positions, at, atoms[1]);
        struct vector b = atom_at(positions, at, atoms[2]), axis = minus(o, a), z, y;
        z = cross(axis, minus(b, o));
        y = cross(z, axis);
        struct vector columns[3] = {axis, y, z};
        for (int c = 0; c < 3; c++)
            for (int row = 0; row < 3; row++) {
                double value = columns[c].x[row] / sqrt(dot(columns[c], columns[c]));
                double sign = group == 0 && c != 1 ? -1 : 1, alt = turned && c > 0 ? -1 : 1;
                near(frame[row * 4 + c], value * sign, "frame", i);
                near(other[row * 4 + c], value * sign * alt, "alternative frame", i);
                near(frame[row * 4 + 3], o.x[row], "origin", i);
            }
        if (group == 0) {
            cr_assert(memcmp(f.backbone_rigid_tensor + i / 8 * 16, frame, 64) == 0);
            cr_assert(f.backbone_rigid_mask[i / 8] == all);
        }
    }
}

/* The four atoms of torsion t of a residue; false: the type has none, or there is no residue. */
static bool torsion_of(int type, int t, int residue, int of[4], int atoms[4])
{
    static const int back[3][4][2] = {{{-1, 1}, {-1, 2}, {0, 0}, {0, 1}},
                                      {{-1, 2}, {0, 0}, {0, 1}, {0, 2}},
                                      {{0, 0}, {0, 1}, {0, 2}, {0, 4}}};
    bool here = t < 3 || type != RESTYPE_X;
    for (int k = 0; k < 4; k++) {
        of[k] = residue + (t < 3 ? back[t][k][0] : 0);
        atoms[k] = t < 3 ? back[t][k][1] : chi_atom_of(type, t - 3 + k);
        here &= of[k] >= 0 && atoms[k] >= 0;
    }
    return here;
}

/* One torsion against the angle between planes. Psi is measured to O, half a turn further. */
static void torsion_check(const float *xyz, const uint8_t *atoms_mask, int type, int t, int residue,
                          const float sin_cos[2], float torsion_mask)
{
    int of[4], atoms[4];
    bool here = torsion_of(type, t, residue, of, atoms), all = here;
    struct vector p[4];
    for (int k = 0; here && k < 4; k++) {
        all &= atoms_mask[of[k] * 37 + atoms[k]];
        p[k] = atom_at(xyz, of[k], atoms[k]);
    }
    cr_assert(torsion_mask == all, "residue %d torsion %d", residue, t);
    if (!here)
        return;
    double angle = dihedral(p[0], p[1], p[2], p[3]), sign = t == 2 ? -1 : 1;
    near(sin_cos[0], sign * sin(angle), "sine", residue * 7 + t);
    near(sin_cos[1], sign * cos(angle), "cosine", residue * 7 + t);
}

Test(features, of_torsions)
{
    for (int i = 0; i < WIDTH; i++)
        for (int c = 0; c < 4; c++)
            torsion_check(positions, mask, aatype[START + i], 3 + c, START + i,
                          f.chi_angles_sin_cos + (i * 4 + c) * 2, f.chi_mask[i * 4 + c]);
}

Test(features, of_templates)
{
    for (int i = 0; i < WIDTH; i++) {
        int at = START + i, symbol = alignment_symbol((char)template_text[at]);
        int type = symbol > 20 ? RESTYPE_X : symbol, beta = type == RESTYPE_GLY ? 1 : 3;
        cr_assert(f.template_aatype[i] == symbol);
        cr_assert(f.template_pseudo_beta_mask[i] == template_mask[at * 37 + beta]);
        cr_assert(memcmp(f.template_pseudo_beta + 3 * i,
                         template_positions + (at * 37 + beta) * 3, 12) == 0);
        for (int t = 0; t < 7; t++) { /* the first ones need the residue before the crop */
            const float *sin_cos = f.template_torsion_angles_sin_cos + (i * 7 + t) * 2;
            const float *alt = f.template_alt_torsion_angles_sin_cos + (i * 7 + t) * 2;
            torsion_check(template_positions, template_mask, type, t, at, sin_cos,
                          f.template_torsion_angles_mask[i * 7 + t]);
            bool turned = residues[type].symmetric >= 0 && t == 3 + residues[type].symmetric;
            float sign = turned ? -1 : 1;
            cr_assert(alt[0] == sign * sin_cos[0] && alt[1] == sign * sin_cos[1]);
        }
        for (int a = 0; a < 37; a++)
            cr_assert(f.template_all_atom_mask[i * 37 + a] == template_mask[at * 37 + a]);
    }
    cr_assert(f.template_mask[0] == 1 && f.template_mask[1] == 0 && f.template_mask[2] == 0);
    cr_assert(f.template_sum_probs[0] == 7 && f.template_sum_probs[1] == 0);
}

/* What belongs to no residue, row or template is 0, in every feature. */
Test(features, padding_is_zero)
{
    for (const struct feature *row = feature_table; row->name; row++) {
        int64_t size[FEATURE_RANK_MAX], rows = 1, columns = 1, items = 1;
        int rank = feature_size(row, &compact, size), axis = 0;
        const char *data;
        memcpy(&data, (const char *)&f + row->member, sizeof data);
        cr_assert(data, "%s", row->name);
        if (!row->sizes[0])
            continue;
        int64_t rows_used = row->sizes[0] == 'T' ? 1 : row->sizes[0] == 'K' ? 1 : 0;
        if (row->sizes[0] != 'K')
            rows = size[axis++];
        int64_t used = rank > axis && strchr(row->sizes, 'K') ? WIDTH : INT64_MAX;
        if (used == WIDTH)
            columns = size[axis++];
        while (axis < rank)
            items *= size[axis++];
        size_t bytes = (row->integer ? 8 : 4) * (size_t)items;
        for (int64_t i = 0; i < rows * columns; i++)
            for (size_t b = 0; b < bytes && (i / columns >= rows_used || i % columns >= used); b++)
                cr_assert(data[(size_t)i * bytes + b] == 0, "%s: element %d", row->name, (int)i);
    }
}

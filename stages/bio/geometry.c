/* See geometry.h. Sums run left to right, and no operation is fused with another. */
#include "stages/bio/geometry.h"
#include "stages/bio/residue.h"

#include <math.h>
#include <string.h>

static const float epsilon = 1e-8F;

/* Rotation with columns x, y, z, and the origin. */
struct frame {
    float x[3], y[3], z[3], origin[3];
};

static const float *atom_position(const struct geometry_chain *chain, int residue, int atom)
{
    return chain->positions + ((size_t)residue * ATOM37 + (size_t)atom) * 3;
}

static float atom_mask(const struct geometry_chain *chain, int residue, int atom)
{
    return chain->mask[(size_t)residue * ATOM37 + (size_t)atom];
}

static float dot(const float *a, const float *b)
{
    return (a[0] * b[0] + a[1] * b[1]) + a[2] * b[2];
}

static void normalise(float *v)
{
    float length = sqrtf(((v[0] * v[0] + v[1] * v[1]) + v[2] * v[2]) + epsilon);
    for (int k = 0; k < 3; k++)
        v[k] /= length;
}

/* The frame with a on the negative x axis, o as origin and b in the xy plane (Gram-Schmidt; AF2
 * suppl. algorithm 21 with the axes so named). Points that coincide give a rotation of zeros. */
static struct frame frame_from(const float *a, const float *o, const float *b)
{
    struct frame f;
    for (int k = 0; k < 3; k++) {
        f.x[k] = o[k] - a[k];
        f.y[k] = b[k] - o[k];
        f.origin[k] = o[k];
    }
    normalise(f.x);
    float along = dot(f.x, f.y);
    for (int k = 0; k < 3; k++)
        f.y[k] -= f.x[k] * along;
    normalise(f.y);
    f.z[0] = f.x[1] * f.y[2] - f.x[2] * f.y[1];
    f.z[1] = f.x[2] * f.y[0] - f.x[0] * f.y[2];
    f.z[2] = f.x[0] * f.y[1] - f.x[1] * f.y[0];
    return f;
}

void geometry_pseudo_beta(const struct geometry_chain *chain, float *beta, float *beta_mask)
{
    for (int i = 0; i < chain->count; i++) {
        int atom = chain->aatype[i] == RESTYPE_GLY ? ATOM_CA : ATOM_CB;
        memcpy(beta + 3 * i, atom_position(chain, i, atom), 3 * sizeof *beta);
        beta_mask[i] = atom_mask(chain, i, atom);
    }
}

void geometry_atom_maps(const struct geometry_chain *chain, float *exists14, int64_t *to37,
                        int64_t *to14, float *exists37)
{
    memset(to14, 0, (size_t)chain->count * ATOM37 * sizeof *to14);
    memset(exists37, 0, (size_t)chain->count * ATOM37 * sizeof *exists37);
    for (int i = 0; i < chain->count; i++) {
        int type = chain->aatype[i];
        for (int k = 0; k < ATOM14; k++) {
            int atom = atom14_to_atom37[type][k];
            bool here = k < atom14_count[type];
            exists14[i * ATOM14 + k] = here;
            to37[i * ATOM14 + k] = atom;
            if (!here)
                continue;
            to14[i * ATOM37 + atom] = k;
            exists37[i * ATOM37 + atom] = 1;
        }
    }
}

void geometry_atom14(const struct geometry_chain *chain, const struct geometry_atom14 *out)
{
    for (int i = 0; i < chain->count; i++) {
        int type = chain->aatype[i];
        float *positions = out->positions + (size_t)i * ATOM14 * 3,
              *exists = out->exists + i * ATOM14;
        for (int k = 0; k < ATOM14; k++) {
            int atom = atom14_to_atom37[type][k];
            float here = k < atom14_count[type] ? atom_mask(chain, i, atom) : 0;
            const float *position = atom_position(chain, i, atom);
            exists[k] = here;
            for (int d = 0; d < 3; d++)
                positions[3 * k + d] = here * position[d];
        }
        for (int k = 0; k < ATOM14; k++) {
            int other = atom14_swap[type][k];
            out->alt_exists[i * ATOM14 + k] = exists[other];
            out->ambiguous[i * ATOM14 + k] = other != k;
            memcpy(out->alt_positions + ((size_t)i * ATOM14 + (size_t)k) * 3, positions + 3 * other,
                   3 * sizeof *positions);
        }
    }
}

/* The three atoms of a rigid group: on the negative x axis, origin, in the xy plane. Groups that
 * the residue type lacks are made of its N three times. */
static bool group_atoms(int type, int group, int atoms[3])
{
    int chi = group - 4;
    bool here = group == 0 || group == 3 || (chi >= 0 && chi < chi_count[type]);
    for (int k = 0; k < 3; k++)
        atoms[k] = ATOM_N;
    if (group == 0)
        atoms[0] = ATOM_C, atoms[1] = ATOM_CA, atoms[2] = ATOM_N;
    else if (group == 3)
        atoms[0] = ATOM_CA, atoms[1] = ATOM_C, atoms[2] = ATOM_O;
    else if (here)
        for (int k = 0; k < 3; k++)
            atoms[k] = chi_chain[type][chi + 1 + k];
    return here;
}

/* Writes a frame as a matrix, its columns multiplied by sign[3]. */
static void matrix_put(const struct frame *f, const float sign[3], float matrix[16])
{
    for (int row = 0; row < 3; row++) {
        matrix[4 * row] = f->x[row] * sign[0];
        matrix[4 * row + 1] = f->y[row] * sign[1];
        matrix[4 * row + 2] = f->z[row] * sign[2];
        matrix[4 * row + 3] = f->origin[row];
    }
    matrix[12] = matrix[13] = matrix[14] = 0;
    matrix[15] = 1;
}

void geometry_frames(const struct geometry_chain *chain, const struct geometry_frames *out)
{
    static const float plain[3] = {1, 1, 1}, backbone[3] = {-1, 1, -1}, turned[3] = {1, -1, -1};
    for (int i = 0; i < chain->count; i++) {
        int type = chain->aatype[i];
        for (int group = 0; group < RIGID_GROUPS; group++) {
            size_t at = (size_t)i * RIGID_GROUPS + (size_t)group;
            int atoms[3];
            bool here = group_atoms(type, group, atoms);
            /* Where the last torsion's atoms are symmetric, so is the group that it turns. */
            bool symmetric = chi_symmetric[type] >= 0 && group == 4 + chi_symmetric[type];
            float exists = here;
            for (int k = 0; k < 3; k++)
                exists *= atom_mask(chain, i, atoms[k]);
            struct frame f = frame_from(atom_position(chain, i, atoms[0]),
                                        atom_position(chain, i, atoms[1]),
                                        atom_position(chain, i, atoms[2]));
            out->exists[at] = exists;
            out->group_exists[at] = here;
            out->is_ambiguous[at] = symmetric;
            matrix_put(&f, group == 0 ? backbone : plain, out->frames + 16 * at);
            matrix_put(&f,
                       group == 0  ? backbone
                       : symmetric ? turned
                                   : plain,
                       out->alt_frames + 16 * at);
        }
    }
}

/* Sine and cosine of the dihedral p0 p1 p2 p3. */
static void dihedral(const float *const p[4], float sin_cos[2])
{
    struct frame f = frame_from(p[1], p[2], p[0]);
    /* The fourth atom in the frame is rotated and then moved: the reference's order of rounding. */
    float y = dot(f.y, p[3]) + -1.0F * dot(f.y, f.origin);
    float z = dot(f.z, p[3]) + -1.0F * dot(f.z, f.origin);
    float length = sqrtf((z * z + y * y) + epsilon);
    sin_cos[0] = z / length;
    sin_cos[1] = y / length;
}

/* The atoms of torsion t: residue -1 (the one before) or 0, and the atom37 number. */
struct torsion_atom {
    int residue, atom;
};

static const struct torsion_atom backbone_torsions[3][4] = {
    {{-1, ATOM_CA}, {-1, ATOM_C}, {0, ATOM_N}, {0, ATOM_CA}},
    {{-1, ATOM_C}, {0, ATOM_N}, {0, ATOM_CA}, {0, ATOM_C}},
    {{0, ATOM_N}, {0, ATOM_CA}, {0, ATOM_C}, {0, ATOM_O}},
};

/* An atom of residue i of the chain, or of the one before the first. */
static const float *torsion_position(const struct geometry_chain *chain, int i, int atom,
                                     float *mask)
{
    static const float nowhere[3];
    if (i >= 0) {
        *mask *= atom_mask(chain, i, atom);
        return atom_position(chain, i, atom);
    }
    if (!chain->previous_mask) {
        *mask *= 0;
        return nowhere;
    }
    *mask *= chain->previous_mask[atom];
    return chain->previous_positions + 3 * atom;
}

void geometry_torsions(const struct geometry_chain *chain, float *sin_cos, float *alt,
                       float *torsion_mask)
{
    for (int i = 0; i < chain->count; i++) {
        int type = chain->aatype[i];
        for (int t = 0; t < TORSIONS; t++) {
            size_t at = (size_t)i * TORSIONS + (size_t)t;
            int chi = t - 3;
            bool here = chi < chi_count[type];
            const float *p[4];
            float mask = here;
            for (int k = 0; k < 4; k++) {
                struct torsion_atom atom =
                    chi < 0 ? backbone_torsions[t][k]
                            : (struct torsion_atom){0, here ? chi_chain[type][chi + k] : ATOM_N};
                p[k] = torsion_position(chain, i + atom.residue, atom.atom, &mask);
            }
            dihedral(p, sin_cos + 2 * at);
            torsion_mask[at] = mask;
            for (int k = 0; k < 2; k++) {
                float *value = &sin_cos[2 * at + (size_t)k];
                if (t == 2)
                    *value *= -1; /* psi is measured to O, not to the next N */
                alt[2 * at + (size_t)k] =
                    *value * (chi >= 0 && chi == chi_symmetric[type] ? -1.0F : 1.0F);
            }
        }
    }
}

/* Items of atoms: from a residue's frame and torsions to its eight frames and fourteen atoms (AF2
 * suppl. algorithm 24). */
#ifndef KERNELS_EACH_ATOMS_H
#define KERNELS_EACH_ATOMS_H

#include "kernels/each/each.h"

enum { ATOM_GROUPS = 8, ATOM_SLOTS = 14, ATOM_CHI2 = 5 };

struct atoms_call {
    struct op_atoms a, g;
};

/* local[12] = base o turn about x by (sine, cosine): rotation, then translation. */
EACH_FN void atoms_turned(const real *base, real sine, real cosine, real *local)
{
    for (int i = 0; i < 3; i++) {
        local[3 * i] = base[3 * i];
        local[3 * i + 1] = base[3 * i + 1] * cosine + base[3 * i + 2] * sine;
        local[3 * i + 2] = base[3 * i + 2] * cosine - base[3 * i + 1] * sine;
        local[9 + i] = base[9 + i];
    }
}

/* c = a o b. */
EACH_FN void atoms_compose(const real *a, const real *b, real *c)
{
    each_product(a, b, c);
    each_turn(a, b + 9, c + 9);
    for (int i = 0; i < 3; i++)
        c[9 + i] += a[9 + i];
}

/* da, db += the gradients of c = a o b. */
EACH_FN void atoms_compose_back(const real *a, const real *b, const real *dc, real *da, real *db)
{
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 3; j++) {
            for (int k = 0; k < 3; k++) {
                da[3 * i + k] += dc[3 * i + j] * b[3 * k + j];
                db[3 * k + j] += a[3 * i + k] * dc[3 * i + j];
            }
            da[3 * i + j] += dc[9 + i] * b[9 + j];
            db[9 + j] += a[3 * i + j] * dc[9 + i];
        }
    for (int i = 0; i < 3; i++)
        da[9 + i] += dc[9 + i];
}

/* The residue's frame, and in its coordinates: turned[8][12] against what they hang on, and
 * chained[8][12] against the residue. */
EACH_FN void atoms_chain(const struct op_atoms *a, int64_t n, real *frame, real *turned,
                         real *chained)
{
    int32_t type = each_index(&a->aatype, n);
    for (int i = 0; i < 9; i++)
        frame[i] = *each_at2(&a->rot, n, i);
    for (int i = 0; i < 3; i++)
        frame[9 + i] = *each_at2(&a->trans, n, i) * (real)a->unit;
    for (int k = 0; k < ATOM_GROUPS; k++) {
        const real *sc = k ? each_at3(&a->angle, n, k - 1, 0) : NULL;
        atoms_turned(each_at3(&a->base, type, k, 0), sc ? sc[0] : 0, sc ? sc[1] : 1,
                     turned + 12 * k);
        if (k >= ATOM_CHI2)
            atoms_compose(chained + 12 * (k - 1), turned + 12 * k, chained + 12 * k);
        else
            for (int i = 0; i < 12; i++)
                chained[12 * k + i] = turned[12 * k + i];
    }
}

EACH_FN int32_t atoms_group(const struct op_atoms *a, int32_t type, int slot)
{
    return ((const int32_t *)a->group.data)[type * ATOM_SLOTS + slot];
}

EACH_FN real atoms_exists(const struct op_atoms *a, int32_t type, int slot)
{
    return a->exists.data ? *each_at2(&a->exists, type, slot) : (real)1;
}

EACH_FN void atoms_item(const struct atoms_call *c, int64_t n)
{
    const struct op_atoms *a = &c->a;
    int32_t type = each_index(&a->aatype, n);
    real frame[12], turned[12 * ATOM_GROUPS], chained[12 * ATOM_GROUPS];
    atoms_chain(a, n, frame, turned, chained);
    for (int k = 0; k < ATOM_GROUPS; k++)
        atoms_compose(frame, chained + 12 * k, each_at3(&a->frame, n, k, 0));
    for (int s = 0; s < ATOM_SLOTS; s++) {
        const real *f = each_at3(&a->frame, n, atoms_group(a, type, s), 0);
        real *x = each_at3(&a->atom, n, s, 0), exists = atoms_exists(a, type, s);
        each_turn(f, each_at3(&a->place, type, s, 0), x);
        for (int i = 0; i < 3; i++)
            x[i] = (x[i] + f[9 + i]) * exists;
    }
}

/* d[8][12]: the gradients of the eight frames, those of the atoms among them. */
EACH_FN void atoms_frame_gradient(const struct atoms_call *c, int64_t n, real *d)
{
    const struct op_atoms *a = &c->a, *g = &c->g;
    int32_t type = each_index(&a->aatype, n);
    for (int k = 0; k < ATOM_GROUPS; k++)
        for (int i = 0; i < 12; i++)
            d[12 * k + i] = g->frame.data ? each_at3(&g->frame, n, k, 0)[i] : 0;
    for (int s = 0; s < ATOM_SLOTS && g->atom.data; s++) {
        const real *gx = each_at3(&g->atom, n, s, 0), *place = each_at3(&a->place, type, s, 0);
        real exists = atoms_exists(a, type, s), *to = d + 12 * atoms_group(a, type, s);
        for (int i = 0; i < 3; i++) {
            for (int j = 0; j < 3; j++)
                to[3 * i + j] += gx[i] * exists * place[j];
            to[9 + i] += gx[i] * exists;
        }
    }
}

EACH_FN void atoms_back_item(const struct atoms_call *c, int64_t n)
{
    const struct op_atoms *a = &c->a, *g = &c->g;
    int32_t type = each_index(&a->aatype, n);
    real frame[12], turned[12 * ATOM_GROUPS], chained[12 * ATOM_GROUPS], d[12 * ATOM_GROUPS];
    real df[12] = {0}, dchained[12 * ATOM_GROUPS] = {0};
    atoms_chain(a, n, frame, turned, chained);
    atoms_frame_gradient(c, n, d);
    for (int k = 0; k < ATOM_GROUPS; k++)
        atoms_compose_back(frame, chained + 12 * k, d + 12 * k, df, dchained + 12 * k);
    for (int i = 0; i < 9 && g->rot.data; i++)
        each_put(&g->rot, each_at2(&g->rot, n, i), df[i]);
    for (int i = 0; i < 3 && g->trans.data; i++)
        each_put(&g->trans, each_at2(&g->trans, n, i), df[9 + i] * (real)a->unit);
    for (int k = ATOM_GROUPS - 1; k > 0 && g->angle.data; k--) {
        real dturned[12] = {0}, *dt = dchained + 12 * k, sine = 0, cosine = 0;
        const real *base = each_at3(&a->base, type, k, 0);
        if (k >= ATOM_CHI2) {
            atoms_compose_back(chained + 12 * (k - 1), turned + 12 * k, dt,
                               dchained + 12 * (k - 1), dturned);
            dt = dturned;
        }
        for (int i = 0; i < 3; i++) {
            cosine += dt[3 * i + 1] * base[3 * i + 1] + dt[3 * i + 2] * base[3 * i + 2];
            sine += dt[3 * i + 1] * base[3 * i + 2] - dt[3 * i + 2] * base[3 * i + 1];
        }
        each_put(&g->angle, each_at3(&g->angle, n, k - 1, 0), sine);
        each_put(&g->angle, each_at3(&g->angle, n, k - 1, 1), cosine);
    }
}

#endif

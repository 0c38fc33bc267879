/* Items of fape: frame aligned point error (AF2 suppl. algorithm 28), pair after pair; the
 * gradients of frames and points are gathered, each by its own item. */
#ifndef KERNELS_EACH_FAPE_H
#define KERNELS_EACH_FAPE_H

#include "kernels/each/each.h"

struct fape_call {
    struct op_fape a, g;
    real *scale; /* scratch [1]: 1 / (B length (eps + frames) (eps + points)) */
};

EACH_FN void fape_scale_item(const struct fape_call *c, int64_t item)
{
    const struct op_fape *a = &c->a;
    double frames = FAPE_EPS, points = FAPE_EPS;
    for (int64_t f = 0; f < a->rot.dim[1]; f++)
        frames += (double)each_mask(&a->frame_mask, f);
    for (int64_t p = 0; p < a->point.dim[1]; p++)
        points += (double)each_mask(&a->point_mask, p);
    c->scale[item] = (real)(1 / ((double)a->rot.dim[0] * a->length * frames * points));
}

/* The error of point p in frame f; d[3]: its gradient in the frame's coordinates, u[3]: the point
 * from the frame's origin. */
EACH_FN real fape_pair(const struct op_fape *a, int64_t b, int64_t f, int64_t p, real *u, real *d)
{
    real v[3], local[3], square = (real)FAPE_EPS;
    for (int i = 0; i < 3; i++) {
        u[i] = (real)a->unit * (*each_at3(&a->point, b, p, i) - *each_at3(&a->trans, b, f, i));
        v[i] = *each_at2(&a->true_point, p, i) - *each_at2(&a->true_trans, f, i);
    }
    each_turn_back(each_at3(&a->rot, b, f, 0), u, d);
    each_turn_back(each_at2(&a->true_rot, f, 0), v, local);
    for (int i = 0; i < 3; i++) {
        d[i] -= local[i];
        square += d[i] * d[i];
    }
    real error = real_sqrt(square), share = (real)a->clamped;
    bool inside = error <= (real)a->clamp;
    for (int i = 0; i < 3; i++)
        d[i] *= (inside ? 1 : 1 - share) / error;
    return inside ? error : share * (real)a->clamp + (1 - share) * error;
}

EACH_FN void fape_item(const struct fape_call *c, int64_t item)
{
    const struct op_fape *a = &c->a;
    int64_t frames = a->rot.dim[1], b = item / frames, f = item % frames;
    double sum = 0;
    real u[3], d[3], mask = each_mask(&a->frame_mask, f);
    for (int64_t p = 0; p < a->point.dim[1] && mask > 0; p++)
        if (each_mask(&a->point_mask, p) > 0)
            sum += (double)(each_mask(&a->point_mask, p) * fape_pair(a, b, f, p, u, d));
    *each_at2(&a->part, b, f) = (real)sum * mask;
}

EACH_FN void fape_total_item(const struct fape_call *c, int64_t item)
{
    double sum = 0;
    for (int64_t b = 0; b < c->a.rot.dim[0]; b++)
        for (int64_t f = 0; f < c->a.rot.dim[1]; f++)
            sum += (double)*each_at2(&c->a.part, b, f);
    *each_at1(&c->a.loss, item) = (real)(sum * (double)*c->scale);
}

EACH_FN void fape_frame_item(const struct fape_call *c, int64_t item)
{
    const struct op_fape *a = &c->a, *g = &c->g;
    int64_t frames = a->rot.dim[1], b = item / frames, f = item % frames;
    real up = *each_at1(&g->loss, 0) * *c->scale * each_mask(&a->frame_mask, f);
    real dr[9] = {0}, sum[3] = {0}, u[3], d[3];
    for (int64_t p = 0; p < a->point.dim[1]; p++) {
        real mask = each_mask(&a->point_mask, p) * up;
        fape_pair(a, b, f, p, u, d);
        for (int i = 0; i < 3; i++) {
            sum[i] += mask * d[i];
            for (int j = 0; j < 3; j++)
                dr[3 * i + j] += u[i] * mask * d[j];
        }
    }
    each_turn(each_at3(&a->rot, b, f, 0), sum, u);
    for (int i = 0; i < 9 && g->rot.data; i++)
        each_put(&g->rot, each_at3(&g->rot, b, f, i), dr[i]);
    for (int i = 0; i < 3 && g->trans.data; i++)
        each_put(&g->trans, each_at3(&g->trans, b, f, i), -(real)a->unit * u[i]);
}

EACH_FN void fape_point_item(const struct fape_call *c, int64_t item)
{
    const struct op_fape *a = &c->a, *g = &c->g;
    int64_t points = a->point.dim[1], b = item / points, p = item % points;
    real up = *each_at1(&g->loss, 0) * *c->scale * each_mask(&a->point_mask, p) * (real)a->unit;
    real sum[3] = {0}, u[3], d[3];
    for (int64_t f = 0; f < a->rot.dim[1]; f++) {
        fape_pair(a, b, f, p, u, d);
        each_turn(each_at3(&a->rot, b, f, 0), d, u);
        for (int i = 0; i < 3; i++)
            sum[i] += each_mask(&a->frame_mask, f) * u[i];
    }
    for (int i = 0; i < 3; i++)
        each_put(&g->point, each_at3(&g->point, b, p, i), up * sum[i]);
}

#endif

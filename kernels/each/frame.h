/* Items of relu, normalize and frame_update: the small steps of the structure module. */
#ifndef KERNELS_EACH_FRAME_H
#define KERNELS_EACH_FRAME_H

#include "kernels/each/each.h"

struct frame_call {
    struct op_frame_update a, g;
};

struct normalize_call {
    struct op_normalize a, g;
};

struct relu_call {
    struct op_relu a, g;
};

EACH_FN void relu_item(const struct relu_call *c, int64_t n)
{
    real x = *each_at1(&c->a.x, n);
    *each_at1(&c->a.y, n) = x > 0 ? x : 0;
}

EACH_FN void relu_back_item(const struct relu_call *c, int64_t n)
{
    if (c->g.x.data)
        each_put(&c->g.x, each_at1(&c->g.x, n),
                 *each_at1(&c->a.x, n) > 0 ? *each_at1(&c->g.y, n) : 0);
}

EACH_FN void normalize_item(const struct normalize_call *c, int64_t n)
{
    const struct op_normalize *a = &c->a;
    int64_t width = a->x.dim[1];
    const real *x = each_at2(&a->x, n, 0);
    real *y = each_at2(&a->y, n, 0), square = each_dot(width, x, x);
    real norm = real_sqrt(square > (real)a->eps ? square : (real)a->eps);
    for (int64_t i = 0; i < width; i++)
        y[i] = x[i] / norm;
}

/* gx = (g - y (g . y)) / norm; where eps was larger, g / norm. */
EACH_FN void normalize_back_item(const struct normalize_call *c, int64_t n)
{
    const struct op_normalize *a = &c->a, *g = &c->g;
    int64_t width = a->x.dim[1];
    if (!g->x.data)
        return;
    const real *x = each_at2(&a->x, n, 0), *gy = each_at2(&g->y, n, 0);
    real *gx = each_at2(&g->x, n, 0), square = each_dot(width, x, x);
    bool small = square < (real)a->eps;
    real norm = real_sqrt(small ? (real)a->eps : square);
    real along = small ? 0 : each_dot(width, gy, x) / square;
    for (int64_t i = 0; i < width; i++)
        each_put(&g->x, gx + i, (gy[i] - x[i] * along) / norm);
}

/* The rotation of a quaternion (w, x, y, z), not normalised. */
EACH_FN void quaternion_rotation(const real *q, real *r)
{
    real w = q[0], x = q[1], y = q[2], z = q[3];
    r[0] = w * w + x * x - y * y - z * z;
    r[1] = 2 * (x * y - w * z);
    r[2] = 2 * (x * z + w * y);
    r[3] = 2 * (x * y + w * z);
    r[4] = w * w - x * x + y * y - z * z;
    r[5] = 2 * (y * z - w * x);
    r[6] = 2 * (x * z - w * y);
    r[7] = 2 * (y * z + w * x);
    r[8] = w * w - x * x - y * y + z * z;
}

/* dq += the gradient of q when that of its rotation is d. */
EACH_FN void quaternion_rotation_back(const real *q, const real *d, real *dq)
{
    real w = q[0], x = q[1], y = q[2], z = q[3];
    dq[0] += 2 * (w * (d[0] + d[4] + d[8]) + x * (d[7] - d[5]) + y * (d[2] - d[6]) +
                  z * (d[3] - d[1]));
    dq[1] += 2 * (x * (d[0] - d[4] - d[8]) + w * (d[7] - d[5]) + y * (d[1] + d[3]) +
                  z * (d[2] + d[6]));
    dq[2] += 2 * (y * (d[4] - d[0] - d[8]) + w * (d[2] - d[6]) + x * (d[1] + d[3]) +
                  z * (d[5] + d[7]));
    dq[3] += 2 * (z * (d[8] - d[0] - d[4]) + w * (d[3] - d[1]) + x * (d[2] + d[6]) +
                  y * (d[5] + d[7]));
}

/* s = q + q (0, v). */
EACH_FN void quaternion_step(const real *q, const real *v, real *s)
{
    s[0] = q[0] - q[1] * v[0] - q[2] * v[1] - q[3] * v[2];
    s[1] = q[1] + q[0] * v[0] + q[2] * v[2] - q[3] * v[1];
    s[2] = q[2] + q[0] * v[1] - q[1] * v[2] + q[3] * v[0];
    s[3] = q[3] + q[0] * v[2] + q[1] * v[1] - q[2] * v[0];
}

EACH_FN void frame_item(const struct frame_call *c, int64_t n)
{
    const struct op_frame_update *a = &c->a;
    const real *q = each_at2(&a->quat, n, 0), *u = each_at2(&a->update, n, 0);
    const real *t = each_at2(&a->trans, n, 0);
    real *to = each_at2(&a->new_quat, n, 0), *shifted = each_at2(&a->new_trans, n, 0);
    real s[4], r[9], moved[3];
    quaternion_rotation(q, r);
    each_turn(r, u + 3, moved);
    for (int i = 0; i < 3; i++)
        shifted[i] = t[i] + moved[i];
    quaternion_step(q, u, s);
    real norm = real_sqrt(s[0] * s[0] + s[1] * s[1] + s[2] * s[2] + s[3] * s[3]);
    for (int i = 0; i < 4; i++)
        to[i] = s[i] / norm;
    quaternion_rotation(to, each_at2(&a->new_rot, n, 0));
}

/* d[4] = the gradient of the step s = q + q (0, v), from those of new_quat and new_rot. */
EACH_FN void frame_step_gradient(const struct frame_call *c, int64_t n, const real *s, real *d)
{
    const struct op_frame_update *g = &c->g;
    const real *unit = each_at2(&c->a.new_quat, n, 0);
    real norm = real_sqrt(s[0] * s[0] + s[1] * s[1] + s[2] * s[2] + s[3] * s[3]), along = 0;
    for (int i = 0; i < 4; i++)
        d[i] = g->new_quat.data ? each_at2(&g->new_quat, n, 0)[i] : 0;
    if (g->new_rot.data)
        quaternion_rotation_back(unit, each_at2(&g->new_rot, n, 0), d);
    for (int i = 0; i < 4; i++)
        along += d[i] * unit[i];
    for (int i = 0; i < 4; i++)
        d[i] = (d[i] - unit[i] * along) / norm;
}

EACH_FN void frame_back_item(const struct frame_call *c, int64_t n)
{
    const struct op_frame_update *a = &c->a, *g = &c->g;
    const real *q = each_at2(&a->quat, n, 0), *v = each_at2(&a->update, n, 0);
    real s[4], d[4], dq[4], du[6], r[9], dr[9], gt[3];
    quaternion_step(q, v, s);
    frame_step_gradient(c, n, s, d);
    for (int i = 0; i < 3; i++)
        gt[i] = g->new_trans.data ? each_at2(&g->new_trans, n, 0)[i] : 0;
    quaternion_rotation(q, r);
    du[0] = -q[1] * d[0] + q[0] * d[1] + q[3] * d[2] - q[2] * d[3];
    du[1] = -q[2] * d[0] - q[3] * d[1] + q[0] * d[2] + q[1] * d[3];
    du[2] = -q[3] * d[0] + q[2] * d[1] - q[1] * d[2] + q[0] * d[3];
    each_turn_back(r, gt, du + 3);
    dq[0] = d[0] + v[0] * d[1] + v[1] * d[2] + v[2] * d[3];
    dq[1] = d[1] - v[0] * d[0] - v[2] * d[2] + v[1] * d[3];
    dq[2] = d[2] - v[1] * d[0] + v[2] * d[1] - v[0] * d[3];
    dq[3] = d[3] - v[2] * d[0] - v[1] * d[1] + v[0] * d[2];
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 3; j++)
            dr[3 * i + j] = gt[i] * v[3 + j];
    quaternion_rotation_back(q, dr, dq);
    for (int i = 0; i < 4 && g->quat.data; i++)
        each_put(&g->quat, each_at2(&g->quat, n, i), dq[i]);
    for (int i = 0; i < 3 && g->trans.data; i++)
        each_put(&g->trans, each_at2(&g->trans, n, i), gt[i]);
    for (int i = 0; i < 6 && g->update.data; i++)
        each_put(&g->update, each_at2(&g->update, n, i), du[i]);
}

#endif

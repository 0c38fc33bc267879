/* Items of ipa: invariant point attention (AF2 suppl. algorithm 22). Attention weights are kept
 * (AUX p): they are small beside what the Evoformer keeps. */
#ifndef KERNELS_EACH_IPA_H
#define KERNELS_EACH_IPA_H

#include "kernels/each/each.h"

/* Scratch, dense: points in global coordinates and gradients of them [N,H,P or V,3], global result
 * points and gradients [N,H,V,3], gradients of the logits [H,N,N], of the head weights [N,H]. */
struct ipa_call {
    struct op_ipa a, g;
    real *qg, *kg, *vg, *og, *dq, *dk, *dv, *dog, *dl, *dhead;
};

/* log(1 + e^x). */
EACH_FN real ipa_softplus(real x)
{
    return x > 0 ? x + real_log(1 + real_exp(-x)) : real_log(1 + real_exp(x));
}

/* The factor of squared distances in the logits of head h is -1/2 of this. */
EACH_FN real ipa_point_scale(const struct op_ipa *a)
{
    return real_sqrt(1 / (3 * ((real)a->qp.dim[3] * (real)4.5)));
}

EACH_FN real ipa_head_weight(const struct op_ipa *a, int64_t h)
{
    return ipa_softplus(*each_at1(&a->head, h)) * ipa_point_scale(a);
}

/* to[h,p,:] = R x[n,:,h,p] + t. */
EACH_FN void ipa_globals(const struct op_ipa *a, const struct tensor *x, int64_t n, real *to)
{
    const real *r = each_at2(&a->rot, n, 0), *t = each_at2(&a->trans, n, 0);
    int64_t heads = x->dim[2], points = x->dim[3];
    for (int64_t h = 0; h < heads; h++)
        for (int64_t p = 0; p < points; p++) {
            real local[3], *y = to + (h * points + p) * 3;
            for (int i = 0; i < 3; i++)
                local[i] = *each_at4(x, n, i, h, p);
            each_turn(r, local, y);
            for (int i = 0; i < 3; i++)
                y[i] += t[i];
        }
}

EACH_FN void ipa_points_item(const struct ipa_call *c, int64_t n)
{
    const struct op_ipa *a = &c->a;
    int64_t wide = a->qp.dim[2] * 3;
    ipa_globals(a, &a->qp, n, c->qg + n * wide * a->qp.dim[3]);
    ipa_globals(a, &a->kp, n, c->kg + n * wide * a->qp.dim[3]);
    ipa_globals(a, &a->vp, n, c->vg + n * wide * a->vp.dim[3]);
}

/* sum of squared differences. */
EACH_FN real ipa_distance(int64_t count, const real *x, const real *y)
{
    real lane[EACH_LANES] = {0}, sum = 0;
    int64_t i = 0;
    for (; i + EACH_LANES <= count; i += EACH_LANES)
        for (int l = 0; l < EACH_LANES; l++)
            lane[l] += (x[i + l] - y[i + l]) * (x[i + l] - y[i + l]);
    for (; i < count; i++)
        sum += (x[i] - y[i]) * (x[i] - y[i]);
    for (int l = 0; l < EACH_LANES; l++)
        sum += lane[l];
    return sum;
}

/* p[h,i,:]: 0 where the key is masked, everywhere when all are. */
EACH_FN void ipa_softmax(const struct ipa_call *c, int64_t i, int64_t h)
{
    const struct op_ipa *a = &c->a;
    int64_t count = a->q.dim[0], heads = a->q.dim[1], dims = a->q.dim[2], wide = a->qp.dim[3] * 3;
    real scale = real_sqrt(1 / (3 * (real)dims)), third = real_sqrt((real)1 / 3);
    real half = ipa_head_weight(a, h) / 2, most = 0, sum = 0, *p = each_at3(&a->p, h, i, 0);
    const real *q = each_at3(&a->q, i, h, 0), *qg = c->qg + (i * heads + h) * wide;
    bool any = false;
    for (int64_t j = 0; j < count; j++) {
        if (each_mask(&a->mask, j) <= 0)
            continue;
        p[j] = scale * each_dot(dims, q, each_at3(&a->k, j, h, 0)) +
               third * *each_at3(&a->bias, i, j, h) -
               half * ipa_distance(wide, qg, c->kg + (j * heads + h) * wide);
        most = any && most > p[j] ? most : p[j];
        any = true;
    }
    for (int64_t j = 0; j < count; j++) {
        p[j] = each_mask(&a->mask, j) > 0 ? real_exp(p[j] - most) : 0;
        sum += p[j];
    }
    for (int64_t j = 0; j < count && any; j++)
        p[j] /= sum;
}

/* to[:] += p x[:]. */
EACH_FN void ipa_add(int64_t count, real p, const real *__restrict__ x, real *__restrict__ to)
{
    for (int64_t i = 0; i < count; i++)
        to[i] += p * x[i];
}

/* og[i,h] = sum_j p vg. */
EACH_FN void ipa_result_points(const struct ipa_call *c, int64_t i, int64_t h)
{
    const struct op_ipa *a = &c->a;
    int64_t heads = a->q.dim[1], wide = a->vp.dim[3] * 3;
    const real *p = each_at3(&a->p, h, i, 0);
    real *og = c->og + (i * heads + h) * wide;
    for (int64_t v = 0; v < wide; v++)
        og[v] = 0;
    for (int64_t j = 0; j < a->q.dim[0]; j++)
        ipa_add(wide, p[j], c->vg + (j * heads + h) * wide, og);
}

/* Item i H + h. */
EACH_FN void ipa_item(const struct ipa_call *c, int64_t item)
{
    const struct op_ipa *a = &c->a;
    int64_t heads = a->q.dim[1], i = item / heads, h = item % heads, count = a->q.dim[0];
    int64_t dims = a->q.dim[2], wide = a->z.dim[2], points = a->vp.dim[3];
    real *o = each_at3(&a->o, i, h, 0), *pair = each_at3(&a->pair, i, h, 0);
    const real *p = each_at3(&a->p, h, i, 0), *r = each_at2(&a->rot, i, 0);
    const real *t = each_at2(&a->trans, i, 0), *og = c->og + item * points * 3;
    ipa_softmax(c, i, h);
    for (int64_t d = 0; d < dims; d++)
        o[d] = 0;
    for (int64_t d = 0; d < wide; d++)
        pair[d] = 0;
    for (int64_t j = 0; j < count; j++) {
        ipa_add(dims, p[j], each_at3(&a->v, j, h, 0), o);
        ipa_add(wide, p[j], each_at3(&a->z, i, j, 0), pair);
    }
    ipa_result_points(c, i, h);
    for (int64_t v = 0; v < points; v++) {
        real u[3], local[3], square = (real)IPA_NORM_EPS;
        for (int k = 0; k < 3; k++)
            u[k] = og[3 * v + k] - t[k];
        each_turn_back(r, u, local);
        for (int k = 0; k < 3; k++) {
            *each_at4(&a->point, i, k, h, v) = local[k];
            square += local[k] * local[k];
        }
        *each_at4(&a->point, i, 3, h, v) = real_sqrt(square);
    }
}

/* The gradient of result point v in local coordinates. */
EACH_FN void ipa_local_gradient(const struct ipa_call *c, int64_t i, int64_t h, int64_t v,
                                real *d)
{
    const struct op_ipa *a = &c->a, *g = &c->g;
    real share = *each_at4(&g->point, i, 3, h, v) / *each_at4(&a->point, i, 3, h, v);
    for (int k = 0; k < 3; k++)
        d[k] = *each_at4(&g->point, i, k, h, v) + share * *each_at4(&a->point, i, k, h, v);
}

/* Of query i, head h: gradients of the logits, of q and its points, of the head weight. */
EACH_FN void ipa_back_item(const struct ipa_call *c, int64_t item)
{
    const struct op_ipa *a = &c->a, *g = &c->g;
    int64_t heads = a->q.dim[1], i = item / heads, h = item % heads, count = a->q.dim[0];
    int64_t dims = a->q.dim[2], wide = a->qp.dim[3] * 3, points = a->vp.dim[3];
    const real *p = each_at3(&a->p, h, i, 0), *qg = c->qg + item * wide;
    real *dl = c->dl + (h * count + i) * count, *dq = c->dq + item * wide;
    real *dog = c->dog + item * points * 3, weight = ipa_head_weight(a, h);
    double sum = 0, far = 0, mean = 0; /* against the mean: the gradients dl cancel out */
    ipa_result_points(c, i, h);
    for (int64_t v = 0; v < points; v++) {
        real d[3];
        ipa_local_gradient(c, i, h, v, d);
        each_turn(each_at2(&a->rot, i, 0), d, dog + 3 * v);
    }
    for (int64_t j = 0; j < count; j++) {
        dl[j] = each_dot(dims, each_at3(&g->o, i, h, 0), each_at3(&a->v, j, h, 0)) +
                each_dot(points * 3, dog, c->vg + (j * heads + h) * points * 3) +
                each_dot(a->z.dim[2], each_at3(&g->pair, i, h, 0), each_at3(&a->z, i, j, 0));
        sum += (double)(p[j] * dl[j]);
        mean += (double)(p[j] * ipa_distance(wide, qg, c->kg + (j * heads + h) * wide));
    }
    for (int64_t k = 0; k < wide; k++)
        dq[k] = 0;
    for (int64_t j = 0; j < count; j++) {
        const real *kg = c->kg + (j * heads + h) * wide;
        dl[j] = p[j] * (dl[j] - (real)sum);
        far += (double)dl[j] * ((double)ipa_distance(wide, qg, kg) - mean);
        for (int64_t k = 0; k < wide; k++)
            dq[k] -= dl[j] * weight * (qg[k] - kg[k]);
    }
    c->dhead[item] = (real)(-far / 2);
    real scale = real_sqrt(1 / (3 * (real)dims));
    for (int64_t d = 0; d < dims && g->q.data; d++) {
        real dx = 0;
        for (int64_t j = 0; j < count; j++)
            dx += dl[j] * *each_at3(&a->k, j, h, d);
        each_put(&g->q, each_at3(&g->q, i, h, d), scale * dx);
    }
}

/* Of key j, head h: gradients of k, v and their points. */
EACH_FN void ipa_key_item(const struct ipa_call *c, int64_t item)
{
    const struct op_ipa *a = &c->a, *g = &c->g;
    int64_t heads = a->q.dim[1], j = item / heads, h = item % heads, count = a->q.dim[0];
    int64_t dims = a->q.dim[2], wide = a->qp.dim[3] * 3, values = a->vp.dim[3] * 3;
    real *dk = c->dk + item * wide, *dv = c->dv + item * values, weight = ipa_head_weight(a, h);
    const real *kg = c->kg + item * wide;
    for (int64_t k = 0; k < wide; k++)
        dk[k] = 0;
    for (int64_t v = 0; v < values; v++)
        dv[v] = 0;
    for (int64_t i = 0; i < count; i++) {
        const real *qg = c->qg + (i * heads + h) * wide;
        real dl = c->dl[(h * count + i) * count + j];
        for (int64_t k = 0; k < wide; k++)
            dk[k] += dl * weight * (qg[k] - kg[k]);
        ipa_add(values, *each_at3(&a->p, h, i, j), c->dog + (i * heads + h) * values, dv);
    }
    real scale = real_sqrt(1 / (3 * (real)dims));
    for (int64_t d = 0; d < dims; d++) {
        real sk = 0, sv = 0;
        for (int64_t i = 0; i < count; i++) {
            sk += c->dl[(h * count + i) * count + j] * *each_at3(&a->q, i, h, d);
            sv += *each_at3(&a->p, h, i, j) * *each_at3(&g->o, i, h, d);
        }
        if (g->k.data)
            each_put(&g->k, each_at3(&g->k, j, h, d), scale * sk);
        if (g->v.data)
            each_put(&g->v, each_at3(&g->v, j, h, d), sv);
    }
}

/* Of the pair i N + j: gradients of z and bias. */
EACH_FN void ipa_pair_item(const struct ipa_call *c, int64_t item)
{
    const struct op_ipa *a = &c->a, *g = &c->g;
    int64_t heads = a->q.dim[1], count = a->q.dim[0], i = item / count, j = item % count;
    real third = real_sqrt((real)1 / 3);
    for (int64_t h = 0; h < heads && g->bias.data; h++)
        each_put(&g->bias, each_at3(&g->bias, i, j, h),
                 third * c->dl[(h * count + i) * count + j]);
    if (!g->z.data)
        return;
    real *dz = each_at3(&g->z, i, j, 0);
    for (int64_t d = 0; d < a->z.dim[2] && !g->z.add; d++)
        dz[d] = 0;
    for (int64_t h = 0; h < heads; h++)
        ipa_add(a->z.dim[2], *each_at3(&a->p, h, i, j), each_at3(&g->pair, i, h, 0), dz);
}

/* Gradients of points x[n,:,h,p] and of the frame, from d in global coordinates. */
EACH_FN void ipa_globals_back(const struct ipa_call *c, const struct tensor *x,
                              const struct tensor *gx, int64_t n, const real *d, real *dr,
                              real *dt)
{
    for (int64_t h = 0; h < x->dim[2]; h++)
        for (int64_t p = 0; p < x->dim[3]; p++) {
            const real *dy = d + ((n * x->dim[2] + h) * x->dim[3] + p) * 3;
            real local[3];
            each_turn_back(each_at2(&c->a.rot, n, 0), dy, local);
            for (int i = 0; i < 3; i++) {
                for (int j = 0; j < 3; j++)
                    dr[3 * i + j] += dy[i] * *each_at4(x, n, j, h, p);
                dt[i] += dy[i];
                if (gx->data)
                    each_put(gx, each_at4(gx, n, i, h, p), local[i]);
            }
        }
}

/* Of residue n: gradients of its points and its frame. */
EACH_FN void ipa_frame_item(const struct ipa_call *c, int64_t n)
{
    const struct op_ipa *a = &c->a, *g = &c->g;
    const real *t = each_at2(&a->trans, n, 0);
    int64_t heads = a->q.dim[1], points = a->vp.dim[3];
    real dr[9] = {0}, dt[3] = {0};
    ipa_globals_back(c, &a->qp, &g->qp, n, c->dq, dr, dt);
    ipa_globals_back(c, &a->kp, &g->kp, n, c->dk, dr, dt);
    ipa_globals_back(c, &a->vp, &g->vp, n, c->dv, dr, dt);
    for (int64_t h = 0; h < heads; h++)
        for (int64_t v = 0; v < points; v++) {
            int64_t at = ((n * heads + h) * points + v) * 3;
            real d[3];
            ipa_local_gradient(c, n, h, v, d);
            for (int i = 0; i < 3; i++) {
                for (int j = 0; j < 3; j++)
                    dr[3 * i + j] += (c->og[at + i] - t[i]) * d[j];
                dt[i] -= c->dog[at + i];
            }
        }
    for (int i = 0; i < 9 && g->rot.data; i++)
        each_put(&g->rot, each_at2(&g->rot, n, i), dr[i]);
    for (int i = 0; i < 3 && g->trans.data; i++)
        each_put(&g->trans, each_at2(&g->trans, n, i), dt[i]);
}

/* Gradient of the weight of head h. */
EACH_FN void ipa_head_item(const struct ipa_call *c, int64_t h)
{
    const struct op_ipa *a = &c->a, *g = &c->g;
    double sum = 0;
    for (int64_t i = 0; i < a->q.dim[0]; i++)
        sum += (double)c->dhead[i * a->q.dim[1] + h];
    each_put(&g->head, each_at1(&g->head, h),
             (real)sum * ipa_point_scale(a) / (1 + real_exp(-*each_at1(&a->head, h))));
}

/* Gives the scratch its places; the number of reals it takes. memory NULL: only counts. */
static inline int64_t ipa_scratch(struct ipa_call *c, real *memory)
{
    const struct op_ipa *a = &c->a;
    int64_t rows = a->q.dim[0] * a->q.dim[1], p = rows * a->qp.dim[3] * 3;
    int64_t v = rows * a->vp.dim[3] * 3, used = 0;
    real **place[10] = {&c->qg, &c->kg, &c->vg, &c->og, &c->dq,
                        &c->dk, &c->dv, &c->dog, &c->dl, &c->dhead};
    int64_t size[10] = {p, p, v, v, p, p, v, v, rows * a->q.dim[0], rows};
    for (int i = 0; i < 10; i++) {
        *place[i] = memory ? memory + used : memory;
        used += size[i];
    }
    return used;
}

#endif

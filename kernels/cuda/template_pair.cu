/* template_pair: types, direction and presence of two residues of a template. One thread an
 * element; the three of the direction make the frame of their residue anew. */
#include "kernels/cuda/index.cuh"

enum { TYPES = 22 };

struct vector3 {
    float v[3];
};

__device__ inline float dot3(const struct vector3 &a, const struct vector3 &b)
{
    return a.v[0] * b.v[0] + a.v[1] * b.v[1] + a.v[2] * b.v[2];
}

__device__ inline struct vector3 unit3(struct vector3 a)
{
    float norm = 1.0f / sqrtf(dot3(a, a) + 1e-20f);
    for (int i = 0; i < 3; i++)
        a.v[i] *= norm;
    return a;
}

/* From CA (atom 1) of residue `from` to an atom of residue `to`. */
__device__ inline struct vector3 from_ca(const struct tensor &backbone, int64_t from, int64_t to,
                                         int atom)
{
    struct vector3 d;
    for (int i = 0; i < 3; i++)
        d.v[i] = *at(backbone, to, 3 * atom + i) - *at(backbone, from, 3 + i);
    return d;
}

/* Part `axis` of the direction from CA of i to that of j in the frame of N, CA, C of i. */
__device__ inline float direction(const struct tensor &backbone, int64_t i, int64_t j, int axis)
{
    struct vector3 d = from_ca(backbone, i, j, 1), e0 = unit3(from_ca(backbone, i, i, 2));
    struct vector3 e1 = from_ca(backbone, i, i, 0), e;
    float scale = 1.0f / sqrtf(1e-8f + dot3(d, d)), along = dot3(e0, e1);
    for (int c = 0; c < 3; c++)
        e1.v[c] -= along * e0.v[c];
    e1 = unit3(e1);
    for (int c = 0; c < 3; c++) {
        int k = (c + 1) % 3, l = (c + 2) % 3;
        float third = e0.v[k] * e1.v[l] - e0.v[l] * e1.v[k];
        e.v[c] = axis == 0 ? e0.v[c] : axis == 1 ? e1.v[c] : third;
    }
    return dot3(e, d) * scale;
}

static __global__ void template_pair_elements(struct op_template_pair a)
{
    int64_t pair = thread_row(), c = thread_column(), length = a.y.dim[0];
    if (pair >= length * length || c >= a.y.dim[2])
        return;
    int64_t i = pair / length, j = pair % length;
    float one = *at(a.mask, i) * *at(a.mask, j), value = one;
    if (c == 0)
        value = *at(a.beta, i) * *at(a.beta, j) * one;
    else if (c <= TYPES)
        value = index_at(a.type, j) == c - 1 ? one : 0.0f;
    else if (c <= 2 * TYPES)
        value = index_at(a.type, i) == c - 1 - TYPES ? one : 0.0f;
    else if (c <= 2 * TYPES + 3)
        value = a.unit ? direction(a.backbone, i, j, (int)(c - 1 - 2 * TYPES)) * one : 0.0f;
    *at(a.y, i, j, c) = value;
}

void cuda_template_pair(struct backend *backend, const struct op_template_pair *a)
{
    struct device *device = device_begin(backend);
    LAUNCH(device, template_pair_elements, rows_grid(a->y.dim[0] * a->y.dim[0], a->y.dim[2]),
           rows_block(), *a);
}

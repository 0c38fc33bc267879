/* residual: y = x + drop(u) over dense [A,B,C]; the factors are those of Philox words, recomputed
 * in backward, so that no mask is kept. A thread owns the four elements of one Philox block and
 * walks some indices of the shared axis with them. */
#include "kernels/cuda/index.cuh"
#include "kernels/cuda/philox.cuh"

#include <math.h>

enum { RESIDUAL_SLICE = 16 }; /* indices of the shared axis a thread walks */

/* The axes: `shared` indices, and `rest` = elements of the others, split as [upper, lower] around
 * the shared one. Element (s, e) lies at (e / lower * shared + s) * lower + e % lower. */
struct drop {
    int64_t shared, rest, lower;
    uint32_t threshold; /* a word is dropped when (word >> 8) < threshold, of 2^24 */
    float factor;       /* of what is kept */
    uint32_t site;
    uint64_t seed, position;
};

static struct drop drop_of(const struct op_residual *a)
{
    const int64_t *dim = a->u.dim;
    int64_t count = dim[0] * dim[1] * dim[2];
    struct drop drop = {};
    drop.shared = a->shared >= 0 ? dim[a->shared] : 1;
    drop.rest = count / drop.shared;
    drop.lower = a->shared == 0 ? dim[1] * dim[2] : a->shared == 1 ? dim[2] : count;
    /* k 2^-24 < rate, for integers k, is k < ceil(rate 2^24): exact in double. */
    drop.threshold = (uint32_t)ceil(a->rate * 16777216.0);
    drop.factor = (float)(1.0 / (1.0 - a->rate));
    drop.site = (uint32_t)a->site;
    drop.seed = a->seed;
    drop.position = a->position;
    return drop;
}

/* to[s,e] (+)= base[s,e] + factor(e) * from[s,e]; base absent: 0. */
static __global__ void residual_elements(struct drop drop, struct tensor base, struct tensor from,
                                         struct tensor to)
{
    int64_t first = thread_element() * 4;
    if (first >= drop.rest)
        return;
    struct philox_block block = {{0, 0, 0, 0}};
    if (drop.threshold)
        block = philox_at((uint32_t)(first / 4), drop.site, (uint32_t)drop.position,
                          (uint32_t)(drop.position >> 32), (uint32_t)drop.seed,
                          (uint32_t)(drop.seed >> 32));
    int64_t begin = (int64_t)blockIdx.y * RESIDUAL_SLICE, end = begin + RESIDUAL_SLICE;
    end = end < drop.shared ? end : drop.shared;
    for (int i = 0; i < 4 && first + i < drop.rest; i++) {
        int64_t e = first + i;
        float factor = block.word[i] >> 8 < drop.threshold ? 0.0f : drop.factor;
        for (int64_t s = begin; s < end; s++) {
            int64_t place = (e / drop.lower * drop.shared + s) * drop.lower + e % drop.lower;
            float value = factor * ((const float *)from.data)[place];
            if (base.data)
                value += ((const float *)base.data)[place];
            put(to, (float *)to.data + place, value);
        }
    }
}

static void residual_launch(struct device *device, struct drop drop, struct tensor base,
                            struct tensor from, struct tensor to)
{
    ASSERT(tensor_dense(&from) && tensor_dense(&to) && (!base.data || tensor_dense(&base)));
    unsigned slices = blocks_of(drop.shared, RESIDUAL_SLICE);
    ASSERT_INT(slices, <=, 65535);
    LAUNCH(device, residual_elements, dim3(blocks_of(drop.rest, 4 * BLOCK), slices), dim3(BLOCK),
           drop, base, from, to);
}

void cuda_residual(struct backend *backend, const struct op_residual *a)
{
    struct tensor y = a->y;
    y.add = false;
    residual_launch(device_begin(backend), drop_of(a), a->x, a->u, y);
}

/* gu (+)= factor gy; gx (+)= gy, unless it is gy. */
void cuda_residual_back(struct backend *backend, const struct op_residual *a,
                        const struct op_residual *g)
{
    struct device *device = device_begin(backend);
    struct tensor none = {};
    struct drop drop = drop_of(a);
    if (g->u.data)
        residual_launch(device, drop, none, g->y, g->u);
    if (g->x.data && g->x.data != g->y.data) {
        drop.threshold = 0;
        drop.factor = 1;
        residual_launch(device, drop, none, g->y, g->x);
    }
}

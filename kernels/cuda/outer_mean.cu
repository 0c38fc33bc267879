/* outer_mean: y[i,j,o] = res + scale (bias[o] + sum_ce w[o,c,e] sum_s a[s,i,c] b[s,j,e]); S rows, L
 * residues, C channels, O outputs. Residues i are done in chunks: outer = a^T b of a chunk by one
 * product [(i,c),(j,e)], its axes reordered to [(i,j),(c,e)], and a second product with w. Only a
 * chunk of the outer products exists at a time. */
#include "kernels/cuda/columns.cuh"
#include "kernels/cuda/copy.cuh"
#include "kernels/cuda/gemm.cuh"

/* Floats that the two arrays of a chunk may take together: 32 MB, which stay in an H100's second
 * level cache (50 MB). One residue is taken at least. */
static const int64_t outer_floats_max = (int64_t)8 << 20;

/* Packed operands, and room for one chunk of `step` residues. */
struct outer {
    int64_t rows, length, channels, outputs, step; /* S, L, C, O */
    struct tensor b;                               /* [S, L*C] */
    struct tensor w;                               /* [O, C*C] */
    float *a;                                      /* [S, I*C] of the chunk */
    float *flat;                                   /* [I*C, L*C]: (i,c), (j,e) */
    float *pairs;                                  /* [I*L, C*C]: (i,j), (c,e) */
};

static struct tensor view(float *data, int64_t rows, int64_t columns)
{
    return tensor_make(data, TENSOR_F32, 2, rows, columns, 1, 1);
}

/* Residues [first, first + count) of x[S,L,C]. */
static struct tensor residues(struct tensor x, int64_t first, int64_t count)
{
    x.data = (float *)x.data + first * x.stride[1];
    x.dim[1] = count;
    return x;
}

/* Copies x[A,B,C] to, or from, the dense memory of `packed`. */
static void pack(struct device *device, const struct tensor *x, float *packed)
{
    struct tensor dense = tensor_make(packed, TENSOR_F32, 3, x->dim[0], x->dim[1], x->dim[2], 1);
    strided_copy(device, x, &dense);
}

static void unpack(struct device *device, float *packed, const struct tensor *x)
{
    struct tensor dense = tensor_make(packed, TENSOR_F32, 3, x->dim[0], x->dim[1], x->dim[2], 1);
    strided_copy(device, &dense, x);
}

static struct outer outer_open(struct device *device, const struct op_outer_mean *x)
{
    struct outer outer = {};
    outer.rows = x->a.dim[0], outer.length = x->a.dim[1], outer.channels = x->a.dim[2];
    outer.outputs = x->w.dim[0];
    int64_t c = outer.channels, per_residue = 2 * c * outer.length * c;
    outer.step = outer_floats_max / per_residue;
    outer.step = outer.step < 1 ? 1 : outer.step < outer.length ? outer.step : outer.length;
    outer.b = scratch_tensor(device, 2, outer.rows, outer.length * c, 1, 1);
    outer.w = scratch_tensor(device, 2, outer.outputs, c * c, 1, 1);
    outer.a = scratch_floats(device, outer.rows * outer.step * c);
    outer.flat = scratch_floats(device, outer.step * c * outer.length * c);
    outer.pairs = scratch_floats(device, outer.step * c * outer.length * c);
    pack(device, &x->b, (float *)outer.b.data);
    pack(device, &x->w, (float *)outer.w.data);
    return outer;
}

/* Between [i,c,j,e] and [i,j,c,e]: middle axes exchanged. from[i,x,y,e] -> to[i,y,x,e]. */
static void middle_swap(struct device *device, float *from, float *to, int64_t i, int64_t x,
                        int64_t y, int64_t e)
{
    struct tensor source = tensor_make(from, TENSOR_F32, 4, i, x, y, e);
    struct tensor target = tensor_swap(tensor_make(to, TENSOR_F32, 4, i, y, x, e), 1, 2);
    strided_copy(device, &source, &target);
}

/* pairs[(i,j),(c,e)] of the chunk of `count` residues at first; outer->a holds its part of a. */
static struct tensor outer_pairs(struct device *device, struct outer *outer,
                                 const struct op_outer_mean *x, int64_t first, int64_t count)
{
    int64_t c = outer->channels, l = outer->length;
    struct tensor part = residues(x->a, first, count);
    pack(device, &part, outer->a);
    struct tensor a = view(outer->a, outer->rows, count * c);
    gemm(device, transposed(matrix(a)), matrix(outer->b),
         matrix(view(outer->flat, count * c, l * c)), false);
    middle_swap(device, outer->flat, outer->pairs, count, c, l, c);
    return view(outer->pairs, count * l, c * c);
}

/* y[first + i,j,o] = res + scale (bias[o] + sum[(i,j),o]); one thread an element of sum. */
static __global__ void outer_finish(struct op_outer_mean x, struct tensor sum, int64_t first)
{
    int64_t n = thread_row(), o = thread_column(), length = x.y.dim[1];
    if (n >= sum.dim[0] || o >= sum.dim[1])
        return;
    int64_t i = first + n / length, j = n % length;
    float value = *at(sum, n, o) + *at(x.bias, o);
    if (x.scale.data)
        value *= *at(x.scale, i, j);
    if (x.res.data)
        value += *at(x.res, i, j, o);
    *at(x.y, i, j, o) = value;
}

void cuda_outer_mean(struct backend *backend, const struct op_outer_mean *x)
{
    struct device *device = device_begin(backend);
    struct outer outer = outer_open(device, x);
    int64_t l = outer.length;
    float *sums = scratch_floats(device, outer.step * l * outer.outputs);
    for (int64_t first = 0; first < l; first += outer.step) {
        int64_t count = l - first < outer.step ? l - first : outer.step;
        struct tensor pairs = outer_pairs(device, &outer, x, first, count);
        struct tensor sum = view(sums, count * l, outer.outputs);
        gemm(device, matrix(pairs), transposed(matrix(outer.w)), matrix(sum), false);
        LAUNCH(device, outer_finish, rows_grid(sum.dim[0], sum.dim[1]), rows_block(), *x, sum,
               first);
    }
}

/* scale[i,j] gy[i,j,o] as rows n = (i,j). */
struct scaled_term {
    struct tensor gy, scale;

    __device__ float operator()(int64_t n, int64_t o) const
    {
        int64_t i = n / gy.dim[1], j = n % gy.dim[1];
        float value = *at(gy, i, j, o);
        return scale.data ? *at(scale, i, j) * value : value;
    }
};

/* up[(i,j),o] of the chunk at first. */
static __global__ void outer_scale(struct scaled_term term, struct tensor up, int64_t first)
{
    int64_t n = thread_row(), o = thread_column();
    if (n < up.dim[0] && o < up.dim[1])
        *at(up, n, o) = term(first * term.gy.dim[1] + n, o);
}

/* Gradients of a, b, w from one chunk: those of b and w are summed over chunks in gb, gw. */
static void chunk_back(struct device *device, struct outer *outer, const struct op_outer_mean *x,
                       const struct op_outer_mean *g, const struct tensor *up, struct tensor gb,
                       struct tensor gw, int64_t first, int64_t count)
{
    int64_t c = outer->channels, l = outer->length;
    struct tensor pairs = view(outer->pairs, count * l, c * c);
    if (gw.data) { /* gw[o,(c,e)] = sum_ij up[(i,j),o] pairs[(i,j),(c,e)] */
        outer_pairs(device, outer, x, first, count);
        gemm(device, transposed(matrix(*up)), matrix(pairs), matrix(gw), first > 0);
    } else {
        struct tensor part = residues(x->a, first, count);
        pack(device, &part, outer->a);
    }
    if (!gb.data && !g->a.data)
        return;
    /* from here on pairs and flat hold gradients: pairs = up w, flat its reordering */
    gemm(device, matrix(*up), matrix(outer->w), matrix(pairs), false);
    middle_swap(device, outer->pairs, outer->flat, count, l, c, c);
    struct tensor flat = view(outer->flat, count * c, l * c);
    struct tensor a = view(outer->a, outer->rows, count * c);
    if (gb.data) /* gb[s,(j,e)] = sum_ic a[s,(i,c)] flat[(i,c),(j,e)] */
        gemm(device, matrix(a), matrix(flat), matrix(gb), first > 0);
    if (g->a.data) { /* ga[s,(i,c)] = sum_je b[s,(j,e)] flat[(i,c),(j,e)], over a, now done with */
        struct tensor part = residues(g->a, first, count);
        gemm(device, matrix(outer->b), transposed(matrix(flat)), matrix(a), false);
        unpack(device, outer->a, &part);
    }
}

void cuda_outer_mean_back(struct backend *backend, const struct op_outer_mean *x,
                          const struct op_outer_mean *g)
{
    struct device *device = device_begin(backend);
    struct scaled_term term = {g->y, x->scale};
    int64_t l = x->a.dim[1];
    if (g->bias.data)
        column_sums(device, term, l * l, &g->bias);
    if (g->res.data)
        strided_copy(device, &g->y, &g->res);
    if (!g->a.data && !g->b.data && !g->w.data)
        return;
    struct outer outer = outer_open(device, x);
    float *ups = scratch_floats(device, outer.step * l * outer.outputs);
    struct tensor gb = {}, gw = {};
    if (g->b.data)
        gb = scratch_tensor(device, 2, outer.rows, l * outer.channels, 1, 1);
    if (g->w.data)
        gw = scratch_tensor(device, 2, outer.outputs, outer.channels * outer.channels, 1, 1);
    for (int64_t first = 0; first < l; first += outer.step) {
        int64_t count = l - first < outer.step ? l - first : outer.step;
        struct tensor up = view(ups, count * l, outer.outputs);
        LAUNCH(device, outer_scale, rows_grid(up.dim[0], up.dim[1]), rows_block(), term, up, first);
        chunk_back(device, &outer, x, g, &up, gb, gw, first, count);
    }
    if (gb.data)
        unpack(device, (float *)gb.data, &g->b);
    if (gw.data)
        unpack(device, (float *)gw.data, &g->w);
}

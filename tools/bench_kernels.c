/* Times the training step of the network on the cpu backend against the sum of its matrix products
 * at the speed of the linked BLAS, and shows where the time goes, op by op. A measurement for
 * people, never a test: figures depend on what else the machine does.
 *
 *   bench_kernels [length [clusters [c_m [c_z [blocks [threads]]]]]] */
#include "engine/base/clock.h"
#include "engine/base/rng.h"
#include "kernels/blas.h"
#include "kernels/net/net.h"

#include <cblas.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PRODUCTS_MAX = 256, REPEATS = 7, BYTES_SPARE = 64 };

/* A product [m,k] x [k,n]; `each` of them in one call of an op are independent of each other. */
struct product {
    int64_t m, n, k, each, calls;
};

struct line {
    double forward_ms, back_ms, flop;
    int64_t calls, backs;
};

static struct line lines[OP_COUNT];
static struct product products[PRODUCTS_MAX];
static int product_count;
static struct ops plain; /* the backend's own ops, behind those that measure */
static bool counting;

static void product_add(int64_t m, int64_t n, int64_t k, int64_t each, enum op op)
{
    if (!counting)
        return;
    lines[op].flop += 2.0 * (double)m * (double)n * (double)k * (double)each;
    for (int i = 0; i < product_count; i++) {
        struct product *p = &products[i];
        if (p->m == m && p->n == n && p->k == k && p->each == each) {
            p->calls++;
            return;
        }
    }
    ASSERT_INT(product_count, <, PRODUCTS_MAX);
    products[product_count++] = (struct product){m, n, k, each, 1};
}

/* The products that an op needs: forward, and backward for every gradient of two factors. */
static void count_linear(const struct tensor *x, const struct tensor *w, bool back, bool dx,
                         enum op op)
{
    int64_t rows = x->dim[0], in = x->dim[1], out = w->dim[0];
    if (!back)
        product_add(rows, out, in, 1, op);
    else
        product_add(out, in, rows, 1, op);
    if (back && dx)
        product_add(rows, in, out, 1, op);
}

static void count_attention(const struct op_attention *a, bool back)
{
    int64_t each = a->q.dim[0] * a->q.dim[2], q = a->q.dim[1], k = a->k.dim[1], d = a->q.dim[3];
    product_add(q, k, d, each, OP_attention);
    product_add(q, d, k, each, OP_attention);
    if (back) { /* the two above again as logits and dv, then dp, dq, dk */
        product_add(q, k, d, each, OP_attention);
        product_add(q, d, k, each, OP_attention);
        product_add(k, d, q, each, OP_attention);
    }
}

static void count_outer(const struct op_outer_mean *a, bool back)
{
    int64_t s = a->a.dim[0], l = a->a.dim[1], c = a->a.dim[2], o = a->y.dim[2];
    product_add(l * c, l * c, s, 1, OP_outer_mean);
    product_add(back ? o : l * l, back ? c * c : o, back ? l * l : c * c, 1, OP_outer_mean);
    if (back) {
        product_add(l * l, c * c, o, 1, OP_outer_mean);
        product_add(l * c, s, l * c, 1, OP_outer_mean);
        product_add(s, l * c, l * c, 1, OP_outer_mean);
    }
}

static void count_products(enum op op, const void *args, const void *gradients)
{
    bool back = gradients != NULL;
    if (op == OP_linear) {
        const struct op_linear *a = args, *g = gradients;
        count_linear(&a->x, &a->w, back, back && g->x.data, op);
    } else if (op == OP_linear_relu) {
        const struct op_linear_relu *a = args, *g = gradients;
        count_linear(&a->x, &a->w, back, back && g->x.data, op);
    } else if (op == OP_attention) {
        count_attention(args, back);
    } else if (op == OP_outer_mean) {
        count_outer(args, back);
    } else if (op == OP_matmul) {
        const struct op_matmul *a = args;
        int64_t each = a->y.dim[0], m = a->y.dim[1], n = a->y.dim[2], k = a->a.dim[2];
        product_add(back ? m : m, back ? k : n, back ? n : k, each, op);
        if (back)
            product_add(k, n, m, each, op);
    }
}

#define MEASURE_PLAIN(name, fields)                                                                \
    static void measure_##name(struct backend *b, const struct op_##name *a)                       \
    {                                                                                              \
        count_products(OP_##name, a, NULL);                                                        \
        int64_t begin = clock_ns();                                                                \
        plain.name(b, a);                                                                          \
        lines[OP_##name].forward_ms += (double)(clock_ns() - begin) * 1e-6;                        \
        lines[OP_##name].calls++;                                                                  \
    }
#define MEASURE_DIFF(name, fields)                                                                 \
    MEASURE_PLAIN(name, fields)                                                                    \
    static void measure_##name##_back(struct backend *b, const struct op_##name *a,                \
                                      const struct op_##name *g)                                   \
    {                                                                                              \
        count_products(OP_##name, a, g);                                                           \
        int64_t begin = clock_ns();                                                                \
        plain.name##_back(b, a, g);                                                                \
        lines[OP_##name].back_ms += (double)(clock_ns() - begin) * 1e-6;                           \
        lines[OP_##name].backs++;                                                                  \
    }
OPS(MEASURE_DIFF, MEASURE_PLAIN, OP_NO_FIELD)
#define TABLE_PLAIN(name, fields) .name = measure_##name,
#define TABLE_DIFF(name, fields) .name = measure_##name, .name##_back = measure_##name##_back,
static const struct ops measuring = {OPS(TABLE_DIFF, TABLE_PLAIN, OP_NO_FIELD)};

/* Best time of all products of one kind, in ms: large ones by BLAS's own threads, sets of small
 * ones on one thread each. */
static double product_ms(const struct product *p, int threads)
{
    size_t a_size = (size_t)(p->m * p->k), b_size = (size_t)(p->k * p->n);
    size_t c_size = (size_t)(p->m * p->n), total = a_size + b_size + c_size;
    float *memory = aligned_alloc(64, (total * sizeof *memory + BYTES_SPARE) / 64 * 64);
    double best = 1e30;
    ASSERT(memory);
    for (size_t i = 0; i < total; i++)
        memory[i] = 1;
    openblas_set_num_threads(p->each > 1 ? 1 : threads);
    for (int repeat = 0; repeat < REPEATS; repeat++) {
        int64_t begin = clock_ns();
        for (int64_t i = 0; i < p->each; i++)
            cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)p->m, (int)p->n, (int)p->k,
                        1, memory, (int)p->k, memory + a_size, (int)p->n, 0,
                        memory + a_size + b_size, (int)p->n);
        double ms = (double)(clock_ns() - begin) * 1e-6 / (p->each > 1 ? threads : 1);
        best = ms < best ? ms : best;
    }
    openblas_set_num_threads(1);
    free(memory);
    return best * (double)p->calls;
}

/* A sample of random numbers, nothing masked. */
static struct net_input sample_make(const struct net_config *c)
{
    size_t length = (size_t)c->length, cells = (size_t)c->clusters * length;
    struct rng rng = rng_open(1, 0, 0, "bench", 0);
    float *target = calloc(length * 22, sizeof *target), *msa = calloc(cells * 49, sizeof *msa);
    float *ones = calloc(cells + length, sizeof *ones), *xyz = calloc(length * 3, sizeof *xyz);
    int32_t *index = calloc(length, sizeof *index), *classes = calloc(cells, sizeof *classes);
    ASSERT(target && msa && ones && xyz && index && classes);
    for (size_t i = 0; i < length * 22; i++)
        target[i] = rng_uniform(&rng);
    for (size_t i = 0; i < cells * 49; i++)
        msa[i] = rng_uniform(&rng);
    for (size_t i = 0; i < cells + length; i++)
        ones[i] = 1;
    for (size_t i = 0; i < length * 3; i++)
        xyz[i] = 15 * rng_normal(&rng);
    for (size_t i = 0; i < length; i++)
        index[i] = (int32_t)i;
    return (struct net_input){.target_feat = target, .residue_index = index, .seq_mask = ones,
                              .passes = 1, .pass = {{.msa_feat = msa, .msa_mask = ones}},
                              .true_msa = classes,
                              .bert_mask = ones, .pseudo_beta = xyz, .pseudo_beta_mask = ones,
                              .weight = 1};
}

static double step_ms(struct net *net, const struct net_input *in)
{
    struct adam_config adam = adam_config_default();
    struct net_loss loss;
    struct error err;
    int64_t begin = clock_ns();
    net_gradient_clear(net);
    ASSERT(net_forward(net, in, &loss, &err) == STATUS_OK);
    net_backward(net);
    net_update(net, &adam, 1, 1);
    return (double)(clock_ns() - begin) * 1e-6;
}

static void print_lines(double total)
{
    printf("%-12s %6s %9s %6s %9s %8s %9s\n", "op", "calls", "forward", "backs", "back", "share",
           "GFLOP/s");
    for (int op = 0; op < OP_COUNT; op++) {
        const struct line *l = &lines[op];
        double ms = l->forward_ms + l->back_ms;
        if (l->calls + l->backs == 0)
            continue;
        printf("%-12s %6lld %6.2f ms %6lld %6.2f ms %6.1f %%", op_describe((enum op)op)->name,
               (long long)l->calls, l->forward_ms, (long long)l->backs, l->back_ms,
               100 * ms / total);
        if (l->flop > 0)
            printf(" %9.1f", l->flop / ms * 1e-6);
        printf("\n");
    }
}

static void bench(const struct net_config *c, int threads)
{
    struct backend *b = cpu_backend_open(threads);
    struct net *net;
    struct error err;
    struct net_plan plan;
    if (net_open(c, b, &net, &err) != STATUS_OK || net_plan(c, NULL, &plan, &err) != STATUS_OK) {
        fprintf(stderr, "%s\n", err.text);
        exit(1);
    }
    struct net_input in = sample_make(c);
    double best = 1e30;
    for (int repeat = 0; repeat < REPEATS; repeat++) {
        double ms = step_ms(net, &in);
        best = ms < best ? ms : best;
    }
    plain = b->ops;
    b->ops = measuring;
    double measured = 1e30, flop = 0, products_ms = 0;
    struct line fastest[OP_COUNT];
    for (int repeat = 0; repeat < REPEATS; repeat++) {
        memset(lines, 0, sizeof lines);
        counting = true;
        product_count = 0;
        double ms = step_ms(net, &in);
        if (ms < measured)
            memcpy(fastest, lines, sizeof lines);
        measured = ms < measured ? ms : measured;
    }
    memcpy(lines, fastest, sizeof lines);
    for (int op = 0; op < OP_COUNT; op++)
        flop += lines[op].flop;
    for (int i = 0; i < product_count; i++)
        products_ms += product_ms(&products[i], threads);
    printf("network    L %lld, S %lld, c_m %lld, c_z %lld, %lld blocks: %lld parameters, "
           "%.1f MiB of activations\n",
           (long long)c->length, (long long)c->clusters, (long long)c->c_m, (long long)c->c_z,
           (long long)c->blocks, (long long)plan.parameters,
           (double)plan.activations_bytes / 1048576);
    printf("backend    %s\n\n", b->device);
    print_lines(measured);
    printf("\nstep       %8.2f ms (best of %d), %.2f GFLOP, %.1f GFLOP/s\n", best, REPEATS,
           flop * 1e-9, flop / best * 1e-6);
    printf("its GEMMs  %8.2f ms at the linked BLAS's speed, %.1f GFLOP/s\n", products_ms,
           flop / products_ms * 1e-6);
    printf("ratio      %8.2f of the step is what the GEMMs alone would take\n",
           products_ms / best);
    net_close(net);
    b->close(b);
}

int main(int argc, char **argv)
{
    struct net_config c = net_config_default();
    int64_t threads = omp_get_num_procs() < 2 ? omp_get_num_procs() : 2;
    int64_t *settings[6] = {&c.length, &c.clusters, &c.c_m, &c.c_z, &c.blocks, &threads};
    for (int i = 1; i < argc && i <= 6; i++)
        *settings[i - 1] = atoll(argv[i]);
    if (!blas_check())
        printf("note: BLAS uses its %s kernels, %s would be right\n", blas_core(),
               blas_coretype_wanted());
    bench(&c, (int)threads);
    return 0;
}

/* The whole trunk: its activations against the reference, its gradients against differences, and
 * that running blocks again in reverse changes no bit, all in memory planned before. */
#include "engine/base/rng.h"
#include "tests/kernels/tiny_model.h"

/* The first values of x against the reference's activation. */
static void check(struct rig *r, struct tensor x, int64_t count, const char *key)
{
    golden_check(r->g, key, rig_get(r, x.data, count), count,
                 r->b->real == TENSOR_F64 ? "double" : "float");
}

static void activations_case(struct golden *g, struct backend *b)
{
    enum { PAIR = LENGTH * LENGTH * 24, SINGLE = LENGTH * 32 };
    struct rig r = {0};
    struct trunk_sizes sizes = tiny_trunk_sizes();
    struct trunk *trunk = arena_zero(&g->arena, 1, sizeof *trunk);
    trunk_declare(&r.params, &sizes, trunk);
    rig_open(&r, g, b);
    struct trunk_pass p = tiny_pass(&r, 0);
    struct tape_stream m, z, s, before;
    char key[64];
    trunk_embed_run(&r.tape, trunk, &p, &m, &z);
    before = z;
    double *old = rig_get(&r, before.now.data, PAIR);
    trunk_templates_run(&r.tape, trunk, &p, &m, &z);
    double *now = rig_get(&r, z.now.data, PAIR);
    for (int i = 0; i < PAIR; i++)
        now[i] -= old[i];
    golden_check(g, "act.template.template_pair_embedding", now, PAIR, "its share");
    check(&r, tensor_range(m.now, ROWS, TEMPLATES), TEMPLATES * SINGLE,
          "act.template.template_single_embedding");
    trunk_extra_run(&r.tape, trunk, &p, &z);
    check(&r, z.now, PAIR, "act.extra_msa_stack");
    for (int i = 0; i < sizes.blocks; i++) {
        trunk_block_run(&r.tape, trunk, &p, i, &m, &z);
        snprintf(key, sizeof key, "act.evoformer.%d.m", i);
        check(&r, m.now, (ROWS + TEMPLATES) * SINGLE, key);
        snprintf(key, sizeof key, "act.evoformer.%d.z", i);
        check(&r, z.now, PAIR, key);
    }
    single_run(&r.tape, trunk->single, &m, &s);
    check(&r, m.now, ROWS * SINGLE, "out.msa");
    check(&r, z.now, PAIR, "out.pair");
    check(&r, s.now, LENGTH * 40, "out.single");
    rig_free(&r);
}

Test(trunk, activations_are_those_of_the_reference)
{
    struct golden g;
    golden_open(&g, "tiny_model_r0");
    struct backend *backend[2] = {cpu_backend_open_double(2), cpu_backend_open(2)};
    for (int i = 0; i < 2; i++) {
        activations_case(&g, backend[i]);
        backend[i]->close(backend[i]);
    }
    golden_close(&g);
}

enum { SMALL = 7, FEW = 4, MORE = 5, PAIRS = SMALL * SMALL };

static const double *draw(struct rig *r, struct rng *rng, int64_t count, int below)
{
    double *x = arena_zero(&r->g->arena, (size_t)count, sizeof *x);
    for (int64_t i = 0; i < count; i++)
        x[i] = below > 0 ? (double)rng_below(rng, (uint32_t)below) : (double)(float)rng_normal(rng);
    return x;
}

/* A sample of random features; the last residue, some alignment cells and one template's atoms are
 * missing. */
static struct trunk_pass pass_draw(struct rig *r)
{
    struct rng rng = rng_open(5, 0, 0, "trunk", 0);
    struct trunk_pass p = {.templates = TEMPLATES};
    double *msa = arena_zero(&r->g->arena, (FEW + TEMPLATES) * SMALL, sizeof *msa);
    double *extra = arena_zero(&r->g->arena, MORE * SMALL, sizeof *extra);
    double *pair = arena_zero(&r->g->arena, PAIRS, sizeof *pair);
    for (int i = 0; i < (FEW + TEMPLATES) * SMALL; i++)
        msa[i] = i < SMALL || rng_below(&rng, 5) ? i % SMALL < SMALL - 1 : 0;
    for (int i = 0; i < MORE * SMALL; i++)
        extra[i] = i < SMALL || rng_below(&rng, 5) ? i % SMALL < SMALL - 1 : 0;
    for (int i = 0; i < PAIRS; i++)
        pair[i] = i / SMALL < SMALL - 1 && i % SMALL < SMALL - 1;
    p.target = constant(r, draw(r, &rng, SMALL * TARGET_FEATURES, 0), 2, SMALL, TARGET_FEATURES, 1);
    p.index = integers(r, draw(r, &rng, SMALL, 50), 1, SMALL, 1);
    p.msa = constant(r, draw(r, &rng, FEW * SMALL * MSA_FEATURES, 0), 3, FEW, SMALL, MSA_FEATURES);
    p.msa_mask = constant(r, msa, 2, FEW + TEMPLATES, SMALL, 1);
    p.pair_mask = constant(r, pair, 2, SMALL, SMALL, 1);
    p.extra_msa = integers(r, draw(r, &rng, MORE * SMALL, 23), 2, MORE, SMALL);
    p.extra_has = constant(r, draw(r, &rng, MORE * SMALL, 2), 2, MORE, SMALL, 1);
    p.extra_deletion = constant(r, draw(r, &rng, MORE * SMALL, 0), 2, MORE, SMALL, 1);
    p.extra_mask = constant(r, extra, 2, MORE, SMALL, 1);
    for (int i = 0; i < TEMPLATES; i++)
        p.atoms[i] = (struct template_atoms){
            .type = integers(r, draw(r, &rng, SMALL, TEMPLATE_TYPES), 1, SMALL, 1),
            .beta = constant(r, draw(r, &rng, SMALL * 3, 0), 2, SMALL, 3, 1),
            .beta_mask = constant(r, draw(r, &rng, SMALL, 2), 1, SMALL, 1, 1),
            .backbone = constant(r, draw(r, &rng, SMALL * 9, 0), 2, SMALL, 9, 1),
            .mask = constant(r, draw(r, &rng, SMALL, 2), 1, SMALL, 1, 1)};
    const double *angles = draw(r, &rng, TEMPLATES * SMALL * TEMPLATE_ANGLE_FEATURES, 0);
    p.template_angles = constant(r, angles, 3, TEMPLATES, SMALL, TEMPLATE_ANGLE_FEATURES);
    p.template_mask = constant(r, (const double[TEMPLATES]){1, 1}, 1, TEMPLATES, 1, 1);
    p.template_any = constant(r, &(const double){1}, 1, 1, 1, 1);
    p.before = (struct recycled){constant(r, draw(r, &rng, SMALL * 32, 0), 2, SMALL, 32, 1),
                                 constant(r, draw(r, &rng, PAIRS * 24, 0), 3, SMALL, SMALL, 24),
                                 constant(r, draw(r, &rng, SMALL * 3, 9), 2, SMALL, 3, 1)};
    return p;
}

/* One pass of the drawn sample, and with backward: the weights of a fixed linear function of z, s
 * and the clusters' rows of m are their upstream gradients. Returns the function's value. */
static double pass_value(struct rig *r, const struct trunk *trunk, bool backward)
{
    struct tape *t = &r->tape;
    struct tape_stream m, z, s;
    tape_reset(t, backward);
    t->dropout = true, t->seed = 3, t->position = 4;
    struct trunk_pass p = pass_draw(r);
    trunk_run(t, trunk, &p, &m, &z, &s);
    struct tensor read[3] = {z.now, s.now, m.now};
    struct rng rng = rng_open(6, 0, 0, "weights", 0);
    double sum = 0;
    for (int i = 0; i < 3; i++) {
        int64_t count = tensor_count(&read[i]), used = FEW * SMALL * 32;
        double *up = arena_zero(&r->g->arena, (size_t)count, sizeof *up);
        for (int64_t n = 0; n < count && (i < 2 || n < used); n++)
            up[n] = (double)(float)rng_normal(&rng);
        if (!t->planning) {
            const double *x = rig_get(r, read[i].data, count);
            for (int64_t n = 0; n < count; n++)
                sum += x[n] * up[n];
        }
        if (!backward)
            continue;
        struct tensor staging = constant(r, up, 1, count, 1, 1);
        tape_seed(t, read[i], staging.data); /* cpu memory is host memory */
    }
    if (backward)
        tape_back(t);
    return sum;
}

/* A rig over the trunk's parameters and exactly the memory that its passes were planned to take. */
static void trunk_open(struct rig *r, struct golden *g, struct backend *b, int keep,
                       struct trunk *trunk)
{
    struct trunk_sizes sizes = tiny_trunk_sizes();
    struct error err;
    sizes.keep_blocks = keep < 0 ? -1 : keep, sizes.keep_extra = keep < 0 ? -1 : 0;
    sizes.main.dropout_msa = sizes.extra.dropout_msa = 0.15;
    sizes.main.dropout_pair = sizes.extra.dropout_pair = sizes.template.dropout_pair = 0.25;
    *r = (struct rig){.g = g, .b = b};
    trunk_declare(&r->params, &sizes, trunk);
    size_t bytes = (size_t)r->params.size * tensor_kind_bytes(b->real);
    r->weights = b->alloc(b, bytes);
    r->gradients = b->alloc(b, bytes);
    cr_assert(r->weights && r->gradients, "memory");
    struct rng rng = rng_open(7, 0, 0, "weights", 0);
    double *start = arena_zero(&g->arena, (size_t)r->params.size, sizeof *start);
    for (int64_t i = 0; i < r->params.size; i++)
        start[i] = 0.3 * (double)(float)rng_normal(&rng);
    rig_put(b, r->weights, start, r->params.size);
    tape_open_plan(&r->tape, b);
    pass_value(r, trunk, true);
    pass_value(r, trunk, false);
    struct tape_size size = tape_peak(&r->tape);
    tape_close(&r->tape);
    cr_assert(tape_open(&r->tape, b, size, r->weights, r->gradients, &err) == STATUS_OK, "%s",
              err.text);
}

/* One number of every parameter. */
Test(trunk, gradients_against_differences, .timeout = 120)
{
    const double h = 1e-6;
    struct golden g = {.name = "trunk"};
    struct backend *b = cpu_backend_open_double(1);
    struct trunk *trunk = calloc(1, sizeof *trunk);
    struct rig r;
    cr_assert(trunk != NULL, "memory");
    arena_open(&g.arena, 0);
    trunk_open(&r, &g, b, -1, trunk);
    pass_value(&r, trunk, true);
    double *gradient = malloc((size_t)r.params.size * sizeof *gradient);
    cr_assert(gradient != NULL, "memory");
    memcpy(gradient, r.gradients, (size_t)r.params.size * sizeof *gradient);
    double *weight = (double *)(void *)r.weights;
    struct rng rng = rng_open(8, 0, 0, "which", 0);
    for (int i = 0; i < r.params.count; i++) {
        const struct parameter *p = &r.params.item[i];
        int64_t at = p->offset + rng_below(&rng, (uint32_t)p->count);
        double kept = weight[at], wanted;
        arena_reset(&g.arena);
        weight[at] = kept + h;
        wanted = pass_value(&r, trunk, false);
        weight[at] = kept - h;
        wanted = (wanted - pass_value(&r, trunk, false)) / (2 * h);
        weight[at] = kept;
        cr_assert(fabs(gradient[at] - wanted) <= 1e-4 * (1 + fabs(wanted)),
                  "%s[%lld]: by differences %.9g, by backward %.9g", p->name,
                  (long long)(at - p->offset), wanted, gradient[at]);
    }
    free(gradient);
    rig_free(&r);
    b->close(b);
    arena_close(&g.arena);
    free(trunk);
}

/* All kept, one kept, none kept: the same bits of every gradient, and less memory. */
Test(trunk, blocks_run_again_give_the_same_bits, .timeout = 60)
{
    struct golden g = {.name = "trunk"};
    struct backend *b = cpu_backend_open(2);
    struct trunk *trunk = calloc(1, sizeof *trunk);
    float *first = NULL;
    size_t bytes[3];
    cr_assert(trunk != NULL, "memory");
    arena_open(&g.arena, 0);
    for (int i = 0; i < 3; i++) {
        struct rig r;
        trunk_open(&r, &g, b, i == 0 ? -1 : 2 - i, trunk);
        pass_value(&r, trunk, true);
        bytes[i] = r.tape.limit.bytes;
        size_t size = (size_t)r.params.size * sizeof *first;
        if (!first) {
            first = malloc(size);
            cr_assert(first != NULL, "memory");
            memcpy(first, r.gradients, size);
        }
        cr_assert(memcmp(first, r.gradients, size) == 0, "round %d differs", i);
        rig_free(&r);
    }
    cr_assert(bytes[1] < bytes[0] && bytes[2] < bytes[0], "%zu, %zu, %zu bytes", bytes[0],
              bytes[1], bytes[2]);
    free(first);
    b->close(b);
    arena_close(&g.arena);
    free(trunk);
}

/* The published sizes: parameters of the trunk, as counted on the reference. */
Test(trunk, the_published_network_has_its_parameters)
{
    struct trunk_sizes sizes = trunk_sizes_published();
    struct trunk *trunk = calloc(1, sizeof *trunk);
    struct params params;
    cr_assert(trunk != NULL, "memory");
    params_open(&params);
    trunk_declare(&params, &sizes, trunk);
    int64_t count = 0;
    for (int i = 0; i < params.count; i++)
        count += params.item[i].count;
    int64_t wanted = 33024 + 2816 + 329408 + 1664 + 2805248 + 87936384;
    cr_assert(count == wanted, "%lld parameters, wanted %lld", (long long)count,
              (long long)wanted);
    cr_assert(params.count == 10 + 6 + 129 + 2 + 372 + 4466, "%d tensors", params.count);
    params_close(&params);
    free(trunk);
}

/* The plan of memory against what is really taken, to the byte; and the choice of the blocks that
 * keep what they made, within a limit. */
#include "kernels/net/inside.h"

#include "tests/kernels/sample.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

static struct net_config whole(void)
{
    struct net_config c = net_config_default();
    c.length = 17, c.clusters = 6, c.c_m = 12, c.c_z = 10, c.blocks = 3;
    c.heads = 2, c.head_dims = 4, c.outer_hidden = 3, c.triangle_hidden = 6;
    c.column_attention = true, c.pair_heads = 2, c.pair_head_dims = 3, c.recycling = true;
    c.extra = 14, c.extra_blocks = 2, c.extra_c_m = 6, c.extra_heads = 2, c.extra_head_dims = 3;
    c.templates = 2, c.template_blocks = 1, c.template_c = 5;
    c.template_heads = 2, c.template_head_dims = 3;
    c.structure_iterations = 2, c.c_s = 8, c.structure_heads = 2, c.structure_head_dims = 3;
    c.query_points = 2, c.value_points = 3, c.angle_channels = 6, c.plddt_hidden = 5;
    c.aligned_error = true;
    c.weight_resolved = c.weight_violation = c.weight_aligned_error = 0.1;
    return c;
}

static struct net_config trunk_alone(void)
{
    struct net_config c = net_config_default();
    c.length = 40, c.clusters = 9, c.blocks = 2;
    return c;
}

/* The backend's own alloc, and the bytes that it was asked for. */
static void *(*real_alloc)(struct backend *backend, size_t bytes);
static size_t asked;
static int asked_times;

static void *count_alloc(struct backend *backend, size_t bytes)
{
    asked += bytes;
    asked_times++;
    return real_alloc(backend, bytes);
}

static void step(struct arena *arena, struct net *net, uint64_t number, int passes)
{
    const struct net_config *c = net_config(net);
    struct net_input in = sample_make(arena, c, number, 1);
    struct rng rng = rng_open(number, 1, 0, "sample", 0);
    struct adam_config adam = adam_config_default();
    struct net_loss loss;
    struct error err = {0};
    if (c->recycling)
        sample_add(arena, &rng, c, passes, &in);
    net_gradient_clear(net);
    cr_assert(net_forward(net, &in, &loss, &err) == STATUS_OK, "%s", err.text);
    net_backward(net);
    cr_assert(!net_update(net, &adam, 1, 1 + (int64_t)number).skipped);
    cr_assert(net_predict(net, &in, true, NULL, &loss, &err) == STATUS_OK, "%s", err.text);
}

static void check_exact(struct net_config c, int threads, const char *what)
{
    struct backend *counting = cpu_backend_open_counting(threads), *b = cpu_backend_open(threads);
    struct net_plan plan;
    struct net *net;
    struct arena arena;
    struct error err = {0};
    arena_open(&arena, 0);
    cr_assert(net_plan(&c, counting, &plan, &err) == STATUS_OK, "%s", err.text);
    real_alloc = b->alloc;
    b->alloc = count_alloc;
    asked = 0;
    cr_assert(net_open(&c, b, &net, &err) == STATUS_OK, "%s", err.text);
    cr_assert(b->scratch_bytes(b) == plan.scratch_bytes, "%s: scratch %zu, planned %zu", what,
              b->scratch_bytes(b), plan.scratch_bytes);
    cr_assert(asked + plan.scratch_bytes == plan.total_bytes, "%s: taken %zu, planned %zu", what,
              asked + plan.scratch_bytes, plan.total_bytes);
    size_t parts = 0;
    for (int i = 0; i < MODEL_PARTS; i++)
        parts += plan.part_bytes[i];
    cr_assert(parts + plan.carried_bytes == plan.activations_bytes, "%s: parts", what);
    cr_assert(net->tape.limit.bytes == parts, "%s: tape %zu, planned %zu", what,
              net->tape.limit.bytes, parts);
    int times = asked_times;
    for (uint64_t number = 0; number < 3; number++)
        step(&arena, net, number, 1 + (int)number);
    cr_assert(net->tape.bytes_peak == parts, "%s: the tape used %zu, planned %zu", what,
              net->tape.bytes_peak, parts);
    cr_assert(asked_times == times && b->scratch_bytes(b) == plan.scratch_bytes,
              "%s: steps took more", what);
    net_close(net);
    b->close(b);
    counting->close(counting);
    arena_close(&arena);
}

Test(plan, is_what_is_taken_to_the_byte)
{
    struct net_config c = whole();
    check_exact(c, 2, "all parts, all kept");
    c.keep_blocks = 1, c.keep_extra = 0;
    check_exact(c, 2, "one of three kept");
    c.keep_blocks = 0, c.keep_extra = 1;
    check_exact(c, 3, "one extra kept, three threads");
    c.dropout_msa = c.dropout_pair = c.dropout_structure = 0;
    c.weight_violation = 0;
    check_exact(c, 1, "without dropout and violations");
    c = trunk_alone();
    check_exact(c, 2, "trunk alone");
    c.keep_blocks = 0;
    check_exact(c, 4, "trunk alone, none kept");
    c.length = 7, c.clusters = 80;
    check_exact(c, 2, "more rows than residues");
}

static struct error err;

static enum status fit(struct net_config *c, struct backend *counting, struct net_room room,
                       struct net_plan *plan)
{
    return net_plan_fit(c, counting, &room, plan, &err);
}

static struct net_plan fitted(struct net_config *c, struct backend *counting, size_t limit)
{
    struct net_plan plan;
    cr_assert(fit(c, counting, (struct net_room){limit, false, false}, &plan) == STATUS_OK, "%s",
              err.text);
    return plan;
}

static size_t need_of(struct net_config c, struct backend *counting, int64_t keep, int64_t extra)
{
    struct net_plan plan;
    c.keep_blocks = keep, c.keep_extra = extra;
    cr_assert(net_plan(&c, counting, &plan, NULL) == STATUS_OK);
    return plan.total_bytes;
}

/* The last block must have what it made when its backward begins: keeping it may cost less. */
static size_t least_of(struct net_config c, struct backend *counting)
{
    size_t none = need_of(c, counting, 0, 0), one = need_of(c, counting, 1, 0);
    return one < none ? one : none;
}

Test(plan, keeps_as_many_blocks_as_fit)
{
    struct backend *counting = cpu_backend_open_counting(2);
    struct net_config c = whole();
    c.blocks = 6;
    size_t least = least_of(c, counting), all = need_of(c, counting, -1, -1);
    struct net_config chosen = c;
    struct net_plan plan = fitted(&chosen, counting, 0);
    cr_assert(plan.total_bytes == all && chosen.keep_blocks == 6 && chosen.keep_extra == 2);
    chosen = c;
    plan = fitted(&chosen, counting, all);
    cr_assert(plan.total_bytes == all && chosen.keep_blocks == 6 && chosen.keep_extra == 2);
    chosen = c;
    plan = fitted(&chosen, counting, least);
    cr_assert(plan.total_bytes == least && chosen.keep_blocks <= 1 && chosen.keep_extra == 0);
    int steps = 0;
    int64_t kept = 0;
    for (size_t limit = least; limit <= all; limit += (all - least) / 16) {
        chosen = c;
        plan = fitted(&chosen, counting, limit);
        cr_assert(plan.total_bytes <= limit &&
                  plan.total_bytes == need_of(c, counting, chosen.keep_blocks, chosen.keep_extra));
        cr_assert(plan.keep_blocks == chosen.keep_blocks && plan.keep_extra == chosen.keep_extra);
        bool more = chosen.keep_blocks < 6 &&
                    need_of(c, counting, chosen.keep_blocks + 1, chosen.keep_extra) <= limit;
        cr_assert(!more, "%zu: more than %lld would fit", limit, (long long)chosen.keep_blocks);
        more = chosen.keep_extra < 2 &&
               need_of(c, counting, chosen.keep_blocks, chosen.keep_extra + 1) <= limit;
        cr_assert(!more, "%zu: more extra blocks than %lld would fit", limit,
                  (long long)chosen.keep_extra);
        steps += chosen.keep_blocks + chosen.keep_extra != kept;
        kept = chosen.keep_blocks + chosen.keep_extra;
    }
    cr_assert(steps >= 5, "the choice followed the limit %d times", steps);
    chosen = c;
    chosen.keep_blocks = 2;
    fitted(&chosen, counting, all);
    cr_assert(chosen.keep_blocks == 2 && chosen.keep_extra == 2, "what is given stays");
    counting->close(counting);
}

Test(plan, that_does_not_fit_says_what_would)
{
    struct backend *counting = cpu_backend_open_counting(2);
    struct net_config c = whole(), asked_for = c;
    struct net_plan plan, other;
    c.length = asked_for.length = 40;
    size_t least = least_of(c, counting), limit = least * 3 / 4;
    cr_assert(fit(&c, counting, (struct net_room){limit, false, false}, &plan) == STATUS_LIMIT);
    cr_assert(memcmp(&c, &asked_for, sizeof c) == 0, "the configuration is as it was");
    cr_assert(plan.total_bytes == least, "%zu", plan.total_bytes);
    const char *said = strstr(err.text, "crops of length ");
    cr_assert(said, "%s", err.text);
    int64_t length = strtol(said + strlen("crops of length "), NULL, 10);
    c.length = length;
    cr_assert(fit(&c, counting, (struct net_room){limit, false, false}, &other) == STATUS_OK, "%s",
              err.text);
    c = asked_for, c.length = length + 1;
    cr_assert(fit(&c, counting, (struct net_room){limit, false, false}, &other) == STATUS_LIMIT,
              "longest");
    c = asked_for, c.keep_blocks = 3;
    cr_assert(fit(&c, counting, (struct net_room){least, false, false}, &plan) == STATUS_LIMIT);
    cr_assert(strstr(err.text, "keep_blocks and keep_extra -1"), "%s", err.text);
    c = asked_for;
    cr_assert(fit(&c, counting, (struct net_room){5000, false, false}, &plan) == STATUS_LIMIT);
    cr_assert(!strstr(err.text, "crops"), "weights alone are more: %s", err.text);
    cr_assert(strstr(err.text, " of memory"), "%s", err.text);
    c = asked_for;
    cr_assert(fit(&c, counting, (struct net_room){least, true, false}, &plan) == STATUS_LIMIT &&
                  plan.total_bytes <= least && plan.total_bytes + plan.host_bytes > least,
              "what the host needs beside counts where the memory is the host's");
    c = asked_for;
    cr_assert(fit(&c, counting, (struct net_room){least, false, true}, &plan) == STATUS_LIMIT,
              "clipping each sample takes one buffer more");
    c = asked_for;
    size_t more = least + plan.weights_bytes;
    cr_assert(fit(&c, counting, (struct net_room){more, false, true}, &plan) == STATUS_OK);
    counting->close(counting);
}

/* The whole network: its gradient against differences, bit-equality of reruns, of recomputed
 * blocks and of numbers of threads, padding, the plan, and a loss that falls. */
#include "kernels/net/net.h"

#include "tests/kernels/sample.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

static struct net_config small(void)
{
    struct net_config c = net_config_default();
    c.length = 9, c.clusters = 5, c.c_m = 12, c.c_z = 10, c.blocks = 2;
    c.heads = 2, c.head_dims = 4, c.outer_hidden = 3, c.triangle_hidden = 6;
    c.column_attention = 1, c.pair_heads = 2, c.pair_head_dims = 3;
    return c;
}

/* With templates, extra rows, recycling and a structure. */
static struct net_config whole(void)
{
    struct net_config c = small();
    c.blocks = 1, c.recycling = true;
    c.extra = 4, c.extra_blocks = 1, c.extra_c_m = 6, c.extra_heads = 2, c.extra_head_dims = 3;
    c.templates = 2, c.template_blocks = 1, c.template_c = 5;
    c.template_heads = 2, c.template_head_dims = 3;
    c.structure_iterations = 2, c.c_s = 8, c.structure_heads = 2, c.structure_head_dims = 3;
    c.query_points = 2, c.value_points = 3, c.angle_channels = 6, c.plddt_hidden = 5;
    c.aligned_error = true;
    c.weight_resolved = c.weight_violation = c.weight_aligned_error = 0.1;
    return c;
}

/* Sample `number` of the network's kind, with that many passes. */
static struct net_input sample_of(struct arena *arena, const struct net_config *c, uint64_t number,
                                  int64_t padding, int passes)
{
    struct net_input in = sample_make(arena, c, number, padding);
    struct rng rng = rng_open(number, 1, 0, "sample", 0);
    if (c->recycling)
        sample_add(arena, &rng, c, passes, &in);
    return in;
}

static struct net *open_net(const struct net_config *c, struct backend *b)
{
    struct net *net;
    struct error err = {0};
    cr_assert(net_open(c, b, &net, &err) == STATUS_OK, "%s", err.text);
    return net;
}

static struct net_loss forward(struct net *net, const struct net_input *in)
{
    struct net_loss loss;
    struct error err = {0};
    cr_assert(net_forward(net, in, &loss, &err) == STATUS_OK, "%s", err.text);
    return loss;
}

/* Of one pass: what is recycled has no gradient. */
static void check_gradient(struct net_config c)
{
    struct backend *b = cpu_backend_open_double(2);
    struct net *net = open_net(&c, b);
    struct arena arena;
    arena_open(&arena, 0);
    weights_shake(&arena, net, 0.1f);
    struct net_input in = sample_of(&arena, &c, 3, 2, 1);
    in.weight = 1.5;
    size_t count = (size_t)net_params(net)->size;
    float *gradient = arena_zero(&arena, count, sizeof *gradient);
    float *w = arena_zero(&arena, count, sizeof *w);
    net_gradient_clear(net);
    forward(net, &in);
    net_backward(net);
    net_read(net, NET_GRADIENTS, gradient);
    net_read(net, NET_WEIGHTS, w);
    for (int p = 0; p < net_params(net)->count; p++) {
        const struct parameter *item = &net_params(net)->item[p];
        for (int64_t n = 0; n < 2; n++) { /* two numbers of each tensor */
            size_t i = (size_t)(item->offset + (n * 7919 + p) % item->count);
            float kept = w[i], up = kept + 1e-5f, down = kept - 1e-5f;
            w[i] = up;
            net_write(net, NET_WEIGHTS, w);
            double high = forward(net, &in).total;
            w[i] = down;
            net_write(net, NET_WEIGHTS, w);
            double low = forward(net, &in).total;
            w[i] = kept;
            double wanted = in.weight * (high - low) / ((double)up - (double)down);
            cr_assert(fabs(wanted - (double)gradient[i]) <= 1e-6 * (1 + fabs(wanted)),
                      "%s: by differences %.8g, by backward %.8g", item->name, wanted,
                      (double)gradient[i]);
        }
    }
    net_close(net);
    b->close(b);
    arena_close(&arena);
}

Test(net, gradient_against_differences)
{
    check_gradient(small());
}

Test(net, gradient_of_all_parts_against_differences)
{
    struct net_config c = whole();
    c.structure_iterations = 1; /* between iterations the gradient of rotations stops */
    check_gradient(c);
    c.weight_violation = 0; /* then its backward is left out */
    check_gradient(c);
}

/* What the first pass found changes what the second one says, and the sample's features do in every
 * pass; dropout off. */
Test(net, passes_recycle)
{
    struct net_config c = whole();
    c.dropout_msa = c.dropout_pair = 0;
    struct backend *b = cpu_backend_open_double(2);
    struct net *net = open_net(&c, b);
    struct arena arena;
    arena_open(&arena, 0);
    weights_shake(&arena, net, 0.1f);
    struct net_input in = sample_of(&arena, &c, 3, 2, 3), alone = in, same = in;
    alone.passes = 1, alone.pass[0] = in.pass[2];
    same.pass[0] = in.pass[1];
    double three = forward(net, &in).total, one = forward(net, &alone).total;
    cr_assert(three != one, "three passes: %g, the last alone: %g", three, one);
    cr_assert(three != forward(net, &same).total, "the first pass's features are seen");
    cr_assert(three == forward(net, &in).total, "nothing stays from the sample before");
    net_close(net);
    b->close(b);
    arena_close(&arena);
}

Test(net, starts_at_the_entropy_of_uniform_guesses)
{
    struct net_config c = small();
    struct backend *b = cpu_backend_open(2);
    struct net *net = open_net(&c, b);
    struct arena arena;
    arena_open(&arena, 0);
    struct net_input in = sample_make(&arena, &c, 1, 0);
    struct net_loss loss = forward(net, &in);
    cr_assert(fabs(loss.distogram - log(64)) < 1e-4, "distogram %.6f", loss.distogram);
    cr_assert(fabs(loss.masked_msa - log(23)) < 1e-4, "masked MSA %.6f", loss.masked_msa);
    cr_assert(fabs(loss.total - 0.3 * loss.distogram - 2 * loss.masked_msa) < 1e-9, "total");
    net_close(net);
    b->close(b);
    arena_close(&arena);
}

/* Trains for `steps`, two samples each, and hands back weights and moving average. */
static struct net_loss train(const struct net_config *c, int threads, int steps, float *weights,
                             float *ema)
{
    struct backend *b = cpu_backend_open(threads);
    struct net *net = open_net(c, b);
    struct adam_config adam = adam_config_default();
    struct arena arena;
    struct net_loss loss = {0};
    arena_open(&arena, 0);
    for (int step = 1; step <= steps; step++) {
        net_gradient_clear(net);
        for (uint64_t s = 0; s < 2; s++) {
            struct net_input in = sample_of(&arena, c, 2 * (uint64_t)(step % 5) + s, 1, 3);
            loss = forward(net, &in);
            net_backward(net);
        }
        struct adam_result result = net_update(net, &adam, 2, step);
        cr_assert(!result.skipped && result.norm > 0, "step %d: norm %g", step, result.norm);
    }
    net_read(net, NET_WEIGHTS, weights);
    net_read(net, NET_EMA, ema);
    cr_assert(net_updates(net) == steps, "%lld updates", (long long)net_updates(net));
    net_close(net);
    b->close(b);
    arena_close(&arena);
    return loss;
}

static void check_same_training(const struct net_config *a, int threads_a,
                                const struct net_config *b, int threads_b, const char *what)
{
    struct net_plan plan;
    struct arena arena;
    cr_assert(net_plan(a, NULL, &plan, NULL) == STATUS_OK, "plan");
    arena_open(&arena, 0);
    float *wa = arena_zero(&arena, plan.weights_bytes, 1);
    float *ea = arena_zero(&arena, plan.weights_bytes, 1);
    float *wb = arena_zero(&arena, plan.weights_bytes, 1);
    float *eb = arena_zero(&arena, plan.weights_bytes, 1);
    struct net_loss la = train(a, threads_a, 20, wa, ea), lb = train(b, threads_b, 20, wb, eb);
    cr_assert(la.total > 0 && memcmp(&la, &lb, sizeof la) == 0, "%s: losses %.17g %.17g", what,
              la.total, lb.total);
    cr_assert(memcmp(wa, wb, plan.weights_bytes) == 0, "%s: weights differ", what);
    cr_assert(memcmp(ea, eb, plan.weights_bytes) == 0, "%s: moving averages differ", what);
    cr_assert(memcmp(wa, ea, plan.weights_bytes) != 0, "the moving average is not the weights");
    arena_close(&arena);
}

Test(net, two_runs_give_the_same_bits)
{
    struct net_config c = net_config_default();
    c.length = 20, c.clusters = 7, c.blocks = 2;
    check_same_training(&c, 2, &c, 2, "rerun");
}

Test(net, threads_do_not_change_a_bit)
{
    struct net_config c = net_config_default();
    c.length = 33, c.clusters = 12, c.blocks = 1;
    check_same_training(&c, 1, &c, 3, "threads");
    c = whole();
    check_same_training(&c, 1, &c, 3, "threads, three passes");
}

Test(net, recomputed_blocks_give_the_same_bits_in_less_memory)
{
    struct net_config c = small(), again = small();
    struct net_plan keep, recompute;
    c.blocks = again.blocks = 3;
    again.keep_blocks = 1;
    check_same_training(&c, 2, &again, 2, "one of three blocks kept");
    again.keep_blocks = 0;
    check_same_training(&c, 2, &again, 2, "no block kept");
    struct net_config all = whole(), few = whole();
    few.keep_blocks = few.keep_extra = 0;
    check_same_training(&all, 2, &few, 2, "three passes, no block kept");
    cr_assert(net_plan(&c, NULL, &keep, NULL) == STATUS_OK, "plan");
    cr_assert(net_plan(&again, NULL, &recompute, NULL) == STATUS_OK, "plan");
    cr_assert(recompute.activations_bytes * 3 < keep.activations_bytes * 2,
              "%zu bytes recomputed, %zu kept", recompute.activations_bytes,
              keep.activations_bytes);
}

Test(net, the_plan_says_what_is_allocated_and_nothing_grows)
{
    struct net_config c = whole();
    struct backend *b = cpu_backend_open(2);
    struct net *net = open_net(&c, b);
    struct net_plan plan;
    struct arena arena;
    struct error err;
    arena_open(&arena, 0);
    cr_assert(net_plan(&c, NULL, &plan, &err) == STATUS_OK, "plan");
    cr_assert(plan.weights_bytes == 4 * (size_t)net_params(net)->size, "weights");
    cr_assert(plan.total_bytes == 5 * plan.weights_bytes + plan.activations_bytes + 4, "total");
    cr_assert(plan.parameters > 0 && plan.parameters <= net_params(net)->size, "parameters");
    size_t scratch = b->scratch_bytes(b);
    cr_assert(scratch > 0, "the step on zeros used scratch");
    for (uint64_t s = 0; s < 3; s++) {
        struct net_input in = sample_of(&arena, &c, s, 0, 1 + (int)s);
        net_gradient_clear(net);
        forward(net, &in);
        net_backward(net);
        struct adam_config adam = adam_config_default();
        net_update(net, &adam, 1, 1 + (int64_t)s);
    }
    cr_assert(b->scratch_bytes(b) == scratch, "scratch grew from %zu to %zu", scratch,
              b->scratch_bytes(b));
    net_close(net);
    b->close(b);
    arena_close(&arena);
}

Test(net, padding_is_not_seen)
{
    struct net_config c = small();
    enum { LENGTH = 9, USED = 6, BINS = 64 };
    static float one[LENGTH * LENGTH * BINS], two[LENGTH * LENGTH * BINS];
    const struct net_prediction wanted[2] = {{.logits = one}, {.logits = two}};
    struct backend *b = cpu_backend_open(2);
    struct net *net = open_net(&c, b);
    struct arena arena;
    struct error err = {0};
    arena_open(&arena, 0);
    weights_shake(&arena, net, 0.2f);
    struct net_input in = sample_make(&arena, &c, 5, LENGTH - USED);
    cr_assert(net_predict(net, &in, false, &wanted[0], NULL, &err) == STATUS_OK, "%s", err.text);
    size_t target_count = LENGTH * 22, msa_count = 5 * LENGTH * 49;
    float *target = arena_zero(&arena, target_count, sizeof *target);
    float *msa = arena_zero(&arena, msa_count, sizeof *msa);
    memcpy(target, in.target_feat, target_count * sizeof *target);
    memcpy(msa, in.pass[0].msa_feat, msa_count * sizeof *msa);
    for (size_t i = 0; i < target_count; i++)
        target[i] = i / 22 >= USED ? 9.0f : target[i];
    for (size_t i = 0; i < msa_count; i++)
        msa[i] = i / 49 % LENGTH >= USED ? -7.0f : msa[i];
    in.target_feat = target, in.pass[0].msa_feat = msa;
    cr_assert(net_predict(net, &in, false, &wanted[1], NULL, &err) == STATUS_OK, "%s", err.text);
    for (int i = 0; i < LENGTH; i++)
        for (int j = 0; j < LENGTH; j++) {
            bool same = memcmp(one + (i * LENGTH + j) * BINS, two + (i * LENGTH + j) * BINS,
                               BINS * sizeof *one) == 0;
            cr_assert(same || i >= USED || j >= USED, "logits of %d, %d saw the padding", i, j);
            cr_assert(one[(i * LENGTH + j) * BINS + 3] == one[(j * LENGTH + i) * BINS + 3],
                      "logits are not symmetric");
        }
    net_close(net);
    b->close(b);
    arena_close(&arena);
}

Test(net, learns_one_sample_by_heart)
{
    struct net_config c = small();
    c.length = 16, c.clusters = 6, c.c_m = 32, c.c_z = 24, c.dropout_msa = c.dropout_pair = 0;
    struct backend *b = cpu_backend_open(2);
    struct net *net = open_net(&c, b);
    struct adam_config adam = adam_config_default();
    struct arena arena;
    struct error err = {0};
    arena_open(&arena, 0);
    struct net_input in = sample_make(&arena, &c, 11, 0);
    struct net_loss first = forward(net, &in), last = {0}, averaged;
    adam.rate = 3e-3, adam.clip = 1, adam.ema_decay = 0.9;
    for (int step = 1; step <= 150; step++) {
        net_gradient_clear(net);
        last = forward(net, &in);
        net_backward(net);
        net_update(net, &adam, 1, step);
    }
    cr_assert(last.distogram < 0.5 * first.distogram, "distogram %.3f, at first %.3f",
              last.distogram, first.distogram);
    cr_assert(last.masked_msa < 0.2 * first.masked_msa, "masked MSA %.3f, at first %.3f",
              last.masked_msa, first.masked_msa);
    cr_assert(net_predict(net, &in, true, NULL, &averaged, &err) == STATUS_OK, "%s", err.text);
    cr_assert(fabs(averaged.total - last.total) < 0.2 * first.total, "moving average %.3f",
              averaged.total);
    net_close(net);
    b->close(b);
    arena_close(&arena);
}

Test(net, a_step_that_is_not_finite_is_skipped)
{
    struct net_config c = small();
    struct backend *b = cpu_backend_open(2);
    struct net *net = open_net(&c, b);
    struct adam_config adam = adam_config_default();
    struct arena arena;
    arena_open(&arena, 0);
    size_t count = (size_t)net_params(net)->size;
    float *before = arena_zero(&arena, count, sizeof *before);
    float *after = arena_zero(&arena, count, sizeof *after);
    struct net_input in = sample_make(&arena, &c, 2, 0);
    float *xyz = arena_zero(&arena, 22 * 9, sizeof *xyz);
    memcpy(xyz, in.target_feat, 22 * 9 * sizeof *xyz);
    xyz[30] = NAN;
    in.target_feat = xyz;
    weights_shake(&arena, net, 0.1f);
    net_read(net, NET_WEIGHTS, before);
    net_gradient_clear(net);
    struct net_loss loss = forward(net, &in);
    net_backward(net);
    struct adam_result result = net_update(net, &adam, 1, 1);
    net_read(net, NET_WEIGHTS, after);
    cr_assert(isnan(loss.distogram), "the loss shows it: %g", loss.distogram);
    cr_assert(result.skipped && net_updates(net) == 0, "skipped");
    cr_assert(memcmp(before, after, count * sizeof *before) == 0, "weights are as before");
    result = net_update(net, &adam, 0, 2);
    cr_assert(result.skipped, "a step without samples is skipped");
    net_close(net);
    b->close(b);
    arena_close(&arena);
}

Test(net, refuses_bad_input_and_sizes)
{
    struct net_config c = small();
    struct backend *b = cpu_backend_open(2);
    struct net *net = open_net(&c, b), *none;
    struct arena arena;
    struct error err;
    struct net_loss loss;
    arena_open(&arena, 0);
    struct net_input in = sample_make(&arena, &c, 2, 0);
    int32_t classes[45] = {0};
    classes[9 + 4] = 23;
    in.true_msa = classes;
    cr_assert(net_forward(net, &in, &loss, &err) == STATUS_INVALID, "class 23");
    cr_assert(strstr(err.text, "row 1 residue 4 is 23") != NULL, "%s", err.text);
    c.heads = 0;
    cr_assert(net_open(&c, b, &none, &err) == STATUS_INVALID && !none, "no heads");
    cr_assert(strstr(err.text, "heads is 0; wanted 1 to 256") != NULL, "%s", err.text);
    c = whole();
    c.extra = 0;
    cr_assert(net_open(&c, b, &none, &err) == STATUS_INVALID && !none, "no extra rows");
    cr_assert(strstr(err.text, "extra rows is 0; wanted 1 to 65536") != NULL, "%s", err.text);
    net_close(net);
    b->close(b);
    arena_close(&arena);
}

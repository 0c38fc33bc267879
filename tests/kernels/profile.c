/* Measuring changes no number, and its operations are those that a hand counts. */
#include "kernels/profile.h"

#include "kernels/net/made.h"

#include <criterion/criterion.h>
#include <string.h>

static struct net_config small_config(void)
{
    struct net_config c = net_config_default();
    c.length = 12, c.clusters = 5, c.blocks = 2;
    c.extra_blocks = 1, c.extra = 7, c.template_blocks = 1, c.templates = 2;
    c.structure_iterations = 2, c.pair_heads = 2, c.column_attention = true, c.recycling = true;
    return c;
}

/* One forward and backward; the gradients go to gradients. */
static struct net_loss step(struct net *net, const struct net_input *input, float *gradients)
{
    struct net_loss loss;
    struct error err;
    net_gradient_clear(net);
    cr_assert(net_forward(net, input, &loss, &err) == STATUS_OK, "%s", err.text);
    net_backward(net);
    net_read(net, NET_GRADIENTS, gradients);
    return loss;
}

Test(profile, numbers_are_the_same_and_every_op_has_a_scope)
{
    struct net_config config = small_config();
    struct backend *b = cpu_backend_open(2);
    struct arena arena;
    struct net *net;
    struct error err;
    arena_open(&arena, 0);
    cr_assert(net_open(&config, b, &net, &err) == STATUS_OK, "%s", err.text);
    struct net_input input = net_input_made(&config, 2, &arena);
    size_t count = (size_t)net_params(net)->size;
    float *plain = arena_zero(&arena, count, sizeof *plain);
    float *measured = arena_zero(&arena, count, sizeof *measured);
    struct net_loss loss = step(net, &input, plain);
    struct profile *p = profile_open(b, (struct profile_peaks){1e9, 1e9});
    struct net_loss again = step(net, &input, measured);
    cr_assert(memcmp(&loss, &again, sizeof loss) == 0, "measuring changed the losses");
    cr_assert(memcmp(plain, measured, count * sizeof *plain) == 0,
              "measuring changed the gradients");
    static const char *const parts[] = {"embedders",        "templates", "extra MSA", "Evoformer",
                                        "structure module", "heads",     "losses",    "recycling",
                                        "optimizer"};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        struct profile_sum sum = {0};
        for (int r = 0; r < p->count; r++) {
            cr_assert(p->row[r].scope.part, "an op ran outside of every part");
            for (int op = 0; op < OP_COUNT && strcmp(p->row[r].scope.part, parts[i]) == 0; op++)
                for (int back = 0; back < 2; back++)
                    profile_add(&sum, &p->row[r].op[op][back]);
        }
        cr_assert(sum.calls > 0 && sum.bytes > 0 && sum.seconds > 0, "%s did nothing", parts[i]);
        cr_assert(sum.floor > 0.999999e-9 * sum.bytes && sum.floor > 0.999999e-9 * sum.flops);
    }
    profile_clear(p);
    cr_assert(p->count == 0);
    profile_close(b);
    cr_assert(b->profile == NULL);
    net_close(net);
    b->close(b);
    arena_close(&arena);
}

static struct tensor dense(int rank, int64_t d0, int64_t d1, int64_t d2, int64_t d3)
{
    static float somewhere[4];
    return tensor_make(somewhere, TENSOR_F32, rank, d0, d1, d2, d3);
}

Test(profile, work_is_what_a_hand_counts)
{
    struct op_linear a = {.x = dense(2, 7, 5, 1, 1), .w = dense(2, 3, 5, 1, 1),
                          .b = dense(1, 3, 1, 1, 1), .y = dense(2, 7, 3, 1, 1)};
    struct op_linear g = {.w = a.w, .y = a.y};
    g.w.add = true;
    cr_assert(op_flops(OP_linear, &a, NULL) == 2 * 7 * 3 * 5);
    cr_assert(op_flops(OP_linear, &a, &g) == 2 * 7 * 3 * 5, "no gradient of x was asked for");
    g.x = a.x;
    cr_assert(op_flops(OP_linear, &a, &g) == 2 * 2 * 7 * 3 * 5);
    cr_assert(op_bytes(OP_linear, &a, NULL) == 4 * (35 + 15 + 3 + 21));
    cr_assert(op_bytes(OP_linear, &a, &g) == 4 * (35 + 15 + 3 + 21 + 35 + 2 * 15),
              "inputs, upstream, and gradients, of which one is read and written");
    struct op_attention t = {.q = dense(4, 2, 3, 4, 8), .k = dense(4, 2, 5, 4, 8),
                             .v = dense(4, 2, 5, 4, 8), .y = dense(4, 2, 3, 4, 8),
                             .lse = dense(3, 2, 4, 3, 1)};
    cr_assert(op_flops(OP_attention, &t, NULL) == 4 * 2 * 3 * 4 * 5 * 8);
    cr_assert(op_flops(OP_attention, &t, &t) == 10 * 2 * 3 * 4 * 5 * 8);
    struct op_outer_mean o = {.a = dense(3, 6, 4, 2, 1), .b = dense(3, 6, 4, 2, 1),
                              .w = dense(3, 3, 2, 2, 1), .bias = dense(1, 3, 1, 1, 1),
                              .y = dense(3, 4, 4, 3, 1)};
    cr_assert(op_flops(OP_outer_mean, &o, NULL) == 2 * 8 * 8 * 6 + 2 * 16 * 4 * 3);
    struct op_fill f = {.y = dense(1, 9, 1, 1, 1)};
    cr_assert(op_flops(OP_fill, &f, NULL) == 0 && op_bytes(OP_fill, &f, NULL) == 36);
}

Test(profile, a_block_of_the_published_network_has_the_known_work)
{
    static const struct {
        int64_t length;
        double gflop; /* of one Evoformer block forward, 128 rows: counted on the reference */
    } rows[] = {{64, 27.8}, {128, 71.5}, {256, 216.1}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        /* The products of block_run, module by module, as ops with these sizes. */
        int64_t l = rows[i].length, s = 128, cells = s * l, pairs = l * l;
        const int64_t linear[][3] = {/* rows, in, out */
                                     {cells, 256, 1024}, {pairs, 128, 8},    {cells, 256, 256},
                                     {cells, 256, 1024}, {cells, 256, 256},  {cells, 256, 1024},
                                     {cells, 1024, 256}, {cells, 256, 64},   {pairs, 128, 640},
                                     {pairs, 128, 128},  {pairs, 128, 640},  {pairs, 128, 128},
                                     {pairs, 128, 516},  {pairs, 128, 128},  {pairs, 128, 516},
                                     {pairs, 128, 128},  {pairs, 128, 512},  {pairs, 512, 128}};
        double sum = 0;
        for (size_t k = 0; k < sizeof linear / sizeof *linear; k++) {
            struct op_linear a = {.x = dense(2, linear[k][0], linear[k][1], 1, 1),
                                  .w = dense(2, linear[k][2], linear[k][1], 1, 1),
                                  .y = dense(2, linear[k][0], linear[k][2], 1, 1)};
            sum += op_flops(OP_linear, &a, NULL);
        }
        const int64_t attention[][3] = {{s, l, 8}, {l, s, 8}, {l, l, 4}, {l, l, 4}};
        for (size_t k = 0; k < sizeof attention / sizeof *attention; k++) {
            struct tensor q = dense(4, attention[k][0], attention[k][1], attention[k][2], 32);
            struct op_attention a = {.q = q, .k = q, .v = q, .y = q};
            sum += op_flops(OP_attention, &a, NULL);
        }
        struct tensor x = dense(3, 128, l, l, 1), ab = dense(3, s, l, 32, 1);
        struct op_matmul product = {.a = x, .b = x, .y = x};
        struct op_outer_mean outer = {.a = ab, .b = ab, .w = dense(3, 128, 32, 32, 1),
                                      .y = dense(3, l, l, 128, 1)};
        sum += 2 * op_flops(OP_matmul, &product, NULL) + op_flops(OP_outer_mean, &outer, NULL);
        cr_assert(sum > 0.98e9 * rows[i].gflop && sum < 1.02e9 * rows[i].gflop,
                  "crop %lld: %.2f GFLOP, wanted %.1f", (long long)l, sum * 1e-9, rows[i].gflop);
    }
}

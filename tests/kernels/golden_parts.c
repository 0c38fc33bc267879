/* Primitives, embedder, heads and losses against the reference: outputs and all gradients, in
 * float and in double. */
#include "kernels/net/targets.h"
#include "tests/kernels/golden.h"

typedef void case_run(struct golden *g, struct backend *b);

static void run_case(const char *name, case_run *run)
{
    struct golden g;
    golden_open(&g, name);
    struct backend *backend[2] = {cpu_backend_open_double(2), golden_backend(2)};
    for (int i = 0; i < 2; i++) {
        run(&g, backend[i]);
        backend[i]->close(backend[i]);
    }
    golden_close(&g);
}

static void layer_norm_case(struct golden *g, struct backend *b)
{
    struct rig r = {0};
    struct layer norm = {.w = params_add(&r.params, "", "weight", 32, 0, INIT_ONE, false),
                         .b = params_add(&r.params, "", "bias", 32, 0, INIT_ZERO, false)};
    rig_open(&r, g, b);
    struct tape_stream x = rig_stream(&r, "in.x");
    rig_check_output(&r, layer_norm_run(&r.tape, norm, x.now), "out.y", "gout.y");
    tape_back(&r.tape);
    rig_check_input(&r, x.now, "gin.x");
    rig_close(&r);
}

Test(golden_parts, layer_norm)
{
    run_case("layer_norm", layer_norm_case);
}

static void linear_case(struct golden *g, struct backend *b)
{
    struct rig r = {0};
    struct layer linear = {.w = params_add(&r.params, "", "weight", 20, 32, INIT_LECUN, false),
                           .b = params_add(&r.params, "", "bias", 20, 0, INIT_ZERO, false)};
    rig_open(&r, g, b);
    struct tape_stream x = rig_stream(&r, "in.x");
    rig_check_output(&r, linear_run(&r.tape, linear, tensor_rows(x.now)), "out.y", "gout.y");
    tape_back(&r.tape);
    rig_check_input(&r, x.now, "gin.x");
    rig_close(&r);
}

Test(golden_parts, linear)
{
    run_case("linear", linear_case);
}

static void attention_case(struct golden *g, struct backend *b)
{
    enum { ROWS = 6, LENGTH = 13, HEADS = 4, DIMS = 8, WIDE = HEADS * DIMS };
    static const char *const names[4] = {"linear_q.weight", "linear_k.weight", "linear_v.weight",
                                         "linear_g.weight"};
    struct rig r = {0};
    struct weight w[4];
    for (int i = 0; i < 4; i++)
        w[i] = params_add(&r.params, "", names[i], WIDE, 32, INIT_GLOROT, i > 0);
    struct weight gate = params_add(&r.params, "", "linear_g.bias", WIDE, 0, INIT_ONE, false);
    struct layer out = linear_declare(&r.params, "", "linear_o", 32, WIDE, INIT_ZERO);
    rig_open(&r, g, b);
    struct tape *t = &r.tape;
    struct tape_stream x = rig_stream(&r, "in.q_x");
    struct tape_stream bias = tape_stream_open(t, HEADS, LENGTH, LENGTH);
    rig_put(b, bias.now.data, golden_values(g, "in.b2", NULL), HEADS * LENGTH * LENGTH);
    const double *mask_values = golden_values(g, "in.b1", NULL);
    struct tensor mask = tape_constant(t, b->real, 2, ROWS, LENGTH, 1, 1);
    rig_put(b, mask.data, mask_values, ROWS * LENGTH);
    struct tensor all = tape_tensor(t, 3, ROWS, LENGTH, 4 * WIDE, 1), part[4];
    tape_linear(t, (struct op_linear){.x = tensor_rows(x.now),
                                      .w = tape_weight(t, weight_join(w[0], 4 * WIDE, 32)),
                                      .y = tensor_rows(all)});
    for (int i = 0; i < 4; i++)
        part[i] = tensor_split(tensor_columns(all, i * WIDE, WIDE), HEADS, DIMS);
    struct tensor y = tape_tensor(t, 4, ROWS, LENGTH, HEADS, DIMS);
    struct tensor lse = tape_constant(t, b->real, 3, ROWS, HEADS, LENGTH, 1);
    tape_attention(t, (struct op_attention){.q = part[0],
                                            .k = part[1],
                                            .v = part[2],
                                            .gate = part[3],
                                            .gate_bias =
                                                tape_weight(t, weight_join(gate, HEADS, DIMS)),
                                            .mask = mask,
                                            .bias = bias.now,
                                            .y = y,
                                            .lse = lse});
    struct tensor flat = tensor_make(y.data, y.kind, 2, ROWS * LENGTH, WIDE, 1, 1);
    flat.slot = y.slot;
    rig_check_output(&r, linear_run(t, out, flat), "out.y", "gout.y");
    tape_back(t);
    rig_check_input(&r, x.now, "gin.q_x");
    rig_check_input(&r, bias.now, "gin.b2");
    rig_close(&r);
}

Test(golden_parts, attention_gated_bias)
{
    run_case("attention_gated_bias", attention_case);
}

static void embed_case(struct golden *g, struct backend *b)
{
    struct rig r = {0};
    struct embed e = embed_declare(&r.params, "", 32, 24);
    rig_open(&r, g, b);
    struct tape_stream m, z;
    embed_run(&r.tape, &e, rig_constant(&r, "in.tf"), rig_integers(&r, "in.ri"),
              rig_constant(&r, "in.msa"), 0, &m, &z);
    rig_check_output(&r, m.now, "out.m", "gout.m");
    rig_check_output(&r, z.now, "out.z", "gout.z");
    tape_back(&r.tape);
    rig_close(&r);
}

Test(golden_parts, input_embedder)
{
    run_case("input_embedder", embed_case);
}

static void head_case(struct golden *g, struct backend *b)
{
    struct rig r = {0};
    bool distogram = strcmp(g->name, "head_distogram") == 0;
    struct heads h = {0};
    struct layer linear =
        linear_declare(&r.params, "", "linear", distogram ? 64 : 23, distogram ? 24 : 32,
                       INIT_ZERO);
    h.distogram = h.masked_msa = linear;
    rig_open(&r, g, b);
    struct tape_stream s = rig_stream(&r, distogram ? "in.z" : "in.x");
    rig_check_output(
        &r, distogram ? distogram_run(&r.tape, &h, &s) : masked_msa_run(&r.tape, &h, &s), "out.y",
        "gout.y");
    tape_back(&r.tape);
    rig_check_input(&r, s.now, distogram ? "gin.z" : "gin.x");
    rig_close(&r);
}

Test(golden_parts, head_distogram)
{
    run_case("head_distogram", head_case);
}

Test(golden_parts, head_masked_msa)
{
    run_case("head_masked_msa", head_case);
}

static float *floats(struct golden *g, const char *key, int64_t *count)
{
    const struct npz_array *a;
    const double *values = golden_values(g, key, &a);
    float *result = arena_zero(&g->arena, a->count, sizeof *result);
    for (uint64_t i = 0; i < a->count; i++)
        result[i] = (float)values[i];
    *count = (int64_t)a->count;
    return result;
}

static void loss_case(struct golden *g, struct backend *b)
{
    struct rig r = {0};
    bool distogram = strcmp(g->name, "loss_distogram") == 0;
    rig_open(&r, g, b);
    struct tape_stream logits = rig_stream(&r, "in.logits");
    int64_t rows = logits.now.dim[0] * logits.now.dim[1], count;
    float *weight = arena_zero(&g->arena, (size_t)rows, sizeof *weight);
    struct tensor target;
    if (distogram) {
        const float *xyz = floats(g, "in.pb", &count), *mask = floats(g, "in.pbm", &count);
        int32_t *bin = arena_zero(&g->arena, (size_t)rows, sizeof *bin);
        distogram_targets(count, xyz, mask, bin, weight);
        target = tape_constant(&r.tape, TENSOR_I32, 1, rows, 1, 1, 1);
        b->copy_in(b, target.data, bin, (size_t)rows * sizeof *bin);
    } else {
        masked_msa_weights(rows, floats(g, "in.bert", &count), weight);
        target = rig_integers(&r, "in.true_msa");
    }
    double *wide = arena_zero(&g->arena, (size_t)rows, sizeof *wide);
    for (int64_t i = 0; i < rows; i++)
        wide[i] = (double)weight[i];
    struct tensor weights = tape_constant(&r.tape, b->real, 1, rows, 1, 1, 1);
    rig_put(b, weights.data, wide, rows);
    struct tensor loss = loss_run(&r.tape, logits.now, target, weights);
    rig_check_output(&r, loss, "out.y", "gout.y");
    tape_back(&r.tape);
    rig_check_input(&r, logits.now, "gin.logits");
    rig_close(&r);
}

Test(golden_parts, loss_distogram)
{
    run_case("loss_distogram", loss_case);
}

Test(golden_parts, loss_masked_msa)
{
    run_case("loss_masked_msa", loss_case);
}

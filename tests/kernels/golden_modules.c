/* Modules that update the MSA or the pair representation, against the reference: outputs and all
 * gradients, in float and in double. */
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

static void row_attention_case(struct golden *g, struct backend *b)
{
    struct rig r = {0};
    struct row_attention a = row_attention_declare(&r.params, "", 32, 24, 4, 8);
    rig_open(&r, g, b);
    struct tape_stream m = rig_stream(&r, "in.m_"), z = rig_stream(&r, "in.z"), before = m;
    struct masks masks = {.msa = rig_constant(&r, "in.mask")};
    row_attention_run(&r.tape, &a, &masks, &m, &z);
    rig_check_update(&r, &before, &m, "m_", golden_values(g, "in.mask", NULL));
    rig_check_input(&r, z.now, "gin.z");
    rig_close(&r);
}

Test(golden_modules, msa_row_att)
{
    run_case("msa_row_att", row_attention_case);
}

static void transition_case(struct golden *g, struct backend *b)
{
    struct rig r = {0};
    bool msa = strcmp(g->name, "msa_transition") == 0;
    struct transition a = transition_declare(&r.params, "", msa ? 32 : 24, 4);
    rig_open(&r, g, b);
    struct tape_stream s = rig_stream(&r, msa ? "in.m_" : "in.z"), before = s;
    transition_run(&r.tape, &a, &s);
    rig_check_update(&r, &before, &s, msa ? "m_" : "z", NULL);
    rig_close(&r);
}

Test(golden_modules, msa_transition)
{
    run_case("msa_transition", transition_case);
}

Test(golden_modules, pair_transition)
{
    run_case("pair_transition", transition_case);
}

static void triangle_case(struct golden *g, struct backend *b)
{
    struct rig r = {0};
    bool incoming = strcmp(g->name, "tri_mul_in") == 0;
    struct triangle a = triangle_declare(&r.params, "", 24, 16, incoming);
    rig_open(&r, g, b);
    struct tape_stream z = rig_stream(&r, "in.z"), before = z;
    struct masks masks = {.pair = rig_constant(&r, "in.mask")};
    triangle_run(&r.tape, &a, &masks, &z);
    rig_check_update(&r, &before, &z, "z", NULL);
    rig_close(&r);
}

Test(golden_modules, tri_mul_out)
{
    run_case("tri_mul_out", triangle_case);
}

Test(golden_modules, tri_mul_in)
{
    run_case("tri_mul_in", triangle_case);
}

static void outer_case(struct golden *g, struct backend *b)
{
    struct rig r = {0};
    struct outer_product a = outer_product_declare(&r.params, "", 32, 24, 8);
    rig_open(&r, g, b);
    struct tape_stream m = rig_stream(&r, "in.m_");
    /* the module adds to z: zeros here */
    struct tape_stream z = tape_stream_open(&r.tape, 13, 13, 24), before = z;
    double *zeros = arena_zero(&g->arena, 13 * 13 * 24, sizeof *zeros);
    rig_put(b, z.now.data, zeros, 13 * 13 * 24);
    struct masks masks = {.msa = rig_constant(&r, "in.mask")};
    masks.outer_norm = tape_constant(&r.tape, b->real, 2, 13, 13, 1, 1);
    tape_mask_norm(&r.tape, (struct op_mask_norm){
                                .mask = masks.msa, .y = masks.outer_norm, .eps = OUTER_NORM_EPS});
    outer_product_run(&r.tape, &a, &masks, &m, &z);
    const char *where = b->real == TENSOR_F64 ? "double" : "float";
    golden_check(g, "out.y", rig_get(&r, z.now.data, 13 * 13 * 24), 13 * 13 * 24, where);
    cr_assert(before.now.data != z.now.data, "a recorded stream keeps its versions");
    const double *up = golden_values(g, "gout.y", NULL);
    struct tensor staging = tape_constant(&r.tape, b->real, 3, 13, 13, 24, 1);
    rig_put(b, staging.data, up, 13 * 13 * 24);
    tape_seed(&r.tape, z.now, staging.data); /* cpu memory is host memory */
    tape_back(&r.tape);
    rig_check_input(&r, m.now, "gin.m_");
    rig_close(&r);
}

Test(golden_modules, outer_product_mean)
{
    run_case("outer_product_mean", outer_case);
}

static void column_case(struct golden *g, struct backend *b)
{
    struct rig r = {0};
    struct column_attention a = column_attention_declare(&r.params, "", 32, 4, 8);
    rig_open(&r, g, b);
    struct tape_stream m = rig_stream(&r, "in.m_"), before = m;
    struct masks masks = {.msa_columns = mask_turn(&r.tape, rig_constant(&r, "in.mask"))};
    column_attention_run(&r.tape, &a, &masks, &m);
    rig_check_update(&r, &before, &m, "m_", golden_values(g, "in.mask", NULL));
    rig_close(&r);
}

Test(golden_modules, msa_col_att)
{
    run_case("msa_col_att", column_case);
}

static void triangle_attention_case(struct golden *g, struct backend *b)
{
    struct rig r = {0};
    bool ending = strcmp(g->name, "tri_att_end") == 0;
    struct triangle_attention a = triangle_attention_declare(&r.params, "", 24, 2, 8, ending);
    rig_open(&r, g, b);
    struct tape_stream z = rig_stream(&r, "in.z"), before = z;
    struct masks masks = {.pair = rig_constant(&r, "in.mask")};
    masks.pair_columns = mask_turn(&r.tape, masks.pair);
    triangle_attention_run(&r.tape, &a, &masks, &z);
    rig_check_update(&r, &before, &z, "z", golden_values(g, "in.mask", NULL));
    rig_close(&r);
}

Test(golden_modules, tri_att_start)
{
    run_case("tri_att_start", triangle_attention_case);
}

Test(golden_modules, tri_att_end)
{
    run_case("tri_att_end", triangle_attention_case);
}

/* The mask's values, and the key of a stream's output, upstream gradient and input gradient. */
struct checked {
    struct tape_stream *stream;
    const char *out, *gout, *gin;
    const double *mask;
};

/* Outputs of several streams, one backward pass, and the gradients of their first versions. */
static void check_streams(struct rig *r, struct checked *c, const struct tape_stream *before,
                          int count)
{
    for (int i = 0; i < count; i++)
        rig_check_masked(r, c[i].stream->now, c[i].out, c[i].gout, c[i].mask);
    tape_back(&r->tape);
    for (int i = 0; i < count; i++)
        rig_check_input(r, before[i].now, c[i].gin);
}

static void block_case(struct golden *g, struct backend *b)
{
    struct rig r = {0};
    bool real = strcmp(g->name, "evoformer_block_true") == 0;
    struct block_sizes sizes = {.c_m = 32, .c_z = 24, .heads = 4, .head_dims = 8,
                                .outer_hidden = 8, .triangle_hidden = 16, .pair_heads = 2,
                                .pair_head_dims = 8, .transition_factor = 4,
                                .columns = COLUMNS_FULL};
    if (real)
        sizes = (struct block_sizes){.c_m = 256, .c_z = 128, .heads = 8, .head_dims = 32,
                                     .outer_hidden = 32, .triangle_hidden = 128, .pair_heads = 4,
                                     .pair_head_dims = 32, .transition_factor = 4,
                                     .columns = COLUMNS_FULL};
    if (strcmp(g->name, "extra_msa_block") == 0)
        sizes.c_m = 16, sizes.head_dims = 4, sizes.columns = COLUMNS_GLOBAL;
    struct block block = block_declare(&r.params, "", &sizes, 0);
    rig_open(&r, g, b);
    struct tape_stream s[2] = {rig_stream(&r, "in.m_"), rig_stream(&r, "in.z")};
    struct tape_stream before[2] = {s[0], s[1]};
    struct masks masks = rig_masks(&r, "in.msa_mask", "in.pair_mask");
    struct block_context context = {&block, &masks};
    tape_block(&r.tape, block_run, &context, &s[0], &s[1], true);
    struct checked checked[2] = {
        {&s[0], "out.m", "gout.m", "gin.m_", golden_values(g, "in.msa_mask", NULL)},
        {&s[1], "out.z", "gout.z", "gin.z", golden_values(g, "in.pair_mask", NULL)}};
    check_streams(&r, checked, before, 2);
    rig_close(&r);
}

Test(golden_modules, evoformer_block)
{
    run_case("evoformer_block", block_case);
}

Test(golden_modules, evoformer_block_true, .timeout = 120)
{
    run_case("evoformer_block_true", block_case);
}

Test(golden_modules, extra_msa_block)
{
    run_case("extra_msa_block", block_case);
}

static void global_case(struct golden *g, struct backend *b)
{
    struct rig r = {0};
    struct global_attention a = global_attention_declare(&r.params, "", 16, 4, 4);
    rig_open(&r, g, b);
    struct tape_stream m = rig_stream(&r, "in.m_"), before = m;
    struct masks masks = {.msa = rig_constant(&r, "in.mask")};
    masks.msa_columns = mask_turn(&r.tape, masks.msa);
    global_attention_run(&r.tape, &a, &masks, &m);
    rig_check_update(&r, &before, &m, "m_", golden_values(g, "in.mask", NULL));
    rig_close(&r);
}

Test(golden_modules, msa_col_global_att)
{
    run_case("msa_col_global_att", global_case);
}

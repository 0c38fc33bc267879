/* Modules that update the MSA or the pair representation, against the reference: outputs and all
 * gradients, in float and in double. */
#include "tests/kernels/golden.h"

typedef void case_run(struct golden *g, struct backend *b);

static void run_case(const char *name, case_run *run)
{
    struct golden g;
    golden_open(&g, name);
    struct backend *backend[2] = {cpu_backend_open_double(2), cpu_backend_open(2)};
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

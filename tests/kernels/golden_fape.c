/* The side-chain FAPE against the reference: value and gradients, in float and double. */
#include "tests/kernels/golden.h"

enum { FRAMES = 24 * 8, POINTS = 24 * 14 };

/* rotations [FRAMES,9] and translations [FRAMES,3] of 4 x 4 matrices. */
static void split(struct rig *r, const double *x, struct tensor rot, struct tensor trans)
{
    double turn[FRAMES * 9], shift[FRAMES * 3];
    for (int n = 0; n < FRAMES; n++)
        for (int i = 0; i < 3; i++) {
            shift[3 * n + i] = x[16 * n + 4 * i + 3];
            for (int j = 0; j < 3; j++)
                turn[9 * n + 3 * i + j] = x[16 * n + 4 * i + j];
        }
    rig_put(r->b, rot.data, turn, FRAMES * 9);
    rig_put(r->b, trans.data, shift, FRAMES * 3);
}

static void side_chain_case(struct golden *g, struct backend *b)
{
    struct rig r = {0};
    rig_open(&r, g, b);
    struct tape *t = &r.tape;
    double *target = golden_values(g, "in.gtf", NULL);
    const double *other = golden_values(g, "in.agf", NULL), *alt = golden_values(g, "in.alt", NULL);
    for (int i = 0; i < FRAMES * 16; i++)
        target[i] = alt[i / 128] > 0 ? other[i] : target[i];
    struct op_fape a = {.rot = tape_tensor(t, 3, 1, FRAMES, 9, 1),
                        .trans = tape_tensor(t, 3, 1, FRAMES, 3, 1),
                        .point = tape_tensor(t, 3, 1, POINTS, 3, 1),
                        .true_rot = tape_constant(t, b->real, 2, FRAMES, 9, 1, 1),
                        .true_trans = tape_constant(t, b->real, 2, FRAMES, 3, 1, 1),
                        .true_point = tape_constant(t, b->real, 2, POINTS, 3, 1, 1),
                        .frame_mask = tensor_flat(rig_constant(&r, "in.ge")),
                        .point_mask = tensor_flat(rig_constant(&r, "in.re")),
                        .loss = tape_tensor(t, 1, 1, 1, 1, 1),
                        .part = tape_constant(t, b->real, 2, 1, FRAMES, 1, 1),
                        .unit = 1, .length = 10, .clamp = 10, .clamped = 1};
    split(&r, golden_values(g, "in.frames", NULL), a.rot, a.trans);
    split(&r, target, a.true_rot, a.true_trans);
    rig_put(b, a.point.data, golden_values(g, "in.pos", NULL), POINTS * 3);
    rig_put(b, a.true_point.data, golden_values(g, "in.rp", NULL), POINTS * 3);
    tape_fape(t, a);
    const char *where = b->real == TENSOR_F64 ? "double" : "float";
    golden_check(g, "out.y", rig_get(&r, a.loss.data, 1), 1, where);
    tape_seed_value(t, a.loss, *golden_values(g, "gout.y", NULL));
    tape_back(t);
    rig_check_input(&r, a.point, "gin.pos");
    const double *dr = rig_get(&r, tape_gradient(t, a.rot).data, FRAMES * 9);
    const double *dt = rig_get(&r, tape_gradient(t, a.trans).data, FRAMES * 3);
    double frames[FRAMES * 16] = {0};
    for (int n = 0; n < FRAMES; n++)
        for (int i = 0; i < 12; i++)
            frames[16 * n + i] = i % 4 < 3 ? dr[9 * n + i / 4 * 3 + i % 4] : dt[3 * n + i / 4];
    golden_check(g, "gin.frames", frames, FRAMES * 16, where);
    rig_close(&r);
}

Test(golden_fape, side_chain)
{
    struct golden g;
    golden_open(&g, "loss_fape_sidechain");
    struct backend *backend[2] = {cpu_backend_open_double(1), cpu_backend_open(1)};
    for (int i = 0; i < 2; i++) {
        side_chain_case(&g, backend[i]);
        backend[i]->close(backend[i]);
    }
    golden_close(&g);
}

/* Rigid motion, in double: iterations of the structure module (point attention, frame update,
 * atoms) that begin in moved frames end in moved frames and moved atoms, and what they read of each
 * other is the same; the frame aligned point error does not see motion. */
#include "engine/base/arena.h"
#include "engine/base/rng.h"
#include "kernels/backend.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

enum { N = 11, H = 3, C = 4, P = 2, V = 3, Z = 5, ITERATIONS = 4, FEATURES = H * (C + 4 * V + Z) };

static struct arena arena;
static struct backend *b;
static struct rng rng;

static void begin(void)
{
    arena_open(&arena, 0);
    b = cpu_backend_open_double(2);
    rng = rng_open(11, 0, 0, "motion", 0);
}

static void end(void)
{
    b->close(b);
    arena_close(&arena);
}

TestSuite(motion, .init = begin, .fini = end);

static struct tensor empty(int rank, int64_t d0, int64_t d1, int64_t d2, int64_t d3)
{
    struct tensor t = tensor_make(NULL, TENSOR_F64, rank, d0, d1, d2, d3);
    t.data = arena_zero(&arena, (size_t)tensor_count(&t), sizeof(double));
    return t;
}

static double *numbers(struct tensor t)
{
    return t.data;
}

static struct tensor drawn(int rank, int64_t d0, int64_t d1, int64_t d2, int64_t d3, double size)
{
    struct tensor t = empty(rank, d0, d1, d2, d3);
    for (int64_t i = 0; i < tensor_count(&t); i++)
        numbers(t)[i] = size * (double)rng_normal(&rng);
    return t;
}

static struct tensor filled(int rank, int64_t d0, int64_t d1, double value)
{
    struct tensor t = empty(rank, d0, d1, 1, 1);
    for (int64_t i = 0; i < tensor_count(&t); i++)
        numbers(t)[i] = value;
    return t;
}

/* x -> R x + t; q is R's quaternion. */
struct motion {
    double q[4], r[9], t[3];
};

static void rotation_of(const double *q, double *r)
{
    double w = q[0], x = q[1], y = q[2], z = q[3];
    const double all[9] = {1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y),
                           2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x),
                           2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)};
    memcpy(r, all, sizeof all);
}

static struct motion motion_draw(void)
{
    struct motion m;
    double square = 0;
    for (int i = 0; i < 4; i++)
        m.q[i] = (double)rng_normal(&rng), square += m.q[i] * m.q[i];
    for (int i = 0; i < 4; i++)
        m.q[i] /= sqrt(square);
    rotation_of(m.q, m.r);
    for (int i = 0; i < 3; i++)
        m.t[i] = 7 * (double)rng_normal(&rng);
    return m;
}

/* count points in place; scale: what the shift is multiplied by. */
static void points_move(const struct motion *m, double *x, int64_t count, double scale)
{
    for (int64_t n = 0; n < count; n++) {
        double moved[3];
        for (int i = 0; i < 3; i++)
            moved[i] = scale * m->t[i] + m->r[3 * i] * x[3 * n] + m->r[3 * i + 1] * x[3 * n + 1] +
                       m->r[3 * i + 2] * x[3 * n + 2];
        memcpy(x + 3 * n, moved, sizeof moved);
    }
}

static void rotations_move(const struct motion *m, double *rot, int64_t count)
{
    for (int64_t n = 0; n < count; n++) {
        double turned[9] = {0};
        for (int i = 0; i < 3; i++)
            for (int j = 0; j < 3; j++)
                for (int k = 0; k < 3; k++)
                    turned[3 * i + j] += m->r[3 * i + k] * rot[9 * n + 3 * k + j];
        memcpy(rot + 9 * n, turned, sizeof turned);
    }
}

static void quaternions_move(const struct motion *m, double *quat, int64_t count)
{
    for (int64_t n = 0; n < count; n++) {
        const double *a = m->q;
        double *q = quat + 4 * n, w = q[0], x = q[1], y = q[2], z = q[3];
        q[0] = a[0] * w - a[1] * x - a[2] * y - a[3] * z;
        q[1] = a[0] * x + a[1] * w + a[2] * z - a[3] * y;
        q[2] = a[0] * y - a[1] * z + a[2] * w + a[3] * x;
        q[3] = a[0] * z + a[1] * y - a[2] * x + a[3] * w;
    }
}

static double farthest(const double *x, const double *y, int64_t count)
{
    double most = 0;
    for (int64_t i = 0; i < count; i++)
        most = fmax(most, fabs(x[i] - y[i]));
    return most;
}

struct frames {
    struct tensor quat, rot, trans;
};

/* All that does not depend on where the chain lies. */
struct module {
    struct op_ipa ipa;
    struct tensor mix; /* [FEATURES,6]: what is read becomes an update of the frames */
    struct op_atoms atoms;
};

static struct module module_make(void)
{
    struct module m = {0};
    m.ipa = (struct op_ipa){.q = drawn(3, N, H, C, 1, 1), .k = drawn(3, N, H, C, 1, 1),
                            .v = drawn(3, N, H, C, 1, 1), .qp = drawn(4, N, 3, H, P, 1),
                            .kp = drawn(4, N, 3, H, P, 1), .vp = drawn(4, N, 3, H, V, 1),
                            .bias = drawn(3, N, N, H, 1, 1), .z = drawn(3, N, N, Z, 1, 1),
                            .head = drawn(1, H, 1, 1, 1, 1), .mask = filled(1, N, 1, 1)};
    numbers(m.ipa.mask)[N - 1] = 0;
    m.mix = drawn(2, FEATURES, 6, 1, 1, 0.1);
    struct tensor angle = drawn(3, N, 7, 2, 1, 1), base = empty(3, 21, 8, 12, 1);
    for (int64_t i = 0; i < N * 7; i++) {
        double *a = numbers(angle) + 2 * i, length = hypot(a[0], a[1]);
        a[0] /= length, a[1] /= length;
    }
    for (int64_t i = 0; i < 21 * 8; i++) {
        struct motion place = motion_draw();
        memcpy(numbers(base) + 12 * i, place.r, sizeof place.r);
        memcpy(numbers(base) + 12 * i + 9, place.t, sizeof place.t);
    }
    int32_t *type = arena_zero(&arena, N, sizeof *type);
    int32_t *group = arena_zero(&arena, 21 * 14, sizeof *group);
    for (int i = 0; i < N; i++)
        type[i] = (int32_t)rng_below(&rng, 21);
    for (int i = 0; i < 21 * 14; i++)
        group[i] = (int32_t)rng_below(&rng, 8);
    m.atoms = (struct op_atoms){.angle = angle,
                                .aatype = tensor_make(type, TENSOR_I32, 1, N, 1, 1, 1),
                                .base = base,
                                .group = tensor_make(group, TENSOR_I32, 2, 21, 14, 1, 1),
                                .place = drawn(3, 21, 14, 3, 1, 2),
                                .exists = filled(2, 21, 14, 1),
                                .unit = 10};
    return m;
}

/* Iterations from these frames on; what the last one has read into features[N*FEATURES]. */
static struct frames iterate(const struct module *m, struct frames f, double *features)
{
    for (int i = 0; i < ITERATIONS; i++) {
        struct op_ipa ipa = m->ipa;
        ipa.rot = f.rot, ipa.trans = f.trans;
        ipa.o = empty(3, N, H, C, 1), ipa.point = empty(4, N, 4, H, V);
        ipa.pair = empty(3, N, H, Z, 1), ipa.p = empty(3, H, N, N, 1);
        b->ops.ipa(b, &ipa);
        struct tensor update = empty(2, N, 6, 1, 1);
        for (int n = 0; n < N; n++) {
            double *x = features + (int64_t)n * FEATURES;
            memcpy(x, numbers(ipa.o) + n * H * C, H * C * sizeof *x);
            memcpy(x + H * C, numbers(ipa.point) + n * 4 * H * V, 4 * H * V * sizeof *x);
            memcpy(x + H * C + 4 * H * V, numbers(ipa.pair) + n * H * Z, H * Z * sizeof *x);
            for (int k = 0; k < FEATURES; k++)
                for (int c = 0; c < 6; c++)
                    numbers(update)[6 * n + c] += x[k] * numbers(m->mix)[6 * k + c];
        }
        struct frames next = {empty(2, N, 4, 1, 1), empty(2, N, 9, 1, 1), empty(2, N, 3, 1, 1)};
        b->ops.frame_update(b, &(struct op_frame_update){
                                   .quat = f.quat, .trans = f.trans, .update = update,
                                   .new_quat = next.quat, .new_rot = next.rot,
                                   .new_trans = next.trans});
        f = next;
    }
    return f;
}

static struct frames frames_draw(void)
{
    struct frames f = {empty(2, N, 4, 1, 1), empty(2, N, 9, 1, 1), empty(2, N, 3, 1, 1)};
    for (int n = 0; n < N; n++) {
        struct motion place = motion_draw();
        memcpy(numbers(f.quat) + 4 * n, place.q, sizeof place.q);
        memcpy(numbers(f.rot) + 9 * n, place.r, sizeof place.r);
        memcpy(numbers(f.trans) + 3 * n, place.t, sizeof place.t);
    }
    return f;
}

static struct frames frames_moved(const struct motion *motion, struct frames from)
{
    struct frames f = {empty(2, N, 4, 1, 1), empty(2, N, 9, 1, 1), empty(2, N, 3, 1, 1)};
    memcpy(f.quat.data, from.quat.data, N * 4 * sizeof(double));
    memcpy(f.rot.data, from.rot.data, N * 9 * sizeof(double));
    memcpy(f.trans.data, from.trans.data, N * 3 * sizeof(double));
    quaternions_move(motion, f.quat.data, N);
    rotations_move(motion, f.rot.data, N);
    points_move(motion, f.trans.data, N, 1);
    return f;
}

static struct tensor atoms_of(const struct module *m, struct frames f)
{
    struct op_atoms atoms = m->atoms;
    atoms.rot = f.rot, atoms.trans = f.trans;
    atoms.frame = empty(3, N, 8, 12, 1), atoms.atom = empty(3, N, 14, 3, 1);
    b->ops.atoms(b, &atoms);
    return atoms.atom;
}

Test(motion, the_structure_module_moves_with_its_frames)
{
    static double here[N * FEATURES], there[N * FEATURES];
    struct module m = module_make();
    struct frames start = frames_draw();
    for (int trial = 0; trial < 5; trial++) {
        struct motion motion = motion_draw();
        struct frames end_here = iterate(&m, start, here);
        struct frames end_there = iterate(&m, frames_moved(&motion, start), there);
        struct frames moved = frames_moved(&motion, end_here);
        cr_assert(farthest(here, there, N * FEATURES) < 1e-9, "residues read the same: %g",
                  farthest(here, there, N * FEATURES));
        cr_assert(farthest(end_there.rot.data, moved.rot.data, N * 9) < 1e-10, "rotations");
        cr_assert(farthest(end_there.trans.data, moved.trans.data, N * 3) < 1e-9, "translations");
        cr_assert(farthest(end_here.trans.data, start.trans.data, N * 3) > 0.1, "frames change");
        struct tensor atoms = atoms_of(&m, end_here), far = atoms_of(&m, end_there);
        points_move(&motion, atoms.data, N * 14, m.atoms.unit);
        cr_assert(farthest(atoms.data, far.data, N * 14 * 3) < 1e-8, "atoms: %g",
                  farthest(atoms.data, far.data, N * 14 * 3));
    }
}

static double fape(struct frames f, struct tensor point, struct frames truth,
                   struct tensor true_point)
{
    struct tensor loss = empty(1, 1, 1, 1, 1);
    struct op_fape a = {.rot = f.rot, .trans = f.trans, .point = point, .true_rot = truth.rot,
                        .true_trans = truth.trans, .true_point = true_point,
                        .frame_mask = filled(1, N, 1, 1), .point_mask = filled(1, N, 1, 1),
                        .loss = loss, .part = empty(2, 1, N, 1, 1), .unit = 10, .length = 10,
                        .clamp = 10, .clamped = 0.5};
    numbers(a.frame_mask)[2] = numbers(a.point_mask)[5] = 0;
    a.rot = tensor_make(f.rot.data, TENSOR_F64, 3, 1, N, 9, 1);
    a.trans = tensor_make(f.trans.data, TENSOR_F64, 3, 1, N, 3, 1);
    b->ops.fape(b, &a);
    return numbers(loss)[0];
}

static struct tensor points_moved(const struct motion *m, struct tensor x)
{
    struct tensor y = empty(x.rank, x.dim[0], x.dim[1], x.dim[2], 1);
    memcpy(y.data, x.data, (size_t)tensor_count(&x) * sizeof(double));
    points_move(m, y.data, tensor_count(&x) / 3, 1);
    return y;
}

Test(motion, the_frame_aligned_point_error_does_not_see_it)
{
    struct frames f = frames_draw(), truth = frames_draw();
    struct tensor point = drawn(3, 1, N, 3, 1, 1), true_point = drawn(2, N, 3, 1, 1, 8);
    double wanted = fape(f, point, truth, true_point);
    cr_assert(wanted > 0.1, "there is an error to begin with: %g", wanted);
    for (int trial = 0; trial < 5; trial++) {
        struct motion m = motion_draw();
        struct tensor moved = points_moved(&m, point), true_moved = points_moved(&m, true_point);
        double predicted = fape(frames_moved(&m, f), moved, truth, true_point);
        double real = fape(f, point, frames_moved(&m, truth), true_moved);
        cr_assert(fabs(predicted - wanted) < 1e-11 * wanted, "prediction moved: %.15g, %.15g",
                  predicted, wanted);
        cr_assert(fabs(real - wanted) < 1e-11 * wanted, "truth moved: %.15g, %.15g", real, wanted);
        cr_assert(fabs(fape(f, moved, truth, true_point) - wanted) > 1e-3 * wanted,
                  "points that move alone are seen");
    }
}

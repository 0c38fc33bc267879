/* Clipping sample by sample, against the same done slowly on the host: each sample's gradient
 * alone, its norm in double, scaled, summed; then what Adam makes of the mean. */
#include "tests/kernels/sample.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

enum { SAMPLES = 4 };

static struct net_config small(void)
{
    struct net_config c = net_config_default();
    c.length = 9, c.clusters = 5, c.c_m = 12, c.c_z = 10, c.blocks = 1;
    c.heads = 2, c.head_dims = 4, c.outer_hidden = 3, c.triangle_hidden = 6;
    return c;
}

static struct net *net_of(struct arena *arena, struct backend *b)
{
    struct net_config c = small();
    struct net *net;
    struct error err = {0};
    cr_assert(net_open(&c, b, &net, &err) == STATUS_OK, "%s", err.text);
    weights_shake(arena, net, 0.1f);
    return net;
}

static struct net_input input_of(struct arena *arena, const struct net *net, int i)
{
    struct net_input in = sample_make(arena, net_config(net), (uint64_t)i + 1, i);
    in.weight = 0.5 + 0.25 * i; /* shorter ones weigh less */
    return in;
}

/* Gradient of sample i alone, unclipped; its norm. */
static double gradient_alone(struct arena *arena, struct net *net, int i, float *gradient)
{
    struct net_input in = input_of(arena, net, i);
    struct net_loss loss;
    struct error err = {0};
    double square = 0;
    net_gradient_clear(net);
    cr_assert(net_forward(net, &in, &loss, &err) == STATUS_OK, "%s", err.text);
    net_backward(net);
    net_read(net, NET_GRADIENTS, gradient);
    for (int64_t n = 0; n < net_params(net)->size; n++)
        square += (double)gradient[n] * (double)gradient[n];
    return sqrt(square);
}

static double difference(int64_t count, const float *got, const double *wanted)
{
    double error = 0, square = 0;
    for (int64_t n = 0; n < count; n++) {
        double d = (double)got[n] - wanted[n];
        error += d * d, square += wanted[n] * wanted[n];
    }
    return sqrt(error / square);
}

Test(clip, each_sample_as_if_computed_alone)
{
    struct arena arena;
    arena_open(&arena, 0);
    struct backend *b = cpu_backend_open_double(2);
    struct net *plain = net_of(&arena, b), *clipped = net_of(&arena, b);
    struct error err = {0};
    int64_t count = net_params(plain)->size;
    float *alone = arena_zero(&arena, (size_t)count, sizeof *alone);
    double *sum = arena_zero(&arena, (size_t)count, sizeof *sum), norm[SAMPLES], clip = 0;
    for (int i = 0; i < SAMPLES; i++) /* two of four are above the mean of the norms, or so */
        clip += (norm[i] = gradient_alone(&arena, plain, i, alone)) / SAMPLES;
    cr_assert(net_clip_open(clipped, &err) == STATUS_OK, "%s", err.text);
    net_gradient_clear(clipped);
    int above = 0;
    for (int i = 0; i < SAMPLES; i++) {
        struct net_input in = input_of(&arena, clipped, i);
        struct net_loss loss;
        gradient_alone(&arena, plain, i, alone);
        double scale = norm[i] > clip ? clip / norm[i] : 1;
        above += norm[i] > clip;
        for (int64_t n = 0; n < count; n++)
            sum[n] += scale * (double)alone[n];
        cr_assert(net_forward(clipped, &in, &loss, &err) == STATUS_OK, "%s", err.text);
        double seen = net_backward_clipped(clipped, clip);
        cr_assert(fabs(seen - norm[i]) < 1e-6 * norm[i], "norm %g, wanted %g", seen, norm[i]);
    }
    cr_assert(above > 0 && above < SAMPLES, "%d of %d are clipped", above, SAMPLES);
    net_read(clipped, NET_GRADIENTS, alone);
    double error = difference(count, alone, sum);
    cr_assert(error < 2e-6, "rms error / rms %g", error);
    net_close(plain);
    net_close(clipped);
    b->close(b);
    arena_close(&arena);
}

/* With one sample a step both ways of clipping are one, but for the order of roundings. */
Test(clip, one_sample_is_its_own_mean)
{
    struct arena arena;
    arena_open(&arena, 0);
    struct backend *b = cpu_backend_open_double(2);
    struct net *step = net_of(&arena, b), *sample = net_of(&arena, b);
    struct adam_config adam = adam_config_default();
    struct error err = {0};
    struct net_loss loss;
    size_t count = (size_t)net_params(step)->size;
    float *w = arena_zero(&arena, count, sizeof *w);
    double *wanted = arena_zero(&arena, count, sizeof *wanted);
    cr_assert(net_clip_open(sample, &err) == STATUS_OK, "%s", err.text);
    adam.clip = 0.01;
    for (int i = 1; i <= 3; i++) {
        struct net_input in = input_of(&arena, step, 0);
        in.weight = 1;
        adam.clip = 0.01;
        net_gradient_clear(step);
        cr_assert(net_forward(step, &in, &loss, &err) == STATUS_OK, "%s", err.text);
        net_backward(step);
        net_update(step, &adam, 1, i);
        net_gradient_clear(sample);
        cr_assert(net_forward(sample, &in, &loss, &err) == STATUS_OK, "%s", err.text);
        cr_assert(net_backward_clipped(sample, adam.clip) > adam.clip, "it is clipped");
        adam.clip = 0;
        struct adam_result r = net_update(sample, &adam, 1, i);
        cr_assert(fabs(r.norm - 0.01) < 1e-5, "norm after clipping %g", r.norm);
    }
    net_read(step, NET_WEIGHTS, w);
    for (size_t n = 0; n < count; n++)
        wanted[n] = (double)w[n];
    net_read(sample, NET_WEIGHTS, w);
    cr_assert(difference((int64_t)count, w, wanted) < 1e-6, "%g",
              difference((int64_t)count, w, wanted));
    net_close(step);
    net_close(sample);
    b->close(b);
    arena_close(&arena);
}

/* A gradient that is no number adds nothing, and the next sample's is right again. */
Test(clip, what_is_no_number_stays_out)
{
    struct arena arena;
    arena_open(&arena, 0);
    struct backend *b = cpu_backend_open(2);
    struct net *net = net_of(&arena, b);
    struct error err = {0};
    struct net_loss loss;
    size_t count = (size_t)net_params(net)->size;
    float *first = arena_zero(&arena, count, sizeof *first);
    float *second = arena_zero(&arena, count, sizeof *second);
    cr_assert(net_clip_open(net, &err) == STATUS_OK, "%s", err.text);
    struct net_input good = input_of(&arena, net, 0), bad = input_of(&arena, net, 1);
    bad.weight = (double)INFINITY;
    net_gradient_clear(net);
    cr_assert(net_forward(net, &good, &loss, &err) == STATUS_OK, "%s", err.text);
    net_backward_clipped(net, 0.1);
    net_read(net, NET_GRADIENTS, first);
    net_gradient_clear(net);
    cr_assert(net_forward(net, &bad, &loss, &err) == STATUS_OK, "%s", err.text);
    cr_assert(!isfinite(net_backward_clipped(net, 0.1)), "the norm says so");
    cr_assert(net_forward(net, &good, &loss, &err) == STATUS_OK, "%s", err.text);
    net_backward_clipped(net, 0.1);
    net_read(net, NET_GRADIENTS, second);
    cr_assert(memcmp(first, second, count * sizeof *first) == 0, "the same bits");
    net_close(net);
    b->close(b);
    arena_close(&arena);
}

/* Adam against steps worked out by hand, clipping, warm-up, and what is skipped. */
#include "kernels/adam.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

enum { COUNT = 3 };

static struct backend *b;
static struct adam_buffers buffers;
static double *w, *g, *m, *v, *ema, *norm;

static void setup(void)
{
    b = cpu_backend_open_double(2);
    w = b->alloc(b, COUNT * sizeof *w), g = b->alloc(b, COUNT * sizeof *g);
    m = b->alloc(b, COUNT * sizeof *m), v = b->alloc(b, COUNT * sizeof *v);
    ema = b->alloc(b, COUNT * sizeof *ema), norm = b->alloc(b, sizeof *norm);
    const double start[COUNT] = {1, -2, 0.5};
    memcpy(w, start, sizeof start); /* cpu memory is host memory */
    memcpy(ema, start, sizeof start);
    buffers = (struct adam_buffers){b, COUNT, w, g, m, v, ema};
}

static void teardown(void)
{
    double *all[] = {w, g, m, v, ema, norm};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        b->release(b, all[i]);
    b->close(b);
}

static void gradient(double x, double y, double z)
{
    g[0] = x, g[1] = y, g[2] = z;
}

#define NEAR(value, wanted)                                                                        \
    cr_assert(fabs((value) - (wanted)) < 1e-12 * (1 + fabs(wanted)), "%s is %.15g, wanted %.15g",  \
              #value, (double)(value), (double)(wanted))

/* At the first step the corrected moments are g and g^2: the weights move by rate * sign(g). */
Test(adam, first_step_moves_by_the_rate, .init = setup, .fini = teardown)
{
    struct adam_config config = adam_config_default();
    config.clip = 0, config.eps = 0, config.rate = 0.01, config.ema_decay = 0.75;
    config.ema_fixed = true;
    gradient(4, -0.5, 1e-3);
    struct adam_result r = adam_step(&config, &buffers, norm, 1, 1, 0);
    cr_assert(!r.skipped, "not skipped");
    NEAR(r.norm, sqrt(16 + 0.25 + 1e-6));
    NEAR(w[0], 1 - 0.01);
    NEAR(w[1], -2 + 0.01);
    NEAR(w[2], 0.5 - 0.01);
    NEAR(m[0], 0.4);
    NEAR(v[0], 0.016);
    NEAR(ema[0], 0.75 * 1 + 0.25 * 0.99);
}

/* Gradients 1 then 3 with b1 = 0.5, b2 = 0.5: m = 0.5, then 1.75; v = 0.5, then 4.75. Corrected by
 * 1 - 0.5^2 = 0.75: m 7/3, v 19/3; the step is rate * (7/3) / (sqrt(19/3) + 1). */
Test(adam, second_step_by_hand, .init = setup, .fini = teardown)
{
    struct adam_config config = adam_config_default();
    config.clip = 0, config.eps = 1, config.rate = 0.1, config.b1 = config.b2 = 0.5;
    gradient(2, 0, 0);
    adam_step(&config, &buffers, norm, 2, 1, 0); /* two samples: the mean is 1 */
    NEAR(w[0], 1 - 0.1 * 1 / (1 + 1));
    double before = w[0];
    gradient(6, 0, 0);
    adam_step(&config, &buffers, norm, 2, 2, 1);
    NEAR(m[0], 1.75);
    NEAR(v[0], 4.75);
    NEAR(w[0], before - 0.1 * (7.0 / 3) / (sqrt(19.0 / 3) + 1));
    NEAR(w[1], -2.0);
}

/* Norm 5, clip 0.5: gradients are scaled by 0.5 / (5 + 1e-6). */
Test(adam, clips_by_the_global_norm, .init = setup, .fini = teardown)
{
    struct adam_config config = adam_config_default();
    config.clip = 0.5;
    gradient(3, 4, 0);
    struct adam_result r = adam_step(&config, &buffers, norm, 1, 1, 0);
    NEAR(r.norm, 5.0);
    NEAR(m[0], 0.1 * 3 * 0.5 / (5 + 1e-6));
    NEAR(m[1], 0.1 * 4 * 0.5 / (5 + 1e-6));
}

Test(adam, the_rate_rises_and_falls, .init = setup, .fini = teardown)
{
    struct adam_config config = adam_config_default();
    config.rate = 1, config.warmup = 10, config.decay_from = 20, config.decay_factor = 0.25;
    gradient(1, 1, 1);
    NEAR(adam_step(&config, &buffers, norm, 1, 3, 0).rate, 0.3);
    NEAR(adam_step(&config, &buffers, norm, 1, 10, 1).rate, 1.0);
    NEAR(adam_step(&config, &buffers, norm, 1, 20, 2).rate, 0.25);
}

Test(adam, skips_what_is_not_finite_or_empty, .init = setup, .fini = teardown)
{
    struct adam_config config = adam_config_default();
    const double bad[3] = {(double)NAN, (double)INFINITY, -(double)INFINITY};
    for (int i = 0; i < 3; i++) {
        gradient(1, bad[i], 1);
        struct adam_result r = adam_step(&config, &buffers, norm, 1, 1, 0);
        cr_assert(r.skipped && !isfinite(r.norm), "%g is skipped", bad[i]);
    }
    gradient(1, 1, 1);
    cr_assert(adam_step(&config, &buffers, norm, 0, 1, 0).skipped, "no samples");
    NEAR(w[1], -2.0);
    NEAR(m[0], 0.0);
    NEAR(ema[2], 0.5);
}

/* Not fixed, the decay is (1 + n) / (10 + n): 0.1 at first, then 2/11; at most ema_decay. */
Test(adam, the_moving_average_rises_to_its_decay, .init = setup, .fini = teardown)
{
    struct adam_config config = adam_config_default();
    config.ema_decay = 0.5;
    gradient(1, 1, 1);
    adam_step(&config, &buffers, norm, 1, 1, 0);
    NEAR(ema[0], 0.1 * 1 + 0.9 * w[0]);
    double before = ema[0];
    adam_step(&config, &buffers, norm, 1, 2, 1);
    NEAR(ema[0], 2.0 / 11 * before + 9.0 / 11 * w[0]);
    before = ema[0];
    adam_step(&config, &buffers, norm, 1, 3, 1000);
    NEAR(ema[0], 0.5 * before + 0.5 * w[0]);
}

/* The optimiser over flat buffers: clipping by the global norm, Adam, and the moving average of the
 * weights (EMA). A step whose gradient is not finite is skipped as a whole; the decision is made
 * from the reduced gradient, so all ranks make it alike. */
#ifndef FOLDMILL_KERNELS_ADAM_H
#define FOLDMILL_KERNELS_ADAM_H

#include "kernels/backend.h"

struct adam_config {
    double rate;        /* learning rate after the warm-up */
    int64_t warmup;     /* steps over which it rises linearly from 0; 0: none */
    int64_t decay_from; /* step at which it falls to rate * decay_factor; 0: never */
    double decay_factor;
    double b1, b2, eps; /* AF2: 0.9, 0.999, 1e-6 */
    double clip;        /* largest global norm of the mean gradient; 0: no clipping */
    double ema_decay;   /* AF2: 0.999 */
    bool ema_fixed;     /* ema_decay from the first update on, as AF2; else it rises to it as
                           (1 + n) / (10 + n) after n updates, so that the average of a short run
                           does not consist of its first weights */
};

/* The defaults: AF2 suppl. 1.11.3, without its warm-up of 128,000 samples. */
struct adam_config adam_config_default(void);

/* The buffers of one network: size reals each, in backend memory. */
struct adam_buffers {
    struct backend *backend;
    int64_t size;
    void *weights, *gradients, *moment1, *moment2, *ema;
};

struct adam_result {
    double norm;  /* global norm of the mean gradient, before clipping; may be not finite */
    double rate;  /* learning rate used */
    bool skipped; /* nothing was changed: the norm is not finite, or count is 0 */
};

/* The global norm of all numbers of a buffer (buffers->size reals). norm_memory: one real in
 * backend memory. Not finite where one of them is not. */
double adam_norm(const struct adam_buffers *buffers, void *data, void *norm_memory);

/* What a gradient of this norm is multiplied by so that it is not above clip (0: no clipping). */
double adam_clip(double norm, double clip);

/* One update number `step` (from 1) with gradients / count, count being the sum of the sample
 * weights that went into them. Skipped steps still have their number. `applied`: how many updates
 * were made before this one (for the moments' bias). norm_memory: one real in backend memory. */
struct adam_result adam_step(const struct adam_config *config, const struct adam_buffers *buffers,
                             void *norm_memory, double count, int64_t step, int64_t applied);

#endif

/* Clip, Adam, moving average: host decisions around two ops; see adam.h. */
#include "kernels/adam.h"

#include <math.h>

struct adam_config adam_config_default(void)
{
    return (struct adam_config){.rate = 1e-3,
                                .decay_factor = 0.95,
                                .b1 = 0.9,
                                .b2 = 0.999,
                                .eps = 1e-6,
                                .clip = 0.1,
                                .ema_decay = 0.999};
}

static double rate_at(const struct adam_config *config, int64_t step)
{
    double rate = config->rate;
    if (step < config->warmup)
        rate *= (double)step / (double)config->warmup;
    if (config->decay_from > 0 && step >= config->decay_from)
        rate *= config->decay_factor;
    return rate;
}

static double ema_at(const struct adam_config *config, int64_t applied)
{
    double rising = (1 + (double)applied) / (10 + (double)applied);
    return config->ema_fixed || rising > config->ema_decay ? config->ema_decay : rising;
}

static struct tensor flat(const struct adam_buffers *buffers, void *data)
{
    return tensor_make(data, buffers->backend->real, 1, buffers->size, 1, 1, 1);
}

static double read_real(struct backend *backend, const void *from)
{
    float single;
    double number;
    if (backend->real == TENSOR_F64) {
        backend->copy_out(backend, &number, from, sizeof number);
        return number;
    }
    backend->copy_out(backend, &single, from, sizeof single);
    return (double)single;
}

double adam_norm(const struct adam_buffers *buffers, void *data, void *norm_memory)
{
    struct backend *backend = buffers->backend;
    struct tensor sum = tensor_make(norm_memory, backend->real, 1, 1, 1, 1, 1);
    backend->ops.sum_squares(backend, &(struct op_sum_squares){.x = flat(buffers, data), .y = sum});
    return sqrt(read_real(backend, norm_memory));
}

double adam_clip(double norm, double clip)
{
    return clip > 0 && norm > clip ? clip / (norm + 1e-6) : 1;
}

struct adam_result adam_step(const struct adam_config *config, const struct adam_buffers *buffers,
                             void *norm_memory, double count, int64_t step, int64_t applied)
{
    struct backend *backend = buffers->backend;
    struct adam_result result = {.rate = rate_at(config, step)};
    ASSERT_INT(step, >=, 1);
    ASSERT_INT(applied, >=, 0);
    result.norm = adam_norm(buffers, buffers->gradients, norm_memory) / count;
    if (!(count > 0) || !isfinite(result.norm)) {
        result.skipped = true;
        return result;
    }
    double scale = adam_clip(result.norm, config->clip) / count, updates = (double)(applied + 1);
    backend->ops.adam(backend, &(struct op_adam){.grad = flat(buffers, buffers->gradients),
                                                 .w = flat(buffers, buffers->weights),
                                                 .m = flat(buffers, buffers->moment1),
                                                 .v = flat(buffers, buffers->moment2),
                                                 .ema = flat(buffers, buffers->ema),
                                                 .scale = scale,
                                                 .rate = result.rate,
                                                 .b1 = config->b1,
                                                 .b2 = config->b2,
                                                 .fix1 = 1 - pow(config->b1, updates),
                                                 .fix2 = 1 - pow(config->b2, updates),
                                                 .eps = config->eps,
                                                 .decay = ema_at(config, applied)});
    return result;
}

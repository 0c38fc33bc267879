/* A gather stage for tests: so many samples become one that names them all. */
#include "engine/stage.h"

#include <string.h>

enum { BUNDLE_MAX = 256 };

struct bundle_state {
    int64_t size, filled;
    int32_t number[BUNDLE_MAX];
    char first[SAMPLE_KEY_MAX + 1];
};

static enum status bundle_open(void *memory, struct stage_context *context, struct error *err)
{
    (void)err;
    if (context->rank_count > 1)
        ((struct bundle_state *)memory)->size = context->batch_size;
    return STATUS_OK;
}

static enum status bundle_finish(struct bundle_state *state, struct sample *out,
                                 struct arena *arena, struct error *err)
{
    if (state->filled == 0)
        return STATUS_EMPTY;
    enum status status = sample_open(out, span_of(state->first), err);
    if (status != STATUS_OK)
        return status;
    int32_t *number = sample_add_1(out, arena, "numbers", KIND_I32, state->size);
    float *weight = sample_add_1(out, arena, "weight", KIND_F32, state->size);
    for (int64_t i = 0; i < state->filled; i++) {
        number[i] = state->number[i];
        weight[i] = 1.0F;
    }
    state->filled = 0;
    return STATUS_OK;
}

static enum status bundle_feed(void *memory, const struct work *work, const struct sample *in,
                               struct sample *out, struct arena *arena, struct error *err)
{
    (void)work;
    struct bundle_state *state = memory;
    const struct field *number;
    enum status status = sample_need(in, "number", KIND_I32, 0, &number, err);
    if (status != STATUS_OK)
        return status;
    if (state->filled == 0)
        memcpy(state->first, in->key, sizeof state->first);
    state->number[state->filled++] = *(const int32_t *)number->data;
    return state->filled == state->size ? bundle_finish(state, out, arena, err) : STATUS_EMPTY;
}

static enum status bundle_drain(void *memory, const struct work *work, struct sample *out,
                                struct arena *arena, struct error *err)
{
    (void)work;
    return bundle_finish(memory, out, arena, err);
}

static const struct param bundle_params[] = {
    {.name = "size",
     .type = PARAM_INT,
     .offset = offsetof(struct bundle_state, size),
     .fallback = "4",
     .min = 1,
     .max = BUNDLE_MAX,
     .help = "Samples of one bundle."},
    {0},
};

static const char *const bundle_in[] = {"number:i32", NULL};
static const char *const bundle_out[] = {"numbers:i32[B]", "weight:f32[B]", NULL};

const struct stage stage_bundle = {
    .abi = STAGE_ABI,
    .version = 1,
    .flags = STAGE_GATHER,
    .name = "bundle",
    .summary = "several numbers in one sample, for tests",
    .state_size = sizeof(struct bundle_state),
    .params = bundle_params,
    .in = {bundle_in},
    .out = {bundle_out},
    .open = bundle_open,
    .feed = bundle_feed,
    .drain = bundle_drain,
};

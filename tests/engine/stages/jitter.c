/* A random work stage for tests: adds numbers drawn for (seed, epoch, position), as crop does. */
#include "engine/base/rng.h"
#include "engine/stage.h"

struct jitter_state {
    int64_t draws;
};

static enum status jitter_feed(void *memory, const struct work *work, const struct sample *in,
                               struct sample *out, struct arena *arena, struct error *err)
{
    struct jitter_state *state = memory;
    const struct field *number, *content;
    enum status status = sample_need(in, "number", KIND_I32, 0, &number, err);
    if (status == STATUS_OK)
        status = sample_need(in, "content", KIND_U8, 1, &content, err);
    if (status == STATUS_OK)
        status = sample_open(out, span_of(in->key), err);
    if (status != STATUS_OK)
        return status;
    sample_put(out, number, err);
    sample_put(out, content, err);
    for (uint32_t pass = 0; pass <= work->recycles; pass++) {
        char name[] = "draw_0";
        name[5] = (char)('0' + pass);
        int32_t *draw = sample_add_1(out, arena, name, KIND_I32, state->draws);
        struct rng rng = rng_open(work->seed, work->epoch, work->position, "jitter", pass);
        for (int64_t i = 0; i < state->draws; i++)
            draw[i] = (int32_t)rng_u32(&rng);
    }
    return STATUS_OK;
}

static const struct param jitter_params[] = {
    {.name = "draws",
     .type = PARAM_INT,
     .offset = offsetof(struct jitter_state, draws),
     .fallback = "8",
     .min = 0,
     .max = 1e6,
     .help = "Numbers to draw."},
    {0},
};

static const char *const jitter_in[] = {"number:i32", "content:u8[N]", NULL};
static const char *const jitter_out[] = {"number:i32", "content:u8[N]", "draw_0:i32[D]", NULL};

const struct stage stage_jitter = {
    .abi = STAGE_ABI,
    .version = 1,
    .flags = STAGE_RANDOM,
    .name = "jitter",
    .summary = "random numbers for a position, for tests",
    .state_size = sizeof(struct jitter_state),
    .params = jitter_params,
    .in = {jitter_in},
    .out = {jitter_out},
    .feed = jitter_feed,
};

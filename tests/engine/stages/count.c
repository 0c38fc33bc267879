/* A source for tests: samples named by number, so that an audit can tell each from every other. */
#include "engine/base/rng.h"
#include "engine/stage.h"

#include <stdio.h>

struct count_state {
    int64_t first, count, held_out_every, dear_every, dear;
};

static enum status count_list(void *memory, struct source *source, struct error *err)
{
    struct count_state *state = memory;
    struct arena arena;
    arena_open(&arena, 0);
    enum status status = STATUS_OK;
    for (int64_t i = state->first; i < state->first + state->count && status == STATUS_OK; i++) {
        struct sample sample;
        char key[32];
        arena_reset(&arena);
        snprintf(key, sizeof key, "n%07lld", (long long)i);
        status = sample_open(&sample, span_of(key), err);
        if (status != STATUS_OK)
            break;
        sample_add_i32(&sample, &arena, "number", (int32_t)i);
        sample_add_i32(&sample, &arena, "cluster_size", (int32_t)(1 + i % 4));
        sample_add_i32(&sample, &arena, "length", i % 8 < 4 ? 100 : 600);
        if (state->dear_every)
            sample_add_f32(&sample, &arena, "cost", i % state->dear_every ? 1 : (float)state->dear);
        bool out = state->held_out_every && i % state->held_out_every == 0;
        sample_add_text(&sample, &arena, "split", out ? SPAN("held_out") : SPAN("train"));
        sample_add_text(&sample, &arena, "input_digest", span_of(key));
        status = source->emit(source, &sample, err);
    }
    arena_close(&arena);
    return status;
}

static const struct param count_params[] = {
    {.name = "first",
     .type = PARAM_INT,
     .offset = offsetof(struct count_state, first),
     .fallback = "0",
     .min = 0,
     .max = 1e7,
     .help = "The first number."},
    {.name = "count",
     .type = PARAM_INT,
     .offset = offsetof(struct count_state, count),
     .fallback = "100",
     .min = 0,
     .max = 1e7,
     .help = "How many samples."},
    {.name = "held_out_every",
     .type = PARAM_INT,
     .offset = offsetof(struct count_state, held_out_every),
     .fallback = "0",
     .min = 0,
     .max = 1e7,
     .help = "Every so many samples one is held out; 0: none."},
    {.name = "dear_every",
     .type = PARAM_INT,
     .offset = offsetof(struct count_state, dear_every),
     .fallback = "0",
     .min = 0,
     .max = 1e7,
     .help = "Every so many samples one is listed as dear; 0: no costs are listed.",
     .free = true},
    {.name = "dear",
     .type = PARAM_INT,
     .offset = offsetof(struct count_state, dear),
     .fallback = "100",
     .min = 0,
     .max = 1e7,
     .help = "What a dear one costs; others cost 1.",
     .free = true},
    {0},
};

static const char *const count_out[] = {"number:i32",  "cluster_size:i32",   "length:i32",
                                        "split:u8[A]", "input_digest:u8[B]", "cost:f32?",
                                        NULL};

const struct stage stage_count = {
    .abi = STAGE_ABI,
    .version = 1,
    .flags = STAGE_SOURCE,
    .name = "count",
    .summary = "numbers, for tests",
    .state_size = sizeof(struct count_state),
    .params = count_params,
    .out = {count_out},
    .list = count_list,
};

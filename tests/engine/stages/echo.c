/* A work stage for tests: gives content that depends on the number alone, and on demand sleeps,
 * crashes, hangs, eats memory, fails or refuses. */
#include "engine/base/rng.h"
#include "engine/stage.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct echo_state {
    int64_t bytes, sleep_us, slow_every, slow_ms, poison_every, refuse_every, bare;
    const char *cure;
};

enum { POISON_KINDS = 5 };

/* One of five ways to ruin a process, chosen by the number. */
static enum status poison(int64_t which, struct error *err)
{
    switch (which % POISON_KINDS) {
    case 0:
        signal(SIGSEGV, SIG_DFL); /* a sanitizer would make an exit code of it */
        raise(SIGSEGV);
        break;
    case 1:
        abort();
    case 2:
        for (;;)
            pause();
    case 3:
        for (;;) {
            size_t size = (size_t)8 << 20;
            memset(malloc(size), 1, size);
            usleep(1000);
        }
    default:
        break;
    }
    return error_set(err, STATUS_INVALID, "number is poison");
}

static enum status echo_feed(void *memory, const struct work *work, const struct sample *in,
                             struct sample *out, struct arena *arena, struct error *err)
{
    struct echo_state *state = memory;
    const struct field *number;
    enum status status = sample_need(in, "number", KIND_I32, 0, &number, err);
    if (status != STATUS_OK)
        return status;
    int32_t n = *(const int32_t *)number->data;
    if (state->sleep_us)
        usleep((useconds_t)state->sleep_us);
    if (state->slow_every && n % state->slow_every == 0)
        usleep((useconds_t)state->slow_ms * 1000);
    bool cured = *state->cure && access(state->cure, F_OK) == 0;
    if (!cured && state->refuse_every && n % state->refuse_every == 1)
        return error_set(err, STATUS_REFUSED, "number %d may not pass", (int)n);
    if (!cured && state->poison_every && n % state->poison_every == 3)
        return poison(n / state->poison_every, err);
    status = sample_open(out, span_of(in->key), err);
    if (status != STATUS_OK)
        return status;
    sample_add_i32(out, arena, "number", n);
    unsigned char *content = sample_add_1(out, arena, "content", KIND_U8, state->bytes);
    struct rng rng = rng_open(work->seed, 0, (uint64_t)n, "echo", 0);
    for (int64_t i = 0; i < state->bytes; i += 4096)
        content[i] = (unsigned char)rng_u32(&rng);
    static const char *const weighing[] = {"cluster_size", "length"};
    for (int i = 0; i < 2 && !state->bare; i++)
        if (sample_find(in, weighing[i]))
            sample_add_i32(out, arena, weighing[i],
                           *(const int32_t *)sample_find(in, weighing[i])->data);
    struct span split = sample_text(in, "split");
    if (split.size)
        sample_add_text(out, arena, "split", split);
    struct span input = sample_text(in, "input_digest");
    if (input.size)
        sample_add_text(out, arena, "input_digest", input);
    return STATUS_OK;
}

#define COUNT(field, usual, text)                                                                  \
    {                                                                                              \
        .name = #field, .type = PARAM_INT, .offset = offsetof(struct echo_state, field),           \
        .fallback = usual, .min = 0, .max = 1e8, .help = text                                      \
    }

static const struct param echo_params[] = {
    COUNT(bytes, "16", "Bytes of content."),
    COUNT(sleep_us, "0", "Microseconds that each sample takes."),
    COUNT(slow_every, "0", "Every so many samples one is slow."),
    COUNT(slow_ms, "0", "Milliseconds that a slow one takes."),
    COUNT(poison_every, "0", "Every so many samples one ruins its process."),
    COUNT(refuse_every, "0", "Every so many samples one is refused."),
    COUNT(bare, "0", "1: without what samples are weighed by."),
    {.name = "cure",
     .type = PARAM_PATH,
     .offset = offsetof(struct echo_state, cure),
     .fallback = "",
     .help = "Where this file is, nothing is poison or refused."},
    {0},
};

static const char *const echo_in[] = {"number:i32", NULL};
static const char *const echo_out[] = {"number:i32",  "content:u8[N]", "cluster_size:i32?",
                                       "length:i32?", "split:u8[A]?",  "input_digest:u8[B]?",
                                       NULL};

const struct stage stage_echo = {
    .abi = STAGE_ABI,
    .version = 1,
    .name = "echo",
    .summary = "content for a number, for tests",
    .state_size = sizeof(struct echo_state),
    .params = echo_params,
    .in = {echo_in},
    .out = {echo_out},
    .feed = echo_feed,
};

/* A sink for tests, as train is one: takes bundles in order, keeps what it took in a table that its
 * checkpoints cover, so that an audit can say which number was used when, and how often. */
#include "engine/base/arena.h"
#include "engine/base/file.h"
#include "engine/base/meet.h"
#include "engine/base/text.h"
#include "engine/stage.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SHARE_MAX = 256 };

struct tally_state {
    int64_t epochs, epoch_length, steps, checkpoint_every, sleep_us, recycles;
    int weights;
    bool shuffle;
    struct stage_context *context;
    char *text; /* what was taken since the beginning: "step epoch number...\n" */
    size_t size, room;
    void *journal;
};

/* What a rank tells the others of its share of a step. */
struct share {
    int64_t count;
    int32_t number[SHARE_MAX];
};

static enum status tally_open(void *memory, struct stage_context *context, struct error *err)
{
    (void)err;
    struct tally_state *state = memory;
    state->context = context;
    context->terms = (struct sink_terms){.epochs = (uint64_t)state->epochs,
                                         .steps_max = (uint64_t)state->steps,
                                         .recycles_max = (uint32_t)state->recycles,
                                         .checkpoint_steps = (uint64_t)state->checkpoint_every,
                                         .ordered = true,
                                         .shuffled = state->shuffle,
                                         .meet_bytes = sizeof(struct share)};
    return STATUS_OK;
}

static void append(struct tally_state *state, const char *text)
{
    size_t size = strlen(text);
    while (state->size + size + 1 > state->room) {
        state->room = state->room ? 2 * state->room : 1 << 16;
        state->text = realloc(state->text, state->room);
        ASSERT(state->text);
    }
    memcpy(state->text + state->size, text, size + 1);
    state->size += size;
}

static enum status take_share(const struct sample *in, struct share *share, struct error *err)
{
    const struct field *numbers, *weight;
    share->count = 0;
    if (!in)
        return STATUS_OK; /* nothing of the step is this rank's */
    enum status status = sample_need(in, "numbers", KIND_I32, 1, &numbers, err);
    if (status == STATUS_OK)
        status = sample_need(in, "weight", KIND_F32, 1, &weight, err);
    for (int64_t i = 0; status == STATUS_OK && i < numbers->size[0]; i++)
        if (((const float *)weight->data)[i] != 0.0F)
            share->number[share->count++] = ((const int32_t *)numbers->data)[i];
    return status;
}

/* Every rank keeps what all have taken, in their order. */
static enum status tally_feed(void *memory, const struct work *work, const struct sample *in,
                              struct sample *out, struct arena *arena, struct error *err)
{
    (void)out, (void)arena;
    struct tally_state *state = memory;
    struct meet *meet = state->context->meet;
    struct share *own =
        (void *)((char *)meet_region(meet, meet_rank(meet)) + state->context->meet_from);
    enum status status = take_share(in, own, err);
    meet_wrote(meet, meet_rank(meet), state->context->meet_from, sizeof *own, MEET_ALL);
    if (status == STATUS_OK)
        status = meet_wait(meet, NULL, NULL, err);
    if (status != STATUS_OK)
        return status;
    char text[64];
    snprintf(text, sizeof text, "%llu %llu", (unsigned long long)work->step,
             (unsigned long long)work->epoch);
    append(state, text);
    double sum = 0;
    for (int rank = 0; rank < meet_ranks(meet); rank++) {
        const struct share *share =
            (void *)((char *)meet_region(meet, rank) + state->context->meet_from);
        for (int64_t i = 0; i < share->count; i++) {
            snprintf(text, sizeof text, " %d", share->number[i]);
            append(state, text);
            sum += share->number[i];
        }
    }
    append(state, "\n");
    state->context->report(state->context, "sum", sum);
    if (state->sleep_us)
        usleep((useconds_t)state->sleep_us);
    return meet_wait(meet, NULL, NULL, err); /* nobody writes before all have read */
}

static enum status tally_save(void *memory, const struct sink_position *position, struct error *err)
{
    struct tally_state *state = memory;
    struct arena arena;
    arena_open(&arena, 0);
    char *path = arena_printf(&arena, "%s/tally", state->context->run_dir);
    char head[96];
    int head_size =
        snprintf(head, sizeof head, "%llu %llu %llu %zu\n", (unsigned long long)position->step,
                 (unsigned long long)position->epoch, (unsigned long long)position->position,
                 position->journal_size);
    size_t size = (size_t)head_size + position->journal_size + state->size;
    char *all = arena_alloc(&arena, size);
    memcpy(all, head, (size_t)head_size);
    if (position->journal_size)
        memcpy(all + head_size, position->journal, position->journal_size);
    if (state->size)
        memcpy(all + head_size + position->journal_size, state->text, state->size);
    enum status status = file_write_atomic(path, (struct span){all, size}, err);
    arena_close(&arena);
    return status;
}

static enum status tally_load(void *memory, struct sink_position *position, struct error *err)
{
    struct tally_state *state = memory;
    struct arena arena;
    arena_open(&arena, 0);
    char *path = arena_printf(&arena, "%s/tally", state->context->run_dir);
    struct span content, line;
    if (access(path, F_OK)) {
        arena_close(&arena);
        return STATUS_MISS;
    }
    enum status status = file_read(path, SAMPLE_BYTES_MAX, &arena, &content, err);
    unsigned long long step, epoch, at;
    size_t journal;
    if (status == STATUS_OK &&
        (!span_line(&content, &line) ||
         sscanf(line.data, "%llu %llu %llu %zu", &step, &epoch, &at, &journal) != 4 ||
         journal > content.size))
        status = error_set(err, STATUS_CORRUPT, "%s: not a tally", path);
    if (status == STATUS_OK) {
        state->journal = malloc(journal + 1);
        ASSERT(state->journal);
        memcpy(state->journal, content.data, journal);
        *position = (struct sink_position){step, epoch, at, state->journal, journal};
        append(state, arena_text(&arena, content.data + journal, content.size - journal));
    }
    arena_close(&arena);
    return status;
}

static void tally_close(void *memory)
{
    struct tally_state *state = memory;
    free(state->text);
    free(state->journal);
}

#define NUMBER(field, usual, text)                                                                 \
    {                                                                                              \
        .name = #field, .type = PARAM_INT, .offset = offsetof(struct tally_state, field),          \
        .fallback = usual, .min = 0, .max = 1e8, .help = text                                      \
    }

static const char *const weights_choices[] = {"uniform", "openfold", NULL};

static const struct param tally_params[] = {
    NUMBER(epochs, "1", "Passes over the list."),
    NUMBER(epoch_length, "0", "Samples of an epoch; 0: as many as the list has."),
    {.name = "weights",
     .type = PARAM_CHOICE,
     .offset = offsetof(struct tally_state, weights),
     .choices = weights_choices,
     .fallback = "uniform",
     .help = "As train's."},
    NUMBER(steps, "0", "Steps after which it ends; 0: no limit."),
    NUMBER(checkpoint_every, "0", "Steps between two checkpoints."),
    NUMBER(sleep_us, "0", "Microseconds that a step takes."),
    NUMBER(recycles, "0", "Most recycling passes of a step."),
    {.name = "shuffle",
     .type = PARAM_BOOL,
     .offset = offsetof(struct tally_state, shuffle),
     .fallback = "true",
     .help = "Whether each epoch has its own order."},
    {0},
};

static const char *const tally_in[] = {"numbers:i32[B]", "weight:f32[B]", NULL};

const struct stage stage_tally = {
    .abi = STAGE_ABI,
    .version = 1,
    .flags = STAGE_SINK | STAGE_SINGLE | STAGE_RANKS,
    .name = "tally",
    .summary = "counts what it gets, for tests",
    .state_size = sizeof(struct tally_state),
    .params = tally_params,
    .in = {tally_in},
    .open = tally_open,
    .feed = tally_feed,
    .save = tally_save,
    .load = tally_load,
    .close = tally_close,
};

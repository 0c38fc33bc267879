/* Batch: stacks the samples of a step on a new first axis, inside the sink's process. Where sizes
 * differ (lists, whole chains), each gets the largest, and zeros fill up; the places of an
 * incomplete step, and of samples that were set aside, are zeros of weight 0. */
#include "engine/stage.h"
#include "stages/bio/compact.h"

#include <string.h>

struct batch_state {
    int64_t size;
    int64_t count;         /* samples taken for the step in hand */
    struct arena arena;    /* they are copied here: what feed lends is gone when it returns */
    struct sample *samples;
    struct sample batch;   /* the stacked fields, so far without data */
};

static enum status batch_open(void *state, struct stage_context *context, struct error *err)
{
    (void)err;
    struct batch_state *batch = state;
    arena_open(&batch->arena, 0);
    if (context->rank_count > 1)
        batch->size = context->batch_size; /* the rank's share */
    return STATUS_OK;
}

/* Makes the fields of a batch: those of its first sample, without any places yet. */
static enum status batch_begin(struct batch_state *state, const struct sample *first,
                               struct error *err)
{
    struct sample *batch = &state->batch;
    arena_reset(&state->arena);
    if (first->field_count + 2 > SAMPLE_FIELDS_MAX)
        return error_set(err, STATUS_INVALID, "sample %s has %d fields; a batch takes at most %d",
                         first->key, first->field_count, SAMPLE_FIELDS_MAX - 2);
    if (sample_find(first, "weight") || sample_find(first, "keys"))
        return error_set(err, STATUS_INVALID, "sample %s has a field weight or keys: batch adds "
                         "those; give it another name", first->key);
    *batch = (struct sample){.field_count = first->field_count};
    memcpy(batch->key, "batch", sizeof "batch");
    for (int i = 0; i < first->field_count; i++) {
        const struct field *field = &first->fields[i];
        struct field *stacked = &batch->fields[i];
        if (field->rank == SAMPLE_RANK_MAX)
            return error_set(err, STATUS_INVALID, "field %s has rank %d already, the largest",
                             field->name, field->rank);
        *stacked = *field;
        stacked->rank = field->rank + 1;
        stacked->size[0] = state->size;
        memset(stacked->size + 1, 0, sizeof *stacked->size * (size_t)field->rank);
    }
    state->samples = arena_alloc(&state->arena, (size_t)state->size * sizeof *state->samples);
    return STATUS_OK;
}

/* Makes the batch's fields wide enough for a sample's, which are the same but for their sizes. */
static enum status batch_widen(const struct sample *in, struct sample *batch, struct error *err)
{
    if (in->field_count != batch->field_count)
        return error_set(err, STATUS_INVALID, "sample %s has %d fields, the first of its batch %d",
                         in->key, in->field_count, batch->field_count);
    for (int i = 0; i < in->field_count; i++) {
        const struct field *from = &in->fields[i];
        struct field *to = &batch->fields[i];
        size_t bytes;
        if (strcmp(from->name, to->name) != 0 || from->kind != to->kind ||
            from->rank + 1 != to->rank)
            return error_set(err, STATUS_INVALID,
                             "sample %s: field %s differs in name, kind or rank from the first of "
                             "its batch", in->key, from->name);
        for (int axis = 0; axis < from->rank; axis++)
            if (to->size[axis + 1] < from->size[axis])
                to->size[axis + 1] = from->size[axis];
        enum status status = field_measure(to, &bytes, err);
        if (status != STATUS_OK)
            return status;
    }
    return STATUS_OK;
}

/* Keeps a copy of a sample for the batch; a sample that does not fit changes nothing. */
static enum status batch_take(struct batch_state *state, const struct sample *in, struct error *err)
{
    struct sample before = state->batch, *copy = &state->samples[state->count];
    struct arena_mark mark = arena_mark(&state->arena);
    enum status status = batch_widen(in, &state->batch, err);
    *copy = *in;
    for (int i = 0; i < in->field_count && status == STATUS_OK; i++) {
        size_t bytes = field_bytes(&in->fields[i]);
        copy->fields[i].data = arena_try(&state->arena, bytes, 1);
        if (copy->fields[i].data)
            memcpy(copy->fields[i].data, in->fields[i].data, bytes);
        else
            status = error_set(err, STATUS_LIMIT, "no memory for %s of a batch: %zu bytes",
                               in->fields[i].name, bytes);
    }
    if (status == STATUS_OK) {
        state->count++;
    } else {
        state->batch = before;
        arena_rewind(&state->arena, mark);
    }
    return status;
}

/* Copies an array into the corner of one that is as large or larger on every axis. */
static void corner_copy(char *to, const int64_t *to_size, const char *from,
                        const int64_t *from_size, int rank, size_t item)
{
    size_t to_bytes = item, from_bytes = item;
    for (int axis = 1; axis < rank; axis++) {
        to_bytes *= (size_t)to_size[axis];
        from_bytes *= (size_t)from_size[axis];
    }
    if (rank <= 1 ||
        memcmp(to_size + 1, from_size + 1, sizeof *to_size * (size_t)(rank - 1)) == 0) {
        memcpy(to, from, from_bytes * (size_t)(rank ? from_size[0] : 1));
        return;
    }
    for (int64_t i = 0; i < from_size[0]; i++)
        corner_copy(to + (size_t)i * to_bytes, to_size + 1, from + (size_t)i * from_bytes,
                    from_size + 1, rank - 1, item);
}

/* Stacks what was taken. */
static enum status batch_give(struct batch_state *state, struct sample *out, struct error *err)
{
    struct arena *arena = &state->arena;
    struct sample *batch = &state->batch;
    size_t keys_size = 0;
    int64_t count = state->count;
    state->count = 0;
    for (int i = 0; i < batch->field_count; i++) {
        struct field *to = &batch->fields[i];
        size_t bytes = field_bytes(to), place = bytes / (size_t)state->size;
        to->data = arena_try(arena, bytes, 1);
        if (!to->data)
            return error_set(err, STATUS_LIMIT, "no memory for a batch's %s: %zu bytes", to->name,
                             bytes);
        memset(to->data, 0, bytes);
        for (int64_t b = 0; b < count; b++) {
            const struct field *from = &state->samples[b].fields[i];
            corner_copy((char *)to->data + (size_t)b * place, to->size + 1, from->data, from->size,
                        from->rank, kind_size(from->kind));
        }
    }
    float *weight = sample_add_1(batch, arena, "weight", KIND_F32, state->size);
    char *keys = arena_zero(arena, (size_t)state->size, SAMPLE_KEY_MAX + 1);
    for (int64_t b = 0; b < count; b++) {
        size_t key_size = strlen(state->samples[b].key);
        weight[b] = 1;
        memcpy(keys + keys_size, state->samples[b].key, key_size);
        keys_size += key_size;
        keys[keys_size++] = '\n';
    }
    sample_add_text(batch, arena, "keys", (struct span){keys, keys_size});
    *out = *batch;
    return STATUS_OK;
}

static enum status batch_feed(void *opaque, const struct work *work, const struct sample *in,
                              struct sample *out, struct arena *arena, struct error *err)
{
    (void)work, (void)arena;
    struct batch_state *state = opaque;
    enum status status = state->count == 0 ? batch_begin(state, in, err) : STATUS_OK;
    if (status == STATUS_OK)
        status = batch_take(state, in, err);
    if (status != STATUS_OK)
        return status;
    return state->count < state->size ? STATUS_EMPTY : batch_give(state, out, err);
}

static enum status batch_drain(void *opaque, const struct work *work, struct sample *out,
                               struct arena *arena, struct error *err)
{
    (void)work, (void)arena;
    struct batch_state *state = opaque;
    return state->count == 0 ? STATUS_EMPTY : batch_give(state, out, err);
}

static void batch_close(void *opaque)
{
    arena_close(&((struct batch_state *)opaque)->arena);
}

static void batch_sizes(const void *state, int64_t size[26])
{
    size['B' - 'A'] = ((const struct batch_state *)state)->size;
}

static const struct param batch_params[] = {
    {.name = "size", .type = PARAM_INT, .fallback = "1", .min = 1, .max = 4096,
     .offset = offsetof(struct batch_state, size), .help = "Samples of one step."},
    {.name = NULL},
};

static const char *const batch_out[] = {
    COMPACT_FIELDS(COMPACT_BATCH_ROW, COMPACT_BATCH_SCALAR_ROW) "weight:f32[B]", "keys:u8[N]",
    NULL};

const struct stage stage_batch = {
    .abi = STAGE_ABI,
    .version = 2,
    .flags = STAGE_GATHER,
    .name = "batch",
    .summary = "Stacks the samples of a step.",
    .state_size = sizeof(struct batch_state),
    .params = batch_params,
    .out = {batch_out},
    .open = batch_open,
    .feed = batch_feed,
    .drain = batch_drain,
    .close = batch_close,
    .sizes = batch_sizes,
};

/* Batch: stacks the samples of a step on a new first axis, inside the sink's process. Samples of a
 * step have equal shapes; the places of an incomplete step, and of samples that were set aside, are
 * zeros of weight 0. */
#include "engine/stage.h"

#include <string.h>

struct batch_state {
    int64_t size;
    int64_t count;       /* samples taken for the step in hand */
    struct arena arena;  /* they are copied here: what feed lends is gone when it returns */
    struct sample batch;
    float *weight;
    char *keys;          /* the samples' keys, one a line */
    size_t keys_size;
};

static enum status batch_open(void *state, struct stage_context *context, struct error *err)
{
    (void)context, (void)err;
    arena_open(&((struct batch_state *)state)->arena, 0);
    return STATUS_OK;
}

/* Memory for a batch of samples of this shape. */
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
    enum status status = sample_open(batch, SPAN("batch"), err);
    for (int i = 0; i < first->field_count && status == STATUS_OK; i++) {
        const struct field *field = &first->fields[i];
        struct field stacked = *field;
        size_t bytes;
        if (field->rank == SAMPLE_RANK_MAX)
            return error_set(err, STATUS_INVALID, "field %s has rank %d already, the largest",
                             field->name, field->rank);
        stacked.rank = field->rank + 1;
        stacked.size[0] = state->size;
        memcpy(stacked.size + 1, field->size, sizeof *field->size * (size_t)field->rank);
        status = field_measure(&stacked, &bytes, err);
        if (status == STATUS_OK) {
            stacked.data = arena_try(&state->arena, bytes, 1);
            if (!stacked.data)
                return error_set(err, STATUS_LIMIT, "no memory for a batch's %s: %zu bytes",
                                 field->name, bytes);
            memset(stacked.data, 0, bytes);
            status = sample_put(batch, &stacked, err);
        }
    }
    if (status != STATUS_OK)
        return status;
    state->weight = sample_add_1(batch, &state->arena, "weight", KIND_F32, state->size);
    state->keys = arena_zero(&state->arena, (size_t)state->size, SAMPLE_KEY_MAX + 1);
    state->keys_size = 0;
    return STATUS_OK;
}

/* Copies a sample to its place; its fields are those of the first, in the same order. */
static enum status batch_take(struct batch_state *state, const struct sample *in, struct error *err)
{
    struct sample *batch = &state->batch;
    if (in->field_count + 1 != batch->field_count)
        return error_set(err, STATUS_INVALID, "sample %s has %d fields, the first of its batch %d",
                         in->key, in->field_count, batch->field_count - 1);
    for (int i = 0; i < in->field_count; i++) {
        const struct field *from = &in->fields[i], *to = &batch->fields[i];
        if (strcmp(from->name, to->name) != 0 || from->kind != to->kind ||
            from->rank + 1 != to->rank ||
            memcmp(from->size, to->size + 1, sizeof *from->size * (size_t)from->rank) != 0)
            return error_set(err, STATUS_INVALID,
                             "sample %s: field %s differs in shape from the first of its batch",
                             in->key, from->name);
        size_t bytes = field_bytes(from);
        memcpy((char *)to->data + bytes * (size_t)state->count, from->data, bytes);
    }
    state->weight[state->count++] = 1;
    size_t key_size = strlen(in->key);
    memcpy(state->keys + state->keys_size, in->key, key_size);
    state->keys_size += key_size;
    state->keys[state->keys_size++] = '\n';
    return STATUS_OK;
}

static void batch_give(struct batch_state *state, struct sample *out)
{
    sample_add_text(&state->batch, &state->arena, "keys",
                    (struct span){state->keys, state->keys_size});
    *out = state->batch;
    state->count = 0;
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
    if (state->count < state->size)
        return STATUS_EMPTY;
    batch_give(state, out);
    return STATUS_OK;
}

static enum status batch_drain(void *opaque, const struct work *work, struct sample *out,
                               struct arena *arena, struct error *err)
{
    (void)work, (void)arena, (void)err;
    struct batch_state *state = opaque;
    if (state->count == 0)
        return STATUS_EMPTY;
    batch_give(state, out);
    return STATUS_OK;
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
    "aatype:u8[B,K]", "residue_index:i32[B,K]", "all_atom_positions:f32[B,K,37,3]",
    "all_atom_mask:u8[B,K,37]", "seq_mask:u8[B,K]", "seq_length:i32[B]", "crop_start:i32[B]",
    "msa:u8[B,P,M,K]", "true_msa:u8[B,P,M,K]", "bert_mask:u8[B,P,M,K]",
    "deletion_matrix:i16[B,P,M,K]", "cluster_counts:i16[B,P,M,K,23]",
    "cluster_deletions:i32[B,P,M,K]", "cluster_sizes:i32[B,P,M]", "msa_rows:i32[B,P]",
    "extra_msa:u8[B,P,E,K]", "extra_deletion_matrix:i16[B,P,E,K]", "extra_rows:i32[B,P]",
    "resolution:f32[B]", "is_distillation:f32[B]", "use_clamped_fape:f32[B]", "weight:f32[B]",
    "keys:u8[T]", NULL};

const struct stage stage_batch = {
    .abi = STAGE_ABI,
    .version = 1,
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

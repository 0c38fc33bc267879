/* The stage `store`: ends a fill line by keeping every sample as a record of an LMDB file, and is
 * the head of the lines that read it (`store`, `store.train`, `store.held_out`, by the text field
 * `split`). Nothing above it is random, so a record serves every epoch and every run. */
#include "engine/stage.h"

#include "engine/store.h"


struct store_state {
    const char *path;
    int compression; /* an enum store_codec: the order of `codecs` */
    uint64_t size_max;
    struct stage_context *context;
    struct store *store;
    double records, bytes; /* fed since the run started */
};

static const char *const codecs[] = {[STORE_RAW] = "none", [STORE_LZ4] = "lz4",
                                     [STORE_LZ4HC] = "lz4hc", NULL};

static const struct param params[] = {
    {.name = "path", .type = PARAM_PATH, .offset = offsetof(struct store_state, path), .free = true,
     .help = "Folder of the store, on a local disk; made when it is not there."},
    {.name = "compression", .type = PARAM_CHOICE, .fallback = "lz4", .choices = codecs,
     .free = true, .offset = offsetof(struct store_state, compression),
     .help = "How arrays are packed: lz4, lz4hc (about a third smaller, some ten times slower to "
             "write, as fast to read) or none; all can be read whatever is set."},
    {.name = "size_max", .type = PARAM_BYTES, .fallback = "0", .free = true,
     .offset = offsetof(struct store_state, size_max),
     .help = "The store does not grow beyond this; 0: as far as the disk has room."},
    {0},
};

static enum status store_stage_open(void *opaque, struct stage_context *context, struct error *err)
{
    struct store_state *state = opaque;
    state->context = context;
    if (context->replay)
        return error_set(err, STATUS_INVALID, "a replay writes nothing: it has no store to fill");
    struct store_options options = {.codec = (enum store_codec)state->compression,
                                    .bytes_max = state->size_max, .recipe = context->recipe,
                                    .recipe_text = context->recipe_text};
    return store_open_writer(state->path, &options, &state->store, err);
}

/* Size of axis `axis` of a field, for listings; 0 when it is not there. */
static uint32_t axis_size(const struct sample *sample, const char *name, int axis)
{
    const struct field *field = sample_find(sample, name);
    if (!field || field->rank <= axis || field->size[axis] > UINT32_MAX)
        return 0;
    return (uint32_t)field->size[axis];
}

static enum status store_stage_feed(void *opaque, const struct work *work, const struct sample *in,
                                    struct sample *out, struct arena *arena, struct error *err)
{
    struct store_state *state = opaque;
    (void)work, (void)out, (void)arena;
    struct store_note note = {.made = store_made(state->context->recipe, in),
                              .length = axis_size(in, "aatype", 0),
                              .rows = axis_size(in, "msa", 0)};
    enum status status = store_put(state->store, in, &note, err);
    if (status == STATUS_OK) {
        state->records++;
        state->bytes += (double)sample_bytes(in);
    }
    return status;
}

static enum status store_stage_drain(void *opaque, const struct work *work, struct sample *out,
                                     struct arena *arena, struct error *err)
{
    struct store_state *state = opaque;
    (void)work, (void)out, (void)arena;
    enum status status = store_commit(state->store, err);
    if (status == STATUS_OK && state->context->report) {
        state->context->report(state->context, "records", state->records);
        state->context->report(state->context, "bytes", state->bytes);
    }
    return status;
}

static struct store *store_stage_store(void *opaque)
{
    return ((struct store_state *)opaque)->store;
}

static void store_stage_close(void *opaque)
{
    struct store_state *state = opaque;
    store_close(state->store);
    state->store = NULL;
}

static const char *const fields_in[] = {"split:u8[P]?", "input_digest:u8[D]?", NULL};

const struct stage stage_store = {
    .abi = STAGE_ABI,
    .version = 1,
    .flags = STAGE_SINK | STAGE_STORE | STAGE_SINGLE,
    .name = "store",
    .summary = "Keeps samples as records of an LMDB file, where lines meet.",
    .state_size = sizeof(struct store_state),
    .params = params,
    .in = {fields_in},
    .open = store_stage_open,
    .feed = store_stage_feed,
    .drain = store_stage_drain,
    .store = store_stage_store,
    .close = store_stage_close,
};

/* Expand: every feature of AlphaFold's training by its own name and shape, out of the compact form
 * that crop gives. The built-in trainer does this itself, for what it needs; the stage is for
 * programs that want the features as they are: 12 MB a pass where the compact form has 0.6. */
#include "engine/stage.h"
#include "stages/bio/features.h"
#include "stages/learn/view.h"

#include <string.h>

/* Adds the features of these groups; those of a pass get the axis P in front. */
static void features_add(const struct compact *compact, const struct features *features,
                         unsigned groups, struct arena *arena, struct sample *out)
{
    for (const struct feature *row = feature_table; row->name; row++) {
        enum kind kind = row->integer ? KIND_I64 : KIND_F32;
        int64_t size[FEATURE_RANK_MAX + 1] = {compact_size(compact, 'P')};
        int axis = row->group & FEATURES_PASS ? 1 : 0;
        int rank = axis + feature_size(row, compact, size + axis);
        const void *data;
        memcpy(&data, (const char *)features + row->member, sizeof data);
        if (!(row->group & groups) || (!axis && !data)) /* there is no structure */
            continue;
        void *to = sample_add(out, arena, row->name, kind, rank, size);
        if (!axis)
            memcpy(to, data, field_bytes(sample_find(out, row->name)));
    }
}

/* Copies the features of a pass to their places. */
static void pass_put(const struct compact *compact, const struct features *features, int64_t pass,
                     const struct sample *out)
{
    for (const struct feature *row = feature_table; row->name; row++) {
        const void *data;
        if (!(row->group & FEATURES_PASS))
            continue;
        const struct field *field = sample_find(out, row->name);
        size_t bytes = field_bytes(field) / (size_t)compact_size(compact, 'P');
        memcpy(&data, (const char *)features + row->member, sizeof data);
        memcpy((char *)field->data + (size_t)pass * bytes, data, bytes);
    }
}

/* STATUS_LIMIT when the features of all passes are more than a sample may hold. */
static enum status size_check(const struct compact *compact, struct error *err)
{
    double bytes = 0;
    for (const struct feature *row = feature_table; row->name; row++) {
        int64_t size[FEATURE_RANK_MAX];
        double count = row->group & FEATURES_PASS ? (double)compact_size(compact, 'P') : 1;
        for (int i = feature_size(row, compact, size); i-- > 0;)
            count *= (double)size[i];
        bytes += count * (row->integer ? 8 : 4);
    }
    if (bytes <= (double)SAMPLE_BYTES_MAX)
        return STATUS_OK;
    return error_set(err, STATUS_LIMIT,
                     "the features of %lld passes are %.0f MB, and %zu MB is the most: make "
                     "length, clusters or extra of crop smaller",
                     (long long)compact_size(compact, 'P'), bytes / 0x1p20,
                     SAMPLE_BYTES_MAX >> 20);
}

static enum status expand_feed(void *state, const struct work *work, const struct sample *in,
                               struct sample *out, struct arena *arena, struct error *err)
{
    (void)state, (void)work;
    struct compact compact;
    struct features features;
    enum status status = view_open(in, VIEW_ALONE, &compact, err);
    if (status == STATUS_OK)
        status = size_check(&compact, err);
    if (status == STATUS_OK)
        status = features_make(&compact, 0, FEATURES_ALL & ~(unsigned)FEATURES_PASS, arena,
                               &features, err);
    if (status != STATUS_OK)
        return status;
    features_add(&compact, &features, FEATURES_ALL, arena, out);
    for (int64_t pass = 0; pass < compact_size(&compact, 'P'); pass++) {
        struct arena_mark mark = arena_mark(arena);
        status = features_make(&compact, pass, FEATURES_PASS, arena, &features, err);
        if (status != STATUS_OK)
            return status;
        pass_put(&compact, &features, pass, out);
        arena_rewind(arena, mark);
    }
    return STATUS_OK;
}

static const char *const expand_in[] = {COMPACT_FIELDS(COMPACT_ROW, COMPACT_SCALAR_ROW) NULL};

/* Ports of the table's rows: what a group's sizes begin with, and whether it may be missing. */
#define BEGIN_CHAIN       "["
#define BEGIN_MSA         "[P,"
#define BEGIN_EXTRA       "[P,"
#define BEGIN_TEMPLATE    "["
#define BEGIN_BETA        "["
#define BEGIN_TRUTH       "["
#define OPTIONAL_CHAIN    ""
#define OPTIONAL_MSA      ""
#define OPTIONAL_EXTRA    ""
#define OPTIONAL_TEMPLATE ""
#define OPTIONAL_BETA     "?"
#define OPTIONAL_TRUTH    "?"
#define F32(name, group, sizes)  #name ":f32" BEGIN_##group sizes "]" OPTIONAL_##group,
#define I64(name, group, sizes)  #name ":i64" BEGIN_##group sizes "]" OPTIONAL_##group,
#define F32_SCALAR(name, group)  #name ":f32" OPTIONAL_##group,
#define I64_SCALAR(name, group)  #name ":i64" OPTIONAL_##group,

static const char *const expand_out[] = {FEATURES(F32, I64, F32_SCALAR, I64_SCALAR) NULL};

const struct stage stage_expand = {
    .abi = STAGE_ABI,
    .version = 1,
    .name = "expand",
    .summary = "Makes every feature of AlphaFold's training, by name, out of what crop gives.",
    .in = {expand_in},
    .out = {expand_out},
    .feed = expand_feed,
};

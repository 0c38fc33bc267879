/* A sample in its compact form is what its fields say, alone and in a batch; and what contradicts
 * itself is refused by name before anything is read by it. */
#include "tests/stages/crop_pass.h"

extern const struct stage stage_crop, stage_batch, stage_expand;

static struct arena arena;
static struct sample out;
static struct compact good;

static void sample_make(void)
{
    static struct stage_context context = {.name = "crop"};
    struct sample chain;
    struct error err;
    arena_open(&arena, 0);
    chain_make(&chain, &arena, "compact", 1, 60, 40, 0);
    void *state = stage_state(&stage_crop, "{length: 30, clusters: 8, extra: 20, blocks: 0}",
                              &context, &arena);
    stage_feed(&stage_crop, state, &(struct work){.recycles = 1}, &chain, &out, &arena);
    cr_assert(view_open(&out, VIEW_ALONE, &good, &err) == STATUS_OK, "%s", err.text);
}

static void sample_close(void)
{
    arena_close(&arena);
}

TestSuite(compact, .init = sample_make, .fini = sample_close, .timeout = 60);

static void refused(const struct compact *bad, const char *what)
{
    struct error err = {0};
    cr_assert(compact_check(bad, &err) == STATUS_INVALID, "%s", what);
    cr_assert(strstr(err.text, what), "%s: %s", what, err.text);
}

/* Changes one number, and back. */
#define CHANGED(place, value, what)                                                                \
    do {                                                                                           \
        __typeof__(place) before = (place);                                                        \
        (place) = (value);                                                                         \
        refused(&good, what);                                                                      \
        (place) = before;                                                                          \
    } while (0)

Test(compact, contradictions_are_refused_by_name)
{
    struct error err;
    int64_t cells = compact_size(&good, 'C'), deletions = compact_size(&good, 'D');
    cr_assert(deletions > 0 && compact_size(&good, 'F') > 0);
    CHANGED(*good.seq_length, 31, "seq_length");
    CHANGED(*good.seq_length, -1, "seq_length");
    CHANGED(*good.template_count, 5, "template_count");
    CHANGED(good.aatype[29], 21, "aatype");
    CHANGED(good.template_aatype[119], 22, "template_aatype");
    CHANGED(good.msa_rows[1], 9, "msa_rows");
    CHANGED(good.extra_rows[0], -1, "extra_rows");
    CHANGED(good.cluster_sizes[15], -1, "cluster_sizes");
    CHANGED(good.cluster_sizes[0], INT32_MAX, "cluster_sizes");
    CHANGED(good.msa[2 * 8 * 30 - 1], 23, "msa");
    CHANGED(good.true_msa[0], 22, "msa");
    CHANGED(good.extra_msa[2 * 20 * 30 - 1], 22, "extra_msa");
    CHANGED(good.cluster_start[17], (int32_t)cells + 1, "cluster_start");
    CHANGED(good.cluster_start[9], 0, "cluster_start");
    CHANGED(good.cluster_start[0], -1, "cluster_start");
    CHANGED(good.deletion_start[17], (int32_t)deletions + 1, "deletions");
    CHANGED(good.deletion_column[0], 30, "deletions");
    CHANGED(good.deletion_column[0], -1, "deletions");
    CHANGED(good.deletion_count[deletions - 1], -1, "deletions");
    CHANGED(good.extra_deletion_start[0], -1, "extra_deletions");
    CHANGED(good.extra_deletion_column[0], 30, "extra_deletions");
    CHANGED(good.resolution, NULL, "structure");
    CHANGED(good.all_atom_mask, NULL, "structure");
    CHANGED(good.size['W' - 'A'], 3, "arrays");
    CHANGED(good.size['S' - 'A'], 8, "arrays");
    CHANGED(good.size['P' - 'A'], 0, "arrays");
    cr_assert(compact_check(&good, &err) == STATUS_OK, "%s", err.text);
}

Test(compact, cells_that_do_not_tell_their_rows_are_refused)
{
    static const uint8_t codes[] = {31, 24, 0xe0, 0xff};
    struct features features;
    struct error err;
    for (size_t i = 0; i < sizeof codes; i++) {
        uint8_t before = good.cluster_cells[0];
        good.cluster_cells[0] = codes[i];
        enum status status = features_make(&good, 0, FEATURES_MSA, &arena, &features, &err);
        cr_assert(status == STATUS_INVALID && strstr(err.text, "cluster 0"), "%02x", codes[i]);
        good.cluster_cells[0] = before;
    }
    good.cluster_sizes[3]++;
    cr_assert(features_make(&good, 0, FEATURES_MSA, &arena, &features, &err) == STATUS_INVALID);
    cr_assert(strstr(err.text, "cluster 3"), "%s", err.text);
    cr_assert(features_make(&good, 1, FEATURES_MSA, &arena, &features, &err) == STATUS_OK);
}

Test(compact, fields_are_held_against_each_other)
{
    struct compact compact;
    for (int f = 0; f < out.field_count; f++) {
        struct sample bad = out;
        struct error err = {0};
        const char *name = out.fields[f].name;
        bad.fields[f].kind = out.fields[f].kind == KIND_I8 ? KIND_U8 : KIND_I8;
        cr_assert(view_open(&bad, VIEW_ALONE, &compact, &err) == STATUS_INVALID, "%s", name);
        cr_assert(strstr(err.text, name), "%s: %s", name, err.text);
        bad = out;
        memmove(&bad.fields[f], &bad.fields[f + 1],
                (size_t)(out.field_count - f - 1) * sizeof *bad.fields);
        bad.field_count--;
        cr_assert(view_open(&bad, VIEW_ALONE, &compact, &err) == STATUS_INVALID, "no %s", name);
        /* One row less, where another field has the same size. */
        if (out.fields[f].rank == 0 || strcmp(name, "cluster_cells") == 0)
            continue;
        bad = out;
        bad.fields[f].size[0]--;
        cr_assert(view_open(&bad, VIEW_ALONE, &compact, &err) == STATUS_INVALID, "short %s", name);
    }
}

Test(compact, a_batch_holds_each_sample)
{
    static struct stage_context context = {.name = "batch"};
    struct sample batch;
    struct compact compact;
    struct error err = {0};
    void *state = stage_state(&stage_batch, "size: 2", &context, &arena);
    const struct work work = {0};
    cr_assert(stage_batch.feed(state, &work, &out, &batch, &arena, &err) == STATUS_EMPTY);
    cr_assert(stage_batch.feed(state, &work, &out, &batch, &arena, &err) == STATUS_OK);
    for (int64_t b = 0; b < 2; b++) {
        cr_assert(view_open(&batch, b, &compact, &err) == STATUS_OK, "%s", err.text);
        for (int i = 0; i < 26; i++)
            cr_assert(compact.size[i] == good.size[i], "size %c", 'A' + i);
        cr_assert(memcmp(compact.cluster_cells, good.cluster_cells,
                         (size_t)compact_size(&good, 'C')) == 0);
        cr_assert(memcmp(compact.msa, good.msa, 2 * 8 * 30) == 0);
    }
    cr_assert(view_open(&batch, 2, &compact, &err) == STATUS_INVALID, "there are two");
    cr_assert(view_open(&batch, VIEW_ALONE, &compact, &err) == STATUS_INVALID, "it is a batch");
    cr_assert(view_open(&out, 0, &compact, &err) == STATUS_INVALID, "it is none");
    stage_batch.close(state);
}

/* The stage gives each feature of each pass under its name. */
Test(compact, expand_gives_all_features_of_all_passes)
{
    struct sample expanded;
    struct error err;
    stage_feed(&stage_expand, NULL, &(struct work){0}, &out, &expanded, &arena);
    cr_assert(expanded.field_count == 50, "%d features", expanded.field_count);
    for (int64_t pass = 0; pass < 2; pass++) {
        struct features features;
        cr_assert(features_make(&good, pass, FEATURES_ALL, &arena, &features, &err) == STATUS_OK);
        for (const struct feature *row = feature_table; row->name; row++) {
            const struct field *field = sample_find(&expanded, row->name);
            const void *want;
            bool each = row->group & FEATURES_PASS;
            memcpy(&want, (const char *)&features + row->member, sizeof want);
            cr_assert(field && field->kind == (row->integer ? KIND_I64 : KIND_F32));
            size_t bytes = field_bytes(field) / (each ? 2 : 1);
            const char *data = (const char *)field->data + (each ? (size_t)pass * bytes : 0);
            cr_assert(memcmp(data, want, bytes) == 0, "%s of pass %d", row->name, (int)pass);
        }
    }
}

/* The batch stage: samples of a step side by side, and what stands in the places that nobody took.
 */
#include "tests/stages/crops.h"
#include "stages/bio/features.h"
#include "stages/learn/view.h"

extern const struct stage stage_batch, stage_crop;

static struct arena arena;
static struct stage_context context = {.name = "batch"};
static const struct work work;

static void open(void)
{
    arena_open(&arena, 0);
}

static void close(void)
{
    arena_close(&arena);
}

TestSuite(batch, .init = open, .fini = close, .timeout = 60);

/* A small sample with numbers of its own. */
static void small_make(struct sample *sample, const char *key, int32_t number, int64_t size)
{
    cr_assert(sample_open(sample, span_of(key), NULL) == STATUS_OK);
    int32_t *values = sample_add_2(sample, &arena, "values", KIND_I32, 2, size);
    for (int i = 0; i < 2 * size; i++)
        values[i] = number + i;
    sample_add_f32(sample, &arena, "scalar", (float)number);
    sample_add_1(sample, &arena, "none", KIND_U8, 0);
}

static enum status feed(void *state, const struct sample *in, struct sample *out, struct error *err)
{
    return stage_batch.feed(state, &work, in, out, &arena, err);
}

/* The batch holds `numbers` in order, then zeros of weight 0. */
static void batch_check(const struct sample *batch, const int32_t *numbers, int count, int size,
                        const char *keys)
{
    const struct field *values = sample_find(batch, "values");
    cr_assert(values->rank == 3 && values->size[0] == size && values->size[1] == 2 &&
              values->size[2] == 3);
    const struct field *scalar = sample_find(batch, "scalar"), *none = sample_find(batch, "none");
    cr_assert(scalar->rank == 1 && scalar->size[0] == size && none->rank == 2 && !none->size[1]);
    const float *weight = field_data(batch, "weight");
    for (int b = 0; b < size; b++) {
        cr_assert(weight[b] == (b < count), "weight of place %d", b);
        cr_assert(((float *)scalar->data)[b] == (b < count ? (float)numbers[b] : 0));
        for (int i = 0; i < 6; i++)
            cr_assert(((int32_t *)values->data)[b * 6 + i] == (b < count ? numbers[b] + i : 0),
                      "place %d value %d", b, i);
    }
    struct span text = sample_text(batch, "keys");
    cr_assert(text.size == strlen(keys) && memcmp(text.data, keys, text.size) == 0, "keys: %.*s",
              (int)text.size, text.data);
}

Test(batch, stacks_and_pads_the_last)
{
    void *state = stage_state(&stage_batch, "size: 3", &context, &arena);
    struct sample in, out;
    struct error err;
    for (int round = 0; round < 2; round++) { /* a full one, and another in the same memory */
        small_make(&in, "first", 10 + round, 3);
        cr_assert(feed(state, &in, &out, &err) == STATUS_EMPTY);
        small_make(&in, "second", 20, 3);
        cr_assert(feed(state, &in, &out, &err) == STATUS_EMPTY);
        small_make(&in, "third", 30, 3);
        cr_assert(feed(state, &in, &out, &err) == STATUS_OK);
        batch_check(&out, (int32_t[]){10 + round, 20, 30}, 3, 3, "first\nsecond\nthird\n");
    }
    cr_assert(stage_batch.drain(state, &work, &out, &arena, &err) == STATUS_EMPTY, "nothing left");
    small_make(&in, "alone", 70, 3);
    cr_assert(feed(state, &in, &out, &err) == STATUS_EMPTY);
    cr_assert(stage_batch.drain(state, &work, &out, &arena, &err) == STATUS_OK);
    batch_check(&out, (int32_t[]){70}, 1, 3, "alone\n");
    cr_assert(stage_batch.drain(state, &work, &out, &arena, &err) == STATUS_EMPTY, "only once");
    stage_batch.close(state);
}

Test(batch, what_it_was_lent_may_go)
{
    void *state = stage_state(&stage_batch, "size: 2", &context, &arena);
    struct sample in, out;
    struct error err;
    small_make(&in, "one", 1, 3);
    cr_assert(feed(state, &in, &out, &err) == STATUS_EMPTY);
    memset(field_data(&in, "values"), 0xff, 24);
    memset(in.key, 'x', 3);
    small_make(&in, "two", 2, 3);
    cr_assert(feed(state, &in, &out, &err) == STATUS_OK);
    batch_check(&out, (int32_t[]){1, 2}, 2, 2, "one\ntwo\n");
    stage_batch.close(state);
}

Test(batch, refuses_samples_that_do_not_fit_and_goes_on)
{
    void *state = stage_state(&stage_batch, "size: 2", &context, &arena);
    struct sample in, other, out;
    struct error err = {0};
    small_make(&in, "one", 1, 3);
    cr_assert(feed(state, &in, &out, &err) == STATUS_EMPTY);
    small_make(&other, "more", 5, 3);
    sample_add_f32(&other, &arena, "extra", 1);
    cr_assert(feed(state, &other, &out, &err) == STATUS_INVALID && strstr(err.text, "more"));
    small_make(&other, "kind", 5, 3);
    other.fields[0].kind = KIND_F32;
    cr_assert(feed(state, &other, &out, &err) == STATUS_INVALID && strstr(err.text, "kind"));
    small_make(&other, "name", 5, 3);
    strcpy(other.fields[1].name, "sclar");
    cr_assert(feed(state, &other, &out, &err) == STATUS_INVALID && strstr(err.text, "name"));
    small_make(&other, "two", 2, 3);
    cr_assert(feed(state, &other, &out, &err) == STATUS_OK);
    batch_check(&out, (int32_t[]){1, 2}, 2, 2, "one\ntwo\n");
    stage_batch.close(state);
}

Test(batch, pads_what_is_shorter)
{
    void *state = stage_state(&stage_batch, "size: 4", &context, &arena);
    struct sample in, out;
    struct error err;
    for (int i = 0; i < 3; i++) { /* 2 x 3, 2 x 1, 2 x 0 numbers, of four places */
        small_make(&in, "some", 10 * i + 10, i == 0 ? 3 : i == 1 ? 1 : 0);
        cr_assert(feed(state, &in, &out, &err) == STATUS_EMPTY);
    }
    cr_assert(stage_batch.drain(state, &work, &out, &arena, &err) == STATUS_OK, "%s", err.text);
    const struct field *values = sample_find(&out, "values");
    cr_assert(values->rank == 3 && values->size[1] == 2 && values->size[2] == 3);
    static const int32_t want[4][2][3] = {{{10, 11, 12}, {13, 14, 15}}, {{20, 0, 0}, {21, 0, 0}}};
    cr_assert(memcmp(values->data, want, sizeof want) == 0);
    stage_batch.close(state);
}

Test(batch, refuses_ranks_and_sizes_without_end)
{
    void *state = stage_state(&stage_batch, "size: 4096", &context, &arena);
    struct sample in, out;
    struct error err = {0};
    uint8_t byte = 0;
    struct field deep = {.name = "deep", .kind = KIND_U8, .rank = SAMPLE_RANK_MAX,
                         .size = {1, 1, 1, 1, 1, 1}, .data = &byte};
    struct field wide = {.name = "wide", .kind = KIND_U8, .rank = 1, .size = {1 << 20},
                         .data = &byte};
    cr_assert(sample_open(&in, SPAN("deep"), NULL) == STATUS_OK);
    cr_assert(sample_put(&in, &deep, &err) == STATUS_OK, "%s", err.text);
    cr_assert(feed(state, &in, &out, &err) == STATUS_INVALID && strstr(err.text, "deep"));
    cr_assert(sample_open(&in, SPAN("wide"), NULL) == STATUS_OK);
    cr_assert(sample_put(&in, &wide, &err) == STATUS_OK, "%s", err.text);
    cr_assert(feed(state, &in, &out, &err) == STATUS_LIMIT, "%s", err.text); /* 4 GiB */
    cr_assert(strstr(err.text, "wide"), "%s", err.text);
    small_make(&in, "named", 1, 3);
    sample_add_f32(&in, &arena, "weight", 1);
    cr_assert(feed(state, &in, &out, &err) == STATUS_INVALID && strstr(err.text, "named"));
    cr_assert(sample_open(&in, SPAN("many"), NULL) == STATUS_OK);
    for (int f = 0; f < SAMPLE_FIELDS_MAX - 1; f++)
        sample_add_f32(&in, &arena, arena_printf(&arena, "f%d", f), 1);
    cr_assert(feed(state, &in, &out, &err) == STATUS_INVALID && strstr(err.text, "many"));
    in.field_count--;
    cr_assert(feed(state, &in, &out, &err) == STATUS_EMPTY, "%s", err.text);
    cr_assert(stage_batch.drain(state, &work, &out, &arena, &err) == STATUS_OK);
    stage_batch.close(state);
}

Test(batch, takes_what_crop_makes)
{
    static struct stage_context name = {.name = "crop"};
    void *crop = stage_state(&stage_crop, "{length: 32, clusters: 8, extra: 16}", &name, &arena);
    void *batch = stage_state(&stage_batch, "size: 3", &context, &arena);
    struct sample chain, cropped[2], out;
    struct port_table table;
    struct error err;
    for (uint32_t i = 0; i < 2; i++) {
        struct work of = {.seed = 1, .position = i, .recycles = 1};
        chain_make(&chain, &arena, i ? "long" : "short", i, 30, i ? 60 : 20, 0);
        stage_feed(&stage_crop, crop, &of, &chain, &cropped[i], &arena);
        cr_assert(stage_batch.feed(batch, &of, &cropped[i], &out, &arena, &err) == STATUS_EMPTY);
    }
    cr_assert(stage_batch.drain(batch, &work, &out, &arena, &err) == STATUS_OK);
    cr_assert(port_open(&stage_batch.out, &table, &err) == STATUS_OK);
    cr_assert(port_check(&table, &out, &err) == STATUS_OK, "%s", err.text);
    cr_assert(out.field_count == table.count);
    for (int f = 0; f < cropped[0].field_count; f++) {
        size_t place = field_bytes(&out.fields[f]) / 3;
        const char *stacked = out.fields[f].data;
        for (size_t i = 0; i < 3 * place; i++) {
            const struct field *from = i / place < 2 ? &cropped[i / place].fields[f] : NULL;
            char want = from && i % place < field_bytes(from) ? ((char *)from->data)[i % place] : 0;
            cr_assert(stacked[i] == want, "byte %zu of %s", i, out.fields[f].name);
        }
    }
    for (int64_t b = 0; b < 3; b++) { /* each is its own sample again, the last an empty one */
        struct compact c;
        struct features features;
        cr_assert(view_open(&out, b, &c, &err) == STATUS_OK, "%s", err.text);
        cr_assert(features_make(&c, 1, FEATURES_ALL, &arena, &features, &err) == STATUS_OK, "%s",
                  err.text);
        cr_assert(*c.seq_length == (b == 0 ? 20 : b == 1 ? 32 : 0));
    }
    stage_batch.close(batch);
}

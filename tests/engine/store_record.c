/* Records as bytes: what is packed comes back in every codec, whole and by rows; no changed byte
 * goes unseen; symbols in five bits are the same in every implementation; and how many bytes the
 * heavy reference case takes. */
#include "engine/base/clock.h"
#include "engine/base/file.h"
#include "engine/base/npz.h"
#include "engine/store_record.h"
#include "engine/symbols5.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

static uint32_t state = 1;

static uint32_t draw(void)
{
    state = state * 1664525u + 1013904223u;
    return state >> 8;
}

Test(symbols5, every_length_comes_back_by_every_way)
{
    uint8_t symbols[400], packed[300], back[400], plain[400];
    for (size_t count = 0; count <= 300; count++) {
        for (size_t i = 0; i < count; i++)
            symbols[i] = (uint8_t)(draw() % 32);
        memset(packed, 0xee, sizeof packed);
        memset(back, 0xee, sizeof back);
        memset(plain, 0xee, sizeof plain);
        cr_assert(symbols5_fit(symbols, count));
        symbols5_pack(symbols, count, packed);
        cr_assert(packed[symbols5_bytes(count)] == 0xee, "%zu: nothing written behind", count);
        symbols5_unpack(packed, count, back);
        symbols5_unpack_plain(packed, count, plain);
        cr_assert(memcmp(symbols, back, count) == 0 && memcmp(symbols, plain, count) == 0);
        cr_assert(back[count] == 0xee && plain[count] == 0xee, "%zu: nothing behind", count);
    }
    symbols[7] = 32;
    cr_assert(!symbols5_fit(symbols, 8) && symbols5_fit(symbols, 7));
    const uint8_t by_hand[8] = {1, 2, 3, 4, 5, 6, 7, 8}; /* 5 bits each, the first lowest */
    symbols5_pack(by_hand, 8, packed);
    cr_assert(memcmp(packed, "\x41\x0c\x52\xcc\x41", 5) == 0);
}

/* One of each: symbols with gaps, noise, zeros, scalars, texts, bools, rows longer than a chunk. */
static void fill(struct sample *sample, struct arena *arena)
{
    cr_assert(sample_open(sample, SPAN("1abc_A"), NULL) == STATUS_OK);
    uint8_t *msa = sample_add_2(sample, arena, "msa", KIND_U8, 901, 333);
    for (int64_t i = 0; i < 901 * 333; i++)
        msa[i] = i % 333 < 100 + draw() % 9 ? 21 : (uint8_t)(draw() % 20);
    float *noise = sample_add_3(sample, arena, "noise", KIND_F32, 700, 37, 3);
    for (int64_t i = 0; i < 700 * 37 * 3; i++)
        noise[i] = (float)draw() * 0.001f;
    sample_add_2(sample, arena, "zeros", KIND_I32, 5000, 7);
    uint8_t *wide = sample_add_2(sample, arena, "wide", KIND_U8, 3, 100003);
    for (int64_t i = 0; i < 3 * 100003; i++)
        wide[i] = (uint8_t)(draw() % 256);
    uint8_t *runs = sample_add_2(sample, arena, "runs", KIND_U8, 70, 2001);
    for (int64_t i = 0; i < 70 * 2001; i++)
        runs[i] = (uint8_t)(i / 500 % 256);
    uint8_t *noisy = sample_add_1(sample, arena, "noisy_symbols", KIND_U8, 777);
    for (int64_t i = 0; i < 777; i++)
        noisy[i] = (uint8_t)(draw() % 32);
    bool *mask = sample_add_1(sample, arena, "mask", KIND_BOOL, 3000);
    for (int64_t i = 0; i < 3000; i++)
        mask[i] = draw() % 2;
    sample_add_f32(sample, arena, "resolution", 2.5f);
    sample_add_3(sample, arena, "none", KIND_F32, 0, 37, 3);
    sample_add_2(sample, arena, "empty_rows", KIND_I16, 5, 0);
    sample_add_text(sample, arena, "split", SPAN("train"));
}

static struct span pack(const struct sample *sample, enum store_codec codec, struct arena *arena)
{
    struct span record;
    struct error err;
    cr_assert(record_pack(sample, codec, arena, &record, &err) == STATUS_OK, "%s", err.text);
    return record;
}

static uint32_t codec_of(struct span record, const struct record_field *field, uint32_t chunk)
{
    uint32_t codec;
    memcpy(&codec, record.data + field->table_at + chunk * (size_t)RECORD_CHUNK_BYTES + 12, 4);
    return codec;
}

static const struct record_field *view_find(const struct record_view *view, const char *name)
{
    for (int i = 0; i < view->field_count; i++)
        if (strcmp(view->fields[i].field.name, name) == 0)
            return &view->fields[i];
    cr_assert(false, "there is a field %s", name);
    return NULL;
}

Test(record, what_is_packed_comes_back)
{
    struct arena arena;
    struct sample sample, back;
    struct record_view view;
    struct error err;
    arena_open(&arena, 0);
    fill(&sample, &arena);
    size_t bytes[3];
    for (int codec = STORE_RAW; codec <= STORE_LZ4HC; codec++) {
        struct span record = pack(&sample, (enum store_codec)codec, &arena);
        bytes[codec] = record.size;
        cr_assert(record_peek(record, &view, &err) == STATUS_OK, "%s", err.text);
        cr_assert(view.raw_bytes == sample_bytes(&sample));
        cr_assert(record_load(record, &view, NULL, &arena, &back, &err) == STATUS_OK, "%s",
                  err.text);
        cr_assert(sample_digest(&back) == sample_digest(&sample));
    }
    cr_assert(bytes[STORE_RAW] > bytes[STORE_LZ4] && bytes[STORE_LZ4] >= bytes[STORE_LZ4HC]);
    struct span record = pack(&sample, STORE_LZ4, &arena);
    const struct record_field *msa = view_find(&view, "msa");
    cr_assert(record_peek(record, &view, &err) == STATUS_OK);
    cr_assert(msa->chunk_rows == 65536 / 333 && msa->chunk_count == 5);
    cr_assert(codec_of(record, msa, 0) == RECORD_5BIT_LZ4 &&
              codec_of(record, view_find(&view, "noisy_symbols"), 0) == RECORD_5BIT &&
              codec_of(record, view_find(&view, "zeros"), 0) == RECORD_LZ4 &&
              codec_of(record, view_find(&view, "wide"), 2) == RECORD_RAW);
    cr_assert(view_find(&view, "wide")->chunk_count == 3 &&
              view_find(&view, "none")->chunk_count == 0);
    arena_close(&arena);
}

Test(record, rows_are_those_of_the_whole)
{
    struct arena arena;
    struct sample sample, lazy;
    struct record_view view;
    struct error err;
    arena_open(&arena, 0);
    fill(&sample, &arena);
    struct span record = pack(&sample, STORE_LZ4, &arena);
    cr_assert(record_peek(record, &view, &err) == STATUS_OK, "%s", err.text);
    static const char *const names[] = {"msa",  "noise",      "wide", "zeros",
                                        "none", "resolution", NULL};
    for (int f = 0; names[f]; f++) {
        const struct record_field *field = view_find(&view, names[f]);
        const struct field *whole = sample_find(&sample, names[f]);
        int64_t there = whole->rank ? whole->size[0] : 1;
        int32_t rows[500];
        size_t count = there ? 500 : 0;
        for (size_t i = 0; i < count; i++)
            rows[i] = (int32_t)(draw() % (uint32_t)there);
        char *to = arena_alloc(&arena, count * field->row_bytes);
        cr_assert(record_rows(record, field, rows, count, to, &arena, &err) == STATUS_OK);
        for (size_t i = 0; i < count; i++)
            cr_assert(memcmp(to + i * field->row_bytes,
                             (char *)whole->data + (size_t)rows[i] * field->row_bytes,
                             field->row_bytes) == 0,
                      "%s row %d", names[f], rows[i]);
    }
    /* Damage in a chunk is seen by those alone who touch it, and is named. */
    char *copy = arena_alloc(&arena, record.size);
    memcpy(copy, record.data, record.size);
    const struct record_field *noise = view_find(&view, "noise");
    copy[noise->data_at + noise->stored_bytes - 1] ^= 1;
    struct span bad = {copy, record.size};
    struct record_options options = {.lazy = (const char *const[]){"noise", NULL}};
    int32_t first = 0, last = 699;
    float row[37 * 3];
    cr_assert(record_load(bad, &view, &options, &arena, &lazy, &err) == STATUS_OK, "%s", err.text);
    cr_assert(sample_find(&lazy, "noise")->data == NULL && sample_find(&lazy, "msa")->data);
    cr_assert(record_rows(bad, noise, &first, 1, row, &arena, &err) == STATUS_OK);
    cr_assert(record_rows(bad, noise, &last, 1, row, &arena, &err) == STATUS_CORRUPT &&
                  strstr(err.text, "noise"),
              "%s", err.text);
    arena_close(&arena);
}

/* A small record of two chunks: every bit of it, flipped, and every length of it, cut. */
Test(record, no_change_goes_unseen, .timeout = 60)
{
    struct arena arena;
    struct sample sample, back;
    struct record_view view;
    struct error err;
    arena_open(&arena, 0);
    cr_assert(sample_open(&sample, SPAN("k"), &err) == STATUS_OK);
    uint8_t *msa = sample_add_2(&sample, &arena, "msa", KIND_U8, 4, 300);
    for (int i = 0; i < 1200; i++)
        msa[i] = (uint8_t)(i % 300 < 200 ? 21 : draw() % 20);
    sample_add_text(&sample, &arena, "split", SPAN("train"));
    struct span record = pack(&sample, STORE_LZ4, &arena);
    char *copy = arena_alloc(&arena, record.size);
    memcpy(copy, record.data, record.size);
    struct record_options options = {.key = "k"};
    for (size_t bit = 0; bit < record.size * 8; bit++) {
        copy[bit / 8] = (char)(copy[bit / 8] ^ (1 << bit % 8));
        enum status status = record_peek((struct span){copy, record.size}, &view, &err);
        if (status == STATUS_OK)
            status =
                record_load((struct span){copy, record.size}, &view, &options, &arena, &back, &err);
        cr_assert(status == STATUS_CORRUPT || status == STATUS_INVALID, "bit %zu", bit);
        copy[bit / 8] = record.data[bit / 8];
    }
    for (size_t size = 0; size < record.size; size++)
        cr_assert(record_peek((struct span){copy, size}, &view, &err) == STATUS_CORRUPT);
    cr_assert(record_peek(record, &view, &err) == STATUS_OK);
    options.key = "other";
    cr_assert(record_load(record, &view, &options, &arena, &back, &err) == STATUS_CORRUPT &&
                  strstr(err.text, "other"),
              "%s", err.text);
    arena_close(&arena);
}

Test(record, an_arena_without_room_is_a_limit)
{
    struct arena arena, tight;
    struct sample sample, back;
    struct record_view view;
    struct error err;
    arena_open(&arena, 0);
    fill(&sample, &arena);
    struct span record = pack(&sample, STORE_LZ4, &arena);
    cr_assert(record_peek(record, &view, &err) == STATUS_OK);
    arena_open(&tight, 1 << 18);
    cr_assert(record_load(record, &view, NULL, &tight, &back, &err) == STATUS_LIMIT &&
              back.field_count == 0);
    cr_assert(record_pack(&sample, STORE_LZ4, &tight, &record, &err) == STATUS_LIMIT);
    arena_close(&tight);
    arena_close(&arena);
}

static const struct npz_array *need(const struct npz *npz, const char *name)
{
    const struct npz_array *array = npz_find(npz, name);
    cr_assert(array, "%s is there", name);
    return array;
}

/* Adds an array of the reference, whose data may be unaligned, with elements narrowed to u8. */
static void add_narrow(struct sample *sample, struct arena *arena, const struct npz_array *from)
{
    char name[FIELD_NAME_MAX + 1];
    snprintf(name, sizeof name, "%.*s", (int)from->name.size, from->name.data);
    int64_t size[SAMPLE_RANK_MAX];
    for (int d = 0; d < from->rank; d++)
        size[d] = (int64_t)from->size[d];
    uint8_t *to = sample_add(sample, arena, name, KIND_U8, from->rank, size);
    for (uint64_t i = 0; i < from->count; i++) {
        const char *at = (const char *)from->data + i * from->item_bytes;
        float value = 0;
        if (from->kind == NPZ_F32)
            memcpy(&value, at, 4);
        to[i] = from->kind == NPZ_F32 ? (uint8_t)value : (uint8_t)*at;
    }
}

static void add_same(struct sample *sample, struct arena *arena, const struct npz_array *from)
{
    char name[FIELD_NAME_MAX + 1];
    snprintf(name, sizeof name, "%.*s", (int)from->name.size, from->name.data);
    int64_t size[SAMPLE_RANK_MAX];
    for (int d = 0; d < from->rank; d++)
        size[d] = (int64_t)from->size[d];
    void *to = sample_add(sample, arena, name, from->kind == NPZ_F32 ? KIND_F32 : KIND_I32,
                          from->rank, size);
    memcpy(to, from->data, from->count * from->item_bytes);
}

/* The reference's heaviest case, as the fill line stores it: symbols and masks one byte each,
 * deletions sparse, templates as letters and atoms. */
static void heavy(struct sample *sample, struct arena *arena, const struct npz *npz)
{
    static const char *const narrow[] = {"msa", "all_atom_mask", "template_all_atom_mask", NULL};
    static const char *const same[] = {"all_atom_positions", "template_all_atom_positions",
                                       "template_sum_probs", "residue_index", NULL};
    cr_assert(sample_open(sample, SPAN("heavy"), NULL) == STATUS_OK);
    for (int i = 0; narrow[i]; i++)
        add_narrow(sample, arena, need(npz, narrow[i]));
    for (int i = 0; same[i]; i++)
        add_same(sample, arena, need(npz, same[i]));
    const struct npz_array *dense = need(npz, "deletion_matrix_int");
    int64_t rows = (int64_t)dense->size[0], length = (int64_t)dense->size[1], count = 0;
    int32_t *value = arena_alloc(arena, dense->count * 4);
    memcpy(value, dense->data, dense->count * 4);
    for (uint64_t i = 0; i < dense->count; i++)
        count += value[i] != 0;
    int32_t *start = sample_add_1(sample, arena, "deletion_start", KIND_I32, rows + 1);
    int32_t *column = sample_add_1(sample, arena, "deletion_column", KIND_I32, count);
    int32_t *deletions = sample_add_1(sample, arena, "deletion_count", KIND_I32, count);
    int32_t at = 0;
    for (int64_t r = 0; r < rows; r++) {
        for (int32_t l = 0; l < length; l++)
            if (value[r * length + l] != 0) {
                column[at] = l;
                deletions[at++] = value[r * length + l];
            }
        start[r + 1] = at;
    }
    const uint8_t *msa = sample_find(sample, "msa")->data;
    int32_t *profile = sample_add_2(sample, arena, "hhblits_profile", KIND_I32, length, 22);
    for (int64_t i = 0; i < rows * length; i++)
        profile[i % length * 22 + msa[i]]++;
    const struct npz_array *species = need(npz, "msa_species_identifiers");
    char *text = sample_add_2(sample, arena, "msa_species_identifiers", KIND_U8, rows, 5);
    for (int64_t r = 0; r < rows; r++)
        memcpy(text + r * 5, (const char *)species->data + (size_t)r * species->item_bytes,
               species->item_bytes < 5 ? species->item_bytes : 5);
}

Test(record, the_heavy_case_is_small_and_quick_to_read, .timeout = 120)
{
    const char *golden = getenv("FOLDMILL_GOLDEN");
    if (!golden)
        cr_skip("FOLDMILL_GOLDEN is not set");
    struct arena arena, reading;
    struct span content;
    struct npz npz;
    struct error err;
    struct sample sample, back;
    struct record_view view;
    char path[4096];
    static const size_t limit[] = {SIZE_MAX, 9000000, 7000000};
    arena_open(&arena, 0);
    arena_open(&reading, 0);
    snprintf(path, sizeof path, "%s/features/raw/heavy_1000_10000.npz", golden);
    cr_assert(file_read(path, (size_t)1 << 30, &arena, &content, &err) == STATUS_OK, "%s",
              err.text);
    cr_assert(npz_parse(content, &arena, &npz, &err) == STATUS_OK, "%s", err.text);
    heavy(&sample, &arena, &npz);
    for (int codec = STORE_LZ4; codec <= STORE_LZ4HC; codec++) {
        struct span record = pack(&sample, (enum store_codec)codec, &arena);
        int64_t best = INT64_MAX, best_msa = INT64_MAX;
        struct record_options msa = {.fields = (const char *const[]){"msa", NULL}};
        for (int i = 0; i < 7; i++) {
            arena_reset(&reading);
            int64_t begun = clock_ns();
            cr_assert(record_peek(record, &view, &err) == STATUS_OK, "%s", err.text);
            cr_assert(record_load(record, &view, NULL, &reading, &back, &err) == STATUS_OK);
            int64_t taken = clock_ns() - begun;
            best = taken < best ? taken : best;
            cr_assert(sample_digest(&back) == sample_digest(&sample));
            arena_reset(&reading);
            begun = clock_ns();
            cr_assert(record_load(record, &view, &msa, &reading, &back, &err) == STATUS_OK);
            taken = clock_ns() - begun;
            best_msa = taken < best_msa ? taken : best_msa;
        }
        fprintf(stderr,
                "heavy case, %s: %zu bytes raw, %zu stored (msa %zu); read in %.2f ms, "
                "%.2f GB/s of symbols\n",
                codec == STORE_LZ4 ? "lz4" : "lz4hc", view.raw_bytes, record.size,
                view_find(&view, "msa")->stored_bytes, (double)best * 1e-6, 1e7 / (double)best_msa);
        for (int i = 0; i < view.field_count; i++)
            fprintf(stderr, "  %-30s %9zu %9zu\n", view.fields[i].field.name,
                    view.fields[i].raw_bytes, view.fields[i].stored_bytes);
        cr_assert(record.size < limit[codec]);
    }
    arena_close(&reading);
    arena_close(&arena);
}

/* Writes and reads records of the size of real ones through the store, and sets the speed against
 * LMDB alone with the same bytes and against memcpy. A measurement for people, never a test:
 * figures depend on the disk and on what else the machine does.
 *
 *   bench_store [folder [records [length [rows]]]]     default: /tmp 96 300 512 */
#include "engine/base/clock.h"
#include "engine/store.h"
#include "engine/wire.h"

#include <lmdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { GROUP = 16, REPEATS = 5 };

static struct arena arena;
static const char *folder = "/tmp";
static int record_count = 96;
static int64_t length = 300, row_count = 512;
static struct sample *samples;
static double raw_mb; /* of all arrays */

static _Noreturn void fail(const char *what, const struct error *err)
{
    fprintf(stderr, "bench_store: %s%s%s\n", what, err ? ": " : "", err ? err->text : "");
    exit(1);
}

static void expect(int code, const char *what)
{
    if (code != 0) {
        fprintf(stderr, "bench_store: %s: %s\n", what, mdb_strerror(code));
        exit(1);
    }
}

static uint64_t mix(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    return *state ^= *state << 17;
}

/* A protein: an alignment whose rows are mutated copies of earlier rows, with runs of gaps;
 * coordinates of which a quarter of the atoms exist; counts per column. */
static void sample_make(struct sample *sample, int number)
{
    uint64_t state = 0x9e3779b97f4a7c15u * (uint64_t)(number + 1);
    char key[32];
    snprintf(key, sizeof key, "key_%05d", number);
    if (sample_open(sample, span_of(key), NULL) != STATUS_OK)
        fail("key", NULL);
    uint8_t *aatype = sample_add_1(sample, &arena, "aatype", KIND_U8, length);
    uint8_t *msa = sample_add_2(sample, &arena, "msa", KIND_U8, row_count, length);
    float *atoms = sample_add_3(sample, &arena, "all_atom_positions", KIND_F32, length, 37, 3);
    int32_t *profile = sample_add_2(sample, &arena, "hhblits_profile", KIND_I32, length, 22);
    for (int64_t l = 0; l < length; l++)
        msa[l] = aatype[l] = (uint8_t)(mix(&state) % 20);
    for (int64_t n = 1; n < row_count; n++) {
        const uint8_t *parent = msa + (int64_t)(mix(&state) % (uint64_t)n) * length;
        uint64_t gaps_from = mix(&state) % (uint64_t)length, gaps = mix(&state) % 40;
        for (int64_t l = 0; l < length; l++) {
            uint64_t draw = mix(&state);
            msa[n * length + l] = (uint64_t)l - gaps_from < gaps ? 21
                                  : draw % 8 == 0                ? (uint8_t)(draw / 8 % 20)
                                                                 : parent[l];
        }
    }
    for (int64_t l = 0; l < length; l++) {
        for (int64_t n = 0; n < row_count; n++)
            profile[l * 22 + msa[n * length + l]]++;
        for (int64_t a = 0; a < 5 + aatype[l] % 9; a++)
            for (int64_t x = 0; x < 3; x++)
                atoms[(l * 37 + a) * 3 + x] = (float)(mix(&state) % 100000) * 0.001f;
    }
    sample_add_text(sample, &arena, "split", SPAN("train"));
}

static void clear(const char *path)
{
    static const char *const files[] = {"data.mdb", "lock.mdb", "writer.lock"};
    char name[600];
    for (int i = 0; i < 3; i++) {
        snprintf(name, sizeof name, "%s/%s", path, files[i]);
        unlink(name);
    }
    rmdir(path);
}

static double seconds_since(int64_t start)
{
    return (double)(clock_ns() - start) * 1e-9;
}

static void row(const char *name, double seconds, double bytes_mb, double reference_seconds,
                const char *reference)
{
    printf("  %-34s %8.2f ms %9.0f MB/s", name, seconds * 1e3 / record_count, bytes_mb / seconds);
    if (reference)
        printf("   %5.0f %% of %s", 100 * reference_seconds / seconds, reference);
    putchar('\n');
}

/* Best of REPEATS times of copying all arrays. */
static double time_memcpy(void)
{
    char *to = arena_alloc(&arena, (size_t)1 << 26);
    double best = 1e9;
    for (int r = 0; r < REPEATS; r++) {
        int64_t start = clock_ns();
        for (int i = 0; i < record_count; i++) {
            size_t at = 0;
            for (int f = 0; f < samples[i].field_count; f++) {
                size_t bytes = field_bytes(&samples[i].fields[f]);
                memcpy(to + at, samples[i].fields[f].data, bytes);
                at += bytes;
            }
            __asm__ volatile("" : : "r"(to) : "memory");
        }
        double seconds = seconds_since(start);
        best = seconds < best ? seconds : best;
    }
    return best;
}

/* wire_encode into one warm buffer, then wire_decode borrowing from it. */
static void time_wire(double *encode, double *decode)
{
    struct error err;
    struct arena reading;
    struct sample back;
    size_t capacity = wire_size(&samples[0]) + 4096, bytes;
    uint64_t digest;
    char *buffer = arena_alloc(&arena, capacity);
    *encode = *decode = 1e9;
    arena_open(&reading, 0);
    for (int r = 0; r < REPEATS; r++) {
        double encode_s = 0, decode_s = 0;
        for (int i = 0; i < record_count; i++) {
            int64_t start = clock_ns();
            if (wire_encode(&samples[i], buffer, capacity, &bytes, &digest, &err) != STATUS_OK)
                fail("encode", &err);
            encode_s += seconds_since(start);
            start = clock_ns();
            arena_reset(&reading);
            if (wire_decode((struct span){buffer, bytes}, &wire_on_link, &reading, &back,
                            &err) != STATUS_OK)
                fail("decode", &err);
            decode_s += seconds_since(start);
        }
        *encode = encode_s < *encode ? encode_s : *encode;
        *decode = decode_s < *decode ? decode_s : *decode;
    }
    arena_close(&reading);
}

/* What a frame costs whatever its size: one of 30 fields of 4 bytes; microseconds. */
static void time_small(double *encode_us, double *decode_us)
{
    enum { ROUNDS = 20000 };
    struct arena reading;
    struct sample small, back;
    struct error err;
    char name[32];
    size_t bytes = 0;
    uint64_t digest;
    if (sample_open(&small, SPAN("1abc_A"), &err) != STATUS_OK)
        fail("key", &err);
    for (int i = 0; i < 30; i++) {
        snprintf(name, sizeof name, "field_of_a_sample_%d", i);
        sample_add_1(&small, &arena, name, KIND_I32, 1);
    }
    size_t capacity = wire_size(&small);
    char *buffer = arena_alloc(&arena, capacity);
    arena_open(&reading, 0);
    int64_t start = clock_ns();
    for (int i = 0; i < ROUNDS; i++)
        if (wire_encode(&small, buffer, capacity, &bytes, &digest, &err) != STATUS_OK)
            fail("encode", &err);
    *encode_us = seconds_since(start) * 1e6 / ROUNDS;
    start = clock_ns();
    for (int i = 0; i < ROUNDS; i++)
        if (wire_decode((struct span){buffer, bytes}, &wire_on_link, &reading, &back,
                            &err) != STATUS_OK)
            fail("decode", &err);
    *decode_us = seconds_since(start) * 1e6 / ROUNDS;
    arena_close(&reading);
}

/* The same frames through LMDB alone: groups as the store writes them; reads copy the value. */
static void time_lmdb(enum store_codec codec, double *pack_s, double *write_s, double *read_s,
                      double *stored_mb)
{
    char path[512];
    struct arena frames;
    struct span *frame = calloc((size_t)record_count, sizeof *frame);
    struct error err;
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi dbi;
    snprintf(path, sizeof path, "%s/bench_lmdb_XXXXXX", folder);
    if (!frame || !mkdtemp(path))
        fail("a folder for LMDB", NULL);
    arena_open(&frames, 0);
    *stored_mb = 0;
    int64_t start = clock_ns();
    for (int i = 0; i < record_count; i++) {
        if (record_pack(&samples[i], codec, &frames, &frame[i], &err) != STATUS_OK)
            fail("pack", &err);
        *stored_mb += (double)frame[i].size * 1e-6;
    }
    *pack_s = seconds_since(start);
    expect(mdb_env_create(&env), "LMDB");
    expect(mdb_env_set_mapsize(env, (size_t)16 << 30), "map");
    expect(mdb_env_open(env, path, 0, 0666), "open");
    start = clock_ns();
    for (int i = 0; i < record_count; i += GROUP) {
        expect(mdb_txn_begin(env, NULL, 0, &txn), "begin");
        expect(mdb_dbi_open(txn, NULL, 0, &dbi), "table");
        for (int k = i; k < i + GROUP && k < record_count; k++) {
            MDB_val key = {strlen(samples[k].key), samples[k].key};
            MDB_val value = {frame[k].size, (void *)(uintptr_t)frame[k].data};
            expect(mdb_put(txn, dbi, &key, &value, 0), "put");
        }
        expect(mdb_txn_commit(txn), "commit");
    }
    *write_s = seconds_since(start);
    char *to = arena_alloc(&frames, frame[0].size * 2);
    *read_s = 1e9;
    for (int r = 0; r < REPEATS; r++) {
        start = clock_ns();
        for (int i = 0; i < record_count; i++) {
            MDB_val key = {strlen(samples[i].key), samples[i].key}, value;
            expect(mdb_txn_begin(env, NULL, MDB_RDONLY, &txn), "begin");
            expect(mdb_get(txn, dbi, &key, &value), "get");
            memcpy(to, value.mv_data, value.mv_size);
            mdb_txn_abort(txn);
        }
        double seconds = seconds_since(start);
        *read_s = seconds < *read_s ? seconds : *read_s;
    }
    mdb_env_close(env);
    arena_close(&frames);
    free(frame);
    clear(path);
}

static void time_store(enum store_codec codec, double *write_s, double *read_s)
{
    char path[512];
    struct error err;
    struct store *store;
    struct store_options options = {.codec = codec};
    struct store_note note = {0};
    struct arena reading;
    struct sample back;
    snprintf(path, sizeof path, "%s/bench_store_XXXXXX", folder);
    if (!mkdtemp(path) || store_open_writer(path, &options, &store, &err) != STATUS_OK)
        fail("store", &err);
    int64_t start = clock_ns();
    for (int i = 0; i < record_count; i++) {
        if (store_put(store, &samples[i], &note, &err) != STATUS_OK ||
            ((i % GROUP == GROUP - 1 || i + 1 == record_count) &&
             store_commit(store, &err) != STATUS_OK))
            fail("put", &err);
    }
    *write_s = seconds_since(start);
    *read_s = 1e9;
    arena_open(&reading, 0);
    for (int r = 0; r < REPEATS; r++) {
        start = clock_ns();
        for (int i = 0; i < record_count; i++) {
            arena_reset(&reading);
            if (store_get(store, samples[i].key, NULL, NULL, &reading, &back, &err) != STATUS_OK)
                fail("get", &err);
        }
        double seconds = seconds_since(start);
        *read_s = seconds < *read_s ? seconds : *read_s;
    }
    arena_close(&reading);
    store_close(store);
    clear(path);
}

static int64_t argument(int argc, char **argv, int i, int64_t fallback)
{
    int64_t value = fallback;
    if (i < argc && !text_int(span_of(argv[i]), 1, 100000, &value))
        fail("usage: bench_store [folder [records [length [rows]]]]", NULL);
    return value;
}

int main(int argc, char **argv)
{
    static const char *const names[] = {"none", "lz4", "lz4hc"};
    double memcpy_s, encode_s, decode_s;
    folder = argc > 1 ? argv[1] : folder;
    record_count = (int)argument(argc, argv, 2, record_count);
    length = argument(argc, argv, 3, length);
    row_count = argument(argc, argv, 4, row_count);
    arena_open(&arena, 0);
    samples = calloc((size_t)record_count, sizeof *samples);
    if (!samples)
        fail("no memory", NULL);
    for (int i = 0; i < record_count; i++) {
        sample_make(&samples[i], i);
        raw_mb += (double)sample_bytes(&samples[i]) * 1e-6;
    }
    if (raw_mb / record_count > 60)
        fail("records above 60 MB: choose fewer rows", NULL);
    printf("%d records of %.2f MB (%lld residues, %lld rows); times a record, speeds of unpacked "
           "arrays\n", record_count, raw_mb / record_count, (long long)length,
           (long long)row_count);
    memcpy_s = time_memcpy();
    row("memcpy of the arrays", memcpy_s, raw_mb, 0, NULL);
    time_wire(&encode_s, &decode_s);
    row("frame for a link, written", encode_s, raw_mb, memcpy_s, "memcpy");
    row("frame of a link, checked in place", decode_s, raw_mb, memcpy_s, "memcpy");
    time_small(&encode_s, &decode_s);
    printf("  small sample of 30 fields: %.2f us to write, %.2f us to check and read\n", encode_s,
           decode_s);
    for (int codec = STORE_RAW; codec <= STORE_LZ4HC; codec++) {
        double store_w, store_r, pack_s, lmdb_w, lmdb_r, stored_mb;
        time_lmdb((enum store_codec)codec, &pack_s, &lmdb_w, &lmdb_r, &stored_mb);
        time_store((enum store_codec)codec, &store_w, &store_r);
        printf("%s: %.2f MB on disk a record, ratio %.2f\n", names[codec],
               stored_mb / record_count, raw_mb / stored_mb);
        row("frame made, cold memory", pack_s, raw_mb, 0, NULL);
        row("write, durable, LMDB alone", lmdb_w, raw_mb, 0, NULL);
        row("write, durable, store", store_w, raw_mb, lmdb_w + pack_s, "frame made + LMDB alone");
        row("read, warm, LMDB alone + memcpy", lmdb_r, raw_mb, memcpy_s, "memcpy");
        row("read, warm, store", store_r, raw_mb, lmdb_r, "LMDB alone + memcpy");
        row("  the same", store_r, raw_mb, memcpy_s, "memcpy");
    }
    free(samples);
    arena_close(&arena);
    return 0;
}

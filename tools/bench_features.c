/* The data path against the reference, one thread: CPU time of each piece of work, median of
 * several runs, beside the reference's time, the goal, and the floor (the bytes that must be read
 * or written at least, at the speed of memcpy in this run); and where the time of a training sample
 * goes. Works on golden cases when FOLDMILL_GOLDEN names their folder, else on made-up files of the
 * same sizes. The reference is OpenFold ce0029e (Biopython 1.80, torch 1.13.1), one thread, on a
 * machine of this class (AVX-512, 2 cores): so the ratios are rough where this one is another. */
#include "engine/port.h"
#include "engine/store.h"
#include "engine/wire.h"
#include "stages/bio/compact_write.h"
#include "stages/bio/msa_assign.h"
#include "stages/bio/structure_read.h"
#include "tools/feature_inputs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum { RUNS = 9, RUNS_MAX = 25, PASSES_MAX = 4, CROP = 256, CLUSTERS = 128, EXTRA = 1024 };

extern const struct stage stage_crop, stage_expand, stage_msa;

static double copy_bytes_per_ms; /* of memcpy */

static double thread_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec * 1e-6;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Milliseconds of several runs. */
struct times {
    double ms[RUNS_MAX];
    int runs;
};

static void times_add(struct times *times, double ms)
{
    times->ms[times->runs++] = ms;
}

static double median(struct times *times)
{
    qsort(times->ms, (size_t)times->runs, sizeof *times->ms, by_value);
    return times->ms[times->runs / 2];
}

/* One line of the table; goal 0: none. bytes: of the floor. */
static void row_print(const char *work, struct times *times, double reference, double goal,
                      double bytes)
{
    double middle = median(times), floor = bytes / copy_bytes_per_ms;
    double low = times->ms[times->runs / 4], high = times->ms[times->runs - 1 - times->runs / 4];
    char met[32] = "-", ratio[32] = "-", from[32] = "-";
    if (goal > 0)
        snprintf(met, sizeof met, "< %g %s", goal, middle < goal ? "met" : "MISSED");
    if (reference > 0) {
        snprintf(from, sizeof from, "%.5g", reference);
        snprintf(ratio, sizeof ratio, "x %.0f", reference / middle);
    }
    printf("%-44s %8.2f %6.2f-%-6.2f %9s %7s  %-12s %7.3f %6.1f\n", work, middle, low, high, from,
           ratio, met, floor, middle / floor);
}

/* Bytes that memcpy moves in a millisecond, between areas larger than the caches. */
static double copy_speed(void)
{
    enum { BYTES = 96 << 20, ROUNDS = 7 };
    char *from = malloc(BYTES), *to = malloc(BYTES);
    struct times times = {.runs = 0};
    ASSERT(from && to);
    memset(from, 1, BYTES);
    for (int i = 0; i <= ROUNDS; i++) {
        double begin = thread_ms();
        memcpy(to, from, BYTES);
        __asm__ volatile("" : : "r"(to) : "memory");
        if (i > 0)
            times_add(&times, thread_ms() - begin);
    }
    free(from);
    free(to);
    return BYTES / median(&times);
}

static void mmcif_row(const struct bench_folder *inputs, const char *name, int residues, int models,
                      const char *work, double reference, double goal)
{
    struct arena arena;
    struct times times = {.runs = 0};
    struct span text = input_mmcif(inputs, name, residues, models);
    size_t out = 0;
    arena_open(&arena, 0);
    for (int run = 0; run < RUNS; run++) {
        struct structure structure;
        struct structure_wish wish = {.coordinates = true};
        struct error err;
        arena_reset(&arena);
        double begin = thread_ms();
        ASSERT(structure_read(text, PDB_EXPERIMENTAL, &wish, &arena, &structure, &err) ==
               STATUS_OK);
        times_add(&times, thread_ms() - begin);
        out = 0;
        for (int c = 0; c < structure.chain_count; c++)
            out += (size_t)structure.chain[c].length * 37 * 13;
    }
    row_print(work, &times, reference, goal, (double)(text.size + out));
    arena_close(&arena);
}

/* Feeds the stage msa and gives what it made. */
static void msa_feed(void *state, struct span paths, struct span query, struct sample *out,
                     struct arena *arena)
{
    struct sample in;
    struct error err;
    struct work work = {0};
    ASSERT(sample_open(&in, SPAN("1tst_A"), &err) == STATUS_OK);
    ASSERT(sample_open(out, SPAN("1tst_A"), &err) == STATUS_OK);
    sample_add_text(&in, arena, "sequence", query);
    sample_add_text(&in, arena, "alignment", paths);
    sample_add_text(&in, arena, "row", SPAN(""));
    enum status status = stage_msa.feed(state, &work, &in, out, arena, &err);
    if (status != STATUS_OK) {
        fprintf(stderr, "%s\n", err.text);
        exit(1);
    }
}

static void file_row(struct span paths, struct span query, const char *work, double reference,
                    double goal)
{
    struct arena keep, arena;
    struct times times = {.runs = 0};
    size_t bytes = input_bytes(paths), out = 0;
    arena_open(&keep, 0);
    arena_open(&arena, 0);
    void *state = stage_make(&stage_msa, "", &keep);
    for (int run = 0; run < RUNS; run++) {
        struct sample made;
        arena_reset(&arena);
        double begin = thread_ms();
        msa_feed(state, paths, query, &made, &arena);
        times_add(&times, thread_ms() - begin);
        out = sample_bytes(&made);
    }
    row_print(work, &times, reference, goal, (double)(bytes + out));
    stage_msa.close(state);
    arena_close(&arena);
    arena_close(&keep);
}

/* A chain in a store of its own. */
struct stored {
    struct store *store;
    struct sample chain;
    struct msa_source source; /* of the chain */
    struct port_table ports;  /* of crop: what it reads by rows */
    struct arena arena;
    const char *path;
};

static struct msa_source source_of(const struct sample *chain)
{
    const struct field *msa = sample_find(chain, "msa");
    return (struct msa_source){.rows = (uint32_t)msa->size[0],
                               .length = (uint32_t)msa->size[1],
                               .msa = msa->data,
                               .deletion_start = sample_find(chain, "deletion_start")->data,
                               .deletion_column = sample_find(chain, "deletion_column")->data,
                               .deletion_count = sample_find(chain, "deletion_count")->data,
                               .profile = sample_find(chain, "hhblits_profile")->data};
}

static void chain_store(struct stored *stored, const char *name, enum store_codec codec,
                        struct store_entry *entry)
{
    struct error err;
    const struct store_options options = {.codec = codec, .recipe_text = "bench"};
    const struct store_note note = {.length = stored->source.length, .rows = stored->source.rows};
    stored->path = arena_printf(&stored->arena, "%s-%d", name, (int)codec);
    ASSERT(store_open_writer(stored->path, &options, &stored->store, &err) == STATUS_OK);
    ASSERT(store_put(stored->store, &stored->chain, &note, &err) == STATUS_OK);
    ASSERT(store_commit(stored->store, &err) == STATUS_OK);
    ASSERT(store_find(stored->store, stored->chain.key, entry, &err) == STATUS_OK);
}

/* Makes the chain's record as a fill line would. */
static void chain_open(struct stored *stored, struct span paths, struct span query)
{
    struct sample features;
    struct error err;
    arena_open(&stored->arena, 0);
    struct arena *arena = &stored->arena;
    input_chain(&stored->chain, query, arena);
    void *state = stage_make(&stage_msa, "", arena);
    msa_feed(state, paths, query, &features, arena);
    for (int f = 0; f < features.field_count; f++)
        ASSERT(sample_put(&stored->chain, &features.fields[f], &err) == STATUS_OK);
    input_templates(&stored->chain, query, arena);
    stage_msa.close(state);
    stored->source = source_of(&stored->chain);
    ASSERT(port_open(&stage_crop.in, &stored->ports, &err) == STATUS_OK);
}

/* Shares of a training sample's time, and what it touches, each over all runs. */
struct shares {
    double decode, choose, assign, write, crop;
    double rows, bytes_out;
    int samples, passes;
};

/* The pieces of one pass by themselves. */
static void pass_time(const struct msa_source *source, bool block_delete, uint64_t position,
                      uint32_t pass, struct shares *shares, struct arena *arena)
{
    const struct msa_settings settings = {.clusters = CLUSTERS,
                                          .extra = EXTRA,
                                          .mask_fraction = 0.15f,
                                          .block_delete = block_delete,
                                          .block_fraction = 0.3f,
                                          .blocks = 5};
    struct rng rng = rng_open(1, 0, position, "pass", pass);
    uint32_t width = source->length < CROP ? source->length : CROP;
    struct compact compact;
    struct compact_writer writer;
    double begin = thread_ms();
    struct msa_choice choice = msa_choose(source, &settings, false, &rng, arena);
    shares->choose += thread_ms() - begin;
    uint32_t *assignment = arena_alloc(arena, (size_t)choice.extra * sizeof *assignment);
    begin = thread_ms();
    msa_assign(source, &choice, arena, assignment);
    shares->assign += thread_ms() - begin;
    begin = thread_ms();
    ASSERT(compact_begin(&(struct compact_sizes){CROP, CLUSTERS, EXTRA, 0, 1},
                         (struct compact_window){0, width}, false, arena, &compact, &writer));
    ASSERT(compact_put_pass(&compact, &writer, 0, source, &choice, assignment));
    compact_end(&compact, &writer);
    shares->write += thread_ms() - begin;
    shares->rows += choice.clusters + choice.extra;
    shares->passes++;
}

/* One sample from the store to the compact crop; its milliseconds. *expanded: and then to every
 * feature by its own name, as a program would get them. */
static double sample_time(struct stored *stored, void *crop, uint64_t position, uint32_t recycles,
                          struct shares *shares, double *expanded, struct arena *arena)
{
    struct sample in, out, all;
    struct error err;
    struct work work = {.seed = 1, .position = position, .recycles = recycles};
    arena_reset(arena);
    double begin = thread_ms();
    ASSERT(store_get_lazy(stored->store, stored->chain.key, stored->ports.lazy, NULL, arena, &in,
                          &err) == STATUS_OK);
    double decoded = thread_ms();
    ASSERT(sample_open(&out, SPAN("1tst_A"), &err) == STATUS_OK);
    ASSERT(stage_crop.feed(crop, &work, &in, &out, arena, &err) == STATUS_OK);
    double end = thread_ms();
    ASSERT(sample_open(&all, SPAN("1tst_A"), &err) == STATUS_OK);
    ASSERT(stage_expand.feed(NULL, &work, &out, &all, arena, &err) == STATUS_OK);
    *expanded = thread_ms() - begin;
    shares->decode += decoded - begin;
    shares->crop += end - decoded;
    shares->bytes_out += (double)wire_size(&out);
    shares->samples++;
    return end - begin;
}

/* Rows of a training sample at mean recycling: each run makes one sample of 1, 2, 3 and 4 passes.
 */
static struct shares processed_row(struct stored *stored, bool block_delete, const char *work,
                                   double reference, double goal)
{
    struct arena keep, arena;
    struct times times = {.runs = 0}, whole = {.runs = 0};
    struct shares shares = {0};
    double expanded;
    int runs = block_delete ? RUNS_MAX : RUNS;
    arena_open(&keep, 0);
    arena_open(&arena, 0);
    char *settings = arena_printf(&keep, "{length: %d, clusters: %d, extra: %d, block_delete: %s}",
                                  CROP, CLUSTERS, EXTRA, block_delete ? "true" : "false");
    void *crop = stage_make(&stage_crop, settings, &keep);
    struct shares cold = {0};
    for (int i = 0; i < 2; i++)
        sample_time(stored, crop, 0, PASSES_MAX - 1, &cold, &expanded, &arena);
    for (int run = 0; run < runs; run++) {
        double ms = 0, all = 0;
        for (uint32_t recycles = 0; recycles < PASSES_MAX; recycles++) {
            uint64_t position = (uint64_t)run * PASSES_MAX + recycles;
            ms += sample_time(stored, crop, position, recycles, &shares, &expanded, &arena);
            all += expanded;
            for (uint32_t pass = 0; pass <= recycles; pass++) {
                struct arena_mark mark = arena_mark(&arena);
                pass_time(&stored->source, block_delete, position, pass, &shares, &arena);
                arena_rewind(&arena, mark);
            }
        }
        times_add(&times, ms / PASSES_MAX);
        times_add(&whole, all / PASSES_MAX);
    }
    double touched = shares.rows / shares.samples * stored->source.length;
    row_print(work, &times, reference, goal, touched + shares.bytes_out / shares.samples);
    /* All features of a pass are 12.2 MB, those of no pass 1.6 MB, as the reference has them. */
    row_print("  and every feature made of it", &whole, reference, 0,
              touched + 12.2e6 * shares.passes / shares.samples + 1.6e6);
    arena_close(&arena);
    arena_close(&keep);
    return shares;
}

static void shares_print(const char *work, const struct shares *s)
{
    double all = s->decode + s->crop, rest = s->crop - s->choose - s->assign - s->write;
    printf("  %-42s decode %4.1f %%  choose %4.1f %%  assign %4.1f %%  write %4.1f %%  "
           "check, rest %4.1f %%   %.0f rows a pass, %.2f MB to the trainer\n",
           work, 100 * s->decode / all, 100 * s->choose / all, 100 * s->assign / all,
           100 * s->write / all, 100 * rest / all, s->rows / s->passes,
           s->bytes_out / s->samples * 1e-6);
}

/* Comparisons of bytes in a nanosecond, each way. */
static void assign_print(const struct msa_source *source)
{
    static const char *const names[] = {"plain C", "AVX2", "AVX-512"};
    const struct msa_settings settings = {.clusters = CLUSTERS, .mask_fraction = 0.15f};
    struct arena arena;
    arena_open(&arena, 0);
    struct rng rng = rng_open(1, 0, 0, "assign", 0);
    struct msa_choice choice = msa_choose(source, &settings, false, &rng, &arena);
    uint32_t *assignment = arena_alloc(&arena, (size_t)choice.extra * sizeof *assignment);
    double compares = (double)choice.extra * choice.clusters * source->length;
    printf("\ncluster scores, %u rows x %u clusters x %u columns, G compares/s:", choice.extra,
           choice.clusters, source->length);
    for (int way = MSA_ASSIGN_PLAIN; way <= MSA_ASSIGN_AVX512; way++) {
        struct times times = {.runs = 0};
        for (int run = 0; run < RUNS; run++) {
            double begin = thread_ms();
            if (!msa_assign_by((enum msa_assign_way)way, source, &choice, &arena, assignment))
                break;
            times_add(&times, thread_ms() - begin);
        }
        if (times.runs)
            printf("  %s %.0f", names[way], compares / median(&times) * 1e-6);
        else
            printf("  %s -", names[way]);
    }
    puts("\n  (AVX-512: 7 vector operations for 512 compares)");
    arena_close(&arena);
}

/* Sizes of the record and how fast symbols come out of it. */
static void record_print(struct stored *stored, const char *folder)
{
    static const char *const names[] = {[STORE_LZ4] = "LZ4", [STORE_LZ4HC] = "LZ4HC"};
    static const double goals[] = {[STORE_LZ4] = 9, [STORE_LZ4HC] = 7};
    static const char *const fields[] = {"msa", NULL};
    double cells = (double)stored->source.rows * stored->source.length;
    struct arena arena;
    arena_open(&arena, 0);
    printf("\nstore record, %u x %u, 4 templates (reference: 83.8 MB raw, 6.6 MB zlib)\n",
           stored->source.length, stored->source.rows);
    for (int codec = STORE_LZ4; codec <= STORE_LZ4HC; codec++) {
        struct store_entry entry;
        struct times times = {.runs = 0};
        if (stored->store)
            store_close(stored->store);
        chain_store(stored, folder, (enum store_codec)codec, &entry);
        for (int run = 0; run < RUNS; run++) {
            struct sample out;
            struct error err;
            arena_reset(&arena);
            double begin = thread_ms();
            ASSERT(store_get(stored->store, stored->chain.key, fields, NULL, &arena, &out, &err) ==
                   STATUS_OK);
            times_add(&times, thread_ms() - begin);
        }
        double mb = (double)entry.stored_bytes * 1e-6, rate = cells / median(&times) * 1e-6;
        printf("  %-6s %6.2f MB of %.2f (goal < %g: %s)   symbols read at %.2f GB/s (goal >= 2: "
               "%s)\n",
               names[codec], mb, (double)entry.raw_bytes * 1e-6, goals[codec],
               mb < goals[codec] ? "met" : "MISSED", rate, rate >= 2 ? "met" : "MISSED");
    }
    arena_close(&arena);
}

static void bytes_print(const char *work, const struct shares *shares)
{
    double mb = shares->bytes_out / shares->samples * 1e-6;
    printf("  %-44s %6.2f MB   reference 55 MB   x %.0f   goal < 5: %s, 3: %s\n", work, mb, 55 / mb,
           mb < 5 ? "met" : "MISSED", mb < 3 ? "met" : "not met");
}

static void processed_rows(const struct bench_folder *inputs)
{
    struct stored small = {0}, large = {0};
    struct store_entry entry;
    struct span query;
    const char *folder = inputs->folder;
    struct span paths = input_alignment(inputs, "6KWC_1", NULL, 3057, 191, &query);
    chain_open(&small, paths, query);
    chain_store(&small, arena_printf(inputs->arena, "%s/small", folder), STORE_LZ4, &entry);
    struct shares s = processed_row(&small, true, "sample, 6KWC 191 x 3,057", 352, 3);
    paths = input_alignment(inputs, "heavy_1000_10000", ".a3m", 10000, 1000, &query);
    chain_open(&large, paths, query);
    chain_store(&large, arena_printf(inputs->arena, "%s/large", folder), STORE_LZ4, &entry);
    struct shares l = processed_row(&large, true, "sample, 1000 x 10,000", 8650, 40);
    struct shares f = processed_row(&large, false, "the same without block deletion", 25840, 120);
    printf("\nwhere the time of a sample goes\n");
    shares_print("6KWC 191 x 3,057", &s);
    shares_print("1000 x 10,000", &l);
    shares_print("the same without block deletion", &f);
    printf("\nfrom crop to trainer, a sample at mean recycling\n");
    bytes_print("6KWC 191 x 3,057", &s);
    bytes_print("1000 x 10,000", &l);
    assign_print(&large.source);
    record_print(&large, arena_printf(inputs->arena, "%s/record", folder));
    store_close(small.store);
    store_close(large.store);
    arena_close(&small.arena);
    arena_close(&large.arena);
}

int main(int argc, char **argv)
{
    if (argc > 1) {
        puts("usage: bench_features   (FOLDMILL_GOLDEN: folder of golden cases)");
        return strcmp(argv[1], "--help") != 0;
    }
    char folder[] = "/tmp/foldmill_bench_XXXXXX", command[64];
    struct arena arena;
    arena_open(&arena, 0);
    if (!mkdtemp(folder))
        return perror(folder), 1;
    struct bench_folder inputs = bench_inputs(folder, &arena);
    struct span query, paths;
    copy_bytes_per_ms = copy_speed();
    printf("inputs: %s; memcpy %.1f GB/s\n",
           inputs.golden ? "golden cases" : "made up (FOLDMILL_GOLDEN is not set)",
           copy_bytes_per_ms * 1e-6);
    puts("reference: OpenFold's recorded figures from a machine of this class, NOT measured in "
         "this run: the ratios are rough");
    printf("%-44s %8s %13s %9s %7s  %-12s %7s %6s\n", "work (ms of CPU, one thread)", "median",
           "middle half", "reference", "ratio", "goal", "floor", "x");
    mmcif_row(&inputs, "2xhe", 650, 1, "mmCIF 2xhe, 650 residues", 277, 3);
    mmcif_row(&inputs, "2crb", 97, 20, "mmCIF 2crb, NMR", 1430, 5);
    paths = input_alignment(&inputs, "heavy_1000_10000", ".a3m", 10000, 1000, &query);
    file_row(paths, query, "A3M 10,000 x 1000, file to features", 1835, 40);
    paths = input_alignment(&inputs, "6KWC_1", ".sto", 1698, 191, &query);
    file_row(paths, query, "Stockholm 1,698 x 191, file to features", 92, 0);
    processed_rows(&inputs);
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    printf("\npeak memory of this bench, which holds all of its inputs: %ld MB\n",
           usage.ru_maxrss >> 10);
    snprintf(command, sizeof command, "rm -r %s", folder);
    arena_close(&arena);
    return system(command);
}

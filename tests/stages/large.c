/* A large alignment from its file to the crop, each stage in a process of its own whose peak memory
 * is held against the bound that README states, and through a whole run. 1,000 x 20,000 by default;
 * 5,000 x 50,000 with FOLDMILL_FULL=1. */
#include "tests/stages/crops.h"
#include "engine/store.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

extern const struct stage stage_parse, stage_msa, stage_crop;

#if defined(__SANITIZE_ADDRESS__)
enum { OWN_MEMORY = 0 }; /* the sanitizer keeps what was freed, and notes on all of it */
#else
enum { OWN_MEMORY = 1 };
#endif

static int length, rows;
static char folder[] = "/tmp/foldmill_large_XXXXXX";
static struct arena arena;
static struct error err;

static bool full(void)
{
    const char *value = getenv("FOLDMILL_FULL");
    return value && *value && strcmp(value, "0") != 0;
}

static const char *path_of(const char *name)
{
    return arena_printf(&arena, "%s/%s", folder, name);
}

/* Row n: the first one with a fifth of the letters changed and ends of gaps, the same in every
 * process. */
static void row_write(FILE *file, const char *query, int n)
{
    struct rng rng = rng_open(3, 0, (uint64_t)n, "large", 0);
    static char row[8192];
    int first = n ? (int)rng_below(&rng, (uint32_t)length / 2) : 0;
    for (int j = 0; j < length; j++)
        row[j] = n && j < first                 ? '-'
                 : n && rng_below(&rng, 5) == 0 ? "ARNDCQEGHILKMFPSTWYV"[rng_below(&rng, 20)]
                                                : query[j];
    fprintf(file, ">row%d\n%.*s%s%.*s\n", n, length / 2, row, n ? "acd" : "", length - length / 2,
            row + length / 2);
}

static void files_write(void)
{
    static const char codes[20][4] = {"ALA", "ARG", "ASN", "ASP", "CYS", "GLN", "GLU",
                                      "GLY", "HIS", "ILE", "LEU", "LYS", "MET", "PHE",
                                      "PRO", "SER", "THR", "TRP", "TYR", "VAL"};
    static const char atoms[4][5] = {" N  ", " CA ", " C  ", " O  "};
    char *query = arena_alloc(&arena, (size_t)length + 1);
    FILE *pdb = fopen(path_of("structures/1big.pdb"), "w"),
         *a3m = fopen(path_of("alignments/1big.a3m"), "w");
    cr_assert(pdb && a3m);
    for (int i = 0, serial = 1; i < length; i++) {
        query[i] = "ARNDCQEGHILKMFPSTWYV"[i * 7 % 20];
        for (int k = 0; k < 4; k++, serial++)
            fprintf(pdb, "ATOM  %5d %s %s A%4d    %8.3f%8.3f%8.3f  1.00 10.00           %c\n",
                    serial % 100000, atoms[k], codes[i * 7 % 20], i + 1, (i % 100) * 3.0 + k,
                    i / 100 % 10 * 5.0, i / 1000 * 5.0, atoms[k][1]);
    }
    for (int n = 0; n < rows; n++)
        row_write(a3m, query, n);
    cr_assert(fclose(pdb) == 0 && fclose(a3m) == 0);
}

/* Feeds one sample and adds what it gives to the sample's own fields, as the engine does. */
static void feed(const struct stage *stage, struct sample *sample)
{
    struct stage_context context = {.name = stage->name, .arena = &arena};
    struct work work = {.seed = 1};
    struct sample out;
    void *state = stage_state(stage, "", &context, &arena);
    cr_assert(sample_open(&out, SPAN("1big_A"), &err) == STATUS_OK);
    enum status status = stage->feed(state, &work, sample, &out, &arena, &err);
    cr_assert(status == STATUS_OK, "%s: %s", stage->name, err.text);
    for (int f = 0; f < out.field_count; f++)
        cr_assert(sample_put(sample, &out.fields[f], &err) == STATUS_OK, "%s", err.text);
}

static void chain_feed(struct sample *sample)
{
    cr_assert(sample_open(sample, SPAN("1big_A"), &err) == STATUS_OK);
    sample_add_text(sample, &arena, "structure", span_of(path_of("structures/1big.pdb")));
    sample_add_text(sample, &arena, "chain", SPAN("A"));
    sample_add_text(sample, &arena, "alignment", span_of(path_of("alignments/1big.a3m")));
    sample_add_text(sample, &arena, "row", SPAN(""));
    sample_add_text(sample, &arena, "entry", SPAN("1big"));
    sample_add_text(sample, &arena, "split", SPAN("train"));
    feed(&stage_parse, sample);
}

/* ---- what the processes do ---- */

static void nothing(void) {}

static void parse(void)
{
    struct sample sample;
    chain_feed(&sample);
    cr_assert(sample_find(&sample, "aatype")->size[0] == length);
}

static void msa(void)
{
    struct sample sample;
    chain_feed(&sample);
    feed(&stage_msa, &sample);
    const struct field *field = sample_find(&sample, "msa");
    cr_assert(field->size[0] == rows && field->size[1] == length, "%lld rows",
              (long long)field->size[0]);
    cr_assert(sample_find(&sample, "deletion_column")->size[0] == rows - 1);
}

static void store(void)
{
    struct sample sample;
    struct store *store;
    const struct store_options options = {.codec = STORE_LZ4};
    const struct store_note note = {.length = (uint32_t)length, .rows = (uint32_t)rows};
    chain_feed(&sample);
    feed(&stage_msa, &sample);
    cr_assert(store_open_writer(path_of("store"), &options, &store, &err) == STATUS_OK, "%s",
              err.text);
    cr_assert(store_put(store, &sample, &note, &err) == STATUS_OK, "%s", err.text);
    cr_assert(store_commit(store, &err) == STATUS_OK, "%s", err.text);
    store_close(store);
}

static void crop(void)
{
    struct sample in, out;
    struct store *store;
    struct stage_context context = {.name = "crop", .arena = &arena};
    struct work work = {.seed = 1, .recycles = 3};
    void *state = stage_state(&stage_crop, "", &context, &arena);
    cr_assert(store_open_reader(path_of("store"), &store, &err) == STATUS_OK, "%s", err.text);
    cr_assert(store_get(store, "1big_A", NULL, NULL, &arena, &in, &err) == STATUS_OK, "%s",
              err.text);
    cr_assert(sample_open(&out, SPAN("1big_A"), &err) == STATUS_OK);
    enum status status = stage_crop.feed(state, &work, &in, &out, &arena, &err);
    cr_assert(status == STATUS_OK, "%s", err.text);
    store_close(store);
}

/* The fill line as a run: in full size the sample is larger than the pools of its workers. */
static void whole_run(void)
{
    FILE *graph = fopen(path_of("large.yaml"), "w");
    cr_assert(graph);
    fprintf(graph,
            "graph: large\nstages:\n  scan: {with: {structures: [%s], alignments: [%s]}}\n"
            "  parse: {in: scan}\n  msa: {in: parse}\n  store: {in: msa, with: {path: %s}}\n",
            path_of("structures"), path_of("alignments"), path_of("filled"));
    cr_assert(fclose(graph) == 0);
    int log = open(path_of("log"), O_CREAT | O_WRONLY, 0600);
    dup2(log, 1), dup2(log, 2);
    execl(FOLDMILL_BINARY, "foldmill", "run", path_of("large.yaml"), "--run", path_of("run"),
          (char *)NULL);
    _exit(127);
}

/* The run's record is that of the stages. */
static void compare(void)
{
    static const char *const fields[] = {"msa", "deletion_start", "hhblits_profile", NULL};
    struct sample sample[2];
    for (int i = 0; i < 2; i++) {
        struct store *store;
        const char *path = path_of(i ? "filled" : "store"), *key = i ? "1big" : "1big_A";
        cr_assert(store_open_reader(path, &store, &err) == STATUS_OK, "%s", err.text);
        cr_assert(store_get(store, key, fields, NULL, &arena, &sample[i], &err) == STATUS_OK, "%s",
                  err.text);
        store_close(store);
    }
    for (int f = 0; fields[f]; f++) {
        const struct field *a = sample_find(&sample[0], fields[f]);
        const struct field *b = sample_find(&sample[1], fields[f]);
        cr_assert(a && b && field_bytes(a) == field_bytes(b), "%s", fields[f]);
        cr_assert(memcmp(a->data, b->data, field_bytes(a)) == 0, "%s", fields[f]);
    }
}

/* Runs it in a child; the peak memory of it, or of a process that it waited for, in bytes. */
static double peak(const char *name, void (*run)(void))
{
    int status = 0;
    struct rusage usage;
    fflush(NULL);
    pid_t pid = fork();
    cr_assert(pid >= 0);
    if (pid == 0) {
        run();
        _exit(0);
    }
    cr_assert(wait4(pid, &status, 0, &usage) == pid);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "%s ends with status %x", name,
              (unsigned)status);
    return (double)usage.ru_maxrss * 1024;
}

Test(large, each_stage_keeps_to_its_memory, .timeout = 600)
{
    /* times: of the symbols' bytes, N x L; and this much for everything else. */
    static const struct {
        const char *name;
        void (*run)(void);
        double times;
    } stages[] = {{"parse", parse, 0}, {"msa", msa, 1.1},       {"store", store, 2.6},
                  {"crop", crop, 1.7}, {"run", whole_run, 3.2}, {"compare", compare, 4}};
    const double other = 20 << 20, pools = 128 << 20;
    arena_open(&arena, 0);
    length = full() ? 5000 : 1000;
    rows = full() ? 50000 : 20000;
    cr_assert(mkdtemp(folder) && mkdir(path_of("structures"), 0700) == 0 &&
              mkdir(path_of("alignments"), 0700) == 0);
    files_write();
    double base = peak("nothing", nothing), symbols = (double)length * rows;
    for (size_t i = 0; i < sizeof stages / sizeof *stages; i++) {
        double bytes = peak(stages[i].name, stages[i].run) - base;
        /* Each process of a run has a pool, and its libraries. */
        double most = stages[i].times * symbols + (stages[i].run == whole_run ? pools : other);
        printf("large: %d x %d, %s: %.0f MB more than the %.0f MB of an idle process; bound %.0f\n",
               length, rows, stages[i].name, bytes * 1e-6, base * 1e-6, most * 1e-6);
        cr_assert(bytes < most || !OWN_MEMORY, "%s: %.0f MB, the bound is %.0f", stages[i].name,
                  bytes * 1e-6, most * 1e-6);
    }
    char command[100];
    snprintf(command, sizeof command, "rm -r %s", folder);
    cr_assert(system(command) == 0);
    arena_close(&arena);
}

/* foldmill store: looks into a store. The store is opened in a child process, since LMDB itself has
 * no checksums and may crash on a damaged or hostile file: a crash is then a report. */
#include "engine/command/store.h"

#include "engine/command.h"
#include "engine/recipe.h"
#include "engine/store_entry.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    PROGRESS_S = 60,      /* of computing, for one key: more is a walk in a circle */
    FIELD_NAMES_MAX = 512, /* different names that `stat` adds up */
};

int store_complain(const struct error *err)
{
    fflush(stdout);
    fprintf(stderr, "foldmill store: %s\n", err->text);
    return EXIT_FAILED;
}

void store_progress(void *user)
{
    struct itimerval timer = {.it_value = {.tv_sec = PROGRESS_S}};
    (void)user;
    setitimer(ITIMER_PROF, &timer, NULL);
}

void store_rest(void)
{
    const struct itimerval none = {0};
    setitimer(ITIMER_PROF, &none, NULL);
}

static void print_row(const struct store_entry *entry, bool tsv)
{
    char raw[32], stored[32];
    if (tsv)
        printf("%s\t%s\t%" PRIu32 "\t%" PRIu32 "\t%" PRIu64 "\t%" PRIu64 "\t%016" PRIx64
               "%016" PRIx64 "\t%s\n", entry->key, entry->split, entry->length, entry->rows,
               entry->raw_bytes, entry->stored_bytes, entry->made.recipe, entry->made.input,
               entry->reason);
    else if (entry->refused)
        printf("%-20s %-10s refused: %s\n", entry->key, entry->split, entry->reason);
    else
        printf("%-20s %-10s %6" PRIu32 " %7" PRIu32 " %11s %11s  %08" PRIx64 "\n", entry->key,
               entry->split, entry->length, entry->rows,
               text_show_bytes(raw, sizeof raw, entry->raw_bytes),
               text_show_bytes(stored, sizeof stored, entry->stored_bytes),
               entry->made.recipe >> 32);
}

static int store_ls(struct store *store, int argc, char **argv)
{
    struct arena arena;
    struct error err = {0};
    struct store_walk walk;
    const struct store_entry *entry;
    bool tsv = command_flag(&argc, argv, "tsv");
    const char *split = command_option(&argc, argv, "split");
    uint64_t damaged = 0;
    if (!command_rest(&command_store, argc, argv, 0, 0))
        return EXIT_USAGE;
    arena_open(&arena, 0);
    puts(tsv ? "key\tsplit\tlength\trows\tbytes\tstored\tmade\trefused"
             : "KEY                  SPLIT      LENGTH    ROWS       BYTES      STORED  MADE");
    enum status status = store_walk_open(&walk, store, &arena, &err);
    while (status == STATUS_OK) {
        store_progress(NULL);
        status = store_next(&walk, &entry, &err);
        if (status == STATUS_CORRUPT) {
            damaged++;
            status = STATUS_OK;
            store_complain(&err);
        } else if (status == STATUS_OK && (!split || strcmp(split, entry->split) == 0)) {
            print_row(entry, tsv);
        }
    }
    arena_close(&arena);
    if (status != STATUS_EMPTY)
        return store_complain(&err);
    return damaged ? EXIT_FAILED : EXIT_GOOD;
}

struct total {
    char name[FIELD_NAME_MAX + 1];
    uint64_t records, raw_bytes, stored_bytes;
};

struct totals {
    struct total fields[FIELD_NAMES_MAX], splits[64];
    int field_count, split_count;
    uint64_t length[33], rows[33]; /* records by bits of the number: 0, 1, 2..3, 4..7, ... */
    uint64_t tombstones, damaged;
};

/* The row of that name, a new one if need be; the last row takes what has no room. */
static struct total *total_find(struct total *rows, int *count, int max, const char *name)
{
    for (int i = 0; i < *count; i++)
        if (strcmp(rows[i].name, name) == 0)
            return &rows[i];
    if (*count == max)
        return &rows[max - 1];
    struct total *row = &rows[(*count)++];
    strncpy(row->name, name, sizeof row->name - 1);
    return row;
}

static void total_add(struct total *total, uint64_t raw_bytes, uint64_t stored_bytes)
{
    total->records++;
    total->raw_bytes += raw_bytes;
    total->stored_bytes += stored_bytes;
}

static int bits_of(uint32_t number)
{
    return number ? 32 - __builtin_clz(number) : 0;
}

static void add_record(struct totals *totals, struct store *store, const struct store_entry *entry)
{
    struct record_view view;
    if (store_peek(store, entry->key, &view, NULL) != STATUS_OK) {
        totals->damaged++;
        return;
    }
    totals->length[bits_of(entry->length)]++;
    totals->rows[bits_of(entry->rows)]++;
    total_add(total_find(totals->splits, &totals->split_count, 64,
                         entry->split[0] ? entry->split : "(none)"),
              entry->raw_bytes, entry->stored_bytes);
    for (int i = 0; i < view.field_count; i++)
        total_add(total_find(totals->fields, &totals->field_count, FIELD_NAMES_MAX,
                             view.fields[i].field.name),
                  view.fields[i].raw_bytes, view.fields[i].stored_bytes);
}

static void print_totals(const char *title, const struct total *rows, int count)
{
    char raw[32], stored[32];
    printf("\n%-24s %9s %12s %12s %6s\n", title, "RECORDS", "BYTES", "STORED", "RATIO");
    for (int i = 0; i < count; i++)
        printf("%-24s %9" PRIu64 " %12s %12s %6.2f\n", rows[i].name, rows[i].records,
               text_show_bytes(raw, sizeof raw, rows[i].raw_bytes),
               text_show_bytes(stored, sizeof stored, rows[i].stored_bytes),
               rows[i].stored_bytes ? (double)rows[i].raw_bytes / (double)rows[i].stored_bytes : 1);
}

/* How many records have a number of so many bits. */
static void print_sizes(const char *title, const uint64_t counts[33])
{
    printf("\n%-24s %9s\n", title, "RECORDS");
    for (int bits = 0; bits <= 32; bits++) {
        char range[48];
        uint64_t from = bits ? UINT64_C(1) << (bits - 1) : 0;
        uint64_t to = bits ? (UINT64_C(1) << bits) - 1 : 0;
        if (counts[bits] == 0)
            continue;
        if (from == to)
            snprintf(range, sizeof range, "%" PRIu64, from);
        else
            snprintf(range, sizeof range, "%" PRIu64 " to %" PRIu64, from, to);
        printf("%-24s %9" PRIu64 "\n", range, counts[bits]);
    }
}

/* The stages that fill it, a line each, as the writer that came last told them. */
static void print_recipe(struct store *store, const struct store_info *info)
{
    struct arena arena;
    struct span text;
    arena_open(&arena, 0);
    struct recipe recipe = {0};
    if (store_recipe(store, info->recipe, &arena, &text, NULL) != STATUS_OK ||
        recipe_read(text, &recipe, NULL) != STATUS_OK)
        printf("recipe      (not told)\n");
    for (int i = 0; i < recipe.count; i++) {
        const struct recipe_stage *stage = &recipe.stages[i];
        printf("%-11s %.*s version %" PRId64 " %.*s\n", i ? "" : "recipe", (int)stage->name.size,
               stage->name.data, stage->version, (int)stage->settings.size, stage->settings.data);
    }
    arena_close(&arena);
}

static int store_stat_run(struct store *store, int argc, char **argv)
{
    static struct totals totals;
    struct arena arena;
    struct error err = {0};
    struct store_info info;
    struct store_walk walk;
    const struct store_entry *entry;
    char file[32], used[32], unused[32];
    if (!command_rest(&command_store, argc, argv, 0, 0))
        return EXIT_USAGE;
    arena_open(&arena, 0);
    enum status status = store_stat(store, &info, &err);
    if (status == STATUS_OK)
        status = store_walk_open(&walk, store, &arena, &err);
    while (status == STATUS_OK) {
        store_progress(NULL);
        status = store_next(&walk, &entry, &err);
        if (status == STATUS_CORRUPT) {
            totals.damaged++;
            status = STATUS_OK;
        } else if (status == STATUS_OK && entry->refused) {
            totals.tombstones++;
        } else if (status == STATUS_OK) {
            add_record(&totals, store, entry);
        }
    }
    arena_close(&arena);
    if (status != STATUS_EMPTY)
        return store_complain(&err);
    printf("made by     %s, schema %d\n", info.created_by, STORE_VERSION);
    print_recipe(store, &info);
    printf("records     %" PRIu64 "\nrefused     %" PRIu64 "\n", info.records, totals.tombstones);
    printf("file        %s: %s in use, %s free for new records\n",
           text_show_bytes(file, sizeof file, info.file_bytes),
           text_show_bytes(used, sizeof used, info.pages_used * info.page_bytes),
           text_show_bytes(unused, sizeof unused, info.pages_free * info.page_bytes));
    print_totals("SPLIT", totals.splits, totals.split_count);
    print_totals("FIELD", totals.fields, totals.field_count);
    print_sizes("LENGTH (residues)", totals.length);
    print_sizes("ROWS (of the alignment)", totals.rows);
    if (totals.damaged == 0)
        return EXIT_GOOD;
    fflush(stdout);
    fprintf(stderr, "foldmill store: %" PRIu64 " damaged records; `foldmill store verify` names "
            "them\n", totals.damaged);
    return EXIT_FAILED;
}

/* Keys that verify has found bad; user of print_bad. */
struct bad_keys {
    struct arena arena;
    struct bad_key {
        struct bad_key *next;
        char key[SAMPLE_KEY_MAX + 1];
    } *first;
};

static void print_bad(void *user, const char *key, const char *reason)
{
    struct bad_keys *keys = user;
    struct bad_key *bad = arena_zero(&keys->arena, 1, sizeof *bad);
    printf("bad  %s: %s\n", key, reason);
    entry_text(bad->key, sizeof bad->key, span_of(key));
    bad->next = keys->first;
    keys->first = bad;
}

/* Takes the bad records away, so that the next run makes them again. */
static int forget_bad(struct store *store, const struct bad_keys *keys)
{
    struct error err;
    uint64_t count = 0;
    for (const struct bad_key *bad = keys->first; bad; bad = bad->next) {
        if (bad->key[0] == '(') /* a table, not a key */
            continue;
        if (store_forget(store, bad->key, &err) != STATUS_OK)
            return store_complain(&err);
        count++;
    }
    if (store_commit(store, &err) != STATUS_OK)
        return store_complain(&err);
    printf("%" PRIu64 " bad records were taken away: a run that fills this store makes them "
           "again\n", count);
    return EXIT_GOOD;
}

/* Without --forget: the next run that fills the store looks at them. */
static void list_bad(struct store *store, const struct bad_keys *keys)
{
    for (const struct bad_key *bad = keys->first; bad; bad = bad->next)
        if (bad->key[0] != '(')
            store_note_damage(store, bad->key);
    puts("a run that fills this store makes them again; `--forget` takes them away now");
}

static int store_verify_run(struct store *store, int argc, char **argv)
{
    struct store_report report;
    struct error err = {0};
    struct bad_keys keys = {0};
    bool forget = command_flag(&argc, argv, "forget");
    if (!command_rest(&command_store, argc, argv, 0, 0))
        return EXIT_USAGE;
    arena_open(&keys.arena, 0);
    enum status status = store_verify(store, print_bad, store_progress, &keys, &report, &err);
    int code = report.bad ? EXIT_FAILED : EXIT_GOOD;
    printf("%" PRIu64 " records are good, %" PRIu64 " refusals, %" PRIu64 " bad\n", report.records,
           report.tombstones, report.bad);
    if (status != STATUS_OK)
        code = store_complain(&err);
    else if (forget && report.bad)
        code = forget_bad(store, &keys);
    else if (report.bad)
        list_bad(store, &keys);
    arena_close(&keys.arena);
    return code;
}

static const struct {
    const char *name;
    int (*run)(struct store *store, int argc, char **argv);
    bool makes; /* the store, when it is not there */
} subcommands[] = {
    {"ls", store_ls, false},         {"show", store_show, false},
    {"stat", store_stat_run, false}, {"verify", store_verify_run, false},
    {"diff", store_diff, false},     {"explain", store_explain, false},
    {"export", store_export, false}, {"import", store_import, true},
};

enum { SUBCOMMANDS = sizeof subcommands / sizeof *subcommands };

static bool wants_writer(int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], "--forget") == 0)
            return true;
    return false;
}

/* The work of the child: argv[0] is the command's name again, argv[1..] follow the path. */
static int run_child(int which, const char *path, int argc, char **argv)
{
    struct store *store;
    struct error err;
    store_progress(NULL);
    enum status status = subcommands[which].makes ? store_open_writer(path, NULL, &store, &err)
                                                  : store_open_reader(path, &store, &err);
    if (status == STATUS_OK && wants_writer(argc, argv)) {
        store_close(store);
        status = store_open_writer(path, NULL, &store, &err);
    }
    if (status != STATUS_OK)
        return store_complain(&err);
    int code = subcommands[which].run(store, argc, argv);
    store_close(store);
    if (fflush(stdout) != 0 && code == EXIT_GOOD) {
        fprintf(stderr, "foldmill store: standard output: %s\n", strerror(errno));
        code = EXIT_FAILED;
    }
    return code;
}

static int wait_child(pid_t pid, const char *path)
{
    int status;
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR) {
            fprintf(stderr, "foldmill store: %s\n", strerror(errno));
            return EXIT_FAILED;
        }
    if (WIFEXITED(status))
        return WEXITSTATUS(status);
    int signal_number = WTERMSIG(status);
    if (signal_number == SIGPIPE || signal_number == SIGINT || signal_number == SIGTERM)
        return EXIT_STOPPED;
    if (signal_number == SIGPROF)
        fprintf(stderr, "foldmill store: store %s: no progress in %d s of computing: pages of "
                "data.mdb are damaged; fill the store again in another folder\n", path, PROGRESS_S);
    else
        fprintf(stderr, "foldmill store: store %s: LMDB crashed (%s): pages of data.mdb are "
                "damaged or cut off; fill the store again in another folder\n", path,
                strsignal(signal_number));
    return EXIT_FAILED;
}

static int store_run(int argc, char **argv)
{
    const char *names[SUBCOMMANDS + 1] = {0};
    int which = -1;
    for (int i = 0; i < SUBCOMMANDS; i++) {
        names[i] = subcommands[i].name;
        if (argc > 1 && strcmp(argv[1], names[i]) == 0)
            which = i;
    }
    if (which < 0) {
        const char *near = argc > 1 ? text_suggest(span_of(argv[1]), names) : NULL;
        fprintf(stderr, "foldmill store: ls, show, stat, verify, diff, explain, export or import "
                "is wanted%s%s%s; see foldmill store --help\n", near ? "; did you mean '" : "",
                near ? near : "", near ? "'?" : "");
        return EXIT_USAGE;
    }
    if (argc < 3 || argv[2][0] == '-') {
        fprintf(stderr, "foldmill store %s: the store's folder is wanted first; see foldmill store "
                "--help\n", argv[1]);
        return EXIT_USAGE;
    }
    const char *path = argv[2];
    argv[2] = argv[0];
    fflush(NULL);
    pid_t pid = fork();
    if (pid < 0) {
        fprintf(stderr, "foldmill store: %s\n", strerror(errno));
        return EXIT_FAILED;
    }
    if (pid == 0)
        exit(run_child(which, path, argc - 2, argv + 2));
    return wait_child(pid, path);
}

const struct command command_store = {
    .name = "store",
    .summary = "lists, shows, checks, compares, exports and imports what a store holds",
    .help = "usage: foldmill store ls PATH [--tsv] [--split NAME]\n"
            "       foldmill store show PATH KEY [FIELD]\n"
            "       foldmill store stat PATH\n"
            "       foldmill store verify PATH [--forget]\n"
            "       foldmill store diff PATH OTHER\n"
            "       foldmill store explain PATH KEY [--graph GRAPH [--set X=Y]... | --run RUN]\n"
            "                              [--stage NAME]\n"
            "       foldmill store export PATH KEY... DIR [--npy]\n"
            "       foldmill store export PATH --all DIR [--npy]\n"
            "       foldmill store import PATH FILE.npz|DIR...\n\n"
            "PATH is the store's folder, `path` of the stage in the graph.\n\n"
            "ls      one line a record: split, length, alignment rows, bytes, bytes on disk, and\n"
            "        a hash of what made it; refused samples with the reason. --tsv: a table for\n"
            "        programs, all numbers in full.\n"
            "show    the fields of a record with kind, sizes and first values; with FIELD: its\n"
            "        values, the last axis in a row.\n"
            "stat    counts, sizes, how well each field is compressed, how long chains are, how\n"
            "        many rows they have, room in the file, and the stages that fill it.\n"
            "verify  reads every record and checks it; names each that is damaged. Exit code 1 if\n"
            "        any is. The next run that fills this store makes them again; --forget takes\n"
            "        them away at once.\n"
            "diff    keys that only one store holds, and those whose records differ, with the\n"
            "        fields. Exit code 0: both hold the same; 1: they do not.\n"
            "explain what a record was made from: stages, versions, settings, files; with --graph\n"
            "        (whose source lists its files again) or --run (whose list is taken): what\n"
            "        has changed since, and from which stage on it would be made again. Exit code\n"
            "        0: nothing has; 1: something has.\n"
            "export  KEY.npz for each key (numpy.load reads it), bf16 widened to float32; --npy:\n"
            "        a folder KEY with a FIELD.npy for each field. foldmill_record beside them\n"
            "        says what else a record knows.\n"
            "import  puts such files, such folders, or all of a folder into the store, which is\n"
            "        made when it is not there; records of the same keys are replaced. What was\n"
            "        exported comes back as it was; a file without foldmill_record becomes a\n"
            "        record under its name, made by no recipe.\n",
    .run = store_run,
};

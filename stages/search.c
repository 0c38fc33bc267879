/* Search: for people who start from sequences. Runs jackhmmer, hhblits or mmseqs on each chain;
 * what was found is kept as an alignment file in a folder of its own, since searches cost minutes
 * to hours, and `msa` reads it like any other. Nothing here is random. */
#include "engine/base/file.h"
#include "engine/base/clock.h"
#include "engine/base/log.h"
#include "engine/programs.h"
#include "engine/stage.h"
#include "stages/bio/alignment.h"
#include "stages/bio/msa.h"
#include "stages/bio/program.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

enum { ARGUMENTS_MAX = 96 };

enum tool { TOOL_JACKHMMER, TOOL_HHBLITS, TOOL_MMSEQS };

struct search_state {
    int tool; /* enum tool */
    const char *database, *cache, *arguments;
    int64_t iterations, threads, time_ms;
    double evalue;
    uint64_t memory_bytes, output_bytes;
    char program[PATH_MAX];
    struct arena scratch;
};

static const char *const tools[] = {
    [TOOL_JACKHMMER] = "jackhmmer", [TOOL_HHBLITS] = "hhblits", [TOOL_MMSEQS] = "mmseqs", NULL};

/* An argument vector that grows. */
struct vector {
    const char *word[ARGUMENTS_MAX + 1];
    int count;
};

static void put(struct vector *vector, const char *word)
{
    ASSERT_INT(vector->count, <, ARGUMENTS_MAX);
    vector->word[vector->count++] = word;
    vector->word[vector->count] = NULL;
}

static void put_all(struct vector *vector, const char *const *words)
{
    for (; *words; words++)
        put(vector, *words);
}

/* ---- private folders for what a program writes ---- */

static void folder_remove(const char *path)
{
    char inner[PATH_MAX];
    DIR *folder = opendir(path);
    for (struct dirent *entry; folder && (entry = readdir(folder));) {
        struct stat info;
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 ||
            snprintf(inner, sizeof inner, "%s/%s", path, entry->d_name) >= (int)sizeof inner)
            continue;
        if (lstat(inner, &info) == 0 && S_ISDIR(info.st_mode))
            folder_remove(inner);
        else
            unlink(inner);
    }
    if (folder)
        closedir(folder);
    rmdir(path);
}

/* Removes what killed workers left: folders tmp.PID.* of processes that are gone. */
static void folders_sweep(const char *cache)
{
    DIR *folder = opendir(cache);
    char path[PATH_MAX];
    int pid;
    for (struct dirent *entry; folder && (entry = readdir(folder));)
        if (sscanf(entry->d_name, "tmp.%d.", &pid) == 1 && kill(pid, 0) != 0 && errno == ESRCH &&
            snprintf(path, sizeof path, "%s/%s", cache, entry->d_name) < (int)sizeof path)
            folder_remove(path);
    if (folder)
        closedir(folder);
}

/* ---- the tools ---- */

static enum status run(struct search_state *state, const struct vector *vector, struct span input,
                       int64_t end_ms, struct span *output, struct error *err)
{
    struct program_limits limits = {.memory_bytes = state->memory_bytes,
                                    .output_bytes = state->output_bytes};
    if (state->time_ms) {
        int64_t left = end_ms - clock_ms();
        limits.time_ms = left > 0 ? left : 1;
    }
    return program_run(vector->word, input, &limits, &state->scratch, output, err);
}

/* "0.0001" */
static const char *number(struct search_state *state, double value)
{
    return arena_printf(&state->scratch, "%.9g", value);
}

static void put_extra(struct search_state *state, struct vector *vector)
{
    struct span rest = span_of(state->arguments), word;
    while (vector->count < ARGUMENTS_MAX - 8 && span_word(&rest, &word))
        put(vector, arena_text(&state->scratch, word.data, word.size));
}

static enum status jackhmmer(struct search_state *state, struct span fasta, int64_t end_ms,
                             struct span *output, struct error *err)
{
    struct vector v = {0};
    put_all(&v, (const char *[]){state->program, "--noali", "-o", "/dev/null", "-A", "/dev/stdout",
                                 "-E", number(state, state->evalue), "--incE",
                                 number(state, state->evalue), "-N",
                                 number(state, (double)state->iterations), "--cpu",
                                 number(state, (double)state->threads), NULL});
    put_extra(state, &v);
    put_all(&v, (const char *[]){"-", state->database, NULL});
    return run(state, &v, fasta, end_ms, output, err);
}

static enum status hhblits(struct search_state *state, struct span fasta, int64_t end_ms,
                           struct span *output, struct error *err)
{
    struct vector v = {0};
    put_all(&v, (const char *[]){state->program, "-i", "stdin", "-d", state->database, "-oa3m",
                                 "/dev/stdout", "-o", "/dev/null", "-v", "1", "-e",
                                 number(state, state->evalue), "-n",
                                 number(state, (double)state->iterations), "-cpu",
                                 number(state, (double)state->threads), NULL});
    put_extra(state, &v);
    return run(state, &v, fasta, end_ms, output, err);
}

/* Four programs in a row, which hand each other files. */
static enum status mmseqs(struct search_state *state, struct span fasta, int64_t end_ms,
                          struct span *output, struct error *err)
{
    struct span ignored;
    struct arena *arena = &state->scratch;
    char *folder = arena_printf(arena, "%s/tmp.%d.XXXXXX", state->cache, (int)getpid());
    if (!mkdtemp(folder))
        return error_set(err, STATUS_IO, "%s: %s", folder, strerror(errno));
    const char *query = arena_printf(arena, "%s/query.fasta", folder);
    const char *queries = arena_printf(arena, "%s/query", folder);
    const char *hits = arena_printf(arena, "%s/hits", folder);
    const char *msa = arena_printf(arena, "%s/msa", folder);
    const char *threads = number(state, (double)state->threads);
    struct vector make = {0}, search = {0}, align = {0};
    put_all(&make, (const char *[]){state->program, "createdb", query, queries, "-v", "1", NULL});
    put_all(&search,
            (const char *[]){state->program, "search", queries, state->database, hits,
                             arena_printf(arena, "%s/tmp", folder), "-v", "1", "--threads", threads,
                             "-e", number(state, state->evalue), "--num-iterations",
                             number(state, (double)state->iterations), NULL});
    put_extra(state, &search);
    put_all(&align,
            (const char *[]){state->program, "result2msa", queries, state->database, hits, msa,
                             "--msa-format-mode", "6", "--threads", threads, "-v", "1", NULL});
    enum status status = file_write_atomic(query, fasta, err);
    if (status == STATUS_OK)
        status = run(state, &make, SPAN(""), end_ms, &ignored, err);
    if (status == STATUS_OK)
        status = run(state, &search, SPAN(""), end_ms, &ignored, err);
    if (status == STATUS_OK)
        status = run(state, &align, SPAN(""), end_ms, &ignored, err);
    if (status == STATUS_OK)
        status = file_read(msa, (size_t)state->output_bytes, arena, output, err);
    while (status == STATUS_OK && output->size && output->data[output->size - 1] == 0)
        output->size--; /* records of its databases end with a zero */
    folder_remove(folder);
    return status;
}

/* ---- results that are kept ---- */

/* The file for this chain's result under these settings and this database, without its suffix. */
static const char *result_path(struct search_state *state, const char *key, struct span sequence)
{
    struct stat info = {0};
    char name[SAMPLE_KEY_MAX + 1];
    stat(state->database, &info);
    const char *text =
        arena_printf(&state->scratch, "1 %s %s %lld %lld %lld %.17g %s %.*s", tools[state->tool],
                     state->database, (long long)info.st_size, (long long)info.st_mtime,
                     (long long)state->iterations, state->evalue, state->arguments,
                     (int)sequence.size, sequence.data);
    snprintf(name, sizeof name, "%s", key);
    for (char *c = name; *c; c++)
        if (!strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-.", *c))
            *c = '_';
    return arena_printf(&state->scratch, "%s/%s.%016llx", state->cache, name,
                        (unsigned long long)XXH3_64bits(text, strlen(text)));
}

/* What a tool gave must be an alignment whose first row is the chain, before it is kept. */
static enum status result_check(struct search_state *state, struct span text, struct span sequence,
                                struct error *err)
{
    struct alignment raw, view;
    enum status status =
        alignment_read(text, state->tool == TOOL_JACKHMMER ? ALIGNMENT_STOCKHOLM : ALIGNMENT_A3M,
                       &state->scratch, &raw, err);
    if (status == STATUS_OK)
        status = alignment_project(&raw, 0, &state->scratch, &view, err);
    if (status == STATUS_OK)
        status = alignment_check_query(&view, sequence.data, (int)sequence.size, err);
    return status == STATUS_OK ? status : error_prefix(err, "what %s gave", tools[state->tool]);
}

/* Searches and keeps; *path is the file. */
static enum status search(struct search_state *state, struct span sequence, const char *kept,
                          const char **path, struct error *err)
{
    struct span fasta =
        span_of(arena_printf(&state->scratch, ">query\n%.*s\n", (int)sequence.size, sequence.data));
    struct span output;
    int64_t end_ms = clock_ms() + state->time_ms;
    enum status status = state->tool == TOOL_JACKHMMER
                             ? jackhmmer(state, fasta, end_ms, &output, err)
                         : state->tool == TOOL_HHBLITS ? hhblits(state, fasta, end_ms, &output, err)
                                                       : mmseqs(state, fasta, end_ms, &output, err);
    bool found = status == STATUS_OK && span_trim(output).size > 0;
    if (status == STATUS_OK && found)
        status = result_check(state, output, sequence, err);
    bool stockholm = found && state->tool == TOOL_JACKHMMER;
    *path = arena_printf(&state->scratch, "%s%s", kept, stockholm ? ".sto" : ".a3m");
    if (status == STATUS_OK) /* nothing found: the chain alone */
        return file_write_atomic(*path, found ? output : fasta, err);
    return status == STATUS_IO ? status : (err->status = STATUS_REFUSED);
}

static enum status search_open(void *memory, struct stage_context *context, struct error *err)
{
    struct search_state *state = memory;
    (void)context;
    arena_open(&state->scratch, 0);
    enum status status = programs_find(tools[state->tool], state->program, err);
    if (status == STATUS_OK && state->tool == TOOL_MMSEQS &&
        access(arena_printf(&state->scratch, "%s.dbtype", state->database), R_OK) != 0)
        return error_set(err, STATUS_INVALID,
                         "%s is no database of mmseqs: make one with `mmseqs "
                         "createdb SEQUENCES.fasta %s`",
                         state->database, state->database);
    if (status == STATUS_OK && state->tool == TOOL_JACKHMMER && access(state->database, R_OK) != 0)
        return error_set(err, STATUS_INVALID, "database %s: %s", state->database, strerror(errno));
    if (status == STATUS_OK)
        status = file_make_dirs(state->cache, err);
    if (status == STATUS_OK)
        folders_sweep(state->cache);
    return status;
}

static enum status search_feed(void *memory, const struct work *work, const struct sample *in,
                               struct sample *out, struct arena *arena, struct error *err)
{
    struct search_state *state = memory;
    (void)work;
    arena_reset(&state->scratch);
    struct span sequence = sample_text(in, "sequence");
    if (sequence.size == 0)
        return error_set(err, STATUS_REFUSED, "the chain has no residues");
    const char *kept = result_path(state, in->key, sequence), *path = NULL;
    static const char *const suffixes[] = {".sto", ".a3m"};
    for (int s = 0; s < 2 && !path; s++) {
        path = arena_printf(&state->scratch, "%s%s", kept, suffixes[s]);
        if (access(path, R_OK) != 0)
            path = NULL;
    }
    enum status status = path ? STATUS_OK : search(state, sequence, kept, &path, err);
    if (status == STATUS_OK)
        sample_add_text(out, arena, "found_alignment", span_of(path));
    return status;
}

static void search_close(void *memory)
{
    struct search_state *state = memory;
    arena_close(&state->scratch);
}

#define AT(member) offsetof(struct search_state, member)

static const struct param search_params[] = {
    {.name = "tool",
     .type = PARAM_CHOICE,
     .offset = AT(tool),
     .choices = tools,
     .help = "Debian packages hmmer, hhsuite, mmseqs2; found in the folders of `--programs`."},
    {.name = "database",
     .type = PARAM_PATH,
     .offset = AT(database),
     .help = "jackhmmer: a FASTA file; hhblits: the name without suffixes; mmseqs: what `mmseqs "
             "createdb` made."},
    {.name = "cache",
     .type = PARAM_PATH,
     .offset = AT(cache),
     .free = true,
     .help = "Folder where results are kept, by chain, sequence, database and settings; made when "
             "it is not there. A search that stands there is not made again."},
    {.name = "iterations",
     .type = PARAM_INT,
     .fallback = "1",
     .min = 1,
     .max = 8,
     .offset = AT(iterations),
     .help = "Rounds of search."},
    {.name = "evalue",
     .type = PARAM_FLOAT,
     .fallback = "0.0001",
     .min = 0,
     .max = 1e6,
     .offset = AT(evalue),
     .help = "Least significant hit that is taken."},
    {.name = "arguments",
     .type = PARAM_TEXT,
     .fallback = "",
     .offset = AT(arguments),
     .help = "More arguments for the program, blanks between them; there is no shell."},
    {.name = "threads",
     .type = PARAM_INT,
     .fallback = "1",
     .min = 1,
     .max = 256,
     .offset = AT(threads),
     .free = true,
     .help = "Of the program, for each worker."},
    {.name = "time_max",
     .type = PARAM_DURATION,
     .fallback = "4h",
     .offset = AT(time_ms),
     .free = true,
     .help = "For one chain; a chain that takes longer is refused."},
    {.name = "memory_max",
     .type = PARAM_BYTES,
     .fallback = "0",
     .offset = AT(memory_bytes),
     .free = true,
     .help = "Address space of the program; 0: no limit."},
    {.name = "output_max",
     .type = PARAM_BYTES,
     .fallback = "1GiB",
     .min = 1,
     .max = 4e9,
     .offset = AT(output_bytes),
     .free = true,
     .help = "Of one result; a chain that gives more is refused."},
    {0},
};

static const char *const search_in[] = {"sequence:u8[L]", NULL};
static const char *const search_out[] = {"found_alignment:u8[F]", NULL};

const struct stage stage_search = {
    .abi = STAGE_ABI,
    .version = 1,
    .flags = STAGE_PASS,
    .name = "search",
    .summary = "Searches a sequence database for a chain's relatives (jackhmmer, hhblits, mmseqs).",
    .state_size = sizeof(struct search_state),
    .params = search_params,
    .in = {search_in},
    .out = {search_out},
    .open = search_open,
    .feed = search_feed,
    .close = search_close,
};

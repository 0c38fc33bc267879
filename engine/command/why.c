/* foldmill why: what a step of a run waited for. */
#include "engine/base/file.h"
#include "engine/command.h"
#include "engine/job.h"
#include "engine/order.h"
#include "engine/replay.h"
#include "engine/rundir.h"

#include <stdlib.h>

enum { COLUMNS = 8 };
#define TABLE_BYTES_MAX ((size_t)1 << 30)

/* The columns of a row, split at tabs; false at the end of the table. */
static bool next_row(struct span *table, struct span columns[COLUMNS])
{
    struct span row;
    if (!span_line(table, &row))
        return false;
    for (int i = 0; i < COLUMNS; i++) {
        size_t size = 0;
        while (size < row.size && row.data[size] != '\t')
            size++;
        columns[i] = (struct span){row.data, size};
        size += size < row.size;
        row = (struct span){row.data + size, row.size - size};
    }
    return true;
}

static bool read_table(const struct job *job, const char *name, struct arena *arena,
                       struct span *table)
{
    char path[PATH_MAX];
    return file_read(rundir_file(job->run_dir, name, path), TABLE_BYTES_MAX, arena, table, NULL) ==
           STATUS_OK;
}

/* "crop.1" for an incarnation's number, or the number itself. */
static struct span process_name(const struct job *job, struct span inc, struct arena *arena)
{
    struct span table, columns[COLUMNS];
    if (read_table(job, "processes.tsv", arena, &table))
        while (next_row(&table, columns))
            if (span_equal(columns[1], inc))
                return columns[0];
    return inc;
}

/* What each stage took for that sample, where it took long enough to be noted. */
static void print_stages(const struct job *job, int line, struct span seq, struct arena *arena)
{
    struct span table, columns[COLUMNS];
    int count = 0;
    if (read_table(job, "slow.tsv", arena, &table))
        while (next_row(&table, columns))
            if (span_is(columns[0], job_line_name(job, line)) && span_equal(columns[2], seq)) {
                printf("  %-16.*s in %-12.*s attempt %.*s: %.*s ms at work\n", (int)columns[1].size,
                       columns[1].data, (int)columns[5].size, columns[5].data, (int)columns[4].size,
                       columns[4].data, (int)columns[6].size, columns[6].data);
                count++;
            }
    if (count == 0)
        puts("  no stage took 50 ms for it: it came late because it was asked for late, or queued");
}

/* ", rank 2 of 4": whose share the position is; nothing where there is one rank. */
static char *rank_text(const struct job *job, int line, struct span position, char text[48])
{
    int64_t seq;
    *text = '\0';
    if (job->ranks[line] > 1 && text_int(position, 0, INT64_MAX, &seq))
        snprintf(text, 48, ", rank %u of %d",
                 order_rank((uint64_t)seq, job->batch[line], (uint32_t)job->ranks[line]),
                 job->ranks[line]);
    return text;
}

static int print_why(const struct job *job, int line, struct span step)
{
    char name[GRAPH_NAME_MAX + 16], rank[48];
    struct span table, columns[COLUMNS];
    struct arena arena;
    arena_open(&arena, 0);
    snprintf(name, sizeof name, "%s.waits.tsv", job_line_name(job, line));
    bool found = false;
    if (read_table(job, name, &arena, &table))
        while (!found && next_row(&table, columns))
            found = span_equal(columns[0], step);
    if (found) {
        struct span process = process_name(job, columns[4], &arena);
        printf("step %.*s of %s waited %.*s s for data\n", (int)step.size, step.data,
               job_line_name(job, line), (int)columns[1].size, columns[1].data);
        printf(
            "its last sample was %.*s (position %.*s%s), made by %.*s, attempt %.*s, %.*s ms "
            "after it was asked for\n",
            (int)columns[3].size, columns[3].data, (int)columns[2].size, columns[2].data,
            rank_text(job, line, columns[2], rank),
            (int)process.size, process.data, (int)columns[5].size, columns[5].data,
            (int)columns[6].size, columns[6].data);
        print_stages(job, line, columns[2], &arena);
    } else {
        fprintf(stderr, "foldmill why: %s has no step %.*s in %s\n", job->run_dir, (int)step.size,
                step.data, name);
    }
    arena_close(&arena);
    return found ? EXIT_GOOD : EXIT_FAILED;
}

static int command_why_main(int argc, char **argv)
{
    static struct job job;
    struct error err = {0};
    char run_dir[PATH_MAX];
    int64_t step;
    const char *run = command_option(&argc, argv, "run");
    const char *sink = command_option(&argc, argv, "line");
    if (!command_rest(&command_why, argc, argv, 1, 1))
        return EXIT_USAGE;
    if (!run || !realpath(run, run_dir) || !text_int(span_of(argv[1]), 0, INT64_MAX, &step)) {
        fprintf(stderr, "foldmill why: a step's number and --run DIR are wanted; see foldmill why "
                        "--help\n");
        return EXIT_USAGE;
    }
    int line = -1;
    if (job_load(&job, run_dir, "", &err) == STATUS_OK)
        line = replay_line(&job, sink, &err);
    if (line >= 0)
        return print_why(&job, line, span_of(argv[1]));
    fprintf(stderr, "foldmill why: %s\n", err.text);
    return EXIT_USAGE;
}

const struct command command_why = {
    .name = "why",
    .summary = "says what a step waited for",
    .help =
        "usage: foldmill why STEP --run DIR [--line SINK]\n\n"
        "Says how long that step waited for data, which sample came last, which process made\n"
        "it, and what the stages took for it (samples that took a stage 50 ms or more stand in\n"
        "DIR/slow.tsv).\n\n"
        "  --line SINK   which line, by its sink; else train, or the first that makes steps\n",
    .run = command_why_main,
};

/* foldmill replay: the very batch of a step again, compared with the run's log. */
#include "engine/replay.h"

#include "engine/base/file.h"
#include "engine/command.h"
#include "engine/programs.h"
#include "engine/rundir.h"
#include "engine/sample_npz.h"

#include <stdlib.h>
#include <sys/stat.h>

#define TABLE_BYTES_MAX ((size_t)1 << 30)

/* The digest that the run logged for the step: 1 found, 0 not, -1 no table. */
static int logged_digest(const struct job *job, int line, uint64_t step, struct arena *arena,
                         uint64_t *digest)
{
    char path[PATH_MAX], name[GRAPH_NAME_MAX + 8];
    struct span table, row;
    snprintf(name, sizeof name, "%s.tsv", job_line_name(job, line));
    if (file_read(rundir_file(job->run_dir, name, path), TABLE_BYTES_MAX, arena, &table, NULL) !=
        STATUS_OK)
        return -1;
    while (span_line(&table, &row)) {
        struct span number, epoch, text;
        int64_t value;
        if (!span_word(&row, &number) || !text_int(number, 0, INT64_MAX, &value) ||
            (uint64_t)value != step || !span_word(&row, &epoch) || !span_word(&row, &text))
            continue;
        char hex[32];
        snprintf(hex, sizeof hex, "%.*s", (int)text.size, text.data);
        *digest = strtoull(hex, NULL, 16);
        return 1;
    }
    return 0;
}

static enum status write_batch(const struct replay *replay, const char *folder, uint64_t step,
                               struct arena *arena, struct error *err)
{
    struct npz_array arrays[SAMPLE_FIELDS_MAX];
    struct span content;
    char path[PATH_MAX];
    enum status status = file_make_dirs(folder, err);
    if (status == STATUS_OK)
        status = sample_arrays(&replay->batch, arena, arrays, err);
    if (status == STATUS_OK)
        status = npz_pack(arrays, replay->batch.field_count, arena, &content, err);
    snprintf(path, sizeof path, "%s/step%llu.npz", folder, (unsigned long long)step);
    if (status == STATUS_OK)
        status = file_write_atomic(path, content, err);
    if (status == STATUS_OK)
        printf("written: %s (numpy.load reads it)\n", path);
    return status;
}

static void print_batch(const struct replay *replay, const char *line, uint64_t step)
{
    printf("step %llu of %s: epoch %llu, %u samples, %u of weight 0, %u recycling passes\n",
           (unsigned long long)step, line, (unsigned long long)replay->epoch, replay->samples,
           replay->skipped, replay->recycles);
    for (int i = 0; i < replay->batch.field_count; i++) {
        const struct field *field = &replay->batch.fields[i];
        printf("  %-32s %-4s [", field->name, kind_name(field->kind));
        for (int d = 0; d < field->rank; d++)
            printf("%s%lld", d ? "," : "", (long long)field->size[d]);
        puts("]");
    }
    printf("digest %016llx\n", (unsigned long long)replay->digest);
}

static int replay_run(struct job *job, int line, uint64_t step, const char *out)
{
    static struct replay replay;
    struct error err;
    struct arena arena;
    uint64_t logged;
    arena_open(&arena, 0);
    enum status status = replay_step(job, line, step, &replay, &arena, &err);
    if (status == STATUS_OK) {
        print_batch(&replay, job_line_name(job, line), step);
        if (out)
            status = write_batch(&replay, out, step, &arena, &err);
    }
    int code = status == STATUS_OK ? EXIT_GOOD : EXIT_FAILED;
    if (status != STATUS_OK)
        fprintf(stderr, "foldmill replay: %s\n", err.text);
    int known = status == STATUS_OK ? logged_digest(job, line, step, &arena, &logged) : 0;
    if (status == STATUS_OK && known <= 0) {
        puts("the run has not logged that step: nothing to compare with");
    } else if (status == STATUS_OK && logged == replay.digest) {
        puts("the same as the run logged");
    } else if (status == STATUS_OK) {
        printf("NOT the same as the run logged: %016llx\n", (unsigned long long)logged);
        code = EXIT_FAILED;
    }
    arena_close(&arena);
    return code;
}

static int command_replay_main(int argc, char **argv)
{
    static struct job job;
    struct error err = {0};
    struct stat stat_buffer;
    char run_dir[PATH_MAX];
    int64_t step;
    const char *step_text = command_option(&argc, argv, "step");
    const char *out = command_option(&argc, argv, "out");
    const char *run = command_option(&argc, argv, "run");
    const char *sink = command_option(&argc, argv, "line");
    programs_allow(command_option(&argc, argv, "programs"));
    if (!command_rest(&command_replay, argc, argv, 1, 1))
        return EXIT_USAGE;
    if (!run && stat(argv[1], &stat_buffer) == 0 && S_ISDIR(stat_buffer.st_mode))
        run = argv[1];
    if (!run || !step_text || !text_int(span_of(step_text), 0, INT64_MAX, &step)) {
        fprintf(stderr, "foldmill replay: %s; see foldmill replay --help\n",
                run ? "--step N is wanted, a number from 0"
                    : "say which run: a folder, or --run DIR");
        return EXIT_USAGE;
    }
    if (!realpath(run, run_dir)) {
        fprintf(stderr, "foldmill replay: there is no folder %s\n", run);
        return EXIT_USAGE;
    }
    int line = -1;
    if (job_load(&job, run_dir, "", &err) == STATUS_OK)
        line = replay_line(&job, sink, &err);
    if (line >= 0)
        return replay_run(&job, line, (uint64_t)step, out);
    fprintf(stderr, "foldmill replay: %s\n", err.text);
    return EXIT_USAGE;
}

const struct command command_replay = {
    .name = "replay",
    .summary = "makes the batch of a step again",
    .help = "usage: foldmill replay RUN --step N [--line SINK] [--out DIR]\n"
            "       foldmill replay GRAPH --run RUN --step N [--line SINK] [--out DIR]\n\n"
            "Makes the very batch of step N of a run again, from the store or the source and "
            "through the\n"
            "line's stages, prints its fields and its digest, and compares the digest with the one "
            "that\n"
            "the run logged. Writes nothing into the run's directory.\n\n"
            "  --line SINK   which line, by its sink; else train, or the first that makes steps\n"
            "  --out DIR     writes the batch to DIR/stepN.npz\n"
            "  --programs D  folders of programs that stages may start, as for foldmill run\n\n"
            "Exit code 0: made, and the same where it was logged; 1: not; 2: wrong command line.\n",
    .run = command_replay_main,
};

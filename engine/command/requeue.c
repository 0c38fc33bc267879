/* foldmill requeue: a sample out of quarantine, after a fix. */
#include "engine/requeue.h"

#include "engine/base/log.h"
#include "engine/command.h"
#include "engine/control.h"

#include <string.h>

static enum status do_stopped(const char *path, const char *key, struct error *err)
{
    static struct job job;
    static struct requeued requeued;
    enum status status = job_load(&job, path, "", err);
    if (status == STATUS_OK)
        status = requeue_stopped(&job, key, &requeued, err);
    if (status == STATUS_OK) {
        requeue_print(&job, &requeued, stdout);
        puts("no engine runs there: the next foldmill run does it");
    }
    return status;
}

static int requeue_run(int argc, char **argv)
{
    struct error err = {0};
    struct arena arena;
    struct span answer;
    char path[PATH_MAX];
    if (!command_rest(&command_requeue, argc, argv, 1, 2))
        return EXIT_USAGE;
    const char *words[] = {"requeue", argv[1]};
    log_open("requeue", LOG_WARN, 2);
    arena_open(&arena, 0);
    enum status status = control_find_run(argv[2], path, &err);
    int code = EXIT_USAGE;
    if (status == STATUS_OK) {
        status = control_ask(path, words, 2, &arena, &answer, &err);
        if (status == STATUS_OK)
            fwrite(answer.data, 1, answer.size, stdout);
        else if (status == STATUS_MISS && strstr(err.text, "no engine runs"))
            status = do_stopped(path, argv[1], &err);
        code = status == STATUS_INVALID ? EXIT_USAGE : EXIT_FAILED;
    }
    if (status != STATUS_OK)
        fprintf(stderr, "foldmill requeue: %s\n", err.text);
    arena_close(&arena);
    return status == STATUS_OK ? EXIT_GOOD : code;
}

const struct command command_requeue = {
    .name = "requeue",
    .summary = "takes a sample out of quarantine after a fix",
    .help =
        "usage: foldmill requeue KEY [RUN]\n\n"
        "Lets the sample KEY be tried again in the run in the folder RUN (left out: the run in\n"
        "runs/ that was started last), whether its engine runs or not: it was set aside after\n"
        "three strikes (foldmill audit RUN lists what was, and why), or a stage refused it and a\n"
        "store keeps the reason. Stores make it again at once in a running engine, else in the\n"
        "next. Steps that were made without it stay as they happened, so that they can be\n"
        "replayed; it is used from its next position on, with three chances again, and counts no\n"
        "more for max_bad.\n\n"
        "(A changed setting or a changed input file needs none of this: what depends on it is\n"
        "made again by itself.)\n\n"
        "Exit code 0: done, durably; 1: nothing holds it back; 2: no such sample or run.\n",
    .run = requeue_run,
};

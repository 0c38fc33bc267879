/* foldmill audit: every position of a run has one fate; counts them. */
#include "engine/audit.h"

#include "engine/base/log.h"
#include "engine/command.h"
#include "engine/programs.h"

#include <stdlib.h>
#include <unistd.h>

enum { REPLAYS_MAX = 1000000 };

static int audit_all(struct job *job, uint64_t replays)
{
    struct audit_line audit;
    struct error err = {0};
    bool good = true;
    for (int i = 0; i < job->graph->line_count; i++) {
        enum status status = audit_line(job, i, &audit, &err);
        if (status == STATUS_OK && replays && !audit.fills)
            status = audit_replay(job, i, replays, &audit, &err);
        if (status != STATUS_OK) {
            fprintf(stderr, "foldmill audit: %s: %s\n", job_line_name(job, i), err.text);
            return EXIT_FAILED;
        }
        audit_print(&audit, stdout);
        good &= audit_good(&audit);
    }
    if (audit_print_aside(job, stdout, &err) != STATUS_OK) {
        fprintf(stderr, "foldmill audit: %s\n", err.text);
        return EXIT_FAILED;
    }
    puts(good ? "nothing lost, nothing doubled" : "SOMETHING IS WRONG: see the counts above");
    return good ? EXIT_GOOD : EXIT_FAILED;
}

static int audit_run(int argc, char **argv)
{
    static struct job job;
    struct error err = {0};
    char run_dir[PATH_MAX];
    int64_t replays = 0;
    const char *steps = command_option(&argc, argv, "replay");
    programs_allow(command_option(&argc, argv, "programs"));
    if (!command_rest(&command_audit, argc, argv, 1, 1))
        return EXIT_USAGE;
    log_open("audit", LOG_WARN, 2); /* stages that are opened for replays say who they are */
    if (steps && !text_int(span_of(steps), 0, REPLAYS_MAX, &replays)) {
        fprintf(stderr, "foldmill audit: --replay wants a number of steps, not '%s'\n", steps);
        return EXIT_USAGE;
    }
    if (!realpath(argv[1], run_dir) || job_load(&job, run_dir, "", &err) != STATUS_OK) {
        fprintf(stderr, "foldmill audit: %s is not the folder of a run%s%s\n", argv[1],
                *err.text ? ": " : "", err.text);
        return EXIT_USAGE;
    }
    return audit_all(&job, (uint64_t)replays);
}

const struct command command_audit = {
    .name = "audit",
    .summary = "counts what became of every position of a run",
    .help = "usage: foldmill audit RUN [--replay N] [--programs DIR[:DIR]]\n\n"
            "For each line of the run in the folder RUN: how many positions were delivered,\n"
            "refused, set aside, dropped, are padding; and how many are holes or doubles, which\n"
            "must be 0. Reads the frozen lists, the step tables, the journal and the stores; then\n"
            "lists what was set aside, with position, key and reason.\n\n"
            "  --replay N   also makes N steps of each line again and compares their digests\n"
            "  --programs D folders of programs that stages may start, as for foldmill run\n\n"
            "Exit code 0: nothing is lost, doubled or damaged; 1: something is.\n",
    .run = audit_run,
};

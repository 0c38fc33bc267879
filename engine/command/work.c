/* foldmill work: one process of a run, started by the engine itself. */
#include "engine/base/log.h"
#include "engine/command.h"
#include "engine/hub.h"
#include "engine/job.h"
#include "engine/sink_process.h"
#include "engine/spawn.h"
#include "engine/supervise.h"
#include "engine/worker.h"

#include <stdlib.h>
#include <string.h>

/* Splits "worker:3:0" at its colons into numbers; how many there are, or -1. */
static int role_numbers(const char *role, int64_t numbers[2])
{
    struct span rest = span_of(role);
    int count = 0;
    const char *colon = memchr(rest.data, ':', rest.size);
    while (colon && count < 2) {
        rest = (struct span){colon + 1, rest.size - (size_t)(colon + 1 - rest.data)};
        colon = memchr(rest.data, ':', rest.size);
        size_t size = colon ? (size_t)(colon - rest.data) : rest.size;
        if (!text_int((struct span){rest.data, size}, 0, INT32_MAX, &numbers[count++]))
            return -1;
    }
    return count;
}

static int run_role(struct job *job, const char *role, const char *gen_text,
                    const char *place, uint64_t inc)
{
    int64_t numbers[2] = {0}, gen = 0;
    int count = role_numbers(role, numbers);
    if (strcmp(role, "dispatch") == 0) {
        log_open("dispatch", LOG_INFO, 2);
        return hub_run(job, inc);
    }
    if (strncmp(role, "worker:", 7) == 0 && count == 2 && numbers[0] < job->graph->stage_count) {
        char name[SUPERVISE_NAME_MAX + 1];
        snprintf(name, sizeof name, "%.60s.%d", job->graph->stages[numbers[0]].name,
                 (int)numbers[1]);
        log_open(name, LOG_INFO, 2);
        return worker_run(job, (int)numbers[0], (uint32_t)numbers[1], inc);
    }
    if (strncmp(role, "sink:", 5) == 0 && count >= 1 && numbers[0] < job->graph->line_count &&
        numbers[1] < job->ranks[numbers[0]] && gen_text &&
        text_int(span_of(gen_text), 0, UINT32_MAX, &gen)) {
        char name[SUPERVISE_NAME_MAX + 1];
        snprintf(name, sizeof name, count > 1 ? "%.60s.%d" : "%.60s",
                 job_line_name(job, (int)numbers[0]), (int)numbers[1]);
        log_open(name, LOG_INFO, 2);
        return sink_run(job, (int)numbers[0], (int)numbers[1], (uint32_t)gen, place,
                        inc);
    }
    log_error("there is no role \"%s\"", role);
    return EXIT_USAGE;
}

static int command_work_main(int argc, char **argv)
{
    static struct job job;
    struct error err;
    const char *inc_text = command_option(&argc, argv, "inc");
    if (!command_rest(&command_work, argc, argv, 3, 5))
        return EXIT_USAGE;
    uint64_t inc = inc_text ? strtoull(inc_text, NULL, 16) : 0;
    log_open("work", LOG_INFO, 2);
    file_limit_raise(); /* the agent's may be lower by now */
    if (job_load(&job, argv[1], argv[2], &err) != STATUS_OK) {
        log_error("%s", err.text);
        return SUPERVISE_EXIT_SETUP;
    }
    return run_role(&job, argv[3], argc > 4 ? argv[4] : NULL, argc > 5 ? argv[5] : NULL, inc);
}

const struct command command_work = {
    .name = "work",
    .summary = "one process of a run",
    .help = "usage: foldmill work RUN SOCKETS dispatch|worker:STAGE:N|sink:LINE[:RANK] "
            "[GENERATION [PLACES]]\n\n"
            "For the engine's own use: foldmill run starts its processes by it.\n",
    .hidden = true,
    .run = command_work_main,
};

/* The head's side of ranks elsewhere; see run_ranks.h. */
#include "engine/run_ranks.h"

#include "engine/base/clock.h"
#include "engine/base/log.h"
#include "engine/post.h"
#include "engine/ranks.h"
#include "engine/run_state.h"

#include <stdio.h>
#include <string.h>

int run_ranks_here(const struct run *run, int line)
{
    int ranks = run->job.ranks[line], here = run->options.ranks;
    return here < 0 || here > ranks ? ranks : here;
}

bool run_ranks_any(const struct run *run, int line)
{
    return run_ranks_here(run, line) < run->job.ranks[line];
}

enum status run_ranks_open(struct run *run, struct error *err)
{
    struct run_ranks *ranks = &run->ranks;
    for (int line = 0; line < run->job.graph->line_count; line++)
        for (int rank = run_ranks_here(run, line); rank < run->job.ranks[line]; rank++) {
            if (rank == MEET_MAX)
                return error_set(err, STATUS_LIMIT, "%s: a line may have %d ranks",
                                 job_line_name(&run->job, line), MEET_MAX);
            if (ranks->count == RUN_FAR_MAX)
                return error_set(err, STATUS_LIMIT, "%d ranks may run on engines that join",
                                 RUN_FAR_MAX);
            ranks->far[ranks->count++] = (struct run_far){.line = line, .rank = rank};
            ranks->held[line] = true;
        }
    return STATUS_OK;
}

static bool is_done(const struct run *run, const struct run_far *far)
{
    return far->node && far->gen == run->gen[far->line] && far->report.state == RANK_FINISHED;
}

/* ---- places ---- */

static int places_taken(const struct run *run, uint64_t node, int line)
{
    int taken = 0;
    for (int i = 0; i < run->ranks.count; i++)
        taken += run->ranks.far[i].node == node && run->ranks.far[i].line == line;
    return taken;
}

/* The engine with a place for a rank of the line: the first one by name, so that the same engines
 * get the same ranks. */
static const struct run_node *find_place(const struct run *run, int line)
{
    const struct run_node *best = NULL;
    for (int i = 0; i < RUN_NODES_MAX; i++) {
        const struct run_node *node = &run->nodes.node[i];
        if (node->inc && !node->leaving && node->rows_ms &&
            places_taken(run, node->inc, line) < node->places &&
            (!best || strcmp(node->name, best->name) < 0))
            best = node;
    }
    return best;
}

/* How many ranks of a line have no place, when all that is free has been given out. */
static int give_places(struct run *run, int line)
{
    int missing = 0;
    for (int i = 0; i < run->ranks.count; i++) {
        struct run_far *far = &run->ranks.far[i];
        const struct run_node *node =
            far->line == line && !far->node ? find_place(run, line) : NULL;
        if (node) {
            *far = (struct run_far){.line = line,
                                    .rank = far->rank,
                                    .node = node->inc,
                                    .failures = far->failures,
                                    .step = far->step};
            snprintf(far->name, sizeof far->name, "%s", node->name);
            log_info("%s: rank %d runs on %s", job_line_name(&run->job, line), far->rank,
                     far->name);
        }
        missing += far->line == line && !far->node;
    }
    return missing;
}

const char *run_ranks_place(const struct run *run, int line)
{
    static char text[RANKS_PATH_MAX + 4 * MEET_MAX];
    uint64_t hosts[MEET_MAX] = {0};
    size_t used = 0;
    int count = 1;
    if (!run_ranks_any(run, line))
        return NULL;
    for (int rank = 0; rank < run->job.ranks[line] && rank < MEET_MAX; rank++) {
        uint64_t node = 0;
        int host = 0;
        for (int i = 0; i < run->ranks.count; i++)
            if (run->ranks.far[i].line == line && run->ranks.far[i].rank == rank)
                node = run->ranks.far[i].node;
        while (host < count && hosts[host] != node)
            host++;
        if (host == count)
            hosts[count++] = node;
        used += (size_t)snprintf(text + used, sizeof text - used, rank ? ",%d" : "%d", host);
    }
    return text;
}

/* ---- generations ---- */

void run_ranks_renewed(struct run *run, int line)
{
    for (int i = 0; i < RUN_NODES_MAX; i++)
        if (run->nodes.node[i].inc && places_taken(run, run->nodes.node[i].inc, line))
            run_ranks_say(run, &run->nodes.node[i]);
}

/* All ranks of a line begin the next generation: now, or when all have a place. */
static void renew(struct run *run, int line)
{
    bool held = give_places(run, line) > 0;
    if (run->draining || run->stopping)
        return;
    run->ranks.held[line] = held;
    if (!held)
        run_next_gen(run, line);
    for (int i = 0; i < supervise_count(run->supervisor); i++) {
        struct run_child *child = &run->children[i];
        if (child->kind != CHILD_SINK || child->line != line)
            continue;
        bool runs = supervise_restart(run->supervisor, i);
        child->sent = child->sent || runs;
        child->finished = false;
        if (held)
            supervise_kill(run->supervisor, i);
        else
            supervise_resume(run->supervisor, i);
    }
    if (!held)
        run_ranks_renewed(run, line);
}

/* What is missing, now and when that changes. */
static void tell(struct run *run, int line, int missing)
{
    char text[256];
    int64_t now = clock_ms();
    if (missing == run->ranks.told && now - run->ranks.told_ms < RUN_RANKS_TELL_MS)
        return;
    run->ranks.told = missing;
    run->ranks.told_ms = now;
    snprintf(text, sizeof text,
             "%.64s: waiting for %d of %d ranks: start engines with --join and --ranks",
             job_line_name(&run->job, line), missing, run->job.ranks[line]);
    log_info("%s", text);
    if (!run->options.quiet)
        progress_line(&run->progress, span_of(text));
}

void run_ranks_turn(struct run *run)
{
    for (int line = 0; line < run->job.graph->line_count; line++) {
        if (!run->ranks.held[line] || run->draining || run->stopping)
            continue;
        int missing = give_places(run, line);
        if (missing) {
            tell(run, line, missing);
            continue;
        }
        renew(run, line);
    }
}

/* ---- what engines say ---- */

void run_ranks_say(struct run *run, const struct run_node *node)
{
    for (int i = 0; i < run->ranks.count; i++) {
        const struct run_far *far = &run->ranks.far[i];
        uint32_t gen = run->gen[far->line];
        bool ends = run->draining || run->stopping;
        bool shown = far->gen == gen && far->report.state != RANK_ABSENT;
        if (far->node != node->inc || run->ranks.held[far->line] || gen == 0 ||
            (ends ? far->gen != gen || far->report.state != RANK_RUNS : shown))
            continue;
        const char *place = run_ranks_place(run, far->line);
        struct message message = {.type = MESSAGE_RANK,
                                  .payload = place,
                                  .size = (uint32_t)strlen(place),
                                  .peer = node->peer,
                                  .job = run->job.id,
                                  .inc = node->inc,
                                  .gen = gen,
                                  .line = (uint16_t)far->line,
                                  .arg = (uint32_t)far->rank,
                                  .flags = ends ? MESSAGE_FINAL : 0};
        post_send(run->coordinator, &message);
    }
}

static void far_ended(struct run *run, struct run_far *far)
{
    const struct rank_report *report = &far->report;
    char why[ERROR_TEXT_MAX];
    log_warn("%s", report->text);
    run->deaths += !run->stopping;
    if (run->stopping || run->draining)
        return;
    if (report->state == RANK_UNABLE) {
        run_fail(run, report->text);
        return;
    }
    int64_t step = report->gauge[GAUGE_DONE];
    far->failures = report->state == RANK_FAILED && step == far->step ? far->failures + 1 : 0;
    far->step = step;
    if (far->failures >= RUN_GIVE_UP) {
        snprintf(why, sizeof why, "%s.%d on %s ends again and again without getting on: %.300s",
                 job_line_name(&run->job, far->line), far->rank, far->name, report->text);
        run_fail(run, why);
    } else if (!run->ranks.held[far->line]) {
        renew(run, far->line);
    }
}

void run_ranks_take(struct run *run, const struct run_node *node, const struct message *in)
{
    struct rank_report report;
    struct run_far *far = NULL;
    for (int i = 0; i < run->ranks.count; i++)
        if (run->ranks.far[i].line == in->line && run->ranks.far[i].rank == (int)in->arg &&
            run->ranks.far[i].node == node->inc)
            far = &run->ranks.far[i];
    if (!far || in->gen != run->gen[in->line] ||
        rank_report_decode((struct span){in->payload, in->size}, &report, NULL) != STATUS_OK)
        return;
    bool ended = report.state == RANK_LOST || report.state == RANK_FAILED ||
                 report.state == RANK_UNABLE;
    bool news = far->gen != in->gen || far->report.state != report.state;
    far->gen = in->gen;
    far->report = report;
    if (ended && news)
        far_ended(run, far);
}

void run_ranks_gone(struct run *run, uint64_t node)
{
    bool lost[GRAPH_LINES_MAX] = {false};
    for (int i = 0; i < run->ranks.count; i++) {
        struct run_far *far = &run->ranks.far[i];
        if (far->node != node || is_done(run, far))
            continue;
        far->node = 0;
        lost[far->line] = true;
    }
    for (int line = 0; line < run->job.graph->line_count; line++)
        if (lost[line])
            renew(run, line);
}

/* ---- ends ---- */

bool run_ranks_done(const struct run *run)
{
    for (int i = 0; i < run->ranks.count; i++)
        if (!is_done(run, &run->ranks.far[i]))
            return false;
    return true;
}

int run_ranks_running(const struct run *run)
{
    int count = 0;
    for (int i = 0; i < run->ranks.count; i++) {
        const struct run_far *far = &run->ranks.far[i];
        count += far->node && far->gen == run->gen[far->line] && far->report.state == RANK_RUNS;
    }
    return count;
}

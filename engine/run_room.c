/* The watermark: sinks pause while the disk that they write to has little room, and go on by
 * themselves. A store's sink watches its store's disk and the run's, other sinks the run's. */
#include "engine/room.h"
#include "engine/run_state.h"

#include "engine/base/clock.h"
#include "engine/base/log.h"
#include "engine/base/text.h"

#include <string.h>

static bool is_low(struct run *run, const char *path, bool paused, bool *told)
{
    struct room room;
    char left[32], all[32], least[32];
    if (!room_look(path, &room) || !room_is_low(&room, paused))
        return false;
    if (!*told)
        snprintf(run->notice, sizeof run->notice,
                 "the disk of %.100s has %s of %s free, less than %s: filling and steps wait for "
                 "room",
                 path, text_show_bytes(left, sizeof left, room.free_bytes),
                 text_show_bytes(all, sizeof all, room.disk_bytes),
                 text_show_bytes(least, sizeof least, room_least(&room)));
    *told = true;
    return true;
}

/* Said in the log and to the person. */
static void tell(struct run *run, const char *text)
{
    log_warn("%s", text);
    if (!run->options.quiet)
        progress_line(&run->progress, span_of(text));
}

void run_room_turn(struct run *run)
{
    const struct graph *graph = run->job.graph;
    int64_t now = clock_ms();
    bool before = run->paused, any = false, told = false;
    if (now - run->room_ms < RUN_ROOM_MS)
        return;
    run->room_ms = now;
    for (int i = 0; i < supervise_count(run->supervisor); i++) {
        struct run_child *child = &run->children[i];
        if (child->kind != CHILD_SINK || child->finished)
            continue;
        const struct graph_stage *sink = &graph->stages[graph->lines[child->line].sink];
        bool low = is_low(run, run->dir.path, child->paused, &told);
        if (sink->kind->flags & STAGE_STORE)
            low = is_low(run, graph_store_path(sink), child->paused, &told) || low;
        /* Said again and again: a process that was started since has not heard it. */
        if (low || child->paused)
            supervise_pause(run->supervisor, i, low);
        child->paused = low;
        any = any || low;
    }
    run->paused = any;
    if (any && !before)
        tell(run, run->notice);
    if (before && !any) {
        run->notice[0] = '\0';
        tell(run, "there is room on the disk again: going on");
    }
}

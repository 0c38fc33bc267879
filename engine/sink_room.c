/* A sink that finds no room on a disk, or is told to pause before there is none: it waits, keeps
 * what it has, and goes on. See sink_process.h. */
#include "engine/sink_process.h"

#include "engine/base/clock.h"
#include "engine/base/log.h"

bool sink_is_paused(struct sink_process *process)
{
    bool paused = process->life.paused && !process->drain;
    if (paused != process->shows_pause)
        gauge_set(process->life.page, GAUGE_STATE, paused ? PROCESS_PAUSED : PROCESS_WORKING);
    process->shows_pause = paused;
    return paused;
}

bool sink_wait_room(struct sink_process *process, const char *why)
{
    int64_t end = clock_ms() + SINK_ROOM_MS;
    if (!process->starved)
        log_warn("%s waits for room on the disk: %s", process->name, why);
    process->starved = true;
    gauge_set(process->life.page, GAUGE_STATE, PROCESS_PAUSED);
    pthread_mutex_lock(&process->lock);
    while (!process->drain && !sink_is_over(process) && clock_ms() < end)
        sink_wait_change(process);
    bool go_on = !process->drain && !sink_is_over(process);
    pthread_mutex_unlock(&process->lock);
    return go_on;
}

void sink_room_found(struct sink_process *process)
{
    if (!process->starved)
        return;
    process->starved = false;
    gauge_set(process->life.page, GAUGE_STATE, PROCESS_WORKING);
    log_info("%s goes on", process->name);
}

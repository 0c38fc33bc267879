/* The dispatcher's loop; see hub.h. */
#include "engine/hub.h"

#include "engine/base/clock.h"
#include "engine/base/log.h"
#include "engine/dispatch.h"
#include "engine/gateway.h"
#include "engine/lifeline.h"
#include "engine/post.h"
#include "engine/supervise.h"

#include <stdlib.h>
#include <unistd.h>

enum {
    HUB_TICK_MS = 50,
    HUB_BURST = 256, /* messages between two looks at the clock */
    HUB_QUEUE_EXTRA = 256,
    HUB_LISTEN_MS = 5000, /* for the address to become free */
};

struct hub {
    struct lifeline life;
    struct link *link;
    struct gateway *gateway;
    struct dispatch *dispatch;
    struct arena arena;
    int64_t now_ms, tick_ms;
    bool sending;  /* parts wait */
    uint64_t lost; /* messages that a full queue or a peer that has gone did not take */
};

static void put(void *user, const struct message *message)
{
    struct hub *hub = user;
    if (!gateway_send(hub->gateway, hub->now_ms, message))
        hub->lost++; /* heartbeats and deadlines mend it */
}

static enum status open_dispatch(struct hub *hub, const struct job *job, uint64_t inc,
                                 struct error *err)
{
    struct dispatch_config config = {.job = job->id,
                                     .inc = inc,
                                     .graph_hash = job->graph->hash,
                                     .line_count = job->graph->line_count,
                                     .pool_count = job->pool_count,
                                     .worker_max =
                                         SUPERVISE_CHILDREN_MAX +
                                         (job->net.kind == NETWORK_HEAD ? GATEWAY_WORKERS_MAX : 0)};
    struct dispatch_line *lines =
        arena_zero(&hub->arena, (size_t)job->graph->line_count, sizeof *lines);
    for (int i = 0; i < job->graph->line_count; i++) {
        const struct graph_line *line = &job->graph->lines[i];
        bool filling = job->graph->stages[line->sink].kind->flags & STAGE_STORE;
        lines[i] = (struct dispatch_line){.stage_count = line->work_count,
                                          .group = job->batch[i],
                                          .rank_count = (uint32_t)job->ranks[i],
                                          .window = (uint32_t)job->plan.lines[i].window,
                                          .filled_by = line->filled_by,
                                          .rank = filling ? 1 : 0};
        for (int k = 0; k < line->work_count; k++)
            lines[i].pool[k] = (uint16_t)job->pool[line->work[k]];
    }
    config.lines = lines;
    return dispatch_open(&hub->dispatch, &config, &hub->arena, err);
}

/* At the address that engines which join were told. The one before us may still be closing. */
static enum status listen_outside(struct hub *hub, const struct job *job, int queue_max,
                                  struct error *err)
{
    int64_t end = clock_ms() + HUB_LISTEN_MS;
    enum status status = network_secure(&job->net, err);
    if (status != STATUS_OK)
        return status;
    while ((status = link_also(hub->link, job->net.hub, network_options(&job->net, queue_max),
                               err)) == STATUS_IO &&
           clock_ms() < end)
        usleep(50000);
    return status;
}

static enum status hub_open(struct hub *hub, const struct job *job, uint64_t inc, struct error *err)
{
    uint32_t window = 0;
    for (int i = 0; i < job->graph->line_count; i++)
        if (job->plan.lines[i].window > window)
            window = (uint32_t)job->plan.lines[i].window;
    struct link_options options = {.queue_max = (int)(2 * window + HUB_QUEUE_EXTRA)};
    char address[LINK_ADDRESS_MAX];
    arena_open(&hub->arena, 0);
    enum status status = lifeline_open(&hub->life, inc, err);
    if (status == STATUS_OK)
        status = open_dispatch(hub, job, inc, err);
    if (status == STATUS_OK)
        status = link_context_open(err);
    if (status == STATUS_OK)
        status = link_listen(&hub->link, job_address(job, "dispatch", address, sizeof address),
                             options, err);
    if (status == STATUS_OK && job->net.kind == NETWORK_HEAD)
        status = listen_outside(hub, job, options.queue_max, err);
    if (status == STATUS_OK)
        hub->gateway = gateway_open(&hub->life, hub->link);
    return status;
}

/* What waits for each stage, where the agent finds it for its table. */
static void show(struct hub *hub, const struct job *job)
{
    for (int i = 0; i < job->graph->line_count; i++)
        for (int k = 0; k < job->graph->lines[i].work_count; k++) {
            struct dispatch_counts counts;
            char name[METRICS_NAME_MAX + 1];
            dispatch_count(hub->dispatch, i, k, &counts);
            report_set(hub->life.page, job_queue_name(i, k, name), counts.queued + counts.parked);
        }
    struct dispatch_totals totals;
    dispatch_total(hub->dispatch, &totals);
    gauge_set(hub->life.page, GAUGE_QUEUE, totals.items);
    atomic_store_explicit(&hub->life.page->counter[METRIC_DONE], totals.messages,
                          memory_order_relaxed);
    atomic_store_explicit(&hub->life.page->counter[METRIC_DROPPED],
                          hub->lost + totals.dropped_full + totals.dropped_job,
                          memory_order_relaxed);
}

static void turn(struct hub *hub, const struct job *job)
{
    struct outbox out = {hub, put};
    struct link_message raw;
    struct message message;
    int64_t now = hub->now_ms = clock_ms();
    for (int i = 0;
         i < HUB_BURST && gateway_receive(hub->gateway, now, &raw, &message) == STATUS_OK; i++) {
        dispatch_step(hub->dispatch, &message, now, &out);
        link_message_close(&raw);
    }
    if (now - hub->tick_ms >= HUB_TICK_MS) {
        hub->tick_ms = now;
        dispatch_step(hub->dispatch, NULL, now, &out);
        show(hub, job);
    }
    hub->sending = gateway_turn(hub->gateway, now);
}

int hub_run(struct job *job, uint64_t inc)
{
    static struct hub hub;
    struct error err = {0};
    if (hub_open(&hub, job, inc, &err) != STATUS_OK) {
        log_error("%s", err.text);
        return SUPERVISE_EXIT_SETUP;
    }
    gauge_set(hub.life.page, GAUGE_STATE, PROCESS_WORKING);
    while (!hub.life.drain) {
        struct link_wait waits[] = {{.link = hub.link}, {.fd = hub.life.socket}};
        link_poll(waits, 2, hub.sending ? 1 : HUB_TICK_MS);
        turn(&hub, job);
        if (waits[1].ready && lifeline_listen(&hub.life) != STATUS_OK)
            break;
    }
    gateway_close(hub.gateway);
    link_close(hub.link, 0);
    link_context_close();
    return EXIT_SUCCESS;
}

/* Engines that join in the simulator: their workers and ranks come and go together, are cut off
 * together, and what travels to and from them is read out of its block, takes its time on the way
 * and is put into a block of the dispatcher's process, as the gateway does. What is on its way is
 * held. */
#include "tests/sim/sim.h"

#include <string.h>

/* The stages whose workers may be elsewhere: not the one that reads the store. */
static const int far_pool[FAR_POOLS] = {0, 1, 3};

int worker_pool(int worker)
{
    return worker < LOCAL_WORKERS ? worker / POOL_WORKERS
                                  : far_pool[(worker - LOCAL_WORKERS) % FAR_POOLS];
}

int worker_node(int worker)
{
    return worker < LOCAL_WORKERS ? -1 : (worker - LOCAL_WORKERS) / FAR_POOLS;
}

enum actor agent_of(int worker)
{
    int node = worker_node(worker);
    return node < 0 ? AGENT : (enum actor)(FAR_AGENT0 + (uint32_t)node);
}

static int first_worker(int node)
{
    return LOCAL_WORKERS + node * FAR_POOLS;
}

/* ---- transfers ---- */

static void begin(enum actor actor, const struct message *message, struct content content, bool out)
{
    for (uint32_t i = 0; i < TRANSFERS_MAX; i++) {
        struct transfer *transfer = &world.transfers[i];
        if (transfer->used)
            continue;
        *transfer = (struct transfer){.used = true,
                                      .out = out,
                                      .actor = actor,
                                      .actor_inc = world.inc[actor],
                                      .hub_inc = world.inc[DISPATCH],
                                      .message = *message,
                                      .content = content};
        transfer->message.payload = NULL;
        transfer->message.size = 0;
        int64_t time = 3 + random_u32() % 40;
        if (chance(60))
            time += random_u32() % 1500; /* a slow link: longer than the dispatcher's patience */
        event_push(time, EVENT_PARCEL, actor, i);
        return;
    }
    world.stats.lost++;
}

void far_work(const struct message *work)
{
    struct content content;
    if (work->inc != world.inc[work->peer])
        return;
    bool good = content_read(work, &content);
    block_return(work);
    if (good)
        begin((enum actor)work->peer, work, content, false);
}

bool far_sink(enum actor actor)
{
    return actor >= SINK_TRAIN && actor < WORKER0 && world.far_rank[actor - SINK_TRAIN];
}

void far_data(const struct message *data)
{
    struct content content;
    bool good = content_read(data, &content);
    block_return(data);
    if (good && world.alive[data->peer])
        begin((enum actor)data->peer, data, content, false);
    else
        world.stats.lost++;
}

void far_out(int worker, const struct message *out, struct content content)
{
    begin(actor_of(worker), out, content, true);
}

static struct block *hub_block(void)
{
    struct block *found = NULL;
    for (int i = 0; i < HUB_BLOCKS; i++) {
        struct block *block = &world.hub_blocks[i];
        if (block->taken && world.now - block->since_ms > 5000) {
            block->taken = false;
            world.stats.reclaimed++;
        }
        if (!block->taken && !found)
            found = block;
    }
    return found;
}

static void arrive_out(struct transfer *transfer)
{
    struct block *block = hub_block();
    if (!block) {
        world.stats.lost++;
        return;
    }
    block->taken = true;
    block->use++;
    block->since_ms = world.now;
    block->content = transfer->content;
    struct descriptor at = {world.inc[DISPATCH], HUB_POOL, (uint32_t)(block - world.hub_blocks),
                            block->use, 0};
    struct message message = transfer->message;
    message.peer = transfer->actor;
    message.flags = MESSAGE_BLOCK;
    message.payload = &at;
    message.size = sizeof at;
    dispatch_receive(&message);
}

/* Whole at its other end, unless a connection broke on the way. */
void far_arrive(uint64_t number)
{
    struct transfer *transfer = &world.transfers[number];
    enum actor actor = transfer->actor;
    bool same = world.alive[DISPATCH] && world.inc[DISPATCH] == transfer->hub_inc &&
                world.alive[actor] && world.inc[actor] == transfer->actor_inc;
    bool lossy = world.now < TIME_FAULTS;
    transfer->used = false;
    if (!same || (lossy && (world.cut[actor] || world.cut[DISPATCH] || chance(20)))) {
        world.stats.lost++;
        return;
    }
    world.stats.parcels++;
    if (transfer->out) {
        arrive_out(transfer);
        return;
    }
    struct message in = transfer->message;
    in.peer = DISPATCH;
    in.flags &= (uint16_t)~MESSAGE_BLOCK;
    in.payload = &transfer->content;
    in.size = sizeof transfer->content;
    if (actor < WORKER0) {
        world.stats.far_data++;
        sink_receive(actor, &in);
    } else {
        worker_receive((int)actor - WORKER0, &in);
    }
}

int far_held(int worker, struct held *held, int max)
{
    int count = 0;
    for (int i = 0; i < TRANSFERS_MAX && count < max; i++) {
        const struct transfer *transfer = &world.transfers[i];
        if (transfer->used && transfer->actor == actor_of(worker) &&
            transfer->actor_inc == world.inc[actor_of(worker)])
            held[count++] = (struct held){transfer->message.seq, transfer->message.gen,
                                          transfer->message.attempt};
    }
    return count;
}

/* ---- nodes ---- */

void node_join(int node)
{
    world.node_id[node] = ++world.inc_next;
    world.alive[FAR_AGENT0 + node] = true;
    for (int i = 0; i < FAR_POOLS; i++)
        worker_start(first_worker(node) + i);
}

/* A rank ends with its engine, and all ranks with it: they start again as one generation. */
static void ranks_end(int node)
{
    for (int rank = 0; rank < RANKS; rank++)
        if (world.far_rank[rank] && rank % NODES == node && world.alive[SINK_TRAIN + rank]) {
            kill_ranks();
            event_push(200, EVENT_RESTART, SINK_TRAIN, 0);
            return;
        }
}

/* Gone with all its workers, and nobody is left to tell of their ends. */
static void node_vanishes(int node)
{
    ranks_end(node);
    for (int i = 0; i < FAR_POOLS; i++)
        world.alive[actor_of(first_worker(node) + i)] = false;
    world.alive[FAR_AGENT0 + node] = false;
    world.node_id[node] = 0;
}

/* Its workers finish what they have, say goodbye, and are not started again. */
static void node_leaves(int node)
{
    ranks_end(node);
    world.node_id[node] = 0;
    for (int i = 0; i < FAR_POOLS; i++)
        if (world.alive[actor_of(first_worker(node) + i)])
            worker_drain(first_worker(node) + i);
}

static void node_cut(int node)
{
    int64_t time = 400 + random_u32() % 4000;
    for (int i = 0; i <= FAR_POOLS; i++) {
        enum actor actor = i < FAR_POOLS ? actor_of(first_worker(node) + i)
                                         : (enum actor)(FAR_AGENT0 + (uint32_t)node);
        world.cut[actor] = true;
        event_push(time, EVENT_HEAL, actor, 0);
    }
    for (int rank = 0; rank < RANKS; rank++)
        if (world.far_rank[rank] && rank % NODES == node) {
            world.cut[SINK_TRAIN + rank] = true;
            event_push(time, EVENT_HEAL, (enum actor)(SINK_TRAIN + rank), 0);
        }
}

void node_fault(void)
{
    int node = (int)(random_u32() % NODES);
    uint32_t what = random_u32() % 3;
    if (world.node_id[node] == 0)
        return; /* it is away, and comes by itself */
    if (what == 2) {
        node_cut(node);
        return;
    }
    if (what == 0)
        node_vanishes(node);
    else
        node_leaves(node);
    event_push(300 + random_u32() % 4000, EVENT_JOIN, (enum actor)(FAR_AGENT0 + (uint32_t)node), 0);
}

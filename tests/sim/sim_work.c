/* Workers and the agent of the simulator: processes that do one item after another, own blocks
 * for what they make, say what they hold, die in all ways; and who buries them and starts them
 * again. */
#include "tests/sim/sim.h"

#include <stdio.h>
#include <string.h>

static int pool_line(int worker)
{
    return worker_pool(worker) / STAGES;
}

static int pool_stage(int worker)
{
    return worker_pool(worker) % STAGES;
}

static void send(int worker, struct message message)
{
    message.peer = DISPATCH;
    message.job = 1;
    message.inc = world.inc[actor_of(worker)];
    net_send(actor_of(worker), &message);
}

static void answer(int worker, const struct job *job, enum message_type type, const void *payload,
                   uint32_t size, uint16_t flags)
{
    struct message message = job->message;
    message.type = type;
    message.payload = payload;
    message.size = size;
    message.flags = flags;
    send(worker, message);
}

static void hello(int worker)
{
    struct sim_worker *w = &world.workers[worker];
    struct hello hello = {.role = PEER_WORKER,
                          .version = MESSAGE_VERSION,
                          .index = (uint32_t)(worker_node(worker) < 0 ? worker % POOL_WORKERS : 0),
                          .node = w->node};
    unsigned char bytes[HELLO_BYTES_MAX];
    for (int i = 0; i < w->job_count; i++)
        hello.held[hello.held_count++] = (struct held){
            w->jobs[i].message.seq, w->jobs[i].message.gen, w->jobs[i].message.attempt};
    hello.held_count += (uint32_t)far_held(worker, hello.held + hello.held_count, HOLD_MAX);
    uint32_t size = (uint32_t)hello_encode(&hello, bytes);
    send(worker, (struct message){.type = MESSAGE_HELLO,
                                  .line = (uint16_t)pool_line(worker),
                                  .stage = (uint16_t)pool_stage(worker),
                                  .arg = w->begun,
                                  .payload = bytes,
                                  .size = size});
}

void worker_start(int worker)
{
    struct sim_worker *w = &world.workers[worker];
    world.alive[actor_of(worker)] = true;
    world.stopped_until[actor_of(worker)] = 0;
    world.inc[actor_of(worker)] = ++world.inc_next;
    w->node = worker_node(worker) < 0 ? 0 : world.node_id[worker_node(worker)];
    w->dispatcher = 0;
    w->job_count = 0;
    w->begun = 0;
    w->busy = w->draining = w->stuck = false;
    memset(w->blocks, 0, sizeof w->blocks);
    hello(worker);
}

static struct block *block_find(const struct message *in)
{
    struct descriptor at;
    if (!(in->flags & MESSAGE_BLOCK) || in->size != sizeof at)
        return NULL;
    memcpy(&at, in->payload, sizeof at);
    if (at.worker == HUB_POOL) {
        struct block *ours = &world.hub_blocks[at.slot];
        return world.inc[DISPATCH] == at.inc && ours->use == at.use && ours->taken ? ours : NULL;
    }
    struct block *block = &world.workers[at.worker].blocks[at.slot];
    bool same = world.inc[WORKER0 + at.worker] == at.inc && block->use == at.use && block->taken;
    return same ? block : NULL;
}

bool content_read(const struct message *in, struct content *content)
{
    if (in->flags & MESSAGE_BLOCK) {
        struct block *block = block_find(in);
        if (!block)
            return false;
        *content = block->content;
        return true;
    }
    if (in->size != sizeof *content)
        return false;
    memcpy(content, in->payload, sizeof *content);
    return true;
}

void block_return(const struct message *in)
{
    struct block *block = block_find(in);
    if (block)
        block->taken = false;
}

static uint32_t ill_of(const struct message *work)
{
    return world.ill[work->line][world.sample[work->line][work->seq]];
}

static void begin(int worker)
{
    struct sim_worker *w = &world.workers[worker];
    if (w->busy || w->job_count == 0)
        return;
    w->busy = true;
    w->started_ms = world.now;
    w->begun++;
    int64_t time = 5 + random_u32() % 60;
    if (chance(world.slow ? 150 : 20))
        time += world.slow ? 300 + random_u32() % 2000 : 800;
    const struct message *work = &w->jobs[0].message;
    if (ill_of(work) == ILL_HANG && work->stage == 1) {
        event_push(time + 1500, EVENT_KILL, actor_of(worker), world.inc[actor_of(worker)]);
        return;
    }
    event_push(time, EVENT_WORK, actor_of(worker), world.inc[actor_of(worker)]);
}

static void job_remove(struct sim_worker *w, int at)
{
    memmove(&w->jobs[at], &w->jobs[at + 1], (size_t)(--w->job_count - at) * sizeof w->jobs[0]);
}

static void leave_if_drained(int worker)
{
    struct sim_worker *w = &world.workers[worker];
    struct held held[1];
    if (!w->draining || w->busy || far_held(worker, held, 1))
        return; /* worker_tick looks again when a transfer has ended */
    send(worker, (struct message){.type = MESSAGE_BYE});
    worker_kill(worker, CAUSES);
}

/* Hands back what has not been begun, with a word or without one. */
static void forget_unbegun(int worker, bool tell)
{
    struct sim_worker *w = &world.workers[worker];
    while (w->job_count > w->busy) {
        if (tell)
            answer(worker, &w->jobs[w->job_count - 1], MESSAGE_LOST, NULL, 0, 0);
        w->job_count--;
    }
}

static void take_work(int worker, const struct message *in)
{
    struct sim_worker *w = &world.workers[worker];
    if (in->inc != world.inc[actor_of(worker)])
        return;
    for (int i = 0; i < w->job_count; i++)
        if (message_same_item(&w->jobs[i].message, in))
            return;
    struct job lost = {.message = *in};
    if (w->job_count == HOLD_MAX || w->draining) {
        answer(worker, &lost, MESSAGE_LOST, NULL, 0, 0);
        return;
    }
    ASSERT_INT(in->size, <=, sizeof lost.bytes);
    struct job *job = &w->jobs[w->job_count++];
    job->message = *in;
    memcpy(job->bytes, in->payload, in->size);
    begin(worker);
}

void worker_receive(int worker, const struct message *in)
{
    struct sim_worker *w = &world.workers[worker];
    if (in->type == MESSAGE_CHALLENGE) {
        hello(worker);
    } else if (in->type == MESSAGE_WELCOME) {
        if (w->dispatcher != 0 && w->dispatcher != in->inc)
            forget_unbegun(worker, false);
        w->dispatcher = in->inc;
    } else if (in->type == MESSAGE_WORK) {
        take_work(worker, in);
    } else if (in->type == MESSAGE_FREE) {
        block_return(in);
    } else if (in->type == MESSAGE_DRAIN && in->inc == world.inc[actor_of(worker)]) {
        worker_drain(worker);
    }
}

void worker_drain(int worker)
{
    world.workers[worker].draining = true;
    forget_unbegun(worker, true);
    leave_if_drained(worker);
}

void worker_tick(int worker)
{
    struct sim_worker *w = &world.workers[worker];
    struct held held[2 * HOLD_MAX];
    unsigned char bytes[MESSAGE_HELD_MAX * HELD_BYTES];
    for (int i = 0; i < w->job_count; i++)
        held[i] = (struct held){w->jobs[i].message.seq, w->jobs[i].message.gen,
                                w->jobs[i].message.attempt};
    int count = w->job_count + far_held(worker, held + w->job_count, HOLD_MAX);
    uint32_t size = (uint32_t)held_encode(held, (uint32_t)count, bytes);
    send(worker, (struct message){.type = MESSAGE_HB,
                                  .line = (uint16_t)pool_line(worker),
                                  .arg = w->begun,
                                  .payload = bytes,
                                  .size = size});
    if (w->stuck)
        worker_finish(worker, world.inc[actor_of(worker)]);
    leave_if_drained(worker);
}

/* A block for a result, or NULL: then the worker waits. Old ones are taken back. */
static struct block *block_take(struct sim_worker *w)
{
    for (int i = 0; i < BLOCKS; i++)
        if (w->blocks[i].taken && world.now - w->blocks[i].since_ms > 5000) {
            w->blocks[i].taken = false;
            world.stats.reclaimed++;
        }
    for (int i = 0; i < BLOCKS; i++)
        if (!w->blocks[i].taken)
            return &w->blocks[i];
    return NULL;
}

static void send_result(int worker, struct job *job, struct content content)
{
    struct sim_worker *w = &world.workers[worker];
    if (chance(300)) { /* small enough to travel in the message */
        answer(worker, job, MESSAGE_OUT, &content, sizeof content, 0);
        return;
    }
    if (worker_node(worker) >= 0) {
        struct message out = job->message;
        out.type = MESSAGE_OUT;
        out.job = 1;
        out.inc = world.inc[actor_of(worker)];
        far_out(worker, &out, content);
        return;
    }
    struct block *block = block_take(w);
    if (!block) {
        w->stuck = true;
        return;
    }
    block->taken = true;
    block->use++;
    block->since_ms = world.now;
    block->content = content;
    struct descriptor at = {world.inc[actor_of(worker)], (uint32_t)worker,
                            (uint32_t)(block - w->blocks), block->use, 0};
    answer(worker, job, MESSAGE_OUT, &at, sizeof at, MESSAGE_BLOCK);
}

/* What the stage makes of jobs[0]; false when it killed its process. */
static bool execute(int worker)
{
    struct sim_worker *w = &world.workers[worker];
    struct job *job = &w->jobs[0];
    const struct message *work = &job->message;
    job->message.payload = job->bytes; /* the job may have moved */
    uint64_t index = world.sample[work->line][work->seq];
    uint32_t ill = ill_of(work);
    struct content content = {work->seq, value_of(work->seq, work->line, work->gen), work->arg};
    if (work->stage == 0) {
        if (key_read(work->payload, work->size) != index)
            broken("the key of another sample was sent for seq %llu",
                   (unsigned long long)work->seq);
        if (work->line == TRAIN && world.store[index] == 0) {
            answer(worker, job, MESSAGE_MISS, NULL, 0, 0);
            world.stats.parked++;
            return true;
        }
        if ((work->line == TRAIN && world.store[index] == 2) || ill == ILL_REFUSED) {
            answer(worker, job, MESSAGE_REFUSED, "unusable", 8, 0);
            return true;
        }
        if (ill == ILL_EMPTY) {
            answer(worker, job, MESSAGE_OUT, NULL, 0, MESSAGE_EMPTY);
            return true;
        }
    } else {
        struct content before;
        bool good = content_read(work, &before);
        block_return(work);
        if (!good) {
            answer(worker, job, MESSAGE_LOST, NULL, 0, 0);
            return true;
        }
        if (before.seq != content.seq || before.value != content.value ||
            before.recycles != content.recycles)
            broken("I5 stage 1 was given %llu for seq %llu", (unsigned long long)before.value,
                   (unsigned long long)work->seq);
        if (ill == ILL_CRASH || (ill == ILL_OFTEN && chance(600))) {
            worker_kill(worker, CAUSE_CRASH);
            return false;
        }
        if (ill == ILL_ERR) {
            answer(worker, job, MESSAGE_ERR, "bad", 3, 0);
            return true;
        }
    }
    send_result(worker, job, content);
    return true;
}

void worker_finish(int worker, uint64_t inc)
{
    struct sim_worker *w = &world.workers[worker];
    if (world.inc[actor_of(worker)] != inc || !world.alive[actor_of(worker)] || !w->busy)
        return;
    if (w->stuck) {
        /* The result is ready and waits for room: its input was read before. */
        const struct message *work = &w->jobs[0].message;
        w->stuck = false;
        send_result(worker, &w->jobs[0],
                    (struct content){work->seq, value_of(work->seq, work->line, work->gen),
                                     work->arg});
    } else if (!execute(worker)) {
        return;
    }
    if (w->stuck)
        return;
    w->busy = false;
    job_remove(w, 0);
    begin(worker);
    leave_if_drained(worker);
}

/* cause CAUSES: it ended by itself, as it was told to. */
void worker_kill(int worker, enum cause cause)
{
    struct sim_worker *w = &world.workers[worker];
    enum actor actor = actor_of(worker);
    if (!world.alive[actor])
        return;
    world.alive[actor] = false;
    world.stats.kills += cause != CAUSES;
    const struct message *work = w->busy ? &w->jobs[0].message : NULL;
    ASSERT_INT(world.obituary_count, <, 64);
    world.obituary[world.obituary_count].inc = world.inc[actor];
    world.obituary[world.obituary_count].agent = agent_of(worker);
    world.obituary[world.obituary_count++].died = (struct died){
        .cause = cause == CAUSES ? CAUSE_LOST : cause,
        .executing = work != NULL,
        .line = work ? work->line : 0,
        .stage = work ? work->stage : 0,
        .item = work ? (struct held){work->seq, work->gen, work->attempt} : (struct held){0, 0, 0},
        .text = "ended",
    };
    event_push(5 + random_u32() % 50, EVENT_DIED, agent_of(worker), world.inc[actor]);
    event_push(60 + random_u32() % 100, EVENT_RESTART, actor, 0);
}

static void obituary_send(int at)
{
    unsigned char bytes[DIED_BYTES_MAX];
    struct message message = {.type = MESSAGE_DIED,
                              .peer = DISPATCH,
                              .job = 1,
                              .inc = world.obituary[at].inc,
                              .payload = bytes,
                              .size = (uint32_t)died_encode(&world.obituary[at].died, bytes)};
    net_send(world.obituary[at].agent, &message);
}

void agent_tick(void)
{
    for (int i = world.obituary_count - 1; i >= 0; i--)
        if (world.alive[world.obituary[i].agent])
            obituary_send(i);
        else /* nobody is left to tell of it */
            world.obituary[i] = world.obituary[--world.obituary_count];
}

void agent_receive(const struct message *in)
{
    if (in->type != MESSAGE_DIEDOK)
        return;
    for (int i = 0; i < world.obituary_count; i++)
        if (world.obituary[i].inc == in->inc) {
            world.obituary[i] = world.obituary[--world.obituary_count];
            return;
        }
}

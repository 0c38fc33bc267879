/* The simulator's command: runs seeds, injects faults, prints what happened.
 * usage: sim FIRST COUNT [slow|fast]                    exit status 0: no invariant broke
 *        sim_mutants FIRST COUNT [slow|fast [MUTANT]]   exit status 0: every mutant was caught */
#include "tests/sim/sim.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef FOLDMILL_MUTANTS
enum mutant mutant_on;
#endif

static void on_abort(int number)
{
    (void)number;
    snprintf(world.why, sizeof world.why, "I9 an assertion of the product failed");
    siglongjmp(broken_jump, 1);
}

/* Every third world has weighted epochs, in which a sample stands at several positions of one
 * window, or at none. */
static struct order train_order(uint64_t seed)
{
    static struct arena arena;
    float weight[KEYS];
    struct order order = order_make(seed, KEYS, GROUP, true, NULL);
    if (seed % 3 != 1)
        return order;
    arena_reset(&arena);
    for (int i = 0; i < KEYS; i++)
        weight[i] = i % 3 ? 0.1f : 1;
    return order_weigh(order, weight, NULL, KEYS, &arena);
}

static void world_open(uint64_t seed, bool slow)
{
    struct world kept = world;
    memset(&world, 0, sizeof world);
    world.heap = kept.heap;
    world.heap_max = kept.heap_max;
    world.parcels = kept.parcels;
    world.parcel_max = kept.parcel_max;
    world.parcel_free = UINT32_MAX;
    world.dispatch_arena = kept.dispatch_arena;
    world.coordinate_arena = kept.coordinate_arena;
    for (int i = 0; i < 1 + RANKS; i++)
        world.sinks[i].arena = kept.sinks[i].arena;
    world.stats = kept.stats;
    world.slow = slow;
    world.fill_leaves = seed % 4 == 3;
    world.overtake = seed % 2 ? 0 : 1 + seed / 2 % OVERTAKE_MAX;
    world.random = seed * 0x2545F4914F6CDD1DULL + 1;
    world.inc_next = 100;
    world.order[FILL] = order_make(seed, KEYS, 1, false, NULL);
    world.order[TRAIN] = train_order(seed);
    for (int line = 0; line < LINES; line++)
        for (uint64_t seq = 0; seq < SEQS; seq++)
            world.sample[line][seq] = order_index(&world.order[line], seq);
    for (uint32_t line = 0; line < LINES; line++)
        for (uint32_t key = 0; key < KEYS; key++)
            world.lead[line][key] =
                key % 3 == seed % 3 ? (uint16_t)((seed + 7 * line + 5 * key) % 17) : 0;
    for (int line = 0; line < LINES; line++)
        for (int key = 0; key < KEYS; key++)
            if (chance(70)) {
                uint32_t ill = ILL_CRASH + random_u32() % 8;
                world.ill[line][key] = (uint8_t)(ill > ILL_EMPTY ? ILL_OFTEN : ill);
            }
    dispatch_start();
    coordinate_start();
    world.alive[AGENT] = true;
    world.gen[FILL] = 1;
    sink_start(SINK_FILL);
    train_restart();
    for (int i = 0; i < LOCAL_WORKERS; i++)
        worker_start(i);
    world.nodes = seed % 2 == 0;
    for (int rank = 0; rank < RANKS && world.nodes; rank++)
        world.far_rank[rank] = seed >> (1 + rank) & 1;
    for (int node = 0; node < NODES && world.nodes; node++)
        event_push(200 + 3000 * node, EVENT_JOIN, (enum actor)(FAR_AGENT0 + (uint32_t)node), 0);
    for (uint32_t i = 0; i < ACTORS; i++)
        if (i != COORDINATE)
            event_push(10 + i, EVENT_TICK, (enum actor)i, 0);
    event_push(100, EVENT_FAULT, AGENT, 0);
}

static void restart(enum actor actor)
{
    world.stats.restarts++;
    if (actor == SINK_FILL && world.fill_left) {
        return;
    } else if (actor == COORDINATE) {
        coordinate_start();
    } else if (actor == DISPATCH) {
        dispatch_start();
    } else if (actor == SINK_FILL) {
        world.gen[FILL]++;
        sink_start(SINK_FILL);
    } else if (actor == SINK_TRAIN) {
        train_restart();
    } else {
        int node = worker_node((int)actor - WORKER0);
        if (node < 0 || (world.node_id[node] && !world.alive[actor]))
            worker_start((int)actor - WORKER0);
    }
}

/* Kills all ranks; a late word of rank 0 may still be on its way. */
void kill_ranks(void)
{
    if (!world.alive[SINK_TRAIN])
        return;
    if (chance(500) && world.trained > 0 && world.model_gen == world.gen[TRAIN]) {
        unsigned char digest[CKPT_BYTES] = {0};
        struct message late = {.type = MESSAGE_CKPT,
                               .peer = COORDINATE,
                               .job = 1,
                               .line = TRAIN,
                               .gen = world.gen[TRAIN],
                               .seq = world.trained,
                               .payload = digest,
                               .size = sizeof digest};
        net_delay(SINK_TRAIN, &late, 300 + random_u32() % 900);
    }
    for (int rank = 0; rank < RANKS; rank++)
        world.alive[SINK_TRAIN + rank] = false;
    journals_cut();
}

static void fault(void)
{
    if (world.now >= TIME_FAULTS || world.done)
        return;
    event_push(50 + random_u32() % 700, EVENT_FAULT, AGENT, 0);
    world.stats.faults++;
    int worker = (int)(random_u32() % (uint32_t)(world.nodes ? WORKERS : LOCAL_WORKERS));
    enum actor actor = actor_of(worker);
    switch (random_u32() % (world.nodes ? 12 : 9)) {
    case 0:
    case 1: /* SIGKILL from outside: never blamed */
        worker_kill(worker, CAUSE_LOST);
        break;
    case 2:
        if (world.alive[DISPATCH]) {
            world.alive[DISPATCH] = false;
            event_push(150, EVENT_RESTART, DISPATCH, 0);
        }
        break;
    case 3:
        if (world.alive[COORDINATE]) {
            world.alive[COORDINATE] = false;
            event_push(200, EVENT_RESTART, COORDINATE, 0);
        }
        break;
    case 4:
        if (world.alive[SINK_TRAIN]) {
            kill_ranks();
            event_push(200, EVENT_RESTART, SINK_TRAIN, 0);
        }
        break;
    case 5:
        if (world.alive[SINK_FILL]) {
            world.alive[SINK_FILL] = false;
            event_push(150, EVENT_RESTART, SINK_FILL, 0);
        }
        break;
    case 6: /* a partition that heals */
        if (chance(300))
            actor = DISPATCH;
        world.cut[actor] = true;
        event_push(500 + random_u32() % 900, EVENT_HEAL, actor, 0);
        break;
    case 7: /* SIGSTOP, shorter than the patience of the dispatcher */
        world.stopped_until[actor] = world.now + 900;
        break;
    case 9:
    case 10:
    case 11: /* a whole engine goes or is cut off */
        node_fault();
        break;
    default: /* ... and longer */
        world.stopped_until[actor] = world.now + 2500;
        break;
    }
}

static void deliver(enum actor actor, const struct message *message)
{
    if (actor == COORDINATE)
        coordinate_receive(message);
    else if (actor == DISPATCH)
        dispatch_receive(message);
    else if (actor == AGENT || actor >= FAR_AGENT0)
        agent_receive(message);
    else if (actor < WORKER0)
        sink_receive(actor, message);
    else
        worker_receive((int)actor - WORKER0, message);
}

static void tick(enum actor actor)
{
    bool agent = actor == AGENT || actor >= FAR_AGENT0;
    int64_t period = agent ? 300 : actor >= WORKER0 ? 250 : 100;
    event_push(period, EVENT_TICK, actor, 0);
    if (!world.alive[actor])
        return;
    if (actor == DISPATCH)
        dispatch_receive(NULL);
    else if (agent)
        agent_tick();
    else if (actor < WORKER0)
        sink_receive(actor, NULL);
    else
        worker_tick((int)actor - WORKER0);
}

static void handle(const struct event *event)
{
    enum actor actor = (enum actor)event->actor;
    bool stopped = world.stopped_until[actor] > world.now && world.alive[actor];
    if (stopped &&
        (event->type == EVENT_MESSAGE || event->type == EVENT_TICK || event->type == EVENT_WORK)) {
        event_push(world.stopped_until[actor] - world.now, (enum event_type)event->type, actor,
                   event->value);
        return;
    }
    switch ((enum event_type)event->type) {
    case EVENT_MESSAGE: {
        struct message message = parcel_of(event->value)->message;
        unsigned char payload[PAYLOAD_MAX];
        memcpy(payload, parcel_of(event->value)->payload, message.size);
        message.payload = message.size ? payload : NULL;
        parcel_release(event->value);
        if (world.alive[actor])
            deliver(actor, &message);
        break;
    }
    case EVENT_TICK:
        tick(actor);
        break;
    case EVENT_WORK:
        worker_finish((int)actor - WORKER0, event->value);
        break;
    case EVENT_FAULT:
        fault();
        break;
    case EVENT_RESTART:
        restart(actor);
        break;
    case EVENT_HEAL:
        world.cut[actor] = false;
        break;
    case EVENT_COMMIT:
        fill_commit(event->value);
        break;
    case EVENT_DIED:
        agent_tick();
        break;
    case EVENT_JOIN:
        node_join((int)actor - FAR_AGENT0);
        break;
    case EVENT_PARCEL:
        far_arrive(event->value);
        break;
    case EVENT_KILL: /* the time limit of a stage: the agent says so before it kills */
        if (world.inc[actor] == event->value && world.alive[actor])
            worker_kill((int)actor - WORKER0, chance(500) ? CAUSE_TIMEOUT : CAUSE_MEMORY);
        break;
    }
}

/* One history. False: an invariant broke, and why says which. */
static bool run(uint64_t seed, bool slow)
{
    if (sigsetjmp(broken_jump, 1))
        return false;
    world_open(seed, slow);
    struct event event;
    while (event_pop(&event)) {
        world.stats.events++;
        if (world.now > TIME_MAX)
            broken("I7 not finished: step %llu of %d, committed %llu, store %s",
                   (unsigned long long)world.trained, STEPS, (unsigned long long)world.durable_step,
                   sink_done(world.sinks[0].sink) ? "full" : "not full");
        handle(&event);
        if (!world.done && run_finished()) {
            world.done = true;
            world.done_ms = world.now;
            for (int i = 0; i < ACTORS; i++)
                world.cut[i] = false;
        }
        if (world.done && world.alive[DISPATCH] &&
            (dispatch_idle(world.dispatch) || world.now > world.done_ms + TIME_QUIET))
            break;
    }
    final_check();
    dispatch_check(true);
    return true;
}

#define U(x) ((unsigned long long)(x))

static int report(uint64_t count, uint64_t bad)
{
    const struct stats *s = &world.stats;
    printf(
        "%llu seeds, %llu events, %llu faults injected (%llu worker deaths, %llu restarts, %llu "
        "messages lost, %llu doubled), %llu strikes, %llu positions set aside, %llu refused, %llu "
        "misses parked, %llu asked again, %llu credits recovered, %llu workers given up, %llu late "
        "and %llu stale answers dropped, %llu positions overtaken, %llu asked for with other "
        "passes, %llu requests renewed, %llu declined, %llu blocks freed, "
        "%llu reclaimed by age, %llu payloads between engines, %llu of them to ranks; %llu "
        "violations\n",
        U(count), U(s->events), U(s->faults), U(s->kills), U(s->restarts), U(s->lost),
        U(s->doubled), U(s->strikes), U(s->asides), U(s->refused), U(s->parked), U(s->asked_again),
        U(s->recovered), U(s->given_up), U(s->late), U(s->stale), U(s->overtaken), U(s->recounted),
        U(s->replaced), U(s->declined), U(s->freed), U(s->reclaimed), U(s->parcels), U(s->far_data),
        U(bad));
    return bad != 0;
}

#ifdef FOLDMILL_MUTANTS
/* Runs seeds until one catches the mutant. */
static bool mutant_caught(int mutant, uint64_t first, uint64_t count, bool slow)
{
    mutant_on = (enum mutant)mutant;
    for (uint64_t seed = first; seed < first + count; seed++)
        if (!run(seed, slow)) {
            printf("mutant %d: caught by seed %llu: %s\n", mutant, U(seed), world.why);
            fflush(stdout);
            return true;
        }
    printf("mutant %d: NOT caught by %llu seeds\n", mutant, U(count));
    return false;
}
#endif

int main(int argc, char **argv)
{
    uint64_t first = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
    uint64_t count = argc > 2 ? strtoull(argv[2], NULL, 10) : 1000, bad = 0;
    bool slow = argc <= 3 || strcmp(argv[3], "fast") != 0;
#ifdef FOLDMILL_MUTANTS
    int only = argc > 4 ? atoi(argv[4]) : 0, missed = 0;
    signal(SIGABRT, on_abort);
    if (!freopen("/dev/null", "w", stderr)) /* assertions that fail on purpose */
        return 2;
    for (int mutant = 1; mutant < MUTANTS; mutant++)
        if (only == 0 || only == mutant)
            missed += !mutant_caught(mutant, first, count, slow);
    printf("%d mutants, %d not caught\n", only ? 1 : MUTANTS - 1, missed);
    return missed != 0;
#else
    (void)on_abort;
#endif
    for (uint64_t seed = first; seed < first + count; seed++)
        if (!run(seed, slow) && bad++ < 4)
            printf("seed %llu: %s\n", U(seed), world.why);
    return report(count, bad);
}

/* Dispatcher and coordinator of the simulator: the product's objects, what is durable, and what
 * must hold when a record becomes durable. */
#include "tests/sim/sim.h"

#include <stdio.h>
#include <string.h>

static int64_t start_of(uint32_t line, uint64_t seq)
{
    uint64_t index = world.sample[line][seq];
    uint16_t lead = index == ORDER_EMPTY ? 0 : world.lead[line][index];
    uint32_t most = line == FILL ? WINDOW_FILL : RANKS * window_train();
    return (int64_t)seq - (lead < most ? lead : most);
}

/* I11: what is given to a worker was to be begun before all that waits for the same stage; what
 * somebody waits for comes first. */
static void turn_check(const struct message *work)
{
    struct dispatch_place place[4];
    bool urgent = false;
    if (work->flags & MESSAGE_SOLO)
        return;
    for (int i = dispatch_why(world.dispatch, work->line, work->seq, place, 4); i-- > 0;)
        if (place[i].where == WHERE_RUNNING && place[i].attempt == work->attempt)
            urgent = place[i].urgent;
    for (uint64_t seq = 0; seq < (work->line == FILL ? KEYS : SEQS); seq++)
        for (int i = dispatch_why(world.dispatch, work->line, seq, place, 4); i-- > 0;)
            if (place[i].where == WHERE_QUEUED && place[i].stage == work->stage && !place[i].solo &&
                (place[i].urgent > urgent ||
                 (place[i].urgent == urgent &&
                  start_of(work->line, seq) < start_of(work->line, work->seq))))
                broken("I11 line %u stage %u: seq %llu is begun before %llu", work->line,
                       work->stage, (unsigned long long)work->seq, (unsigned long long)seq);
}

static void put_dispatch(void *user, const struct message *message)
{
    (void)user;
    bool far = message->peer >= WORKER0 + LOCAL_WORKERS && message->peer < FAR_AGENT0;
    if (message->type == MESSAGE_WORK)
        turn_check(message);
    if (far && message->type == MESSAGE_WORK && message->flags & MESSAGE_BLOCK)
        far_work(message);
    else if (far_sink((enum actor)message->peer) && message->type == MESSAGE_DATA &&
             message->flags & MESSAGE_BLOCK)
        far_data(message);
    else if (message->type == MESSAGE_FREE && (far || message->peer == COORDINATE))
        block_return(message); /* of the gateway; or its maker is no more */
    else
        net_send(DISPATCH, message);
}

static void put_coordinate(void *user, const struct message *message)
{
    (void)user;
    net_send(COORDINATE, message);
}

static const struct outbox from_dispatch = {NULL, put_dispatch};
static const struct outbox from_coordinate = {NULL, put_coordinate};

void dispatch_start(void)
{
    static const struct dispatch_line lines[LINES] = {
        {.stage_count = STAGES,
         .pool = {0, 1},
         .group = 1,
         .rank_count = 1,
         .window = WINDOW_FILL,
         .filled_by = -1,
         .rank = 1},
        {.stage_count = STAGES,
         .pool = {2, 3},
         .group = GROUP,
         .rank_count = RANKS,
         .window = WINDOW_TRAIN + OVERTAKE_MAX,
         .filled_by = FILL},
    };
    struct error err;
    struct dispatch_config config = {.job = 1,
                                     .inc = ++world.inc_next,
                                     .line_count = LINES,
                                     .pool_count = POOLS,
                                     .worker_max = WORKERS + 4,
                                     .lines = lines,
                                     .held_ms = 700,
                                     .silent_ms = 1500,
                                     .absent_ms = 5000};
    if (world.dispatch) {
        struct dispatch_totals totals;
        dispatch_total(world.dispatch, &totals);
        world.stats.recovered += totals.credits_recovered;
        world.stats.replaced += totals.replaced;
        world.stats.declined += totals.declined;
        world.stats.freed += totals.freed;
        world.stats.given_up += totals.workers_lost;
    }
    world.alive[DISPATCH] = true;
    world.inc[DISPATCH] = config.inc;
    memset(world.hub_blocks, 0, sizeof world.hub_blocks);
    arena_reset(&world.dispatch_arena);
    if (dispatch_open(&world.dispatch, &config, &world.dispatch_arena, &err) != STATUS_OK)
        broken("dispatcher: %s", err.text);
}

void dispatch_receive(const struct message *in)
{
    dispatch_step(world.dispatch, in, world.now, &from_dispatch);
    dispatch_check(false);
}

/* I3: what waits is bounded by what the sinks may ask for; when all is over, all credits are
 * home. */
void dispatch_check(bool finished)
{
    uint32_t waiting = 0, windows = WINDOW_FILL + RANKS * window_train();
    for (int line = 0; line < LINES; line++)
        for (int stage = 0; stage < STAGES; stage++) {
            struct dispatch_counts counts;
            dispatch_count(world.dispatch, line, stage, &counts);
            waiting += counts.queued + counts.parked;
            if (counts.running > counts.workers * DISPATCH_CREDITS)
                broken("I9 line %d stage %d: %u running on %u workers", line, stage, counts.running,
                       counts.workers);
            if (finished && counts.running)
                broken("I9 line %d stage %d: %u credits have not come home", line, stage,
                       counts.running);
        }
    if (waiting > 2 * windows)
        broken("I3 %u items wait, the windows have %u slots", waiting, windows);
}

/* What must be true of a record that has just become durable. */
static void record_check(const struct durable_record *record)
{
    uint32_t line = record->line;
    if (record->type == DURABLE_GEN) {
        if (record->gen <= world.durable_gen[line])
            broken("line %u: generation %u after %u", line, record->gen, world.durable_gen[line]);
        world.durable_gen[line] = record->gen;
    } else if (record->type == DURABLE_CHECKPOINT) {
        if (record->gen != world.durable_gen[line])
            broken("I8 checkpoint %llu set by generation %u, now it is %u",
                   (unsigned long long)record->seq, record->gen, world.durable_gen[line]);
        if (record->seq > world.trained || record->seq <= world.durable_step)
            broken("I8 checkpoint %llu, the model is at %llu, committed %llu",
                   (unsigned long long)record->seq, (unsigned long long)world.trained,
                   (unsigned long long)world.durable_step);
        world.durable_step = record->seq;
    } else if (record->type == DURABLE_ASIDE) {
        uint64_t index = world.sample[line][record->seq];
        if (index != record->aside.index)
            broken("set aside: seq %llu is sample %llu, not %llu", (unsigned long long)record->seq,
                   (unsigned long long)index, (unsigned long long)record->aside.index);
        if (!blame_fair(line, index))
            broken("I6 innocent sample %llu of line %u set aside", (unsigned long long)index, line);
        world.ledger[line][record->seq] = true;
        world.stats.asides++;
    }
}

static void coordinator_dies(int64_t back_ms)
{
    world.alive[COORDINATE] = false;
    event_push(back_ms, EVENT_RESTART, COORDINATE, 0);
}

/* Makes a record durable; sometimes the coordinator dies before or after that. */
static enum status append(void *user, struct span bytes, struct error *err)
{
    (void)user;
    bool die = world.now < TIME_FAULTS && chance(30), before = chance(500);
    if (die)
        coordinator_dies(200);
    if (die && before)
        return error_set(err, STATUS_IO, "killed before the record was written");
    ASSERT_INT(world.log_count, <, 512);
    memcpy(world.log[world.log_count], bytes.data, bytes.size);
    world.log_size[world.log_count++] = bytes.size;
    struct durable_record record;
    if (durable_decode(bytes, &record, err) != STATUS_OK)
        broken("a record that cannot be read: %s", err->text);
    record_check(&record);
    return die ? error_set(err, STATUS_IO, "killed after the record was written") : STATUS_OK;
}

static enum status append_compact(void *user, struct span bytes, struct error *err)
{
    (void)user;
    (void)err;
    memcpy(world.log[world.log_count], bytes.data, bytes.size);
    world.log_size[world.log_count++] = bytes.size;
    return STATUS_OK;
}

void coordinate_start(void)
{
    static const uint64_t max_bad[LINES] = {UINT64_MAX, UINT64_MAX};
    struct error err;
    struct coordinate_config config = {.job = 1,
                                       .inc = ++world.inc_next,
                                       .epoch = ++world.coordinator_epoch,
                                       .line_count = LINES,
                                       .max_bad = max_bad};
    world.alive[COORDINATE] = true;
    arena_reset(&world.coordinate_arena);
    if (coordinate_open(&world.coordinate, &config, &world.coordinate_arena, &err) != STATUS_OK)
        broken("coordinator: %s", err.text);
    for (int i = 0; i < world.log_count; i++) {
        struct span bytes = {(const char *)world.log[i], world.log_size[i]};
        if (coordinate_replay(world.coordinate, bytes, &err) != STATUS_OK)
            broken("record %d cannot be replayed: %s", i, err.text);
    }
    if (chance(500)) {
        world.log_count = 0;
        coordinate_dump(world.coordinate, append_compact, NULL, &err);
    }
}

void coordinate_receive(const struct message *in)
{
    struct durable_log log = {NULL, append};
    coordinate_step(world.coordinate, in, world.now, &log, &from_coordinate);
}

void hub_reset(void)
{
    world.dispatch = NULL;
    world.coordinate = NULL;
}

/* Sinks of the simulator: the process that fills the store, and the ranks of the trainer with their
 * model; what they see is checked against what the guarantees promise. */
#include "tests/sim/sim.h"

#include <stdio.h>
#include <string.h>

static void put(enum actor from, const struct message *message)
{
    struct message copy = *message;
    copy.peer = message->peer == SINK_TO_DISPATCH ? DISPATCH : COORDINATE;
    net_send(from, &copy);
}

static void put_fill(void *user, const struct message *message)
{
    (void)user;
    put(SINK_FILL, message);
}

static void put_rank(void *user, const struct message *message)
{
    put((enum actor)(SINK_TRAIN + (int)((struct sim_sink *)user - &world.sinks[1])), message);
}

static struct sim_sink *sink_of(enum actor actor)
{
    return &world.sinks[actor - SINK_FILL];
}

static struct outbox outbox_of(enum actor actor)
{
    return (struct outbox){sink_of(actor), actor == SINK_FILL ? put_fill : put_rank};
}

static size_t key_of(void *user, uint64_t index, char *key)
{
    (void)user;
    key_write(index, key);
    return 3;
}

static uint64_t find_key(void *user, struct span key)
{
    (void)user;
    return key_read(key.data, key.size);
}

uint32_t window_train(void)
{
    return (WINDOW_TRAIN + world.overtake + PER_RANK - 1) / PER_RANK * PER_RANK;
}

/* ---- the journals of what was taken ---- */

static bool row_read(void *user, uint64_t step, uint64_t *seqs, uint32_t count)
{
    long rank = (struct sim_sink *)user - &world.sinks[1];
    ASSERT_INT(count, ==, PER_RANK);
    if (step >= world.row_count[rank])
        return false;
    memcpy(seqs, world.rows[rank][step], sizeof world.rows[rank][step]);
    return true;
}

/* Before anything is done with the step; what was written for it before must be the same. */
static void row_write(int rank, const struct sink_batch *batch)
{
    for (uint32_t i = 0; i < PER_RANK; i++) {
        uint64_t *seq = &world.rows[rank][batch->step][i];
        if (batch->step < world.row_count[rank] && *seq != batch->items[i].seq)
            broken("I14 step %llu took %llu, and %llu when it was made again",
                   (unsigned long long)batch->step, (unsigned long long)*seq,
                   (unsigned long long)batch->items[i].seq);
        *seq = batch->items[i].seq;
    }
    if (batch->step >= world.row_count[rank])
        world.row_count[rank] = batch->step + 1;
}

void journals_cut(void)
{
    for (int rank = 0; rank < RANKS; rank++)
        if (world.row_count[rank] > world.rows_durable && random_u32() % 3 == 0)
            world.row_count[rank] = world.rows_durable;
}

void sink_start(enum actor actor)
{
    struct sim_sink *s = sink_of(actor);
    bool fill = actor == SINK_FILL;
    int line = fill ? FILL : TRAIN;
    struct error err;
    world.alive[actor] = true;
    world.inc[actor] = ++world.inc_next;
    s->committing_count = 0;
    if (s->sink) {
        struct sink_counts counts;
        sink_count(s->sink, &counts);
        world.stats.late += counts.dropped_late;
        world.stats.stale += counts.dropped_gen;
        world.stats.strikes += counts.strikes;
        world.stats.asked_again += counts.asked_again;
        world.stats.refused += counts.refused;
        world.stats.overtaken += counts.overtaken;
        world.stats.recounted += counts.recounted;
    }
    struct sink_config config = {
        .job = 1,
        .inc = world.inc[actor],
        .line = (uint16_t)line,
        .gen = world.gen[line],
        .start = {world.graph[line], 7, world.order[line].positions},
        .order = world.order[line],
        .rank = fill ? 0 : (uint32_t)(actor - SINK_TRAIN),
        .rank_count = fill ? 1 : RANKS,
        .window = fill ? WINDOW_FILL : window_train(),
        .overtake = fill ? 0 : world.overtake,
        .user = s,
        .planned = row_read,
        .ordered = !fill,
        .retries_first = !fill,
        .seq_end = fill ? KEYS : SEQS,
        .recycles_max = fill ? 0 : RECYCLES_MAX,
        .deadline_min_ms = 400,
        .deadline_max_ms = 3000,
        .key = key_of,
        .find = find_key,
        .lead = world.lead[line],
    };
    arena_reset(&s->arena);
    if (sink_open(&s->sink, &config, &s->arena, &err) != STATUS_OK)
        broken("sink: %s", err.text);
}

/* Kills nobody, starts all ranks as one new generation; its graph may be another one. */
void train_restart(void)
{
    world.gen[TRAIN]++;
    if (world.gen[TRAIN] >= RESTARTS_MAX)
        broken("I7 the ranks were started %u times", world.gen[TRAIN]);
    if (chance(500))
        world.graph[TRAIN]++;
    world.graph_of[TRAIN][world.gen[TRAIN]] = world.graph[TRAIN];
    for (int rank = 0; rank < RANKS; rank++)
        sink_start((enum actor)(SINK_TRAIN + rank));
}

/* The model becomes what the committed checkpoint says. */
static void model_load(uint64_t step)
{
    if (world.model_gen == world.gen[TRAIN])
        return;
    world.model_gen = world.gen[TRAIN];
    if (step != world.durable_step)
        broken("I8 started from step %llu, committed is %llu", (unsigned long long)step,
               (unsigned long long)world.durable_step);
    world.trained = step;
    memset(world.delivered, 0, sizeof world.delivered);
    for (uint64_t i = 0; i < step * GROUP; i++)
        world.delivered[world.history[i / GROUP].seq[i % GROUP]] =
            1 + (world.history[i / GROUP].skip[i % GROUP] != SKIP_NO);
}

static void begin(enum actor actor)
{
    struct sim_sink *s = sink_of(actor);
    struct outbox out = outbox_of(actor);
    if (actor == SINK_FILL) {
        for (uint64_t i = 0; i < KEYS; i++)
            if (world.store[world.sample[FILL][i]])
                sink_mark_done(s->sink, i);
        sink_begin(s->sink, 0, world.now, &out);
        return;
    }
    uint64_t step = sink_checkpoint(s->sink, NULL);
    model_load(step);
    for (uint64_t i = 0; i < step * PER_RANK && world.overtake; i++) {
        uint64_t seq = world.rows[actor - SINK_TRAIN][i / PER_RANK][i % PER_RANK];
        if (!sink_mark_taken(s->sink, seq))
            broken("I12 seq %llu, taken by step %llu of %llu, does not fit the window",
                   (unsigned long long)seq, (unsigned long long)(i / PER_RANK),
                   (unsigned long long)step);
    }
    sink_begin(s->sink, step, world.now, &out);
}

static void take_data(enum actor actor, struct message *in)
{
    struct sim_sink *s = sink_of(actor);
    int slot = sink_slot(s->sink, in);
    if (!(in->flags & MESSAGE_EMPTY)) {
        struct content content;
        bool good = content_read(in, &content);
        block_return(in);
        if (slot >= 0 && !good)
            in->type = MESSAGE_LOST;
        else if (slot >= 0)
            s->have[slot] = content;
    }
}

/* Stores: what is there goes into the next transaction. */
static void fill_take(void)
{
    struct sim_sink *s = &world.sinks[0];
    struct sink_item item;
    while (sink_take(s->sink, &item)) {
        if (item.skip == SKIP_NO &&
            (s->have[item.slot].seq != item.seq ||
             s->have[item.slot].value != value_of(item.seq, FILL, world.gen[FILL])))
            broken("I5 the store was given another sample than %llu", (unsigned long long)item.seq);
        if (s->committing_count == 0)
            event_push(10 + random_u32() % 30, EVENT_COMMIT, SINK_FILL, world.inc[SINK_FILL]);
        s->committing[s->committing_count++] = item.slot;
    }
}

void fill_commit(uint64_t inc)
{
    struct sim_sink *s = &world.sinks[0];
    struct outbox out = outbox_of(SINK_FILL);
    if (!world.alive[SINK_FILL] || world.inc[SINK_FILL] != inc)
        return;
    int count = s->committing_count, slots[WINDOW_FILL];
    memcpy(slots, s->committing, sizeof slots);
    s->committing_count = 0;
    for (int i = 0; i < count; i++) {
        struct sink_wait wait;
        if (!sink_why(s->sink, slots[i], &wait))
            broken("slot %d was lost while it was stored", slots[i]);
        world.store[wait.index] = sink_item_text(s->sink, slots[i])[0] == 'u' ? 2 : 1;
    }
    for (int i = 0; i < count; i++)
        sink_committed(s->sink, slots[i], world.now, &out);
    fill_take();
}

/* Blame is exact, or the sample can never be had: it was set aside where the store is filled. A
 * strike against a sample that is well would be a wrong one, though alone it sets nothing aside. */
bool blame_fair(uint32_t line, uint64_t index)
{
    uint8_t ill = world.ill[line][index];
    if (ill != WELL && ill < ILL_REFUSED)
        return true;
    return line == TRAIN && (world.ledger[FILL][index] || world.ill[FILL][index] == ILL_EMPTY);
}

static void blame_check(uint32_t line, const struct message *in)
{
    if (in->arg != CAUSE_LOST && in->arg != CAUSE_REFUSED &&
        !blame_fair(line, world.sample[line][in->seq]))
        broken("I6 innocent seq %llu of line %u is blamed for a %s", (unsigned long long)in->seq,
               line, cause_name((enum cause)in->arg));
}

/* The store is full: in some histories its process says so and ends. */
static void fill_leave(struct sim_sink *s, const struct outbox *out)
{
    if (!world.fill_leaves || !sink_done(s->sink))
        return;
    sink_bye(s->sink, out);
    world.fill_left = true;
    world.alive[SINK_FILL] = false;
}

void sink_receive(enum actor actor, const struct message *message)
{
    struct sim_sink *s = sink_of(actor);
    struct outbox out = outbox_of(actor);
    if (!message) {
        sink_step(s->sink, NULL, world.now, &out);
    } else {
        struct message in = *message;
        in.peer = message->peer == DISPATCH ? SINK_TO_DISPATCH : SINK_TO_COORDINATE;
        if (in.type == MESSAGE_DATA)
            take_data(actor, &in);
        else if (in.type == MESSAGE_FAIL)
            blame_check(actor == SINK_FILL ? FILL : TRAIN, &in);
        sink_step(s->sink, &in, world.now, &out);
    }
    if (sink_mode(s->sink) == SINK_FENCED)
        broken("a sink of the newest generation was fenced: %s", sink_reason(s->sink));
    if (sink_mode(s->sink) == SINK_STARTED)
        begin(actor);
    if (actor == SINK_FILL) {
        fill_take();
        fill_leave(s, &out);
    } else {
        train_ready();
    }
}

/* A position without data must have earned it. */
static void skip_check(const struct sink_item *item)
{
    uint64_t index = world.sample[TRAIN][item->seq];
    bool earned = false;
    if (item->skip == SKIP_PADDING) {
        earned = index == ORDER_EMPTY;
    } else if (item->skip == SKIP_ASIDE) {
        earned = world.ledger[TRAIN][item->seq];
    } else if (item->skip == SKIP_EMPTY) {
        earned = world.ill[TRAIN][index] == ILL_EMPTY;
    } else if (item->skip == SKIP_REFUSED) {
        uint8_t fill = world.ill[FILL][index];
        earned = world.ill[TRAIN][index] == ILL_REFUSED || fill == ILL_REFUSED ||
                 fill == ILL_EMPTY || world.ledger[FILL][index];
    }
    if (!earned)
        broken("I6 seq %llu skipped for cause %d without ground", (unsigned long long)item->seq,
               (int)item->skip);
}

static uint64_t item_check(const struct sim_sink *s, const struct sink_item *item,
                           uint32_t recycles)
{
    const struct content *content = &s->have[item->slot];
    uint64_t seq = content->seq;
    if (seq != item->seq || content->value != value_of(seq, TRAIN, world.gen[TRAIN]))
        broken("I5 seq %llu holds content of seq %llu or of another graph",
               (unsigned long long)item->seq, (unsigned long long)seq);
    if (content->recycles != recycles)
        broken("I13 seq %llu was made with %u passes, its step has %u", (unsigned long long)seq,
               content->recycles, recycles);
    if (world.ledger[TRAIN][seq])
        broken("I4 seq %llu is set aside, and was used", (unsigned long long)seq);
    return content->value;
}

/* I12: nobody was overtaken by more than it may; in strict order by none. */
static void overtake_check(int rank, uint64_t steps)
{
    uint64_t first = 0;
    while (first < steps * PER_RANK &&
           world.delivered[order_seq(first, GROUP, (uint32_t)rank, RANKS)])
        first++;
    if (steps * PER_RANK - first > world.overtake)
        broken("I12 position %llu of rank %d was overtaken by %llu", (unsigned long long)first,
               rank, (unsigned long long)(steps * PER_RANK - first));
}

static uint64_t rank_check(int rank, const struct sink_batch *batch, uint64_t digest)
{
    for (uint32_t i = 0; i < PER_RANK; i++) {
        const struct sink_item *item = &batch->items[i];
        if (item->seq >= SEQS || order_rank(item->seq, GROUP, RANKS) != (uint32_t)rank)
            broken("I2 step %llu of rank %d took seq %llu", (unsigned long long)batch->step, rank,
                   (unsigned long long)item->seq);
        if (world.delivered[item->seq])
            broken("I1 seq %llu counted twice", (unsigned long long)item->seq);
        world.delivered[item->seq] = 1 + (item->skip != SKIP_NO);
        digest = (digest ^ item->seq) * 0x100000001B3u;
        if (item->skip != SKIP_NO)
            skip_check(item);
        else
            digest = (digest ^ item_check(&world.sinks[1 + rank], item, batch->recycles)) *
                     0x100000001B3u;
    }
    overtake_check(rank, batch->step + 1);
    return digest;
}

static void step_check(const struct sink_batch batches[RANKS])
{
    uint64_t step = batches[0].step, digest = batches[0].recycles, seqs[GROUP];
    uint8_t skip[GROUP];
    if (step != world.trained)
        broken("I2 step %llu, the model is at %llu", (unsigned long long)step,
               (unsigned long long)world.trained);
    for (int rank = 0; rank < RANKS; rank++) {
        digest = rank_check(rank, &batches[rank], digest);
        for (int i = 0; i < PER_RANK; i++) {
            skip[rank * PER_RANK + i] = (uint8_t)batches[rank].items[i].skip;
            seqs[rank * PER_RANK + i] = batches[rank].items[i].seq;
        }
    }
    bool same = world.history[step].set && world.history[step].graph == world.graph[TRAIN] &&
                memcmp(seqs, world.history[step].seq, sizeof seqs) == 0;
    for (int i = 0; i < GROUP && same; i++)
        if (world.history[step].skip[i] != SKIP_NO && skip[i] == SKIP_NO)
            broken("I4 step %llu: a skipped sample came back", (unsigned long long)step);
    if (same && memcmp(skip, world.history[step].skip, GROUP) == 0 &&
        world.history[step].digest != digest)
        broken("I4 step %llu has other bytes when it is made again", (unsigned long long)step);
    world.history[step].set = true;
    world.history[step].graph = world.graph[TRAIN];
    world.history[step].digest = digest;
    memcpy(world.history[step].skip, skip, GROUP);
    memcpy(world.history[step].seq, seqs, sizeof seqs);
}

/* A step needs the batches of all ranks, of the same generation. */
void train_ready(void)
{
    static struct sink_batch batches[RANKS];
    for (;;) {
        for (int rank = 0; rank < RANKS; rank++) {
            struct sim_sink *s = &world.sinks[1 + rank];
            struct outbox out = outbox_of((enum actor)(SINK_TRAIN + rank));
            if (!world.alive[SINK_TRAIN + rank] || sink_mode(s->sink) != SINK_RUNNING ||
                !sink_batch(s->sink, &batches[rank], world.now, &out))
                return;
            row_write(rank, &batches[rank]);
        }
        for (int rank = 1; rank < RANKS; rank++)
            if (batches[rank].step != batches[0].step)
                return;
        step_check(batches);
        world.trained++;
        for (int rank = 0; rank < RANKS; rank++) {
            struct outbox out = outbox_of((enum actor)(SINK_TRAIN + rank));
            sink_batch_done(world.sinks[1 + rank].sink, world.now, &out);
            if (world.trained % CHECKPOINT_STEPS == 0 || world.trained == STEPS)
                world.rows_durable = world.trained;
            if (rank == 0 && world.rows_durable == world.trained)
                sink_checkpoint_saved(world.sinks[1].sink, world.trained, world.trained * 3,
                                      world.now, &out);
        }
    }
}

bool run_finished(void)
{
    return world.trained == STEPS && world.durable_step == STEPS &&
           (world.fill_left || (world.alive[SINK_FILL] && sink_done(world.sinks[0].sink)));
}

void final_check(void)
{
    for (uint64_t i = 0; i < SEQS; i++) {
        uint64_t seq = world.history[i / GROUP].seq[i % GROUP];
        struct sink_item item = {.seq = seq};
        item.skip = world.history[i / GROUP].skip[i % GROUP];
        if (world.delivered[i] == 0 || world.delivered[seq] != 1 + (item.skip != SKIP_NO))
            broken("I1 seq %llu was counted %u times", (unsigned long long)i, world.delivered[i]);
        if (item.skip != SKIP_NO)
            skip_check(&item);
        else if (world.ledger[TRAIN][seq])
            broken("I6 seq %llu was counted, and is set aside too", (unsigned long long)seq);
    }
    for (uint64_t key = 0; key < KEYS; key++) {
        uint8_t ill = world.ill[FILL][key];
        bool aside = world.ledger[FILL][key];
        if (world.store[key] == 0 && !aside && ill != ILL_EMPTY)
            broken("I1 key %llu is neither stored nor set aside", (unsigned long long)key);
        if ((world.store[key] == 2) != (ill == ILL_REFUSED))
            broken("I6 key %llu: a tombstone is there or missing", (unsigned long long)key);
        if (world.store[key] != 0 && aside)
            broken("I6 key %llu is stored, and is set aside too", (unsigned long long)key);
    }
}

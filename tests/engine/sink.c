/* engine/sink: window, retries, strikes and skips, by hand-written sequences. */
#include "engine/sink.h"

#include "tests/engine/mailbox.h"

#include <stdio.h>

static struct {
    struct arena arena;
    struct sink *sink;
    struct mailbox box;
    struct outbox out;
    int64_t now;
    uint32_t passes; /* of config.recycles_max */
    int skipped;
    enum skip last_skip;
    char last_text[256];
} rig;

static size_t key_of(void *user, uint64_t index, char *key)
{
    (void)user;
    return (size_t)sprintf(key, "k%llu", (unsigned long long)index);
}

static uint64_t find_key(void *user, struct span key)
{
    (void)user;
    int64_t index;
    struct span digits = {key.data + 1, key.size - 1};
    return text_int(digits, 0, 99, &index) ? (uint64_t)index : ORDER_EMPTY;
}

static void note_skip(void *user, uint64_t seq, uint64_t index, enum skip skip, const char *text)
{
    (void)user;
    (void)seq;
    (void)index;
    rig.skipped++;
    rig.last_skip = skip;
    snprintf(rig.last_text, sizeof rig.last_text, "%s", text);
}

static void step(struct message in)
{
    in.job = 1;
    in.line = 1;
    if (in.gen == 0)
        in.gen = 4;
    rig.box.count = 0;
    sink_step(rig.sink, &in, rig.now, &rig.out);
}

static void tick(int64_t ms)
{
    rig.now += ms;
    rig.box.count = 0;
    sink_step(rig.sink, NULL, rig.now, &rig.out);
}

static struct sink_config config_of(bool ordered)
{
    return (struct sink_config){
        .job = 1, .inc = 600, .line = 1, .gen = 4,
        .order = order_make(3, 5, ordered ? 2 : 1, false, NULL), .rank_count = 1, .window = 4,
        .ordered = ordered, .retries_first = true, .seq_end = ordered ? 12 : 5, .recycles_max = 3,
        .key = key_of, .find = find_key, .skipped = note_skip};
}

static void rig_open(struct sink_config config)
{
    struct error err;
    rig.out = (struct outbox){&rig.box, mailbox_put};
    rig.now = 1000;
    rig.passes = config.recycles_max;
    arena_open(&rig.arena, 0);
    cr_assert(sink_open(&rig.sink, &config, &rig.arena, &err) == STATUS_OK, "%s", err.text);
}

/* STARTED with a checkpoint and up to one row of the ledger. */
static void started(uint64_t step_done, int rows, struct ledger_row row)
{
    unsigned char bytes[STARTED_BYTES + LEDGER_ROW_BYTES];
    struct started started = {step_done, 77, (uint32_t)rows};
    started_encode(&started, bytes);
    ledger_row_encode(row, bytes + STARTED_BYTES);
    step((struct message){.type = MESSAGE_STARTED, .peer = SINK_TO_COORDINATE, .arg = 1,
                          .payload = bytes,
                          .size = (uint32_t)(STARTED_BYTES + rows * LEDGER_ROW_BYTES)});
}

/* Welcomed and running from step 0; the box holds the first requests. */
static void run_from_start(struct sink_config config)
{
    rig_open(config);
    step((struct message){.type = MESSAGE_WELCOME, .inc = 900, .arg = 2});
    started(0, 0, (struct ledger_row){0, 0});
    cr_assert(sink_mode(rig.sink) == SINK_STARTED);
    rig.box.count = 0;
    sink_begin(rig.sink, 0, rig.now, &rig.out);
}

static void data(uint64_t seq, uint32_t gen, uint16_t flags)
{
    uint32_t passes = rig.passes ? order_recycles(3, seq / 2, rig.passes) : 0;
    step((struct message){.type = MESSAGE_DATA, .seq = seq, .gen = gen, .attempt = 1,
                          .arg = passes, .flags = flags, .payload = "x", .size = 1});
}

static void fail(uint64_t seq, uint32_t attempt, enum cause cause, uint64_t inc)
{
    step((struct message){.type = MESSAGE_FAIL, .seq = seq, .attempt = attempt, .inc = inc,
                          .arg = (uint32_t)cause, .payload = "why", .size = 3});
}

static bool next_step(struct sink_batch *batch)
{
    return sink_batch(rig.sink, batch, rig.now, &rig.out);
}

static struct sink_wait slot_of(uint64_t seq)
{
    for (int slot = 0; slot < 4; slot++) {
        struct sink_wait wait;
        if (sink_why(rig.sink, slot, &wait) && wait.seq == seq)
            return wait;
    }
    return (struct sink_wait){.state = SLOT_IDLE};
}

static struct sink_counts counts(void)
{
    struct sink_counts counts;
    sink_count(rig.sink, &counts);
    return counts;
}

Test(sink, starts_by_asking_for_its_generation)
{
    rig_open(config_of(true));
    tick(0);
    const struct message *start = mailbox_one(&rig.box, MESSAGE_START);
    cr_assert(start->gen == 4 && start->peer == SINK_TO_COORDINATE && start->inc == 600);
    cr_assert(mailbox_one(&rig.box, MESSAGE_HELLO)->peer == SINK_TO_DISPATCH);
    tick(SINK_REPEAT_MS - 1);
    cr_assert(mailbox_count(&rig.box, MESSAGE_START) == 0);
    tick(1);
    cr_assert(mailbox_count(&rig.box, MESSAGE_START) == 1, "until it is answered");
    started(2, 0, (struct ledger_row){0, 0});
    uint64_t digest;
    cr_assert(sink_mode(rig.sink) == SINK_STARTED && sink_checkpoint(rig.sink, &digest) == 2);
    cr_assert(digest == 77);
    arena_close(&rig.arena);
}

Test(sink, asks_for_its_window_with_the_passes_of_each_step)
{
    run_from_start(config_of(true));
    cr_assert(mailbox_count(&rig.box, MESSAGE_REQ) == 4);
    for (int i = 0; i < 4; i++) {
        const struct message *req = mailbox_nth(&rig.box, MESSAGE_REQ, i);
        char key[8];
        sprintf(key, "k%d", i);
        cr_assert(req->seq == (uint64_t)i && req->attempt == 1 && req->gen == 4 && req->flags == 0);
        cr_assert(req->size == 2 && memcmp(req->payload, key, 2) == 0);
        cr_assert(req->arg == order_recycles(3, (uint64_t)i / 2, 3));
    }
    arena_close(&rig.arena);
}

Test(sink, leads_go_as_far_as_the_window)
{
    static const uint16_t lead[5] = {0, 3, 4, 5, 65535};
    struct sink_config config = config_of(true);
    config.lead = lead;
    run_from_start(config);
    for (int i = 0; i < 4; i++)
        cr_assert(mailbox_nth(&rig.box, MESSAGE_REQ, i)->stage == (lead[i] < 4 ? lead[i] : 4));
    arena_close(&rig.arena);
}

Test(sink, steps_in_order_and_the_window_moves)
{
    static struct sink_batch batch;
    run_from_start(config_of(true));
    data(2, 4, 0);
    data(1, 4, 0);
    cr_assert(!next_step(&batch), "slot 0 is not there");
    data(0, 4, 0);
    cr_assert(next_step(&batch) && batch.step == 0 && batch.count == 2);
    cr_assert(batch.items[0].seq == 0 && batch.items[1].seq == 1 && batch.epoch == 0);
    cr_assert(batch.items[1].index == 1 && batch.items[0].skip == SKIP_NO);
    rig.box.count = 0;
    sink_batch_done(rig.sink, rig.now, &rig.out);
    /* Positions 4 and 5 enter; 5 is padding and is not asked for. */
    cr_assert(mailbox_one(&rig.box, MESSAGE_REQ)->seq == 4);
    cr_assert(slot_of(5).state == SLOT_SKIPPED && !next_step(&batch));
    data(3, 4, 0);
    cr_assert(next_step(&batch) && batch.step == 1);
    sink_batch_done(rig.sink, rig.now, &rig.out);
    data(4, 4, 0);
    cr_assert(next_step(&batch) && batch.items[1].skip == SKIP_PADDING);
    cr_assert(batch.items[1].index == ORDER_EMPTY && batch.position == 4);
    sink_batch_done(rig.sink, rig.now, &rig.out);
    data(6, 4, 0);
    data(7, 4, 0);
    cr_assert(next_step(&batch) && batch.epoch == 1 && batch.position == 0);
    for (uint64_t seq = 8; seq < 12; seq += 2) {
        sink_batch_done(rig.sink, rig.now, &rig.out);
        cr_assert(!sink_done(rig.sink));
        data(seq, 4, 0);
        data(seq + 1, 4, 0);
        cr_assert(next_step(&batch));
    }
    sink_batch_done(rig.sink, rig.now, &rig.out);
    cr_assert(sink_done(rig.sink) && counts().done == 12);
    sink_bye(rig.sink, &rig.out);
    cr_assert(mailbox_one(&rig.box, MESSAGE_BYE)->flags == MESSAGE_FINAL);
    arena_close(&rig.arena);
}

Test(sink, takes_each_position_once_of_its_own_generation)
{
    run_from_start(config_of(true));
    data(0, 3, 0);
    data(9, 4, 0);
    cr_assert(slot_of(0).state == SLOT_ASKED && counts().dropped_gen == 1);
    data(0, 4, 0);
    data(0, 4, 0);
    cr_assert(counts().accepted == 1 && counts().dropped_late == 2);
    struct message again = {.type = MESSAGE_DATA, .job = 1, .line = 1, .gen = 4, .seq = 0,
                            .arg = order_recycles(3, 0, 3)};
    cr_assert(sink_slot(rig.sink, &again) == -1);
    again.seq = 1;
    cr_assert(sink_slot(rig.sink, &again) >= 0);
    again.job = 2;
    cr_assert(sink_slot(rig.sink, &again) == -1);
    arena_close(&rig.arena);
}

Test(sink, asks_again_after_deadlines_that_grow)
{
    run_from_start(config_of(true));
    data(1, 4, 0);
    data(2, 4, 0);
    data(3, 4, 0);
    tick(SINK_DEADLINE_MIN_MS - 1);
    cr_assert(mailbox_count(&rig.box, MESSAGE_REQ) == 0);
    tick(1);
    const struct message *req = mailbox_one(&rig.box, MESSAGE_REQ);
    cr_assert(req->seq == 0 && req->attempt == 2);
    cr_assert(req->flags == MESSAGE_IMPATIENT, "the next step waits for it");
    int64_t waited = 0;
    for (tick(100), waited = 100; mailbox_count(&rig.box, MESSAGE_REQ) == 0; waited += 100)
        tick(100);
    /* One of four has taken 2 s at least: four times that, and doubled for the second attempt. */
    cr_assert(waited == 8 * SINK_DEADLINE_MIN_MS, "%d", (int)waited);
    for (int i = 0; i < 20; i++) {
        for (tick(100), waited = 100; mailbox_count(&rig.box, MESSAGE_REQ) == 0; waited += 100)
            tick(100);
        cr_assert(waited <= SINK_DEADLINE_MAX_MS);
    }
    cr_assert(counts().asked_again == 22);
    arena_close(&rig.arena);
}

Test(sink, the_deadline_follows_the_latency)
{
    struct sink_config config = config_of(true);
    config.seq_end = 6000;
    run_from_start(config);
    static struct sink_batch batch;
    /* Everything takes 5 s, so that 2 s are no sign of a loss. */
    for (uint64_t seq = 0; seq < 1200; seq += 2) {
        rig.now += 1900;
        data(seq, 4, 0);
        data(seq + 1, 4, 0);
        cr_assert(next_step(&batch), "%d", (int)seq);
        sink_batch_done(rig.sink, rig.now, &rig.out);
    }
    cr_assert(counts().latency_ms > 1900 && counts().latency_ms < 6000, "%d",
              (int)counts().latency_ms);
    tick(5000);
    cr_assert(counts().asked_again == 0);
    arena_close(&rig.arena);
}

Test(sink, what_is_lost_is_asked_for_at_once_and_then_more_slowly)
{
    run_from_start(config_of(true));
    for (uint32_t attempt = 1; attempt < 4; attempt++) {
        fail(0, attempt, CAUSE_LOST, 10);
        cr_assert(mailbox_one(&rig.box, MESSAGE_REQ)->attempt == attempt + 1);
    }
    fail(0, 2, CAUSE_LOST, 10);
    cr_assert(rig.box.count == 0, "an older attempt's loss is known");
    fail(0, 4, CAUSE_LOST, 10);
    cr_assert(rig.box.count == 0, "now it waits a moment");
    tick(100);
    cr_assert(mailbox_one(&rig.box, MESSAGE_REQ)->attempt == 5 && counts().strikes == 0);
    step((struct message){.type = MESSAGE_LOST, .seq = 1, .attempt = 1});
    cr_assert(mailbox_one(&rig.box, MESSAGE_REQ)->seq == 1, "a block that could not be read");
    arena_close(&rig.arena);
}

Test(sink, three_strikes_on_distinct_processes_propose_and_only_qok_skips)
{
    static struct sink_batch batch;
    run_from_start(config_of(true));
    data(1, 4, 0);
    fail(0, 1, CAUSE_CRASH, 10);
    const struct message *req = mailbox_one(&rig.box, MESSAGE_REQ);
    cr_assert(req->attempt == 2 && (req->flags & MESSAGE_SOLO));
    fail(0, 1, CAUSE_CRASH, 11);
    cr_assert(rig.box.count == 0 && slot_of(0).strikes == 1, "one strike an attempt");
    fail(0, 2, CAUSE_ERR, 10);
    cr_assert(slot_of(0).strikes == 1 && slot_of(0).attempt == 3, "the same process: no strike");
    fail(0, 3, CAUSE_ERR, 12);
    fail(0, 4, CAUSE_TIMEOUT, 13);
    const struct message *proposal = mailbox_one(&rig.box, MESSAGE_QPROP);
    struct aside aside;
    cr_assert(proposal->seq == 0 && proposal->arg == CAUSE_TIMEOUT &&
              proposal->peer == SINK_TO_COORDINATE);
    struct span payload = {proposal->payload, proposal->size};
    cr_assert(aside_decode(payload, &aside, NULL) == STATUS_OK);
    cr_assert(strcmp(aside.key, "k0") == 0 && strcmp(aside.text, "why") == 0);
    data(0, 4, 0);
    cr_assert(slot_of(0).state == SLOT_PROPOSED, "data is refused now");
    cr_assert(!next_step(&batch) && rig.skipped == 0);
    tick(SINK_REPEAT_MS);
    cr_assert(mailbox_count(&rig.box, MESSAGE_QPROP) == 1, "until it is answered");
    step((struct message){.type = MESSAGE_QOK, .peer = SINK_TO_COORDINATE, .seq = 0, .gen = 3,
                          .arg = 1});
    cr_assert(slot_of(0).state == SLOT_PROPOSED, "of another generation");
    step((struct message){.type = MESSAGE_QOK, .peer = SINK_TO_COORDINATE, .seq = 0, .arg = 1});
    cr_assert(next_step(&batch) && batch.items[0].skip == SKIP_ASIDE);
    cr_assert(rig.skipped == 1 && rig.last_skip == SKIP_ASIDE &&
              strcmp(rig.last_text, "why") == 0);
    arena_close(&rig.arena);
}

Test(sink, an_older_coordinator_is_not_obeyed)
{
    run_from_start(config_of(true));
    step((struct message){.type = MESSAGE_CKOK, .peer = SINK_TO_COORDINATE, .seq = 1, .arg = 5});
    cr_assert(sink_committed_step(rig.sink) == 1);
    step((struct message){.type = MESSAGE_CKOK, .peer = SINK_TO_COORDINATE, .seq = 2, .arg = 4});
    cr_assert(sink_committed_step(rig.sink) == 1);
    arena_close(&rig.arena);
}

Test(sink, refused_and_dropped_items_have_weight_0)
{
    static struct sink_batch batch;
    run_from_start(config_of(true));
    fail(0, 1, CAUSE_REFUSED, 10);
    cr_assert(rig.last_skip == SKIP_REFUSED && strcmp(rig.last_text, "why") == 0);
    data(1, 4, MESSAGE_EMPTY);
    cr_assert(next_step(&batch));
    cr_assert(batch.items[0].skip == SKIP_REFUSED && batch.items[1].skip == SKIP_EMPTY);
    cr_assert(counts().refused == 1 && counts().empty == 1 && counts().strikes == 0);
    arena_close(&rig.arena);
}

Test(sink, the_ledger_skips_and_a_bad_sample_gets_one_chance_elsewhere)
{
    rig_open(config_of(true));
    step((struct message){.type = MESSAGE_WELCOME, .inc = 900, .arg = 2});
    started(0, 1, (struct ledger_row){1, 1});
    rig.box.count = 0;
    sink_begin(rig.sink, 3, rig.now, &rig.out); /* epoch 1: position 7 holds sample 1 again */
    cr_assert(mailbox_count(&rig.box, MESSAGE_REQ) == 4, "another position is tried");
    fail(7, 1, CAUSE_CRASH, 10);
    cr_assert(mailbox_one(&rig.box, MESSAGE_QPROP)->seq == 7);
    fail(6, 1, CAUSE_CRASH, 10);
    cr_assert(mailbox_count(&rig.box, MESSAGE_QPROP) == 0, "others have three");
    arena_close(&rig.arena);
    rig_open(config_of(true));
    step((struct message){.type = MESSAGE_WELCOME, .inc = 900, .arg = 2});
    started(0, 1, (struct ledger_row){1, 1});
    rig.box.count = 0;
    sink_begin(rig.sink, 0, rig.now, &rig.out);
    cr_assert(mailbox_count(&rig.box, MESSAGE_REQ) == 3 && slot_of(1).state == SLOT_SKIPPED);
    arena_close(&rig.arena);
}

Test(sink, a_new_dispatcher_is_asked_for_everything)
{
    run_from_start(config_of(true));
    data(0, 4, 0);
    tick(SINK_HB_MS);
    cr_assert(mailbox_one(&rig.box, MESSAGE_HB)->peer == SINK_TO_DISPATCH);
    step((struct message){.type = MESSAGE_CHALLENGE, .inc = 901});
    cr_assert(mailbox_one(&rig.box, MESSAGE_HELLO)->gen == 4);
    step((struct message){.type = MESSAGE_WELCOME, .inc = 900});
    cr_assert(rig.box.count == 0);
    step((struct message){.type = MESSAGE_WELCOME, .inc = 901});
    cr_assert(mailbox_count(&rig.box, MESSAGE_REQ) == 3, "what it has is not asked for");
    cr_assert(mailbox_nth(&rig.box, MESSAGE_REQ, 0)->attempt == 2);
    arena_close(&rig.arena);
}

Test(sink, a_fenced_sink_is_silent)
{
    run_from_start(config_of(true));
    step((struct message){.type = MESSAGE_REFUSE, .peer = SINK_TO_COORDINATE, .gen = 3,
                          .payload = "not me", .size = 6});
    cr_assert(sink_mode(rig.sink) == SINK_RUNNING);
    step((struct message){.type = MESSAGE_REFUSE, .peer = SINK_TO_COORDINATE,
                          .payload = "replaced by 5", .size = 13});
    cr_assert(sink_mode(rig.sink) == SINK_FENCED);
    cr_assert(strcmp(sink_reason(rig.sink), "replaced by 5") == 0);
    tick(100000);
    cr_assert(rig.box.count == 0);
    arena_close(&rig.arena);
}

Test(sink, checkpoints_are_proposed_until_committed)
{
    run_from_start(config_of(true));
    rig.box.count = 0;
    sink_checkpoint_saved(rig.sink, 3, 42, rig.now, &rig.out);
    const struct message *ckpt = mailbox_one(&rig.box, MESSAGE_CKPT);
    uint64_t digest;
    cr_assert(ckpt->seq == 3 && ckpt->gen == 4);
    cr_assert(ckpt_decode((struct span){ckpt->payload, ckpt->size}, &digest, NULL) == STATUS_OK);
    cr_assert(digest == 42 && sink_committed_step(rig.sink) == 0);
    tick(SINK_REPEAT_MS);
    cr_assert(mailbox_count(&rig.box, MESSAGE_CKPT) == 1);
    step((struct message){.type = MESSAGE_CKOK, .peer = SINK_TO_COORDINATE, .seq = 3, .arg = 1});
    cr_assert(sink_committed_step(rig.sink) == 3);
    tick(SINK_REPEAT_MS);
    cr_assert(mailbox_count(&rig.box, MESSAGE_CKPT) == 0);
    arena_close(&rig.arena);
}

Test(sink, another_pass_is_asked_for_when_it_may_be)
{
    struct sink_config config = config_of(true);
    config.seq_end = 2;
    run_from_start(config);
    static struct sink_batch batch;
    cr_assert(mailbox_count(&rig.box, MESSAGE_REQ) == 2);
    data(0, 4, 0);
    data(1, 4, 0);
    cr_assert(next_step(&batch));
    sink_batch_done(rig.sink, rig.now, &rig.out);
    cr_assert(sink_done(rig.sink));
    sink_extend(rig.sink, 6);
    cr_assert(!sink_done(rig.sink));
    tick(10);
    cr_assert(mailbox_count(&rig.box, MESSAGE_REQ) == 3, "positions 2, 3 and 4");
    arena_close(&rig.arena);
}

Test(sink, drain_asks_for_nothing_more)
{
    run_from_start(config_of(true));
    step((struct message){.type = MESSAGE_DRAIN});
    cr_assert(sink_mode(rig.sink) == SINK_DRAINING);
    tick(100000);
    cr_assert(mailbox_count(&rig.box, MESSAGE_REQ) == 0);
    sink_bye(rig.sink, &rig.out);
    cr_assert(mailbox_one(&rig.box, MESSAGE_BYE)->flags == 0);
    arena_close(&rig.arena);
}

Test(sink, configurations_that_do_not_fit)
{
    struct sink *sink;
    struct error err;
    struct sink_config config = config_of(true);
    arena_open(&rig.arena, 0);
    config.window = 3;
    cr_assert(sink_open(&sink, &config, &rig.arena, &err) == STATUS_INVALID, "half a batch");
    config = config_of(true);
    config.seq_end = 5;
    cr_assert(sink_open(&sink, &config, &rig.arena, &err) == STATUS_INVALID, "half a step");
    config = config_of(false);
    config.order.shuffled = true;
    cr_assert(sink_open(&sink, &config, &rig.arena, &err) == STATUS_INVALID, "a shuffled store");
    config = config_of(true);
    config.rank = 1;
    cr_assert(sink_open(&sink, &config, &rig.arena, &err) == STATUS_INVALID, "rank 1 of 1");
    arena_close(&rig.arena);
}

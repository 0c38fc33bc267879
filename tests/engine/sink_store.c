/* engine/sink as a store that is being filled: any order, urgent keys first, commits. Five
 * samples, a window of four, of which run-ahead may use three. */
#include "engine/sink.h"

#include "tests/engine/mailbox.h"

#include <stdio.h>

static struct {
    struct arena arena;
    struct sink *sink;
    struct mailbox box;
    struct outbox out;
    int64_t now;
} rig;

static size_t key_of(void *user, uint64_t index, char *key)
{
    (void)user;
    key[0] = 'k';
    key[1] = (char)('0' + index);
    return 2;
}

static uint64_t find_key(void *user, struct span key)
{
    (void)user;
    return key.size == 2 && key.data[0] == 'k' ? (uint64_t)(key.data[1] - '0') : ORDER_EMPTY;
}

static void step(struct message in)
{
    in.job = 1;
    in.gen = 1;
    rig.box.count = 0;
    sink_step(rig.sink, &in, rig.now, &rig.out);
}

static void data(uint64_t seq)
{
    step((struct message){.type = MESSAGE_DATA, .seq = seq, .attempt = 1, .payload = "x",
                          .size = 1});
}

static void urgent(const char *key)
{
    step((struct message){.type = MESSAGE_URGENT, .payload = key, .size = (uint32_t)strlen(key)});
}

/* done: positions that the store holds already, as bits. */
static void rig_open(const uint32_t *table, unsigned done)
{
    struct error err;
    struct sink_config config = {.job = 1, .inc = 500, .gen = 1,
                                 .order = order_make(3, 5, 1, false, table), .rank_count = 1,
                                 .window = 4, .seq_end = 5, .key = key_of, .find = find_key};
    unsigned char bytes[STARTED_BYTES];
    rig.out = (struct outbox){&rig.box, mailbox_put};
    rig.now = 1000;
    arena_open(&rig.arena, 0);
    cr_assert(sink_open(&rig.sink, &config, &rig.arena, &err) == STATUS_OK, "%s", err.text);
    step((struct message){.type = MESSAGE_WELCOME, .inc = 900});
    started_encode(&(struct started){0, 0, 0}, bytes);
    step((struct message){.type = MESSAGE_STARTED, .peer = SINK_TO_COORDINATE, .payload = bytes,
                          .size = sizeof bytes});
    for (uint64_t seq = 0; seq < 5; seq++)
        if (done >> seq & 1)
            sink_mark_done(rig.sink, seq);
    rig.box.count = 0;
    sink_begin(rig.sink, 0, rig.now, &rig.out);
}

Test(sink_store, any_order_and_a_commit_for_every_key)
{
    rig_open(NULL, 0);
    cr_assert(mailbox_count(&rig.box, MESSAGE_REQ) == 3, "one slot is kept for urgent keys");
    struct sink_item item;
    cr_assert(!sink_take(rig.sink, &item));
    data(2);
    data(0);
    cr_assert(sink_take(rig.sink, &item) && item.seq == 2 && item.skip == SKIP_NO);
    int slot = item.slot;
    data(2);
    cr_assert(sink_take(rig.sink, &item) && item.seq == 0, "not taken twice");
    rig.box.count = 0;
    sink_committed(rig.sink, slot, rig.now, &rig.out);
    const struct message *commit = mailbox_one(&rig.box, MESSAGE_COMMIT);
    cr_assert(commit->size == 2 && memcmp(commit->payload, "k2", 2) == 0 && commit->flags == 0);
    cr_assert(mailbox_one(&rig.box, MESSAGE_REQ)->seq == 3, "the next position");
    sink_committed(rig.sink, item.slot, rig.now, &rig.out);
    for (uint64_t seq = 1; seq < 5; seq++) {
        data(seq);
        if (sink_take(rig.sink, &item))
            sink_committed(rig.sink, item.slot, rig.now, &rig.out);
    }
    cr_assert(sink_done(rig.sink));
    arena_close(&rig.arena);
}

Test(sink_store, what_the_store_holds_is_not_made_again)
{
    rig_open(NULL, 1 | 2 | 8);
    cr_assert(mailbox_count(&rig.box, MESSAGE_REQ) == 2);
    cr_assert(mailbox_nth(&rig.box, MESSAGE_REQ, 0)->seq == 2);
    cr_assert(mailbox_nth(&rig.box, MESSAGE_REQ, 1)->seq == 4);
    arena_close(&rig.arena);
    rig_open(NULL, 31);
    cr_assert(rig.box.count == 0 && sink_done(rig.sink));
    arena_close(&rig.arena);
}

Test(sink_store, urgent_keys_come_first)
{
    rig_open(NULL, 0);
    urgent("k1");
    const struct message *req = mailbox_one(&rig.box, MESSAGE_REQ);
    cr_assert(req->seq == 1 && req->attempt == 1 && req->flags == MESSAGE_IMPATIENT,
              "asked for already: the same attempt, urgent now");
    urgent("k1");
    cr_assert(rig.box.count == 0, "once is enough");
    urgent("k4");
    req = mailbox_one(&rig.box, MESSAGE_REQ);
    cr_assert(req->seq == 4 && req->flags == MESSAGE_IMPATIENT, "in the slot that was kept");
    urgent("k3");
    cr_assert(rig.box.count == 0, "no slot is free");
    data(0);
    struct sink_item item;
    cr_assert(sink_take(rig.sink, &item));
    rig.box.count = 0;
    sink_committed(rig.sink, item.slot, rig.now, &rig.out);
    req = mailbox_one(&rig.box, MESSAGE_REQ);
    cr_assert(req->seq == 3 && req->flags == MESSAGE_IMPATIENT);
    urgent("k0");
    cr_assert(mailbox_one(&rig.box, MESSAGE_COMMIT)->flags == 0, "it is there: said again");
    urgent("kX");
    urgent("nothing");
    cr_assert(rig.box.count == 0);
    arena_close(&rig.arena);
}

Test(sink_store, refused_samples_want_a_tombstone)
{
    rig_open(NULL, 0);
    step((struct message){.type = MESSAGE_FAIL, .seq = 1, .attempt = 1, .arg = CAUSE_REFUSED,
                          .payload = "no atoms", .size = 8});
    struct sink_item item;
    cr_assert(sink_take(rig.sink, &item) && item.seq == 1 && item.skip == SKIP_REFUSED);
    cr_assert(strcmp(sink_item_text(rig.sink, item.slot), "no atoms") == 0);
    rig.box.count = 0;
    sink_committed(rig.sink, item.slot, rig.now, &rig.out);
    cr_assert(mailbox_one(&rig.box, MESSAGE_COMMIT)->flags == 0, "readers find the tombstone");
    arena_close(&rig.arena);
}

Test(sink_store, what_is_set_aside_will_never_be_there)
{
    rig_open(NULL, 0);
    for (uint32_t attempt = 1; attempt <= 3; attempt++)
        step((struct message){.type = MESSAGE_FAIL, .seq = 1, .attempt = attempt,
                              .arg = CAUSE_CRASH, .inc = 10 + attempt, .payload = "why",
                              .size = 3});
    cr_assert(mailbox_count(&rig.box, MESSAGE_QPROP) == 1);
    step((struct message){.type = MESSAGE_QOK, .peer = SINK_TO_COORDINATE, .seq = 1});
    const struct message *commit = mailbox_one(&rig.box, MESSAGE_COMMIT);
    cr_assert(commit->flags == MESSAGE_FINAL && memcmp(commit->payload, "k1", 2) == 0);
    urgent("k1");
    cr_assert(mailbox_one(&rig.box, MESSAGE_COMMIT)->flags == MESSAGE_FINAL);
    arena_close(&rig.arena);
}

Test(sink_store, runs_ahead_in_the_order_of_a_table)
{
    static const uint32_t table[5] = {3, 1, 4, 0, 2};
    rig_open(table, 0);
    for (int i = 0; i < 3; i++) {
        const struct message *req = mailbox_nth(&rig.box, MESSAGE_REQ, i);
        cr_assert(req->seq == (uint64_t)i);
        cr_assert(((const char *)req->payload)[1] == (char)('0' + table[i]));
    }
    urgent("k2");
    cr_assert(mailbox_one(&rig.box, MESSAGE_REQ)->seq == 4, "sample 2 stands at position 4");
    arena_close(&rig.arena);
}

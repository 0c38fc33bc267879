/* A dispatcher with two lines for tests of its rules. Line 0 fills a store (stages in pools 0, 1),
 * line 1 trains from it (pool 2) with two ranks of one sample each. */
#ifndef FOLDMILL_TESTS_DISPATCH_RIG_H
#define FOLDMILL_TESTS_DISPATCH_RIG_H

#include "engine/dispatch.h"

#include "tests/engine/mailbox.h"

enum { LINK_FILL = 50, LINK_RANK0 = 60, LINK_AGENT = 90 };

struct rig {
    struct arena arena;
    struct dispatch *dispatch;
    struct mailbox box;
    struct outbox out;
    int64_t now;
};

static struct rig rig;

static inline void step(struct message in)
{
    in.job = 1;
    rig.box.count = 0;
    dispatch_step(rig.dispatch, &in, rig.now, &rig.out);
}

static inline void tick(int64_t ms)
{
    rig.now += ms;
    rig.box.count = 0;
    dispatch_step(rig.dispatch, NULL, rig.now, &rig.out);
}

static inline void hello(enum peer_role role, uint64_t inc, uint32_t peer, uint16_t line,
                         uint16_t stage, uint32_t index, uint32_t begun)
{
    struct hello hello = {.role = role, .version = MESSAGE_VERSION, .index = index,
                          .graph_hash = 5};
    unsigned char bytes[HELLO_BYTES_MAX];
    uint32_t size = (uint32_t)hello_encode(&hello, bytes);
    step((struct message){.type = MESSAGE_HELLO, .peer = peer, .inc = inc, .line = line, .gen = 1,
                          .stage = stage, .arg = begun, .payload = bytes, .size = size});
}

/* Sinks have incs 500 (fill), 600, 601 (ranks); workers say theirs. */
static inline void rig_open(void)
{
    static const struct dispatch_line lines[2] = {
        {.stage_count = 2, .pool = {0, 1}, .group = 1, .rank_count = 1, .window = 8,
         .filled_by = -1, .rank = 1},
        {.stage_count = 1, .pool = {2}, .group = 2, .rank_count = 2, .window = 4, .filled_by = 0},
    };
    struct dispatch_config config = {.job = 1, .inc = 900, .graph_hash = 5, .line_count = 2,
                                     .pool_count = 3, .worker_max = 8, .lines = lines};
    struct error err;
    rig.out = (struct outbox){&rig.box, mailbox_put};
    rig.now = 1000;
    arena_open(&rig.arena, 0);
    cr_assert(dispatch_open(&rig.dispatch, &config, &rig.arena, &err) == STATUS_OK, "%s", err.text);
    hello(PEER_SINK, 500, LINK_FILL, 0, 0, 0, 0);
    hello(PEER_SINK, 600, LINK_RANK0, 1, 0, 0, 0);
    hello(PEER_SINK, 601, LINK_RANK0 + 1, 1, 0, 1, 0);
    cr_assert(mailbox_one(&rig.box, MESSAGE_WELCOME)->inc == 900);
}

static inline void rig_close(void)
{
    arena_close(&rig.arena);
}

static inline void request(uint16_t line, uint64_t seq, uint32_t attempt, uint16_t flags)
{
    uint64_t inc = line == 0 ? 500 : 600 + seq % 2;
    uint32_t peer = line == 0 ? LINK_FILL : LINK_RANK0 + (uint32_t)(seq % 2);
    step((struct message){.type = MESSAGE_REQ, .peer = peer, .inc = inc, .line = line, .gen = 1,
                          .seq = seq, .attempt = attempt, .flags = flags, .arg = 2,
                          .payload = "key", .size = 3});
}

static inline void result(enum message_type type, uint64_t inc, uint32_t peer, uint16_t line,
                   uint16_t stage, uint64_t seq, uint32_t attempt, uint16_t flags, const char *text)
{
    step((struct message){.type = type, .peer = peer, .inc = inc, .line = line, .stage = stage,
                          .gen = 1, .seq = seq, .attempt = attempt, .flags = flags, .payload = text,
                          .arg = type == MESSAGE_OUT ? 2 : 0, .size = (uint32_t)strlen(text)});
}

static inline void heartbeat(uint64_t inc, uint32_t peer, const struct held *held, uint32_t count)
{
    unsigned char bytes[MESSAGE_HELD_MAX * HELD_BYTES];
    uint32_t size = (uint32_t)held_encode(held, count, bytes);
    step((struct message){.type = MESSAGE_HB, .peer = peer, .inc = inc, .payload = bytes,
                          .size = size});
}

static inline void died(uint64_t inc, enum cause cause, uint16_t line, uint16_t stage, uint64_t seq,
                 uint32_t attempt)
{
    struct died died = {.cause = cause, .executing = seq != UINT64_MAX, .line = line,
                        .stage = stage, .item = {seq, 1, attempt}, .text = "signal 11"};
    unsigned char bytes[DIED_BYTES_MAX];
    uint32_t size = (uint32_t)died_encode(&died, bytes);
    step((struct message){.type = MESSAGE_DIED, .peer = LINK_AGENT, .inc = inc, .payload = bytes,
                          .size = size});
}

static inline struct dispatch_counts counts(int line, int stage)
{
    struct dispatch_counts counts;
    dispatch_count(rig.dispatch, line, stage, &counts);
    return counts;
}

static inline struct dispatch_totals totals(void)
{
    struct dispatch_totals totals;
    dispatch_total(rig.dispatch, &totals);
    return totals;
}

#endif

/* Fuzzes the protocol's steps with sequences of hostile messages: each is 11 bytes that fill the
 * fields with small numbers, so that they meet what is there, then a payload. No message from
 * outside may make a step fail an assertion, and none may make it send anything that cannot be
 * encoded. */
#include "engine/coordinate.h"
#include "engine/dispatch.h"
#include "engine/sink.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { FIELDS = 11, COUNT = 6 };

static void check(void *user, const struct message *message)
{
    unsigned char header[MESSAGE_HEADER_BYTES];
    (void)user;
    message_encode(message, header);
}

static const struct outbox out = {NULL, check};

static size_t key_of(void *user, uint64_t index, char *key)
{
    (void)user;
    key[0] = (char)('a' + index);
    return 1;
}

static uint64_t find_key(void *user, struct span key)
{
    (void)user;
    return key.size == 1 ? (uint64_t)(unsigned char)key.data[0] - 'a' : ORDER_EMPTY;
}

static enum status append(void *user, struct span bytes, struct error *err)
{
    struct durable_record record;
    (void)user;
    return durable_decode(bytes, &record, err);
}

static struct sink *open_sink(bool ordered, struct arena *arena)
{
    struct sink_config config = {.job = 1, .inc = 2, .line = ordered, .gen = 1,
                                 .order = order_make(1, COUNT, ordered ? 2 : 1, ordered, NULL),
                                 .rank_count = 1, .window = ordered ? 8 : 4, .ordered = ordered,
                                 .overtake = ordered ? 3 : 0,
                                 .seq_end = ordered ? 2 * COUNT : COUNT, .recycles_max = 3,
                                 .key = key_of, .find = find_key};
    struct sink *sink;
    ASSERT(sink_open(&sink, &config, arena, NULL) == STATUS_OK);
    return sink;
}

static struct dispatch *open_dispatch(struct arena *arena)
{
    static const struct dispatch_line lines[2] = {
        {.stage_count = 2, .pool = {0, 1}, .group = 1, .rank_count = 1, .window = 4,
         .filled_by = -1, .rank = 1},
        {.stage_count = 2, .pool = {1, 2}, .group = 2, .rank_count = 1, .window = 4},
    };
    struct dispatch_config config = {.job = 1, .inc = 3, .line_count = 2, .pool_count = 3,
                                     .worker_max = 3, .lines = lines};
    struct dispatch *dispatch;
    ASSERT(dispatch_open(&dispatch, &config, arena, NULL) == STATUS_OK);
    return dispatch;
}

/* What the sink's process would do after a step. */
static void run_sink(struct sink *sink, bool ordered, int64_t now)
{
    static struct sink_batch batch;
    struct sink_item item;
    if (sink_mode(sink) == SINK_STARTED) {
        uint64_t step = sink_checkpoint(sink, NULL) % 4;
        for (uint64_t seq = 0; ordered && seq < 2 * step; seq++)
            ASSERT(sink_mark_taken(sink, seq));
        sink_begin(sink, step, now, &out);
    }
    while (ordered && sink_batch(sink, &batch, now, &out))
        sink_batch_done(sink, now, &out);
    while (!ordered && sink_take(sink, &item))
        sink_committed(sink, item.slot, now, &out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint64_t max_bad[2] = {1, 2};
    struct coordinate_config config = {.job = 1, .epoch = 1, .line_count = 2, .max_bad = max_bad};
    struct durable_log log = {NULL, append};
    struct arena arena;
    struct coordinate *coordinate;
    arena_open(&arena, 1 << 26);
    ASSERT(coordinate_open(&coordinate, &config, &arena, NULL) == STATUS_OK);
    struct dispatch *dispatch = open_dispatch(&arena);
    struct sink *sinks[2] = {open_sink(false, &arena), open_sink(true, &arena)};
    int64_t now = 0;
    for (size_t at = 0; size - at >= FIELDS;) {
        const uint8_t *f = data + at;
        struct message in = {.type = (enum message_type)(f[0] % (MESSAGE_TYPES + 1)), .job = 1,
                             .peer = f[0] / 128, .line = f[1] % 3, .stage = f[1] / 64,
                             .flags = f[2] & MESSAGE_FLAGS, .gen = f[3] % 4, .attempt = f[4] % 8,
                             .seq = f[5] == 255 ? UINT64_MAX : f[5], .inc = f[6] % 8,
                             .arg = f[7]};
        in.size = f[9];
        at += FIELDS;
        in.size = in.size < size - at ? in.size : (uint32_t)(size - at);
        in.payload = data + at;
        at += in.size;
        now += f[8] * 16;
        const struct message *step = in.type == MESSAGE_NONE ? NULL : &in;
        dispatch_step(dispatch, step, now, &out);
        coordinate_step(coordinate, step, now, &log, &out);
        for (int i = 0; i < 2; i++) {
            sink_step(sinks[i], step, now, &out);
            run_sink(sinks[i], i == 1, now);
        }
    }
    arena_close(&arena);
    return 0;
}

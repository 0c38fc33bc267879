/* The coordinator's side of the protocol, as a pure step over durable records: the generation of
 * each line, its committed checkpoint, what was set aside, and what the run must not have
 * changed. It is not on the path of the data. Durable before visible: no answer leaves before
 * the record that it tells of is on disk. */
#ifndef FOLDMILL_COORDINATE_H
#define FOLDMILL_COORDINATE_H

#include "engine/base/arena.h"
#include "engine/base/error.h"
#include "engine/message.h"

enum { COORDINATE_LINES_MAX = 64, COORDINATE_RECORD_MAX = 1024 };

enum durable_type {
    DURABLE_LINE = 1,   /* what a line is: hashes and positions */
    DURABLE_GEN,
    DURABLE_CHECKPOINT,
    DURABLE_ASIDE,
    DURABLE_REQUEUE, /* a sample is to be tried again */
    DURABLE_TYPES
};

/* A durable record in its host form. */
struct durable_record {
    enum durable_type type;
    uint16_t line;
    uint32_t gen;
    uint64_t seq;       /* CHECKPOINT: steps; ASIDE: the position; REQUEUE: 1 when the positions
                           of the sample are open again (stores), 0 when what happened stays */
    uint64_t digest;    /* CHECKPOINT */
    struct start start; /* LINE */
    enum cause cause;   /* ASIDE */
    struct aside aside; /* ASIDE, REQUEUE: the sample */
};
/* Bytes of a record, for the journal. */
size_t durable_encode(const struct durable_record *record,
                      unsigned char bytes[COORDINATE_RECORD_MAX]);
enum status durable_decode(struct span bytes, struct durable_record *record, struct error *err);

/* Where records become durable: append returns STATUS_OK only when the bytes are on disk and this
 * coordinator is still the only one. */
struct durable_log {
    void *user;
    enum status (*append)(void *user, struct span bytes, struct error *err);
};

struct coordinate_config {
    uint64_t job, inc, graph_hash;
    uint32_t epoch;          /* this coordinator's, from the journal */
    int line_count;
    const uint64_t *max_bad; /* of each line: more samples set aside stop the run */
};

struct coordinate;

enum status coordinate_open(struct coordinate **coordinate, const struct coordinate_config *config,
                            struct arena *arena, struct error *err);

/* Applies one record read from the journal, in order, before the first step. STATUS_INVALID: it
 * does not fit. */
enum status coordinate_replay(struct coordinate *coordinate, struct span bytes, struct error *err);

/* Gives every record that the state needs, oldest first: what a compacted journal holds. */
enum status coordinate_dump(const struct coordinate *coordinate,
                            enum status (*give)(void *user, struct span bytes, struct error *err),
                            void *user, struct error *err);

/* Takes one message (a tick does nothing). */
void coordinate_step(struct coordinate *coordinate, const struct message *in, int64_t now_ms,
                     const struct durable_log *log, const struct outbox *out);

/* The generation that the supervisor must ask for when it starts the sinks of a line (again). */
uint32_t coordinate_next_gen(const struct coordinate *coordinate, int line);
uint32_t coordinate_gen(const struct coordinate *coordinate, int line);
uint64_t coordinate_checkpoint(const struct coordinate *coordinate, int line, uint64_t *digest);

/* What was set aside, row 0..count-1. */
struct coordinate_aside {
    uint64_t seq, index;
    enum cause cause;
    bool requeued; /* it is history: the sample is tried again at its other positions */
    const char *key, *text;
};
uint32_t coordinate_aside_count(const struct coordinate *coordinate, int line);
struct coordinate_aside coordinate_aside(const struct coordinate *coordinate, int line,
                                         uint32_t row);

/* Takes the sample `key` of a line out of quarantine, durably; *rows: how many positions of it had
 * been set aside. fills: the line fills a store, and its sink makes the sample when it starts the
 * next time. Else steps were made without it, which stays as it happened; it counts no more for
 * max_bad and gets three chances again at its next position. */
enum status coordinate_requeue(struct coordinate *coordinate, int line, struct span key,
                               bool fills, const struct durable_log *log, uint32_t *rows,
                               struct error *err);

/* False when the run must stop: too much was set aside, or a record could not be made durable. Why
 * is in err. */
enum status coordinate_health(const struct coordinate *coordinate, struct error *err);

#endif

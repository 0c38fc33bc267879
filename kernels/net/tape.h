/* The tape: what a forward pass leaves behind so that the backward pass can run it in reverse. It
 * is a stack of backend memory for activations, a list of the ops that ran with their arguments,
 * and for every tensor the place of its gradient. Modules (kernels/net/modules.h) are written
 * forward only; tape_back calls each op's _back in reverse order and gives back memory module by
 * module, so that gradients live no longer than they are needed.
 *
 * The tape can also plan: the same calls then run no op and touch no memory, and count what will
 * be used. All memory is therefore allocated once, from shapes alone, before the first step. */
#ifndef FOLDMILL_KERNELS_NET_TAPE_H
#define FOLDMILL_KERNELS_NET_TAPE_H

#include "kernels/backend.h"
#include "kernels/net/params.h"

enum { TAPE_PARTS_MAX = 8 };

/* Zones: for whom memory is taken, as a planning tape counts it. The rest is the caller's. */
enum { TAPE_ZONE_BACK = 0, TAPE_ZONES_MAX = 16, TAPE_CUTS_MAX = 64 };

/* A piece of memory whose gradient is kept. */
struct tape_slot {
    char *data, *gradient; /* gradient NULL: nothing has been written to it yet */
    int64_t count;         /* elements */
    int32_t root;          /* the slot whose gradient this one shares: itself, a stream's first */
    int32_t newest;        /* of a stream's root: the slot of its newest version */
    int32_t parts;         /* of a root: how many ranges of the gradient have been written */
    int64_t part_at[TAPE_PARTS_MAX], part_count[TAPE_PARTS_MAX];
};

struct tape_record;

/* How much of everything a pass uses. */
struct tape_size {
    size_t bytes, args_bytes;
    int32_t slots, records;
};

struct tape {
    struct backend *backend;
    bool planning, recording;
    char *memory;                 /* the stack of activations and their gradients */
    struct tape_size used, limit; /* limit: the size planned; while planning: the peak so far */
    size_t bytes_peak;            /* of a tape that is not planning: most bytes used so far */
    struct tape_slot *slot;       /* [0] is not used, [1] all parameters */
    struct tape_record *record;
    char *args;
    int32_t module_slot;          /* first slot of the module that is running */
    char *weights, *gradients;    /* the flat buffers of kernels/net/params.h */
    bool dropout;                 /* dropout is on, keyed by: */
    uint64_t seed, position;
    /* Of a planning tape: whose memory lies where on the stack, now and at the peak. */
    int zone, cut_count;
    struct {
        size_t from;
        int zone;
    } cut[TAPE_CUTS_MAX];
    size_t zone_bytes[TAPE_ZONES_MAX], zone_peak[TAPE_ZONES_MAX];
    double zone_flops[TAPE_ZONES_MAX]; /* of matrix products, since tape_open_plan */
};

/* A tape that counts, for a backend with these kinds of reals. Where the backend counts as well
 * (backend->count), it is told every op, for its scratch. */
void tape_open_plan(struct tape *t, struct backend *backend);

/* From now on memory is taken for this zone, until backward, which takes it for TAPE_ZONE_BACK:
 * gradients, and blocks that run again. zone_peak: what each had when all was most. */
void tape_zone(struct tape *t, int zone);

/* A tape of the planned size. weights and gradients: flat buffers in backend memory. STATUS_LIMIT
 * when the backend has no memory for it. */
enum status tape_open(struct tape *t, struct backend *backend, struct tape_size size,
                      char *weights, char *gradients, struct error *err);
void tape_close(struct tape *t);

/* Empties the tape for the next pass. recording: a backward pass will follow. */
void tape_reset(struct tape *t, bool recording);

/* Bytes of the host's tables for a tape of this size. */
size_t tape_table_bytes(struct tape_size size);

/* What the passes run so far have needed at most (of a planning tape). */
struct tape_size tape_peak(const struct tape *t);

/* A new dense tensor of the first rank sizes; with a gradient where the tape records. */
struct tensor tape_tensor(struct tape *t, int rank, int64_t d0, int64_t d1, int64_t d2,
                          int64_t d3);
/* The same without a gradient: masks, statistics, features. */
struct tensor tape_constant(struct tape *t, enum tensor_kind kind, int rank, int64_t d0,
                            int64_t d1, int64_t d2, int64_t d3);
/* A parameter. */
struct tensor tape_weight(const struct tape *t, struct weight w);

/* A stream: a tensor that modules update one after another (m, z). All its versions share one
 * gradient, which therefore passes through residual ops without a copy; only the newest version
 * may be read. Without recording the versions alternate between two buffers. */
struct tape_stream {
    struct tensor now;
    void *buffer[2];
};

/* A stream's first version, not yet written. */
struct tape_stream tape_stream_open(struct tape *t, int64_t d0, int64_t d1, int64_t d2);
/* Memory for the next version; write it, then call tape_stream_set. */
struct tensor tape_stream_next(struct tape *t, const struct tape_stream *s);
void tape_stream_set(struct tape *t, struct tape_stream *s, struct tensor next);

/* Around each module: memory for what it makes is given back in the backward pass when its ops
 * are done, or at the end when nothing is recorded. Its ops, and their backward, are this module's
 * (backend.h, scope); a text that lives for ever, NULL: as before. */
struct tape_mark {
    size_t bytes;
    int32_t slot, module_slot;
    const char *module;
};
struct tape_mark tape_begin(struct tape *t, const char *module);
void tape_end(struct tape *t, struct tape_mark mark);

/* From now on ops are those of this part of the network, of no module. */
void tape_part(struct tape *t, const char *part);

/* Runs block(t, context), which updates the two streams. keep: recorded. Otherwise only the
 * streams' new versions stay, and the backward pass runs the block again; the bits are the same.
 * context must live until the backward pass. */
typedef void tape_block_run(struct tape *t, void *context, struct tape_stream *m,
                            struct tape_stream *z);
void tape_block(struct tape *t, tape_block_run *block, void *context, struct tape_stream *m,
                struct tape_stream *z, bool keep);

/* Runs the op and records it. */
void tape_run(struct tape *t, enum op op, const void *args);

/* The gradient of `of` (all of it) becomes `value` / that of host memory: where backward starts. */
void tape_seed_value(struct tape *t, struct tensor of, double value);
void tape_seed(struct tape *t, struct tensor of, const void *host);

/* All recorded ops in reverse. Gradients of weights are added to t->gradients. */
void tape_back(struct tape *t);

/* The gradient of a tensor after tape_back; data NULL when nothing reached it. */
struct tensor tape_gradient(const struct tape *t, struct tensor of);

/* tape_linear(t, (struct op_linear){...}), and so on for every row of the table. */
#define TAPE_OP(name, fields)                                                                      \
    static inline void tape_##name(struct tape *t, struct op_##name args)                          \
    {                                                                                              \
        tape_run(t, OP_##name, &args);                                                             \
    }
OPS(TAPE_OP, TAPE_OP, OP_NO_FIELD)

#endif

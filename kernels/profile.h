/* Measures what a backend does, op by op and module by module: its table of ops is replaced by one
 * whose entries take time, operations (op_flops) and bytes (op_bytes) of every call, for the scope
 * that the network has set. What a call should have taken by the roofline, the larger of operations
 * by the peak of matrix products and bytes by the bandwidth of memory, is summed with it. Costs
 * nothing where it is not opened. */
#ifndef FOLDMILL_KERNELS_PROFILE_H
#define FOLDMILL_KERNELS_PROFILE_H

#include "kernels/backend.h"

/* The backend's best, measured with its own ops and threads: products of 512 x 512 matrices, and
 * sums of arrays that no cache holds. */
struct profile_peaks {
    double flops, bytes; /* a second */
};
struct profile_peaks profile_measure(struct backend *backend);

struct profile_sum {
    int64_t calls;
    double seconds, flops, bytes;
    double floor; /* seconds by the roofline */
};

enum { PROFILE_SCOPES_MAX = 64 };

/* The sums of one scope; each forward [0] and backward [1]. */
struct profile_scope {
    struct backend_scope scope;
    struct profile_sum op[OP_COUNT][2];
};

struct profile {
    struct profile_peaks peaks;
    struct ops plain; /* the backend's own */
    int count;
    struct profile_scope row[PROFILE_SCOPES_MAX]; /* in the order in which they were first met */
};

/* From now on the backend is measured. Never fails; one profile a backend. */
struct profile *profile_open(struct backend *backend, struct profile_peaks peaks);

/* Forgets what was summed. */
void profile_clear(struct profile *p);

/* The backend is as before. NULL: nothing happens. */
void profile_close(struct backend *backend);

/* to += from. */
void profile_add(struct profile_sum *to, const struct profile_sum *from);

#endif

/* Time that only goes forward. All time-outs and rates use it; wall-clock time appears in log
 * lines alone. */
#ifndef FOLDMILL_BASE_CLOCK_H
#define FOLDMILL_BASE_CLOCK_H

#include <stdint.h>
#include <time.h>

/* CLOCK_MONOTONIC in nanoseconds. */
static inline int64_t clock_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* CLOCK_MONOTONIC in milliseconds. */
static inline int64_t clock_ms(void)
{
    return clock_ns() / 1000000;
}

#endif

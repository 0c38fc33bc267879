/* Preloaded by a test: the wall clock of every process of a run jumps by hours and years, back and
 * forth, several times a second. The clock that only goes forward is left alone. */
#include <dlfcn.h>
#include <stddef.h>
#include <sys/time.h>
#include <time.h>

typedef int clock_fn(clockid_t clock, struct timespec *now);

static int read_clock(clockid_t clock, struct timespec *now)
{
    static clock_fn *real;
    if (!real)
        *(void **)&real = dlsym(RTLD_NEXT, "clock_gettime");
    return real(clock, now);
}

/* Seconds by which the wall clock is wrong now. */
static time_t jump(void)
{
    static const time_t jumps[] = {0, 3600, -86400, 10 * 31536000L, -20 * 31536000L, 1, -7200};
    struct timespec now;
    read_clock(CLOCK_MONOTONIC, &now);
    return jumps[((size_t)now.tv_sec * 4 + (size_t)now.tv_nsec / 250000000) % 7];
}

__attribute__((visibility("default"))) int clock_gettime(clockid_t clock, struct timespec *now)
{
    int code = read_clock(clock, now);
    if (code == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        now->tv_sec += jump();
    return code;
}

__attribute__((visibility("default"))) time_t time(time_t *result)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (result)
        *result = now.tv_sec;
    return now.tv_sec;
}

__attribute__((visibility("default"))) int gettimeofday(struct timeval *restrict now,
                                                        void *restrict zone)
{
    struct timespec at;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &at);
    *now = (struct timeval){at.tv_sec, at.tv_nsec / 1000};
    return 0;
}

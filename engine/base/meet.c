/* Members meet in a shared file mapping; barriers by futex; see meet.h. Members of other hosts
 * look like those of this one: the bridge moves their stages. */
#include "engine/base/meet_inside.h"

#include "engine/base/clock.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
    SPINS = 200,
    PAGE = 4096,
    GRACE_MS = 2000, /* so that who is late is named by its own host or by that of rank 0 */
};

/* Waits at most MEET_POLL_MS for *word to become other than `seen`. */
static void futex_wait(_Atomic uint32_t *word, uint32_t seen)
{
    struct timespec time = {.tv_nsec = MEET_POLL_MS * 1000000L};
    syscall(SYS_futex, word, FUTEX_WAIT, seen, &time, NULL, 0);
}

static void futex_wake(_Atomic uint32_t *word)
{
    syscall(SYS_futex, word, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

static bool is_far(const struct meet *meet, int rank)
{
    return meet->place.host_of[rank] != meet->place.host;
}

/* Also when nobody has waited for the process yet. */
bool meet_is_gone(const struct meet *meet, int rank, int *watch)
{
    const struct meet_member *member = &meet->shared->member[rank];
    if (is_far(meet, rank))
        return atomic_load(&member->left);
    if (*watch < 0) {
        int32_t pid = atomic_load(&member->pid);
        *watch = pid ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;
        if (*watch < 0)
            return pid && errno == ESRCH;
    }
    struct pollfd poll_one = {.fd = *watch, .events = POLLIN};
    return poll(&poll_one, 1, 0) == 1;
}

static bool is_silent(const struct meet *meet, int rank)
{
    int64_t beat = atomic_load(&meet->shared->member[rank].beat_ms);
    return !is_far(meet, rank) && beat && clock_ms() - beat > MEET_SILENT_MS;
}

void meet_set_broken(struct meet *meet, int rank, enum meet_why why)
{
    int32_t none = 0;
    atomic_compare_exchange_strong(&meet->shared->broken, &none, (int32_t)why * MEET_MAX + rank);
    for (int r = 0; r < meet->ranks; r++)
        futex_wake(&meet->shared->member[r].stage);
    meet_bridge_wake(meet);
}

void meet_set_stage(struct meet *meet, int rank, uint32_t stage)
{
    _Atomic uint32_t *word = &meet->shared->member[rank].stage;
    atomic_store_explicit(word, stage, memory_order_release);
    futex_wake(word);
}

/* "ranks 2, 3". */
static const char *ranks_of(const struct meet *meet, int host, char *text, size_t size)
{
    size_t used = 0;
    for (int r = 0, count = 0; r < meet->ranks && used < size; r++)
        if (meet->place.host_of[r] == host)
            used += (size_t)snprintf(text + used, size - used, "%s%d", count++ ? ", " : "", r);
    return text;
}

/* What the shared memory says of the failure. */
static enum status tell(struct meet *meet, struct error *err)
{
    static const char *const texts[WHYS] = {
        [WHY_EXITED] = "has exited",
        [WHY_SILENT] = "has given no sign of life for 30 s",
        [WHY_LATE] = "did not come in time",
        [WHY_BROKE] = "cannot go on",
    };
    char list[4 * MEET_MAX];
    int broken = atomic_load(&meet->shared->broken);
    int rank = broken % MEET_MAX, host = meet->place.host_of[rank], why = broken / MEET_MAX;
    if (why < WHY_HOST_LOST)
        return error_set(err, STATUS_BUSY,
                         "rank %d of %d: the ranks have failed at rank %d, which %s", meet->rank,
                         meet->ranks, rank, texts[why]);
    return error_set(err, STATUS_BUSY,
                     "rank %d of %d: the ranks have failed at host %d with rank(s) %s, %s",
                     meet->rank, meet->ranks, host, ranks_of(meet, host, list, sizeof list),
                     why == WHY_HOST_LOST     ? "the connection to which was lost"
                     : why == WHY_HOST_SILENT ? "from which nothing has come for 7 s"
                                              : "which has other numbers of ranks, hosts or bytes");
}

static enum status fail(struct meet *meet, int rank, enum meet_why why, struct error *err)
{
    meet_set_broken(meet, rank, why);
    if (!is_far(meet, rank))
        error_set(err, STATUS_BUSY, "rank %d of %d: rank %d (process %d) %s", meet->rank,
                  meet->ranks, rank, (int)atomic_load(&meet->shared->member[rank].pid),
                  why == WHY_EXITED   ? "has exited"
                  : why == WHY_SILENT ? "has given no sign of life for 30 s"
                                      : "did not come in time");
    else if (!meet->opened && meet->place.host && !atomic_load(&meet->shared->met))
        error_set(err, STATUS_BUSY,
                  "rank %d of %d: the host of rank 0 has not answered for %d ms: is it up, and are "
                  "these its keys?",
                  meet->rank, meet->ranks, meet->open_ms);
    else
        error_set(err, STATUS_BUSY, "rank %d of %d: rank %d (on host %d) %s", meet->rank,
                  meet->ranks, rank, meet->place.host_of[rank],
                  why == WHY_EXITED ? "has exited" : "did not come in time");
    return STATUS_BUSY;
}

/* Who has ended, so that rank cannot come: itself, or the bridge to it; -1: nobody. */
static int missing(struct meet *meet, int rank)
{
    if (meet_is_gone(meet, rank, &meet->watch[rank]))
        return rank;
    int bridge = meet->leader;
    bool needed = is_far(meet, rank) && bridge != meet->rank;
    return needed && meet_is_gone(meet, bridge, &meet->watch[bridge]) ? bridge : -1;
}

/* Waits until rank has entered barrier `stage`. */
static enum status wait_for(struct meet *meet, int rank, uint32_t stage, int64_t deadline_ms,
                            bool (*over)(void *), void *user, struct error *err)
{
    _Atomic uint32_t *word = &meet->shared->member[rank].stage;
    if (deadline_ms && is_far(meet, rank) && meet->place.host)
        deadline_ms += GRACE_MS;
    for (int spin = 0;; spin++) {
        uint32_t seen = atomic_load_explicit(word, memory_order_acquire);
        if ((int32_t)(seen - stage) >= 0)
            return STATUS_OK;
        if (atomic_load(&meet->shared->broken))
            return tell(meet, err);
        if (spin < SPINS)
            continue;
        int gone = missing(meet, rank);
        if (gone >= 0) {
            seen = atomic_load_explicit(word, memory_order_acquire);
            if ((int32_t)(seen - stage) >= 0)
                return STATUS_OK; /* it left after this barrier */
            return fail(meet, gone, WHY_EXITED, err);
        }
        bool silent = is_silent(meet, rank);
        if (silent || (deadline_ms && clock_ms() >= deadline_ms)) {
            meet->finder = true;
            return fail(meet, rank, silent ? WHY_SILENT : WHY_LATE, err);
        }
        if (over && over(user))
            return STATUS_EMPTY;
        futex_wait(word, seen);
    }
}

enum status meet_wait(struct meet *meet, bool (*over)(void *user), void *user, struct error *err)
{
    if (meet->ranks == 1)
        return STATUS_OK;
    int64_t limit = meet->opened ? meet->limit_ms : meet->open_ms;
    int64_t deadline = limit ? clock_ms() + limit : 0;
    meet_set_stage(meet, meet->rank, ++meet->stage);
    meet_bridge_wake(meet);
    /* Those here first: others may wait for this host because one of them is missing. */
    for (int i = 0; i < 2 * meet->ranks; i++) {
        int rank = i % meet->ranks;
        if (rank == meet->rank || is_far(meet, rank) != (i >= meet->ranks))
            continue;
        enum status status = wait_for(meet, rank, meet->stage, deadline, over, user, err);
        if (status == STATUS_BUSY)
            meet_bridge_tell(meet->bridge); /* the process may end with this failure */
        if (status != STATUS_OK)
            return status;
    }
    return STATUS_OK;
}

void meet_wrote(struct meet *meet, int region, size_t from, size_t bytes, int to)
{
    int host = to == MEET_ALL ? MEET_HOST_ALL : meet->place.host_of[to];
    ASSERT(region >= 0 && region < meet->ranks && to < meet->ranks);
    ASSERT(from <= meet->bytes && bytes <= meet->bytes - from);
    if (meet->place.hosts == 1 || host == meet->place.host || !bytes)
        return;
    struct meet_member *own = &meet->shared->member[meet->rank];
    uint32_t put = atomic_load(&own->put);
    while (put - atomic_load(&own->taken) == MEET_RANGES) { /* the bridge sends; or all is over */
        if (atomic_load(&meet->shared->broken))
            return;
        meet_bridge_wake(meet);
        usleep(200);
    }
    own->range[put % MEET_RANGES] =
        (struct meet_range){.region = region, .to = host, .from = from, .bytes = bytes};
    atomic_store(&own->put, put + 1);
    meet_bridge_wake(meet);
}

bool meet_is_finder(const struct meet *meet)
{
    return meet->finder;
}

void meet_break(struct meet *meet)
{
    meet->finder = true;
    if (meet->ranks > 1)
        meet_set_broken(meet, meet->rank, WHY_BROKE);
    meet_bridge_tell(meet->bridge);
}

void meet_beat(struct meet *meet)
{
    if (meet->ranks > 1)
        atomic_store(&meet->shared->member[meet->rank].beat_ms, clock_ms());
}

void meet_limit(struct meet *meet, int64_t limit_ms)
{
    meet->limit_ms = limit_ms;
}

/* The rank's host is that of rank 0 where nothing is said, and all hosts have a member. */
static enum status check_place(struct meet *meet, const struct meet_place *place, struct error *err)
{
    bool seen[MEET_MAX] = {false};
    bool good = place->hosts >= 1 && place->hosts <= MEET_MAX && place->host_of[0] == 0;
    for (int r = 0; r < meet->ranks && good; r++) {
        int host = place->host_of[r];
        good = host >= 0 && host < place->hosts;
        if (good)
            seen[host] = true;
    }
    for (int h = 0; h < place->hosts && good; h++)
        good = seen[h];
    if (!good || place->host_of[meet->rank] != place->host)
        return error_set(err, STATUS_INVALID,
                         "rank %d of %d: wanted rank 0 on host 0, a rank on each of the %d hosts, "
                         "this one on host %d",
                         meet->rank, meet->ranks, place->hosts, place->host);
    meet->place = *place;
    while (meet->place.host_of[meet->leader] != place->host)
        meet->leader++;
    return STATUS_OK;
}

static enum status open_alone(struct meet *meet)
{
    meet->region = meet->bytes ? aligned_alloc(PAGE, meet->bytes) : NULL;
    ASSERT(meet->region || !meet->bytes);
    if (meet->bytes)
        memset(meet->region, 0, meet->bytes);
    return STATUS_OK;
}

static enum status open_shared(struct meet *meet, const char *path, const struct meet_post *post,
                               struct error *err)
{
    bool leads = meet->rank == meet->leader;
    enum status status = leads ? meet_file_make(meet, path, meet->token, err)
                               : meet_file_join(meet, path, meet->token, err);
    if (status == STATUS_OK && leads && meet->place.hosts > 1)
        status = meet_bridge_open(meet, post, err);
    else if (post)
        post->close(post->user, 0);
    if (status == STATUS_OK) {
        atomic_store(&meet->shared->member[meet->rank].pid, (int32_t)getpid());
        status = meet_wait(meet, NULL, NULL, err);
    }
    if (leads && meet->shared)
        meet_remove(path);
    return status;
}

enum status meet_open_far(const char *path, uint64_t token, int rank, int ranks, size_t bytes,
                          int timeout_ms, const struct meet_place *place,
                          const struct meet_post *post, struct meet **out, struct error *err)
{
    *out = NULL;
    bool good = ranks >= 1 && ranks <= MEET_MAX && rank >= 0 && rank < ranks && timeout_ms >= 1;
    struct meet *meet = calloc(1, sizeof *meet);
    ASSERT(meet);
    meet->rank = rank, meet->ranks = ranks, meet->open_ms = timeout_ms, meet->token = token;
    meet->bytes = (bytes + PAGE - 1) / PAGE * PAGE;
    meet->mapped = meet_file_head_bytes() + (size_t)(good ? ranks : 0) * meet->bytes;
    meet->wake = -1;
    for (int r = 0; r < MEET_MAX; r++)
        meet->watch[r] = -1;
    enum status status =
        good ? check_place(meet, place, err)
             : error_set(err, STATUS_INVALID, "rank %d of %d: wanted 0 <= rank < ranks <= %d", rank,
                         ranks, MEET_MAX);
    if (status == STATUS_OK && ranks > 1)
        status = open_shared(meet, path, post, err);
    else if (post)
        post->close(post->user, 0);
    if (status == STATUS_OK && ranks == 1)
        status = open_alone(meet);
    meet->opened = true;
    if (status != STATUS_OK) {
        meet_close(meet);
        return status;
    }
    *out = meet;
    return STATUS_OK;
}

enum status meet_open(const char *path, uint64_t token, int rank, int ranks, size_t bytes,
                      int timeout_ms, struct meet **meet, struct error *err)
{
    struct meet_place place = {.host = 0, .hosts = 1};
    return meet_open_far(path, token, rank, ranks, bytes, timeout_ms, &place, NULL, meet, err);
}

void meet_close(struct meet *meet)
{
    if (!meet)
        return;
    meet_bridge_close(meet->bridge);
    for (int r = 0; r < MEET_MAX; r++)
        if (meet->watch[r] >= 0)
            close(meet->watch[r]);
    meet_file_close(meet);
    free(meet);
}

int meet_rank(const struct meet *meet)
{
    return meet->rank;
}

int meet_ranks(const struct meet *meet)
{
    return meet->ranks;
}

size_t meet_bytes(const struct meet *meet)
{
    return meet->bytes;
}

void *meet_region(const struct meet *meet, int rank)
{
    return meet->region + (size_t)rank * meet->bytes;
}

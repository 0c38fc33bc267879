/* The bridge of a host to the others of its meeting: one thread, in the process of the host's
 * lowest member. It sends what members of this host have written, and after it how far they all
 * are; it puts what comes into the regions here, and then moves the stages of members elsewhere.
 * The bridge of host 0 is the hub: it passes on what others send, out of its own regions, so that
 * nothing is held beside them, and tells all when all have come. Every message has a number, so
 * that a lost one is noticed. See meet.h. */
#include "engine/base/meet_bridge.h"

#include "engine/base/clock.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    TICK_MS = 50,   /* between two looks at who lives */
    BUSY_MS = 1,    /* between two tries to send */
    HELLO_MS = 200, /* between two until the hub answers */
    BEAT_MS = 1000,
    FLUSH_MS = 3000, /* longest wait for what goes out at the end */
    TELL_MS = 300,   /* ... of a failure, and what the network then gets */
    LINGER_MS = 1000,
};

uint64_t bridge_place(const struct meet *meet)
{
    uint64_t hash = (uint64_t)meet->ranks * 64 + (uint64_t)meet->place.hosts;
    for (int r = 0; r < meet->ranks; r++)
        hash = (hash ^ (uint64_t)meet->place.host_of[r]) * 0x9e3779b97f4a7c15U;
    return hash;
}

int bridge_lowest(const struct meet *meet, int host)
{
    int rank = 0;
    while (meet->place.host_of[rank] != host)
        rank++;
    return rank;
}

bool bridge_is_broken(const struct meet_bridge *b)
{
    return atomic_load(&b->meet->shared->broken) != 0;
}

/* A host cannot go on with us, as found by this one. */
void bridge_fail(struct meet_bridge *b, int host, enum meet_why why)
{
    if (bridge_is_broken(b))
        return;
    b->meet->finder = true;
    meet_set_broken(b->meet, bridge_lowest(b->meet, host), why);
}

/* ---- what this host's members do ---- */

static bool is_here(const struct meet_bridge *b, int rank)
{
    return b->meet->place.host_of[rank] == b->meet->place.host;
}

/* What a member has announced; false: there is no room for all of it. */
static bool drain(struct meet_bridge *b, struct meet_member *member)
{
    uint32_t taken = atomic_load(&member->taken), put = atomic_load(&member->put);
    while (taken != put && bridge_has_room(b)) {
        const struct meet_range *range = &member->range[taken % MEET_RANGES];
        bridge_push_data(b,
                         (struct item){.kind = MAIL_DATA,
                                       .rank = range->region,
                                       .to = range->to,
                                       .from = range->from,
                                       .bytes = range->bytes},
                         -1);
        atomic_store(&member->taken, ++taken);
    }
    return taken == put;
}

/* All here have come to the next barrier, and what they announced before it is under way. */
static bool is_all_here(struct meet_bridge *b)
{
    bool all = true;
    for (int r = 0; r < b->meet->ranks; r++) {
        struct meet_member *member = &b->meet->shared->member[r];
        if (!is_here(b, r))
            continue;
        all = (int32_t)(atomic_load(&member->stage) - b->stage) > 0 && all;
        all = drain(b, member) && all;
    }
    return all;
}

/* Members of the hub's host may be a barrier further than what the other hosts have been told, for
 * they see the others come; so the hub takes one at a time. True: something has moved. */
static bool look_here(struct meet_bridge *b)
{
    bool moved = is_all_here(b) && (!b->hub || b->released == b->stage);
    if (moved) {
        b->stage++;
        if (!b->hub)
            bridge_push(b, (struct item){.kind = MAIL_STAGE, .number = b->stage}, -1);
    }
    if (!b->hub || b->stage == b->released)
        return moved;
    for (int h = 1; h < b->meet->place.hosts; h++)
        if (b->host[h].stage != b->stage)
            return moved;
    b->released = b->stage;
    bridge_push(b, (struct item){.kind = MAIL_STAGE, .number = b->stage}, -1);
    return true;
}

/* Members that have ended: told after the last barrier that they came to. */
static void look_left(struct meet_bridge *b)
{
    uint32_t told = b->hub ? b->released : b->stage;
    for (int r = 0; r < b->meet->ranks; r++)
        if (is_here(b, r) && r != b->meet->rank && !b->left[r] &&
            (int32_t)(atomic_load(&b->meet->shared->member[r].stage) - told) <= 0 &&
            meet_is_gone(b->meet, r, &b->watch[r])) {
            b->left[r] = true;
            bridge_push(b, (struct item){.kind = MAIL_LEFT, .rank = r}, -1);
        }
}

/* ---- time ---- */

static void say(struct meet_bridge *b, int host, int64_t now)
{
    struct far_host *far = &b->host[host];
    struct item hello = {.kind = MAIL_HELLO, .from = bridge_place(b->meet)};
    struct item beat = {.kind = MAIL_BEAT};
    if (!far->known && !b->hub && !far->heard && now - far->sent_ms >= HELLO_MS)
        bridge_send(b, far, &hello, 0, false);
    else if (far->known && !far->bye && now - far->sent_ms >= BEAT_MS &&
             bridge_send(b, far, &beat, 0, false) == STATUS_MISS)
        bridge_fail(b, host, WHY_HOST_LOST);
}

/* some: something was heard in this turn. What came before the end of a connection, a last word or
 * why the hub ended, is heard first. */
static void tick(struct meet_bridge *b, int64_t now, bool some)
{
    struct far_host *hub = &b->host[0];
    b->looked_ms = now;
    look_left(b);
    if (!b->hub && !some && hub->known && !hub->bye && b->post.ended(b->post.user))
        bridge_fail(b, 0, WHY_HOST_LOST);
    for (int h = 0; h < b->meet->place.hosts; h++) {
        struct far_host *far = &b->host[h];
        if (b->hub ? h == 0 : h != 0)
            continue;
        say(b, h, now);
        if (far->known && !far->bye && now - far->heard_ms > MEET_HOST_SILENT_MS)
            bridge_fail(b, h, WHY_HOST_SILENT);
    }
}

/* All hosts hear of a failure, and of nothing else after it. */
static void tell_failure(struct meet_bridge *b)
{
    int broken = atomic_load(&b->meet->shared->broken);
    struct item item = {
        .kind = MAIL_BREAK, .rank = broken % MEET_MAX, .number = (uint32_t)(broken / MEET_MAX)};
    b->told = true;
    for (int h = 0; h < b->meet->place.hosts; h++)
        b->host[h].count = 0;
    bridge_push(b, item, -1);
}

/* ---- the thread ---- */

static void rest(struct meet_bridge *b, bool sends, int timeout_ms)
{
    char bytes[64];
    b->post.wait(b->post.user, b->meet->wake, sends, timeout_ms);
    while (read(b->meet->wake, bytes, sizeof bytes) == (ssize_t)sizeof bytes)
        continue;
}

/* One turn; false: something waits to be sent. */
static bool turn(struct meet_bridge *b)
{
    atomic_store(&b->meet->shared->asleep, 1); /* who does something from here on wakes us */
    bool heard = bridge_hear(b), some = heard;
    if (bridge_is_broken(b) && !b->told)
        tell_failure(b);
    if (!bridge_is_broken(b))
        some = look_here(b) || some;
    bool sent = bridge_flush(b);
    if (bridge_is_broken(b) && !b->told) { /* found just now */
        tell_failure(b);
        sent = bridge_flush(b);
    }
    if (b->told && sent)
        atomic_store(&b->quiet, true);
    int64_t now = clock_ms();
    if (now - b->looked_ms >= TICK_MS)
        tick(b, now, heard);
    if (!some)
        rest(b, !sent, sent ? TICK_MS : BUSY_MS);
    return sent;
}

/* All that this host's member has been through has been told. */
static bool is_told(const struct meet_bridge *b)
{
    return b->quiet || (b->stage == b->meet->stage && (!b->hub || b->released == b->stage));
}

/* Nobody waits for a word of ours: a connection that ends takes along what was not read yet. */
static bool all_left(const struct meet_bridge *b)
{
    for (int h = 0; h < b->meet->place.hosts; h++)
        if (b->host[h].known && !b->host[h].bye)
            return false;
    return true;
}

static void *bridge_run(void *memory)
{
    struct meet_bridge *b = memory;
    while (!atomic_load(&b->closing))
        turn(b);
    int64_t end = clock_ms() + FLUSH_MS;
    while (!(turn(b) && is_told(b)) && clock_ms() < end)
        continue;
    bridge_push(b, (struct item){.kind = MAIL_BYE}, -1);
    while (!all_left(b) && !bridge_is_broken(b) && clock_ms() < end)
        turn(b);
    while (!bridge_flush(b) && clock_ms() < end)
        rest(b, true, BUSY_MS);
    b->post.close(b->post.user, LINGER_MS);
    return NULL;
}

enum status meet_bridge_open(struct meet *meet, const struct meet_post *post, struct error *err)
{
    sigset_t all, before;
    struct meet_bridge *b = calloc(1, sizeof *b);
    ASSERT(b && post);
    b->host = calloc((size_t)meet->place.hosts, sizeof *b->host);
    ASSERT(b->host);
    b->meet = meet, b->post = *post, b->hub = meet->place.host == 0;
    for (int r = 0; r < MEET_MAX; r++)
        b->watch[r] = -1;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    int code = pthread_create(&b->thread, NULL, bridge_run, b);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (code == 0) {
        meet->bridge = b;
        return STATUS_OK;
    }
    b->post.close(b->post.user, 0);
    free(b->host);
    free(b);
    return error_set(err, STATUS_IO, "no thread for the way to other hosts: %s", strerror(code));
}

void meet_bridge_tell(struct meet_bridge *b)
{
    int64_t end = clock_ms() + TELL_MS;
    if (!b)
        return;
    while (!atomic_load(&b->quiet) && clock_ms() < end)
        usleep(1000);
    usleep(TELL_MS / 6 * 1000); /* for ZeroMQ's own thread */
}

void meet_bridge_close(struct meet_bridge *b)
{
    if (!b)
        return;
    atomic_store(&b->closing, true);
    meet_bridge_wake(b->meet);
    pthread_join(b->thread, NULL);
    for (int r = 0; r < MEET_MAX; r++)
        if (b->watch[r] >= 0)
            close(b->watch[r]);
    free(b->host);
    free(b);
}

void meet_bridge_wake(struct meet *meet)
{
    if (meet->wake < 0 || !atomic_exchange(&meet->shared->asleep, 0))
        return;
    ssize_t got = write(meet->wake, "", 1);
    (void)got; /* a full FIFO wakes as well */
}

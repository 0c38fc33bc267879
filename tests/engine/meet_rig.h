/* Processes that meet as if they were on several hosts: each "host" has a file of its own, and
 * bridges speak over the loopback device, with or without keys. For tests of engine/base/meet.h
 * and of what goes over it. */
#ifndef FOLDMILL_TESTS_MEET_RIG_H
#define FOLDMILL_TESTS_MEET_RIG_H

#include "engine/base/clock.h"
#include "engine/meet_link.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* What all processes of a test see. */
struct rig {
    char path[64], address[LINK_ADDRESS_MAX]; /* address: of the hub, once it listens */
    _Atomic int listens;
    char keys[80]; /* folder; "": none */
    int ranks, timeout_ms;
    size_t bytes;
    struct meet_place place;      /* but for the host */
    _Atomic int64_t at[MEET_MAX]; /* what a member wants the test to know */
    char text[MEET_MAX][ERROR_TEXT_MAX];
    pid_t pid[MEET_MAX];
};

/* hosts: the host of each rank, a digit each ("0011"). */
static inline struct rig *rig_open(const char *hosts, size_t bytes)
{
    struct rig *rig =
        mmap(NULL, sizeof *rig, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    cr_assert(rig != MAP_FAILED, "memory");
    snprintf(rig->path, sizeof rig->path, "/dev/shm/foldmill-test-%d", (int)getpid());
    rig->ranks = (int)strlen(hosts);
    rig->timeout_ms = 20000;
    rig->bytes = bytes;
    for (int r = 0; r < rig->ranks; r++) {
        rig->place.host_of[r] = hosts[r] - '0';
        if (hosts[r] - '0' >= rig->place.hosts)
            rig->place.hosts = hosts[r] - '0' + 1;
    }
    return rig;
}

static inline void rig_close(struct rig *rig)
{
    for (int h = 0; h < rig->place.hosts; h++) {
        char path[96];
        snprintf(path, sizeof path, "%s-%d", rig->path, h);
        meet_remove(path);
    }
    munmap(rig, sizeof *rig);
}

static inline bool rig_leads(const struct rig *rig, int rank)
{
    for (int r = 0; r < rank; r++)
        if (rig->place.host_of[r] == rig->place.host_of[rank])
            return false;
    return true;
}

/* In a process of a member: the way to the other hosts. */
static inline enum status rig_post(struct rig *rig, int rank, enum key_role role,
                                   struct meet_post *post, struct error *err)
{
    enum status status = link_context_open(err);
    if (status == STATUS_OK && rig->keys[0]) {
        struct keys keys;
        status = keys_load(rig->keys, role, &keys, err);
        if (status == STATUS_OK)
            status = link_secure(&keys, err);
    }
    if (status != STATUS_OK)
        return status;
    if (rank == 0) {
        status = meet_link_listen("tcp://127.0.0.1:0", !rig->keys[0], post, err);
        if (status == STATUS_OK)
            snprintf(rig->address, sizeof rig->address, "%s", meet_link_where(post));
        rig->listens = status == STATUS_OK ? 1 : -1;
        return status;
    }
    while (!rig->listens)
        usleep(1000);
    return meet_link_connect(rig->address, KEY_HEAD, !rig->keys[0], post, err);
}

static inline enum status rig_meet_as(struct rig *rig, int rank, enum key_role role,
                                      struct meet **meet, struct error *err)
{
    char path[96];
    struct meet_place place = rig->place;
    struct meet_post post;
    bool bridge = place.hosts > 1 && rig_leads(rig, rank);
    place.host = place.host_of[rank];
    snprintf(path, sizeof path, "%s-%d", rig->path, place.host);
    enum status status = bridge ? rig_post(rig, rank, role, &post, err) : STATUS_OK;
    if (status != STATUS_OK)
        return status;
    return meet_open_far(path, 42, rank, rig->ranks, rig->bytes, rig->timeout_ms, &place,
                         bridge ? &post : NULL, meet, err);
}

static inline enum status rig_meet(struct rig *rig, int rank, struct meet **meet, struct error *err)
{
    return rig_meet_as(rig, rank, rank == 0 ? KEY_HEAD : KEY_SINK, meet, err);
}

/* Closes the meeting and the links. */
static inline void rig_leave(struct meet *meet)
{
    meet_close(meet);
    link_context_close();
}

/* Starts all members, each with `life`, whose result is its exit code. */
static inline void rig_start(struct rig *rig, int (*life)(struct rig *rig, int rank))
{
    for (int rank = rig->ranks - 1; rank >= 0; rank--) {
        pid_t pid = fork();
        if (pid == 0) { /* a member does not outlive its test */
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            _exit(life(rig, rank));
        }
        rig->pid[rank] = pid;
    }
}

/* Exit code, or 128 + signal. */
static inline int rig_code(struct rig *rig, int rank)
{
    int state = 0;
    cr_assert(waitpid(rig->pid[rank], &state, 0) == rig->pid[rank], "waitpid");
    return WIFEXITED(state) ? WEXITSTATUS(state) : 128 + WTERMSIG(state);
}

static inline void rig_all_end_well(struct rig *rig)
{
    for (int rank = 0; rank < rig->ranks; rank++) {
        int code = rig_code(rig, rank);
        cr_assert(code == 0, "rank %d ended with %d at %lld: %s", rank, code,
                  (long long)rig->at[rank], rig->text[rank]);
    }
}

/* Waits until each member says at least `at`. */
static inline void rig_await(struct rig *rig, int64_t at)
{
    int64_t end = clock_ms() + rig->timeout_ms;
    for (int rank = 0; rank < rig->ranks; rank++)
        while (rig->at[rank] < at) {
            cr_assert(clock_ms() < end, "rank %d is at %lld: %s", rank, (long long)rig->at[rank],
                      rig->text[rank]);
            usleep(1000);
        }
}

#endif

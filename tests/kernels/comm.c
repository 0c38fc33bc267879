/* The sum over ranks: right, in rank order, the same bits everywhere, and a clean failure when a
 * rank dies or does not come. Ranks are forked processes. */
#include "kernels/comm.h"

#include "engine/base/clock.h"
#include "tests/kernels/sample.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    COUNT = 10007,
    ROUNDS = 20,
    REGION = 2 * COMM_SHARE_MAX + 2 * 12345, /* several buckets, the last not full */
};

/* What rank contributes to element i in this round. */
static float share(int rank, int round, int i)
{
    struct rng rng = rng_open((uint64_t)rank, (uint64_t)round, 0, "share", 0);
    return rng_uniform(&rng) * (float)(1 + (i * 7919) % 1000);
}

static void path_make(char *path, size_t bytes)
{
    snprintf(path, bytes, "/tmp/foldmill-comm-%d", (int)getpid());
}

/* A rank's life; its exit code is 0 when everything was right. */
static int rank_run(const char *path, int rank, int ranks, int rounds)
{
    struct backend *b = cpu_backend_open(1);
    struct meet *meet;
    struct error err;
    if (meet_open(path, 42, rank, ranks, REGION, 20000, &meet, &err) != STATUS_OK)
        return 10;
    struct comm *comm = comm_open(meet, 64, REGION - 64);
    float *data = b->alloc(b, COUNT * sizeof *data);
    for (int round = 0; round < rounds; round++) {
        float parts[COMM_RANKS_MAX];
        for (int r = 0; r < ranks; r++)
            parts[r] = share(r, round, 0);
        for (int i = 0; i < COUNT; i++)
            data[i] = parts[rank] * (float)(1 + (i * 7919) % 1000);
        double extra[2] = {rank + 1.0, round};
        if (comm_sum(comm, b, data, COUNT, extra, 2, &err) != STATUS_OK)
            return err.status == STATUS_BUSY ? 11 : 12;
        for (int i = 0; i < COUNT; i++) { /* the very bits of a sum in rank order */
            float wanted = parts[0] * (float)(1 + (i * 7919) % 1000);
            for (int r = 1; r < ranks; r++)
                wanted += parts[r] * (float)(1 + (i * 7919) % 1000);
            if (memcmp(&wanted, &data[i], sizeof wanted) != 0)
                return 13;
        }
        if ((int)extra[0] != ranks * (ranks + 1) / 2)
            return 14;
        if ((int)extra[1] != ranks * round)
            return 15;
    }
    comm_close(comm);
    meet_close(meet);
    b->release(b, data);
    b->close(b);
    return 0;
}

static pid_t rank_start(const char *path, int rank, int ranks, int rounds)
{
    pid_t pid = fork();
    if (pid == 0)
        _exit(rank_run(path, rank, ranks, rounds));
    return pid;
}

static int code_of(pid_t pid)
{
    int state = 0;
    cr_assert(waitpid(pid, &state, 0) == pid, "waitpid");
    return WIFEXITED(state) ? WEXITSTATUS(state) : 128 + WTERMSIG(state);
}

Test(comm, sums_in_rank_order, .timeout = 60)
{
    char path[64];
    pid_t pid[4];
    path_make(path, sizeof path);
    int leftover = open(path, O_CREAT | O_RDWR, 0600); /* of another run: must not matter */
    cr_assert(leftover >= 0 && write(leftover, "old", 3) == 3, "leftover");
    close(leftover);
    for (int rank = 3; rank >= 0; rank--)
        pid[rank] = rank_start(path, rank, 4, ROUNDS);
    for (int rank = 0; rank < 4; rank++) {
        int code = code_of(pid[rank]);
        cr_assert(code == 0, "rank %d ended with %d", rank, code);
    }
    cr_assert(access(path, F_OK) != 0, "the file's name is gone");
}

Test(comm, one_rank_needs_nothing)
{
    struct backend *b = cpu_backend_open(1);
    struct comm *comm = comm_open(NULL, 0, 0);
    struct meet *meet;
    struct error err;
    float data[3] = {1, 2, 3};
    double extra = 5, all = 0;
    cr_assert(meet_open("/nowhere/at/all", 1, 0, 1, 12, 1000, &meet, &err) == STATUS_OK, "open");
    cr_assert(meet_wait(meet, NULL, NULL, &err) == STATUS_OK, "nobody to wait for");
    meet_close(meet);
    cr_assert(comm_share(comm, &extra, sizeof extra, &all, &err) == STATUS_OK && all == 5, "share");
    cr_assert(comm_sum(comm, b, data, 3, &extra, 1, &err) == STATUS_OK, "sum");
    cr_assert(data[2] == 3.0f && extra == 5.0, "nothing changed");
    cr_assert(comm_rank(comm) == 0 && comm_ranks(comm) == 1, "numbers");
    comm_close(comm);
    b->close(b);
}

Test(comm, a_killed_rank_is_named_at_once, .timeout = 60)
{
    char path[64];
    path_make(path, sizeof path);
    pid_t doomed = fork();
    if (doomed == 0) { /* rank 1 joins and then does nothing */
        struct meet *meet;
        struct error err;
        if (meet_open(path, 42, 1, 3, REGION, 20000, &meet, &err) != STATUS_OK)
            _exit(1);
        for (;;)
            pause();
    }
    pid_t other = rank_start(path, 2, 3, 1);
    struct backend *b = cpu_backend_open(1);
    struct meet *meet;
    struct error err = {0};
    cr_assert(meet_open(path, 42, 0, 3, REGION, 20000, &meet, &err) == STATUS_OK, "%s", err.text);
    struct comm *comm = comm_open(meet, 64, REGION - 64);
    cr_assert(kill(doomed, SIGKILL) == 0, "kill");
    float *data = b->alloc(b, COUNT * sizeof *data);
    int64_t begin = clock_ms();
    enum status status = comm_sum(comm, b, data, COUNT, NULL, 0, &err); /* it is a zombie still */
    cr_assert(status == STATUS_BUSY, "status %s", status_name(status));
    cr_assert(clock_ms() - begin < 1000, "told at once");
    cr_assert(strstr(err.text, "rank 1") != NULL, "%s", err.text);
    cr_assert(code_of(other) == 11, "the third rank fails too");
    cr_assert(code_of(doomed) == 128 + SIGKILL, "killed");
    cr_assert(comm_sum(comm, b, data, COUNT, NULL, 0, &err) == STATUS_BUSY, "of no use afterwards");
    comm_close(comm);
    meet_close(meet);
    b->release(b, data);
    b->close(b);
}

Test(comm, says_who_did_not_come)
{
    char path[64];
    struct meet *meet;
    struct error err;
    path_make(path, sizeof path);
    cr_assert(meet_open(path, 1, 0, 2, 64, 200, &meet, &err) == STATUS_BUSY, "nobody came");
    cr_assert(strstr(err.text, "rank 1") && strstr(err.text, "did not come"), "%s", err.text);
    cr_assert(meet_open(path, 1, 1, 2, 64, 200, &meet, &err) == STATUS_BUSY, "no rank 0");
    cr_assert(strstr(err.text, "rank 0 did not make it") != NULL, "%s", err.text);
    cr_assert(meet_open(path, 1, 2, 2, 64, 200, &meet, &err) == STATUS_INVALID, "rank 2 of 2");
    cr_assert(meet_open("/nowhere/at/all", 1, 0, 2, 64, 200, &meet, &err) == STATUS_IO, "path");
}

static bool is_over(void *user)
{
    return *(bool *)user;
}

/* A rank that keeps the others waiting: as long as they like, or as the limit says. */
Test(comm, a_late_rank_is_named, .timeout = 60)
{
    char path[64];
    path_make(path, sizeof path);
    pid_t child = fork();
    struct meet *meet;
    struct error err = {0};
    if (meet_open(path, 42, child == 0, 2, 64, 20000, &meet, &err) != STATUS_OK)
        _exit(9);
    if (child == 0) {
        for (;;)
            pause();
    }
    bool yes = true;
    cr_assert(meet_wait(meet, is_over, &yes, &err) == STATUS_EMPTY, "it need not wait");
    meet_limit(meet, 100);
    cr_assert(meet_wait(meet, NULL, NULL, &err) == STATUS_BUSY, "late");
    cr_assert(strstr(err.text, "rank 1") && strstr(err.text, "did not come in time"), "%s",
              err.text);
    cr_assert(meet_is_finder(meet), "it found out");
    cr_assert(kill(child, SIGKILL) == 0 && code_of(child) == 128 + SIGKILL, "killed");
    meet_close(meet);
}

/* Gradient of the samples [first, end) of a small network, then an update; weights after it. */
static void learn(struct comm *comm, struct backend *b, uint64_t first, uint64_t end,
                  float *weights, size_t room)
{
    struct net_config c = net_config_default();
    c.length = 8, c.clusters = 4, c.blocks = 1, c.c_m = c.c_z = 12;
    struct net *net;
    struct error err = {0};
    struct adam_config adam = adam_config_default();
    struct arena arena;
    arena_open(&arena, 0);
    cr_assert(net_open(&c, b, &net, &err) == STATUS_OK, "%s", err.text);
    size_t count = (size_t)net_params(net)->size;
    cr_assert(count <= room, "%zu weights", count);
    weights_shake(&arena, net, 0.05f);
    net_gradient_clear(net);
    double samples = 0;
    for (uint64_t s = first; s < end; s++, samples++) {
        struct net_input in = sample_make(&arena, &c, s, 1);
        struct net_loss loss;
        cr_assert(net_forward(net, &in, &loss, &err) == STATUS_OK, "%s", err.text);
        net_backward(net);
    }
    if (comm)
        cr_assert(comm_sum(comm, b, net_buffers(net).gradients, (int64_t)count, &samples, 1, &err)
                  == STATUS_OK, "%s", err.text);
    adam.eps = 1e-3; /* so that the smallest gradients do not decide about signs */
    struct adam_result result = net_update(net, &adam, samples, 1);
    cr_assert(!result.skipped && samples > 3.5, "%g samples", samples);
    net_read(net, NET_WEIGHTS, weights);
    net_close(net);
    arena_close(&arena);
}

/* Two ranks with two samples each learn what one with four does; both end with the same bits. */
Test(comm, two_ranks_learn_as_one, .timeout = 60)
{
    enum { ROOM = 100000 };
    static float one[ROOM], own[ROOM], other[ROOM];
    char path[64];
    int pipes[2];
    path_make(path, sizeof path);
    cr_assert(pipe(pipes) == 0, "pipe");
    pid_t child = fork();
    int rank = child == 0;
    struct backend *b = cpu_backend_open_double(1);
    struct meet *meet;
    struct error err = {0};
    cr_assert(meet_open(path, 7, rank, 2, COMM_REGION_BYTES, 20000, &meet, &err) == STATUS_OK, "%s",
              err.text);
    struct comm *comm = comm_open(meet, 0, COMM_REGION_BYTES);
    learn(comm, b, rank ? 2 : 0, rank ? 4 : 2, own, ROOM);
    if (rank == 1) {
        for (size_t sent = 0; sent < sizeof own;) {
            ssize_t n = write(pipes[1], (const char *)own + sent, sizeof own - sent);
            if (n <= 0)
                _exit(1);
            sent += (size_t)n;
        }
        _exit(0);
    }
    for (size_t got = 0; got < sizeof other;) {
        ssize_t n = read(pipes[0], (char *)other + got, sizeof other - got);
        cr_assert(n > 0, "the other rank's weights");
        got += (size_t)n;
    }
    cr_assert(code_of(child) == 0, "rank 1");
    cr_assert(memcmp(own, other, sizeof own) == 0, "both ranks have the same bits");
    learn(NULL, b, 0, 4, one, ROOM);
    for (int i = 0; i < ROOM; i++)
        cr_assert(fabs((double)own[i] - (double)one[i]) < 1e-7,
                  "weight %d: %.9g by two, %.9g by one", i, (double)own[i], (double)one[i]);
    comm_close(comm);
    meet_close(meet);
    b->close(b);
}

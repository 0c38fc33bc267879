/* Sums over ranks on several hosts: the very bits of one host, at a cost in bytes that is known;
 * with keys, and not without the right ones. */
#include "kernels/comm.h"
#include "tests/engine/meet_rig.h"

#include "engine/base/digest.h"
#include "engine/base/rng.h"
#include "kernels/backend.h"

#include <math.h>
#include <xxhash.h>

enum { COUNT = 100003, ROUNDS = 8, FROM = 128, REGION = FROM + 2 * COMM_SHARE_MAX + 2 * 65536 };

static bool in_double;

/* Of very different sizes, so that another order of summation shows. */
static double element(int rank, int round, int i)
{
    uint64_t word =
        ((uint64_t)rank << 40 | (uint64_t)round << 32 | (uint64_t)i) * 0x9e3779b97f4a7c15U;
    return ldexp((double)(word >> 40) - 8388608.0, (int)(word & 31) - 24);
}

static void fill(void *data, int rank, int round)
{
    for (int i = 0; i < COUNT; i++)
        if (in_double)
            ((double *)data)[i] = element(rank, round, i);
        else
            ((float *)data)[i] = (float)element(rank, round, i);
}

static bool is_rank_order(const void *data, int ranks, int round)
{
    for (int i = 0; i < COUNT; i++) {
        double sum = element(0, round, i);
        float single = (float)sum;
        for (int r = 1; r < ranks; r++) {
            sum += element(r, round, i);
            single += (float)element(r, round, i);
        }
        if (in_double ? memcmp(&sum, (const double *)data + i, sizeof sum) != 0
                      : memcmp(&single, (const float *)data + i, sizeof single) != 0)
            return false;
    }
    return true;
}

/* rig->at becomes a digest of all sums. */
static int sum_life(struct rig *rig, int rank)
{
    struct backend *b = in_double ? cpu_backend_open_double(1) : cpu_backend_open(1);
    struct meet *meet;
    struct error err = {0};
    size_t bytes = COUNT * tensor_kind_bytes(b->real);
    void *data = b->alloc(b, bytes);
    XXH64_hash_t hash = 1;
    enum status status = rig_meet(rig, rank, &meet, &err);
    struct comm *comm = status == STATUS_OK ? comm_open(meet, FROM, REGION - FROM) : NULL;
    for (int round = 0; round < ROUNDS && status == STATUS_OK; round++) {
        double extra[2] = {rank + 1, ldexp(1, -round)};
        fill(data, rank, round);
        status = comm_sum(comm, b, data, COUNT, extra, 2, &err);
        if (status == STATUS_OK && !is_rank_order(data, rig->ranks, round))
            return 2;
        if ((int)extra[0] != rig->ranks * (rig->ranks + 1) / 2)
            return 3;
        hash = XXH3_64bits_withSeed(data, bytes, hash);
        rig->at[rank] = round;
    }
    if (status == STATUS_OK)
        rig->at[rank] = (int64_t)hash;
    memcpy(rig->text[rank], err.text, sizeof err.text);
    if (comm) {
        comm_close(comm);
        rig_leave(meet);
    }
    b->release(b, data);
    b->close(b);
    return status != STATUS_OK;
}

/* Where the ranks are, and the digest that all of them have. */
static int64_t sum_on(const char *hosts, const char *keys)
{
    struct rig *rig = rig_open(hosts, REGION);
    snprintf(rig->keys, sizeof rig->keys, "%s", keys);
    rig_start(rig, sum_life);
    rig_all_end_well(rig);
    int64_t digest = rig->at[0];
    for (int r = 1; r < rig->ranks; r++)
        cr_assert(rig->at[r] == digest, "rank %d has other sums on %s", r, hosts);
    rig_close(rig);
    return digest;
}

static void same_everywhere(void)
{
    int64_t one = sum_on("0000", "");
    static const char *const hosts[] = {"0001", "0011", "0101", "0111", "0012", "0120", "0123"};
    for (size_t i = 0; i < sizeof hosts / sizeof *hosts; i++)
        cr_assert(sum_on(hosts[i], "") == one, "other bits on %s", hosts[i]);
}

Test(comm_hosts, float_sums_are_the_same_on_one_to_four_hosts, .timeout = 120)
{
    same_everywhere();
}

Test(comm_hosts, double_sums_are_the_same_on_one_to_four_hosts, .timeout = 120)
{
    in_double = true;
    same_everywhere();
}

Test(comm_hosts, sums_travel_encrypted, .timeout = 120)
{
    char keys[64];
    struct error err;
    snprintf(keys, sizeof keys, "/tmp/foldmill-meet-keys-%d", (int)getpid());
    cr_assert(keys_make(keys, false, &err) == STATUS_OK, "%s", err.text);
    cr_assert(sum_on("0011", keys) == sum_on("0011", ""), "the same sums");
    char command[96];
    snprintf(command, sizeof command, "rm -r %s", keys);
    cr_assert(system(command) == 0, "keys are removed");
}

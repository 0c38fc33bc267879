/* Ranks of the trainer; see replicas.h. */
#include "stages/learn/replicas.h"

#include "engine/base/digest.h"
#include "engine/base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum status replicas_sizes(struct comm *comm, struct network_sizes *sizes, struct error *err)
{
    struct network_sizes all[COMM_RANKS_MAX];
    enum status status = comm_share(comm, sizes, sizeof *sizes, all, err);
    for (int r = comm_ranks(comm) - 1; r >= 0 && status == STATUS_OK; r--)
        if (all[r].samples > 0)
            *sizes = all[r];
    return status;
}

enum status replicas_sum(struct comm *comm, struct net *net, struct step_sums *sums,
                         struct error *err)
{
    struct adam_buffers buffers = net_buffers(net);
    double extra[sizeof *sums / sizeof(double)];
    memcpy(extra, sums, sizeof extra);
    enum status status = comm_sum(comm, buffers.backend, buffers.gradients, buffers.size, extra,
                                  sizeof extra / sizeof *extra, err);
    memcpy(sums, extra, sizeof extra);
    return status;
}

/* The digest of all weights, in pieces: a copy of all would be memory beside the plan. */
static uint64_t weights_hash(struct net *net)
{
    enum { PIECE = 1 << 18 }; /* floats */
    size_t count = (size_t)net_params(net)->size;
    float *values = malloc(PIECE * sizeof *values);
    struct digest digest;
    ASSERT(values);
    digest_begin(&digest);
    for (size_t from = 0; from < count; from += PIECE) {
        size_t piece = count - from < PIECE ? count - from : PIECE;
        net_read_part(net, NET_WEIGHTS, from, piece, values);
        digest_add(&digest, NULL, values, piece * sizeof *values);
    }
    free(values);
    return digest_end(&digest);
}

/* The hash that most ranks have; of two as frequent ones, that of the lower rank. */
static uint64_t most_frequent(const uint64_t *hash, int ranks)
{
    uint64_t best = hash[0];
    int best_count = 0;
    for (int r = 0; r < ranks; r++) {
        int count = 0;
        for (int k = 0; k < ranks; k++)
            count += hash[k] == hash[r];
        if (count > best_count) {
            best = hash[r];
            best_count = count;
        }
    }
    return best;
}

enum status replicas_check(struct comm *comm, struct net *net, uint64_t step, struct error *err)
{
    uint64_t all[COMM_RANKS_MAX];
    int ranks = comm_ranks(comm), differ = 0;
    char names[128] = "";
    size_t used = 0;
    if (ranks == 1)
        return STATUS_OK;
    uint64_t own = weights_hash(net);
    enum status status = comm_share(comm, &own, sizeof own, all, err);
    if (status != STATUS_OK)
        return status;
    uint64_t most = most_frequent(all, ranks);
    for (int r = 0; r < ranks; r++) {
        if (all[r] == most)
            continue;
        differ++;
        if (used < sizeof names - 16)
            used += (size_t)snprintf(names + used, sizeof names - used, "%s%d",
                                     differ > 1 ? ", " : "", r);
    }
    if (differ == 0)
        return STATUS_OK;
    comm_break(comm);
    const char *whose = 2 * differ == ranks ? " (or the others: it cannot be told which)" : "";
    return error_set(err, STATUS_BUSY,
                     "after step %llu the weights of rank %s%s are not those of the other ranks "
                     "(hash %016llx here, on rank %d of %d): memory or a processor of its host may "
                     "be failing; all go on from the newest checkpoint",
                     (unsigned long long)step, names, whose, (unsigned long long)own,
                     comm_rank(comm), ranks);
}

void replicas_note(const struct stage_context *context, uint64_t step, struct span key,
                   const char *what)
{
    char path[PATH_MAX], row[SAMPLE_KEY_MAX + 256];
    snprintf(path, sizeof path, "%s/%s.nonfinite.tsv", context->run_dir, context->name);
    int size = snprintf(row, sizeof row, "%llu\t%d\t%.*s\t%s\n", (unsigned long long)step,
                        context->rank, (int)key.size, key.data, what);
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (fd < 0 || write(fd, row, (size_t)size) != size)
        log_warn("%s: %s", path, strerror(errno));
    if (fd >= 0)
        close(fd);
}

struct span replicas_keys(const struct sample *batch)
{
    const struct field *keys = batch ? sample_find(batch, "keys") : NULL;
    if (!keys || keys->kind != KIND_U8 || keys->rank != 1)
        return (struct span){"", 0};
    return (struct span){keys->data, (size_t)keys->size[0]};
}

/* The trainer's ranks as replicas of one model: what each adds to a step becomes what all add, the
 * weights are compared, and samples that are no numbers are noted by key. */
#ifndef STAGES_LEARN_REPLICAS_H
#define STAGES_LEARN_REPLICAS_H

#include "kernels/comm.h"
#include "kernels/net/net.h"
#include "stages/learn/network.h"

/* Sums of a step over its samples, of a rank or of all; doubles alone, which ranks add. */
struct step_sums {
    struct net_loss loss; /* each times the sample's weight */
    double weight;
    double samples;   /* whose gradients are in the sum */
    double nonfinite; /* samples whose loss or gradient is not finite: they add nothing */
};

/* The sizes that the ranks' batches have: those of the first rank that has samples; sizes->samples
 * is 0 where none has. A rank without samples gives zeros. STATUS_BUSY: a rank has failed. */
enum status replicas_sizes(struct comm *comm, struct network_sizes *sizes, struct error *err);

/* Gradients and sums of all ranks, on every rank the same bits. STATUS_BUSY: a rank has failed. */
enum status replicas_sum(struct comm *comm, struct net *net, struct step_sums *sums,
                         struct error *err);

/* Compares a hash of the weights over the ranks. STATUS_BUSY: they differ (all ranks get it, with
 * the number of each rank that differs from most), or a rank has failed. */
enum status replicas_check(struct comm *comm, struct net *net, uint64_t step, struct error *err);

/* Adds a row to RUN/SINK.nonfinite.tsv (step, rank, key, what); rows of steps that are made again
 * come again. A failure is only logged. */
void replicas_note(const struct stage_context *context, uint64_t step, struct span key,
                   const char *what);

/* The keys of a batch as text, a line each, in the order of its samples; empty: it has none. */
struct span replicas_keys(const struct sample *batch);

#endif

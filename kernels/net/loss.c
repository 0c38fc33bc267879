/* Losses and their targets. Targets and weights are made on the host from what the sample says;
 * the cross entropies run on the backend. */
#include "kernels/net/modules.h"

void distogram_targets(int64_t length, const float *xyz, const float *mask, int32_t *bin,
                       float *weight)
{
    const double first = 2.3125, last = 21.6875;
    double sum = 0, edge[DISTOGRAM_BINS - 1]; /* squared, in float as the reference has them */
    for (int b = 0; b < DISTOGRAM_BINS - 1; b++) {
        float e = (float)(first + (last - first) * b / (DISTOGRAM_BINS - 2));
        edge[b] = (double)(e * e);
    }
    for (int64_t i = 0; i < length; i++)
        sum += (double)mask[i];
    double norm = 1 / (1e-6 + sum * sum);
    for (int64_t i = 0; i < length; i++)
        for (int64_t j = 0; j < length; j++) {
            double square = 0;
            for (int axis = 0; axis < 3; axis++) {
                double d = (double)xyz[3 * i + axis] - (double)xyz[3 * j + axis];
                square += d * d;
            }
            int32_t b = 0;
            while (b < DISTOGRAM_BINS - 1 && square > edge[b])
                b++;
            bin[i * length + j] = b;
            weight[i * length + j] = (float)((double)(mask[i] * mask[j]) * norm);
        }
}

void masked_msa_weights(int64_t count, const float *mask, float *weight)
{
    double sum = 0;
    for (int64_t i = 0; i < count; i++)
        sum += (double)mask[i];
    for (int64_t i = 0; i < count; i++)
        weight[i] = (float)((double)mask[i] / (1e-8 + sum));
}

struct tensor loss_run(struct tape *t, struct tensor logits, struct tensor target,
                       struct tensor weight)
{
    struct tensor rows = logits.rank == 2 ? logits : tensor_rows(logits);
    struct tensor loss = tape_tensor(t, 1, 1, 1, 1, 1);
    struct tensor lse = tape_constant(t, logits.kind, 1, rows.dim[0], 1, 1, 1);
    tape_xent(t, (struct op_xent){
                     .x = rows, .target = target, .weight = weight, .loss = loss, .lse = lse});
    return loss;
}

/* A sample's way from the host to the tensors of a pass. */
#include "kernels/net/inside.h"

#include <stdlib.h>

void net_upload(struct net *net, void *to, const float *values, size_t count)
{
    if (net->backend->real == TENSOR_F32) {
        net->backend->copy_in(net->backend, to, values, count * sizeof *values);
        return;
    }
    double *wide = net->host;
    ASSERT(count * sizeof *wide <= net->host_bytes);
    for (size_t i = 0; i < count; i++)
        wide[i] = (double)values[i];
    net->backend->copy_in(net->backend, to, wide, count * sizeof *wide);
}

void net_download(struct net *net, float *values, const void *from, size_t count)
{
    if (net->backend->real == TENSOR_F32) {
        net->backend->copy_out(net->backend, values, from, count * sizeof *values);
        return;
    }
    double *wide = net->host;
    ASSERT(count * sizeof *wide <= net->host_bytes);
    net->backend->copy_out(net->backend, wide, from, count * sizeof *wide);
    for (size_t i = 0; i < count; i++)
        values[i] = (float)wide[i];
}

/* Targets and their weights are made on the host and copied. */
static enum status upload_targets(struct net *net, const struct pass *p,
                                  const struct net_input *in, struct error *err)
{
    size_t length = (size_t)net->config.length, pairs = length * length;
    size_t cells = (size_t)net->config.clusters * length, most = pairs > cells ? pairs : cells;
    ASSERT(in->true_msa && in->bert_mask && in->pseudo_beta && in->pseudo_beta_mask);
    for (size_t i = 0; i < cells; i++)
        if (in->true_msa[i] < 0 || in->true_msa[i] >= MSA_CLASSES)
            return error_set(err, STATUS_INVALID,
                             "true_msa row %zu residue %zu is %d; wanted 0 to %d", i / length,
                             i % length, in->true_msa[i], MSA_CLASSES - 1);
    int32_t *bin = malloc(most * sizeof *bin);
    float *weight = malloc(most * sizeof *weight);
    ASSERT(bin && weight);
    distogram_targets((int64_t)length, in->pseudo_beta, in->pseudo_beta_mask, bin, weight);
    net->backend->copy_in(net->backend, p->distogram_bin.data, bin, pairs * sizeof *bin);
    net_upload(net, p->distogram_weight.data, weight, pairs);
    masked_msa_weights((int64_t)cells, in->bert_mask, weight);
    net->backend->copy_in(net->backend, p->msa_class.data, in->true_msa, cells * sizeof(int32_t));
    net_upload(net, p->msa_weight.data, weight, cells);
    free(bin);
    free(weight);
    return STATUS_OK;
}

enum status net_upload_input(struct net *net, const struct pass *p, const struct net_input *in,
                             struct error *err)
{
    size_t length = (size_t)net->config.length, cells = (size_t)net->config.clusters * length;
    ASSERT(in->target_feat && in->residue_index && in->seq_mask && in->msa_feat && in->msa_mask);
    net_upload(net, p->target.data, in->target_feat, length * TARGET_FEATURES);
    net->backend->copy_in(net->backend, p->index.data, in->residue_index,
                          length * sizeof *in->residue_index);
    net_upload(net, p->msa.data, in->msa_feat, cells * MSA_FEATURES);
    net_upload(net, net->masks.msa.data, in->msa_mask, cells);
    float *pair = malloc(length * length * sizeof *pair);
    ASSERT(pair);
    for (size_t i = 0; i < length; i++)
        for (size_t j = 0; j < length; j++)
            pair[i * length + j] = in->seq_mask[i] * in->seq_mask[j];
    net_upload(net, net->masks.pair.data, pair, length * length);
    free(pair);
    return p->losses ? upload_targets(net, p, in, err) : STATUS_OK;
}

/* A sample's way from the host to the tensors of a pass. */
#include "kernels/net/inside.h"
#include "kernels/net/targets.h"

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

void net_upload_integers(struct net *net, const struct tensor *to, const int32_t *values)
{
    net->backend->copy_in(net->backend, to->data, values,
                          (size_t)tensor_count(to) * sizeof *values);
}

/* value[count], rows of `length`, are all below `classes`. */
static enum status check_classes(const char *name, const int32_t *value, size_t count,
                                 size_t length, int32_t classes, struct error *err)
{
    for (size_t i = 0; i < count; i++)
        if (value[i] < 0 || value[i] >= classes)
            return error_set(err, STATUS_INVALID, "%s row %zu residue %zu is %d; wanted 0 to %d",
                             name, i / length, i % length, value[i], classes - 1);
    return STATUS_OK;
}

/* Targets and their weights are made on the host and copied. */
static enum status upload_targets(struct net *net, const struct pass *p,
                                  const struct net_input *in, struct error *err)
{
    size_t length = (size_t)net->config.length, pairs = length * length;
    size_t cells = (size_t)net->config.clusters * length, most = pairs > cells ? pairs : cells;
    ASSERT(in->true_msa && in->bert_mask && in->pseudo_beta && in->pseudo_beta_mask);
    enum status status =
        check_classes("true_msa", in->true_msa, cells, length, MSA_CLASSES, err);
    if (status != STATUS_OK)
        return status;
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

static enum status upload_templates(struct net *net, const struct trunk_pass *to,
                                    const struct net_templates *from, struct error *err)
{
    size_t length = (size_t)net->config.length, count = (size_t)net->config.templates;
    size_t rows = count * length, clusters = (size_t)net->config.clusters;
    float any = 0;
    ASSERT(from->type && from->beta && from->backbone && from->angle && from->mask);
    enum status status =
        check_classes("template_aatype", from->type, rows, length, TEMPLATE_TYPES, err);
    if (status != STATUS_OK)
        return status;
    float *features = malloc(rows * TEMPLATE_ANGLE_FEATURES * sizeof *features);
    float *third = malloc(rows * sizeof *third);
    ASSERT(features && third);
    for (size_t i = 0; i < count; i++) {
        const struct template_atoms *atoms = &to->atoms[i];
        net_upload_integers(net, &atoms->type, from->type + i * length);
        net_upload(net, atoms->beta.data, from->beta + 3 * i * length, 3 * length);
        net_upload(net, atoms->beta_mask.data, from->beta_mask + i * length, length);
        net_upload(net, atoms->backbone.data, from->backbone + 9 * i * length, 9 * length);
        net_upload(net, atoms->mask.data, from->backbone_mask + i * length, length);
        any = from->mask[i] > 0 ? 1 : any;
    }
    template_angle_features((int64_t)rows, from->type, from->angle, from->other_angle,
                            from->angle_mask, features);
    for (size_t i = 0; i < rows; i++)
        third[i] = from->angle_mask[7 * i + 2];
    net_upload(net, to->template_angles.data, features, rows * TEMPLATE_ANGLE_FEATURES);
    net_upload(net, to->template_mask.data, from->mask, count);
    net_upload(net, to->template_any.data, &any, 1);
    struct tensor mask = tensor_range(to->msa_mask, (int64_t)clusters, (int64_t)count);
    net_upload(net, mask.data, third, rows);
    free(features);
    free(third);
    return STATUS_OK;
}

static enum status upload_extra(struct net *net, const struct trunk_pass *to,
                                const struct net_pass *from, struct error *err)
{
    size_t length = (size_t)net->config.length, cells = (size_t)net->config.extra * length;
    ASSERT(from->extra_msa && from->extra_has_deletion && from->extra_deletion &&
           from->extra_mask);
    enum status status =
        check_classes("extra_msa", from->extra_msa, cells, length, MSA_CLASSES, err);
    if (status != STATUS_OK)
        return status;
    net_upload_integers(net, &to->extra_msa, from->extra_msa);
    net_upload(net, to->extra_has.data, from->extra_has_deletion, cells);
    net_upload(net, to->extra_deletion.data, from->extra_deletion, cells);
    net_upload(net, to->extra_mask.data, from->extra_mask, cells);
    return STATUS_OK;
}

static void upload_pair_mask(struct net *net, const struct trunk_pass *to, const float *mask)
{
    size_t length = (size_t)net->config.length;
    float *pair = malloc(length * length * sizeof *pair);
    ASSERT(pair);
    for (size_t i = 0; i < length; i++)
        for (size_t j = 0; j < length; j++)
            pair[i * length + j] = mask[i] * mask[j];
    net_upload(net, to->pair_mask.data, pair, length * length);
    free(pair);
}

enum status net_upload_input(struct net *net, struct pass *p, const struct net_input *in,
                             int number, struct error *err)
{
    const struct trunk_pass *to = &p->model.trunk;
    const struct net_pass *from = &in->pass[number];
    size_t length = (size_t)net->config.length, cells = (size_t)net->config.clusters * length;
    ASSERT(in->target_feat && in->residue_index && in->seq_mask);
    ASSERT(from->msa_feat && from->msa_mask);
    net_upload(net, to->target.data, in->target_feat, length * TARGET_FEATURES);
    net_upload_integers(net, &to->index, in->residue_index);
    net_upload(net, to->msa.data, from->msa_feat, cells * MSA_FEATURES);
    net_upload(net, to->msa_mask.data, from->msa_mask, cells);
    upload_pair_mask(net, to, in->seq_mask);
    enum status status = STATUS_OK;
    if (net->config.extra > 0)
        status = upload_extra(net, to, from, err);
    if (status == STATUS_OK && net->config.templates > 0)
        status = upload_templates(net, to, &in->templates, err);
    if (status == STATUS_OK && net->config.structure_iterations > 0)
        status = net_upload_fold(net, p, in, err);
    if (status == STATUS_OK && p->losses)
        status = upload_targets(net, p, in, err);
    if (status == STATUS_OK && p->losses && net->config.structure_iterations > 0)
        net_upload_truth(net, p, in);
    return status;
}

/* One pass through the network: its tensors, its ops, and its backward pass. */
#include "kernels/net/inside.h"

static struct template_atoms template_open(struct tape *t, enum tensor_kind real, int64_t length)
{
    return (struct template_atoms){.type = tape_constant(t, TENSOR_I32, 1, length, 1, 1, 1),
                                   .beta = tape_constant(t, real, 2, length, 3, 1, 1),
                                   .beta_mask = tape_constant(t, real, 1, length, 1, 1, 1),
                                   .backbone = tape_constant(t, real, 2, length, 9, 1, 1),
                                   .mask = tape_constant(t, real, 1, length, 1, 1, 1)};
}

struct pass pass_open(struct net *net, bool losses)
{
    struct tape *t = &net->tape;
    const struct net_config *c = &net->config;
    enum tensor_kind real = net->backend->real;
    int64_t length = c->length, rows = c->clusters, pairs = length * length;
    struct pass p = {.losses = losses};
    struct trunk_pass *in = &p.model.trunk;
    tape_zone(t, MODEL_FEATURES);
    in->target = tape_constant(t, real, 2, length, TARGET_FEATURES, 1, 1);
    in->index = tape_constant(t, TENSOR_I32, 1, length, 1, 1, 1);
    in->msa = tape_constant(t, real, 3, rows, length, MSA_FEATURES, 1);
    in->msa_mask = tape_constant(t, real, 2, rows + c->templates, length, 1, 1);
    in->pair_mask = tape_constant(t, real, 2, length, length, 1, 1);
    in->before = net->carried;
    if (c->extra > 0) {
        in->extra_msa = tape_constant(t, TENSOR_I32, 2, c->extra, length, 1, 1);
        in->extra_has = tape_constant(t, real, 2, c->extra, length, 1, 1);
        in->extra_deletion = tape_constant(t, real, 2, c->extra, length, 1, 1);
        in->extra_mask = tape_constant(t, real, 2, c->extra, length, 1, 1);
    }
    in->templates = (int)c->templates;
    for (int i = 0; i < in->templates; i++)
        in->atoms[i] = template_open(t, real, length);
    if (in->templates > 0) {
        in->template_angles =
            tape_constant(t, real, 3, c->templates, length, TEMPLATE_ANGLE_FEATURES, 1);
        in->template_mask = tape_constant(t, real, 1, c->templates, 1, 1, 1);
        in->template_any = tape_constant(t, real, 1, 1, 1, 1, 1);
    }
    if (c->structure_iterations > 0) {
        struct model_pass *m = &p.model;
        m->aatype = tape_constant(t, TENSOR_I32, 1, length, 1, 1, 1);
        m->beta_atom = tape_constant(t, TENSOR_I32, 1, length, 1, 1, 1);
        m->seq_mask = tape_constant(t, real, 1, length, 1, 1, 1);
        m->tables = (struct residue_tables){
            .base = tape_constant(t, real, 3, RESIDUE_TYPES, RESIDUE_GROUPS, 12, 1),
            .group = tape_constant(t, TENSOR_I32, 2, RESIDUE_TYPES, RESIDUE_SLOTS, 1, 1),
            .place = tape_constant(t, real, 3, RESIDUE_TYPES, RESIDUE_SLOTS, 3, 1),
            .exists = tape_constant(t, real, 2, RESIDUE_TYPES, RESIDUE_SLOTS, 1, 1)};
        if (losses)
            p.truth = fold_truth_open(t, length, c->aligned_error);
    }
    if (losses) {
        p.distogram_bin = tape_constant(t, TENSOR_I32, 1, pairs, 1, 1, 1);
        p.distogram_weight = tape_constant(t, real, 1, pairs, 1, 1, 1);
        p.msa_class = tape_constant(t, TENSOR_I32, 1, rows * length, 1, 1, 1);
        p.msa_weight = tape_constant(t, real, 1, rows * length, 1, 1, 1);
    }
    return p;
}

void pass_run(struct net *net, struct pass *p, const struct net_input *in)
{
    struct tape *t = &net->tape;
    model_run(t, &net->model, &p->model);
    model_heads_run(t, &net->model, &p->model);
    if (!p->losses)
        return;
    tape_part(t, "losses");
    p->distogram = loss_run(t, p->model.distogram, p->distogram_bin, p->distogram_weight);
    p->masked_msa = loss_run(t, p->model.masked_msa, p->msa_class, p->msa_weight);
    if (net->config.structure_iterations > 0) {
        if (in)
            net_upload_confidence(net, p, in);
        p->fold = fold_losses_run(t, &p->model, &p->truth);
    }
}

static void fold_seed(struct net *net, const struct pass *p, double weight)
{
    struct tape *t = &net->tape;
    const struct net_config *c = &net->config;
    double violation = weight * c->weight_violation, atoms = 1e-6 + p->atoms;
    tape_seed_value(t, p->fold.backbone, 0.5 * weight * c->weight_fape);
    tape_seed_value(t, p->fold.side_chain, 0.5 * weight * c->weight_fape);
    tape_seed_value(t, p->fold.chi, weight * c->weight_chi);
    tape_seed_value(t, p->fold.resolved, weight * c->weight_resolved);
    tape_seed_value(t, p->fold.plddt, weight * c->weight_plddt);
    if (c->aligned_error)
        tape_seed_value(t, p->fold.aligned, weight * c->weight_aligned_error);
    if (c->weight_violation == 0)
        return; /* it is only reported: every pair of atoms would be looked at again */
    tape_seed_value(t, p->fold.bond, violation);
    tape_seed_value(t, p->fold.between, violation / atoms);
    tape_seed_value(t, p->fold.within, violation / atoms);
}

void pass_back(struct net *net, const struct pass *p, double weight)
{
    struct tape *t = &net->tape;
    tape_part(t, "losses");
    tape_seed_value(t, p->model.m.now, 0); /* the heads read some of its rows */
    tape_seed_value(t, p->distogram, weight * net->config.weight_distogram);
    tape_seed_value(t, p->masked_msa, weight * net->config.weight_masked_msa);
    if (net->config.structure_iterations > 0)
        fold_seed(net, p, weight);
    tape_back(t);
}

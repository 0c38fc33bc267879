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
    if (losses) {
        p.distogram_bin = tape_constant(t, TENSOR_I32, 1, pairs, 1, 1, 1);
        p.distogram_weight = tape_constant(t, real, 1, pairs, 1, 1, 1);
        p.msa_class = tape_constant(t, TENSOR_I32, 1, rows * length, 1, 1, 1);
        p.msa_weight = tape_constant(t, real, 1, rows * length, 1, 1, 1);
    }
    return p;
}

void pass_run(struct net *net, struct pass *p)
{
    struct tape *t = &net->tape;
    model_run(t, &net->model, &p->model);
    model_heads_run(t, &net->model, &p->model);
    if (!p->losses)
        return;
    p->loss[0] = loss_run(t, p->model.distogram, p->distogram_bin, p->distogram_weight);
    p->loss[1] = loss_run(t, p->model.masked_msa, p->msa_class, p->msa_weight);
}

void pass_back(struct net *net, const struct pass *p, double weight)
{
    struct tape *t = &net->tape;
    tape_seed_value(t, p->model.m.now, 0); /* the heads read some of its rows */
    tape_seed_value(t, p->loss[0], weight * net->config.weight_distogram);
    tape_seed_value(t, p->loss[1], weight * net->config.weight_masked_msa);
    tape_back(t);
}

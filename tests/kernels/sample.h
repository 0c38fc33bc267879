/* A synthetic sample of any size, a pure function of its number: a chain of residues on a random
 * walk, an MSA around a random sequence, padding at the end. */
#ifndef FOLDMILL_TESTS_KERNELS_SAMPLE_H
#define FOLDMILL_TESTS_KERNELS_SAMPLE_H

#include "engine/base/arena.h"
#include "engine/base/rng.h"
#include "kernels/net/net.h"

/* Numbers in an arena: normal where below is 0, else integers below it. */
static inline float *sample_floats(struct arena *arena, struct rng *rng, int64_t count,
                                   uint32_t below)
{
    float *x = arena_zero(arena, (size_t)count + 1, sizeof *x);
    for (int64_t i = 0; i < count; i++)
        x[i] = below ? (float)rng_below(rng, below) : rng_normal(rng);
    return x;
}

static inline int32_t *sample_classes(struct arena *arena, struct rng *rng, int64_t count,
                                      uint32_t below)
{
    int32_t *x = arena_zero(arena, (size_t)count + 1, sizeof *x);
    for (int64_t i = 0; i < count; i++)
        x[i] = (int32_t)rng_below(rng, below);
    return x;
}

/* A structure of random places, the same by both names but for some. */
static inline void sample_fold(struct arena *arena, struct rng *rng, const struct net_config *c,
                               struct net_input *in)
{
    int64_t n = c->length;
    float *atoms = sample_floats(arena, rng, n * 42, 0), *ca = sample_floats(arena, rng, 3 * n, 0);
    float *groups = sample_floats(arena, rng, n * 128, 0);
    for (int64_t i = 0; i < n * 42; i++)
        atoms[i] *= 6;
    in->aatype = sample_classes(arena, rng, n, 21);
    in->truth = (struct net_truth){.backbone = sample_floats(arena, rng, n * 16, 0),
                                   .backbone_mask = in->seq_mask,
                                   .groups = groups,
                                   .other_groups = sample_floats(arena, rng, n * 128, 0),
                                   .groups_mask = sample_floats(arena, rng, n * 8, 2),
                                   .atoms = atoms,
                                   .other_atoms = sample_floats(arena, rng, n * 42, 0),
                                   .atoms_mask = sample_floats(arena, rng, n * 14, 2),
                                   .other_atoms_mask = sample_floats(arena, rng, n * 14, 2),
                                   .ambiguous = sample_floats(arena, rng, n * 14, 2),
                                   .exists = sample_floats(arena, rng, n * 14, 2),
                                   .ca = ca,
                                   .ca_mask = in->seq_mask,
                                   .resolved = sample_floats(arena, rng, n * 37, 2),
                                   .resolvable = sample_floats(arena, rng, n * 37, 2),
                                   .chi = sample_floats(arena, rng, n * 8, 0),
                                   .chi_mask = sample_floats(arena, rng, n * 4, 2),
                                   .resolution = 2,
                                   .clamped = 1};
}

/* Templates, extra rows, a structure and further passes, where the network takes them. */
static inline void sample_add(struct arena *arena, struct rng *rng, const struct net_config *c,
                              int passes, struct net_input *in)
{
    int64_t cells = c->extra * c->length, rows = c->templates * c->length;
    int64_t clusters = c->clusters * c->length;
    in->templates = (struct net_templates){.type = sample_classes(arena, rng, rows, 22),
                                           .beta = sample_floats(arena, rng, 3 * rows, 0),
                                           .beta_mask = sample_floats(arena, rng, rows, 2),
                                           .backbone = sample_floats(arena, rng, 9 * rows, 0),
                                           .backbone_mask = sample_floats(arena, rng, rows, 2),
                                           .angle = sample_floats(arena, rng, 14 * rows, 0),
                                           .other_angle = sample_floats(arena, rng, 14 * rows, 0),
                                           .angle_mask = sample_floats(arena, rng, 7 * rows, 2),
                                           .mask = sample_floats(arena, rng, c->templates, 2)};
    for (int i = 0; i < passes; i++) {
        struct net_pass *p = &in->pass[i];
        if (i > 0) {
            p->msa_mask = in->pass[0].msa_mask;
            p->msa_feat = sample_floats(arena, rng, clusters * 49, 2);
        }
        p->extra_msa = sample_classes(arena, rng, cells, 23);
        p->extra_has_deletion = sample_floats(arena, rng, cells, 2);
        p->extra_deletion = sample_floats(arena, rng, cells, 0);
        p->extra_mask = sample_floats(arena, rng, cells, 2);
    }
    in->passes = passes;
    if (c->structure_iterations > 0)
        sample_fold(arena, rng, c, in);
}

/* padding: residues at the end that are masked. Arrays come from arena. */
static inline struct net_input sample_make(struct arena *arena, const struct net_config *c,
                                           uint64_t number, int64_t padding)
{
    struct rng rng = rng_open(number, 0, 0, "sample", 0);
    size_t length = (size_t)c->length, cells = (size_t)c->clusters * length;
    size_t used = length - (size_t)padding;
    float *target = arena_zero(arena, length * 22, sizeof *target);
    int32_t *index = arena_zero(arena, length, sizeof *index);
    float *seq_mask = arena_zero(arena, length, sizeof *seq_mask);
    float *msa = arena_zero(arena, cells * 49, sizeof *msa);
    float *msa_mask = arena_zero(arena, cells, sizeof *msa_mask);
    int32_t *classes = arena_zero(arena, cells, sizeof *classes);
    float *bert = arena_zero(arena, cells, sizeof *bert);
    float *xyz = arena_zero(arena, length * 3, sizeof *xyz);
    float *beta_mask = arena_zero(arena, length, sizeof *beta_mask);
    for (size_t i = 0; i < used; i++) {
        target[i * 22 + 1 + rng_below(&rng, 20)] = 1;
        index[i] = (int32_t)i + (i > used / 2 ? 40 : 0);
        seq_mask[i] = 1;
        beta_mask[i] = rng_below(&rng, 10) ? 1 : 0;
        for (size_t axis = 0; axis < 3; axis++)
            xyz[3 * i + axis] = (i ? xyz[3 * (i - 1) + axis] : 0) + 2.2f * rng_normal(&rng);
    }
    for (size_t i = 0; i < cells; i++) {
        if (i % length >= used)
            continue;
        classes[i] = (int32_t)rng_below(&rng, 22);
        bert[i] = rng_below(&rng, 100) < 15 ? 1 : 0;
        msa_mask[i] = 1;
        int32_t shown = bert[i] > 0 ? 22 : classes[i];
        msa[i * 49 + (size_t)shown] = 1;
        for (size_t f = 23; f < 49; f++)
            msa[i * 49 + f] = rng_uniform(&rng);
    }
    return (struct net_input){.target_feat = target,
                              .residue_index = index,
                              .seq_mask = seq_mask,
                              .passes = 1,
                              .pass = {{.msa_feat = msa, .msa_mask = msa_mask}},
                              .true_msa = classes,
                              .bert_mask = bert,
                              .pseudo_beta = xyz,
                              .pseudo_beta_mask = beta_mask,
                              .position = number,
                              .weight = 1};
}

/* Every number of a weight buffer a little off its start, so that nothing is zero. */
static inline void weights_shake(struct arena *arena, struct net *net, float size)
{
    size_t count = (size_t)net_params(net)->size;
    struct rng rng = rng_open(7, 0, 0, "shake", 0);
    float *w = arena_zero(arena, count, sizeof *w);
    net_read(net, NET_WEIGHTS, w);
    for (size_t i = 0; i < count; i++)
        w[i] += size * rng_normal(&rng);
    net_write(net, NET_WEIGHTS, w);
}

#endif

/* Makes up a sample from a fixed seed; see made.h. */
#include "kernels/net/made.h"

#include "engine/base/rng.h"

enum { MSA_CHANNELS = 49, TARGET_CHANNELS = 22, FRAME = 16, SLOTS = 14, ATOMS = 37 };

struct maker {
    struct arena *arena;
    struct rng rng;
};

/* Normal numbers times size; 0: all are one. */
static float *floats(struct maker *m, int64_t count, float size)
{
    float *x = arena_zero(m->arena, (size_t)count + 1, sizeof *x);
    for (int64_t i = 0; i < count; i++)
        x[i] = size > 0 ? size * rng_normal(&m->rng) : 1;
    return x;
}

static int32_t *classes(struct maker *m, int64_t count, uint32_t below)
{
    int32_t *x = arena_zero(m->arena, (size_t)count + 1, sizeof *x);
    for (int64_t i = 0; i < count; i++)
        x[i] = (int32_t)rng_below(&m->rng, below);
    return x;
}

/* Frames of no turn, at random places. */
static float *frames(struct maker *m, int64_t count)
{
    float *x = arena_zero(m->arena, (size_t)(count * FRAME), sizeof *x);
    for (int64_t i = 0; i < count; i++)
        for (int axis = 0; axis < 4; axis++) {
            x[i * FRAME + axis * 5] = 1;
            x[i * FRAME + axis * 4 + 3] = axis < 3 ? 15 * rng_normal(&m->rng) : 1;
        }
    return x;
}

static struct net_truth truth_make(struct maker *m, int64_t n)
{
    float *ones = floats(m, n * ATOMS, 0);
    float *none = arena_zero(m->arena, (size_t)(n * SLOTS), sizeof *none);
    float *group = frames(m, n * 8), *atoms = floats(m, n * SLOTS * 3, 15);
    return (struct net_truth){.backbone = frames(m, n),
                              .backbone_mask = ones,
                              .groups = group,
                              .other_groups = group,
                              .groups_mask = ones,
                              .atoms = atoms,
                              .other_atoms = atoms,
                              .atoms_mask = ones,
                              .other_atoms_mask = ones,
                              .ambiguous = none,
                              .exists = ones,
                              .ca = floats(m, n * 3, 15),
                              .ca_mask = ones,
                              .resolved = ones,
                              .resolvable = ones,
                              .chi = floats(m, n * 8, 1),
                              .chi_mask = ones,
                              .resolution = 2,
                              .clamped = 1};
}

static struct net_templates templates_make(struct maker *m, int64_t count, int64_t length)
{
    int64_t rows = count * length;
    float *ones = floats(m, rows * 7, 0), *angle = floats(m, rows * 14, 1);
    return (struct net_templates){.type = classes(m, rows, 22),
                                  .beta = floats(m, rows * 3, 15),
                                  .beta_mask = ones,
                                  .backbone = floats(m, rows * 9, 15),
                                  .backbone_mask = ones,
                                  .angle = angle,
                                  .other_angle = angle,
                                  .angle_mask = ones,
                                  .mask = ones};
}

static struct net_pass pass_make(struct maker *m, const struct net_config *c, const float *ones)
{
    int64_t cells = c->extra * c->length;
    struct net_pass pass = {.msa_feat = floats(m, c->clusters * c->length * MSA_CHANNELS, 1),
                            .msa_mask = ones};
    if (c->extra > 0) {
        pass.extra_msa = classes(m, cells, NET_MSA_CLASSES);
        pass.extra_has_deletion = pass.extra_mask = floats(m, cells, 0);
        pass.extra_deletion = floats(m, cells, 1);
    }
    return pass;
}

struct net_input net_input_made(const struct net_config *c, int passes, struct arena *arena)
{
    struct maker m = {arena, rng_open(c->seed, 0, 0, "made", 0)};
    int64_t n = c->length, cells = c->clusters * n;
    float *ones = floats(&m, cells, 0);
    int32_t *index = classes(&m, n, 1);
    for (int64_t i = 0; i < n; i++)
        index[i] = (int32_t)i;
    ASSERT(passes >= 1 && passes <= NET_PASSES_MAX);
    struct net_input in = {.target_feat = floats(&m, n * TARGET_CHANNELS, 1),
                           .residue_index = index,
                           .seq_mask = ones,
                           .aatype = classes(&m, n, 20),
                           .passes = passes,
                           .true_msa = classes(&m, cells, NET_MSA_CLASSES),
                           .bert_mask = ones,
                           .pseudo_beta = floats(&m, n * 3, 15),
                           .pseudo_beta_mask = ones,
                           .weight = 1};
    for (int i = 0; i < passes; i++)
        in.pass[i] = pass_make(&m, c, ones);
    if (c->templates > 0)
        in.templates = templates_make(&m, c->templates, n);
    if (c->structure_iterations > 0)
        in.truth = truth_make(&m, n);
    return in;
}

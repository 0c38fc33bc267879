/* What the network must not see, in double: the order of the extra rows, of the cluster rows behind
 * the first, and of the templates; and padding, filled with numbers that mean nothing, of residues,
 * rows and templates. All losses and predictions stay. */
#include "tests/kernels/sample.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

enum { PASSES = 2 };

static struct net_config whole(void)
{
    struct net_config c = net_config_default();
    c.length = 9, c.clusters = 5, c.c_m = 12, c.c_z = 10, c.blocks = 2;
    c.heads = 2, c.head_dims = 4, c.outer_hidden = 3, c.triangle_hidden = 6;
    c.column_attention = true, c.pair_heads = 2, c.pair_head_dims = 3, c.recycling = true;
    c.extra = 6, c.extra_blocks = 1, c.extra_c_m = 6, c.extra_heads = 2, c.extra_head_dims = 3;
    c.templates = 3, c.template_blocks = 1, c.template_c = 5;
    c.template_heads = 2, c.template_head_dims = 3;
    c.structure_iterations = 3, c.c_s = 8, c.structure_heads = 2, c.structure_head_dims = 3;
    c.query_points = 2, c.value_points = 3, c.angle_channels = 6, c.plddt_hidden = 5;
    c.aligned_error = true;
    c.weight_resolved = c.weight_violation = c.weight_aligned_error = 0.1;
    return c;
}

static struct net_input sample_of(struct arena *arena, const struct net_config *c)
{
    struct rng rng = rng_open(3, 1, 0, "sample", 0);
    struct net_input in = sample_make(arena, c, 3, 0);
    sample_add(arena, &rng, c, PASSES, &in);
    return in;
}

/* What comes out of a network of these sizes; all of them have the same weights. */
struct outcome {
    struct net_loss loss;
    float *logits, *atoms, *plddt;
};

static struct outcome predict(struct arena *arena, const struct net_config *c,
                              const struct net_input *in)
{
    struct backend *b = cpu_backend_open_double(2);
    struct net *net;
    struct error err = {0};
    size_t length = (size_t)c->length;
    struct outcome out = {.logits = arena_zero(arena, length * length * 64, sizeof(float)),
                          .atoms = arena_zero(arena, length * 42, sizeof(float)),
                          .plddt = arena_zero(arena, length, sizeof(float))};
    struct net_prediction wanted = {out.logits, out.atoms, out.plddt};
    cr_assert(net_open(c, b, &net, &err) == STATUS_OK, "%s", err.text);
    weights_shake(arena, net, 0.1f);
    cr_assert(net_predict(net, in, false, &wanted, &out.loss, &err) == STATUS_OK, "%s", err.text);
    net_close(net);
    b->close(b);
    return out;
}

/* Predictions come as floats: two of them may differ by a rounding. */
static void near(const float *x, const float *y, int64_t count, const char *what)
{
    for (int64_t i = 0; i < count; i++)
        cr_assert(fabs((double)x[i] - (double)y[i]) <= 2e-7 * (1 + fabs((double)y[i])),
                  "%s %d: %.9g, wanted %.9g", what, (int)i, (double)x[i], (double)y[i]);
}

static void same_losses(const struct net_loss *got, const struct net_loss *wanted)
{
#define SAME(name)                                                                                 \
    cr_assert(fabs(got->name - wanted->name) <= 1e-10 * (1 + fabs(wanted->name)),                  \
              #name " %.15g, wanted %.15g", got->name, wanted->name);
    NET_LOSSES(SAME)
#undef SAME
}

/* rows[n] of `width` bytes in another order. */
static const void *shuffled(struct arena *arena, const void *rows, int64_t count, size_t width,
                            const int *order)
{
    char *to = arena_zero(arena, (size_t)count, width);
    for (int64_t i = 0; i < count; i++)
        memcpy(to + (size_t)i * width, (const char *)rows + (size_t)order[i] * width, width);
    return to;
}

Test(symmetry, the_order_of_rows_and_templates_is_not_seen)
{
    const int clusters[] = {0, 3, 1, 4, 2}, extra[] = {4, 2, 0, 5, 1, 3}, templates[] = {2, 0, 1};
    struct net_config c = whole();
    struct arena arena;
    arena_open(&arena, 0);
    struct net_input in = sample_of(&arena, &c), turned = in;
    size_t length = (size_t)c.length, word = sizeof(float);
#define TURN(member, order, count, width)                                                          \
    turned.member = shuffled(&arena, in.member, count, (size_t)(width) * length * word, order)
    for (int i = 0; i < PASSES; i++) {
        TURN(pass[i].msa_feat, clusters, c.clusters, 49);
        TURN(pass[i].msa_mask, clusters, c.clusters, 1);
        TURN(pass[i].extra_msa, extra, c.extra, 1);
        TURN(pass[i].extra_has_deletion, extra, c.extra, 1);
        TURN(pass[i].extra_deletion, extra, c.extra, 1);
        TURN(pass[i].extra_mask, extra, c.extra, 1);
    }
    TURN(true_msa, clusters, c.clusters, 1);
    TURN(bert_mask, clusters, c.clusters, 1);
    TURN(templates.type, templates, c.templates, 1);
    TURN(templates.beta, templates, c.templates, 3);
    TURN(templates.beta_mask, templates, c.templates, 1);
    TURN(templates.backbone, templates, c.templates, 9);
    TURN(templates.backbone_mask, templates, c.templates, 1);
    TURN(templates.angle, templates, c.templates, 14);
    TURN(templates.other_angle, templates, c.templates, 14);
    TURN(templates.angle_mask, templates, c.templates, 7);
    turned.templates.mask = shuffled(&arena, in.templates.mask, c.templates, word, templates);
    struct outcome wanted = predict(&arena, &c, &in), got = predict(&arena, &c, &turned);
    same_losses(&got.loss, &wanted.loss);
    near(got.logits, wanted.logits, c.length * c.length * 64, "logit");
    near(got.atoms, wanted.atoms, c.length * 42, "place");
    near(got.plddt, wanted.plddt, c.length, "pLDDT");
    const int other[] = {1, 0, 2, 3, 4}; /* the first row is the chain itself: that is seen */
    turned = in;
    TURN(pass[PASSES - 1].msa_feat, other, c.clusters, 49);
    struct outcome seen = predict(&arena, &c, &turned);
    cr_assert(fabs(seen.loss.total - wanted.loss.total) > 1e-6, "another first row is seen");
    arena_close(&arena);
}

static struct rng noise;

/* from[a,b,width] inside [A,B,width]; around it noise, or zeros where it is a mask. */
static float *padded(struct arena *arena, const float *from, const int64_t *small,
                     const int64_t *large, int64_t width, bool mask)
{
    float *to = arena_zero(arena, (size_t)(large[0] * large[1] * width), sizeof *to);
    for (int64_t i = 0; i < large[0] * large[1] * width && !mask; i++)
        to[i] = 3 * rng_normal(&noise);
    for (int64_t i = 0; i < small[0]; i++)
        for (int64_t j = 0; j < small[1]; j++)
            memcpy(to + (i * large[1] + j) * width, from + (i * small[1] + j) * width,
                   (size_t)width * sizeof *to);
    return to;
}

static int32_t *padded_classes(struct arena *arena, const int32_t *from, const int64_t *small,
                               const int64_t *large)
{
    int32_t *to = arena_zero(arena, (size_t)(large[0] * large[1]), sizeof *to);
    for (int64_t i = 0; i < large[0] * large[1]; i++)
        to[i] = (int32_t)rng_below(&noise, 20);
    for (int64_t i = 0; i < small[0]; i++)
        memcpy(to + i * large[1], from + i * small[1], (size_t)small[1] * sizeof *to);
    return to;
}

static struct net_truth truth_padded(struct arena *arena, const struct net_truth *from,
                                     const int64_t *small, const int64_t *large)
{
    struct net_truth to = *from;
#define PAD(member, width, mask) to.member = padded(arena, from->member, small, large, width, mask)
    PAD(backbone, 16, false), PAD(backbone_mask, 1, true);
    PAD(groups, 128, false), PAD(other_groups, 128, false), PAD(groups_mask, 8, true);
    PAD(atoms, 42, false), PAD(other_atoms, 42, false);
    PAD(atoms_mask, 14, true), PAD(other_atoms_mask, 14, true), PAD(ambiguous, 14, true);
    PAD(exists, 14, true), PAD(ca, 3, false), PAD(ca_mask, 1, true);
    PAD(resolved, 37, true), PAD(resolvable, 37, true);
    PAD(chi, 8, false), PAD(chi_mask, 4, true);
#undef PAD
    return to;
}

/* The sample of sizes c in those of d, which are larger. */
static struct net_input sample_padded(struct arena *arena, const struct net_config *c,
                                      const struct net_config *d, const struct net_input *from)
{
    struct net_input to = *from;
    const int64_t chain[2][2] = {{1, c->length}, {1, d->length}};
    const int64_t msa[2][2] = {{c->clusters, c->length}, {d->clusters, d->length}};
    const int64_t extra[2][2] = {{c->extra, c->length}, {d->extra, d->length}};
    const int64_t templates[2][2] = {{c->templates, c->length}, {d->templates, d->length}};
    const int64_t count[2][2] = {{1, c->templates}, {1, d->templates}};
#define PAD(member, where, width, mask)                                                            \
    to.member = padded(arena, from->member, where[0], where[1], width, mask)
#define PAD_CLASSES(member, where)                                                                 \
    to.member = padded_classes(arena, from->member, where[0], where[1])
    PAD(target_feat, chain, 22, false), PAD(seq_mask, chain, 1, true);
    PAD_CLASSES(residue_index, chain), PAD_CLASSES(aatype, chain);
    PAD(pseudo_beta, chain, 3, false), PAD(pseudo_beta_mask, chain, 1, true);
    PAD_CLASSES(true_msa, msa), PAD(bert_mask, msa, 1, true);
    for (int i = 0; i < PASSES; i++) {
        PAD(pass[i].msa_feat, msa, 49, false), PAD(pass[i].msa_mask, msa, 1, true);
        PAD_CLASSES(pass[i].extra_msa, extra), PAD(pass[i].extra_mask, extra, 1, true);
        PAD(pass[i].extra_has_deletion, extra, 1, false);
        PAD(pass[i].extra_deletion, extra, 1, false);
    }
    PAD_CLASSES(templates.type, templates), PAD(templates.mask, count, 1, true);
    PAD(templates.beta, templates, 3, false), PAD(templates.beta_mask, templates, 1, true);
    PAD(templates.backbone, templates, 9, false);
    PAD(templates.backbone_mask, templates, 1, true);
    PAD(templates.angle, templates, 14, false), PAD(templates.other_angle, templates, 14, false);
    PAD(templates.angle_mask, templates, 7, true);
    to.truth = truth_padded(arena, &from->truth, chain[0], chain[1]);
    return to;
}

Test(symmetry, padding_is_not_seen)
{
    struct net_config c = whole(), d = c;
    struct arena arena;
    arena_open(&arena, 0);
    noise = rng_open(8, 0, 0, "noise", 0);
    d.length += 5, d.clusters += 2, d.extra += 3, d.templates += 1;
    struct net_input in = sample_of(&arena, &c), large = sample_padded(&arena, &c, &d, &in);
    struct outcome wanted = predict(&arena, &c, &in), got = predict(&arena, &d, &large);
    same_losses(&got.loss, &wanted.loss);
    near(got.atoms, wanted.atoms, c.length * 42, "place");
    near(got.plddt, wanted.plddt, c.length, "pLDDT");
    for (int64_t i = 0; i < c.length; i++)
        near(got.logits + i * d.length * 64, wanted.logits + i * c.length * 64, c.length * 64,
             "logit");
    arena_close(&arena);
}

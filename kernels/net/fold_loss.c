/* Structure losses as ops over a pass; see fold_loss.h. */
#include "kernels/net/fold_loss.h"

enum { GROUPS = 8, SLOTS = 14, ATOMS = 37, CHIS = 4, TYPES = 21, FRAME = 12 };

#define FAPE_CLAMP  10.0 /* Angstrom */
#define FAPE_LENGTH 10.0

struct fold_truth fold_truth_open(struct tape *t, int64_t n, bool aligned_error)
{
    enum tensor_kind real = t->backend->real;
    struct fold_truth f = {.rot = tape_constant(t, real, 2, n, 9, 1, 1),
                           .trans = tape_constant(t, real, 2, n, 3, 1, 1),
                           .mask = tape_constant(t, real, 1, n, 1, 1, 1),
                           .group_mask = tape_constant(t, real, 1, n * GROUPS, 1, 1, 1),
                           .ambiguous = tape_constant(t, real, 2, n, SLOTS, 1, 1),
                           .chi = tape_constant(t, real, 3, n, CHIS, 2, 1),
                           .chi_other = tape_constant(t, real, 3, n, CHIS, 2, 1),
                           .chi_weight = tape_constant(t, real, 2, n, CHIS, 1, 1),
                           .norm_weight = tape_constant(t, real, 1, n, 1, 1, 1),
                           .resolved = tape_constant(t, real, 1, n * ATOMS, 1, 1, 1),
                           .resolved_weight = tape_constant(t, real, 1, n * ATOMS, 1, 1, 1),
                           .plddt_bin = tape_constant(t, TENSOR_I32, 1, n, 1, 1, 1),
                           .plddt_weight = tape_constant(t, real, 1, n, 1, 1, 1),
                           .exists = tape_constant(t, real, 2, n, SLOTS, 1, 1),
                           .bond_weight = tape_constant(t, real, 2, n, 3, 1, 1),
                           .radius = tape_constant(t, real, 2, TYPES, SLOTS, 1, 1),
                           .lower = tape_constant(t, real, 3, TYPES, SLOTS, SLOTS, 1),
                           .upper = tape_constant(t, real, 3, TYPES, SLOTS, SLOTS, 1)};
    for (int i = 0; i < 2; i++) {
        f.group_rot[i] = tape_constant(t, real, 2, n, GROUPS * 9, 1, 1);
        f.group_trans[i] = tape_constant(t, real, 2, n, GROUPS * 3, 1, 1);
        f.place[i] = tape_constant(t, real, 2, n, SLOTS * 3, 1, 1);
        f.known[i] = tape_constant(t, real, 2, n, SLOTS, 1, 1);
    }
    if (aligned_error) {
        f.aligned_bin = tape_constant(t, TENSOR_I32, 1, n * n, 1, 1, 1);
        f.aligned_weight = tape_constant(t, real, 1, n * n, 1, 1, 1);
    }
    return f;
}

/* The same memory with other sizes. */
static struct tensor as(struct tensor t, int rank, int64_t d0, int64_t d1, int64_t d2)
{
    ASSERT(tensor_dense(&t) && tensor_count(&t) == d0 * d1 * d2);
    struct tensor x = tensor_make(t.data, t.kind, rank, d0, d1, d2, 1);
    x.slot = t.slot;
    return x;
}

/* Of each residue the row of the naming that was chosen. */
static struct tensor chosen(struct tape *t, struct tensor choice, const struct tensor pair[2])
{
    struct tensor y = tape_constant(t, pair[0].kind, 2, pair[0].dim[0], pair[0].dim[1], 1, 1);
    tape_choose(t, (struct op_choose){.choice = choice, .a = pair[0], .b = pair[1], .y = y});
    return y;
}

static struct tensor fape_run(struct tape *t, struct op_fape a)
{
    a.loss = tape_tensor(t, 1, 1, 1, 1, 1);
    a.part = tape_constant(t, a.rot.kind, 2, a.rot.dim[0], a.rot.dim[1], 1, 1);
    a.length = FAPE_LENGTH, a.clamp = FAPE_CLAMP;
    tape_fape(t, a);
    return a.loss;
}

/* Backbone: every iteration's frames see every CA, which is where the frames are. */
static struct tensor backbone_run(struct tape *t, const struct structure_out *out,
                                  const struct fold_truth *truth)
{
    return fape_run(t, (struct op_fape){.rot = out->rot,
                                        .trans = out->trans,
                                        .point = out->trans,
                                        .true_rot = truth->rot,
                                        .true_trans = truth->trans,
                                        .true_point = truth->trans,
                                        .frame_mask = truth->mask,
                                        .point_mask = truth->mask,
                                        .unit = STRUCTURE_UNIT,
                                        .clamped = truth->clamped});
}

/* All frames and atoms of the last iteration. */
static struct tensor side_chain_run(struct tape *t, const struct structure_out *out,
                                    const struct fold_truth *truth)
{
    int64_t n = out->rot.dim[1], last = out->frame.dim[0] - 1;
    struct tensor atom = tensor_at(out->atom, last);
    struct tensor frame = as(tensor_at(out->frame, last), 3, 1, n * GROUPS, FRAME);
    struct tensor choice = tape_constant(t, atom.kind, 1, n, 1, 1, 1);
    struct tensor truth_atom[2] = {as(truth->place[0], 3, n, SLOTS, 3),
                                   as(truth->place[1], 3, n, SLOTS, 3)};
    tape_rename(t, (struct op_rename){.atom = atom,
                                      .truth = truth_atom[0],
                                      .other = truth_atom[1],
                                      .exists = truth->known[0],
                                      .ambiguous = truth->ambiguous,
                                      .y = choice});
    struct tensor rot = chosen(t, choice, truth->group_rot);
    struct tensor trans = chosen(t, choice, truth->group_trans);
    struct tensor place = chosen(t, choice, truth->place);
    return fape_run(t, (struct op_fape){.rot = tensor_columns(frame, 0, 9),
                                        .trans = tensor_columns(frame, 9, 3),
                                        .point = as(atom, 3, 1, n * SLOTS, 3),
                                        .true_rot = as(rot, 2, n * GROUPS, 9, 1),
                                        .true_trans = as(trans, 2, n * GROUPS, 3, 1),
                                        .true_point = as(place, 2, n * SLOTS, 3, 1),
                                        .frame_mask = truth->group_mask,
                                        .point_mask =
                                            tensor_flat(chosen(t, choice, truth->known)),
                                        .unit = 1,
                                        .clamped = 1});
}

static void violation_run(struct tape *t, const struct model_pass *pass,
                          const struct fold_truth *truth, struct fold_losses *losses)
{
    struct tensor atom = tensor_at(pass->structure.atom, pass->structure.atom.dim[0] - 1);
    int64_t n = atom.dim[0];
    losses->bond = tape_tensor(t, 2, n, 3, 1, 1);
    losses->between = tape_tensor(t, 2, n, SLOTS, 1, 1);
    losses->within = tape_tensor(t, 2, n, SLOTS, 1, 1);
    tape_violation(t, (struct op_violation){.atom = atom,
                                            .exists = truth->exists,
                                            .weight = truth->bond_weight,
                                            .index = pass->trunk.index,
                                            .aatype = pass->aatype,
                                            .radius = truth->radius,
                                            .lower = truth->lower,
                                            .upper = truth->upper,
                                            .bond = losses->bond,
                                            .between = losses->between,
                                            .within = losses->within});
}

struct fold_losses fold_losses_run(struct tape *t, const struct model_pass *pass,
                                   const struct fold_truth *truth)
{
    const struct structure_out *out = &pass->structure;
    int64_t n = out->rot.dim[1];
    struct fold_losses losses = {.backbone = backbone_run(t, out, truth),
                                 .side_chain = side_chain_run(t, out, truth),
                                 .chi = tape_tensor(t, 1, n, 1, 1, 1),
                                 .resolved = tape_tensor(t, 1, n * ATOMS, 1, 1, 1)};
    tape_chi(t, (struct op_chi){.angle = out->angle,
                                .raw = out->raw,
                                .truth = truth->chi,
                                .other = truth->chi_other,
                                .chi_weight = truth->chi_weight,
                                .norm_weight = truth->norm_weight,
                                .part = losses.chi});
    tape_binary_xent(t, (struct op_binary_xent){.x = tensor_flat(pass->resolved),
                                                .target = truth->resolved,
                                                .weight = truth->resolved_weight,
                                                .y = losses.resolved});
    losses.plddt = loss_run(t, pass->plddt, truth->plddt_bin, truth->plddt_weight);
    if (pass->aligned.rank > 0)
        losses.aligned = loss_run(t, pass->aligned, truth->aligned_bin, truth->aligned_weight);
    violation_run(t, pass, truth, &losses);
    return losses;
}

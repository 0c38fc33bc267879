/* The structure module's inputs and what its losses compare with, from the host to a pass. */
#include "kernels/net/inside.h"
#include "kernels/net/targets.h"

#include <stdlib.h>
#include <string.h>

enum { GROUPS = RESIDUE_GROUPS, SLOTS = RESIDUE_SLOTS, TYPES = RESIDUE_TYPES, ATOMS = 37 };

enum status net_upload_fold(struct net *net, struct pass *p, const struct net_input *in,
                            struct error *err)
{
    struct model_pass *to = &p->model;
    const struct residue_facts *facts = &net->residues;
    int64_t length = net->config.length;
    ASSERT(in->aatype);
    int32_t *beta = malloc((size_t)length * sizeof *beta);
    ASSERT(beta);
    for (int64_t i = 0; i < length; i++) {
        if (in->aatype[i] < 0 || in->aatype[i] >= TYPES) {
            free(beta);
            return error_set(err, STATUS_INVALID, "aatype of residue %lld is %d; wanted 0 to %d",
                             (long long)i, in->aatype[i], TYPES - 1);
        }
        beta[i] = facts->beta[in->aatype[i]];
    }
    net_upload_integers(net, &to->aatype, in->aatype);
    net_upload_integers(net, &to->beta_atom, beta);
    net_upload(net, to->seq_mask.data, in->seq_mask, (size_t)length);
    net_upload(net, to->tables.base.data, &facts->base[0][0][0], TYPES * GROUPS * 12);
    net_upload_integers(net, &to->tables.group, &facts->group[0][0]);
    net_upload(net, to->tables.place.data, &facts->place[0][0][0], TYPES * SLOTS * 3);
    net_upload(net, to->tables.exists.data, &facts->exists[0][0], TYPES * SLOTS);
    free(beta);
    return STATUS_OK;
}

/* frames[count,4,4] as rotations [count,9] and translations [count,3]. */
static void upload_frames(struct net *net, const float *frames, size_t count, struct tensor rot,
                          struct tensor trans)
{
    float *turn = malloc(count * 12 * sizeof *turn), *shift = turn + 9 * count;
    ASSERT(turn);
    for (size_t n = 0; n < count; n++)
        for (size_t i = 0; i < 3; i++) {
            memcpy(turn + 9 * n + 3 * i, frames + 16 * n + 4 * i, 3 * sizeof *turn);
            shift[3 * n + i] = frames[16 * n + 4 * i + 3];
        }
    net_upload(net, rot.data, turn, 9 * count);
    net_upload(net, trans.data, shift, 3 * count);
    free(turn);
}

static void upload_chi(struct net *net, const struct fold_truth *to, const struct net_input *in)
{
    size_t length = (size_t)net->config.length;
    float *other = malloc(length * 13 * sizeof *other), *chi = other + 8 * length;
    ASSERT(other);
    chi_targets((int64_t)length, (int)net->config.structure_iterations, in->aatype, in->truth.chi,
                in->truth.chi_mask, in->seq_mask, other, chi, chi + 4 * length);
    net_upload(net, to->chi.data, in->truth.chi, 8 * length);
    net_upload(net, to->chi_other.data, other, 8 * length);
    net_upload(net, to->chi_weight.data, chi, 4 * length);
    net_upload(net, to->norm_weight.data, chi + 4 * length, length);
    free(other);
}

static void upload_chemistry(struct net *net, struct pass *p, const struct net_input *in)
{
    const struct fold_truth *to = &p->truth;
    size_t length = (size_t)net->config.length, slots = length * SLOTS;
    float *weight = malloc(3 * length * sizeof *weight);
    ASSERT(weight);
    bond_weights((int64_t)length, in->truth.exists, in->residue_index, weight);
    net_upload(net, to->bond_weight.data, weight, 3 * length);
    net_upload(net, to->exists.data, in->truth.exists, slots);
    net_upload(net, to->radius.data, &net->residues.radius[0][0], TYPES * SLOTS);
    net_upload(net, to->lower.data, &net->bounds.lower[0][0][0], TYPES * SLOTS * SLOTS);
    net_upload(net, to->upper.data, &net->bounds.upper[0][0][0], TYPES * SLOTS * SLOTS);
    p->atoms = 0;
    for (size_t i = 0; i < slots; i++)
        p->atoms += (double)in->truth.exists[i];
    free(weight);
}

void net_upload_truth(struct net *net, struct pass *p, const struct net_input *in)
{
    struct fold_truth *to = &p->truth;
    const struct net_truth *from = &in->truth;
    size_t length = (size_t)net->config.length, atoms = length * ATOMS;
    const float *groups[2] = {from->groups, from->other_groups};
    const float *place[2] = {from->atoms, from->other_atoms};
    const float *known[2] = {from->atoms_mask, from->other_atoms_mask};
    ASSERT(from->backbone && from->groups && from->atoms && from->chi && from->resolved);
    upload_frames(net, from->backbone, length, to->rot, to->trans);
    net_upload(net, to->mask.data, from->backbone_mask, length);
    net_upload(net, to->group_mask.data, from->groups_mask, length * GROUPS);
    for (int i = 0; i < 2; i++) {
        upload_frames(net, groups[i], length * GROUPS, to->group_rot[i], to->group_trans[i]);
        net_upload(net, to->place[i].data, place[i], length * SLOTS * 3);
        net_upload(net, to->known[i].data, known[i], length * SLOTS);
    }
    net_upload(net, to->ambiguous.data, from->ambiguous, length * SLOTS);
    upload_chi(net, to, in);
    upload_chemistry(net, p, in);
    float *weight = malloc(atoms * sizeof *weight);
    ASSERT(weight);
    resolved_weights((int64_t)atoms, from->resolvable, from->resolution, weight);
    net_upload(net, to->resolved.data, from->resolved, atoms);
    net_upload(net, to->resolved_weight.data, weight, atoms);
    free(weight);
    to->clamped = from->clamped;
}

static void upload_lddt(struct net *net, const struct pass *p, const struct net_truth *truth)
{
    enum { CA = 1 };
    const struct tensor *atom = &p->model.structure.atom;
    size_t length = (size_t)net->config.length;
    struct tensor last = tensor_at(*atom, atom->dim[0] - 1);
    float *all = malloc(length * (SLOTS * 3 + 4) * sizeof *all), *ca = all + length * SLOTS * 3;
    double *lddt = malloc(length * sizeof *lddt);
    int32_t *bin = malloc(length * sizeof *bin);
    ASSERT(all && lddt && bin);
    net_download(net, all, last.data, length * SLOTS * 3);
    for (size_t n = 0; n < length; n++)
        memcpy(ca + 3 * n, all + 3 * (n * SLOTS + CA), 3 * sizeof *ca);
    lddt_ca((int64_t)length, ca, truth->ca, truth->ca_mask, lddt);
    plddt_targets((int64_t)length, lddt, truth->ca_mask, truth->resolution, bin, all);
    net_upload_integers(net, &p->truth.plddt_bin, bin);
    net_upload(net, p->truth.plddt_weight.data, all, length);
    free(all);
    free(lddt);
    free(bin);
}

static void upload_aligned(struct net *net, const struct pass *p, const struct net_truth *truth)
{
    const struct structure_out *out = &p->model.structure;
    size_t length = (size_t)net->config.length, pairs = length * length;
    struct tensor turn = tensor_at(out->rot, out->rot.dim[0] - 1);
    struct tensor shift = tensor_at(out->trans, out->trans.dim[0] - 1);
    float *frame = malloc(length * 24 * sizeof *frame), *weight = malloc(pairs * sizeof *weight);
    float *trans = frame + 9 * length, *true_rot = trans + 3 * length;
    float *true_trans = true_rot + 9 * length;
    int32_t *bin = malloc(pairs * sizeof *bin);
    ASSERT(frame && weight && bin);
    net_download(net, frame, turn.data, 9 * length);
    net_download(net, trans, shift.data, 3 * length);
    for (size_t n = 0; n < length; n++)
        for (size_t i = 0; i < 3; i++) {
            const float *row = truth->backbone + 16 * n + 4 * i;
            trans[3 * n + i] *= (float)STRUCTURE_UNIT;
            memcpy(true_rot + 9 * n + 3 * i, row, 3 * sizeof *row);
            true_trans[3 * n + i] = row[3];
        }
    aligned_error_targets((int64_t)length, frame, trans, true_rot, true_trans,
                          truth->backbone_mask, truth->resolution, bin, weight);
    net_upload_integers(net, &p->truth.aligned_bin, bin);
    net_upload(net, p->truth.aligned_weight.data, weight, pairs);
    free(frame);
    free(weight);
    free(bin);
}

void net_upload_confidence(struct net *net, const struct pass *p, const struct net_input *in)
{
    upload_lddt(net, p, &in->truth);
    if (net->config.aligned_error)
        upload_aligned(net, p, &in->truth);
}

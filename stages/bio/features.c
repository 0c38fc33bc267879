/* Features of a sample; see features.h. */
#include "stages/bio/features.h"

#include "stages/bio/expand.h"
#include "stages/bio/geometry.h"
#include "stages/bio/residue.h"

#include <stdlib.h>
#include <string.h>

enum { ATOM_FLOATS = ATOM37 * 3, ANGLES = TORSIONS * 2, MATRIX = 16, BACKBONE_TORSIONS = 3 };

#define F32(name, group, sizes)                                                                    \
    {#name, false, FEATURES_##group, sizes, offsetof(struct features, name)},
#define I64(name, group, sizes)                                                                    \
    {#name, true, FEATURES_##group, sizes, offsetof(struct features, name)},
#define F32_SCALAR(name, group) F32(name, group, "")
#define I64_SCALAR(name, group) I64(name, group, "")

const struct feature feature_table[] = {
    FEATURES(F32, I64, F32_SCALAR, I64_SCALAR){NULL, false, 0, NULL, 0}};

int feature_size(const struct feature *feature, const struct compact *compact,
                 int64_t size[FEATURE_RANK_MAX])
{
    int rank = 0;
    for (const char *at = feature->sizes; *at; rank++) {
        bool capital = *at >= 'A' && *at <= 'Z';
        char *end;
        ASSERT_INT(rank, <, FEATURE_RANK_MAX);
        size[rank] = capital ? compact_size(compact, *at) : strtol(at, &end, 10);
        at = capital ? at + 1 : end;
        at += *at == ',';
    }
    return rank;
}

/* Zeroed arrays for the wanted groups. */
static bool features_allocate(const struct compact *compact, unsigned groups, struct arena *arena,
                              struct features *out)
{
    for (const struct feature *row = feature_table; row->name; row++) {
        int64_t size[FEATURE_RANK_MAX];
        size_t bytes = row->integer ? sizeof(int64_t) : sizeof(float);
        if (!(row->group & groups))
            continue;
        for (int i = feature_size(row, compact, size); i-- > 0;)
            if (__builtin_mul_overflow(bytes, (size_t)size[i], &bytes))
                return false;
        void *data = arena_try(arena, bytes, 1);
        if (!data)
            return false;
        memset(data, 0, bytes);
        memcpy((char *)out + row->member, &data, sizeof data);
    }
    return true;
}

static void ones(float *values, int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        values[i] = 1;
}

static void widen(const uint8_t *bytes, int64_t count, int64_t *values)
{
    for (int64_t i = 0; i < count; i++)
        values[i] = bytes[i];
}

static void widen_f32(const uint8_t *bytes, int64_t count, float *values)
{
    for (int64_t i = 0; i < count; i++)
        values[i] = bytes[i];
}

static void chain_make(const struct compact *c, struct features *f)
{
    int64_t length = *c->seq_length;
    const struct geometry_chain chain = {.aatype = c->aatype, .count = (int)length};
    widen(c->aatype, length, f->aatype);
    for (int64_t i = 0; i < length; i++)
        f->residue_index[i] = c->residue_index[i];
    *f->seq_length = length;
    ones(f->seq_mask, length);
    expand_target(length, c->aatype, f->target_feat);
    geometry_atom_maps(&chain, f->atom14_atom_exists, f->residx_atom14_to_atom37,
                       f->residx_atom37_to_atom14, f->atom37_atom_exists);
    *f->use_clamped_fape = *c->use_clamped_fape;
}

static enum status msa_make(const struct compact *c, int64_t pass, struct features *f,
                            struct error *err)
{
    int64_t k = compact_size(c, 'K'), m_max = compact_size(c, 'M'), words = compact_size(c, 'W');
    int64_t length = *c->seq_length, rows = c->msa_rows[pass];
    ones(f->msa_row_mask, rows);
    for (int64_t m = 0; m < rows; m++) {
        const uint8_t *bits = c->bert_mask + (pass * m_max + m) * words;
        ones(f->msa_mask + m * k, length);
        widen(c->true_msa + (pass * m_max + m) * k, length, f->true_msa + m * k);
        for (int64_t j = 0; j < length; j++)
            f->bert_mask[m * k + j] = (float)(bits[j / 8] >> j % 8 & 1);
    }
    return expand_msa(c, pass, f->msa_feat, err);
}

static void extra_make(const struct compact *c, int64_t pass, struct features *f)
{
    int64_t k = compact_size(c, 'K'), e_max = compact_size(c, 'E'), length = *c->seq_length;
    ones(f->extra_msa_row_mask, c->extra_rows[pass]);
    for (int64_t e = 0; e < c->extra_rows[pass]; e++) {
        widen(c->extra_msa + (pass * e_max + e) * k, length, f->extra_msa + e * k);
        ones(f->extra_msa_mask + e * k, length);
    }
    expand_extra_deletions(c, pass, f->extra_has_deletion, f->extra_deletion_value);
}

static bool templates_make(const struct compact *c, struct arena *arena, struct features *f)
{
    int64_t k = compact_size(c, 'K'), length = *c->seq_length;
    uint8_t *types = arena_try(arena, (size_t)k, 1);
    if (!types)
        return false;
    for (int64_t t = 0; t < *c->template_count; t++) {
        const uint8_t *symbols = c->template_aatype + t * k;
        const struct geometry_chain chain = {
            .aatype = types,
            .positions = c->template_all_atom_positions + t * k * ATOM_FLOATS,
            .mask = c->template_all_atom_mask + t * k * ATOM37,
            .count = (int)length,
            .previous_positions = c->template_previous_positions + t * ATOM_FLOATS,
            .previous_mask = c->template_previous_mask + t * ATOM37,
        };
        for (int64_t j = 0; j < length; j++) /* unaligned residues have no side chain */
            types[j] = symbols[j] > RESTYPE_X ? RESTYPE_X : symbols[j];
        widen(symbols, length, f->template_aatype + t * k);
        memcpy(f->template_all_atom_positions + t * k * ATOM_FLOATS, chain.positions,
               (size_t)length * ATOM_FLOATS * sizeof(float));
        widen_f32(chain.mask, length * ATOM37, f->template_all_atom_mask + t * k * ATOM37);
        f->template_mask[t] = 1;
        f->template_sum_probs[t] = c->template_sum_probs[t];
        geometry_pseudo_beta(&chain, f->template_pseudo_beta + t * k * 3,
                             f->template_pseudo_beta_mask + t * k);
        geometry_torsions(&chain, f->template_torsion_angles_sin_cos + t * k * ANGLES,
                          f->template_alt_torsion_angles_sin_cos + t * k * ANGLES,
                          f->template_torsion_angles_mask + t * k * TORSIONS);
    }
    return true;
}

/* The chain's own omega, phi and psi are nobody's feature, so no residue before it is needed. */
static bool chi_make(const struct geometry_chain *chain, struct arena *arena, struct features *f)
{
    size_t length = (size_t)chain->count;
    float *angles = arena_try(arena, length, 2 * ANGLES * sizeof *angles);
    float *mask = arena_try(arena, length, TORSIONS * sizeof *mask);
    if (!angles || !mask)
        return false;
    geometry_torsions(chain, angles, angles + length * ANGLES, mask);
    for (size_t i = 0; i < length; i++) {
        memcpy(f->chi_angles_sin_cos + i * CHI_MAX * 2, angles + i * ANGLES + 2 * BACKBONE_TORSIONS,
               CHI_MAX * 2 * sizeof *angles);
        memcpy(f->chi_mask + i * CHI_MAX, mask + i * TORSIONS + BACKBONE_TORSIONS,
               CHI_MAX * sizeof *mask);
    }
    return true;
}

static bool truth_make(const struct compact *c, const struct geometry_chain *chain,
                       struct arena *arena, struct features *f)
{
    int64_t length = chain->count;
    memcpy(f->all_atom_positions, c->all_atom_positions,
           (size_t)length * ATOM_FLOATS * sizeof(float));
    widen_f32(c->all_atom_mask, length * ATOM37, f->all_atom_mask);
    geometry_atom14(chain,
                    &(struct geometry_atom14){f->atom14_gt_positions, f->atom14_alt_gt_positions,
                                              f->atom14_gt_exists, f->atom14_alt_gt_exists,
                                              f->atom14_atom_is_ambiguous});
    geometry_frames(
        chain, &(struct geometry_frames){f->rigidgroups_gt_frames, f->rigidgroups_alt_gt_frames,
                                         f->rigidgroups_gt_exists, f->rigidgroups_group_exists,
                                         f->rigidgroups_group_is_ambiguous});
    for (int64_t i = 0; i < length; i++) {
        memcpy(f->backbone_rigid_tensor + i * MATRIX,
               f->rigidgroups_gt_frames + i * RIGID_GROUPS * MATRIX, MATRIX * sizeof(float));
        f->backbone_rigid_mask[i] = f->rigidgroups_gt_exists[i * RIGID_GROUPS];
    }
    *f->resolution = *c->resolution;
    *f->is_distillation = *c->is_distillation;
    return chi_make(chain, arena, f);
}

enum status features_make(const struct compact *compact, int64_t pass, unsigned groups,
                          struct arena *arena, struct features *out, struct error *err)
{
    *out = (struct features){0};
    if (!compact->all_atom_positions)
        groups &= ~(unsigned)(FEATURES_TRUTH | FEATURES_BETA);
    ASSERT_INT(pass, <, compact_size(compact, 'P'));
    const struct geometry_chain chain = {.aatype = compact->aatype,
                                         .positions = compact->all_atom_positions,
                                         .mask = compact->all_atom_mask,
                                         .count = (int)*compact->seq_length};
    bool memory = features_allocate(compact, groups, arena, out);
    enum status status = STATUS_OK;
    if (memory && groups & FEATURES_CHAIN)
        chain_make(compact, out);
    if (memory && groups & FEATURES_MSA)
        status = msa_make(compact, pass, out, err);
    if (memory && groups & FEATURES_EXTRA)
        extra_make(compact, pass, out);
    if (memory && groups & FEATURES_TEMPLATE)
        memory = templates_make(compact, arena, out);
    if (memory && groups & FEATURES_BETA)
        geometry_pseudo_beta(&chain, out->pseudo_beta, out->pseudo_beta_mask);
    if (memory && groups & FEATURES_TRUTH)
        memory = truth_make(compact, &chain, arena, out);
    if (!memory)
        return error_set(err, STATUS_LIMIT, "no memory for the features of a sample");
    return status;
}

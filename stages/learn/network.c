/* Settings, backend and inputs of the network; see network.h. */
#include "stages/learn/network.h"

#include "stages/bio/expand.h"
#include "stages/bio/geometry.h"

#include <math.h>
#include <string.h>

const char *const network_backends[] = {"auto", "cpu", "cuda", NULL};

const char *const network_fields[] = {
    "aatype:u8[B,K]", "residue_index:i32[B,K]", "all_atom_positions:f32[B,K,37,3]",
    "all_atom_mask:u8[B,K,37]", "seq_mask:u8[B,K]", "seq_length:i32[B]", "msa:u8[B,P,M,K]",
    "true_msa:u8[B,P,M,K]", "bert_mask:u8[B,P,M,K]", "deletion_matrix:i16[B,P,M,K]",
    "cluster_counts:i16[B,P,M,K,23]", "cluster_deletions:i32[B,P,M,K]", "cluster_sizes:i32[B,P,M]",
    "msa_rows:i32[B,P]", "weight:f32[B]", NULL};

struct net_config network_config(const struct network_settings *settings, int64_t length,
                                 int64_t clusters, uint64_t seed)
{
    return (struct net_config){
        .length = length,
        .clusters = clusters,
        .c_m = settings->c_m,
        .c_z = settings->c_z,
        .blocks = settings->blocks,
        .heads = settings->heads,
        .head_dims = settings->head_dims,
        .outer_hidden = settings->outer_hidden,
        .triangle_hidden = settings->triangle_hidden,
        .transition_factor = settings->transition_factor,
        .keep_blocks = settings->keep_blocks,
        .dropout_msa = settings->dropout_msa,
        .dropout_pair = settings->dropout_pair,
        .weight_distogram = settings->weight_distogram,
        .weight_masked_msa = settings->weight_masked_msa,
        .seed = seed,
    };
}

enum status network_backend(int backend, int64_t threads, struct backend **out, struct error *err)
{
    if (backend == NETWORK_CPU) {
        *out = cpu_backend_open((int)threads);
        return STATUS_OK;
    }
    if (backend == NETWORK_AUTO && !backend_cuda_present()) {
        *out = cpu_backend_open((int)threads);
        return STATUS_OK;
    }
    return backend_open(network_backends[backend], 0, out, err);
}

/* The data of a field; NULL when it is not there, which the in port has excluded. */
static const void *data_of(const struct sample *batch, const char *name)
{
    const struct field *field = sample_find(batch, name);
    ASSERT(field);
    return field->data;
}

enum status network_batch_sizes(const struct sample *batch, int64_t *samples, int64_t *length,
                                int64_t *clusters, struct error *err)
{
    const struct field *msa;
    enum status status = sample_need(batch, "msa", KIND_U8, 4, &msa, err);
    if (status != STATUS_OK)
        return status;
    if (msa->size[1] < 1 || msa->size[2] < 1 || msa->size[3] < 1)
        return error_set(err, STATUS_INVALID, "a batch without passes, rows or residues");
    *samples = msa->size[0];
    *clusters = msa->size[2];
    *length = msa->size[3];
    return STATUS_OK;
}

/* Where the last recycling pass of sample b begins, in units of one pass. */
struct slice {
    int64_t b, passes, rows, length;
};

static size_t last_pass(struct slice s)
{
    return (size_t)(s.b * s.passes + s.passes - 1);
}

static void clusters_expand(const struct sample *batch, struct slice s, int used_rows,
                            int used_length, struct arena *arena, struct net_input *input)
{
    size_t rows = last_pass(s) * (size_t)s.rows, cells = rows * (size_t)s.length;
    size_t count = (size_t)(s.rows * s.length);
    struct expand_clusters clusters = {
        .rows = (int)s.rows,
        .length = (int)s.length,
        .used_rows = used_rows,
        .used_length = used_length,
        .msa = (const uint8_t *)data_of(batch, "msa") + cells,
        .deletions = (const int16_t *)data_of(batch, "deletion_matrix") + cells,
        .counts = (const int16_t *)data_of(batch, "cluster_counts") + cells * 23,
        .deletion_sum = (const int32_t *)data_of(batch, "cluster_deletions") + cells,
        .sizes = (const int32_t *)data_of(batch, "cluster_sizes") + rows,
    };
    const uint8_t *truth = (const uint8_t *)data_of(batch, "true_msa") + cells;
    const uint8_t *masked = (const uint8_t *)data_of(batch, "bert_mask") + cells;
    float *msa_feat = arena_alloc(arena, count * EXPAND_MSA_FEATURES * sizeof *msa_feat);
    float *msa_mask = arena_zero(arena, count, sizeof *msa_mask);
    float *bert_mask = arena_zero(arena, count, sizeof *bert_mask);
    int32_t *true_msa = arena_zero(arena, count, sizeof *true_msa);
    expand_msa(&clusters, msa_feat);
    for (int r = 0; r < used_rows; r++)
        for (int j = 0; j < used_length; j++) {
            size_t at = (size_t)r * (size_t)s.length + (size_t)j;
            msa_mask[at] = 1;
            bert_mask[at] = masked[at];
            true_msa[at] = truth[at];
        }
    input->msa_feat = msa_feat;
    input->msa_mask = msa_mask;
    input->bert_mask = bert_mask;
    input->true_msa = true_msa;
}

enum status network_input(const struct sample *batch, int64_t b, struct arena *arena,
                          struct net_input *input, struct error *err)
{
    const struct field *msa = sample_find(batch, "msa");
    ASSERT(msa && b >= 0 && b < msa->size[0]);
    struct slice s = {b, msa->size[1], msa->size[2], msa->size[3]};
    float weight = ((const float *)data_of(batch, "weight"))[b];
    int32_t rows = ((const int32_t *)data_of(batch, "msa_rows"))[last_pass(s)];
    int32_t length = ((const int32_t *)data_of(batch, "seq_length"))[b];
    if (rows < 0 || rows > s.rows || length < 0 || length > s.length)
        return error_set(err, STATUS_INVALID,
                         "a sample says that it has %d rows and %d residues in arrays of %lld and "
                         "%lld", rows, length, (long long)s.rows, (long long)s.length);
    size_t k = (size_t)s.length, first = (size_t)b * k;
    const uint8_t *aatype = (const uint8_t *)data_of(batch, "aatype") + first;
    const uint8_t *seq_mask = (const uint8_t *)data_of(batch, "seq_mask") + first;
    float *target = arena_alloc(arena, k * EXPAND_TARGET_FEATURES * sizeof *target);
    float *mask = arena_alloc(arena, k * sizeof *mask);
    float *pseudo_beta = arena_alloc(arena, k * 3 * sizeof *pseudo_beta);
    float *pseudo_mask = arena_alloc(arena, k * sizeof *pseudo_mask);
    expand_target((int)k, length, aatype, target);
    const struct geometry_chain chain = {
        .aatype = aatype,
        .positions = (const float *)data_of(batch, "all_atom_positions") + first * 37 * 3,
        .mask = (const uint8_t *)data_of(batch, "all_atom_mask") + first * 37,
        .count = (int)k,
    };
    geometry_pseudo_beta(&chain, pseudo_beta, pseudo_mask);
    for (size_t i = 0; i < k; i++)
        mask[i] = seq_mask[i];
    *input = (struct net_input){
        .target_feat = target,
        .residue_index = (const int32_t *)data_of(batch, "residue_index") + first,
        .seq_mask = mask,
        .pseudo_beta = pseudo_beta,
        .pseudo_beta_mask = pseudo_mask,
        /* Longer crops weigh more, as the root of their length (AF2 suppl. 1.9); the constant
         * factor, the root of K, is left out of all. */
        .weight = (double)weight * sqrt((double)length / (double)s.length),
    };
    clusters_expand(batch, s, rows, length, arena, input);
    return STATUS_OK;
}

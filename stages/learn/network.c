/* Settings, backend and inputs of the network; see network.h. */
#include "stages/learn/network.h"

#include "stages/bio/features.h"
#include "stages/learn/view.h"

#include <math.h>

const char *const network_backends[] = {"auto", "cpu", "cuda", NULL};

const char *const network_fields[] = {
    COMPACT_FIELDS(COMPACT_BATCH_ROW, COMPACT_BATCH_SCALAR_ROW) "weight:f32[B]", NULL};

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
        .column_attention = settings->column_attention,
        .pair_heads = settings->pair_heads,
        .pair_head_dims = settings->pair_head_dims,
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

/* A feature in the kind that the network takes. */
static int32_t *narrow(const int64_t *values, int64_t count, struct arena *arena)
{
    int32_t *to = arena_alloc(arena, (size_t)count * sizeof *to);
    for (int64_t i = 0; i < count; i++)
        to[i] = (int32_t)values[i];
    return to;
}

enum status network_input(const struct sample *batch, int64_t b, struct arena *arena,
                          struct net_input *input, struct error *err)
{
    const struct field *weight;
    struct compact compact;
    struct features f;
    enum status status = sample_need(batch, "weight", KIND_F32, 1, &weight, err);
    if (status == STATUS_OK)
        status = view_open(batch, b, &compact, err);
    if (status == STATUS_OK && !compact.all_atom_positions)
        status = error_set(err, STATUS_INVALID, "a batch without structures, which learning needs: "
                           "the crop stage has mode: predict");
    ASSERT(status != STATUS_OK || b < weight->size[0]);
    if (status == STATUS_OK)
        status = features_make(&compact, compact_size(&compact, 'P') - 1,
                               FEATURES_CHAIN | FEATURES_MSA | FEATURES_BETA, arena, &f, err);
    if (status != STATUS_OK)
        return status;
    int64_t k = compact_size(&compact, 'K'), cells = compact_size(&compact, 'M') * k;
    *input = (struct net_input){
        .target_feat = f.target_feat,
        .residue_index = narrow(f.residue_index, k, arena),
        .seq_mask = f.seq_mask,
        .pseudo_beta = f.pseudo_beta,
        .pseudo_beta_mask = f.pseudo_beta_mask,
        .msa_feat = f.msa_feat,
        .msa_mask = f.msa_mask,
        .bert_mask = f.bert_mask,
        .true_msa = narrow(f.true_msa, cells, arena),
        /* Longer crops weigh more, as the root of their length (AF2 suppl. 1.9); the constant
         * factor, the root of K, is left out of all. */
        .weight = (double)((const float *)weight->data)[b] *
                  sqrt((double)*f.seq_length / (double)k),
    };
    return STATUS_OK;
}

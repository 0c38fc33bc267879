/* Settings, backend and inputs of the network; see network.h. */
#include "stages/learn/network.h"

#include "stages/bio/features.h"
#include "stages/learn/view.h"

#include <math.h>
#include <string.h>

const char *const network_backends[] = {"auto", "cpu", "cuda", NULL};

const char *const network_fields[] = {
    COMPACT_FIELDS(COMPACT_BATCH_ROW, COMPACT_BATCH_SCALAR_ROW) "weight:f32[B]", NULL};

struct net_config network_config(const struct network_settings *settings,
                                 const struct network_sizes *sizes, uint64_t seed)
{
    struct net_config config = settings->net;
    config.length = sizes->length;
    config.clusters = sizes->clusters;
    config.extra = config.extra_blocks > 0 ? sizes->extra : 0;
    config.templates = config.template_blocks > 0 ? sizes->templates : 0;
    config.seed = seed;
    return config;
}

enum status network_fits(const struct net_config *config, const struct network_sizes *sizes,
                         const char *what, struct error *err)
{
    const struct {
        const char *name;
        int64_t wanted, found;
    } rows[] = {{"residues", config->length, sizes->length},
                {"cluster rows", config->clusters, sizes->clusters},
                {"extra rows", config->extra, config->extra_blocks > 0 ? sizes->extra : 0},
                {"templates", config->templates,
                 config->template_blocks > 0 ? sizes->templates : 0}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (rows[i].wanted != rows[i].found)
            return error_set(err, STATUS_INVALID,
                             "%s have %lld %s, the network was planned for %lld: give all crop "
                             "stages that it sees the same sizes",
                             what, (long long)rows[i].found, rows[i].name,
                             (long long)rows[i].wanted);
    return STATUS_OK;
}

enum status network_backend(int backend, int64_t threads, int device, struct backend **out,
                            struct error *err)
{
    if (backend == NETWORK_CPU) {
        *out = cpu_backend_open((int)threads);
        return STATUS_OK;
    }
    if (backend == NETWORK_AUTO && !backend_cuda_present()) {
        *out = cpu_backend_open((int)threads);
        return STATUS_OK;
    }
    return backend_open(network_backends[backend], device, out, err);
}

enum status network_backend_named(const char *name, int64_t threads, struct backend **out,
                                  struct error *err)
{
    for (int i = 0; network_backends[i]; i++)
        if (strcmp(network_backends[i], name) == 0)
            return network_backend(i, threads, 0, out, err);
    return error_set(err, STATUS_INVALID, "backend \"%s\": wanted cpu, cuda or auto", name);
}

enum status network_batch_sizes(const struct sample *batch, struct network_sizes *sizes,
                                struct error *err)
{
    const struct field *msa, *extra, *templates;
    enum status status = sample_need(batch, "msa", KIND_U8, 4, &msa, err);
    if (status == STATUS_OK)
        status = sample_need(batch, "extra_msa", KIND_U8, 4, &extra, err);
    if (status == STATUS_OK)
        status = sample_need(batch, "template_aatype", KIND_U8, 3, &templates, err);
    if (status != STATUS_OK)
        return status;
    if (msa->size[1] < 1 || msa->size[2] < 1 || msa->size[3] < 1)
        return error_set(err, STATUS_INVALID, "a batch without passes, rows or residues");
    *sizes = (struct network_sizes){.samples = msa->size[0],
                                    .length = msa->size[3],
                                    .clusters = msa->size[2],
                                    .extra = extra->size[2],
                                    .templates = templates->size[1]};
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

/* The features of a pass that the network takes. */
static enum status pass_input(const struct net_config *config, const struct compact *compact,
                              int64_t number, struct arena *arena, struct net_pass *pass,
                              struct features *f, struct error *err)
{
    int64_t cells = config->extra * config->length;
    unsigned groups = FEATURES_MSA | (config->extra > 0 ? FEATURES_EXTRA : 0);
    enum status status = features_make(compact, number, groups, arena, f, err);
    if (status != STATUS_OK)
        return status;
    *pass = (struct net_pass){.msa_feat = f->msa_feat, .msa_mask = f->msa_mask};
    if (config->extra > 0) {
        pass->extra_msa = narrow(f->extra_msa, cells, arena);
        pass->extra_has_deletion = f->extra_has_deletion;
        pass->extra_deletion = f->extra_deletion_value;
        pass->extra_mask = f->extra_msa_mask;
    }
    return STATUS_OK;
}

static struct net_templates templates_input(const struct net_config *config,
                                            const struct features *f, struct arena *arena)
{
    enum { ATOMS = 37, BACKBONE = 3 }; /* N, CA and C come first of the 37 */
    size_t count = (size_t)(config->templates * config->length);
    float *backbone = arena_alloc(arena, count * 9 * sizeof *backbone);
    float *mask = arena_alloc(arena, count * sizeof *mask);
    for (size_t i = 0; i < count; i++) {
        const float *known = f->template_all_atom_mask + i * ATOMS;
        memcpy(backbone + 9 * i, f->template_all_atom_positions + i * ATOMS * 3,
               3 * BACKBONE * sizeof *backbone);
        mask[i] = known[0] * known[1] * known[2];
    }
    return (struct net_templates){.type = narrow(f->template_aatype, (int64_t)count, arena),
                                  .beta = f->template_pseudo_beta,
                                  .beta_mask = f->template_pseudo_beta_mask,
                                  .backbone = backbone,
                                  .backbone_mask = mask,
                                  .angle = f->template_torsion_angles_sin_cos,
                                  .other_angle = f->template_alt_torsion_angles_sin_cos,
                                  .angle_mask = f->template_torsion_angles_mask,
                                  .mask = f->template_mask};
}

/* What losses of the structure compare with, and CA atoms out of the 37. */
static struct net_truth truth_input(const struct features *f, int64_t length, struct arena *arena)
{
    enum { ATOMS = 37, CA = 1 };
    float *ca = arena_alloc(arena, (size_t)length * 4 * sizeof *ca), *mask = ca + 3 * length;
    for (int64_t n = 0; n < length; n++) {
        memcpy(ca + 3 * n, f->all_atom_positions + 3 * (n * ATOMS + CA), 3 * sizeof *ca);
        mask[n] = f->all_atom_mask[n * ATOMS + CA];
    }
    return (struct net_truth){.backbone = f->backbone_rigid_tensor,
                              .backbone_mask = f->backbone_rigid_mask,
                              .groups = f->rigidgroups_gt_frames,
                              .other_groups = f->rigidgroups_alt_gt_frames,
                              .groups_mask = f->rigidgroups_gt_exists,
                              .atoms = f->atom14_gt_positions,
                              .other_atoms = f->atom14_alt_gt_positions,
                              .atoms_mask = f->atom14_gt_exists,
                              .other_atoms_mask = f->atom14_alt_gt_exists,
                              .ambiguous = f->atom14_atom_is_ambiguous,
                              .exists = f->atom14_atom_exists,
                              .ca = ca,
                              .ca_mask = mask,
                              .resolved = f->all_atom_mask,
                              .resolvable = f->atom37_atom_exists,
                              .chi = f->chi_angles_sin_cos,
                              .chi_mask = f->chi_mask,
                              .resolution = (double)*f->resolution,
                              .clamped = (double)*f->use_clamped_fape};
}

enum status network_input(const struct net_config *config, const struct sample *batch, int64_t b,
                          struct arena *arena, struct net_input *input, struct error *err)
{
    const struct field *weight;
    struct compact compact;
    struct features f, last = {0};
    unsigned groups =
        FEATURES_CHAIN | FEATURES_BETA | (config->templates > 0 ? FEATURES_TEMPLATE : 0) |
        (config->structure_iterations > 0 ? FEATURES_TRUTH : 0);
    enum status status = sample_need(batch, "weight", KIND_F32, 1, &weight, err);
    if (status == STATUS_OK)
        status = view_open(batch, b, &compact, err);
    if (status == STATUS_OK && !compact.all_atom_positions)
        status = error_set(err, STATUS_INVALID, "a batch without structures, which learning needs: "
                           "the crop stage has mode: predict");
    ASSERT(status != STATUS_OK || b < weight->size[0]);
    int64_t passes = status == STATUS_OK ? compact_size(&compact, 'P') : 0;
    if (passes > NET_PASSES_MAX)
        status = error_set(err, STATUS_LIMIT, "a sample of %lld passes; a network takes %d",
                           (long long)passes, NET_PASSES_MAX);
    if (status == STATUS_OK)
        status = features_make(&compact, passes - 1, groups, arena, &f, err);
    *input = (struct net_input){.passes = config->recycling ? (int)passes : 1};
    for (int i = 0; i < input->passes && status == STATUS_OK; i++)
        status = pass_input(config, &compact, passes - input->passes + i, arena, &input->pass[i],
                            &last, err);
    if (status != STATUS_OK)
        return status;
    int64_t k = compact_size(&compact, 'K'), cells = compact_size(&compact, 'M') * k;
    input->target_feat = f.target_feat;
    input->residue_index = narrow(f.residue_index, k, arena);
    input->seq_mask = f.seq_mask;
    if (config->templates > 0)
        input->templates = templates_input(config, &f, arena);
    if (config->structure_iterations > 0) {
        input->aatype = narrow(f.aatype, k, arena);
        input->truth = truth_input(&f, k, arena);
    }
    input->pseudo_beta = f.pseudo_beta;
    input->pseudo_beta_mask = f.pseudo_beta_mask;
    input->bert_mask = last.bert_mask;
    input->true_msa = narrow(last.true_msa, cells, arena);
    /* Longer crops weigh more, as the root of their length (AF2 suppl. 1.9); the constant factor,
     * the root of K, is left out of all. */
    input->weight =
        (double)((const float *)weight->data)[b] * sqrt((double)*f.seq_length / (double)k);
    return STATUS_OK;
}

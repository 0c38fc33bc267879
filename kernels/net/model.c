/* The parts of the network one after another; see model.h. */
#include "kernels/net/model.h"

#include <stdio.h>

enum { STRUCTURE_SITE = 4096 }; /* above those of trunk_declare */

struct model_sizes model_sizes_published(void)
{
    struct trunk_sizes trunk = trunk_sizes_published();
    return (struct model_sizes){.trunk = trunk,
                                .structure = {.c_s = trunk.c_s,
                                              .c_z = trunk.main.c_z,
                                              .heads = 12,
                                              .dims = 16,
                                              .query_points = 4,
                                              .value_points = 8,
                                              .angle_channels = 128,
                                              .angle_layers = 2,
                                              .iterations = 8,
                                              .dropout = 0.1},
                                .plddt_hidden = 128};
}

void model_declare(struct params *p, const struct model_sizes *sizes, struct model *model)
{
    const struct trunk_sizes *trunk = &sizes->trunk;
    *model = (struct model){.sizes = *sizes};
    trunk_declare(p, trunk, &model->trunk);
    if (sizes->structure.iterations > 0) {
        model->structure = structure_net_declare(p, "structure_module", &sizes->structure);
        model->structure.site = STRUCTURE_SITE;
        model->plddt = plddt_head_declare(p, "aux_heads.plddt", trunk->c_s, sizes->plddt_hidden);
    }
    model->heads = heads_declare(p, "aux_heads", trunk->main.c_m, trunk->main.c_z);
    if (sizes->structure.iterations > 0)
        model->resolved = resolved_head_declare(p, "aux_heads.experimentally_resolved", trunk->c_s);
    if (sizes->aligned_error)
        model->aligned = aligned_head_declare(p, "aux_heads.tm", trunk->main.c_z);
}

void model_run(struct tape *t, const struct model *model, struct model_pass *pass)
{
    trunk_run(t, &model->trunk, &pass->trunk, &pass->m, &pass->z, &pass->s);
    tape_part(t, "structure module");
    tape_zone(t, MODEL_STRUCTURE);
    if (model->sizes.structure.iterations > 0)
        pass->structure = structure_net_run(t, &model->structure, tensor_rows(pass->s.now),
                                            &pass->z, pass->aatype, pass->seq_mask, &pass->tables);
}

/* The clusters' rows of m, as a stream of their own that shares its gradient. */
static struct tape_stream clusters(const struct model_pass *pass)
{
    struct tape_stream m = pass->m;
    m.now = tensor_range(m.now, 0, pass->trunk.msa.dim[0]);
    return m;
}

void model_heads_run(struct tape *t, const struct model *model, struct model_pass *pass)
{
    struct tape_stream m = clusters(pass);
    tape_part(t, "heads");
    tape_zone(t, MODEL_HEADS);
    pass->distogram = distogram_run(t, &model->heads, &pass->z);
    pass->masked_msa = masked_msa_run(t, &model->heads, &m);
    if (model->sizes.structure.iterations > 0) {
        const struct structure_out *out = &pass->structure;
        struct tensor last = tensor_at(out->single, out->single.dim[0] - 1);
        pass->plddt = plddt_head_run(t, &model->plddt, last);
        pass->resolved = linear_run(t, model->resolved, tensor_rows(pass->s.now));
    }
    if (model->sizes.aligned_error)
        pass->aligned = linear_run(t, model->aligned, tensor_rows(pass->z.now));
}

/* A copy of all of x, of the same count as y; neither has a gradient. */
static void keep(struct tape *t, struct tensor x, struct tensor y)
{
    int64_t count = tensor_count(&y);
    ASSERT_INT(tensor_count(&x), ==, count);
    ASSERT(tensor_dense(&x) && tensor_dense(&y));
    tape_copy(t, (struct op_copy){.x = tensor_make(x.data, x.kind, 4, 1, 1, 1, count),
                                  .y = tensor_make(y.data, y.kind, 4, 1, 1, 1, count)});
}

void model_recycle(struct tape *t, const struct model_pass *pass, const struct recycled *to)
{
    ASSERT(!t->recording);
    tape_part(t, "recycling");
    keep(t, tensor_range(pass->m.now, 0, 1), to->m);
    keep(t, pass->z.now, to->z);
    const struct tensor *atom = &pass->structure.atom;
    if (atom->rank > 0) {
        tape_pick(t, (struct op_pick){.x = tensor_at(*atom, atom->dim[0] - 1),
                                      .index = pass->beta_atom,
                                      .y = to->beta});
    }
}

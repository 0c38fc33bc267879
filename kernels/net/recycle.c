/* Recycling embedder: what the pass before said, added to the first row of the MSA and to the pair
 * representation. It runs in the first pass too, on zeros. No gradient goes back to that pass. */
#include "kernels/net/modules.h"

struct recycle recycle_declare(struct params *p, const char *prefix, int64_t c_m, int64_t c_z)
{
    struct recycle r;
    r.bins = linear_declare(p, prefix, "linear", c_z, RECYCLE_BINS, INIT_LECUN);
    r.norm_m = layer_norm_declare(p, prefix, "layer_norm_m", c_m);
    r.norm_z = layer_norm_declare(p, prefix, "layer_norm_z", c_z);
    return r;
}

void recycle_run(struct tape *t, const struct recycle *r, const struct recycled *before,
                 struct tape_stream *m, struct tape_stream *z)
{
    struct tape_mark mark = tape_begin(t, "recycling");
    int64_t length = z->now.dim[0], c_m = m->now.dim[2];
    struct tensor first = tensor_make(m->now.data, m->now.kind, 3, 1, length, c_m, 1);
    struct tensor norm = layer_norm_run(t, r->norm_m, before->m);
    struct tensor u = tensor_make(norm.data, norm.kind, 3, 1, length, c_m, 1);
    first.slot = m->now.slot, u.slot = norm.slot;
    tape_residual(t, (struct op_residual){.x = first, .u = u, .y = first, .shared = -1});

    struct tensor bins = tape_constant(t, m->now.kind, 3, length, length, RECYCLE_BINS, 1);
    tape_distance_bins(t, (struct op_distance_bins){
                              .x = before->beta, .y = bins, .first = 3.25, .last = 20.75});
    linear_add_run(t, r->bins, tensor_rows(bins), z);
    residual_run(t, z, layer_norm_run(t, r->norm_z, before->z), 0, -1, 0);
    tape_end(t, mark);
}

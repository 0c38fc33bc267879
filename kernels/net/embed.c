/* Input embedder: the first MSA and pair representations out of the features. */
#include "kernels/net/modules.h"

struct embed embed_declare(struct params *p, const char *prefix, int64_t c_m, int64_t c_z)
{
    struct embed e = {.c_m = c_m, .c_z = c_z};
    e.z_i = linear_declare(p, prefix, "linear_tf_z_i", c_z, TARGET_FEATURES, INIT_LECUN);
    e.z_j = linear_declare(p, prefix, "linear_tf_z_j", c_z, TARGET_FEATURES, INIT_LECUN);
    e.tf_m = linear_declare(p, prefix, "linear_tf_m", c_m, TARGET_FEATURES, INIT_LECUN);
    e.msa_m = linear_declare(p, prefix, "linear_msa_m", c_m, MSA_FEATURES, INIT_LECUN);
    e.relpos = linear_declare(p, prefix, "linear_relpos", c_z, RELPOS_BINS, INIT_LECUN);
    return e;
}

void embed_run(struct tape *t, const struct embed *e, struct tensor target, struct tensor index,
               struct tensor msa, int64_t more, struct tape_stream *m, struct tape_stream *z)
{
    int64_t rows = msa.dim[0], length = msa.dim[1];
    *m = tape_stream_open(t, rows + more, length, e->c_m);
    *z = tape_stream_open(t, length, length, e->c_z);
    struct tape_mark mark = tape_begin(t, "input embedder");

    struct tensor left = linear_run(t, e->z_i, target), right = linear_run(t, e->z_j, target);
    tape_embed_pair(t, (struct op_embed_pair){.left = left,
                                              .right = right,
                                              .w = tape_weight(t, e->relpos.w),
                                              .b = tape_weight(t, e->relpos.b),
                                              .index = index,
                                              .z = z->now});

    struct tensor residue = linear_run(t, e->tf_m, target); /* the same for every row */
    struct tensor spread = tape_tensor(t, 2, rows, length * e->c_m, 1, 1);
    tape_spread(t, (struct op_spread){.t = tensor_flat(residue), .y = spread});
    struct tensor start =
        tensor_make(spread.data, spread.kind, 2, rows * length, e->c_m, 1, 1);
    start.slot = spread.slot;
    tape_linear(t, (struct op_linear){.x = tensor_rows(msa),
                                      .w = tape_weight(t, e->msa_m.w),
                                      .b = tape_weight(t, e->msa_m.b),
                                      .res = start,
                                      .y = tensor_rows(tensor_range(m->now, 0, rows))});
    tape_end(t, mark);
}

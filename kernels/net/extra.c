/* Extra MSA embedder: from the compact rows to the first representation of the extra MSA stack. */
#include "kernels/net/modules.h"

struct tensor extra_features_run(struct tape *t, struct tensor msa, struct tensor has_deletion,
                                 struct tensor deletion)
{
    enum tensor_kind real = t->backend->real;
    struct tensor y = tape_constant(t, real, 2, tensor_count(&msa), EXTRA_FEATURES, 1, 1);
    tape_extra_features(t, (struct op_extra_features){.msa = tensor_flat(msa),
                                                      .has_deletion = tensor_flat(has_deletion),
                                                      .deletion = tensor_flat(deletion),
                                                      .y = y});
    return y;
}

void extra_embed_run(struct tape *t, struct layer linear, struct tensor features, int64_t rows,
                     struct tape_stream *m)
{
    *m = tape_stream_open(t, rows, features.dim[0] / rows, linear.w.dim[0]);
    tape_linear(t, (struct op_linear){.x = features,
                                      .w = tape_weight(t, linear.w),
                                      .b = tape_weight(t, linear.b),
                                      .y = tensor_rows(m->now)});
}

void single_run(struct tape *t, struct layer linear, const struct tape_stream *m,
                struct tape_stream *s)
{
    int64_t length = m->now.dim[1];
    struct tensor first = tensor_make(m->now.data, m->now.kind, 2, length, m->now.dim[2], 1, 1);
    first.slot = m->now.slot;
    *s = tape_stream_open(t, 1, length, linear.w.dim[0]);
    tape_linear(t, (struct op_linear){.x = first,
                                      .w = tape_weight(t, linear.w),
                                      .b = tape_weight(t, linear.b),
                                      .y = tensor_rows(s->now)});
}

/* The heads that read the pair and the MSA representation. */
#include "kernels/net/modules.h"

#include <stdio.h>

struct heads heads_declare(struct params *p, const char *prefix, int64_t c_m, int64_t c_z)
{
    struct heads h;
    h.distogram = linear_declare(p, prefix, "distogram.linear", DISTOGRAM_BINS, c_z, INIT_ZERO);
    h.masked_msa = linear_declare(p, prefix, "masked_msa.linear", MSA_CLASSES, c_m, INIT_ZERO);
    return h;
}

struct tensor distogram_run(struct tape *t, const struct heads *h, const struct tape_stream *z)
{
    int64_t length = z->now.dim[0], bins = DISTOGRAM_BINS;
    struct tensor half = linear_run(t, h->distogram, tensor_rows(z->now));
    struct tensor turned = tape_tensor(t, 3, length, length, bins, 1);
    struct tensor sum = tape_tensor(t, 3, length, length, bins, 1);
    struct tensor from = tensor_make(half.data, half.kind, 4, 1, length, length, bins);
    struct tensor to = tensor_make(turned.data, turned.kind, 4, 1, length, length, bins);
    struct tensor x = tensor_make(half.data, half.kind, 3, length, length, bins, 1);
    from.slot = x.slot = half.slot;
    to.slot = turned.slot;
    tape_copy(t, (struct op_copy){.x = tensor_swap(from, 1, 2), .y = to});
    tape_residual(t, (struct op_residual){.x = x, .u = turned, .y = sum, .shared = -1});
    return sum;
}

struct tensor masked_msa_run(struct tape *t, const struct heads *h, const struct tape_stream *m)
{
    return linear_run(t, h->masked_msa, tensor_rows(m->now));
}

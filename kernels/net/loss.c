/* The cross entropy that several losses are; what it compares with is made in targets.c. */
#include "kernels/net/modules.h"

struct tensor loss_run(struct tape *t, struct tensor logits, struct tensor target,
                       struct tensor weight)
{
    struct tensor rows = logits.rank == 2 ? logits : tensor_rows(logits);
    struct tensor loss = tape_tensor(t, 1, 1, 1, 1, 1);
    struct tensor lse = tape_constant(t, logits.kind, 1, rows.dim[0], 1, 1, 1);
    tape_xent(t, (struct op_xent){
                     .x = rows, .target = target, .weight = weight, .loss = loss, .lse = lse});
    return loss;
}

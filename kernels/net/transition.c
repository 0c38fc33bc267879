/* The two-layer perceptron of MSA and pair representation. */
#include "kernels/net/modules.h"

struct transition transition_declare(struct params *p, const char *prefix, int64_t channels,
                                     int64_t factor)
{
    struct transition a = {.module = "transition"};
    a.norm = layer_norm_declare(p, prefix, "layer_norm", channels);
    a.up = linear_declare(p, prefix, "linear_1", factor * channels, channels, INIT_RELU);
    a.down = linear_declare(p, prefix, "linear_2", channels, factor * channels, INIT_ZERO);
    return a;
}

void transition_run(struct tape *t, const struct transition *a, struct tape_stream *s)
{
    struct tape_mark mark = tape_begin(t, a->module);
    struct tensor norm = layer_norm_run(t, a->norm, s->now);
    struct tensor hidden = tape_tensor(t, 2, norm.dim[0], a->up.w.dim[0], 1, 1);
    tape_linear_relu(t, (struct op_linear_relu){.x = norm,
                                                .w = tape_weight(t, a->up.w),
                                                .b = tape_weight(t, a->up.b),
                                                .y = hidden});
    linear_add_run(t, a->down, hidden, s);
    tape_end(t, mark);
}

/* See head_structure.h. */
#include "kernels/net/head_structure.h"

#include <math.h>
#include <stdio.h>

struct plddt_head plddt_head_declare(struct params *p, const char *prefix, int64_t c_s,
                                     int64_t hidden)
{
    struct plddt_head h;
    h.norm = layer_norm_declare(p, prefix, "layer_norm", c_s);
    h.linear[0] = linear_declare(p, prefix, "linear_1", hidden, c_s, INIT_RELU);
    h.linear[1] = linear_declare(p, prefix, "linear_2", hidden, hidden, INIT_RELU);
    h.linear[2] = linear_declare(p, prefix, "linear_3", PLDDT_BINS, hidden, INIT_ZERO);
    return h;
}

struct tensor plddt_head_run(struct tape *t, const struct plddt_head *h, struct tensor s)
{
    struct tensor x = layer_norm_run(t, h->norm, s);
    for (int i = 0; i < 2; i++) {
        struct tensor y = tape_tensor(t, 2, x.dim[0], h->linear[i].w.dim[0], 1, 1);
        tape_linear_relu(t, (struct op_linear_relu){.x = x,
                                                    .w = tape_weight(t, h->linear[i].w),
                                                    .b = tape_weight(t, h->linear[i].b),
                                                    .y = y});
        x = y;
    }
    return linear_run(t, h->linear[2], x);
}

void plddt_values(int64_t count, const double *logits, double *plddt)
{
    for (int64_t n = 0; n < count; n++) {
        const double *x = logits + n * PLDDT_BINS;
        double most = x[0], sum = 0, mean = 0;
        for (int k = 1; k < PLDDT_BINS; k++)
            most = x[k] > most ? x[k] : most;
        for (int k = 0; k < PLDDT_BINS; k++) {
            double weight = exp(x[k] - most);
            sum += weight;
            mean += weight * (k + 0.5) / PLDDT_BINS;
        }
        plddt[n] = 100 * mean / sum;
    }
}

struct layer resolved_head_declare(struct params *p, const char *prefix, int64_t c_s)
{
    return linear_declare(p, prefix, "linear", RESOLVED_ATOMS, c_s, INIT_ZERO);
}

struct layer aligned_head_declare(struct params *p, const char *prefix, int64_t c_z)
{
    return linear_declare(p, prefix, "linear", ALIGNED_ERROR_BINS, c_z, INIT_ZERO);
}

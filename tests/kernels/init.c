/* How every parameter of the published network starts, against the paper (AF2 suppl. 1.11.4), by a
 * table of names that knows nothing of the declarations: zeros and ones exactly, draws by mean,
 * variance and where they are cut. Blocks of a stack start alike, so one of each stands for all. */
#include "kernels/net/model.h"

#include <criterion/criterion.h>
#include <fnmatch.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ZERO, ONE, POINT: one value. LECUN, RELU: a normal cut at 2 sigma, variance 1 and 2 by fan in.
 * NORMAL: not cut. GLOROT: uniform, variance 2 / (fan in + fan out). */
enum start { ZERO, ONE, POINT, LECUN, RELU, GLOROT, NORMAL, STARTS };

/* The first row that fits counts. */
static const struct {
    const char *name;
    enum start start;
} rows[] = {
    /* layer norms; gates begin half open and further: sigmoid(1) */
    {"*layer_norm*.weight", ONE},
    {"*layer_norm*.bias", ZERO},
    {"*.linear_g.bias", ONE},
    {"*.linear_[ab]_g.bias", ONE},
    {"*.linear_g.weight", ZERO},
    {"*.linear_[ab]_g.weight", ZERO},
    {"*.bias", ZERO},
    {"structure_module.ipa.head_weights", POINT},
    /* the last linear of what is added to a representation, and of heads */
    {"*.mha.linear_o.weight", ZERO},
    {"*.global_attention.linear_o.weight", ZERO},
    {"*.outer_product_mean.linear_out.weight", ZERO},
    {"*.tri_mul_*.linear_z.weight", ZERO},
    {"*.msa_transition.linear_2.weight", ZERO},
    {"*.pair_transition.linear_2.weight", ZERO},
    {"structure_module.ipa.linear_out.weight", ZERO},
    {"structure_module.transition.layers.0.linear_3.weight", ZERO},
    {"structure_module.bb_update.linear.weight", ZERO},
    {"structure_module.angle_resnet.layers.[01].linear_2.weight", ZERO},
    {"aux_heads.plddt.linear_3.weight", ZERO},
    {"aux_heads.*.linear.weight", ZERO},
    /* queries, keys and values of attention; the pair biases of attention */
    {"*.mha.linear_[qkv].weight", GLOROT},
    {"*.global_attention.linear_[qkv].weight", GLOROT},
    {"*.msa_att_row.linear_z.weight", NORMAL},
    {"*.tri_att_*.linear.weight", NORMAL},
    /* before a relu */
    {"*.msa_transition.linear_1.weight", RELU},
    {"*.pair_transition.linear_1.weight", RELU},
    {"structure_module.transition.layers.0.linear_[12].weight", RELU},
    {"structure_module.angle_resnet.layers.[01].linear_1.weight", RELU},
    {"aux_heads.plddt.linear_[12].weight", RELU},
    {"template_embedder.template_single_embedder.linear_[12].weight", RELU},
    {"template_embedder.template_pair_embedder.linear.weight", RELU},
    /* all that remains */
    {"input_embedder.linear_*.weight", LECUN},
    {"recycling_embedder.linear.weight", LECUN},
    {"extra_msa_embedder.linear.weight", LECUN},
    {"*.outer_product_mean.linear_[12].weight", LECUN},
    {"*.tri_mul_*.linear_[ab]_p.weight", LECUN},
    {"evoformer.linear.weight", LECUN},
    {"structure_module.linear_in.weight", LECUN},
    {"structure_module.ipa.linear_[qb].weight", LECUN},
    {"structure_module.ipa.linear_kv.weight", LECUN},
    {"structure_module.ipa.linear_*_points.linear.weight", LECUN},
    {"structure_module.angle_resnet.linear_*.weight", LECUN}};

enum { ROWS = sizeof rows / sizeof *rows };

static int row_of(const char *name)
{
    for (int i = 0; i < ROWS; i++)
        if (fnmatch(rows[i].name, name, 0) == 0)
            return i;
    cr_assert_fail("%s is in no row of the table", name);
    return -1;
}

/* The variance wanted, and the largest size that a draw may have. */
static double variance_of(enum start start, const struct parameter *p, double *limit)
{
    double fan_in = (double)p->dim[1], fan_out = (double)p->dim[0], variance = 1 / fan_in;
    if (start == RELU)
        variance = 2 / fan_in;
    if (start == GLOROT)
        variance = 2 / (fan_in + fan_out);
    *limit = 8 * sqrt(variance);
    if (start == GLOROT)
        *limit = sqrt(3 * variance);
    if (start == LECUN || start == RELU) /* cut at 2 sigma, then spread to the variance again */
        *limit = 2 * sqrt(variance) / 0.87962566103423978;
    return variance;
}

static void check_draws(const struct parameter *p, enum start start, const float *x)
{
    double sum = 0, square = 0, largest = 0, count = (double)p->count, limit;
    double variance = variance_of(start, p, &limit);
    for (int64_t i = 0; i < p->count; i++) {
        sum += (double)x[i], square += (double)x[i] * (double)x[i];
        largest = fmax(largest, fabs((double)x[i]));
    }
    double mean = sum / count, got = square / count - mean * mean;
    /* 5 sigma: of the mean; and of the variance, whose own is at most 2 variance^2 / count */
    cr_assert(fabs(mean) < 5 * sqrt(variance / count), "%s: mean %g", p->name, mean);
    cr_assert(fabs(got / variance - 1) < 5 * sqrt(2 / count) + 1 / count,
              "%s: variance %g, wanted %g", p->name, got, variance);
    cr_assert(largest <= limit * (1 + 1e-6), "%s: %g is beyond %g", p->name, largest, limit);
    if (count > 4000)
        cr_assert(largest > (start == NORMAL ? 2.5 * sqrt(variance) : 0.97 * limit),
                  "%s: none is larger than %g", p->name, largest);
}

Test(init, every_parameter_starts_as_in_the_paper)
{
    static const float value[] = {[ZERO] = 0, [ONE] = 1, [POINT] = 0.541324854612918f};
    struct model_sizes sizes = model_sizes_published();
    struct model *model = calloc(1, sizeof *model);
    struct params params;
    bool used[ROWS] = {false};
    sizes.trunk.blocks = sizes.trunk.extra_blocks = sizes.trunk.template_blocks = 1;
    sizes.aligned_error = true;
    cr_assert(model != NULL, "memory");
    params_open(&params);
    model_declare(&params, &sizes, model);
    float *x = malloc((size_t)params.size * sizeof *x);
    cr_assert(x != NULL, "memory");
    params_init(&params, 1, x);
    cr_assert(fabs(log1p(exp((double)value[POINT])) - 1) < 1e-7, "softplus of it is 1");
    for (int i = 0; i < params.count; i++) {
        const struct parameter *p = &params.item[i];
        int row = row_of(p->name);
        used[row] = true;
        if (rows[row].start >= LECUN) {
            cr_assert(p->rank == 2, "%s is no matrix", p->name);
            check_draws(p, rows[row].start, x + p->offset);
        } else {
            for (int64_t n = 0; n < p->count; n++)
                cr_assert(x[p->offset + n] == value[rows[row].start], "%s: %g", p->name,
                          (double)x[p->offset + n]);
        }
    }
    for (int i = 0; i < ROWS; i++)
        cr_assert(used[i], "no parameter is called %s", rows[i].name);
    params_close(&params);
    free(x);
    free(model);
}

Test(init, draws_follow_seed_and_name)
{
    struct params params;
    params_open(&params);
    params_add(&params, "a", "weight", 40, 30, INIT_LECUN, false);
    params_add(&params, "b", "weight", 40, 30, INIT_LECUN, false);
    size_t count = (size_t)params.size;
    float *x = calloc(3 * count, sizeof *x), *y = x + count, *z = y + count;
    params_init(&params, 1, x);
    params_init(&params, 1, y);
    params_init(&params, 2, z);
    cr_assert(memcmp(x, y, count * sizeof *x) == 0, "the same seed gives the same bits");
    cr_assert(memcmp(x, z, count * sizeof *x) != 0, "another seed others");
    cr_assert(memcmp(x, x + params.item[1].offset, 1200 * sizeof *x) != 0, "so does another name");
    params_close(&params);
    free(x);
}

/* Defaults and checks of a network's sizes; see config.h. */
#include "kernels/net/config.h"

_Static_assert(sizeof(struct net_config) % 8 == 0, "no padding at the end of the configuration");

struct net_config net_config_default(void)
{
#define VALUE(name, fallback, ...) .name = fallback,
    return (struct net_config){.length = 64,
                               .clusters = 32,
                               NET_SIZES(VALUE) NET_PLAN_SIZES(VALUE) NET_NUMBERS(VALUE)
                               NET_FLAGS(VALUE)
                               .seed = 1};
#undef VALUE
}

enum status net_config_check(const struct net_config *c, struct error *err)
{
#define SIZE_ROW(name, fallback, least, most, help) {#name, c->name, least, most},
    const struct {
        const char *name;
        int64_t value, least, most;
    } sizes[] = {{"length", c->length, 1, 4096},
                 {"clusters", c->clusters, 1, 16384},
                 {"extra rows", c->extra, c->extra_blocks > 0, c->extra_blocks > 0 ? 65536 : 0},
                 {"templates", c->templates, 0,
                  c->template_blocks > 0 ? TRUNK_TEMPLATES_MAX : 0},
                 NET_SIZES(SIZE_ROW) NET_PLAN_SIZES(SIZE_ROW)};
#undef SIZE_ROW
#define NUMBER_ROW(name, fallback, least, most, help) {#name, c->name, least, most},
    const struct {
        const char *name;
        double value, least, most;
    } numbers[] = {NET_NUMBERS(NUMBER_ROW)};
#undef NUMBER_ROW
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        if (sizes[i].value < sizes[i].least || sizes[i].value > sizes[i].most)
            return error_set(err, STATUS_INVALID, "network: %s is %lld; wanted %lld to %lld",
                             sizes[i].name, (long long)sizes[i].value, (long long)sizes[i].least,
                             (long long)sizes[i].most);
    if (c->aligned_error && c->structure_iterations == 0)
        return error_set(err, STATUS_INVALID,
                         "network: aligned_error is true but structure_iterations is 0; errors "
                         "are those of predicted structures: wanted 1 to %d iterations",
                         STRUCTURE_ITERATIONS_MAX);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        if (!(numbers[i].value >= numbers[i].least && numbers[i].value <= numbers[i].most))
            return error_set(err, STATUS_INVALID, "network: %s is %g; wanted %g to %g",
                             numbers[i].name, numbers[i].value, numbers[i].least, numbers[i].most);
    return STATUS_OK;
}

struct model_sizes net_config_sizes(const struct net_config *c)
{
    struct block_sizes main = {.c_m = c->c_m,
                               .c_z = c->c_z,
                               .heads = c->heads,
                               .head_dims = c->head_dims,
                               .columns = c->column_attention ? COLUMNS_FULL : COLUMNS_NONE,
                               .pair_heads = c->pair_heads,
                               .pair_head_dims = c->pair_head_dims,
                               .outer_hidden = c->outer_hidden,
                               .triangle_hidden = c->triangle_hidden,
                               .transition_factor = c->transition_factor,
                               .dropout_msa = c->dropout_msa,
                               .dropout_pair = c->dropout_pair};
    struct block_sizes extra = main, template = main;
    extra.c_m = c->extra_c_m;
    extra.heads = c->extra_heads;
    extra.head_dims = c->extra_head_dims;
    extra.columns = COLUMNS_GLOBAL;
    template.c_z = template.triangle_hidden = c->template_c;
    template.pair_heads = c->template_heads;
    template.pair_head_dims = c->template_head_dims;
    template.transition_factor = 2;
    return (struct model_sizes){.trunk = {.main = main,
                                          .extra = extra,
                                          .template = template,
                                          .recycling = c->recycling,
                                          .blocks = (int)c->blocks,
                                          .extra_blocks = (int)c->extra_blocks,
                                          .template_blocks = (int)c->template_blocks,
                                          .template_heads = c->template_heads,
                                          .template_head_dims = c->template_head_dims,
                                          .keep_blocks = (int)c->keep_blocks,
                                          .keep_extra = (int)c->keep_extra,
                                          .c_s = c->structure_iterations > 0 ? c->c_s : 0},
                                .structure = {.c_s = c->c_s,
                                              .c_z = c->c_z,
                                              .heads = c->structure_heads,
                                              .dims = c->structure_head_dims,
                                              .query_points = c->query_points,
                                              .value_points = c->value_points,
                                              .angle_channels = c->angle_channels,
                                              .angle_layers = (int)c->angle_layers,
                                              .iterations = (int)c->structure_iterations,
                                              .dropout = c->dropout_structure},
                                .plddt_hidden = c->plddt_hidden,
                                .aligned_error = c->aligned_error};
}

/* The plan of memory: the network's own code on a tape that counts, with a backend that counts, so
 * that the plan and what is used cannot differ. And the choice of the blocks that keep what they
 * made; see net.h. */
#include "kernels/net/inside.h"

#include "engine/base/text.h"

#include <stdio.h>
#include <stdlib.h>

void net_parameters_open(struct net *net)
{
    struct model_sizes sizes = net_config_sizes(&net->config);
    params_open(&net->params);
    residue_facts_make(&net->residues);
    residue_bounds_make(&net->residues, &net->bounds);
    model_declare(&net->params, &sizes, &net->model);
}

size_t net_carried_shape(struct net *net)
{
    const struct net_config *c = &net->config;
    enum tensor_kind real = net->backend->real;
    if (!c->recycling)
        return 0;
    net->carried = (struct recycled){tensor_make(NULL, real, 2, c->length, c->c_m, 1, 1),
                                     tensor_make(NULL, real, 3, c->length, c->length, c->c_z, 1),
                                     tensor_make(NULL, real, 2, c->length, 3, 1, 1)};
    const struct recycled *all = &net->carried;
    return (size_t)(tensor_count(&all->m) + tensor_count(&all->z) + tensor_count(&all->beta)) *
           tensor_kind_bytes(real);
}

size_t net_staging_count(const struct net *net)
{
    const struct net_config *c = &net->config;
    int64_t counts[] = {c->clusters * c->length * MSA_FEATURES,
                        c->length * c->length * DISTOGRAM_BINS,
                        c->templates * c->length * TEMPLATE_ANGLE_FEATURES, c->extra * c->length,
                        net->params.size},
            most = 0;
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
        most = counts[i] > most ? counts[i] : most;
    return (size_t)most;
}

/* Runs the passes that will be used on a planning tape. */
struct tape_size net_plan_tape(struct net *net, struct net_plan *plan)
{
    struct pass *p = &net->pass;
    struct tape *t = &net->tape;
    tape_open_plan(t, net->backend);
    t->dropout = true; /* which needs memory of its own in places */
    *p = pass_open(net, true);
    pass_run(net, p, NULL);
    for (int i = 0; plan && i < MODEL_PARTS; i++)
        plan->part_flops[i] = t->zone_flops[i];
    pass_back(net, p, 1);
    tape_reset(t, false);
    *p = pass_open(net, true);
    pass_run(net, p, NULL);
    if (net->config.recycling)
        model_recycle(t, &p->model, &net->carried);
    struct tape_size size = tape_peak(t);
    for (int i = 0; plan && i < MODEL_PARTS; i++)
        plan->part_bytes[i] = t->zone_peak[i];
    tape_close(t);
    return size;
}

static int kept(int64_t keep, int64_t blocks)
{
    return (int)(keep < 0 || keep > blocks ? blocks : keep);
}

/* The scratch of what is not on the tape: the norm of the gradients. */
static void count_norm(struct net *net)
{
    struct tensor all = tensor_make(NULL, net->backend->real, 1, net->params.size, 1, 1, 1);
    struct op_sum_squares args = {.x = all};
    if (net->backend->count)
        net->backend->count(net->backend, OP_sum_squares, &args, NULL);
}

enum status net_plan(const struct net_config *config, struct backend *counting,
                     struct net_plan *plan, struct error *err)
{
    struct backend shapes = {.name = "plan", .real = TENSOR_F32};
    enum status status = net_config_check(config, err);
    if (status != STATUS_OK)
        return status;
    struct net *net = calloc(1, sizeof *net);
    ASSERT(net);
    net->config = *config;
    net->backend = counting ? counting : &shapes;
    if (counting)
        counting->count(counting, OP_COUNT, NULL, NULL); /* what other plans took is forgotten */
    net_parameters_open(net);
    size_t real = tensor_kind_bytes(net->backend->real);
    *plan = (struct net_plan){.weights_bytes = (size_t)net->params.size * real,
                              .carried_bytes = net_carried_shape(net),
                              .keep_blocks = kept(config->keep_blocks, config->blocks),
                              .keep_extra = kept(config->keep_extra, config->extra_blocks)};
    for (int i = 0; i < net->params.count; i++)
        plan->parameters += net->params.item[i].count;
    struct tape_size size = net_plan_tape(net, plan);
    count_norm(net);
    if (counting)
        plan->scratch_bytes = counting->scratch_bytes(counting);
    plan->activations_bytes = size.bytes + plan->carried_bytes;
    plan->total_bytes = /* the last: the gradients' norm */
        BUFFERS * plan->weights_bytes + plan->activations_bytes + plan->scratch_bytes + real;
    plan->host_bytes = net_staging_count(net) * sizeof(double) + tape_table_bytes(size);
    params_close(&net->params);
    free(net);
    return STATUS_OK;
}

/* What is sought: the largest plan within a limit. */
struct fit {
    struct net_config *config;
    struct backend *counting;
    const struct net_room *room;
    struct net_plan plan; /* of the last try */
};

size_t net_room_need(const struct net_plan *plan, const struct net_room *room)
{
    return plan->total_bytes + (room->clip ? plan->weights_bytes : 0) +
           (room->host ? plan->host_bytes : 0);
}

static size_t need(const struct fit *fit)
{
    return net_room_need(&fit->plan, fit->room);
}

/* Whether the configuration as it stands is within the limit. It has been checked. */
static bool fits(struct fit *fit)
{
    struct error err;
    enum status status = net_plan(fit->config, fit->counting, &fit->plan, &err);
    ASSERT(status == STATUS_OK);
    return fit->room->limit_bytes == 0 || need(fit) <= fit->room->limit_bytes;
}

/* *size becomes the largest of least..most that fits; least is known to. */
static void size_most(struct fit *fit, int64_t *size, int64_t least, int64_t most)
{
    *size = most;
    if (least == most || fits(fit))
        return;
    while (most - least > 1) {
        *size = least + (most - least) / 2;
        if (fits(fit))
            least = *size;
        else
            most = *size;
    }
    *size = least;
}

/* How few of the Evoformer's blocks should keep what they made: the last one must have all of it
 * just when its backward begins, so that keeping it may cost nothing and spares copies. */
static int64_t main_least(struct fit *fit)
{
    fit->config->keep_blocks = 0;
    fits(fit);
    size_t none = need(fit);
    if (fit->config->blocks == 0)
        return 0;
    fit->config->keep_blocks = 1;
    fits(fit);
    if (need(fit) > none)
        fit->config->keep_blocks = 0;
    return fit->config->keep_blocks;
}

/* Of a stack whose other blocks keep nothing: operations saved for each byte kept. */
static double stack_worth(struct fit *fit, int64_t *keep, int64_t blocks, enum model_part part)
{
    int64_t least = *keep;
    if (blocks == least)
        return 0;
    fits(fit);
    size_t none = need(fit);
    *keep = blocks;
    fits(fit);
    size_t all = need(fit);
    *keep = least;
    double part_kept = (double)(blocks - least) / (double)blocks;
    return all > none ? part_kept * fit->plan.part_flops[part] / (double)(all - none) : 0;
}

static enum status too_small(struct fit *fit, const struct net_config *given, struct error *err)
{
    struct net_config least = *given, *config = fit->config;
    char text[5][32], advice[160] = "";
    size_t wanted = need(fit), buffers = BUFFERS + fit->room->clip;
    struct net_plan plan = fit->plan;
    int used = 0;
    *config = *given;
    config->keep_extra = 0;
    least.keep_blocks = main_least(fit), least.keep_extra = 0;
    if (given->keep_blocks > 0 || given->keep_extra > 0) {
        *config = least;
        if (fits(fit))
            used = snprintf(advice, sizeof advice, "keep_blocks and keep_extra -1, ");
    }
    *config = least, config->length = 1;
    if (!used && given->length > 1 && fits(fit)) {
        size_most(fit, &config->length, 1, given->length - 1);
        used = snprintf(advice, sizeof advice, "crops of length %lld, ", (long long)config->length);
    }
    *config = *given;
    fit->plan = plan;
    return error_set(
        err, STATUS_LIMIT,
        "a step needs %s at least (weights and what goes with them %s, activations %s) and may "
        "have %s; this would fit: %s%s%s of memory",
        text_show_bytes(text[0], sizeof text[0], wanted),
        text_show_bytes(text[1], sizeof text[1], buffers * plan.weights_bytes),
        text_show_bytes(text[2], sizeof text[2], plan.activations_bytes),
        text_show_bytes(text[3], sizeof text[3], fit->room->limit_bytes), advice, used ? "or " : "",
        text_show_bytes(text[4], sizeof text[4], wanted));
}

enum status net_plan_fit(struct net_config *config, struct backend *counting,
                         const struct net_room *room, struct net_plan *plan, struct error *err)
{
    struct net_config given = *config;
    struct fit fit = {config, counting, room, {0}};
    enum status status = net_config_check(config, err);
    if (status != STATUS_OK)
        return status;
    bool free_main = given.keep_blocks < 0, free_extra = given.keep_extra < 0;
    config->keep_extra = free_extra ? 0 : given.keep_extra;
    int64_t least = free_main ? main_least(&fit) : given.keep_blocks;
    config->keep_blocks = least;
    if (!fits(&fit)) {
        status = too_small(&fit, &given, err);
        *plan = fit.plan;
        return status;
    }
    bool extra_first = false;
    if (free_main && free_extra && room->limit_bytes > 0) {
        double extra = stack_worth(&fit, &config->keep_extra, given.extra_blocks, MODEL_EXTRA);
        double main = stack_worth(&fit, &config->keep_blocks, given.blocks, MODEL_EVOFORMER);
        extra_first = extra > main;
    }
    if (free_extra && extra_first)
        size_most(&fit, &config->keep_extra, 0, given.extra_blocks);
    if (free_main)
        size_most(&fit, &config->keep_blocks, least, given.blocks);
    if (free_extra && !extra_first)
        size_most(&fit, &config->keep_extra, 0, given.extra_blocks);
    bool good = fits(&fit);
    ASSERT(good);
    *plan = fit.plan;
    return STATUS_OK;
}

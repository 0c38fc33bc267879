/* The network as the trainer sees it; see net.h. */
#include "kernels/net/inside.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void model_open(struct model *model, const struct net_config *c)
{
    struct block_sizes sizes = {.c_m = c->c_m,
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
    params_open(&model->params);
    model->embed = embed_declare(&model->params, "input_embedder", c->c_m, c->c_z);
    for (int i = 0; i < c->blocks; i++) {
        char prefix[PARAM_NAME_MAX];
        snprintf(prefix, sizeof prefix, "evoformer.blocks.%d", i);
        model->block[i] = block_declare(&model->params, prefix, &sizes, i);
    }
    model->heads = heads_declare(&model->params, "aux_heads", c->c_m, c->c_z);
}

/* Features and targets: memory first, values later. */
static struct pass pass_open(struct net *net, bool losses)
{
    struct tape *t = &net->tape;
    enum tensor_kind real = net->backend->real;
    int64_t length = net->config.length, rows = net->config.clusters, pairs = length * length;
    struct pass p = {.losses = losses};
    p.target = tape_constant(t, real, 2, length, TARGET_FEATURES, 1, 1);
    p.index = tape_constant(t, TENSOR_I32, 1, length, 1, 1, 1);
    p.msa = tape_constant(t, real, 3, rows, length, MSA_FEATURES, 1);
    net->masks.msa = tape_constant(t, real, 2, rows, length, 1, 1);
    net->masks.pair = tape_constant(t, real, 2, length, length, 1, 1);
    net->masks.outer_norm = tape_constant(t, real, 2, length, length, 1, 1);
    if (losses) {
        p.distogram_bin = tape_constant(t, TENSOR_I32, 1, pairs, 1, 1, 1);
        p.distogram_weight = tape_constant(t, real, 1, pairs, 1, 1, 1);
        p.msa_class = tape_constant(t, TENSOR_I32, 1, rows * length, 1, 1, 1);
        p.msa_weight = tape_constant(t, real, 1, rows * length, 1, 1, 1);
    }
    return p;
}

/* All ops of a forward pass. */
static void pass_run(struct net *net, struct pass *p)
{
    struct tape *t = &net->tape;
    struct tape_stream m, z;
    const struct net_config *c = &net->config;
    tape_mask_norm(t, (struct op_mask_norm){.mask = net->masks.msa,
                                            .y = net->masks.outer_norm,
                                            .eps = OUTER_NORM_EPS});
    if (c->column_attention)
        net->masks.msa_columns = mask_turn(t, net->masks.msa);
    net->masks.pair_columns = net->masks.pair; /* of residues that are there: symmetric */
    embed_run(t, &net->model.embed, p->target, p->index, p->msa, 0, &m, &z);
    for (int i = 0; i < c->blocks; i++) {
        net->context[i] = (struct block_context){&net->model.block[i], &net->masks};
        bool keep = c->keep_blocks < 0 || i >= c->blocks - c->keep_blocks;
        tape_block(t, block_run, &net->context[i], &m, &z, keep);
    }
    struct tape_mark mark = tape_begin(t);
    p->logits = distogram_run(t, &net->model.heads, &z);
    if (p->losses) {
        p->loss[0] = loss_run(t, p->logits, p->distogram_bin, p->distogram_weight);
        p->loss[1] = loss_run(t, masked_msa_run(t, &net->model.heads, &m), p->msa_class,
                              p->msa_weight);
    }
    /* Only now is the memory of what was not recorded given back: results are read before. */
    tape_end(t, mark);
}

static void pass_back(struct net *net, const struct tensor loss[2], double weight)
{
    tape_seed_value(&net->tape, loss[0], weight * net->config.weight_distogram);
    tape_seed_value(&net->tape, loss[1], weight * net->config.weight_masked_msa);
    tape_back(&net->tape);
}

/* Runs the passes that will be used on a planning tape. */
static struct tape_size plan_run(struct net *net)
{
    struct pass p;
    tape_open_plan(&net->tape, net->backend);
    p = pass_open(net, true);
    pass_run(net, &p);
    pass_back(net, p.loss, 1);
    tape_reset(&net->tape, false);
    p = pass_open(net, true);
    pass_run(net, &p);
    struct tape_size size = tape_peak(&net->tape);
    tape_close(&net->tape);
    return size;
}

struct net_config net_config_default(void)
{
    return (struct net_config){.length = 64,
                               .clusters = 32,
                               .c_m = 64,
                               .c_z = 64,
                               .blocks = 4,
                               .heads = 4,
                               .head_dims = 16,
                               .pair_head_dims = 16,
                               .outer_hidden = 16,
                               .triangle_hidden = 32,
                               .transition_factor = 2,
                               .keep_blocks = -1,
                               .dropout_msa = 0.15,
                               .dropout_pair = 0.25,
                               .weight_distogram = 0.3,
                               .weight_masked_msa = 2.0,
                               .seed = 1};
}

enum status net_config_check(const struct net_config *c, struct error *err)
{
    const struct {
        const char *name;
        int64_t value, min, max;
    } sizes[] = {
        {"length", c->length, 1, 4096},
        {"clusters", c->clusters, 1, 16384},
        {"c_m", c->c_m, 1, 4096},
        {"c_z", c->c_z, 1, 4096},
        {"blocks", c->blocks, 0, NET_BLOCKS_MAX},
        {"heads", c->heads, 1, 256},
        {"head_dims", c->head_dims, 1, 1024},
        {"column_attention", c->column_attention, 0, 1},
        {"pair_heads", c->pair_heads, 0, 256},
        {"pair_head_dims", c->pair_head_dims, 1, 1024},
        {"outer_hidden", c->outer_hidden, 1, 256},
        {"triangle_hidden", c->triangle_hidden, 1, 1024},
        {"transition_factor", c->transition_factor, 1, 16},
        {"keep_blocks", c->keep_blocks, -1, NET_BLOCKS_MAX},
    };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        if (sizes[i].value < sizes[i].min || sizes[i].value > sizes[i].max)
            return error_set(err, STATUS_INVALID, "network: %s is %lld; wanted %lld to %lld",
                             sizes[i].name, (long long)sizes[i].value, (long long)sizes[i].min,
                             (long long)sizes[i].max);
    if (!(c->dropout_msa >= 0 && c->dropout_msa < 1 && c->dropout_pair >= 0 && c->dropout_pair < 1))
        return error_set(err, STATUS_INVALID,
                         "network: dropout is %g for the msa and %g for pairs; wanted 0 to below 1",
                         c->dropout_msa, c->dropout_pair);
    if (!isfinite(c->weight_distogram) || !isfinite(c->weight_masked_msa))
        return error_set(err, STATUS_INVALID, "network: a loss weight is not finite");
    return STATUS_OK;
}

enum status net_plan(const struct net_config *config, struct net_plan *plan, struct error *err)
{
    enum status status = net_config_check(config, err);
    if (status != STATUS_OK)
        return status;
    struct backend shapes = {.name = "plan", .real = TENSOR_F32};
    struct net *net = calloc(1, sizeof *net);
    ASSERT(net);
    net->config = *config;
    net->backend = &shapes;
    model_open(&net->model, config);
    plan->parameters = 0;
    for (int i = 0; i < net->model.params.count; i++)
        plan->parameters += net->model.params.item[i].count;
    plan->weights_bytes = (size_t)net->model.params.size * tensor_kind_bytes(shapes.real);
    plan->activations_bytes = plan_run(net).bytes;
    plan->total_bytes = BUFFERS * plan->weights_bytes + plan->activations_bytes;
    params_close(&net->model.params);
    free(net);
    return STATUS_OK;
}

void net_close(struct net *net)
{
    if (!net)
        return;
    tape_close(&net->tape);
    for (int i = 0; i < BUFFERS; i++)
        net->backend->release(net->backend, net->buffer[i]);
    net->backend->release(net->backend, net->norm);
    params_close(&net->model.params);
    free(net->host);
    free(net);
}

/* One step on zeros: the ops' scratch gets its size, the device its handles and plans. */
static void warm_up(struct net *net)
{
    tape_reset(&net->tape, true);
    struct pass p = pass_open(net, true);
    net->backend->ops.fill(net->backend,
                           &(struct op_fill){.y = tensor_flat(net->masks.msa), .value = 1});
    pass_run(net, &p);
    pass_back(net, p.loss, 0);
    net_gradient_clear(net);
}

enum status net_open(const struct net_config *config, struct backend *backend, struct net **out,
                     struct error *err)
{
    *out = NULL;
    enum status status = net_config_check(config, err);
    if (status != STATUS_OK)
        return status;
    struct net *net = calloc(1, sizeof *net);
    ASSERT(net);
    net->config = *config;
    net->backend = backend;
    model_open(&net->model, config);
    struct tape_size size = plan_run(net);
    size_t real = tensor_kind_bytes(backend->real), bytes = (size_t)net->model.params.size * real;
    for (int i = 0; i < BUFFERS; i++)
        net->buffer[i] = backend->alloc(backend, bytes);
    net->norm = backend->alloc(backend, real);
    size_t largest = (size_t)(config->clusters * config->length * MSA_FEATURES);
    size_t logits = (size_t)(config->length * config->length * DISTOGRAM_BINS);
    size_t params = (size_t)net->model.params.size;
    largest = largest > logits ? largest : logits;
    net->host_bytes = (largest > params ? largest : params) * sizeof(double);
    net->host = malloc(net->host_bytes);
    ASSERT(net->host);
    bool enough = net->norm != NULL;
    for (int i = 0; i < BUFFERS; i++)
        enough = enough && net->buffer[i];
    if (!enough)
        status = error_set(err, STATUS_LIMIT, "no memory for %d x %zu bytes of parameters on %s",
                           BUFFERS, bytes, backend->device);
    else
        status = tape_open(&net->tape, backend, size, net->buffer[NET_WEIGHTS],
                           net->buffer[NET_GRADIENTS], err);
    if (status != STATUS_OK) {
        net_close(net);
        return status;
    }
    float *start = malloc(params * sizeof *start);
    ASSERT(start);
    params_init(&net->model.params, config->seed, start);
    net_write(net, NET_WEIGHTS, start);
    net_write(net, NET_EMA, start);
    free(start);
    warm_up(net);
    *out = net;
    return STATUS_OK;
}

const struct net_config *net_config(const struct net *net)
{
    return &net->config;
}

const struct params *net_params(const struct net *net)
{
    return &net->model.params;
}

struct adam_buffers net_buffers(const struct net *net)
{
    return (struct adam_buffers){.backend = net->backend,
                                 .size = net->model.params.size,
                                 .weights = net->buffer[NET_WEIGHTS],
                                 .gradients = net->buffer[NET_GRADIENTS],
                                 .moment1 = net->buffer[NET_MOMENT1],
                                 .moment2 = net->buffer[NET_MOMENT2],
                                 .ema = net->buffer[NET_EMA]};
}

void net_gradient_clear(struct net *net)
{
    struct tensor all = tensor_make(net->buffer[NET_GRADIENTS], net->backend->real, 1,
                                    net->model.params.size, 1, 1, 1);
    net->backend->ops.fill(net->backend, &(struct op_fill){.y = all});
}

void net_read(struct net *net, enum net_buffer which, float *values)
{
    net_download(net, values, net->buffer[which], (size_t)net->model.params.size);
}

void net_write(struct net *net, enum net_buffer which, const float *values)
{
    net_upload(net, net->buffer[which], values, (size_t)net->model.params.size);
}

static double read_scalar(struct net *net, struct tensor t)
{
    float single;
    double number;
    if (t.kind == TENSOR_F32) {
        net->backend->copy_out(net->backend, &single, t.data, sizeof single);
        return (double)single;
    }
    net->backend->copy_out(net->backend, &number, t.data, sizeof number);
    return number;
}

static struct net_loss read_losses(struct net *net, const struct pass *p)
{
    struct net_loss loss = {read_scalar(net, p->loss[0]), read_scalar(net, p->loss[1]), 0};
    loss.total = net->config.weight_distogram * loss.distogram +
                 net->config.weight_masked_msa * loss.masked_msa;
    return loss;
}

enum status net_forward(struct net *net, const struct net_input *input, struct net_loss *loss,
                        struct error *err)
{
    struct tape *t = &net->tape;
    tape_reset(t, true);
    t->dropout = true;
    t->seed = net->config.seed;
    t->position = input->position;
    struct pass p = pass_open(net, true);
    enum status status = net_upload_input(net, &p, input, err);
    if (status != STATUS_OK) {
        tape_reset(t, false);
        return status;
    }
    pass_run(net, &p);
    net->loss[0] = p.loss[0], net->loss[1] = p.loss[1];
    net->weight = input->weight;
    *loss = read_losses(net, &p);
    return STATUS_OK;
}

void net_backward(struct net *net)
{
    pass_back(net, net->loss, net->weight);
    tape_reset(&net->tape, false); /* one backward for each forward */
}

enum status net_predict(struct net *net, const struct net_input *input, bool averaged,
                        float *logits, struct net_loss *loss, struct error *err)
{
    struct tape *t = &net->tape;
    t->weights = net->buffer[averaged ? NET_EMA : NET_WEIGHTS];
    t->dropout = false;
    tape_reset(t, false);
    struct pass p = pass_open(net, loss != NULL);
    enum status status = net_upload_input(net, &p, input, err);
    if (status == STATUS_OK) {
        pass_run(net, &p);
        if (logits)
            net_download(net, logits, p.logits.data, (size_t)tensor_count(&p.logits));
        if (loss)
            *loss = read_losses(net, &p);
    }
    t->weights = net->buffer[NET_WEIGHTS];
    tape_reset(t, false);
    return status;
}

struct adam_result net_update(struct net *net, const struct adam_config *config, double count,
                              int64_t step)
{
    struct adam_buffers buffers = net_buffers(net);
    struct adam_result result = adam_step(config, &buffers, net->norm, count, step, net->updates);
    if (!result.skipped)
        net->updates++;
    return result;
}

int64_t net_updates(const struct net *net)
{
    return net->updates;
}

void net_set_updates(struct net *net, int64_t updates)
{
    net->updates = updates;
}

/* The network as the trainer sees it; see net.h. */
#include "kernels/net/inside.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Odd, so that seeds of passes never meet those of another small seed. */
#define PASS_SEED 0x9e3779b97f4a7c15u

void net_close(struct net *net)
{
    if (!net)
        return;
    tape_close(&net->tape);
    for (int i = 0; i < BUFFERS; i++)
        net->backend->release(net->backend, net->buffer[i]);
    net->backend->release(net->backend, net->norm);
    net->backend->release(net->backend, net->sample);
    net->backend->release(net->backend, net->carried.m.data);
    net->backend->release(net->backend, net->carried.z.data);
    net->backend->release(net->backend, net->carried.beta.data);
    params_close(&net->params);
    free(net->host);
    free(net);
}

static void carried_clear(struct net *net)
{
    struct tensor all[3] = {net->carried.m, net->carried.z, net->carried.beta};
    for (int i = 0; i < 3 && net->config.recycling; i++)
        net->backend->ops.fill(net->backend, &(struct op_fill){.y = tensor_flat(all[i])});
}

/* One step on zeros: the ops' scratch gets its size, the device its handles and plans. */
static void warm_up(struct net *net)
{
    struct pass *p = &net->pass;
    tape_reset(&net->tape, true);
    *p = pass_open(net, true);
    carried_clear(net);
    struct tensor mask = tensor_flat(p->model.trunk.msa_mask);
    net->backend->ops.fill(net->backend, &(struct op_fill){.y = mask, .value = 1});
    pass_run(net, p, NULL);
    pass_back(net, p, 0);
    net_gradient_clear(net);
}

/* All memory but the tape's. */
static enum status allocate(struct net *net, struct error *err)
{
    struct backend *b = net->backend;
    size_t real = tensor_kind_bytes(b->real), bytes = (size_t)net->params.size * real;
    struct tensor *carried[3] = {&net->carried.m, &net->carried.z, &net->carried.beta};
    size_t carried_bytes = net_carried_shape(net);
    net->host_bytes = net_staging_count(net) * sizeof(double);
    net->host = malloc(net->host_bytes);
    ASSERT(net->host);
    net->norm = b->alloc(b, real);
    bool enough = net->norm != NULL;
    for (int i = 0; i < BUFFERS; i++)
        enough = (net->buffer[i] = b->alloc(b, bytes)) && enough;
    for (int i = 0; i < 3 && carried_bytes; i++)
        enough = (carried[i]->data = b->alloc(b, (size_t)tensor_count(carried[i]) * real)) &&
                 enough;
    if (!enough)
        return error_set(err, STATUS_LIMIT,
                         "no memory for %d x %zu bytes of parameters and %zu for recycling on %s",
                         BUFFERS, bytes, carried_bytes, b->device);
    return STATUS_OK;
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
    net_parameters_open(net);
    net_carried_shape(net);
    struct tape_size size = net_plan_tape(net, NULL);
    status = allocate(net, err);
    if (status == STATUS_OK)
        status = tape_open(&net->tape, backend, size, net->buffer[NET_WEIGHTS],
                           net->buffer[NET_GRADIENTS], err);
    if (status != STATUS_OK) {
        net_close(net);
        return status;
    }
    float *start = malloc((size_t)net->params.size * sizeof *start);
    ASSERT(start);
    params_init(&net->params, config->seed, start);
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
    return &net->params;
}

struct adam_buffers net_buffers(const struct net *net)
{
    return (struct adam_buffers){.backend = net->backend,
                                 .size = net->params.size,
                                 .weights = net->buffer[NET_WEIGHTS],
                                 .gradients = net->buffer[NET_GRADIENTS],
                                 .moment1 = net->buffer[NET_MOMENT1],
                                 .moment2 = net->buffer[NET_MOMENT2],
                                 .ema = net->buffer[NET_EMA]};
}

static struct tensor flat_tensor(const struct net *net, void *data)
{
    return tensor_make(data, net->backend->real, 1, net->params.size, 1, 1, 1);
}

void net_gradient_clear(struct net *net)
{
    struct tensor all = flat_tensor(net, net->buffer[NET_GRADIENTS]);
    net->backend->scope = (struct backend_scope){.part = "optimizer"};
    net->backend->ops.fill(net->backend, &(struct op_fill){.y = all});
}

void net_read(struct net *net, enum net_buffer which, float *values)
{
    net_read_part(net, which, 0, (size_t)net->params.size, values);
}

void net_read_part(struct net *net, enum net_buffer which, size_t from, size_t count,
                   float *values)
{
    ASSERT(from + count <= (size_t)net->params.size);
    const char *buffer = net->buffer[which];
    net_download(net, values, buffer + from * tensor_kind_bytes(net->backend->real), count);
}

void net_write(struct net *net, enum net_buffer which, const float *values)
{
    net_upload(net, net->buffer[which], values, (size_t)net->params.size);
}

/* The sum of all of t, in double. */
static double read_sum(struct net *net, struct tensor t)
{
    size_t count = (size_t)tensor_count(&t), real = tensor_kind_bytes(t.kind);
    char *values = malloc(count * real);
    double sum = 0;
    ASSERT(values && tensor_dense(&t));
    net->backend->copy_out(net->backend, values, t.data, count * real);
    for (size_t i = 0; i < count; i++) {
        float narrow;
        double wide;
        memcpy(&narrow, values + i * real, sizeof narrow);
        memcpy(&wide, values + i * real, real == sizeof wide ? sizeof wide : 0);
        sum += real == sizeof wide ? wide : (double)narrow;
    }
    free(values);
    return sum;
}

static struct net_loss read_losses(struct net *net, const struct pass *p)
{
    const struct fold_losses *fold = &p->fold;
    struct net_loss loss = {.distogram = read_sum(net, p->distogram),
                            .masked_msa = read_sum(net, p->masked_msa)};
    if (net->config.structure_iterations > 0) {
        loss.backbone = read_sum(net, fold->backbone);
        loss.fape = 0.5 * (loss.backbone + read_sum(net, fold->side_chain));
        loss.chi = read_sum(net, fold->chi);
        loss.resolved = read_sum(net, fold->resolved);
        loss.plddt = read_sum(net, fold->plddt);
        loss.violation = read_sum(net, fold->bond) +
                         (read_sum(net, fold->between) + read_sum(net, fold->within)) /
                             (1e-6 + p->atoms);
        if (net->config.aligned_error)
            loss.aligned_error = read_sum(net, fold->aligned);
    }
#define ADD(name) loss.total += net->config.weight_##name * loss.name;
    NET_LOSSES(ADD)
#undef ADD
    return loss;
}

/* All passes of a sample; the last one stays in net->pass, recorded where a backward follows. */
static enum status passes_run(struct net *net, const struct net_input *input, bool recorded,
                              bool losses, struct error *err)
{
    struct tape *t = &net->tape;
    struct pass *p = &net->pass;
    ASSERT(input->passes >= 1 && input->passes <= NET_PASSES_MAX);
    ASSERT(input->passes == 1 || net->config.recycling);
    carried_clear(net);
    t->position = input->position;
    for (int i = 0; i < input->passes; i++) {
        bool last = i + 1 == input->passes;
        t->seed = net->config.seed + (uint64_t)i * PASS_SEED; /* each pass drops others */
        tape_reset(t, recorded && last);
        *p = pass_open(net, losses && last);
        enum status status = net_upload_input(net, p, input, i, err);
        if (status != STATUS_OK) {
            tape_reset(t, false);
            return status;
        }
        if (last) {
            pass_run(net, p, input);
        } else {
            model_run(t, &net->model, &p->model);
            model_recycle(t, &p->model, &net->carried);
        }
    }
    return STATUS_OK;
}

enum status net_forward(struct net *net, const struct net_input *input, struct net_loss *loss,
                        struct error *err)
{
    net->tape.dropout = true;
    enum status status = passes_run(net, input, true, true, err);
    if (status != STATUS_OK)
        return status;
    net->weight = input->weight;
    *loss = read_losses(net, &net->pass);
    return STATUS_OK;
}

void net_backward(struct net *net)
{
    pass_back(net, &net->pass, net->weight);
    tape_reset(&net->tape, false); /* one backward for each forward */
}

enum status net_clip_open(struct net *net, struct error *err)
{
    size_t bytes = (size_t)net->params.size * tensor_kind_bytes(net->backend->real);
    ASSERT(!net->sample);
    net->sample = net->backend->alloc(net->backend, bytes);
    if (!net->sample)
        return error_set(err, STATUS_LIMIT,
                         "no memory for %zu bytes of a sample's gradients on %s: clip the step",
                         bytes, net->backend->device);
    net->tape.gradients = net->sample; /* from the next pass on */
    return STATUS_OK;
}

double net_backward_clipped(struct net *net, double clip)
{
    struct adam_buffers buffers = net_buffers(net);
    struct tensor sample = flat_tensor(net, net->sample);
    ASSERT(net->sample && clip > 0);
    net->backend->ops.fill(net->backend, &(struct op_fill){.y = sample});
    net_backward(net);
    double norm = adam_norm(&buffers, net->sample, net->norm);
    if (isfinite(norm))
        net->backend->ops.add_scaled(
            net->backend, &(struct op_add_scaled){.x = sample,
                                                  .y = flat_tensor(net, buffers.gradients),
                                                  .scale = adam_clip(norm, clip)});
    return norm;
}

static void read_prediction(struct net *net, const struct net_prediction *wanted)
{
    const struct model_pass *pass = &net->pass.model;
    int64_t length = net->config.length;
    if (wanted->logits)
        net_download(net, wanted->logits, pass->distogram.data,
                     (size_t)tensor_count(&pass->distogram));
    if (wanted->atoms) {
        struct tensor last = tensor_at(pass->structure.atom, pass->structure.atom.dim[0] - 1);
        net_download(net, wanted->atoms, last.data, (size_t)tensor_count(&last));
    }
    if (wanted->plddt) {
        size_t count = (size_t)(length * PLDDT_BINS);
        float *narrow = malloc(count * sizeof *narrow);
        double *logits = malloc((count + (size_t)length) * sizeof *logits);
        ASSERT(narrow && logits);
        net_download(net, narrow, pass->plddt.data, count);
        for (size_t i = 0; i < count; i++)
            logits[i] = (double)narrow[i];
        plddt_values(length, logits, logits + count);
        for (int64_t i = 0; i < length; i++)
            wanted->plddt[i] = (float)logits[count + (size_t)i];
        free(narrow);
        free(logits);
    }
}

enum status net_predict(struct net *net, const struct net_input *input, bool averaged,
                        const struct net_prediction *wanted, struct net_loss *loss,
                        struct error *err)
{
    struct tape *t = &net->tape;
    t->weights = net->buffer[averaged ? NET_EMA : NET_WEIGHTS];
    t->dropout = false;
    ASSERT(net->config.structure_iterations > 0 || !wanted || !(wanted->atoms || wanted->plddt));
    enum status status = passes_run(net, input, false, loss != NULL, err);
    if (status == STATUS_OK && wanted)
        read_prediction(net, wanted);
    if (status == STATUS_OK && loss)
        *loss = read_losses(net, &net->pass);
    t->weights = net->buffer[NET_WEIGHTS];
    tape_reset(t, false);
    return status;
}

struct adam_result net_update(struct net *net, const struct adam_config *config, double count,
                              int64_t step)
{
    struct adam_buffers buffers = net_buffers(net);
    net->backend->scope = (struct backend_scope){.part = "optimizer"};
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

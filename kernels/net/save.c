/* A network to and from checkpoints: weights, moments and moving average by name. */
#include "kernels/net/inside.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { KINDS = 4 };

static const struct {
    const char *prefix;
    enum net_buffer buffer;
} saved[KINDS] = {{"weight", NET_WEIGHTS},
                  {"moment1", NET_MOMENT1},
                  {"moment2", NET_MOMENT2},
                  {"ema", NET_EMA}};

/* Tensors are written from where they lie: a copy of all would be another network in memory. */
static void read_tensor(void *user, int at, size_t offset, size_t bytes, void *to)
{
    struct net *net = user;
    const struct params *params = net_params(net);
    const struct parameter *p = &params->item[at % params->count];
    net_read_part(net, saved[at / params->count].buffer, (size_t)p->offset + offset / sizeof(float),
                  bytes / sizeof(float), to);
}

enum status net_save(struct net *net, const char *folder, uint64_t step, struct span state,
                     struct error *err)
{
    const struct params *params = net_params(net);
    struct arena arena;
    arena_open(&arena, 0);
    size_t count = (size_t)(params->count * KINDS), at = 0;
    struct checkpoint c = {.step = step,
                           .updates = (uint64_t)net_updates(net),
                           .start = *net->started ? net->started : NULL,
                           .state = state,
                           .tensor = arena_zero(&arena, count, sizeof *c.tensor),
                           .count = (int)count,
                           .read = read_tensor,
                           .user = net};
    for (int k = 0; k < KINDS; k++)
        for (int i = 0; i < params->count; i++) {
            const struct parameter *p = &params->item[i];
            c.tensor[at++] = (struct safetensor){
                .name = arena_printf(&arena, "%s/%s", saved[k].prefix, p->name),
                .rank = p->rank,
                .dim = {(uint64_t)p->dim[0], p->rank > 1 ? (uint64_t)p->dim[1] : 0},
                .bytes = (size_t)p->count * sizeof(float)};
        }
    enum status status = checkpoint_write(folder, &c, err);
    arena_close(&arena);
    return status;
}

/* The tensors of kind k into values[size]. The order in a file is that of the declaration, so that
 * the search of one begins where the one before was found. */
static enum status gather(const struct checkpoint *c, const struct params *params, int k,
                          float *values, struct error *err)
{
    int at = k * params->count;
    memset(values, 0, (size_t)params->size * sizeof *values);
    for (int i = 0; i < params->count; i++, at++) {
        const struct parameter *p = &params->item[i];
        char name[SAFETENSORS_NAME_MAX];
        snprintf(name, sizeof name, "%s/%s", saved[k].prefix, p->name);
        const struct safetensor *t = at < c->count ? &c->tensor[at] : NULL;
        if (!t || strcmp(t->name, name) != 0)
            t = checkpoint_find(c, name);
        if (!t)
            return error_set(err, STATUS_INVALID,
                             "the checkpoint has no %s: it is of another network", name);
        uint64_t columns = p->rank > 1 ? (uint64_t)p->dim[1] : 0;
        if (t->rank != p->rank || t->dim[0] != (uint64_t)p->dim[0] || t->dim[1] != columns)
            return error_set(err, STATUS_INVALID,
                             "%s: the network has shape [%lld,%llu], the checkpoint [%llu,%llu]; "
                             "use the settings that it was made with",
                             name, (long long)p->dim[0], (unsigned long long)columns,
                             (unsigned long long)t->dim[0], (unsigned long long)t->dim[1]);
        memcpy(values + p->offset, t->data, (size_t)p->count * sizeof *values);
    }
    return STATUS_OK;
}

enum status net_load(struct net *net, const struct checkpoint *c, struct error *err)
{
    const struct params *params = net_params(net);
    if (c->count != params->count * KINDS)
        return error_set(err, STATUS_INVALID,
                         "the checkpoint has %d tensors, the network %d: it is of another network",
                         c->count, params->count * KINDS);
    float *values[KINDS];
    enum status status = STATUS_OK;
    for (int k = 0; k < KINDS; k++) {
        values[k] = malloc((size_t)params->size * sizeof **values);
        ASSERT(values[k]);
        if (status == STATUS_OK)
            status = gather(c, params, k, values[k], err);
    }
    for (int k = 0; k < KINDS; k++) {
        if (status == STATUS_OK) /* nothing is written unless everything fits */
            net_write(net, saved[k].buffer, values[k]);
        free(values[k]);
    }
    if (status == STATUS_OK) {
        net_set_updates(net, (int64_t)c->updates);
        snprintf(net->started, sizeof net->started, "%s", c->start ? c->start : "");
    }
    return status;
}

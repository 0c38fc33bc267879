/* Limits of memory, and the network's plan within them; see room.h. */
#include "stages/learn/room.h"

#include "engine/base/cpus.h"
#include "engine/base/memory.h"
#include "engine/base/text.h"

#include <stdio.h>

/* Of a GPU: the driver's context, the code of kernels and what cuBLAS takes beside its workspace.
 * No shapes decide them, so they are set aside and not counted. */
#define DEVICE_ASIDE ((uint64_t)1 << 30)
/* Where the context is there already, what cuBLAS still loads when it is first used. */
#define DEVICE_ASIDE_OPEN ((uint64_t)256 << 20)

int network_threads(const struct network_settings *settings, int ranks)
{
    int threads = (int)settings->threads;
    if (threads == 0) { /* the cores are shared */
        threads = cpus_here() / (ranks > 0 ? ranks : 1);
        threads = threads > 0 ? threads : 1;
    }
    return threads;
}

/* Three quarters of what a process may have: samples on their way may take the fourth. */
static void host_limit(const struct stage_room *room, struct network_room *to)
{
    char text[32];
    int ranks = room->ranks > 0 ? room->ranks : 1;
    uint64_t all = room->memory_bytes ? room->memory_bytes : memory_here("") / (uint64_t)ranks;
    to->limit_bytes = all / 4 * 3;
    snprintf(to->limit_note, sizeof to->limit_note, "three quarters of %s%s",
             text_show_bytes(text, sizeof text, all),
             room->memory_bytes ? ", its `memory`"
             : ranks > 1        ? ", its part of this machine's"
                                : ", this machine's");
}

static enum status plan_within(const struct network_settings *settings,
                               const struct stage_room *room, struct net_config *config,
                               struct network_room *to, struct error *err)
{
    struct backend *counting;
    enum status status = STATUS_OK;
    if (to->device)
        status = cuda_backend_open_counting(&counting, err);
    else
        counting = cpu_backend_open_counting(network_threads(settings, room->ranks));
    if (status != STATUS_OK)
        return status;
    status = net_plan_fit(config, counting,
                          &(struct net_room){(size_t)to->limit_bytes, !to->device, to->clip},
                          &to->plan, err);
    if (status == STATUS_LIMIT)
        error_prefix(err, "within %s", to->limit_note);
    counting->close(counting);
    return status;
}

enum status network_room_plan(const struct network_settings *settings,
                              const struct stage_room *room, bool clip, struct net_config *config,
                              struct network_room *to, struct error *err)
{
    char text[32];
    bool here = settings->backend == NETWORK_CUDA ||
                (settings->backend == NETWORK_AUTO && backend_cuda_present());
    *to = (struct network_room){.device = room->device_bytes > 0 || here, .clip = clip};
    if (room->device_bytes > 0) {
        to->limit_bytes = room->device_bytes > DEVICE_ASIDE ? room->device_bytes - DEVICE_ASIDE : 1;
        snprintf(to->limit_note, sizeof to->limit_note, "a GPU of %s, 1.0 GiB of it the driver's",
                 text_show_bytes(text, sizeof text, room->device_bytes));
    } else if (here) {
        snprintf(to->limit_note, sizeof to->limit_note,
                 "a GPU that says at the start what it has; --gpu plans for one");
    } else {
        host_limit(room, to);
    }
    return plan_within(settings, room, config, to, err);
}

enum status network_room_fit(const struct network_settings *settings, struct backend *backend,
                             const struct stage_room *room, bool clip, struct net_config *config,
                             struct network_room *to, struct error *err)
{
    *to = (struct network_room){.device = backend->room_bytes != NULL, .clip = clip};
    if (to->device) {
        uint64_t left = backend->room_bytes(backend);
        to->limit_bytes = left > DEVICE_ASIDE_OPEN ? left - DEVICE_ASIDE_OPEN : 1;
        snprintf(to->limit_note, sizeof to->limit_note, "%s", backend->device);
    } else {
        host_limit(room, to);
    }
    return plan_within(settings, room, config, to, err);
}

static struct stage_use *row(struct stage_uses *uses, const char *name, uint64_t bytes)
{
    ASSERT_INT(uses->count, <, STAGE_USES_MAX);
    struct stage_use *use = &uses->row[uses->count++];
    use->name = name;
    use->bytes = bytes;
    return use;
}

static void stack_row(struct stage_uses *uses, const char *name, uint64_t bytes, int keep,
                      int64_t blocks)
{
    if (blocks == 0)
        return;
    struct stage_use *use = row(uses, name, bytes);
    snprintf(use->note, sizeof use->note, "%d of %lld blocks keep their activations%s", keep,
             (long long)blocks, keep < blocks ? ", the others run again" : "");
}

void network_room_show(const struct network_room *room, const struct net_config *config,
                       struct stage_uses *uses)
{
    const struct net_plan *plan = &room->plan;
    const size_t *part = plan->part_bytes;
    snprintf(uses->title, sizeof uses->title,
             "network of %lld parameters in float32 on %s, one sample at a time (%s):",
             (long long)plan->parameters, room->device ? "cuda" : "cpu", room->limit_note);
    uses->limit_bytes = room->limit_bytes;
    row(uses, "weights", plan->weights_bytes);
    row(uses, "gradients", plan->weights_bytes);
    if (room->clip)
        row(uses, "gradients of one sample, to clip", plan->weights_bytes);
    row(uses, "moments of Adam, two", 2 * plan->weights_bytes);
    row(uses, "moving average of the weights", plan->weights_bytes);
    row(uses, "inputs and targets of a sample", part[MODEL_FEATURES]);
    row(uses, "embedders, m and z", part[MODEL_EMBED]);
    if (config->template_blocks > 0)
        row(uses, "template stack", part[MODEL_TEMPLATES]);
    stack_row(uses, "extra MSA stack", part[MODEL_EXTRA], plan->keep_extra, config->extra_blocks);
    stack_row(uses, "Evoformer", part[MODEL_EVOFORMER], plan->keep_blocks, config->blocks);
    if (config->structure_iterations > 0)
        row(uses, "structure module", part[MODEL_STRUCTURE]);
    row(uses, "heads and losses", part[MODEL_HEADS]);
    struct stage_use *back = row(uses, "backward", part[MODEL_BACK]);
    bool again = plan->keep_blocks < config->blocks || plan->keep_extra < config->extra_blocks;
    snprintf(back->note, sizeof back->note, "gradients of activations%s",
             again ? ", and a block that runs again" : "");
    if (config->recycling)
        row(uses, "carried from pass to pass", plan->carried_bytes);
    row(uses, "scratch of the ops", plan->scratch_bytes);
    if (!room->device)
        row(uses, "tables of the tape, staging", plan->host_bytes);
}

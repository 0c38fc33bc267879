/* The training sink: takes the batches of a line, one step each. It expands the compact samples to
 * features, runs the network forward and backward sample by sample, sums the gradients, and updates
 * the weights by Adam. Its checkpoint holds weights, moments, moving average and the line's
 * position as one unit, so a run that was ended anywhere goes on with the exact next batch. */
#include "engine/base/log.h"
#include "kernels/net/start.h"
#include "stages/learn/network.h"
#include "stages/learn/profile.h"
#include "stages/learn/replicas.h"
#include "stages/learn/room.h"
#include "stages/learn/saved.h"

#include <math.h>
#include <stdio.h>
#include <unistd.h>
#include <xxhash.h>

enum { REPLICA_CHECK_STEPS = 100 };
enum { CLIP_STEP, CLIP_SAMPLE };

struct train_state {
    struct network_settings network;
    struct adam_config adam;
    int64_t epochs, epoch_length, steps, checkpoint_steps, recycles;
    int weights, clip_per;
    const char *start; /* file of the first weights; empty: from the seed */
    struct stage_context *context;
    struct backend *backend;
    struct net *net;           /* opened by the first batch, which gives its sizes */
    struct arena loaded_arena; /* the checkpoint that the first batch will take over */
    struct checkpoint loaded;
    bool has_loaded;
    struct comm *comm; /* of the ranks; opened by the first batch */
};

static bool is_started(const struct train_state *train)
{
    return train->start && *train->start;
}

/* Whether the file of the first weights can be used, which hangs on no size of a batch. */
static enum status start_check(const struct train_state *train, struct error *err)
{
    struct network_sizes any = {.length = 1, .clusters = 1, .extra = 1};
    if (!is_started(train))
        return STATUS_OK;
    struct net_config config = network_config(&train->network, &any, 0);
    enum status status = net_config_check(&config, err);
    return status == STATUS_OK ? net_start_check(&config, train->start, err) : status;
}

static enum status train_open(void *state, struct stage_context *context, struct error *err)
{
    struct train_state *train = state;
    train->context = context;
    arena_open(&train->loaded_arena, 0);
    context->terms = (struct sink_terms){
        .epochs = (uint64_t)train->epochs,
        .steps_max = (uint64_t)train->steps,
        .recycles_max = (uint32_t)train->recycles,
        .checkpoint_steps = (uint64_t)train->checkpoint_steps,
        .ordered = true,
        .shuffled = true,
        .meet_bytes = context->rank_count > 1 ? COMM_REGION_BYTES : 0,
    };
    enum status status = network_backend(
        train->network.backend, network_threads(&train->network, context->rank_count),
        context->rank, &train->backend, err);
    if (status == STATUS_OK)
        log_info("trains on %s: %s", train->backend->name, train->backend->device);
    uint64_t newest; /* a run that goes on takes its own checkpoint instead */
    bool goes_on =
        checkpoint_list(saved_folder(context->run_dir, &train->loaded_arena), &newest, 1) > 0;
    return status == STATUS_OK && !goes_on ? start_check(train, err) : status;
}

static bool clips_samples(const struct train_state *train)
{
    return train->clip_per == CLIP_SAMPLE && train->adam.clip > 0;
}

/* The network for batches of these sizes, with the loaded checkpoint in it if there is one. */
static enum status train_prepare(struct train_state *train, const struct network_sizes *sizes,
                                 struct error *err)
{
    if (train->net)
        return network_fits(net_config(train->net), sizes, "the crops of a batch", err);
    struct net_config config = network_config(&train->network, sizes, train->context->seed);
    struct network_room found;
    struct stage_room room = {.ranks = train->context->rank_count,
                              .memory_bytes = train->context->memory_bytes};
    enum status status = network_room_fit(&train->network, train->backend, &room,
                                          clips_samples(train), &config, &found, err);
    if (status == STATUS_OK)
        status = net_open(&config, train->backend, &train->net, err);
    if (status != STATUS_OK)
        return status;
    log_info("network of %lld parameters; weights %.1f MB x 5, activations %.1f MB, %d of %lld "
             "blocks keep theirs",
             (long long)found.plan.parameters, (double)found.plan.weights_bytes / 1e6,
             (double)found.plan.activations_bytes / 1e6, found.plan.keep_blocks,
             (long long)config.blocks);
    if (clips_samples(train))
        status = net_clip_open(train->net, err);
    if (status != STATUS_OK)
        return status;
    if (train->has_loaded) {
        status = net_load(train->net, &train->loaded, err);
        arena_close(&train->loaded_arena);
        train->has_loaded = false;
    } else if (is_started(train)) {
        status = net_start(train->net, train->start, err);
        if (status == STATUS_OK)
            log_info("starts from %s", net_started(train->net));
    }
    return status;
}

/* Backward of the sample that went forward. false: its gradient is not finite, and not added. */
static bool sample_back(struct train_state *train)
{
    if (clips_samples(train))
        return isfinite(net_backward_clipped(train->net, train->adam.clip));
    net_backward(train->net);
    return true;
}

/* Forward and backward of sample b of the batch; one whose loss is not finite adds nothing, and is
 * noted. Dropout is keyed by step and sample, never by the batch's shape or the rank. */
static enum status train_sample(struct train_state *train, const struct sample *batch, int64_t b,
                                uint64_t step, struct span key, struct arena *arena,
                                struct step_sums *sums, struct error *err)
{
    struct net_input input;
    struct net_loss loss;
    struct arena_mark mark = arena_mark(arena);
    enum status status = network_input(net_config(train->net), batch, b, arena, &input, err);
    if (status == STATUS_OK && input.weight > 0) {
        double weight = input.weight;
        input.position = XXH3_64bits_withSeed(key.data, key.size, step);
        status = net_forward(train->net, &input, &loss, err);
        bool finite = status == STATUS_OK && isfinite(loss.total);
        if (finite && sample_back(train)) {
#define ADD(name) sums->loss.name += weight * loss.name;
            ADD(total) ADD(backbone) NET_LOSSES(ADD)
#undef ADD
            sums->weight += weight;
            sums->samples++;
        } else if (status == STATUS_OK) {
            sums->nonfinite++;
            const char *what = finite ? "gradient" : "loss";
            log_warn("step %llu: the %s of %.*s is not finite; the sample adds nothing to it",
                     (unsigned long long)step, what, (int)key.size, key.data);
            replicas_note(train->context, step, key, what);
        }
    }
    arena_rewind(arena, mark);
    return status;
}

/* What this rank's samples add; none where its share is empty. */
static enum status train_batch(struct train_state *train, const struct work *work,
                               const struct sample *in, int64_t samples, struct arena *arena,
                               struct step_sums *sums, struct error *err)
{
    enum status status = STATUS_OK;
    struct span keys = replicas_keys(in), key;
    for (int64_t b = 0; b < samples && status == STATUS_OK; b++) {
        if (!span_line(&keys, &key)) /* padding, or a batch that does not name its samples */
            key = (struct span){(const char *)&b, sizeof b};
        status = train_sample(train, in, b, work->step, key, arena, sums, err);
    }
    return status;
}

/* Not updated: every sample of the step that could be to blame is noted. */
static void note_skipped(const struct train_state *train, const struct work *work,
                         const struct sample *in, const struct adam_result *result, double weight)
{
    struct span keys = replicas_keys(in), key;
    log_warn("step %llu changed no weights: gradient norm %g, sample weight %g",
             (unsigned long long)work->step, result->norm, weight);
    while (weight > 0 && !isfinite(result->norm) && span_line(&keys, &key))
        replicas_note(train->context, work->step, key, "gradient norm of its step");
}

static bool is_check_due(const struct train_state *train, uint64_t done)
{
    uint64_t saved = (uint64_t)train->checkpoint_steps;
    return done % REPLICA_CHECK_STEPS == 0 || (saved && done % saved == 0);
}

/* The ranks agree on the sizes of a batch before the first: one of them may have none. */
static enum status train_sizes(struct train_state *train, const struct sample *in,
                               struct network_sizes *sizes, struct error *err)
{
    *sizes = (struct network_sizes){0};
    enum status status = in ? network_batch_sizes(in, sizes, err) : STATUS_OK;
    int64_t samples = sizes->samples;
    if (!train->comm)
        train->comm =
            comm_open(train->context->meet, train->context->meet_from, COMM_REGION_BYTES);
    if (status == STATUS_OK && !train->net)
        status = replicas_sizes(train->comm, sizes, err);
    if (status == STATUS_OK && sizes->samples > 0)
        status = train_prepare(train, sizes, err);
    sizes->samples = samples;
    return status;
}

/* Means over the step's samples; those of the structure where there is one. */
static void report_losses(const struct train_state *train, const struct step_sums *sums)
{
    struct stage_context *context = train->context;
    const struct net_config *config = net_config(train->net);
    double weight = sums->weight > 0 ? sums->weight : 1;
    context->report(context, "loss", sums->loss.total / weight);
    context->report(context, "distogram", sums->loss.distogram / weight);
    context->report(context, "masked_msa", sums->loss.masked_msa / weight);
    if (config->structure_iterations == 0)
        return;
    context->report(context, "fape", sums->loss.fape / weight);
    context->report(context, "backbone_fape", sums->loss.backbone / weight);
    context->report(context, "chi", sums->loss.chi / weight);
    context->report(context, "plddt", sums->loss.plddt / weight);
    context->report(context, "resolved", sums->loss.resolved / weight);
    context->report(context, "violation", sums->loss.violation / weight);
    if (config->aligned_error)
        context->report(context, "aligned_error", sums->loss.aligned_error / weight);
}

static enum status train_feed(void *state, const struct work *work, const struct sample *in,
                              struct sample *out, struct arena *arena, struct error *err)
{
    (void)out;
    struct train_state *train = state;
    struct step_sums sums = {0};
    struct network_sizes sizes;
    enum status status = train_sizes(train, in, &sizes, err);
    if (status != STATUS_OK || !train->net) /* no rank has had a sample so far */
        return status;
    net_gradient_clear(train->net);
    status = train_batch(train, work, in, sizes.samples, arena, &sums, err);
    if (status == STATUS_OK)
        status = replicas_sum(train->comm, train->net, &sums, err);
    if (status != STATUS_OK)
        return status;
    struct adam_config adam = train->adam;
    double count = sums.weight;
    if (clips_samples(train)) { /* a plain mean of gradients that are clipped already */
        adam.clip = 0;
        count = sums.samples;
    }
    struct adam_result result = net_update(train->net, &adam, count, (int64_t)work->step + 1);
    if (result.skipped)
        note_skipped(train, work, in, &result, sums.weight);
    if (is_check_due(train, work->step + 1))
        status = replicas_check(train->comm, train->net, work->step, err);
    report_losses(train, &sums);
    struct stage_context *context = train->context;
    context->report(context, "gradient_norm", result.norm);
    context->report(context, "learning_rate", result.rate);
    context->report(context, "nonfinite", sums.nonfinite);
    return status;
}

static enum status train_save(void *state, const struct sink_position *position, struct error *err)
{
    struct train_state *train = state;
    if (!train->net) /* no step was made since the checkpoint that was loaded, if any */
        return STATUS_OK;
    struct arena arena;
    arena_open(&arena, 0);
    struct saved saved = {.config = *net_config(train->net), .position = *position};
    enum status status = net_save(train->net, saved_folder(train->context->run_dir, &arena),
                                  position->step, saved_pack(&saved, &arena), err);
    arena_close(&arena);
    return status;
}

static enum status train_load(void *state, struct sink_position *position, struct error *err)
{
    struct train_state *train = state;
    struct saved saved;
    struct arena *arena = &train->loaded_arena;
    enum status status = checkpoint_read_newest(saved_folder(train->context->run_dir, arena), arena,
                                                &train->loaded, err);
    if (status == STATUS_OK)
        status = saved_unpack(train->loaded.state, &saved, err);
    if (status != STATUS_OK)
        return status;
    *position = saved.position;
    train->has_loaded = true;
    return STATUS_OK;
}

static void train_close(void *state)
{
    struct train_state *train = state;
    comm_close(train->comm);
    if (train->net)
        net_close(train->net);
    if (train->backend)
        train->backend->close(train->backend);
    arena_close(&train->loaded_arena);
}

static enum status train_describe(const void *state, const struct stage_room *room,
                                  struct stage_uses *uses, struct error *err)
{
    const struct train_state *train = state;
    struct network_sizes sizes = {.length = room->size['K' - 'A'],
                                  .clusters = room->size['M' - 'A'],
                                  .extra = room->size['E' - 'A'],
                                  .templates = room->size['T' - 'A']};
    struct network_room found;
    if (start_check(train, err) != STATUS_OK)
        return err->status;
    if (is_started(train))
        snprintf(uses->remark, sizeof uses->remark,
                 "starts from %s, which has this network's parameters", train->start);
    if (sizes.length == 0 || sizes.clusters == 0)
        return STATUS_OK;
    struct net_config config = network_config(&train->network, &sizes, 0);
    enum status status = network_room_plan(&train->network, room, clips_samples(train),
                                           &config, &found, err);
    if (status == STATUS_OK || status == STATUS_LIMIT)
        network_room_show(&found, &config, uses);
    return status;
}

static enum status train_profile(const void *state, const struct stage_profile *options,
                                 struct error *err)
{
    const struct train_state *train = state;
    return network_profile(&train->network, &train->adam, options, err);
}

#define AT(member) offsetof(struct train_state, member)

/* As engine/head_order.c reads it: 0 for uniform. */
static const char *const weights_choices[] = {"uniform", "openfold", NULL};

static const char *const clip_choices[] = {"step", "sample", NULL};

static const struct param train_params[] = {
    {.name = "epochs",
     .type = PARAM_INT,
     .fallback = "1",
     .min = 1,
     .max = 1e9,
     .offset = AT(epochs),
     .help = "Epochs of training; each is a pass over the samples, or epoch_length of them."},
    {.name = "weights",
     .type = PARAM_CHOICE,
     .fallback = "uniform",
     .choices = weights_choices,
     .offset = AT(weights),
     .help = "How often a chain comes: uniform, each as often as the others; openfold, by 1 / "
             "cluster_size (of scan) times its length in residues, held between 256 and 512."},
    {.name = "epoch_length",
     .type = PARAM_INT,
     .fallback = "0",
     .min = 0,
     .max = 67108864,
     .offset = AT(epoch_length),
     .help = "Samples of an epoch; 0: as many as there are chains. OpenFold: 10000."},
    {.name = "steps",
     .type = PARAM_INT,
     .fallback = "0",
     .min = 0,
     .max = 1e12,
     .offset = AT(steps),
     .help = "Ends after so many steps; 0: only epochs count."},
    {.name = "checkpoint_steps",
     .type = PARAM_INT,
     .fallback = "200",
     .min = 0,
     .max = 1e12,
     .offset = AT(checkpoint_steps),
     .free = true,
     .help = "Saves a checkpoint after every so many steps; 0: only at the end."},
    {.name = "start",
     .type = PARAM_PATH,
     .fallback = "",
     .offset = AT(start),
     .help = "Weights to start from: a safetensors file (f32, bf16 or f16) with the names of "
             "OpenFold's parameters, or a checkpoint of another run, whose moving average is "
             "taken; empty: drawn from the seed. Adam's moments start at zero."},
    {.name = "recycles",
     .type = PARAM_INT,
     .fallback = "0",
     .min = 0,
     .max = 3,
     .offset = AT(recycles),
     .help = "Largest number of recycling passes; each step draws its own."},
    {.name = "learning_rate",
     .type = PARAM_FLOAT,
     .fallback = "1e-3",
     .min = 0,
     .max = 10,
     .offset = AT(adam.rate),
     .help = "Learning rate of Adam after the warm-up."},
    {.name = "warmup_steps",
     .type = PARAM_INT,
     .fallback = "0",
     .min = 0,
     .max = 1e12,
     .offset = AT(adam.warmup),
     .help = "Steps over which the learning rate rises from 0."},
    {.name = "decay_from",
     .type = PARAM_INT,
     .fallback = "0",
     .min = 0,
     .max = 1e12,
     .offset = AT(adam.decay_from),
     .help = "Step at which the learning rate falls by decay_factor; 0: never."},
    {.name = "decay_factor",
     .type = PARAM_FLOAT,
     .fallback = "0.95",
     .min = 0,
     .max = 1,
     .offset = AT(adam.decay_factor),
     .help = "Factor of the learning rate from decay_from on."},
    {.name = "beta1",
     .type = PARAM_FLOAT,
     .fallback = "0.9",
     .min = 0,
     .max = 1,
     .offset = AT(adam.b1),
     .help = "Decay of Adam's first moment."},
    {.name = "beta2",
     .type = PARAM_FLOAT,
     .fallback = "0.999",
     .min = 0,
     .max = 1,
     .offset = AT(adam.b2),
     .help = "Decay of Adam's second moment."},
    {.name = "epsilon",
     .type = PARAM_FLOAT,
     .fallback = "1e-6",
     .min = 0,
     .max = 1,
     .offset = AT(adam.eps),
     .help = "Added to the root of Adam's second moment."},
    {.name = "clip",
     .type = PARAM_FLOAT,
     .fallback = "0.1",
     .min = 0,
     .max = 1e9,
     .offset = AT(adam.clip),
     .help = "Largest global norm of a gradient; 0: no clipping."},
    {.name = "clip_per",
     .type = PARAM_CHOICE,
     .fallback = "step",
     .choices = clip_choices,
     .offset = AT(clip_per),
     .help = "What is clipped: step, the mean gradient of a step; sample, the gradient of each "
             "sample's weighted loss before they are averaged, as AlphaFold 2 was trained (costs "
             "memory for another copy of the weights)."},
    {.name = "ema_decay",
     .type = PARAM_FLOAT,
     .fallback = "0.999",
     .min = 0,
     .max = 1,
     .offset = AT(adam.ema_decay),
     .help = "Decay of the moving average of the weights, which evaluate uses."},
    NETWORK_PARAMS
    {.name = NULL},
};

const struct stage stage_train = {
    .abi = STAGE_ABI,
    .version = 1,
    .flags = STAGE_SINK | STAGE_SINGLE | STAGE_RANKS,
    .name = "train",
    .summary = "Trains the network on the batches of its line and saves checkpoints.",
    .state_size = sizeof(struct train_state),
    .params = train_params,
    .in = {network_fields},
    .open = train_open,
    .feed = train_feed,
    .save = train_save,
    .load = train_load,
    .close = train_close,
    .describe = train_describe,
    .profile = train_profile,
};

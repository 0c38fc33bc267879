/* The evaluation sink: for each checkpoint that training commits, one pass over the held-out
 * samples of its line with the moving average of the weights, without dropout. It writes
 * SINK.losses.tsv, and in the last pass also what the losses are to be held against: the distogram
 * loss of a predictor that knows only sequence separation, fitted on the training chains, and the
 * entropy of the alignments' column profiles; and maps of predicted against true distances.
 * Training never waits. */
#include "engine/base/file.h"
#include "engine/base/log.h"
#include "engine/plot.h"
#include "engine/store.h"
#include "stages/bio/geometry.h"
#include "stages/bio/separation.h"
#include "stages/learn/fold_score.h"
#include "stages/learn/fold_write.h"
#include "stages/learn/network.h"
#include "stages/learn/saved.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { KEY_SHOWN_MAX = 63, MAPS_MAX = 64, SEPARATION_MAX = 4096 };

/* Sums of one pass: losses over the pairs and positions that count. */
struct pass_sums {
    double distogram, pairs, masked_msa, masked, baseline;
    int64_t samples;
    struct fold_score fold; /* of so many samples: */
    int64_t folded;
};

struct evaluate_state {
    int backend;
    int64_t threads, maps;
    struct stage_context *context;
    struct backend *device;
    struct net *net;
    bool running, any; /* inside a pass; a checkpoint was evaluated */
    uint64_t step;     /* of that checkpoint */
    struct pass_sums sums;
    struct separation separation;
    bool has_baseline;
    double entropy;       /* of the held-out chains' column profiles; NAN: not known */
    struct arena process; /* the histogram, and what lives as long */
    float *logits, *atoms, *plddt, *ca; /* of one prediction; of structures where there are any */
    int64_t drawn; /* maps of this pass */
};

static enum status evaluate_open(void *state, struct stage_context *context, struct error *err)
{
    struct evaluate_state *e = state;
    e->context = context;
    e->entropy = (double)NAN;
    arena_open(&e->process, 0);
    context->terms = (struct sink_terms){.epochs = 0, .ordered = true};
    return network_backend(e->backend, e->threads, 0, &e->device, err);
}

/* Takes the newest checkpoint if it is newer than the one in use. STATUS_MISS: there is none. */
static enum status checkpoint_take(struct evaluate_state *e, struct error *err)
{
    struct arena fresh;
    struct checkpoint checkpoint;
    struct saved saved;
    uint64_t newest;
    arena_open(&fresh, 0);
    const char *folder = saved_folder(e->context->run_dir, &fresh);
    enum status status = STATUS_MISS;
    if (checkpoint_list(folder, &newest, 1) == 1 && (!e->any || newest > e->step))
        status = checkpoint_read_newest(folder, &fresh, &checkpoint, err);
    if (status == STATUS_OK)
        status = saved_unpack(checkpoint.state, &saved, err);
    if (status == STATUS_OK && e->any && checkpoint.step <= e->step)
        status = STATUS_MISS;
    if (status == STATUS_OK && !e->net) {
        status = net_open(&saved.config, e->device, &e->net, err);
        e->logits = malloc(sizeof *e->logits * (size_t)(saved.config.length * saved.config.length) *
                           NET_DISTOGRAM_BINS);
        ASSERT(e->logits);
        if (saved.config.structure_iterations > 0) {
            e->atoms = malloc(sizeof *e->atoms * (size_t)saved.config.length * (14 * 3 + 1 + 3));
            ASSERT(e->atoms);
            e->plddt = e->atoms + 14 * 3 * saved.config.length;
            e->ca = e->plddt + saved.config.length;
        }
    }
    if (status == STATUS_OK)
        status = net_load(e->net, &checkpoint, err);
    if (status == STATUS_OK)
        e->step = checkpoint.step;
    arena_close(&fresh);
    return status;
}

/* Fits the histogram on the training chains of the store and takes the profiles' entropy of the
 * held-out ones. */
static enum status baseline_fit(struct evaluate_state *e, struct error *err)
{
    static const char *const fields[] = {"aatype", "all_atom_positions", "all_atom_mask",
                                         "hhblits_profile", NULL};
    struct arena arena;
    struct store *store;
    struct store_walk walk;
    const struct store_entry *entry;
    double entropy = 0;
    int64_t held_out = 0, train = 0;
    if (!e->context->store_path)
        return STATUS_OK;
    enum status status = store_open_reader(e->context->store_path, &store, err);
    if (status != STATUS_OK)
        return status;
    arena_open(&arena, 0);
    status = store_walk_open(&walk, store, &e->process, err);
    separation_open(&e->separation, SEPARATION_MAX, &e->process);
    while (status == STATUS_OK && (status = store_next(&walk, &entry, err)) == STATUS_OK) {
        struct sample sample;
        if (entry->refused)
            continue;
        arena_reset(&arena);
        if (store_get(store, entry->key, fields, NULL, &arena, &sample, err) != STATUS_OK)
            continue;
        const struct field *aatype = sample_find(&sample, "aatype");
        const struct field *xyz = sample_find(&sample, "all_atom_positions");
        const struct field *mask = sample_find(&sample, "all_atom_mask");
        const struct field *profile = sample_find(&sample, "hhblits_profile");
        if (!aatype || !xyz || !mask || !profile)
            continue;
        int length = (int)aatype->size[0];
        if (strcmp(entry->split, "train") == 0) {
            float *beta = arena_alloc(&arena, (size_t)length * 3 * sizeof *beta);
            float *beta_mask = arena_alloc(&arena, (size_t)length * sizeof *beta_mask);
            geometry_pseudo_beta(
                &(struct geometry_chain){.aatype = aatype->data, .positions = xyz->data,
                                         .mask = mask->data, .count = length}, beta, beta_mask);
            separation_add(&e->separation, length, beta, beta_mask);
            train++;
        } else {
            entropy += profile_entropy(profile->data, length, (int)profile->size[1]);
            held_out++;
        }
    }
    arena_close(&arena);
    store_close(store);
    if (status != STATUS_EMPTY)
        return status;
    e->has_baseline = train > 0;
    e->entropy = held_out ? entropy / (double)held_out : (double)NAN;
    return STATUS_OK;
}

/* RUN/SINK.losses.tsv: a row for each checkpoint. */
static void table_path(const struct evaluate_state *e, char *path, size_t path_bytes)
{
    snprintf(path, path_bytes, "%s/%s.losses.tsv", e->context->run_dir, e->context->name);
}

/* Ends the pass that is running: a row of the table, numbers for the progress display. */
static enum status pass_end(struct evaluate_state *e, struct error *err)
{
    struct stage_context *context = e->context;
    struct pass_sums *s = &e->sums;
    char path[512];
    e->running = false;
    if (s->samples == 0)
        return STATUS_OK;
    double distogram = s->distogram / (s->pairs > 0 ? s->pairs : 1);
    double masked_msa = s->masked_msa / (s->masked > 0 ? s->masked : 1);
    double baseline = e->has_baseline && s->pairs > 0 ? s->baseline / s->pairs : (double)NAN;
    context->report(context, "held_out_distogram", distogram);
    context->report(context, "held_out_masked_msa", masked_msa);
    if (s->folded > 0) {
        context->report(context, "held_out_lddt_ca", s->fold.lddt / (double)s->folded);
        log_info("checkpoint of step %llu: held-out lDDT-CA %.4f, dRMSD %.2f A, GDT_TS %.4f",
                 (unsigned long long)e->step, s->fold.lddt / (double)s->folded,
                 s->fold.drmsd / (double)s->folded, s->fold.gdt_ts / (double)s->folded);
    }
    log_info("checkpoint of step %llu: held-out distogram %.4f, masked MSA %.4f (%lld samples)",
             (unsigned long long)e->step, distogram, masked_msa, (long long)s->samples);
    if (context->replay)
        return STATUS_OK;
    table_path(e, path, sizeof path);
    FILE *table = fopen(path, "a");
    if (!table)
        return error_set(err, STATUS_IO, "%s: %s", path, strerror(errno));
    if (ftell(table) == 0)
        fputs("step\tdistogram\tmasked_msa\tsamples\tseparation_only\tprofile_entropy\tlddt_ca\t"
              "drmsd\tgdt_ts\n",
              table);
    fprintf(table, "%llu\t%.6f\t%.6f\t%lld\t%.6f\t%.6f\t%.4f\t%.3f\t%.4f\n",
            (unsigned long long)e->step, distogram, masked_msa, (long long)s->samples, baseline,
            e->entropy, s->fold.lddt / (double)s->folded, s->fold.drmsd / (double)s->folded,
            s->fold.gdt_ts / (double)s->folded); /* nan without structures */
    if (fclose(table) != 0)
        return error_set(err, STATUS_IO, "%s: %s", path, strerror(errno));
    return STATUS_OK;
}

/* Held-out losses by checkpoint, beside what they are compared with. */
static enum status losses_draw(const struct evaluate_state *e, double baseline, struct error *err)
{
    char folder[512], table[512], script[1600];
    snprintf(folder, sizeof folder, "%s/plots", e->context->run_dir);
    table_path(e, table, sizeof table);
    snprintf(script, sizeof script,
             "set multiplot layout 1,2 title 'held-out losses by checkpoint'\n"
             "set xlabel 'step'\nset key top right\nset title 'distogram'\n"
             "plot '%s' using 1:2 skip 1 with linespoints lw 2 title 'network', "
             "%f lw 2 dt 2 title 'sequence separation alone'\n"
             "set title 'masked MSA'\n"
             "plot '%s' using 1:3 skip 1 with linespoints lw 2 title 'network', "
             "%f lw 2 dt 2 title 'start, ln 23', "
             "%f lw 2 dt 3 title 'entropy of the column profiles'\n"
             "unset multiplot\n",
             table, baseline, table, log(NET_MSA_CLASSES), e->entropy);
    enum status status = plot_make(folder, e->context->name, script, err);
    return status == STATUS_MISS ? STATUS_OK : status;
}

/* What the losses of the last pass mean, for the end of the run. */
static enum status verdict_write(struct evaluate_state *e, struct error *err)
{
    struct pass_sums *s = &e->sums;
    char path[512], text[1024];
    if (!e->has_baseline || s->pairs <= 0 || s->masked <= 0)
        return STATUS_OK;
    double distogram = s->distogram / s->pairs, baseline = s->baseline / s->pairs;
    double masked_msa = s->masked_msa / s->masked, start = log(NET_MSA_CLASSES);
    snprintf(text, sizeof text,
             "held-out samples of the last checkpoint (step %llu, %lld samples)\n"
             "  distogram loss .................. %.3f\n"
             "  of sequence separation alone .... %.3f   (%.1f %% below it)\n"
             "  masked-MSA loss ................. %.3f\n"
             "  its start, ln 23 ................ %.3f   (%.1f %% below it)\n"
             "  entropy of the column profiles .. %.3f\n",
             (unsigned long long)e->step, (long long)s->samples, distogram, baseline,
             100 * (1 - distogram / baseline), masked_msa, start, 100 * (1 - masked_msa / start),
             e->entropy);
    snprintf(path, sizeof path, "%s/%s.txt", e->context->run_dir, e->context->name);
    enum status status = file_write_atomic(path, span_of(text), err);
    return status == STATUS_OK ? losses_draw(e, baseline, err) : status;
}

static enum status evaluate_next(void *state, bool finishing, struct error *err)
{
    struct evaluate_state *e = state;
    enum status status = STATUS_OK;
    if (e->running)
        status = pass_end(e, err);
    if (status != STATUS_OK)
        return status;
    status = checkpoint_take(e, err);
    bool again = status == STATUS_MISS && finishing && e->any && !e->has_baseline;
    if (status == STATUS_MISS && !again) {
        if (!finishing)
            return STATUS_BUSY;
        status = e->any && !e->context->replay ? verdict_write(e, err) : STATUS_OK;
        return status == STATUS_OK ? STATUS_EMPTY : status;
    }
    if (status != STATUS_OK && !again)
        return status;
    /* The last pass is the one that is compared: it runs again if it began too early for that. */
    if (finishing && !e->has_baseline) {
        status = baseline_fit(e, err);
        if (status != STATUS_OK)
            return status;
        if (!e->has_baseline && again)
            return STATUS_EMPTY;
    }
    e->running = true;
    e->any = true;
    e->drawn = 0;
    e->sums = (struct pass_sums){0};
    return STATUS_OK;
}

/* Expected distance of a pair under the predicted bins. */
static float expected_distance(const float *logits)
{
    double sum = 0, mean = 0, largest = (double)logits[0];
    for (int b = 1; b < NET_DISTOGRAM_BINS; b++)
        largest = fmax(largest, (double)logits[b]);
    for (int b = 0; b < NET_DISTOGRAM_BINS; b++) {
        double p = exp((double)logits[b] - largest);
        sum += p;
        mean += p * (double)distance_of_bin(b);
    }
    return (float)(mean / sum);
}

/* True distances below the diagonal, predicted ones above: a table and its picture. */
static enum status map_draw(struct evaluate_state *e, const char *key,
                            const struct net_input *input, struct error *err)
{
    char folder[512], path[700], name[KEY_SHOWN_MAX + 8], script[1200];
    int64_t length = net_config(e->net)->length;
    snprintf(folder, sizeof folder, "%s/plots", e->context->run_dir);
    enum status status = file_make_dirs(folder, err);
    if (status != STATUS_OK)
        return status;
    snprintf(name, sizeof name, "map_%s", key);
    snprintf(path, sizeof path, "%s/%s.tsv", folder, name);
    FILE *table = fopen(path, "w");
    if (!table)
        return error_set(err, STATUS_IO, "%s: %s", path, strerror(errno));
    for (int64_t i = 0; i < length; i++) {
        for (int64_t j = 0; j < length; j++) {
            double x[3], distance = (double)NAN;
            for (int axis = 0; axis < 3; axis++)
                x[axis] = (double)input->pseudo_beta[3 * i + axis] -
                          (double)input->pseudo_beta[3 * j + axis];
            bool known = input->pseudo_beta_mask[i] > 0 && input->pseudo_beta_mask[j] > 0;
            if (i > j && known)
                distance = fmin(sqrt(x[0] * x[0] + x[1] * x[1] + x[2] * x[2]), 22);
            if (i < j && input->seq_mask[i] > 0 && input->seq_mask[j] > 0)
                distance =
                    (double)expected_distance(e->logits + (i * length + j) * NET_DISTOGRAM_BINS);
            fprintf(table, "%lld\t%lld\t%.2f\n", (long long)i, (long long)j, distance);
        }
        fputc('\n', table);
    }
    if (fclose(table) != 0)
        return error_set(err, STATUS_IO, "%s: %s", path, strerror(errno));
    snprintf(script, sizeof script,
             "set title 'held-out %s: distances (Angstrom), true below the diagonal, predicted "
             "above' noenhanced\nset size square\nunset key\nset cbrange [2:22]\n"
             "set palette rgbformulae 22,13,-31 negative\nset xrange [-0.5:%lld.5]\n"
             "set yrange [%lld.5:-0.5]\nset xlabel 'residue of the crop'\n"
             "plot '%s' using 2:1:3 with image\n",
             key, (long long)length - 1, (long long)length - 1, path);
    status = plot_make(folder, name, script, err);
    return status == STATUS_MISS ? STATUS_OK : status; /* the table is there without gnuplot */
}

/* The key of sample b: line b of the batch's keys. */
static void key_of(const struct sample *batch, int64_t b, char key[KEY_SHOWN_MAX + 1])
{
    struct span keys = sample_text(batch, "keys"), line = {"", 0};
    for (int64_t i = 0; i <= b; i++)
        if (!span_line(&keys, &line))
            line = SPAN("sample");
    size_t size = line.size < KEY_SHOWN_MAX ? line.size : KEY_SHOWN_MAX;
    for (size_t i = 0; i < size; i++) {
        char c = line.data[i];
        bool plain = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
                     c == '_' || c == '-' || c == '.';
        key[i] = plain ? c : '_'; /* it becomes a file's name */
    }
    key[size] = 0;
}

/* Adds the sample's scores; the structures of the last pass become files beside the maps. */
static enum status fold_evaluate(struct evaluate_state *e, const char *key,
                                 const struct net_input *input, bool draw, struct error *err)
{
    enum { CA = 1, SLOTS = 14 };
    int64_t length = net_config(e->net)->length;
    char folder[512], path[700], remark[80];
    for (int64_t n = 0; n < length; n++)
        memcpy(e->ca + 3 * n, e->atoms + 3 * (n * SLOTS + CA), 3 * sizeof *e->ca);
    struct fold_score score = fold_score(length, e->ca, input->truth.ca, input->truth.ca_mask);
    if (isfinite(score.drmsd)) {
        e->sums.fold.lddt += score.lddt;
        e->sums.fold.drmsd += score.drmsd;
        e->sums.fold.gdt_ts += score.gdt_ts;
        e->sums.folded++;
    }
    if (!draw)
        return STATUS_OK;
    snprintf(folder, sizeof folder, "%s/plots", e->context->run_dir);
    snprintf(path, sizeof path, "%s/fold_%s.pdb", folder, key);
    snprintf(remark, sizeof remark, "PREDICTED BY STEP %llu, B-FACTOR IS PLDDT",
             (unsigned long long)e->step);
    enum status status = file_make_dirs(folder, err);
    if (status == STATUS_OK)
        status = fold_write(path, remark, length, input->seq_mask, input->aatype,
                            input->residue_index, e->atoms, e->plddt, err);
    return status;
}

static enum status sample_evaluate(struct evaluate_state *e, const struct sample *batch, int64_t b,
                                   struct arena *arena, struct error *err)
{
    struct net_input input;
    struct net_loss loss;
    enum status status = network_input(net_config(e->net), batch, b, arena, &input, err);
    if (status != STATUS_OK || input.weight <= 0)
        return status;
    bool draw = e->has_baseline && e->drawn < e->maps && !e->context->replay;
    struct net_prediction wanted = {draw ? e->logits : NULL, e->atoms, e->plddt};
    status = net_predict(e->net, &input, true, &wanted, &loss, err);
    if (status != STATUS_OK)
        return status;
    int64_t length = net_config(e->net)->length, cells = length * net_config(e->net)->clusters;
    double pairs = 0, masked = 0;
    for (int64_t i = 0; i < length; i++)
        pairs += (double)input.pseudo_beta_mask[i];
    pairs *= pairs;
    for (int64_t i = 0; i < cells; i++)
        masked += (double)input.bert_mask[i];
    if (!isfinite(loss.distogram) || !isfinite(loss.masked_msa))
        return STATUS_OK;
    e->sums.distogram += loss.distogram * pairs;
    e->sums.pairs += pairs;
    e->sums.masked_msa += loss.masked_msa * masked;
    e->sums.masked += masked;
    e->sums.samples++;
    if (e->has_baseline) {
        double counted;
        e->sums.baseline += separation_loss(&e->separation, (int)length, input.pseudo_beta,
                                            input.pseudo_beta_mask, &counted);
    }
    char key[KEY_SHOWN_MAX + 1];
    key_of(batch, b, key);
    if (e->atoms)
        status = fold_evaluate(e, key, &input, draw, err);
    if (draw && status == STATUS_OK) {
        e->drawn++;
        status = map_draw(e, key, &input, err);
    }
    return status;
}

static enum status evaluate_feed(void *state, const struct work *work, const struct sample *in,
                                 struct sample *out, struct arena *arena, struct error *err)
{
    (void)work, (void)out;
    struct evaluate_state *e = state;
    struct network_sizes sizes;
    enum status status = network_batch_sizes(in, &sizes, err);
    if (status == STATUS_OK)
        status = network_fits(net_config(e->net), &sizes, "held-out crops", err);
    for (int64_t b = 0; b < sizes.samples && status == STATUS_OK; b++) {
        struct arena_mark mark = arena_mark(arena);
        status = sample_evaluate(e, in, b, arena, err);
        arena_rewind(arena, mark);
    }
    return status;
}

static void evaluate_close(void *state)
{
    struct evaluate_state *e = state;
    if (e->net)
        net_close(e->net);
    if (e->device)
        e->device->close(e->device);
    free(e->logits);
    free(e->atoms);
    arena_close(&e->process);
}

#define AT(member) offsetof(struct evaluate_state, member)

static const struct param evaluate_params[] = {
    {.name = "backend",
     .type = PARAM_CHOICE,
     .fallback = "auto",
     .choices = network_backends,
     .offset = AT(backend),
     .free = true,
     .help = "Where the network computes: cuda where there is a device, else cpu."},
    {.name = "threads",
     .type = PARAM_INT,
     .fallback = "1",
     .min = 0,
     .max = 1024,
     .free = true,
     .offset = AT(threads),
     .help = "Threads of the cpu backend; 0: one for each core."},
    {.name = "maps",
     .type = PARAM_INT,
     .fallback = "4",
     .min = 0,
     .max = MAPS_MAX,
     .free = true,
     .offset = AT(maps),
     .help = "Samples of the last pass whose predicted and true distances are drawn."},
    {.name = NULL},
};

const struct stage stage_evaluate = {
    .abi = STAGE_ABI,
    .version = 1,
    .flags = STAGE_SINK | STAGE_SINGLE,
    .name = "evaluate",
    .summary = "Losses of held-out samples for every checkpoint, and what they mean.",
    .state_size = sizeof(struct evaluate_state),
    .params = evaluate_params,
    .in = {network_fields},
    .open = evaluate_open,
    .feed = evaluate_feed,
    .next = evaluate_next,
    .close = evaluate_close,
};

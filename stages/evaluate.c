/* The evaluation sink: for each checkpoint that training commits, one pass over the held-out
 * samples of its line with the moving average of the weights, without dropout. It writes
 * SINK.losses.tsv, and in the last pass also what the losses are to be held against: the distogram
 * loss of a predictor that knows only sequence separation, fitted on the training chains, and the
 * entropy of the alignments' column profiles; lDDT-CA of the nearest training chain's places,
 * copied; and maps, traces and structures. Sizes are those of its own batches, so that whole chains
 * can be looked at. Training never waits. */
#include "engine/base/file.h"
#include "engine/base/log.h"
#include "stages/learn/baseline.h"
#include "stages/learn/fold_score.h"
#include "stages/learn/fold_write.h"
#include "stages/learn/network.h"
#include "stages/learn/picture.h"
#include "stages/learn/saved.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FORMAT_BOTH, FORMAT_PDB, FORMAT_MMCIF };
enum { KEY_SHOWN_MAX = 63, MAPS_MAX = 64 };

/* Sums of one pass: losses over the pairs and positions that count. */
struct pass_sums {
    double distogram, pairs, masked_msa, masked, baseline;
    int64_t samples;
    struct fold_score fold; /* of so many samples: */
    int64_t folded;
    double nearest; /* lDDT-CA of copied neighbours, of so many samples: */
    int64_t copied;
};

struct evaluate_state {
    int backend, format;
    int64_t threads, maps;
    struct stage_context *context;
    struct backend *device;
    struct net *net;           /* opened by the first batch, which gives its sizes */
    struct arena taken_arena;  /* the checkpoint that the first batch will take over */
    struct checkpoint taken;
    struct net_config config;  /* of that checkpoint */
    bool running, any; /* inside a pass; a checkpoint was evaluated */
    uint64_t step;     /* of that checkpoint */
    struct pass_sums sums;
    struct baseline baseline;
    struct arena process; /* the histogram, and what lives as long */
    float *logits, *atoms, *plddt, *ca; /* of one prediction; of structures where there are any */
    float *copied; /* CA atoms of the nearest training chain */
    int64_t drawn; /* maps of this pass */
};

static enum status evaluate_open(void *state, struct stage_context *context, struct error *err)
{
    struct evaluate_state *e = state;
    e->context = context;
    e->baseline.entropy = (double)NAN;
    arena_open(&e->process, 0);
    arena_open(&e->taken_arena, 0);
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
    if (status == STATUS_OK && e->net)
        status = net_load(e->net, &checkpoint, err);
    if (status == STATUS_OK)
        e->step = checkpoint.step;
    if (status == STATUS_OK && !e->net) {
        arena_close(&e->taken_arena);
        e->taken_arena = fresh;
        e->taken = checkpoint;
        e->config = saved.config;
        return status;
    }
    arena_close(&fresh);
    return status;
}

/* The network for batches of these sizes, with the checkpoint in it. Nothing is kept for a backward
 * pass: an activation at a time. */
static enum status evaluate_prepare(struct evaluate_state *e, const struct network_sizes *sizes,
                                    struct error *err)
{
    if (e->net)
        return network_fits(net_config(e->net), sizes, "held-out samples", err);
    struct net_config *c = &e->config;
    size_t length = (size_t)sizes->length;
    c->length = sizes->length;
    c->clusters = sizes->clusters;
    c->extra = c->extra_blocks > 0 ? sizes->extra : 0;
    c->templates = c->template_blocks > 0 ? sizes->templates : 0;
    c->keep_blocks = c->keep_extra = 0;
    enum status status = net_open(c, e->device, &e->net, err);
    if (status == STATUS_OK)
        status = net_load(e->net, &e->taken, err);
    arena_close(&e->taken_arena);
    if (status != STATUS_OK)
        return status;
    e->logits = malloc(sizeof *e->logits * length * length * NET_DISTOGRAM_BINS);
    ASSERT(e->logits);
    if (c->structure_iterations > 0) {
        e->atoms = malloc(sizeof *e->atoms * length * (14 * 3 + 1 + 3 + 3));
        ASSERT(e->atoms);
        e->plddt = e->atoms + 14 * 3 * length;
        e->ca = e->plddt + length;
        e->copied = e->ca + 3 * length;
    }
    return status;
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
    double baseline = e->baseline.known && s->pairs > 0 ? s->baseline / s->pairs : (double)NAN;
    double nearest = s->nearest / (double)s->copied; /* nan but in the last pass */
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
              "drmsd\tgdt_ts\tnearest_lddt_ca\n",
              table);
    fprintf(table, "%llu\t%.6f\t%.6f\t%lld\t%.6f\t%.6f\t%.4f\t%.3f\t%.4f\t%.4f\n",
            (unsigned long long)e->step, distogram, masked_msa, (long long)s->samples, baseline,
            e->baseline.entropy, s->fold.lddt / (double)s->folded,
            s->fold.drmsd / (double)s->folded, s->fold.gdt_ts / (double)s->folded,
            nearest); /* nan without structures */
    if (fclose(table) != 0)
        return error_set(err, STATUS_IO, "%s: %s", path, strerror(errno));
    return STATUS_OK;
}

/* What the losses of the last pass mean, for the end of the run. */
static enum status verdict_write(struct evaluate_state *e, struct error *err)
{
    struct pass_sums *s = &e->sums;
    char path[512], text[1024];
    if (!e->baseline.known || s->pairs <= 0 || s->masked <= 0)
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
             e->baseline.entropy);
    if (s->folded > 0)
        snprintf(text + strlen(text), sizeof text - strlen(text),
                 "  lDDT-CA ......................... %.3f\n"
                 "  of the nearest training chain ... %.3f   (its CA atoms copied along an "
                 "alignment)\n"
                 "  dRMSD, GDT_TS ................... %.2f A, %.3f\n",
                 s->fold.lddt / (double)s->folded, s->nearest / (double)s->copied,
                 s->fold.drmsd / (double)s->folded, s->fold.gdt_ts / (double)s->folded);
    snprintf(path, sizeof path, "%s/%s.txt", e->context->run_dir, e->context->name);
    enum status status = file_write_atomic(path, span_of(text), err);
    if (status != STATUS_OK)
        return status;
    struct picture_bounds bounds = {baseline, e->baseline.entropy, s->nearest / (double)s->copied};
    table_path(e, path, sizeof path);
    return picture_losses(e->context->run_dir, e->context->name, path, &bounds, err);
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
    bool again = status == STATUS_MISS && finishing && e->any && !e->baseline.known;
    if (status == STATUS_MISS && !again) {
        if (!finishing)
            return STATUS_BUSY;
        status = e->any && !e->context->replay ? verdict_write(e, err) : STATUS_OK;
        return status == STATUS_OK ? STATUS_EMPTY : status;
    }
    if (status != STATUS_OK && !again)
        return status;
    /* The last pass is the one that is compared: it runs again if it began too early for that. */
    if (finishing && !e->baseline.known) {
        status = STATUS_OK;
        if (e->context->store_path)
            status = baseline_fit(&e->baseline, e->context->store_path, &e->process, err);
        if (status != STATUS_OK)
            return status;
        if (!e->baseline.known && again)
            return STATUS_EMPTY;
    }
    e->running = true;
    e->any = true;
    e->drawn = 0;
    e->sums = (struct pass_sums){0};
    return STATUS_OK;
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

/* lDDT-CA of the nearest training chain's places, and a row of RUN/SINK.chains.tsv. */
static enum status nearest_evaluate(struct evaluate_state *e, const char *key,
                                    const struct net_input *input, const struct fold_score *score,
                                    struct error *err)
{
    char path[512];
    int64_t length = 0, identical, padded = net_config(e->net)->length;
    uint8_t *aatype = malloc((size_t)padded);
    ASSERT(aatype);
    for (; length < padded && input->seq_mask[length] > 0; length++)
        aatype[length] = (uint8_t)input->aatype[length];
    const struct nearest_chain *chain =
        nearest_copy(&e->baseline.nearest, length, aatype, e->copied, &identical);
    free(aatype);
    struct fold_score copied = fold_score(length, e->copied, input->truth.ca, input->truth.ca_mask);
    if (chain && isfinite(copied.lddt)) {
        e->sums.nearest += copied.lddt;
        e->sums.copied++;
    }
    if (e->context->replay)
        return STATUS_OK;
    snprintf(path, sizeof path, "%s/%s.chains.tsv", e->context->run_dir, e->context->name);
    FILE *table = fopen(path, "a");
    if (!table)
        return error_set(err, STATUS_IO, "%s: %s", path, strerror(errno));
    if (ftell(table) == 0)
        fputs("step\tkey\tresidues\tlddt_ca\tdrmsd\tgdt_ts\tnearest\tidentical\t"
              "nearest_lddt_ca\n", table);
    fprintf(table, "%llu\t%s\t%lld\t%.4f\t%.3f\t%.4f\t%s\t%lld\t%.4f\n",
            (unsigned long long)e->step, key, (long long)length, score->lddt, score->drmsd,
            score->gdt_ts, chain ? chain->key : "-", (long long)identical, copied.lddt);
    if (fclose(table) != 0)
        return error_set(err, STATUS_IO, "%s: %s", path, strerror(errno));
    return STATUS_OK;
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
    enum status status = STATUS_OK;
    if (e->baseline.known)
        status = nearest_evaluate(e, key, input, &score, err);
    if (!draw || status != STATUS_OK)
        return status;
    snprintf(folder, sizeof folder, "%s/plots", e->context->run_dir);
    snprintf(remark, sizeof remark, "PREDICTED BY STEP %llu, B-FACTOR IS PLDDT",
             (unsigned long long)e->step);
    struct fold fold = {key, remark, length, input->seq_mask, input->aatype, input->residue_index,
                        e->atoms, e->plddt};
    status = file_make_dirs(folder, err);
    snprintf(path, sizeof path, "%s/fold_%s.pdb", folder, key);
    if (status == STATUS_OK && e->format != FORMAT_MMCIF)
        status = fold_write_pdb(path, &fold, err);
    snprintf(path, sizeof path, "%s/fold_%s.cif", folder, key);
    if (status == STATUS_OK && e->format != FORMAT_PDB)
        status = fold_write_cif(path, &fold, err);
    return status == STATUS_OK
               ? picture_trace(e->context->run_dir, key, length, input, e->ca, err)
               : status;
}

static enum status sample_evaluate(struct evaluate_state *e, const struct sample *batch, int64_t b,
                                   struct arena *arena, struct error *err)
{
    struct net_input input;
    struct net_loss loss;
    enum status status = network_input(net_config(e->net), batch, b, arena, &input, err);
    if (status != STATUS_OK || input.weight <= 0)
        return status;
    bool draw = e->baseline.known && e->drawn < e->maps && !e->context->replay;
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
    if (e->baseline.known) {
        double counted;
        e->sums.baseline += separation_loss(&e->baseline.separation, (int)length, input.pseudo_beta,
                                            input.pseudo_beta_mask, &counted);
    }
    char key[KEY_SHOWN_MAX + 1];
    key_of(batch, b, key);
    if (e->atoms)
        status = fold_evaluate(e, key, &input, draw, err);
    if (draw && status == STATUS_OK) {
        e->drawn++;
        status = picture_map(e->context->run_dir, key, length, &input, e->logits, err);
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
        status = evaluate_prepare(e, &sizes, err);
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
    arena_close(&e->taken_arena);
    arena_close(&e->process);
}

#define AT(member) offsetof(struct evaluate_state, member)

static const char *const formats[] = {"both", "pdb", "mmcif", NULL};

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
    {.name = "format",
     .type = PARAM_CHOICE,
     .fallback = "both",
     .choices = formats,
     .free = true,
     .offset = AT(format),
     .help = "What their predicted structures are written as, with pLDDT as B-factor."},
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

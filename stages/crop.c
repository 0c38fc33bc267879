/* Crop: everything random of a training sample. Draws the crop and the templates first, then for
 * each recycling pass that will be used the alignment's rows, masks and clusters, and gives them in
 * the compact form (bio/compact.h), which the trainer expands to features. Only cluster assignment
 * looks at columns outside the crop. */
#include "engine/base/log.h"
#include "engine/stage.h"
#include "stages/bio/compact_write.h"
#include "stages/bio/msa_assign.h"
#include "stages/bio/pick.h"
#include "stages/learn/record.h"
#include "stages/learn/view.h"

#include <string.h>

enum { DRAW_CROP = 0, DRAW_TEMPLATES = 1, DRAW_ROWS = 2, DRAW_PASS = 16 };
enum { CROP_UNIFORM, CROP_OPENFOLD };
enum { MODE_TRAIN, MODE_EVAL, MODE_PREDICT };
enum { LONGER_CROP, LONGER_SKIP };
enum { PRESET_INITIAL, PRESET_FINETUNING, PRESET_FINETUNING_NO_TEMPLATES };

/* Numbers that the preset gives where the graph does not: -1. */
struct crop_numbers {
    int64_t length, clusters, extra, max_templates;
};

struct crop_state {
    struct crop_numbers given;
    int64_t blocks, distillation_rows, rows_limit;
    double mask, block_fraction, clamp;
    bool block_delete, shuffle_templates, subsample_templates;
    int crop, mode, preset, longer;
    const char *name;
    bool told; /* that rows were cut */
};

/* The numbers of a stage: what the graph says, else the preset's (data path, section 8). */
static struct crop_numbers numbers_of(const struct crop_state *crop)
{
    static const struct crop_numbers train[] = {
        [PRESET_INITIAL] = {256, 128, 1024, 4},
        [PRESET_FINETUNING] = {384, 512, 5120, 4},
        [PRESET_FINETUNING_NO_TEMPLATES] = {384, 512, 5120, 0},
    };
    struct crop_numbers n = train[crop->preset];
    if (crop->mode != MODE_TRAIN)
        n = (struct crop_numbers){0, crop->mode == MODE_EVAL ? 128 : 512, 1024, n.max_templates};
    if (crop->given.length >= 0)
        n.length = crop->given.length;
    if (crop->given.clusters >= 0)
        n.clusters = crop->given.clusters;
    if (crop->given.extra >= 0)
        n.extra = crop->given.extra;
    if (crop->given.max_templates >= 0)
        n.max_templates = crop->given.max_templates;
    return n;
}

static struct compact_sizes sizes_of(const struct crop_numbers *n, int64_t length, int64_t passes)
{
    return (struct compact_sizes){.length = (uint32_t)length,
                                  .clusters = (uint32_t)n->clusters,
                                  .extra = (uint32_t)n->extra,
                                  .templates = (uint32_t)n->max_templates,
                                  .passes = (uint32_t)passes};
}

/* STATUS_LIMIT when a sample of these settings is larger than samples may be, without its lists. */
static enum status size_check(const struct crop_numbers *n, int64_t length, int64_t passes,
                              struct error *err)
{
    struct compact_sizes sizes = sizes_of(n, length, passes);
    double bytes = compact_bytes(&sizes);
    if (passes <= INT32_MAX && bytes <= (double)SAMPLE_BYTES_MAX)
        return STATUS_OK;
    return error_set(err, STATUS_LIMIT,
                     "length %lld, clusters %lld and extra %lld make a sample of %.0f MB in %lld "
                     "passes, and %zu MB is the most: make them smaller",
                     (long long)length, (long long)n->clusters, (long long)n->extra, bytes / 0x1p20,
                     (long long)passes, SAMPLE_BYTES_MAX >> 20);
}

static enum status crop_open(void *state, struct stage_context *context, struct error *err)
{
    struct crop_state *crop = state;
    struct crop_numbers n = numbers_of(crop);
    crop->name = context->name;
    if (n.clusters == 0)
        return error_set(err, STATUS_INVALID, "clusters: 0; wanted at least 1");
    if (n.length == 0 && crop->mode == MODE_TRAIN)
        return error_set(err, STATUS_INVALID, "length: 0 takes whole chains, which is for mode: "
                         "eval and predict; batches of training have one length");
    return size_check(&n, n.length, 1, err);
}

/* The crop's first residue; draws before everything else. */
static uint32_t draw_start(const struct crop_state *crop, uint32_t spare, struct rng *rng)
{
    if (crop->crop == CROP_UNIFORM)
        return rng_below(rng, spare + 1);
    uint32_t shorter = rng_below(rng, spare + 1); /* two steps, biased to the N-terminus */
    return rng_below(rng, spare - shorter + 1);
}

/* What is drawn of a sample before its passes. */
struct draws {
    uint64_t seed, epoch, position;
    struct compact_window window;
    bool clamped;
    uint32_t *rows; /* rows of the alignment that are there at all; NULL: all */
    uint32_t row_count;
};

static struct rng stream_open(const struct crop_state *crop, const struct draws *draws,
                              uint32_t draw)
{
    return rng_open(draws->seed, draws->epoch, draws->position, crop->name, draw);
}

static struct draws draw(const struct crop_state *crop, const struct work *work,
                         const struct sample *in, const struct msa_source *source, int64_t length,
                         struct arena *arena)
{
    /* Evaluation sees the same crops every time: not epoch and position enter, but the key. */
    bool train = crop->mode == MODE_TRAIN;
    struct draws draws = {.seed = work->seed,
                          .epoch = train ? work->epoch : 0,
                          .position = train ? work->position : hash_name(in->key),
                          .row_count = source->rows};
    struct rng rng = stream_open(crop, &draws, DRAW_CROP);
    uint32_t spare = source->length > length ? source->length - (uint32_t)length : 0;
    draws.window = (struct compact_window){draw_start(crop, spare, &rng), source->length - spare};
    draws.clamped = train && rng_uniform(&rng) < (float)crop->clamp;
    if (crop->rows_limit && source->rows > crop->rows_limit) {
        rng = stream_open(crop, &draws, DRAW_ROWS);
        draws.row_count = (uint32_t)crop->rows_limit;
        draws.rows = msa_rows_cut(source->rows, draws.row_count, &rng, arena);
    }
    return draws;
}

/* The templates of the sample: the first distinct ones, of which training takes a random part. */
static enum status templates_put(const struct crop_state *crop, const struct draws *draws,
                                 const struct sample *in, const struct record *record,
                                 uint32_t most, struct arena *arena,
                                 const struct compact_writer *writer, struct compact *compact,
                                 struct error *err)
{
    const struct compact_templates *all = &record->templates;
    struct rng rng = stream_open(crop, draws, DRAW_TEMPLATES);
    bool train = crop->mode == MODE_TRAIN;
    bool shuffled = train && crop->shuffle_templates && !(record->chain.is_distillation > 0);
    uint32_t *order = arena_alloc(arena, ((size_t)all->count + 1) * sizeof *order);
    uint32_t *taken = arena_alloc(arena, ((size_t)most + 1) * sizeof *taken);
    uint32_t *picked = arena_alloc(arena, ((size_t)most + 1) * sizeof *picked);
    rng_permutation(&rng, order, record->shuffled);
    uint32_t count = pick_distinct(all->sequence, all->count, all->length, shuffled ? order : NULL,
                                   record->shuffled, most, taken);
    if (train && crop->subsample_templates) {
        uint32_t start = rng_below(&rng, count + 1);
        rng_permutation(&rng, order, count);
        count = pick_from(taken, order, count, start, most, picked);
    } else {
        memcpy(picked, taken, (size_t)count * sizeof *picked);
    }
    struct compact_templates chosen; /* the atoms of the others are never read */
    enum status status = record_templates(in, record, picked, count, arena, &chosen, err);
    for (uint32_t t = 0; t < count; t++)
        picked[t] = t;
    return status == STATUS_OK
               ? compact_put_templates(compact, writer, &chosen, picked, count, err)
               : status;
}

/* A pass: its rows are drawn before any row is read. */
struct pass {
    struct rng rng;
    struct msa_choice choice;
};

static struct msa_settings settings_of(const struct crop_state *crop, const struct draws *draws,
                                       const struct crop_numbers *n)
{
    bool train = crop->mode == MODE_TRAIN;
    return (struct msa_settings){
        .clusters = (uint32_t)n->clusters,
        .extra = (uint32_t)n->extra,
        .mask_fraction = (float)crop->mask,
        .block_delete = crop->block_delete && train,
        .block_fraction = (float)crop->block_fraction,
        .blocks = (uint32_t)crop->blocks,
        .distillation_rows = train ? (uint32_t)crop->distillation_rows : 0,
        .rows = draws->rows,
        .row_count = draws->row_count,
    };
}

/* The recycling passes, each with draws of its own. Every row that block deletion and the limits
 * leave is read, not those of the two stacks alone: each of them counts in a cluster's profile. */
static enum status passes_put(const struct crop_state *crop, const struct draws *draws,
                              const struct sample *in, struct record *record,
                              const struct crop_numbers *n, struct arena *arena,
                              struct compact_writer *writer, struct compact *compact,
                              struct error *err)
{
    const struct msa_settings settings = settings_of(crop, draws, n);
    const struct msa_source *source = &record->source;
    uint32_t passes = (uint32_t)compact_size(compact, 'P');
    struct pass *pass = arena_alloc(arena, passes * sizeof *pass);
    uint8_t *used = arena_zero(arena, source->rows, 1);
    for (uint32_t p = 0; p < passes; p++) {
        pass[p].rng = stream_open(crop, draws, DRAW_PASS + p);
        pass[p].choice = msa_choose_rows(source, &settings, record->chain.is_distillation > 0,
                                         &pass[p].rng, arena);
        for (uint32_t r = 0; r < pass[p].choice.clusters + pass[p].choice.extra; r++)
            used[pass[p].choice.cluster_row[r]] = 1; /* the extra rows come right behind */
    }
    enum status status = record_alignment(in, record, used, arena, err);
    for (uint32_t p = 0; p < passes && status == STATUS_OK; p++) {
        struct msa_choice *choice = &pass[p].choice;
        msa_choose_mask(source, &settings, &pass[p].rng, arena, choice);
        uint32_t *assignment = arena_alloc(arena, (size_t)choice->extra * sizeof *assignment);
        msa_assign(source, choice, arena, assignment);
        if (!compact_put_pass(compact, writer, p, source, choice, assignment))
            return error_set(err, STATUS_LIMIT, "the lists of %u passes take more than %zu MB",
                             passes, SUMMARY_BYTES_MAX >> 20);
    }
    if (status == STATUS_OK)
        compact_end(compact, writer);
    return status;
}

/* Whether the chain can be taken as it is. */
static enum status chain_check(const struct crop_state *crop, const struct record *record,
                               int64_t length, struct error *err)
{
    if (crop->mode != MODE_PREDICT && !record->chain.positions)
        return error_set(err, STATUS_REFUSED,
                         "it has no coordinates: only mode: predict takes sequences alone");
    if (length > COMPACT_LENGTH_MAX)
        return error_set(err, STATUS_REFUSED,
                         "%lld residues, and %d are the most that go uncropped", (long long)length,
                         COMPACT_LENGTH_MAX);
    return STATUS_OK;
}

/* Says once in a worker's life that rows were cut; each sample counts its own. */
static void cut_tell(struct crop_state *crop, const char *key, const struct msa_source *source,
                     uint32_t row_count)
{
    if (crop->told || row_count == source->rows)
        return;
    crop->told = true;
    log_info("%s: %u of %u alignment rows are in use, by rows_limit; rows_cut counts the others of "
             "each sample", key, row_count, source->rows);
}

static enum status crop_feed(void *state, const struct work *work, const struct sample *in,
                             struct sample *out, struct arena *arena, struct error *err)
{
    struct crop_state *crop = state;
    struct crop_numbers n = numbers_of(crop);
    struct record record;
    struct compact compact;
    struct compact_writer writer;
    enum status status = record_read(in, &record, err);
    if (status != STATUS_OK)
        return status;
    int64_t length = n.length ? n.length : record.source.length;
    if (crop->longer == LONGER_SKIP && (int64_t)record.source.length > length) {
        if (work->epoch == 0) /* evaluation sees each chain once for every checkpoint */
            log_info("%s: left out, its %u residues are more than length: %lld", in->key,
                     record.source.length, (long long)length);
        return STATUS_EMPTY;
    }
    int64_t passes = (int64_t)work->recycles + 1;
    status = chain_check(crop, &record, length, err);
    if (status == STATUS_OK)
        status = size_check(&n, length, passes, err);
    if (status != STATUS_OK)
        return status;
    struct compact_sizes sizes = sizes_of(&n, length, passes);
    struct draws draws = draw(crop, work, in, &record.source, length, arena);
    cut_tell(crop, in->key, &record.source, draws.row_count);
    if (!compact_begin(&sizes, draws.window, crop->mode != MODE_PREDICT, arena, &compact, &writer))
        return error_set(err, STATUS_LIMIT, "no memory for a sample of %lld residues",
                         (long long)length);
    compact_put_chain(&compact, &writer, &record.chain);
    *compact.use_clamped_fape = draws.clamped;
    *compact.rows_cut = (int32_t)(record.source.rows - draws.row_count);
    status = templates_put(crop, &draws, in, &record, sizes.templates, arena, &writer, &compact,
                           err);
    if (status == STATUS_OK)
        status = passes_put(crop, &draws, in, &record, &n, arena, &writer, &compact, err);
    return status == STATUS_OK ? view_put(&compact, out, err) : status;
}

static void crop_sizes(const void *state, int64_t size[26])
{
    struct crop_numbers n = numbers_of(state);
    if (n.length) {
        size['K' - 'A'] = n.length;
        size['W' - 'A'] = (n.length + 7) / 8;
    }
    size['M' - 'A'] = n.clusters;
    size['S' - 'A'] = n.clusters + 1;
    size['E' - 'A'] = n.extra;
    size['U' - 'A'] = n.extra + 1;
    size['T' - 'A'] = n.max_templates;
}

#define AT(member) offsetof(struct crop_state, member)

static const char *const crop_choices[] = {"uniform", "openfold", NULL};
static const char *const longer_choices[] = {"crop", "skip", NULL};
static const char *const mode_choices[] = {"train", "eval", "predict", NULL};
static const char *const preset_choices[] = {"initial_training", "finetuning",
                                             "finetuning_no_templ", NULL};

static const struct param crop_params[] = {
    {.name = "mode", .type = PARAM_CHOICE, .fallback = "train", .choices = mode_choices,
     .offset = AT(mode),
     .help = "train: new draws every epoch; eval: the same draws every time, no block deletion; "
             "predict: as eval, without the structure."},
    {.name = "preset", .type = PARAM_CHOICE, .fallback = "initial_training",
     .choices = preset_choices, .offset = AT(preset),
     .help = "What length, clusters, extra and max_templates are where they are not given: 256, "
             "128, 1024, 4; finetuning 384, 512, 5120, 4, or 0 templates; eval 0, 128, 1024 and "
             "predict 0, 512, 1024."},
    {.name = "longer", .type = PARAM_CHOICE, .fallback = "crop", .choices = longer_choices,
     .offset = AT(longer), .help = "What becomes of chains of more than `length` residues: crop; "
     "skip, they are left out and named in the log, so that evaluation sees whole chains alone."},
    {.name = "length", .type = PARAM_INT, .fallback = "-1", .min = -1, .max = 4096,
     .offset = AT(given.length), .help = "Residues of a crop; shorter chains are padded. 0: whole "
                                         "chains (eval, predict); -1: as the preset says."},
    {.name = "clusters", .type = PARAM_INT, .fallback = "-1", .min = -1, .max = 16384,
     .offset = AT(given.clusters), .help = "Rows of the MSA representation: centres of clusters; "
                                           "-1: as the preset says."},
    {.name = "extra", .type = PARAM_INT, .fallback = "-1", .min = -1, .max = 65536,
     .offset = AT(given.extra), .help = "Rows of the extra MSA, drawn from those that are no "
                                        "centres; -1: as the preset says."},
    {.name = "max_templates", .type = PARAM_INT, .fallback = "-1", .min = -1, .max = 64,
     .offset = AT(given.max_templates),
     .help = "Templates of a sample at most; 0: none; -1: as the preset says."},
    {.name = "mask", .type = PARAM_FLOAT, .fallback = "0.15", .min = 0, .max = 1,
     .offset = AT(mask), .help = "Fraction of the cluster rows' positions that are masked."},
    {.name = "crop", .type = PARAM_CHOICE, .fallback = "uniform", .choices = crop_choices,
     .offset = AT(crop), .help = "How the start is drawn: uniform, or openfold's two steps, which "
                                 "prefer the N-terminus."},
    {.name = "block_delete", .type = PARAM_BOOL, .fallback = "true", .offset = AT(block_delete),
     .help = "Deletes blocks of alignment rows before sampling, in training."},
    {.name = "block_fraction", .type = PARAM_FLOAT, .fallback = "0.3", .min = 0, .max = 1,
     .offset = AT(block_fraction), .help = "Rows of a deleted block, as a fraction of all."},
    {.name = "blocks", .type = PARAM_INT, .fallback = "5", .min = 0, .max = MSA_BLOCKS_MAX,
     .offset = AT(blocks), .help = "Blocks that are deleted; they may overlap."},
    {.name = "distillation_rows", .type = PARAM_INT, .fallback = "1000", .min = 0, .max = 1e9,
     .offset = AT(distillation_rows),
     .help = "Alignment rows that training keeps, at random, of predicted structures; 0: all."},
    {.name = "rows_limit", .type = PARAM_INT, .fallback = "0", .min = 0, .max = 1e9,
     .offset = AT(rows_limit),
     .help = "Rows that an alignment may have before everything else; of longer ones as many are "
             "drawn by the sample's own key, and rows_cut says how many were not. 0: no limit."},
    {.name = "shuffle_templates", .type = PARAM_BOOL, .fallback = "true",
     .offset = AT(shuffle_templates),
     .help = "Training takes its templates from a random order of the best hits; predicted "
             "structures always take the best."},
    {.name = "subsample_templates", .type = PARAM_BOOL, .fallback = "true",
     .offset = AT(subsample_templates),
     .help = "Training drops a uniform number of its templates, and permutes them."},
    {.name = "clamp", .type = PARAM_FLOAT, .fallback = "0.9", .min = 0, .max = 1,
     .offset = AT(clamp),
     .help = "Probability that a training sample uses the clamped FAPE loss."},
    {.name = NULL},
};

static const char *const crop_in[] = {
    "aatype:u8[L]", "residue_index:i32[L]", "all_atom_positions:f32[L,37,3]?",
    "all_atom_mask:u8[L,37]?", "resolution:f32?", "is_distillation:f32?", "msa:u8[N,L]~",
    "deletion_start:i32[S]", "deletion_column:i32[D]", "deletion_count:i32[D]",
    "hhblits_profile:i32[L,22]", "template_sequence:u8[T,L]?",
    "template_all_atom_positions:f32[T,L,37,3]?~", "template_all_atom_mask:u8[T,L,37]?~",
    "template_sum_probs:f32[T]?", "template_shuffled:i32?", NULL};

static const char *const crop_out[] = {COMPACT_FIELDS(COMPACT_ROW, COMPACT_SCALAR_ROW) NULL};

const struct stage stage_crop = {
    .abi = STAGE_ABI,
    .version = 2,
    .flags = STAGE_RANDOM,
    .name = "crop",
    .summary = "Crops a chain, samples, masks and clusters its alignment: all that is random.",
    .state_size = sizeof(struct crop_state),
    .params = crop_params,
    .in = {crop_in},
    .out = {crop_out},
    .open = crop_open,
    .feed = crop_feed,
    .sizes = crop_sizes,
};

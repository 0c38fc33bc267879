/* Crop: everything random of a training sample. Draws the crop first, then for each recycling pass
 * the alignment's rows, masks and clusters, and gives them in a compact form (bytes, counts), which
 * the trainer expands to features. Only cluster assignment looks at columns outside the crop.
 *
 * What it gives (K residues, M cluster rows, E extra rows, P recycling passes; padding is 0):
 *   aatype residue_index all_atom_positions all_atom_mask   the crop of the fields of parse
 *   seq_mask u8[K]            1 on residues, 0 on padding
 *   seq_length i32[]          residues in the crop
 *   crop_start i32[]          first residue of the crop in its chain
 *   msa u8[P,M,K]             cluster rows after masking: restype order, 21 gap, 22 [MASK]
 *   true_msa u8[P,M,K]        the same before masking
 *   bert_mask u8[P,M,K]       1 where the masked-MSA loss looks
 *   deletion_matrix i16[P,M,K]
 *   cluster_counts i16[P,M,K,23]   symbols of the rows in the cluster, its own included
 *   cluster_deletions i32[P,M,K]   deletions over the same rows
 *   cluster_sizes i32[P,M]    extra rows in it; cluster_profile = counts / (1 + 1e-6 + size)
 *   msa_rows i32[P]           cluster rows in use
 *   extra_msa u8[P,E,K], extra_deletion_matrix i16[P,E,K], extra_rows i32[P]
 *   resolution is_distillation use_clamped_fape   f32[] */
#include "engine/stage.h"
#include "stages/bio/msa_assign.h"
#include "stages/bio/msa_cluster.h"

#include <string.h>

enum { ATOMS = 37, DRAW_CROP = 0, DRAW_PASS = 1 };

enum { CROP_UNIFORM, CROP_OPENFOLD };
enum { MODE_TRAIN, MODE_EVAL };

struct crop_state {
    int64_t length, clusters, extra, blocks, distillation_rows;
    double mask, block_fraction, clamp;
    bool block_delete;
    int crop, mode;
    const char *name;
};

/* STATUS_LIMIT when a sample of these settings is larger than samples may be; the settings' own
 * limits keep the sum far from overflow. */
static enum status size_check(const struct crop_state *crop, int64_t passes, struct error *err)
{
    int64_t k = crop->length, residue = 1 + 4 + ATOMS * 13 + 1; /* bytes, as in the table above */
    int64_t cell = 3 + 2 + MSA_SYMBOLS * 2 + 4, extra_cell = 1 + 2;
    int64_t pass = k * (crop->clusters * cell + crop->extra * extra_cell) + crop->clusters * 4;
    int64_t bytes = k * residue + passes * pass;
    if ((uint64_t)bytes <= SAMPLE_BYTES_MAX)
        return STATUS_OK;
    return error_set(err, STATUS_LIMIT,
                     "length %lld, clusters %lld and extra %lld make a sample of %lld MB in %lld "
                     "passes, and %zu MB is the most: make them smaller",
                     (long long)k, (long long)crop->clusters, (long long)crop->extra,
                     (long long)(bytes >> 20), (long long)passes, SAMPLE_BYTES_MAX >> 20);
}

static enum status crop_open(void *state, struct stage_context *context, struct error *err)
{
    struct crop_state *crop = state;
    crop->name = context->name;
    return size_check(crop, 1, err);
}

/* The crop's first residue; draws before everything else. */
static uint32_t draw_start(const struct crop_state *crop, uint32_t length, struct rng *rng)
{
    uint32_t spare = length > crop->length ? length - (uint32_t)crop->length : 0;
    if (crop->crop == CROP_UNIFORM)
        return rng_below(rng, spare + 1);
    uint32_t shorter = rng_below(rng, spare + 1); /* two steps, biased to the N-terminus */
    return rng_below(rng, spare - shorter + 1);
}

/* The window of the chain that is kept. */
struct window {
    uint32_t start, width;
};

/* Rows [start, start + width) of a per-residue field, padded to K. */
static enum status copy_residues(const struct sample *in, const char *name, enum kind kind,
                                 int rank, struct window window, int64_t length,
                                 struct sample *out, struct arena *arena, struct error *err)
{
    const struct field *field;
    enum status status = sample_need(in, name, kind, rank, &field, err);
    if (status != STATUS_OK)
        return status;
    int64_t size[SAMPLE_RANK_MAX];
    memcpy(size, field->size, sizeof size);
    size[0] = length;
    size_t row = kind_size(kind);
    for (int i = 1; i < rank; i++)
        row *= (size_t)size[i];
    char *to = sample_add(out, arena, name, kind, rank, size);
    memcpy(to, (const char *)field->data + window.start * row, window.width * row);
    return STATUS_OK;
}

/* Whether what the arrays say can be relied on: symbols are symbols, profile counts are of N rows,
 * and each row's deletions are its own, in rising columns, at least 1. */
static bool source_good(const struct msa_source *source, int64_t deletions)
{
    size_t cells = (size_t)source->rows * source->length;
    uint8_t largest = 0; /* no early end: so the loop is one of vectors */
    for (size_t i = 0; i < cells; i++)
        largest = source->msa[i] > largest ? source->msa[i] : largest;
    bool good = largest <= MSA_GAP && source->deletion_start[0] == 0 &&
                source->deletion_start[source->rows] == deletions;
    for (size_t i = 0; i < (size_t)source->length * MSA_PROFILE; i++)
        good &= source->profile[i] >= 0 && (uint32_t)source->profile[i] <= source->rows;
    for (uint32_t row = 0; good && row < source->rows; row++) {
        int32_t from = source->deletion_start[row], to = source->deletion_start[row + 1];
        int32_t column = -1;
        good = from <= to && to <= deletions;
        for (int32_t d = from; good && d < to; d++) {
            good = source->deletion_column[d] > column && source->deletion_count[d] >= 1 &&
                   source->deletion_column[d] < (int64_t)source->length;
            column = source->deletion_column[d];
        }
    }
    return good;
}

/* The sample's fields as an alignment; sizes are held against each other. */
static enum status source_read(const struct sample *in, struct msa_source *source,
                               struct error *err)
{
    const struct field *msa, *start, *column, *count, *profile;
    enum status status = sample_need(in, "msa", KIND_U8, 2, &msa, err);
    if (status == STATUS_OK)
        status = sample_need(in, "deletion_start", KIND_I32, 1, &start, err);
    if (status == STATUS_OK)
        status = sample_need(in, "deletion_column", KIND_I32, 1, &column, err);
    if (status == STATUS_OK)
        status = sample_need(in, "deletion_count", KIND_I32, 1, &count, err);
    if (status == STATUS_OK)
        status = sample_need(in, "hhblits_profile", KIND_I32, 2, &profile, err);
    if (status != STATUS_OK)
        return status;
    int64_t rows = msa->size[0], length = msa->size[1];
    *source = (struct msa_source){.rows = (uint32_t)rows,
                                  .length = (uint32_t)length,
                                  .msa = msa->data,
                                  .deletion_start = start->data,
                                  .deletion_column = column->data,
                                  .deletion_count = count->data,
                                  .profile = profile->data};
    bool good = rows >= 1 && length >= 1 && rows < INT32_MAX && length < INT32_MAX &&
                start->size[0] == rows + 1 && column->size[0] == count->size[0] &&
                profile->size[0] == length && profile->size[1] == MSA_PROFILE &&
                source_good(source, column->size[0]);
    if (good)
        return STATUS_OK;
    return error_set(err, STATUS_INVALID, "sample %s: its alignment contradicts itself; make the "
                     "record again (foldmill store verify finds damaged ones)", in->key);
}

/* The arrays of all passes. */
struct passes {
    uint8_t *msa, *true_msa, *bert_mask, *extra_msa;
    int16_t *deletions, *counts, *extra_deletions;
    int32_t *cluster_deletions, *sizes, *rows, *extra_rows;
};

static struct passes passes_add(const struct crop_state *crop, int64_t passes, struct sample *out,
                                struct arena *arena)
{
    int64_t m = crop->clusters, k = crop->length, e = crop->extra;
    struct passes p = {
        .msa = sample_add_3(out, arena, "msa", KIND_U8, passes, m, k),
        .true_msa = sample_add_3(out, arena, "true_msa", KIND_U8, passes, m, k),
        .bert_mask = sample_add_3(out, arena, "bert_mask", KIND_U8, passes, m, k),
        .deletions = sample_add_3(out, arena, "deletion_matrix", KIND_I16, passes, m, k),
        .counts = sample_add(out, arena, "cluster_counts", KIND_I16, 4,
                             (int64_t[]){passes, m, k, MSA_SYMBOLS}),
        .cluster_deletions = sample_add_3(out, arena, "cluster_deletions", KIND_I32, passes, m, k),
        .sizes = sample_add_2(out, arena, "cluster_sizes", KIND_I32, passes, m),
        .rows = sample_add_1(out, arena, "msa_rows", KIND_I32, passes),
        .extra_msa = sample_add_3(out, arena, "extra_msa", KIND_U8, passes, e, k),
        .extra_deletions =
            sample_add_3(out, arena, "extra_deletion_matrix", KIND_I16, passes, e, k),
        .extra_rows = sample_add_1(out, arena, "extra_rows", KIND_I32, passes),
    };
    return p;
}

/* One recycling pass into the arrays. */
static void pass_make(const struct crop_state *crop, const struct msa_source *source,
                      struct window window, bool distillation, struct rng *rng, int64_t pass,
                      struct passes *all, struct arena *arena)
{
    const struct msa_settings settings = {
        .clusters = (uint32_t)crop->clusters,
        .extra = (uint32_t)crop->extra,
        .mask_fraction = (float)crop->mask,
        .block_delete = crop->block_delete && crop->mode == MODE_TRAIN,
        .block_fraction = (float)crop->block_fraction,
        .blocks = (uint32_t)crop->blocks,
        .distillation_rows = (uint32_t)crop->distillation_rows,
    };
    struct msa_choice choice = msa_choose(source, &settings, distillation, rng, arena);
    uint32_t *assignment = arena_alloc(arena, (size_t)choice.extra * sizeof *assignment);
    msa_assign(source, &choice, arena, assignment);

    size_t k = (size_t)crop->length, rows = (size_t)(pass * crop->clusters);
    size_t length = source->length, width = window.width;
    /* Summaries are made at the crop's own width, then spread to padded rows. */
    size_t cells = choice.clusters * width;
    int16_t *counts = arena_zero(arena, cells * MSA_SYMBOLS, sizeof *counts);
    int32_t *deletions = arena_zero(arena, cells, sizeof *deletions);
    msa_summarize(source, &choice, assignment, window.start, window.width, counts, deletions,
                  all->sizes + rows);
    for (uint32_t c = 0; c < choice.clusters; c++) {
        size_t to = (rows + c) * k, from = c * length + window.start;
        memcpy(all->msa + to, choice.masked + from, width);
        memcpy(all->bert_mask + to, choice.mask + from, width);
        memcpy(all->true_msa + to,
               source->msa + (size_t)choice.cluster_row[c] * length + window.start, width);
        memcpy(all->counts + to * MSA_SYMBOLS, counts + c * width * MSA_SYMBOLS,
               width * MSA_SYMBOLS * sizeof *counts);
        memcpy(all->cluster_deletions + to, deletions + c * width, width * sizeof *deletions);
        msa_deletions(source, choice.cluster_row[c], window.start, window.width,
                      all->deletions + to);
    }
    all->rows[pass] = (int32_t)choice.clusters;
    all->extra_rows[pass] = (int32_t)choice.extra_kept_count;
    for (uint32_t e = 0; e < choice.extra_kept_count; e++) {
        uint32_t row = choice.extra_row[choice.extra_kept[e]];
        size_t to = ((size_t)(pass * crop->extra) + e) * k;
        memcpy(all->extra_msa + to, source->msa + row * length + window.start, width);
        msa_deletions(source, row, window.start, window.width, all->extra_deletions + to);
    }
}

static float scalar_f32(const struct sample *in, const char *name)
{
    const struct field *field = sample_find(in, name);
    float value = 0;
    if (field && field->kind == KIND_F32 && field->rank == 0)
        memcpy(&value, field->data, sizeof value);
    return value;
}

static enum status crop_feed(void *state, const struct work *work, const struct sample *in,
                             struct sample *out, struct arena *arena, struct error *err)
{
    const struct crop_state *crop = state;
    struct msa_source source;
    int64_t k = crop->length, passes = (int64_t)work->recycles + 1;
    enum status status = size_check(crop, passes, err);
    if (status == STATUS_OK)
        status = source_read(in, &source, err);
    if (status != STATUS_OK)
        return status;
    /* Evaluation sees the same crops every time: not epoch and position enter, but the key. */
    bool eval = crop->mode == MODE_EVAL;
    uint64_t epoch = eval ? 0 : work->epoch, position = eval ? hash_name(in->key) : work->position;
    struct rng rng = rng_open(work->seed, epoch, position, crop->name, DRAW_CROP);
    uint32_t length = source.length;
    struct window window = {.start = draw_start(crop, length, &rng)};
    window.width = length - window.start < crop->length ? length - window.start
                                                        : (uint32_t)crop->length;
    bool clamped = rng_uniform(&rng) < (float)crop->clamp;
    status = copy_residues(in, "aatype", KIND_U8, 1, window, k, out, arena, err);
    if (status == STATUS_OK)
        status = copy_residues(in, "residue_index", KIND_I32, 1, window, k, out, arena, err);
    if (status == STATUS_OK)
        status = copy_residues(in, "all_atom_positions", KIND_F32, 3, window, k, out, arena, err);
    if (status == STATUS_OK)
        status = copy_residues(in, "all_atom_mask", KIND_U8, 2, window, k, out, arena, err);
    if (status != STATUS_OK)
        return status;
    memset(sample_add_1(out, arena, "seq_mask", KIND_U8, k), 1, window.width);
    sample_add_i32(out, arena, "seq_length", (int32_t)window.width);
    sample_add_i32(out, arena, "crop_start", (int32_t)window.start);
    float distillation = scalar_f32(in, "is_distillation");
    sample_add_f32(out, arena, "resolution", scalar_f32(in, "resolution"));
    sample_add_f32(out, arena, "is_distillation", distillation);
    sample_add_f32(out, arena, "use_clamped_fape", clamped ? 1 : 0);
    struct passes all = passes_add(crop, passes, out, arena);
    for (int64_t pass = 0; pass < passes; pass++) {
        struct arena_mark mark = arena_mark(arena);
        struct rng own =
            rng_open(work->seed, epoch, position, crop->name, DRAW_PASS + (uint32_t)pass);
        pass_make(crop, &source, window, distillation > 0, &own, pass, &all, arena);
        arena_rewind(arena, mark);
    }
    return STATUS_OK;
}

static void crop_sizes(const void *state, int64_t size[26])
{
    const struct crop_state *crop = state;
    size['K' - 'A'] = crop->length;
    size['M' - 'A'] = crop->clusters;
    size['E' - 'A'] = crop->extra;
}

#define AT(member) offsetof(struct crop_state, member)

static const char *const crop_choices[] = {"uniform", "openfold", NULL};
static const char *const mode_choices[] = {"train", "eval", NULL};

static const struct param crop_params[] = {
    {.name = "length", .type = PARAM_INT, .fallback = "256", .min = 1, .max = 4096,
     .offset = AT(length), .help = "Residues of a crop; shorter chains are padded."},
    {.name = "clusters", .type = PARAM_INT, .fallback = "128", .min = 1, .max = 16384,
     .offset = AT(clusters), .help = "Rows of the MSA representation: centres of clusters."},
    {.name = "extra", .type = PARAM_INT, .fallback = "1024", .min = 0, .max = 65536,
     .offset = AT(extra), .help = "Rows of the extra MSA, drawn from those that are no centres."},
    {.name = "mask", .type = PARAM_FLOAT, .fallback = "0.15", .min = 0, .max = 1,
     .offset = AT(mask), .help = "Fraction of the cluster rows' positions that are masked."},
    {.name = "mode", .type = PARAM_CHOICE, .fallback = "train", .choices = mode_choices,
     .offset = AT(mode), .help = "train: new draws every epoch; eval: the same draws every time, "
                                 "no block deletion."},
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
     .help = "Alignment rows kept, at random, of predicted structures; 0: all."},
    {.name = "clamp", .type = PARAM_FLOAT, .fallback = "0.9", .min = 0, .max = 1,
     .offset = AT(clamp), .help = "Probability that a sample uses the clamped FAPE loss."},
    {.name = NULL},
};

static const char *const crop_in[] = {
    "aatype:u8[L]", "residue_index:i32[L]", "all_atom_positions:f32[L,37,3]",
    "all_atom_mask:u8[L,37]", "msa:u8[N,L]", "deletion_start:i32[S]", "deletion_column:i32[D]",
    "deletion_count:i32[D]", "hhblits_profile:i32[L,22]", "resolution:f32", "is_distillation:f32",
    NULL};

static const char *const crop_out[] = {
    "aatype:u8[K]", "residue_index:i32[K]", "all_atom_positions:f32[K,37,3]",
    "all_atom_mask:u8[K,37]", "seq_mask:u8[K]", "seq_length:i32", "crop_start:i32",
    "msa:u8[P,M,K]", "true_msa:u8[P,M,K]", "bert_mask:u8[P,M,K]", "deletion_matrix:i16[P,M,K]",
    "cluster_counts:i16[P,M,K,23]", "cluster_deletions:i32[P,M,K]", "cluster_sizes:i32[P,M]",
    "msa_rows:i32[P]", "extra_msa:u8[P,E,K]", "extra_deletion_matrix:i16[P,E,K]",
    "extra_rows:i32[P]", "resolution:f32", "is_distillation:f32", "use_clamped_fape:f32", NULL};

const struct stage stage_crop = {
    .abi = STAGE_ABI,
    .version = 1,
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

/* Crops against the reference, bit for bit (channel 48 of msa_feat within 1.2e-7): genuine random
 * runs with every draw recorded (traced/), fed the same draws; and runs without randomness
 * (processed/), where the first rows are the clusters and nothing is masked. Compared are the
 * features below and those of residues_compare; template features are not made yet, and atom14,
 * frames and torsions have a test of their own (geometry.c). */
#include "tests/stages/crops.h"
#include "tests/stages/features.h"
#include "stages/bio/expand.h"
#include "stages/bio/geometry.h"
#include "stages/bio/msa_assign.h"
#include "stages/bio/msa_cluster.h"

#include <dirent.h>
#include <math.h>
#include <stdio.h>

extern const struct stage stage_crop;

enum { CLUSTERS = 128, EXTRA = 1024, DISTILLATION_ROWS = 1000, CASES_MIN = 54 };

static const uint8_t hhblits_to_restype[22] = {0, 4,  3, 6, 13, 7,  8,  9,  11, 10, 12,
                                               2, 14, 5, 1, 15, 16, 19, 17, 18, 20, 21};

struct traced {
    struct arena arena;
    struct npz raw, run;
    struct msa_source source;
    bool identity; /* a case without randomness */
    uint32_t length, crop, start, width;
};

static const void *need(const struct npz *npz, const char *name, enum npz_kind kind)
{
    const struct npz_array *array = npz_find(npz, name);
    cr_assert(array, "no array %s", name);
    cr_assert(array->kind == kind, "%s is of another kind", name);
    return array->data;
}

static int64_t scalar(const struct npz *npz, const char *name)
{
    const struct npz_array *array = npz_find(npz, name);
    cr_assert(array && array->kind == NPZ_I32 && array->count == 1, "%s", name);
    int32_t value;
    memcpy(&value, array->data, sizeof value);
    return value;
}

/* The raw features as the msa stage stores them. */
static void source_make(struct traced *t)
{
    const struct npz_array *msa = npz_find(&t->raw, "msa");
    cr_assert(msa && msa->kind == NPZ_I32 && msa->rank == 2);
    size_t rows = msa->size[0], length = msa->size[1], deletions = 0;
    const int32_t *symbol = msa->data;
    const int32_t *deleted = need(&t->raw, "deletion_matrix_int", NPZ_I32);
    uint8_t *codes = arena_alloc(&t->arena, rows * length);
    int32_t *start = arena_zero(&t->arena, rows + 1, sizeof *start);
    int32_t *column = arena_alloc(&t->arena, rows * length * sizeof *column);
    int32_t *count = arena_alloc(&t->arena, rows * length * sizeof *count);
    int32_t *profile = arena_zero(&t->arena, length * MSA_PROFILE, sizeof *profile);
    for (size_t i = 0; i < rows; i++) {
        for (size_t j = 0; j < length; j++) {
            int32_t value;
            memcpy(&value, &symbol[i * length + j], sizeof value);
            codes[i * length + j] = hhblits_to_restype[value];
            profile[j * MSA_PROFILE + codes[i * length + j]]++;
            memcpy(&value, &deleted[i * length + j], sizeof value);
            if (value) {
                column[deletions] = (int32_t)j;
                count[deletions++] = value;
            }
        }
        start[i + 1] = (int32_t)deletions;
    }
    t->length = (uint32_t)length;
    t->source = (struct msa_source){.rows = (uint32_t)rows,
                                    .length = (uint32_t)length,
                                    .msa = codes,
                                    .deletion_start = start,
                                    .deletion_column = column,
                                    .deletion_count = count,
                                    .profile = profile};
}

static const uint32_t *draws(struct traced *t, int pass, const char *name, uint32_t *count)
{
    char full[64];
    snprintf(full, sizeof full, "r%d_%s", pass, name);
    const struct npz_array *array = npz_find(&t->run, full);
    if (!array)
        return NULL;
    cr_assert(array->kind == NPZ_I32 || array->kind == NPZ_I64, "%s", full);
    uint32_t *values = arena_alloc(&t->arena, array->count * sizeof *values);
    for (uint64_t i = 0; i < array->count; i++)
        memcpy(&values[i], (const char *)array->data + i * array->item_bytes, sizeof *values);
    *count = (uint32_t)array->count;
    return values;
}

/* The choice without randomness: rows in order, nothing masked. */
static struct msa_choice choose_identity(struct traced *t)
{
    uint32_t count = t->source.rows;
    const struct npz_array *distillation = npz_find(&t->raw, "is_distillation");
    if (distillation && golden_f32(distillation, 0) > 0 && count > DISTILLATION_ROWS)
        count = DISTILLATION_ROWS;
    uint32_t *rows = arena_alloc(&t->arena, count * sizeof *rows);
    for (uint32_t i = 0; i < count; i++)
        rows[i] = i;
    struct msa_choice choice = {.cluster_row = rows, .extra_kept = rows};
    choice.clusters = count < CLUSTERS ? count : CLUSTERS;
    choice.extra = count - choice.clusters;
    choice.extra_row = rows + choice.clusters;
    choice.extra_kept_count = choice.extra < EXTRA ? choice.extra : EXTRA;
    choice.mask = arena_zero(&t->arena, choice.clusters, t->length);
    choice.masked = t->source.msa;
    return choice;
}

/* The choice that the recorded draws of a pass make. */
static struct msa_choice choose(struct traced *t, int pass)
{
    if (t->identity)
        return choose_identity(t);
    uint32_t count = t->source.rows, starts_count = 0, perm_count = 0;
    uint32_t *rows = arena_alloc(&t->arena, count * sizeof *rows);
    const uint32_t *starts = draws(t, pass, "block_starts", &starts_count);
    uint32_t block = starts ? msa_block_rows(count, 0.3f) : 0;
    count = msa_block_delete(count, block, starts, starts_count, rows);
    const uint32_t *perm = draws(t, pass, "distill_perm", &perm_count);
    if (perm) {
        cr_assert(perm_count == count - 1);
        msa_reorder(rows, count, perm, &t->arena);
        if (count > DISTILLATION_ROWS)
            count = DISTILLATION_ROWS;
    }
    perm = draws(t, pass, "sample_perm", &perm_count);
    cr_assert(perm && perm_count == count - 1, "sample_perm: %u of %u", perm_count, count);
    msa_reorder(rows, count, perm, &t->arena);
    struct msa_choice choice = {.cluster_row = rows};
    choice.clusters = count < CLUSTERS ? count : CLUSTERS;
    choice.extra = count - choice.clusters;
    choice.extra_row = rows + choice.clusters;
    char name[64];
    snprintf(name, sizeof name, "r%d_mask", pass);
    choice.mask = need(&t->run, name, NPZ_BOOL);
    snprintf(name, sizeof name, "r%d_bert_sample", pass);
    uint8_t *masked = arena_alloc(&t->arena, (size_t)choice.clusters * t->length);
    msa_apply_mask(&t->source, rows, choice.clusters, choice.mask, need(&t->run, name, NPZ_U8),
                   masked);
    choice.masked = masked;
    choice.extra_kept = draws(t, pass, "extra_perm", &perm_count);
    cr_assert(choice.extra_kept && perm_count == choice.extra);
    choice.extra_kept_count = choice.extra < EXTRA ? choice.extra : EXTRA;
    return choice;
}

/* A feature in one pass: out4.NAME holds one for each pass, out.NAME one for all; without
 * randomness there is one pass, and NAME alone. */
static const char *feature(const struct traced *t, const char *name, int pass, size_t item)
{
    char full[64];
    snprintf(full, sizeof full, "out4.%s", name);
    const struct npz_array *array = npz_find(&t->run, full);
    size_t skip = 0;
    if (array) {
        skip = array->count / 4 * (size_t)pass;
    } else {
        snprintf(full, sizeof full, "%s%s", t->identity ? "" : "out.", name);
        array = npz_find(&t->run, full);
    }
    cr_assert(array && array->item_bytes == item, "no %s of this kind", full);
    return (const char *)array->data + skip * item;
}

static float get_f32(const char *feature_data, size_t at)
{
    float value;
    memcpy(&value, feature_data + at * sizeof value, sizeof value);
    return value;
}

static int64_t get_i64(const char *feature_data, size_t at)
{
    int64_t value;
    memcpy(&value, feature_data + at * sizeof value, sizeof value);
    return value;
}

static void clusters_compare(struct traced *t, const char *label, int pass,
                             const struct msa_choice *choice)
{
    size_t k = t->crop, cells = (size_t)choice->clusters * t->width;
    uint32_t *assignment = arena_alloc(&t->arena, (size_t)choice->extra * sizeof *assignment);
    int16_t *narrow = arena_zero(&t->arena, cells * MSA_SYMBOLS, sizeof *narrow);
    int32_t *narrow_sum = arena_zero(&t->arena, cells, sizeof *narrow_sum);
    int32_t *sizes = arena_zero(&t->arena, CLUSTERS, sizeof *sizes);
    msa_assign(&t->source, choice, &t->arena, assignment);
    msa_summarize(&t->source, choice, assignment, t->start, t->width, narrow, narrow_sum, sizes);
    int16_t *counts = arena_zero(&t->arena, CLUSTERS * k * MSA_SYMBOLS, sizeof *counts);
    int16_t *deletions = arena_zero(&t->arena, CLUSTERS * k, sizeof *deletions);
    int32_t *sums = arena_zero(&t->arena, CLUSTERS * k, sizeof *sums);
    uint8_t *msa = arena_zero(&t->arena, CLUSTERS * k, 1);
    float *msa_feat = arena_alloc(&t->arena, CLUSTERS * k * EXPAND_MSA_FEATURES * sizeof *msa_feat);
    for (uint32_t c = 0; c < choice->clusters; c++) {
        memcpy(counts + c * k * MSA_SYMBOLS, narrow + (size_t)c * t->width * MSA_SYMBOLS,
               t->width * MSA_SYMBOLS * sizeof *counts);
        memcpy(sums + c * k, narrow_sum + (size_t)c * t->width, t->width * sizeof *sums);
        memcpy(msa + c * k, choice->masked + (size_t)c * t->length + t->start, t->width);
        msa_deletions(&t->source, choice->cluster_row[c], t->start, t->width, deletions + c * k);
    }
    struct expand_clusters clusters = {CLUSTERS,      (int)k, (int)choice->clusters,
                                       (int)t->width, msa,    deletions,
                                       counts,        sums,   sizes};
    expand_msa(&clusters, msa_feat);
    const char *want = feature(t, "msa_feat", pass, sizeof(float));
    for (size_t i = 0; i < CLUSTERS * k * EXPAND_MSA_FEATURES; i++) {
        float value = get_f32(want, i);
        int channel = (int)(i % EXPAND_MSA_FEATURES);
        bool good = channel == 48 ? fabsf(value - msa_feat[i]) <= 1.2e-7f : value == msa_feat[i];
        cr_assert(good, "%s pass %d: msa_feat row %zu column %zu channel %d: %.9g, wanted %.9g",
                  label, pass, i / EXPAND_MSA_FEATURES / k, i / EXPAND_MSA_FEATURES % k, channel,
                  (double)msa_feat[i], (double)value);
    }
    const char *true_msa = feature(t, "true_msa", pass, sizeof(int64_t));
    const char *bert_mask = feature(t, "bert_mask", pass, sizeof(float));
    const char *msa_mask = feature(t, "msa_mask", pass, sizeof(float));
    const char *row_mask = feature(t, "msa_row_mask", pass, sizeof(float));
    for (size_t i = 0; i < CLUSTERS * k; i++) {
        size_t row = i / k, column = i % k;
        bool used = row < choice->clusters && column < t->width;
        size_t at = row * t->length + t->start + column;
        int64_t truth =
            used ? t->source.msa[(size_t)choice->cluster_row[row] * t->length + t->start + column]
                 : 0;
        cr_assert(get_i64(true_msa, i) == truth, "%s true_msa %zu", label, i);
        cr_assert(get_f32(bert_mask, i) == (used && choice->mask[at]), "%s", label);
        cr_assert(get_f32(msa_mask, i) == used, "%s msa_mask", label);
        cr_assert(get_f32(row_mask, row) == (row < choice->clusters), "%s msa_row_mask", label);
    }
}

static void extra_compare(struct traced *t, const char *label, int pass,
                          const struct msa_choice *choice)
{
    int16_t *deletions = arena_alloc(&t->arena, t->crop * sizeof *deletions);
    const char *extra_msa = feature(t, "extra_msa", pass, sizeof(int64_t));
    const char *has = feature(t, "extra_has_deletion", pass, sizeof(float));
    const char *value = feature(t, "extra_deletion_value", pass, sizeof(float));
    const char *mask = feature(t, "extra_msa_mask", pass, sizeof(float));
    const char *row_mask = feature(t, "extra_msa_row_mask", pass, sizeof(float));
    for (size_t e = 0; e < EXTRA; e++) {
        memset(deletions, 0, t->crop * sizeof *deletions);
        uint32_t row = 0;
        bool used = e < choice->extra_kept_count;
        if (used) {
            row = choice->extra_row[choice->extra_kept[e]];
            msa_deletions(&t->source, row, t->start, t->width, deletions);
        }
        cr_assert(get_f32(row_mask, e) == used, "%s extra_msa_row_mask", label);
        for (size_t j = 0; j < t->crop; j++) {
            size_t at = e * t->crop + j;
            cr_assert(get_f32(mask, at) == (used && j < t->width), "%s extra_msa_mask", label);
            int64_t symbol =
                used && j < t->width ? t->source.msa[(size_t)row * t->length + t->start + j] : 0;
            cr_assert(get_i64(extra_msa, at) == symbol, "%s extra_msa", label);
            cr_assert(get_f32(has, at) == (deletions[j] > 0));
            cr_assert(get_f32(value, at) == deletion_value(deletions[j]), "%s deletion value of %d",
                      label, deletions[j]);
        }
    }
}

/* The chain as parse gives it, with no alignment but itself. */
static void chain_of(struct traced *t, struct sample *chain)
{
    const struct npz_array *one_hot = golden_array(&t->raw, "aatype", NPZ_I32);
    const struct npz_array *positions = golden_array(&t->raw, "all_atom_positions", NPZ_F32);
    const struct npz_array *mask = golden_array(&t->raw, "all_atom_mask", NPZ_F32);
    const struct npz_array *index = golden_array(&t->raw, "residue_index", NPZ_I32);
    int64_t length = t->length;
    cr_assert(sample_open(chain, SPAN("golden"), NULL) == STATUS_OK);
    uint8_t *aatype = sample_add_1(chain, &t->arena, "aatype", KIND_U8, length);
    int32_t *number = sample_add_1(chain, &t->arena, "residue_index", KIND_I32, length);
    float *xyz = sample_add_3(chain, &t->arena, "all_atom_positions", KIND_F32, length, 37, 3);
    uint8_t *atoms = sample_add_2(chain, &t->arena, "all_atom_mask", KIND_U8, length, 37);
    uint8_t *msa = sample_add_2(chain, &t->arena, "msa", KIND_U8, 1, length);
    int32_t *profile = sample_add_2(chain, &t->arena, "hhblits_profile", KIND_I32, length, 22);
    for (uint64_t i = 0; i < t->length; i++) {
        for (uint8_t a = 0; a < 21; a++)
            if (golden_i32(one_hot, i * 21 + a))
                aatype[i] = a;
        for (uint64_t a = 0; a < 37; a++)
            atoms[i * 37 + a] = golden_f32(mask, i * 37 + a) > 0;
        number[i] = golden_i32(index, i);
        msa[i] = aatype[i];
        profile[i * 22 + aatype[i]] = 1;
    }
    memcpy(xyz, positions->data, positions->count * sizeof *xyz);
    sample_add_1(chain, &t->arena, "deletion_start", KIND_I32, 2);
    sample_add_1(chain, &t->arena, "deletion_column", KIND_I32, 0);
    sample_add_1(chain, &t->arena, "deletion_count", KIND_I32, 0);
    sample_add_f32(chain, &t->arena, "resolution",
                   golden_f32(golden_array(&t->raw, "resolution", NPZ_F32), 0));
    sample_add_f32(chain, &t->arena, "is_distillation",
                   golden_f32(golden_array(&t->raw, "is_distillation", NPZ_F32), 0));
}

/* The crop stage's output for the crop of the case: positions of the epoch are tried until one
 * draws its start. */
static void crop_at(struct traced *t, struct sample *out)
{
    enum { TRIES = 40000 };
    static struct stage_context context = {.name = "crop"};
    struct sample chain;
    char settings[96];
    chain_of(t, &chain);
    snprintf(settings, sizeof settings, "{length: %u, clusters: 1, extra: 0}", t->crop);
    void *state = stage_state(&stage_crop, settings, &context, &t->arena);
    for (uint64_t position = 0; position < TRIES; position++) {
        struct arena_mark mark = arena_mark(&t->arena);
        struct work work = {.seed = 1, .position = position};
        stage_feed(&stage_crop, state, &work, &chain, out, &t->arena);
        if (*(int32_t *)field_data(out, "crop_start") == (int32_t)t->start)
            return;
        arena_rewind(&t->arena, mark);
    }
    cr_assert(false, "no position of %d begins at residue %u", TRIES, t->start);
}

/* Residue features of the crop, and what they expand to. */
static void residues_compare(struct traced *t, const char *label)
{
    struct sample out;
    size_t k = t->crop;
    crop_at(t, &out);
    const uint8_t *aatype = field_data(&out, "aatype"), *seq_mask = field_data(&out, "seq_mask");
    const uint8_t *atoms = field_data(&out, "all_atom_mask");
    const int32_t *number = field_data(&out, "residue_index");
    const float *xyz = field_data(&out, "all_atom_positions");
    float *target = arena_alloc(&t->arena, k * EXPAND_TARGET_FEATURES * sizeof *target);
    float *beta = arena_alloc(&t->arena, k * 3 * sizeof *beta);
    float *beta_mask = arena_alloc(&t->arena, k * sizeof *beta_mask);
    expand_target((int)k, (int)t->width, aatype, target);
    geometry_pseudo_beta(&(struct geometry_chain){aatype, xyz, atoms, 0, (int)k}, beta, beta_mask);
    const char *want_target = feature(t, "target_feat", 0, sizeof(float));
    for (size_t i = 0; i < k * EXPAND_TARGET_FEATURES; i++)
        cr_assert(get_f32(want_target, i) == target[i], "%s target_feat", label);
    const char *want_xyz = feature(t, "all_atom_positions", 0, sizeof(float));
    const char *want_atoms = feature(t, "all_atom_mask", 0, sizeof(float));
    for (size_t i = 0; i < k * 37; i++) {
        cr_assert(get_f32(want_atoms, i) == atoms[i], "%s all_atom_mask", label);
        for (size_t axis = 0; axis < 3; axis++)
            cr_assert(get_f32(want_xyz, 3 * i + axis) == xyz[3 * i + axis], "%s position", label);
    }
    for (size_t i = 0; i < k; i++) {
        cr_assert(get_i64(feature(t, "aatype", 0, 8), i) == aatype[i], "%s aatype", label);
        cr_assert(get_i64(feature(t, "residue_index", 0, 8), i) == number[i], "%s index", label);
        cr_assert(get_f32(feature(t, "seq_mask", 0, 4), i) == seq_mask[i], "%s seq_mask", label);
        cr_assert(get_f32(feature(t, "pseudo_beta_mask", 0, 4), i) == beta_mask[i], "%s", label);
        for (size_t axis = 0; axis < 3; axis++)
            cr_assert(get_f32(feature(t, "pseudo_beta", 0, 4), 3 * i + axis) == beta[3 * i + axis],
                      "%s pseudo_beta", label);
    }
    const int32_t *seq_length = field_data(&out, "seq_length");
    const float *resolution = field_data(&out, "resolution");
    const float *distillation = field_data(&out, "is_distillation");
    cr_assert(get_i64(feature(t, "seq_length", 0, 8), 0) == *seq_length, "%s", label);
    cr_assert(get_f32(feature(t, "resolution", 0, 4), 0) == *resolution, "%s", label);
    cr_assert(get_f32(feature(t, "is_distillation", 0, 4), 0) == *distillation, "%s", label);
}

/* NAME__s1 of traced/ and NAME__crop64 of processed/ are runs on raw/NAME. */
static void run_compare(const char *folder, const char *name)
{
    struct traced t = {.identity = strcmp(folder, "processed") == 0};
    arena_open(&t.arena, 0);
    t.run = golden_npz(&t.arena, arena_printf(&t.arena, "%s/%s.npz", folder, name));
    size_t tail = t.identity ? strlen("__crop64") : strlen("__s1"), size = strlen(name);
    if (t.identity && (size < tail || strcmp(name + size - tail, "__crop64") != 0))
        tail = 0;
    t.raw = golden_npz(&t.arena, arena_printf(&t.arena, "raw/%.*s.npz", (int)(size - tail), name));
    source_make(&t);
    t.crop = (uint32_t)scalar(&t.run, t.identity ? "__crop_size" : "crop_size");
    t.start = (uint32_t)scalar(&t.run, t.identity ? "__crop_start" : "crop_start");
    t.width = t.length < t.crop ? t.length : t.crop;
    if (t.start > t.length - t.width) /* what was asked for in a short chain */
        t.start = t.length - t.width;
    if (npz_find(&t.raw, "all_atom_positions")) /* a case from FASTA alone has none */
        residues_compare(&t, name);
    for (int pass = 0; pass < (t.identity ? 1 : 4); pass++) {
        struct arena_mark mark = arena_mark(&t.arena);
        struct msa_choice choice = choose(&t, pass);
        clusters_compare(&t, name, pass, &choice);
        extra_compare(&t, name, pass, &choice);
        arena_rewind(&t.arena, mark);
    }
    arena_close(&t.arena);
}

static void folder_compare(const char *folder)
{
    char path[400];
    snprintf(path, sizeof path, "%s/features/%s", golden_root(), folder);
    DIR *list = opendir(path);
    cr_assert(list, "%s", path);
    int cases = 0;
    for (struct dirent *entry; (entry = readdir(list));) {
        char name[256];
        size_t size = strlen(entry->d_name);
        if (size < 5 || strcmp(entry->d_name + size - 4, ".npz") != 0)
            continue;
        snprintf(name, sizeof name, "%.*s", (int)(size - 4), entry->d_name);
        run_compare(folder, name);
        cases++;
    }
    closedir(list);
    cr_assert(cases >= CASES_MIN, "%d cases", cases);
}

Test(crop_golden, recorded_draws_give_the_recorded_features, .timeout = 300)
{
    folder_compare("traced");
}

Test(crop_golden, without_randomness_the_first_rows_are_the_clusters, .timeout = 300)
{
    folder_compare("processed");
}

Test(crop_golden, deletion_values_are_those_of_the_table)
{
    struct arena arena;
    arena_open(&arena, 0);
    struct npz tables = golden_npz(&arena, "tables/residue_tables.npz");
    const struct npz_array *table = golden_array(&tables, "deletion_value_lut", NPZ_F32);
    cr_assert(table->count == 4096);
    for (uint64_t d = 0; d < table->count; d++)
        cr_assert(deletion_value((float)d) == golden_f32(table, d), "%d deletions: %.9g, not %.9g",
                  (int)d, (double)deletion_value((float)d), (double)golden_f32(table, d));
    arena_close(&arena);
}

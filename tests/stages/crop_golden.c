/* Crops against the reference, bit for bit (channel 48 of msa_feat within 1.2e-7), every array of
 * every golden file: genuine random runs with every draw recorded (traced/), fed the same draws;
 * and runs without randomness (processed/), where the first rows are the clusters and nothing is
 * masked. An array that is neither a draw nor a feature we make fails the test. */
#include "tests/stages/crops.h"
#include "tests/stages/features.h"
#include "stages/bio/compact_write.h"
#include "stages/bio/expand.h"
#include "stages/bio/features.h"
#include "stages/bio/msa_assign.h"
#include "stages/bio/pick.h"

#include <dirent.h>
#include <math.h>
#include <stdio.h>

enum { CLUSTERS = 128, EXTRA = 1024, TEMPLATES = 4, DISTILLATION_ROWS = 1000, CASES_MIN = 54 };

static const uint8_t hhblits_to_restype[22] = {0, 4,  3, 6, 13, 7,  8,  9,  11, 10, 12,
                                               2, 14, 5, 1, 15, 16, 19, 17, 18, 20, 21};

struct traced {
    struct arena arena;
    struct npz raw, run;
    const char *label;
    struct msa_source source;
    struct compact_chain chain;
    struct compact_templates templates;
    bool identity; /* a case without randomness */
    uint32_t length, crop;
    struct compact_window window;
    int passes;
};

static const void *need(const struct npz *npz, const char *name, enum npz_kind kind)
{
    return golden_array(npz, name, kind)->data;
}

/* The raw alignment as the msa stage stores it. */
static void source_make(struct traced *t)
{
    const struct npz_array *msa = npz_find(&t->raw, "msa");
    cr_assert(msa && msa->kind == NPZ_I32 && msa->rank == 2);
    size_t rows = msa->size[0], length = msa->size[1], deletions = 0;
    const struct npz_array *deleted = golden_array(&t->raw, "deletion_matrix_int", NPZ_I32);
    uint8_t *codes = arena_alloc(&t->arena, rows * length);
    int32_t *start = arena_zero(&t->arena, rows + 1, sizeof *start);
    int32_t *column = arena_alloc(&t->arena, rows * length * sizeof *column);
    int32_t *count = arena_alloc(&t->arena, rows * length * sizeof *count);
    int32_t *profile = arena_zero(&t->arena, length * MSA_PROFILE, sizeof *profile);
    for (size_t i = 0; i < rows; i++) {
        for (size_t j = 0; j < length; j++) {
            codes[i * length + j] = hhblits_to_restype[golden_i32(msa, i * length + j)];
            profile[j * MSA_PROFILE + codes[i * length + j]]++;
            if (golden_i32(deleted, i * length + j)) {
                column[deletions] = (int32_t)j;
                count[deletions++] = golden_i32(deleted, i * length + j);
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

static uint8_t *bytes_of(struct traced *t, const struct npz_array *mask)
{
    uint8_t *bytes = arena_alloc(&t->arena, mask->count);
    for (uint64_t i = 0; i < mask->count; i++)
        bytes[i] = golden_f32(mask, i) > 0;
    return bytes;
}

static float *floats_of(struct traced *t, const struct npz_array *array)
{
    float *values = arena_alloc(&t->arena, array->count * sizeof *values);
    if (array->count)
        memcpy(values, array->data, array->count * sizeof *values);
    return values;
}

/* The chain as parse gives it; a case from FASTA alone has no structure. */
static void chain_make_raw(struct traced *t)
{
    const struct npz_array *one_hot = golden_array(&t->raw, "aatype", NPZ_I32);
    const struct npz_array *index = golden_array(&t->raw, "residue_index", NPZ_I32);
    uint8_t *aatype = arena_zero(&t->arena, t->length, 1);
    int32_t *number = arena_alloc(&t->arena, t->length * sizeof *number);
    for (uint64_t i = 0; i < t->length; i++) {
        for (uint8_t a = 0; a < 21; a++)
            if (golden_i32(one_hot, i * 21 + a))
                aatype[i] = a;
        number[i] = golden_i32(index, i);
    }
    t->chain = (struct compact_chain){.aatype = aatype, .residue_index = number};
    if (!npz_find(&t->raw, "all_atom_positions"))
        return;
    t->chain.positions = floats_of(t, golden_array(&t->raw, "all_atom_positions", NPZ_F32));
    t->chain.mask = bytes_of(t, golden_array(&t->raw, "all_atom_mask", NPZ_F32));
    t->chain.resolution = golden_f32(golden_array(&t->raw, "resolution", NPZ_F32), 0);
    t->chain.is_distillation = golden_f32(golden_array(&t->raw, "is_distillation", NPZ_F32), 0);
}

/* The raw templates as the templates stage stores them: the first 1 of a row is its letter. */
static void templates_make_raw(struct traced *t)
{
    const struct npz_array *one_hot = npz_find(&t->raw, "template_aatype");
    cr_assert(one_hot && one_hot->rank == 3 && one_hot->size[2] == 22);
    uint32_t count = (uint32_t)one_hot->size[0];
    cr_assert(count == 0 || one_hot->kind == NPZ_I64);
    uint8_t *sequence = arena_alloc(&t->arena, (size_t)count * t->length + 1);
    for (uint64_t i = 0; i < (uint64_t)count * t->length; i++) {
        uint64_t code = 0;
        while (code < 21 && !((const char *)one_hot->data)[(i * 22 + code) * 8])
            code++;
        sequence[i] = (uint8_t)"ACDEFGHIKLMNPQRSTVWYX-"[code];
    }
    t->templates = (struct compact_templates){
        .count = count,
        .length = t->length,
        .sequence = sequence,
        .positions = floats_of(t, golden_array(&t->raw, "template_all_atom_positions", NPZ_F32)),
        .mask = bytes_of(t, golden_array(&t->raw, "template_all_atom_mask", NPZ_F32)),
        .sum_probs = floats_of(t, golden_array(&t->raw, "template_sum_probs", NPZ_F32)),
    };
}

static const uint32_t *draws(struct traced *t, const char *name, uint32_t *count)
{
    const struct npz_array *array = npz_find(&t->run, name);
    if (!array)
        return NULL;
    cr_assert(array->kind == NPZ_I32, "%s", name);
    uint32_t *values = arena_alloc(&t->arena, (array->count + 1) * sizeof *values);
    for (uint64_t i = 0; i < array->count; i++)
        values[i] = (uint32_t)golden_i32(array, i);
    *count = (uint32_t)array->count;
    return values;
}

static const uint32_t *pass_draws(struct traced *t, int pass, const char *name, uint32_t *count)
{
    char full[64];
    snprintf(full, sizeof full, "r%d_%s", pass, name);
    return draws(t, full, count);
}

/* The choice without randomness: rows in order, nothing masked. */
static struct msa_choice choose_identity(struct traced *t)
{
    uint32_t count = t->source.rows;
    if (t->chain.is_distillation > 0 && count > DISTILLATION_ROWS)
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
    const uint32_t *starts = pass_draws(t, pass, "block_starts", &starts_count);
    uint32_t block = starts ? msa_block_rows(count, 0.3f) : 0;
    count = msa_block_delete(count, block, starts, starts_count, rows);
    const uint32_t *perm = pass_draws(t, pass, "distill_perm", &perm_count);
    if (perm) {
        cr_assert(perm_count == count - 1);
        msa_reorder(rows, count, perm, &t->arena);
        if (count > DISTILLATION_ROWS)
            count = DISTILLATION_ROWS;
    }
    perm = pass_draws(t, pass, "sample_perm", &perm_count);
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
    choice.extra_kept = pass_draws(t, pass, "extra_perm", &perm_count);
    cr_assert(choice.extra_kept && perm_count == choice.extra);
    choice.extra_kept_count = choice.extra < EXTRA ? choice.extra : EXTRA;
    return choice;
}

/* The templates of the case, by its draws. */
static void templates_take(struct traced *t, const struct compact_writer *writer,
                           struct compact *compact)
{
    static const uint32_t in_order[TEMPLATES] = {0, 1, 2, 3};
    uint32_t taken[TEMPLATES] = {0, 1, 2, 3}, picked[TEMPLATES], count = t->templates.count;
    const uint32_t *order = in_order;
    uint32_t start = 0, draw_count;
    struct error err = {0};
    cr_assert(count <= TEMPLATES);
    if (!t->identity) {
        order = draws(t, "template_perm", &draw_count);
        cr_assert(order && draw_count == count);
        start = (uint32_t)golden_i32(golden_array(&t->run, "template_crop_start", NPZ_I32), 0);
    }
    count = pick_from(taken, order, count, start, TEMPLATES, picked);
    cr_assert(compact_put_templates(compact, writer, &t->templates, picked, count, &err) ==
                  STATUS_OK, "%s", err.text);
}

/* The case in its compact form. */
static void compact_make(struct traced *t, struct compact *compact)
{
    struct compact_writer writer;
    struct error err = {0};
    const struct compact_sizes sizes = {t->crop, CLUSTERS, EXTRA, TEMPLATES, (uint32_t)t->passes};
    cr_assert(compact_begin(&sizes, t->window, t->chain.positions, &t->arena, compact, &writer));
    compact_put_chain(compact, &writer, &t->chain);
    templates_take(t, &writer, compact);
    if (!t->identity)
        *compact->use_clamped_fape =
            golden_f32(golden_array(&t->run, "clamp_u", NPZ_F32), 0) < 0.9f;
    for (int pass = 0; pass < t->passes; pass++) {
        struct msa_choice choice = choose(t, pass);
        uint32_t *assignment = arena_alloc(&t->arena, (size_t)choice.extra * sizeof *assignment);
        msa_assign(&t->source, &choice, &t->arena, assignment);
        cr_assert(compact_put_pass(compact, &writer, (uint32_t)pass, &t->source, &choice,
                                   assignment));
    }
    compact_end(compact, &writer);
    cr_assert(compact_check(compact, &err) == STATUS_OK, "%s: %s", t->label, err.text);
}

static bool begins(const char *name, const char *with)
{
    return strncmp(name, with, strlen(with)) == 0;
}

/* Whether an array of a golden file is input: sizes and draws. */
static bool is_draw(const char *name)
{
    static const char *const exact[] = {"template_perm", "template_crop_start", "crop_x",
                                        "crop_start", "crop_size", "clamp_u", "__crop_size",
                                        "__crop_start"};
    for (size_t i = 0; i < sizeof exact / sizeof *exact; i++)
        if (strcmp(name, exact[i]) == 0)
            return true;
    return name[0] == 'r' && name[1] >= '0' && name[1] <= '3' && name[2] == '_';
}

/* Compares a golden array - without its first axis, the pass, where it has one - with ours. */
static void array_compare(const struct traced *t, const struct npz_array *want, const char *name,
                          const struct compact *compact, const struct features *features, int pass)
{
    const struct feature *row = feature_table;
    const void *ours;
    int64_t size[FEATURE_RANK_MAX];
    bool all = begins(name, "out4.");
    const char *plain = all ? name + 5 : begins(name, "out.") ? name + 4 : name;
    cr_assert(!t->identity == (plain != name), "%s: %s", t->label, name);
    while (row->name && strcmp(row->name, plain) != 0)
        row++;
    cr_assert(row->name, "%s: %s is compared with nothing", t->label, name);
    memcpy(&ours, (const char *)features + row->member, sizeof ours);
    cr_assert(ours, "%s: %s was not made", t->label, name);
    cr_assert(want->kind == (row->integer ? NPZ_I64 : NPZ_F32), "%s: kind of %s", t->label, name);
    int rank = feature_size(row, compact, size);
    cr_assert((int)want->rank == rank + all, "%s: rank of %s", t->label, name);
    size_t count = 1;
    for (int i = 0; i < rank; i++) {
        cr_assert(want->size[i + all] == (uint64_t)size[i], "%s: size of %s", t->label, name);
        count *= (size_t)size[i];
    }
    const char *data = want->data;
    data += all ? (size_t)pass * count * want->item_bytes : 0;
    bool channels = strcmp(plain, "msa_feat") == 0;
    for (size_t i = 0; i < count; i++) {
        float value, mine;
        if (row->integer) {
            cr_assert(memcmp(data + 8 * i, (const int64_t *)ours + i, 8) == 0,
                      "%s pass %d: element %zu of %s", t->label, pass, i, name);
            continue;
        }
        memcpy(&value, data + 4 * i, 4);
        mine = ((const float *)ours)[i];
        bool near = channels && i % EXPAND_MSA_FEATURES == 48 && fabsf(value - mine) <= 1.2e-7f;
        cr_assert(value == mine || near, "%s pass %d: element %zu of %s: %.9g, wanted %.9g",
                  t->label, pass, i, name, (double)mine, (double)value);
    }
}

/* All arrays of the file in one pass; every feature that we make must be among them. */
static void features_compare(struct traced *t, const struct compact *compact, int pass)
{
    struct features features;
    struct error err = {0};
    int compared = 0, made = 0;
    cr_assert(features_make(compact, pass, FEATURES_ALL, &t->arena, &features, &err) == STATUS_OK,
              "%s: %s", t->label, err.text);
    for (int i = 0; i < t->run.count; i++) {
        const struct npz_array *array = &t->run.array[i];
        const char *name = arena_text(&t->arena, array->name.data, array->name.size);
        if (is_draw(name))
            continue;
        array_compare(t, array, name, compact, &features, pass);
        compared++;
    }
    for (const struct feature *row = feature_table; row->name; row++) {
        void *data;
        memcpy(&data, (const char *)&features + row->member, sizeof data);
        made += data != NULL;
    }
    cr_assert(compared == made, "%s: %d features made, %d in the file", t->label, made, compared);
}

/* NAME__s1 of traced/ and NAME__crop64 of processed/ are runs on raw/NAME. */
static void run_compare(const char *folder, const char *name)
{
    struct traced t = {.identity = strcmp(folder, "processed") == 0, .label = name};
    struct compact compact;
    arena_open(&t.arena, 0);
    t.passes = t.identity ? 1 : 4;
    t.run = golden_npz(&t.arena, arena_printf(&t.arena, "%s/%s.npz", folder, name));
    size_t tail = t.identity ? strlen("__crop64") : strlen("__s1"), size = strlen(name);
    if (t.identity && (size < tail || strcmp(name + size - tail, "__crop64") != 0))
        tail = 0;
    t.raw = golden_npz(&t.arena, arena_printf(&t.arena, "raw/%.*s.npz", (int)(size - tail), name));
    source_make(&t);
    chain_make_raw(&t);
    templates_make_raw(&t);
    const char *prefix = t.identity ? "__" : "";
    char key[32];
    snprintf(key, sizeof key, "%scrop_size", prefix);
    t.crop = (uint32_t)golden_i32(golden_array(&t.run, key, NPZ_I32), 0);
    snprintf(key, sizeof key, "%scrop_start", prefix);
    t.window.start = (uint32_t)golden_i32(golden_array(&t.run, key, NPZ_I32), 0);
    t.window.width = t.length < t.crop ? t.length : t.crop;
    if (t.window.start > t.length - t.window.width) /* what was asked for in a short chain */
        t.window.start = t.length - t.window.width;
    compact_make(&t, &compact);
    for (int pass = 0; pass < t.passes; pass++) {
        struct arena_mark mark = arena_mark(&t.arena);
        features_compare(&t, &compact, pass);
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

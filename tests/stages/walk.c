/* From files to features through all the stages as a graph runs them - parse, msa, templates, crop
 * of the whole chain, expand - against the reference's features of the same files. Rows of the
 * alignment are drawn in another order than the reference's, so they are compared as a set. */
#include "tests/stages/crops.h"
#include "tests/stages/features.h"
#include "stages/bio/features.h"

#include <dirent.h>
#include <stdio.h>

extern const struct stage stage_parse, stage_msa, stage_templates, stage_crop, stage_expand;

enum { FILES_MAX = 16, ROWS_MAX = 128 + 1024 };

static struct arena arena;

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Paths of the folder's files that end so, sorted, one a line. */
static struct span files_of(const char *folder, const char *const *ends)
{
    char *names[FILES_MAX], *text = arena_text(&arena, "", 0);
    int count = 0;
    DIR *list = opendir(folder);
    cr_assert(list, "%s", folder);
    for (struct dirent *entry; (entry = readdir(list));) {
        const char *dot = strrchr(entry->d_name, '.');
        bool other = strstr(entry->d_name, "uniprot_hits.sto") || strstr(entry->d_name, "hmm_out");
        for (int e = 0; ends[e] && dot && !other && count < FILES_MAX; e++)
            if (strcmp(dot, ends[e]) == 0)
                names[count++] = arena_printf(&arena, "%s/%s\n", folder, entry->d_name);
    }
    closedir(list);
    qsort(names, (size_t)count, sizeof *names, by_name);
    for (int i = 0; i < count; i++)
        text = arena_printf(&arena, "%s%s", text, names[i]);
    return span_of(text);
}

/* Puts a sample through a stage; stages that pass on add to what they take. */
static void step(const struct stage *stage, const char *settings, struct sample *sample)
{
    static struct stage_context context;
    struct sample out, in = *sample;
    struct error err;
    context = (struct stage_context){.name = stage->name, .arena = &arena};
    void *state =
        stage->state_size ? stage_state(stage, settings, &context, &arena) : NULL;
    stage_feed(stage, state, &(struct work){.seed = 1}, &in, &out, &arena);
    if (stage->close)
        stage->close(state);
    if (!(stage->flags & STAGE_PASS)) {
        *sample = out;
        return;
    }
    for (int f = 0; f < out.field_count; f++)
        cr_assert(sample_put(sample, &out.fields[f], &err) == STATUS_OK, "%s", err.text);
}

/* A feature as planes of `length` residues of `item` bytes. */
struct layout {
    size_t planes, length, item;
};

/* Where K stands in the sizes: what is before it are planes. False: it is of no residues. */
static bool layout_of(const struct feature *row, const int64_t *size, int rank,
                      struct layout *layout)
{
    const char *k = strchr(row->sizes, 'K');
    int axis = 0;
    *layout = (struct layout){1, 1, row->integer ? 8 : 4};
    for (const char *at = row->sizes; k && at < k; at++)
        if (*at == ',')
            layout->planes *= (size_t)size[axis++];
    if (k)
        layout->length = (size_t)size[axis++];
    for (; axis < rank; axis++)
        layout->item *= (size_t)size[axis];
    return k != NULL;
}

/* Columns [start, start + width) of ours are the golden array's first ones. */
static void feature_compare(const char *label, const struct feature *row,
                            const struct npz_array *want, const struct field *ours, size_t start,
                            size_t width)
{
    struct layout golden, mine;
    int64_t size[NPZ_RANK_MAX];
    for (int i = 0; i < want->rank; i++)
        size[i] = (int64_t)want->size[i];
    if (!layout_of(row, size, want->rank, &golden)) {
        bool cropped = strcmp(row->name, "seq_length") == 0;
        cr_assert(cropped || memcmp(want->data, ours->data, field_bytes(ours)) == 0, "%s: %s",
                  label, row->name);
        return;
    }
    layout_of(row, ours->size, ours->rank, &mine);
    cr_assert(golden.planes == mine.planes && golden.item == mine.item, "%s: %s", label, row->name);
    for (size_t p = 0; p < golden.planes; p++)
        for (size_t i = 0; i < width * golden.item / 4; i++) {
            float a, b; /* zeros of either sign are equal */
            int32_t x, y;
            const char *to = (const char *)want->data + p * golden.length * golden.item + 4 * i;
            const char *from =
                (const char *)ours->data + (p * mine.length + start) * mine.item + 4 * i;
            memcpy(&a, to, 4), memcpy(&b, from, 4);
            memcpy(&x, to, 4), memcpy(&y, from, 4);
            cr_assert(row->integer ? x == y : a == b, "%s: %s, plane %zu, element %zu", label,
                      row->name, p, i);
        }
}

static size_t row_width;

static int by_row(const void *a, const void *b)
{
    return memcmp(a, b, row_width);
}

/* Adds the rows of a symbol array in these columns to rows[count, width], as bytes. */
static size_t rows_add(const char *symbols, size_t rows, size_t length, size_t start, size_t width,
                       uint8_t *to, size_t count)
{
    for (size_t r = 0; r < rows; r++, count++)
        for (size_t j = 0; j < width; j++)
            to[count * width + j] = (uint8_t)symbols[(r * length + start + j) * 8];
    return count;
}

/* The rows of the alignment, clusters and extra ones together, are the same. */
static void rows_compare(const char *label, const struct npz *run, const struct sample *ours,
                         size_t start, size_t width)
{
    const struct npz_array *true_msa = golden_array(run, "true_msa", NPZ_I64);
    const struct npz_array *extra_msa = golden_array(run, "extra_msa", NPZ_I64);
    const struct npz_array *masks[] = {golden_array(run, "msa_row_mask", NPZ_F32),
                                       golden_array(run, "extra_msa_row_mask", NPZ_F32)};
    size_t rows[2] = {0}, length = true_msa->size[1];
    for (int i = 0; i < 2; i++)
        while (rows[i] < masks[i]->count && golden_f32(masks[i], rows[i]) > 0)
            rows[i]++;
    const struct field *mine = sample_find(ours, "true_msa");
    size_t count = rows[0] + rows[1], my_count = 0;
    const float *mask = field_data(ours, "msa_row_mask");
    while (my_count < (size_t)mine->size[1] && mask[my_count] > 0)
        my_count++;
    if (count == ROWS_MAX) /* there may be more than the reference shows */
        return;
    cr_assert(count == my_count, "%s: %zu rows, not %zu", label, my_count, count);
    uint8_t *want = arena_alloc(&arena, count * width), *got = arena_alloc(&arena, count * width);
    rows_add(true_msa->data, rows[0], length, 0, width, want, 0);
    rows_add(extra_msa->data, rows[1], length, 0, width, want, rows[0]);
    rows_add(mine->data, count, (size_t)mine->size[2], start, width, got, 0);
    cr_assert(memcmp(want, got, width) == 0, "%s: the chain itself is the first row", label);
    row_width = width;
    qsort(want, count, width, by_row);
    qsort(got, count, width, by_row);
    cr_assert(memcmp(want, got, count * width) == 0, "%s: other rows", label);
}

static void processed_compare(const char *label, const struct sample *ours)
{
    struct npz run = golden_npz(&arena, arena_printf(&arena, "processed/%s.npz", label));
    size_t length = (size_t)sample_find(ours, "aatype")->size[0];
    size_t width = (size_t)golden_i32(golden_array(&run, "__crop_size", NPZ_I32), 0);
    size_t start = (size_t)golden_i32(golden_array(&run, "__crop_start", NPZ_I32), 0);
    int compared = 0;
    width = width < length ? width : length;
    if (start > length - width)
        start = length - width;
    for (const struct feature *row = feature_table; row->name; row++) {
        const struct npz_array *want = npz_find(&run, row->name);
        const struct field *field = sample_find(ours, row->name);
        cr_assert(want && field, "%s: %s", label, row->name);
        if (row->group & FEATURES_PASS)
            continue;
        feature_compare(label, row, want, field, start, width);
        compared++;
    }
    cr_assert(compared == 40, "%d features", compared);
    rows_compare(label, &run, ours, start, width);
}

/* The chain of a file with the alignments and hits of one folder. */
static void walk_compare(const char *file, const char *chain, const char *folder)
{
    static const char *const alignments[] = {".a3m", ".sto", NULL}, *const hits[] = {".hhr", NULL};
    struct sample sample;
    arena_open(&arena, 0);
    const char *inputs = arena_printf(&arena, "%s/features/inputs", golden_root());
    const char *align = arena_printf(&arena, "%s/align/%s", inputs, folder);
    cr_assert(sample_open(&sample, span_of(folder), NULL) == STATUS_OK);
    sample_add_text(&sample, &arena, "structure",
                    span_of(arena_printf(&arena, "%s/mmcif/%s.cif", inputs, file)));
    sample_add_text(&sample, &arena, "chain", span_of(chain));
    sample_add_text(&sample, &arena, "alignment", files_of(align, alignments));
    sample_add_text(&sample, &arena, "template_hits", files_of(align, hits));
    sample_add_text(&sample, &arena, "entry", span_of(file));
    sample_add_text(&sample, &arena, "row", SPAN(""));
    step(&stage_parse, "", &sample);
    step(&stage_msa, "", &sample);
    const char *templates =
        arena_printf(&arena, "{structures: %s/template_mmcif, compat: openfold}", inputs);
    step(&stage_templates, templates, &sample);
    step(&stage_crop, "{mode: eval, clusters: 2048, extra: 0, mask: 0}", &sample);
    step(&stage_expand, "", &sample);
    processed_compare(folder, &sample);
    processed_compare(arena_printf(&arena, "%s__crop64", folder), &sample);
    arena_close(&arena);
}

Test(walk, files_become_the_references_features, .timeout = 240)
{
    walk_compare("2crb", "A", "2crb_A__synth300__hhr");
    walk_compare("2q2k", "A", "2q2k_A__synth2__hhr");
    walk_compare("2q2k", "A", "2q2k_A__real__hhr");
    walk_compare("3u8v", "A", "3u8v_A__synth1500__hhr");
    walk_compare("4i6p", "A", "4i6p_A__synth200__hhr");
    walk_compare("5kc1", "C", "5kc1_C__synth2500__hhr");
    walk_compare("2xhe", "A", "2xhe_A__selftempl");
}

/* The crop stage's modes, presets and limits: what the settings make of a sample, and how large it
 * is. */
#include "tests/stages/crop_pass.h"

extern const struct stage stage_crop;

static struct arena arena;
static struct stage_context context = {.name = "crop"};

static void open(void)
{
    arena_open(&arena, 0);
}

static void close(void)
{
    arena_close(&arena);
}

TestSuite(crop_modes, .init = open, .fini = close, .timeout = 120);

static void *state_of(const char *settings)
{
    return stage_state(&stage_crop, settings, &context, &arena);
}

static uint64_t digest_of(void *state, struct work work, const struct sample *chain)
{
    struct sample out;
    stage_feed(&stage_crop, state, &work, chain, &out, &arena);
    return sample_digest(&out);
}

static void settings_refused(const char *settings, const char *why)
{
    struct complaints complaints;
    const struct param_roots roots = {.graph = "/"};
    struct source_text text = {.name = "test", .text = span_of(settings)};
    char *state = arena_zero(&arena, 1, stage_crop.state_size);
    struct error err = {0};
    complaints_open(&complaints, &arena);
    params_fill(stage_crop.params, state, yaml_parse(&text, &arena, &complaints), &roots,
                (struct place){&text, 1, 1, 1}, &arena, &complaints);
    cr_assert(complaints.count == 0);
    cr_assert(stage_crop.open(state, &context, &err) == STATUS_INVALID, "%s", settings);
    cr_assert(strstr(err.text, why), "%s", err.text);
}

Test(crop_modes, refuses_settings_that_contradict_each_other)
{
    settings_refused("{length: 0}", "mode: eval");
    settings_refused("{clusters: 0}", "at least 1");
}

/* Bytes of the fields that do not depend on what the alignment holds. */
static size_t fixed_bytes(const struct sample *out)
{
    size_t bytes = 0;
    for (int f = 0; f < out->field_count; f++) {
        const char *name = out->fields[f].name;
        bool list = strcmp(name, "cluster_cells") == 0 || strstr(name, "deletion_co");
        bytes += list ? 0 : field_bytes(&out->fields[f]);
    }
    return bytes;
}

Test(crop_modes, its_size_is_that_of_the_table)
{
    struct sample chain, out;
    chain_make(&chain, &arena, "size", 15, 9, 30, 0);
    struct work work = {.recycles = 1};
    stage_feed(&stage_crop, state_of(""), &work, &chain, &out, &arena); /* initial_training */
    size_t residues = 256 * (1 + 4 + 37 * 13), templates = 4 * (256 * (1 + 37 * 13) + 37 * 13 + 4);
    size_t rows = 128 * (256 * 2 + 32 + 4) + 2 * 129 * 4, extra = 1024 * 256 + 1025 * 4;
    size_t want = residues + templates + 2 * (rows + extra + 2 * 4) + 7 * 4;
    cr_assert(fixed_bytes(&out) == want, "%zu bytes, not %zu", fixed_bytes(&out), want);
}

Test(crop_modes, presets_give_what_the_graph_does_not)
{
    static const struct {
        const char *settings;
        int64_t k, m, e, t;
    } cases[] = {
        {"", 256, 128, 1024, 4},
        {"{preset: initial_training, extra: 7}", 256, 128, 7, 4},
        {"{preset: finetuning}", 384, 512, 5120, 4},
        {"{preset: finetuning_no_templ}", 384, 512, 5120, 0},
        {"{preset: finetuning, length: 31, max_templates: 2}", 31, 512, 5120, 2},
        {"{mode: eval}", 45, 128, 1024, 4},
        {"{mode: eval, length: 20, clusters: 3, extra: 0}", 20, 3, 0, 4},
        {"{mode: predict}", 45, 512, 1024, 4},
        {"{mode: predict, preset: finetuning_no_templ}", 45, 512, 1024, 0},
    };
    struct sample chain, out;
    chain_make(&chain, &arena, "preset", 16, 9, 45, 0);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct compact c;
        struct error err;
        void *state = state_of(cases[i].settings);
        int64_t size[26] = {0};
        stage_feed(&stage_crop, state, &(struct work){0}, &chain, &out, &arena);
        cr_assert(view_open(&out, VIEW_ALONE, &c, &err) == STATUS_OK, "%s", err.text);
        cr_assert(compact_size(&c, 'K') == cases[i].k && compact_size(&c, 'M') == cases[i].m &&
                  compact_size(&c, 'E') == cases[i].e && compact_size(&c, 'T') == cases[i].t,
                  "%s", cases[i].settings);
        stage_crop.sizes(state, size);
        cr_assert(size['M' - 'A'] == cases[i].m && size['E' - 'A'] == cases[i].e);
        cr_assert(size['K' - 'A'] == (cases[i].k == 45 ? 0 : cases[i].k));
    }
}

Test(crop_modes, prediction_knows_no_structure_and_needs_none)
{
    struct sample chain, bare, out;
    struct error err = {0};
    chain_make(&chain, &arena, "bare", 17, 9, 45, 0);
    bare = chain;
    bare.field_count = 0;
    for (int f = 0; f < chain.field_count; f++)
        if (!strstr(chain.fields[f].name, "all_atom"))
            bare.fields[bare.field_count++] = chain.fields[f];
    struct work work = {.seed = 1, .recycles = 3};
    uint64_t digest = digest_of(state_of("{mode: predict}"), work, &chain);
    cr_assert(digest_of(state_of("{mode: predict}"), work, &bare) == digest);
    stage_feed(&stage_crop, state_of("{mode: predict}"), &work, &chain, &out, &arena);
    static const char *const none[] = {"all_atom_positions", "all_atom_mask", "resolution",
                                       "is_distillation"};
    for (int i = 0; i < 4; i++)
        cr_assert(!sample_find(&out, none[i]), "%s", none[i]);
    cr_assert(*(float *)field_data(&out, "use_clamped_fape") == 0);
    sample_open(&out, SPAN("bare"), NULL);
    static const char *const modes[] = {"{mode: train}", "{mode: eval}"};
    for (int i = 0; i < 2; i++)
        cr_assert(stage_crop.feed(state_of(modes[i]), &work, &bare, &out, &arena, &err) ==
                      STATUS_REFUSED && strstr(err.text, "coordinates"), "%s", err.text);
}

Test(crop_modes, too_many_rows_are_cut_by_the_samples_own_key)
{
    struct sample chain, all, some;
    chain_make(&chain, &arena, "cut", 18, 90, 25, 0);
    struct work work = {.seed = 1, .position = 3};
    stage_feed(&stage_crop, state_of("{mode: eval, clusters: 4, extra: 200, rows_limit: 90}"),
               &work, &chain, &all, &arena);
    stage_feed(&stage_crop, state_of("{mode: eval, clusters: 4, extra: 200, rows_limit: 40}"),
               &work, &chain, &some, &arena);
    cr_assert(*(int32_t *)field_data(&all, "rows_cut") == 0);
    cr_assert(*(int32_t *)field_data(&some, "rows_cut") == 50);
    cr_assert(pass_of(&all, 0, &arena).m + pass_of(&all, 0, &arena).e == 90);
    struct pass pass = pass_of(&some, 0, &arena);
    bool seen[90] = {false};
    cr_assert(pass.m + pass.e == 40);
    for (int r = 0; r < 40; r++) {
        int n = row_find(&chain, r < 4 ? pass.true_msa + r * 25 : pass.extra + (r - 4) * 25, 25);
        cr_assert(n >= 0 && !seen[n] && (r > 0 || n == 0), "row %d is row %d of the chain", r, n);
        seen[n] = true;
    }
}

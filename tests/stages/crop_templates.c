/* Templates of a sample: which are taken, in what order, and that their crop is a window of the
 * candidates. */
#include "tests/stages/crop_pass.h"
#include "engine/store.h"
#include "stages/bio/pick.h"
#include "stages/bio/residue.h"

#include <stdio.h>
#include <unistd.h>

extern const struct stage stage_crop;

enum { L = 40 };

static struct arena arena;
static struct stage_context context = {.name = "crop"};

static void begin(void)
{
    arena_open(&arena, 0);
}

static void finish(void)
{
    arena_close(&arena);
}

TestSuite(crop_templates, .init = begin, .fini = finish, .timeout = 60);

static void *state_of(const char *settings)
{
    return stage_state(&stage_crop, settings, &context, &arena);
}

Test(crop_templates, the_first_distinct_strings_are_taken)
{
    /* Six candidates over two residues; 0, 2 and 3 have the same string. */
    static const uint8_t text[] = "ABCDABABEFGH";
    uint32_t taken[6] = {9, 9, 9, 9, 9, 9};
    cr_assert(pick_distinct(text, 6, 2, NULL, 0, 4, taken) == 4);
    cr_assert(taken[0] == 0 && taken[1] == 1 && taken[2] == 4 && taken[3] == 5);
    /* The first four in another order, the others behind them. */
    static const uint32_t order[] = {3, 1, 0, 2};
    cr_assert(pick_distinct(text, 6, 2, order, 4, 3, taken) == 3);
    cr_assert(taken[0] == 3 && taken[1] == 1 && taken[2] == 4);
    cr_assert(pick_distinct(text, 6, 2, order, 4, 6, taken) == 4, "there are no more");
    cr_assert(pick_distinct(text, 0, 2, order, 0, 4, taken) == 0);
    cr_assert(pick_distinct(text, 6, 2, order, 4, 0, taken) == 0);
}

Test(crop_templates, a_permuted_piece_of_them_is_used)
{
    static const uint32_t taken[] = {10, 11, 12, 13}, order[] = {3, 2, 0, 1};
    uint32_t picked[4];
    cr_assert(pick_from(taken, order, 4, 0, 4, picked) == 4);
    cr_assert(picked[0] == 13 && picked[1] == 12 && picked[2] == 10 && picked[3] == 11);
    cr_assert(pick_from(taken, order, 4, 3, 4, picked) == 1 && picked[0] == 11);
    cr_assert(pick_from(taken, order, 4, 1, 2, picked) == 2 && picked[1] == 10);
    cr_assert(pick_from(taken, order, 4, 4, 4, picked) == 0, "a start at the end leaves none");
    cr_assert(pick_from(taken, order, 0, 0, 4, picked) == 0);
}

/* Adds candidates whose strings are strings[t] again and again; sum_probs are 100, 99, ... */
static void templates_make(struct sample *chain, const char *const *strings, int64_t count,
                           int32_t shuffled)
{
    uint8_t *sequence = sample_add_2(chain, &arena, "template_sequence", KIND_U8, count, L);
    float *xyz = sample_add(chain, &arena, "template_all_atom_positions", KIND_F32, 4,
                            (int64_t[]){count, L, 37, 3});
    uint8_t *mask = sample_add_3(chain, &arena, "template_all_atom_mask", KIND_U8, count, L, 37);
    float *sum_probs = sample_add_1(chain, &arena, "template_sum_probs", KIND_F32, count);
    sample_add_i32(chain, &arena, "template_shuffled", shuffled);
    for (int64_t t = 0; t < count; t++) {
        sum_probs[t] = (float)(100 - t);
        for (int64_t j = 0; j < L; j++)
            sequence[t * L + j] = (uint8_t)strings[t][(size_t)j % strlen(strings[t])];
        for (int64_t i = 0; i < L * 37; i++) {
            mask[t * L * 37 + i] = (uint8_t)((i + t) % 3 > 0);
            for (int axis = 0; axis < 3; axis++)
                xyz[(t * L * 37 + i) * 3 + axis] = (float)(t * 10000 + i * 3 + axis);
        }
    }
}

static const char *const eight[] = {"A", "C", "A", "D", "-E", "D", "F", "G"};

/* The candidates that the sample uses, by their sum_probs. */
static int used(void *state, const struct work *work, const struct sample *chain, int numbers[4])
{
    struct sample out;
    struct compact c;
    struct error err;
    struct arena_mark mark = arena_mark(&arena);
    stage_feed(&stage_crop, state, work, chain, &out, &arena);
    cr_assert(view_open(&out, VIEW_ALONE, &c, &err) == STATUS_OK, "%s", err.text);
    for (int t = 0; t < compact_size(&c, 'T'); t++)
        numbers[t] = 100 - (int)c.template_sum_probs[t];
    int count = *c.template_count;
    for (int64_t t = count; t < compact_size(&c, 'T'); t++)
        cr_assert(c.template_sum_probs[t] == 0, "places that are not used are 0");
    arena_rewind(&arena, mark);
    return count;
}

Test(crop_templates, evaluation_and_unshuffled_training_take_the_best)
{
    struct sample chain, distilled;
    int numbers[4];
    struct work work = {.seed = 1, .position = 5};
    static const int best[] = {0, 1, 3, 4};
    chain_make(&chain, &arena, "best", 1, 3, L, 0);
    templates_make(&chain, eight, 8, 8);
    static const char *const settings[] = {
        "{mode: eval}", "{mode: predict}",
        "{shuffle_templates: false, subsample_templates: false}"};
    for (int i = 0; i < 3; i++) {
        cr_assert(used(state_of(settings[i]), &work, &chain, numbers) == 4, "%s", settings[i]);
        cr_assert(memcmp(numbers, best, sizeof best) == 0, "%s", settings[i]);
    }
    cr_assert(used(state_of("{mode: eval, max_templates: 2}"), &work, &chain, numbers) == 2);
    cr_assert(numbers[0] == 0 && numbers[1] == 1);
    cr_assert(used(state_of("{mode: eval, max_templates: 0}"), &work, &chain, numbers) == 0);
    chain_make(&distilled, &arena, "distilled", 1, 3, L, 1);
    templates_make(&distilled, eight, 8, 8);
    cr_assert(used(state_of("{subsample_templates: false}"), &work, &distilled, numbers) == 4);
    cr_assert(memcmp(numbers, best, sizeof best) == 0, "predicted structures are not shuffled");
}

Test(crop_templates, training_takes_leading_hits_in_random_order)
{
    enum { DRAWS = 4000 };
    struct sample chain;
    int hits[8] = {0}, first[8] = {0}, numbers[4];
    chain_make(&chain, &arena, "order", 1, 3, L, 0);
    templates_make(&chain, eight, 8, 6); /* five strings among the six that lead */
    void *state = state_of("{subsample_templates: false}");
    for (uint64_t i = 0; i < DRAWS; i++) {
        struct work work = {.seed = 1, .position = i};
        cr_assert(used(state, &work, &chain, numbers) == 4);
        first[numbers[0]]++;
        for (int t = 0; t < 4; t++)
            hits[numbers[t]]++;
    }
    /* Every leading candidate comes first equally often; four of A C D E are always found. */
    for (int c = 0; c < 6; c++)
        cr_assert(abs(first[c] - DRAWS / 6) < 120, "candidate %d is first %d times", c, first[c]);
    cr_assert(hits[0] + hits[2] == DRAWS && hits[3] + hits[5] == DRAWS);
    cr_assert(hits[1] == DRAWS && hits[4] == DRAWS && hits[6] == 0 && hits[7] == 0);
}

Test(crop_templates, training_uses_a_uniform_number_of_them)
{
    enum { DRAWS = 5000 };
    struct sample chain;
    int counts[5] = {0}, first[8] = {0}, numbers[4];
    chain_make(&chain, &arena, "number", 1, 3, L, 0);
    templates_make(&chain, eight, 8, 8);
    void *state = state_of("{shuffle_templates: false}");
    for (uint64_t i = 0; i < DRAWS; i++) {
        struct work work = {.seed = 1, .position = i};
        int count = used(state, &work, &chain, numbers);
        counts[count]++;
        if (count)
            first[numbers[0]]++;
    }
    for (int n = 0; n <= 4; n++)
        cr_assert(abs(counts[n] - DRAWS / 5) < 140, "%d templates %d times", n, counts[n]);
    static const int best[] = {0, 1, 3, 4};
    for (int i = 0; i < 4; i++)
        cr_assert(abs(first[best[i]] - DRAWS / 5) < 140, "%d is first %d times", best[i],
                  first[best[i]]);
}

Test(crop_templates, their_crop_is_a_window_with_the_residue_before_it)
{
    struct sample chain, out;
    struct compact c;
    struct error err;
    chain_make(&chain, &arena, "window", 1, 3, L, 0);
    static const char *const strings[] = {"ACDEFGHIKLMNPQRSTVWYX-BZUJO"};
    templates_make(&chain, strings, 1, 1);
    void *state = state_of("{length: 13, subsample_templates: false}");
    bool inside = false, at_start = false;
    for (uint64_t i = 0; i < 200; i++) {
        stage_feed(&stage_crop, state, &(struct work){.position = i}, &chain, &out, &arena);
        cr_assert(view_open(&out, VIEW_ALONE, &c, &err) == STATUS_OK, "%s", err.text);
        int start = *c.crop_start;
        const float *xyz = (float *)field_data(&chain, "template_all_atom_positions") + start * 111;
        const uint8_t *mask = (uint8_t *)field_data(&chain, "template_all_atom_mask") + start * 37;
        cr_assert(memcmp(c.template_all_atom_positions, xyz, 13 * 111 * 4) == 0);
        cr_assert(memcmp(c.template_all_atom_mask, mask, 13 * 37) == 0);
        /* HHblits codes of B Z U J O are those of D E C X X. */
        static const uint8_t symbols[] = {0, 4, 3, 6, 13, 7, 8, 9, 11, 10, 12, 2, 14, 5,
                                          1, 15, 16, 19, 17, 18, 20, 21, 3, 6, 4, 20, 20};
        for (int j = 0; j < 13; j++)
            cr_assert(c.template_aatype[j] == symbols[(start + j) % 27], "residue %d", start + j);
        for (int a = 0; a < 37; a++) {
            cr_assert(c.template_previous_mask[a] == (start ? mask[a - 37] : 0));
            cr_assert(c.template_previous_positions[3 * a] == (start ? xyz[3 * a - 111] : 0));
        }
        inside |= start > 0;
        at_start |= start == 0;
    }
    cr_assert(inside && at_start);
}

static void refused(const struct sample *chain, const char *name)
{
    struct sample out;
    struct error err = {0};
    sample_open(&out, SPAN("bad"), NULL);
    enum status status = stage_crop.feed(state_of("{mode: eval}"), &(struct work){0}, chain, &out,
                                         &arena, &err);
    cr_assert(status == STATUS_INVALID && strstr(err.text, "template"), "%s: %s", name, err.text);
}

Test(crop_templates, refuses_what_contradicts_itself)
{
    struct sample chain, bad;
    static const char *const names[] = {
        "template_all_atom_positions", "template_all_atom_mask", "template_sum_probs",
        "template_shuffled"};
    chain_make(&chain, &arena, "bad", 1, 3, L, 0);
    templates_make(&chain, eight, 2, 2);
    for (int i = 0; i < 4; i++) {
        bad = chain;
        bad.field_count = 0;
        for (int f = 0; f < chain.field_count; f++)
            if (strcmp(chain.fields[f].name, names[i]) != 0)
                bad.fields[bad.field_count++] = chain.fields[f];
        refused(&bad, names[i]);
        bad = chain;
        for (int f = 0; f < bad.field_count; f++)
            if (strcmp(bad.fields[f].name, names[i]) == 0 && bad.fields[f].rank)
                bad.fields[f].size[0]--;
        if (i < 3)
            refused(&bad, names[i]);
    }
    *(int32_t *)field_data(&chain, "template_shuffled") = 3;
    refused(&chain, "more than there are");
    *(int32_t *)field_data(&chain, "template_shuffled") = 1;
    ((uint8_t *)field_data(&chain, "template_sequence"))[L + 7] = 'a';
    refused(&chain, "a letter that is none");
}

/* Out of a store the candidates' atoms are lazy: what is made is the same, and a record that has
 * gone meanwhile is told as such. */
Test(crop_templates, candidates_are_read_as_they_are_taken)
{
    char folder[] = "/tmp/foldmill_lazy_XXXXXX";
    struct sample chain, lazy, out, other;
    struct store *store;
    struct error err;
    struct port_table ports;
    struct store_note note = {0};
    cr_assert(mkdtemp(folder));
    chain_make(&chain, &arena, "lazy", 1, 3, L, 0);
    templates_make(&chain, eight, 8, 8);
    cr_assert(store_open_writer(folder, NULL, &store, &err) == STATUS_OK, "%s", err.text);
    cr_assert(store_put(store, &chain, &note, &err) == STATUS_OK, "%s", err.text);
    cr_assert(store_commit(store, &err) == STATUS_OK, "%s", err.text);
    cr_assert(port_open(&stage_crop.in, &ports, &err) == STATUS_OK, "%s", err.text);
    cr_assert(store_get_lazy(store, "lazy", ports.lazy, NULL, &arena, &lazy, &err) == STATUS_OK);
    cr_assert(!sample_find(&lazy, "template_all_atom_positions")->data);
    void *state = state_of("{mode: train, length: 24, clusters: 2, extra: 2}");
    for (uint64_t position = 0; position < 20; position++) {
        struct work work = {.seed = 1, .position = position};
        stage_feed(&stage_crop, state, &work, &chain, &out, &arena);
        stage_feed(&stage_crop, state, &work, &lazy, &other, &arena);
        cr_assert(sample_digest(&out) == sample_digest(&other), "%d", (int)position);
    }
    cr_assert(store_forget(store, "lazy", &err) == STATUS_OK &&
              store_commit(store, &err) == STATUS_OK);
    struct work work = {.seed = 1, .position = 5};
    void *eval = state_of("{mode: eval, length: 24, clusters: 2, extra: 2}");
    cr_assert(sample_open(&out, SPAN("lazy"), &err) == STATUS_OK);
    cr_assert(stage_crop.feed(eval, &work, &lazy, &out, &arena, &err) == STATUS_MISS, "%s",
              err.text);
    store_close(store);
    static const char *const files[] = {"data.mdb", "lock.mdb", "writer.lock"};
    for (int i = 0; i < 3; i++) {
        char file[64];
        snprintf(file, sizeof file, "%s/%s", folder, files[i]);
        unlink(file);
    }
    cr_assert(rmdir(folder) == 0);
}

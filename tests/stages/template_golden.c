/* Templates of the golden cases: hits of real searches on real structures give the raw template
 * features of the reference pipeline, bit for bit. */
#include "tests/stages/features.h"

#include "stages/bio/cif.h"
#include "stages/bio/kalign.h"
#include "stages/bio/residue.h"
#include "stages/bio/template_walk.h"

#include <stdio.h>
#include <unistd.h>

enum { HITS = 4, SHUFFLED = 20 };

static const char kalign[] = "/usr/bin/kalign";

struct library {
    struct arena arena;
    struct structure structure;
};

static enum status open_golden(void *user, const char *entry, const struct structure **structure,
                               struct error *err)
{
    struct library *library = user;
    struct structure_wish wish = {.coordinates = true};
    struct span content;
    char path[500];
    arena_reset(&library->arena);
    snprintf(path, sizeof path, "%s/features/inputs/template_mmcif/%s.cif", golden_root(), entry);
    enum status status = file_read(path, STRUCTURE_BYTES_MAX, &library->arena, &content, err);
    if (status != STATUS_OK)
        return err->status = STATUS_REFUSED;
    *structure = &library->structure;
    return cif_read(content, &wish, &library->arena, &library->structure, err);
}

/* The candidates that a walk without permutation takes: the first four different strings. */
static int take(const struct template_list *list, int taken[HITS])
{
    int count = 0;
    for (int i = 0; i < list->count && count < HITS; i++) {
        bool fresh = true;
        for (int j = 0; j < count; j++)
            fresh &= strcmp(list->candidate[i].features.sequence,
                            list->candidate[taken[j]].features.sequence) != 0;
        if (fresh)
            taken[count++] = i;
    }
    return count;
}

/* The reference's one-hot, int64 over 22 symbols in HHblits order. */
static int golden_symbol(const struct npz_array *one_hot, size_t row)
{
    for (int symbol = 0; symbol < 22; symbol++) {
        int64_t value;
        memcpy(&value, (const char *)one_hot->data + 8 * (row * 22 + (size_t)symbol), 8);
        if (value)
            return symbol;
    }
    return -1;
}

static void candidate_compare(const char *name, const struct npz *raw, size_t t, size_t length,
                              const struct template_candidate *got)
{
    const struct npz_array *one_hot = golden_array(raw, "template_aatype", NPZ_I64);
    const struct npz_array *xyz = golden_array(raw, "template_all_atom_positions", NPZ_F32);
    const struct npz_array *mask = golden_array(raw, "template_all_atom_mask", NPZ_F32);
    const struct npz_array *probs = golden_array(raw, "template_sum_probs", NPZ_F32);
    struct span domain = golden_text(npz_find(raw, "template_domain_names"), t);
    struct span letters = golden_text(npz_find(raw, "template_sequence"), t);
    cr_assert(span_is(domain, got->name), "%s %zu: %s", name, t, got->name);
    cr_assert(span_is(letters, got->features.sequence), "%s %zu: %s, wanted %.*s", name, t,
              got->features.sequence, (int)letters.size, letters.data);
    cr_assert(golden_f32(probs, t) == got->sum_probs, "%s %zu sum_probs", name, t);
    for (size_t i = 0; i < length; i++) {
        cr_assert(golden_symbol(one_hot, t * length + i) == hhblits_code(letters.data[i]),
                  "%s %zu: symbol %zu", name, t, i);
        for (size_t atom = 0; atom < ATOM37; atom++) {
            size_t at = i * ATOM37 + atom, to = t * length * ATOM37 + at;
            cr_assert(golden_f32(mask, to) == got->features.mask[at], "%s %zu: mask %zu", name, t,
                      at);
            for (size_t axis = 0; axis < 3; axis++)
                cr_assert(golden_f32(xyz, 3 * to + axis) == got->features.positions[3 * at + axis],
                          "%s template %zu residue %zu atom %zu: %.9g, wanted %.9g", name, t, i,
                          atom, (double)got->features.positions[3 * at + axis],
                          (double)golden_f32(xyz, 3 * to + axis));
        }
    }
}

static void case_compare(const char *name, const char *file, bool realigned)
{
    struct library library;
    struct arena arena;
    struct error err = {0};
    struct hhr hhr;
    struct template_list list;
    int taken[HITS];
    arena_open(&arena, 0);
    arena_open(&library.arena, 0);
    struct npz raw = golden_npz(&arena, arena_printf(&arena, "raw/%s.npz", name));
    struct span query = golden_text(npz_find(&raw, "sequence"), 0);
    struct span text = golden_file(&arena, arena_printf(&arena, "inputs/align/%s/%s", name, file));
    cr_assert(hhr_read(text, &arena, &hhr, &err) == STATUS_OK, "%s: %s", name, err.text);
    char program[sizeof kalign];
    memcpy(program, kalign, sizeof kalign);
    struct template_settings settings = {
        .reference = true, .shuffled = SHUFFLED, .hits = HITS, .aligner = {program, kalign_pair}};
    struct template_library from = {.user = &library, .open = open_golden};
    cr_assert(template_walk(&hhr, query, &settings, &from, &arena, &list, &err) == STATUS_OK,
              "%s: %s", name, err.text);
    const struct npz_array *probs = golden_array(&raw, "template_sum_probs", NPZ_F32);
    int count = take(&list, taken);
    cr_assert((uint64_t)count == probs->count, "%s: %d templates, wanted %d; refused:\n%s", name,
              count, (int)probs->count, list.report);
    bool again = false;
    for (int t = 0; t < count; t++) {
        candidate_compare(name, &raw, (size_t)t, query.size, &list.candidate[taken[t]]);
        again |= list.candidate[taken[t]].features.realigned;
    }
    cr_assert(again == realigned, "%s: realigned is %d", name, again);
    arena_close(&library.arena);
    arena_close(&arena);
}

Test(template_golden, hits_of_real_searches, .timeout = 120)
{
    static const char *const names[] = {
        "2crb_A__synth300__hhr",  "2q2k_A__synth2__hhr",   "3u8v_A__synth1500__hhr",
        "3zee_A__synth3000__hhr", "4i6p_A__synth200__hhr", "5kc1_C__synth2500__hhr",
        "2xhe_A__synth2000__hhr", "2q2k_A__real__hhr",     "2xhe_A__selftempl"};
    golden_root();
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        case_compare(names[i], "hhsearch_output.hhr", false);
    case_compare("short", "pdb70_hits.hhr", false);
}

Test(template_golden, realigned_by_kalign, .timeout = 120)
{
    golden_root();
    if (access(kalign, X_OK) != 0)
        cr_skip("package kalign is not installed");
    case_compare("3zee_A__realign", "hhsearch_output.hhr", true);
}

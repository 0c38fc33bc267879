/* Structure readers against the reference pipeline's features (bit for bit), and on small files
 * whose results are worked out by hand: every rule of the readers has a case here. */
#include "tests/stages/features.h"
#include "stages/bio/cif.h"
#include "stages/bio/pdb.h"
#include "stages/bio/residue.h"

static struct arena arena;
static struct error err;
static struct structure structure;

struct golden_case {
    const char *npz, *file, *chain;
};

/* Every mmCIF case of the golden set; several share a chain and differ in alignments alone. */
static const struct golden_case golden_cases[] = {
    {"1psm_A", "1psm", "A"},
    {"2crb_A", "2crb", "A"},
    {"2q2k_A", "2q2k", "A"},
    {"2q2k_B", "2q2k", "B"},
    {"3u8v_A", "3u8v", "A"},
    {"3zee_A", "3zee", "A"},
    {"4i6p_A", "4i6p", "A"},
    {"4i6p_B", "4i6p", "B"},
    {"4zey_A", "4zey", "A"},
    {"5kc1_C", "5kc1", "C"},
    {"5kc1_D", "5kc1", "D"},
    {"5kc1_A", "5kc1", "A"},
    {"5kc1_H", "5kc1", "H"},
    {"5kc1_L", "5kc1", "L"},
    {"5kc1_E", "5kc1", "E"},
    {"5kc1_F", "5kc1", "F"},
    {"5kc1_J", "5kc1", "J"},
    {"1a7g_E", "1a7g", "E"},
    {"9ed1_X", "9ed1", "X"},
    {"9ed2_A", "9ed2", "A"},
    {"1psm_A__synth60", "1psm", "A"},
    {"2crb_A__synth300__hhr", "2crb", "A"},
    {"2q2k_A__synth2__hhr", "2q2k", "A"},
    {"3u8v_A__synth1500__hhr", "3u8v", "A"},
    {"3zee_A__synth3000__hhr", "3zee", "A"},
    {"4i6p_A__synth200__hhr", "4i6p", "A"},
    {"5kc1_C__synth2500__hhr", "5kc1", "C"},
    {"2xhe_A__synth2000__hhr", "2xhe", "A"},
    {"2q2k_A__real__hhr", "2q2k", "A"},
    {"3zee_A__realign", "3zee", "A"},
    {"2xhe_A__selftempl", "2xhe", "A"},
    /* Coordinates alone: the reference refuses these files, which have no release date. */
    {"3jqh_A__coords", "3jqh", "A"},
    {"4zhl_P__coords", "4zhl", "P"},
    {"2beg_A__coords", "2beg", "A"},
    {"1a8o_A__coords", "1a8o", "A"},
    {"1as5_A__coords", "1as5", "A"},
    {"2ofg_X__coords", "2ofg", "X"},
};

static void coordinates_compare(const char *name, const struct structure_chain *chain,
                                const struct npz *npz)
{
    const struct npz_array *positions = golden_array(npz, "all_atom_positions", NPZ_F32);
    const struct npz_array *mask = golden_array(npz, "all_atom_mask", NPZ_F32);
    cr_assert(positions->size[0] == (uint64_t)chain->length, "%s: %d residues, wanted %d", name,
              chain->length, (int)positions->size[0]);
    for (uint64_t i = 0; i < mask->count; i++)
        cr_assert((float)chain->mask[i] == golden_f32(mask, i), "%s: mask of residue %d atom %d",
                  name, (int)(i / ATOM37), (int)(i % ATOM37));
    cr_assert(memcmp(chain->positions, positions->data, positions->count * 4) == 0,
              "%s: positions differ", name);
}

static void features_compare(const char *name, const struct structure_chain *chain,
                             const struct npz *npz)
{
    const struct npz_array *aatype = golden_array(npz, "aatype", NPZ_I32);
    struct span sequence = golden_text(golden_array(npz, "sequence", NPZ_BYTES), 0);
    cr_assert(span_is(sequence, chain->sequence), "%s: sequence %s", name, chain->sequence);
    for (int i = 0; i < chain->length; i++) {
        cr_assert(golden_i32(golden_array(npz, "residue_index", NPZ_I32), (uint64_t)i) ==
                  chain->residue_index[i]);
        for (int type = 0; type < RESTYPE_COUNT; type++)
            cr_assert(golden_i32(aatype, (uint64_t)(i * RESTYPE_COUNT + type)) ==
                          (residue_type(chain->sequence[i]) == type),
                      "%s: type of residue %d", name, i);
    }
    cr_assert(golden_f32(golden_array(npz, "resolution", NPZ_F32), 0) == structure.resolution);
}

Test(structure, mmcif_equals_the_reference, .timeout = 120)
{
    arena_open(&arena, 0);
    for (size_t i = 0; i < sizeof golden_cases / sizeof *golden_cases; i++) {
        const struct golden_case *c = &golden_cases[i];
        arena_reset(&arena);
        struct npz npz = golden_npz(&arena, arena_printf(&arena, "raw/%s.npz", c->npz));
        struct span text =
            golden_file(&arena, arena_printf(&arena, "inputs/mmcif/%s.cif", c->file));
        struct structure_wish wish = {span_of(c->chain), true};
        cr_assert(cif_read(text, &wish, &arena, &structure, &err) == STATUS_OK, "%s: %s", c->npz,
                  err.text);
        cr_assert(structure.chain_count == 1);
        coordinates_compare(c->npz, structure.chain, &npz);
        if (strstr(c->npz, "__coords"))
            continue;
        features_compare(c->npz, structure.chain, &npz);
        struct span date = golden_text(golden_array(&npz, "release_date", NPZ_BYTES), 0);
        cr_assert(span_equal(date, structure.release_date), "%s: date %.*s", c->npz,
                  (int)structure.release_date.size, structure.release_date.data);
    }
    arena_close(&arena);
}

Test(structure, predicted_pdb_equals_the_reference)
{
    arena_open(&arena, 0);
    static const char *const names[] = {"6KWC_1", "6KWC_1__asPDB"};
    for (int i = 0; i < 2; i++) {
        struct npz npz = golden_npz(&arena, arena_printf(&arena, "raw/%s.npz", names[i]));
        struct span text = golden_file(&arena, "inputs/6KWC_1.pdb");
        struct structure_wish wish = {.coordinates = true};
        cr_assert(pdb_read(text, PDB_DISTILLED, &wish, &arena, &structure, &err) == STATUS_OK, "%s",
                  err.text);
        cr_assert(structure.chain_count == 1);
        coordinates_compare(names[i], structure.chain, &npz);
        features_compare(names[i], structure.chain, &npz);
    }
    arena_close(&arena);
}

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
        struct structure_wish wish = {.chain = span_of(c->chain), .coordinates = true};
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

/* A small file of the fuzzers' corpus, which also serves here. */
static struct span corpus(const char *name)
{
    struct span content;
    char *path = arena_printf(&arena, "%s/tests/data/fuzz/%s", FOLDMILL_SOURCE, name);
    cr_assert(file_read(path, 1 << 20, &arena, &content, &err) == STATUS_OK, "%s", err.text);
    return content;
}

static const float *atom_of(int chain, int residue, int atom)
{
    const struct structure_chain *c = &structure.chain[chain];
    cr_assert(c->mask[residue * ATOM37 + atom], "residue %d has no atom %d", residue, atom);
    return c->positions + (residue * ATOM37 + atom) * 3;
}

Test(structure, mmcif_by_hand)
{
    arena_open(&arena, 0);
    struct structure_wish wish = {.coordinates = true};
    cr_assert(cif_read(corpus("cif/whole.cif"), &wish, &arena, &structure, &err) == STATUS_OK, "%s",
              err.text);
    cr_assert(structure.chain_count == 1, "the DNA chain Y is no protein");
    const struct structure_chain *chain = structure.chain;
    cr_assert(span_is(chain->name, "X") && strcmp(chain->sequence, "MRG") == 0);
    cr_assert(chain->length == 3 && chain->resolved == 2, "the glycine has no atoms");
    cr_assert(span_is(structure.release_date, "1999-12-31"), "the earliest revision");
    cr_assert(structure.resolution == 1.9F && span_is(structure.method, "x-ray diffraction"));
    cr_assert(structure.atom_count == 8, "alternates count once, model 2 not at all: %d",
              structure.atom_count);
    const float *se = atom_of(0, 0, ATOM_SD);
    cr_assert(se[0] == -4 && se[1] == 0.25F && se[2] == 6.125F, "selenium stands for sulphur");
    cr_assert(atom_of(0, 0, ATOM_N)[0] == 1, "of the first model");
    cr_assert(atom_of(0, 1, ATOM_CA)[0] == 9, "the alternate of higher occupancy");
    cr_assert(atom_of(0, 1, ATOM_NH1)[0] == 3 && atom_of(0, 1, ATOM_NH2)[0] == 4,
              "NH1 is the one nearer to CD");
    for (int i = 0; i < 3; i++)
        cr_assert(chain->residue_index[i] == i);
    wish.chain = SPAN("Y");
    cr_assert(cif_read(corpus("cif/whole.cif"), &wish, &arena, &structure, &err) == STATUS_REFUSED);
    cr_assert(strstr(err.text, "no protein chain Y; the first is X"), "%s", err.text);
    arena_close(&arena);
}

/* The whole.cif with one text exchanged for another. */
static enum status cif_changed(const char *from, const char *to)
{
    struct structure_wish wish = {.coordinates = true};
    struct span text = corpus("cif/whole.cif");
    const char *at = memmem(text.data, text.size, from, strlen(from));
    cr_assert(at, "%s is not in the file", from);
    char *changed =
        arena_printf(&arena, "%.*s%s%s", (int)(at - text.data), text.data, to, at + strlen(from));
    return cif_read(span_of(changed), &wish, &arena, &structure, &err);
}

Test(structure, mmcif_rules_of_alternates)
{
    arena_open(&arena, 0);
    cr_assert(cif_changed("0.60", "0.40") == STATUS_OK, "%s", err.text);
    cr_assert(atom_of(0, 1, ATOM_CA)[0] == 0, "the first of equal occupancies stays");
    cr_assert(cif_changed("CA  A ARG", "CA  . ARG") == STATUS_OK, "%s", err.text);
    cr_assert(atom_of(0, 1, ATOM_CA)[0] == 9, "0.40 without a letter gives way to 0.60");
    cr_assert(cif_changed("CA  A ARG A 1 2 A 0.0 0.0 0.0 0.40",
                          "CA  . ARG A 1 2 A 0.0 0.0 0.0 0.90") == STATUS_OK);
    cr_assert(atom_of(0, 1, ATOM_CA)[0] == 0, "0.90 without a letter does not");
    cr_assert(cif_changed("CA  B ARG", "CA  . ARG") == STATUS_REFUSED);
    cr_assert(strstr(err.text, "line 61: atom CA is there twice"), "%s", err.text);
    /* A point mutation: the name that came last is taken; every atom needs an alternate. */
    cr_assert(cif_changed("ATOM   6  CD  . ARG A 1 2 A 0.0 0.0 0.0 1.00 10.0 11 X 1\n"
                          "ATOM   7  NH1 . ARG A 1 2 A 4.0 0.0 0.0 1.00 10.0 11 X 1\n"
                          "ATOM   8  NH2 . ARG A 1 2 A 3.0",
                          "ATOM   6  CA  C LYS A 1 2 A 5.0 0.0 0.0 0.10 10.0 11 X 1\n"
                          "ATOM   8  CB  C LYS A 1 2 A 3.0") == STATUS_OK,
              "%s", err.text);
    cr_assert(atom_of(0, 1, ATOM_CA)[0] == 5 && atom_of(0, 1, ATOM_CB)[0] == 3);
    cr_assert(strcmp(structure.chain->sequence, "MRG") == 0, "the sequence is the entity's");
    cr_assert(cif_changed("ATOM   6  CD  . ARG", "ATOM   6  CD  A LYS") == STATUS_REFUSED);
    cr_assert(strstr(err.text, "line 63: atom NH1 has no alternate location"), "%s", err.text);
    cr_assert(cif_changed("ATOM   8  NH2 . ARG", "ATOM   8  NH2 A LYS") == STATUS_REFUSED);
    cr_assert(strstr(err.text, "comes again as LYS"), "%s", err.text);
    arena_close(&arena);
}

Test(structure, mmcif_refusals_name_the_place)
{
    static const struct {
        const char *from, *to, *reason;
    } cases[] = {
        {"data_1TST", "HEADER", "line 1: no mmCIF file: it begins with \"HEADER\""},
        {"1.5 2.5 3.5", "1.5 x 3.5", "line 58: _atom_site.Cartn_y is \"x\", wanted a number"},
        {"10.0 11 X 1\nHETATM 2", "ten 11 X 1\nHETATM 2", "_atom_site.B_iso_or_equiv is \"ten\""},
        {"0.60", "?", "_atom_site.occupancy is \"?\""},
        {"10.0 11 X 1\nHETATM 2", "10.0 A X 1\nHETATM 2",
         "auth_seq_id is \"A\", wanted an integer"},
        {"\n_atom_site.Cartn_z", "\n_atom_site.other", "the atoms have no _atom_site.Cartn_z"},
        {"'L-peptide linking'", "'L-peptide linking", "line 24: the quote ' does not end"},
        {"with two lines\n;", "with two lines\n", "does not end (truncated file?)"},
        {"11 X 2\n#", "11 X\n#", "ends inside a row"},
        {"_struct_asym.id", "_struct_asym.no", "the file has no _struct_asym.id"},
        {"1 1 MSE", "1 1 ZZZ", "monomer ZZZ is not listed"},
        {"A 1\nB 2", "C 1\nB 2", "protein chain C has no atoms"},
        {"MSE A 1 1 ? 1.0", "MSE A 1 . ? 1.0", "no _atom_site.label_seq_id"},
        {"_entity_poly_seq.num", "_entity_poly_seq.x", "the file has no _entity_poly_seq.num"},
    };
    arena_open(&arena, 0);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        enum status status = cif_changed(cases[i].from, cases[i].to);
        cr_assert(status == STATUS_REFUSED, "case %d: %s", (int)i, status_name(status));
        cr_assert(strstr(err.text, cases[i].reason), "case %d: %s", (int)i, err.text);
    }
    struct structure_wish wish = {.coordinates = true};
    cr_assert(cif_read(SPAN(""), &wish, &arena, &structure, &err) == STATUS_REFUSED);
    cr_assert(strstr(err.text, "empty"), "%s", err.text);
    cr_assert(cif_read(SPAN("data_x\0"), &wish, &arena, &structure, &err) == STATUS_REFUSED);
    cr_assert(strstr(err.text, "zero bytes"), "%s", err.text);
    arena_close(&arena);
}

Test(structure, experimental_pdb_by_hand)
{
    arena_open(&arena, 0);
    struct structure_wish wish = {.coordinates = true};
    cr_assert(pdb_read(corpus("pdb/whole.pdb"), PDB_EXPERIMENTAL, &wish, &arena, &structure,
                       &err) == STATUS_OK,
              "%s", err.text);
    cr_assert(structure.chain_count == 1 && span_is(structure.chain->name, "A"));
    cr_assert(strcmp(structure.chain->sequence, "AMG") == 0,
              "1, 1A (a bonded MSE) and 2; no calcium, no water: %s", structure.chain->sequence);
    cr_assert(structure.resolution == 2.5F && span_is(structure.method, "x-ray diffraction"));
    cr_assert(atom_of(0, 0, ATOM_CA)[0] == 1.5F, "of the first model");
    cr_assert(atom_of(0, 1, ATOM_SD)[1] == 3, "selenium");
    cr_assert(atom_of(0, 2, ATOM_CA)[0] == 8, "the first of equal occupancies");
    arena_close(&arena);
}

/* The whole.pdb with one text exchanged for another. */
static enum status pdb_changed(const char *from, const char *to, enum pdb_source kind)
{
    struct structure_wish wish = {.coordinates = true};
    struct span text = corpus("pdb/whole.pdb");
    const char *at = memmem(text.data, text.size, from, strlen(from));
    cr_assert(at, "%s is not in the file", from);
    char *changed =
        arena_printf(&arena, "%.*s%s%s", (int)(at - text.data), text.data, to, at + strlen(from));
    return pdb_read(span_of(changed), kind, &wish, &arena, &structure, &err);
}

Test(structure, pdb_rules_and_refusals)
{
    arena_open(&arena, 0);
    cr_assert(pdb_changed("  3.800", "  4.600", PDB_EXPERIMENTAL) == STATUS_OK, "%s", err.text);
    cr_assert(strcmp(structure.chain->sequence, "AG") == 0, "MSE 2.1 A away is not bonded: %s",
              structure.chain->sequence);
    cr_assert(pdb_changed("  8.000   0.000", "  8.0x0   0.000", PDB_EXPERIMENTAL) ==
              STATUS_REFUSED);
    cr_assert(strstr(err.text, "line 11: the coordinate in columns 31-38 is \"8.0x0\""), "%s",
              err.text);
    cr_assert(pdb_changed(" CA BGLY", " CA  GLY", PDB_EXPERIMENTAL) == STATUS_REFUSED);
    cr_assert(strstr(err.text, "line 12: atom CA is there twice"), "%s", err.text);
    cr_assert(pdb_changed("A   2 ", "A   x ", PDB_EXPERIMENTAL) == STATUS_REFUSED);
    cr_assert(strstr(err.text, "wanted an integer"), "%s", err.text);
    cr_assert(pdb_changed("MODEL", "MODEL", PDB_DISTILLED) == STATUS_REFUSED);
    cr_assert(strstr(err.text, "insertion code A"), "%s", err.text);
    struct structure_wish wish = {.coordinates = true};
    cr_assert(pdb_read(SPAN("REMARK\nEND\n"), PDB_EXPERIMENTAL, &wish, &arena, &structure, &err) ==
              STATUS_REFUSED);
    cr_assert(strstr(err.text, "no ATOM or HETATM record in 2 lines"), "%s", err.text);
    cr_assert(pdb_read(SPAN("ATOM      1  N   ALA A   1       0.0"), PDB_EXPERIMENTAL, &wish,
                       &arena, &structure, &err) == STATUS_REFUSED);
    cr_assert(strstr(err.text, "truncated"), "%s", err.text);
    cr_assert(pdb_read(SPAN("HETATM    1  O   HOH A   1       0.000   0.000   0.000"),
                       PDB_EXPERIMENTAL, &wish, &arena, &structure, &err) == STATUS_REFUSED);
    cr_assert(strstr(err.text, "no residue of a protein"), "%s", err.text);
    arena_close(&arena);
}

Test(structure, predicted_pdb_masks_low_confidence)
{
    static const char text[] =
        "ATOM      1  N   ALA A   1       1.000   0.000   0.000  1.00 49.00\n"
        "ATOM      2  CA  ALA A   1       2.000   0.000   0.000  1.00 50.00\n"
        "ATOM      3  N   MSE A   2       3.000   0.000   0.000  1.00 10.00\n"
        "ATOM      4  CA  MSE A   2       4.000   0.000   0.000  1.00 50.01\n"
        "ATOM      5  H1  GLY A   3       5.000   0.000   0.000  1.00 90.00\n";
    struct structure_wish wish = {.coordinates = true};
    arena_open(&arena, 0);
    cr_assert(pdb_read(span_of(text), PDB_DISTILLED, &wish, &arena, &structure, &err) == STATUS_OK,
              "%s", err.text);
    cr_assert(strcmp(structure.chain->sequence, "AX") == 0,
              "MSE is no standard residue, hydrogens alone are none: %s",
              structure.chain->sequence);
    cr_assert(structure.chain->mask[ATOM_CA] == 0 && structure.chain->mask[ATOM37 + ATOM_N] == 1);
    cr_assert(structure.chain->positions[ATOM_CA * 3] == 2, "masked positions stay");
    arena_close(&arena);
}

Test(structure, residue_tables_agree_with_each_other)
{
    cr_assert(residue_letter(SPAN("MSE")) == 'M' && residue_letter(SPAN("SEP")) == 'S' &&
              residue_letter(SPAN("UNK")) == 'X' && residue_letter(SPAN("SEC")) == 'X');
    cr_assert(residue_letter_standard(SPAN("MSE")) == 'X' &&
              residue_letter_standard(SPAN("TRP")) == 'W');
    for (int type = 0; type < RESTYPE_X; type++) {
        cr_assert(residue_type(residue_letters[type]) == type);
        cr_assert(alignment_symbol(residue_letters[type]) == type);
        for (int k = 0; k < atom14_count[type]; k++) {
            cr_assert(atom14_swap[type][atom14_swap[type][k]] == k,
                      "swapping twice changes nothing");
            cr_assert(k < 4 || atom14_to_atom37[type][k] > ATOM_O || k == 4);
        }
        for (int k = 0; k < chi_count[type] + 3 && chi_count[type]; k++) {
            bool found = false; /* the atoms of torsions are atoms of the residue */
            for (int a = 0; a < atom14_count[type]; a++)
                found = found || atom14_to_atom37[type][a] == chi_chain[type][k];
            cr_assert(found, "type %d atom %d", type, k);
        }
        cr_assert(chi_symmetric[type] < chi_count[type]);
    }
    for (int atom = 0; atom < ATOM37; atom++)
        cr_assert(atom37_find(span_of(atom37_names[atom])) == atom);
    cr_assert(atom37_find(SPAN("H")) < 0 && atom37_find(SPAN("")) < 0 &&
              atom37_find(SPAN("CAAA")) < 0);
    cr_assert(residue_type('B') == RESTYPE_X && residue_type('a') < 0 && hhblits_code('.') < 0);
}

/* Alignment readers and MSA features: against the reference pipeline (bit for bit), and on rows
 * whose results are worked out by hand. */
#include "tests/stages/features.h"
#include "stages/bio/family.h"
#include "stages/bio/msa.h"
#include "stages/bio/residue.h"

#include <dirent.h>

static struct arena arena;
static struct error err;

static const struct {
    const char *npz, *folder;
} golden_cases[] = {
    {"1psm_A", "1psm_A"},
    {"2crb_A", "2crb_A"},
    {"2q2k_A", "2q2k_A"},
    {"2q2k_B", "2q2k_B"},
    {"3u8v_A", "3u8v_A"},
    {"3zee_A", "3zee_A"},
    {"4i6p_A", "4i6p_A"},
    {"4i6p_B", "4i6p_B"},
    {"4zey_A", "4zey_A"},
    {"5kc1_C", "5kc1_C"},
    {"5kc1_D", "5kc1_D"},
    {"5kc1_A", "5kc1_A"},
    {"5kc1_H", "5kc1_H"},
    {"5kc1_L", "5kc1_L"},
    {"5kc1_E", "5kc1_E"},
    {"5kc1_F", "5kc1_F"},
    {"5kc1_J", "5kc1_J"},
    {"1psm_A__synth60", "1psm_A__synth60"},
    {"2crb_A__synth300__hhr", "2crb_A__synth300__hhr"},
    {"2q2k_A__synth2__hhr", "2q2k_A__synth2__hhr"},
    {"3u8v_A__synth1500__hhr", "3u8v_A__synth1500__hhr"},
    {"3zee_A__synth3000__hhr", "3zee_A__synth3000__hhr"},
    {"4i6p_A__synth200__hhr", "4i6p_A__synth200__hhr"},
    {"5kc1_C__synth2500__hhr", "5kc1_C__synth2500__hhr"},
    {"2xhe_A__synth2000__hhr", "2xhe_A__synth2000__hhr"},
    {"2q2k_A__real__hhr", "2q2k_A__real__hhr"},
    {"6KWC_1", "6KWC_1"},
    {"short", "short"},
    {"3zee_A__realign", "3zee_A__realign"},
    {"9ed1_X", "none"},
    {"9ed2_A", "none"},
    {"1a7g_E", "none"},
    {"2xhe_A__selftempl", "2xhe_A__selftempl"},
    {"6KWC_1__asPDB", "6KWC_1"},
    {"heavy_1000_10000", "heavy_1000_10000"},
};

static int wanted_file(const struct dirent *entry)
{
    const char *name = entry->d_name, *dot = strrchr(name, '.');
    return dot && (strcmp(dot, ".a3m") == 0 || strcmp(dot, ".sto") == 0) &&
           strcmp(name, "uniprot_hits.sto") != 0 && strcmp(name, "hmm_output.sto") != 0;
}

/* Rows of a file on their way to the features: the first is the chain. */
struct own {
    struct msa_builder *builder;
    struct span sequence;
    bool begun;
};

static enum status own_row(void *user, const struct alignment_row *row, struct error *error)
{
    struct own *own = user;
    if (!own->begun &&
        alignment_check_row(row, own->sequence.data, (int)own->sequence.size, error) != STATUS_OK)
        return error->status;
    own->begun = true;
    return msa_add_row(own->builder, row, error);
}

/* The features of one folder, as the reference makes them: files in the order of their names. */
static struct msa folder_read(const char *folder, struct span sequence)
{
    struct msa_builder builder;
    struct msa msa;
    struct dirent **entry = NULL;
    int files = scandir(arena_printf(&arena, "%s/features/inputs/align/%s", golden_root(), folder),
                        &entry, wanted_file, alphasort);
    msa_open(&builder, (int)sequence.size, &arena);
    builder.with_species = true;
    for (int i = 0; i < files; i++) {
        struct lines lines;
        enum alignment_format format;
        struct own own = {&builder, sequence, false};
        const char *name = arena_printf(&arena, "%s/features/inputs/align/%s/%s", golden_root(),
                                        folder, entry[i]->d_name);
        cr_assert(alignment_format_of(span_of(name), &format, &err) == STATUS_OK);
        cr_assert(lines_open(&lines, name, 0, UINT64_MAX, 1 << 30, &arena, &err) == STATUS_OK, "%s",
                  err.text);
        cr_assert(alignment_own_rows(&lines, format, &arena, own_row, &own, &err) == STATUS_OK,
                  "%s: %s", name, err.text);
        lines_close(&lines);
        free(entry[i]);
    }
    free(entry);
    if (files <= 0)
        cr_assert(msa_add_sequence(&builder, SPAN(""), sequence.data, &err) == STATUS_OK);
    cr_assert(msa_finish(&builder, &msa, &err) == STATUS_OK, "%s", err.text);
    return msa;
}

static void msa_compare(const char *name, const struct msa *msa, const struct npz *npz)
{
    const struct npz_array *rows = golden_array(npz, "msa", NPZ_I32);
    const struct npz_array *deletions = golden_array(npz, "deletion_matrix_int", NPZ_I32);
    cr_assert(rows->size[0] == (uint64_t)msa->rows && rows->size[1] == (uint64_t)msa->length,
              "%s: %d x %d", name, msa->rows, msa->length);
    cr_assert(golden_i32(golden_array(npz, "num_alignments", NPZ_I32), 0) == msa->rows);
    for (uint64_t i = 0; i < rows->count; i++)
        cr_assert(hhblits_to_restype[golden_i32(rows, i)] == msa->symbol[i], "%s: row %d", name,
                  (int)(i / (uint64_t)msa->length));
    int32_t at = 0;
    for (int row = 0; row < msa->rows; row++) {
        cr_assert(msa->deletion_start[row] == at);
        for (int c = 0; c < msa->length; c++) {
            bool here = at < msa->deletion_start[row + 1] && msa->deletion_column[at] == c;
            int32_t wanted =
                golden_i32(deletions, (uint64_t)row * (uint64_t)msa->length + (uint64_t)c);
            cr_assert(wanted == (here ? msa->deletion_count[at] : 0), "%s: deletion %d %d", name,
                      row, c);
            at += here;
        }
    }
    cr_assert(at == msa->deletion_start[msa->rows]);
    const struct npz_array *species = golden_array(npz, "msa_species_identifiers", NPZ_BYTES);
    for (int row = 0; row < msa->rows; row++) {
        struct span found = {msa->species[row], strnlen(msa->species[row], SPECIES_BYTES)};
        cr_assert(span_equal(found, golden_text(species, (uint64_t)row)), "%s: species of row %d",
                  name, row);
    }
}

Test(msa, features_equal_the_reference, .timeout = 240)
{
    arena_open(&arena, 0);
    for (size_t i = 0; i < sizeof golden_cases / sizeof *golden_cases; i++) {
        arena_reset(&arena);
        const char *name = golden_cases[i].npz;
        struct npz npz = golden_npz(&arena, arena_printf(&arena, "raw/%s.npz", name));
        struct span sequence = golden_text(golden_array(&npz, "sequence", NPZ_BYTES), 0);
        struct msa msa = folder_read(golden_cases[i].folder, sequence);
        msa_compare(name, &msa, &npz);
    }
    arena_close(&arena);
}

/* Reads text, projects it on its first row when asked, and makes features. */
static struct msa made(const char *text, enum alignment_format format, int length)
{
    struct alignment raw, alignment;
    struct msa_builder builder;
    struct msa msa;
    cr_assert(alignment_read(span_of(text), format, &arena, &raw, &err) == STATUS_OK, "%s",
              err.text);
    cr_assert(alignment_project(&raw, 0, &arena, &alignment, &err) == STATUS_OK);
    msa_open(&builder, length, &arena);
    cr_assert(msa_add(&builder, &alignment, &err) == STATUS_OK, "%s", err.text);
    cr_assert(msa_finish(&builder, &msa, &err) == STATUS_OK, "%s", err.text);
    return msa;
}

Test(msa, a3m_insertions_count_at_the_next_column)
{
    arena_open(&arena, 0);
    struct msa msa = made(">q\nACGD\n>r some words\nAC-deD\n>t\nACGDxx\n", ALIGNMENT_A3M, 4);
    cr_assert(msa.rows == 2, "the third row equals the first: its last insertions are lost");
    static const uint8_t row[4] = {0, 4, 21, 3}; /* A C - D in restype order */
    cr_assert(memcmp(msa.symbol + 4, row, 4) == 0);
    cr_assert(msa.deletion_start[1] == 0 && msa.deletion_start[2] == 1);
    cr_assert(msa.deletion_column[0] == 3 && msa.deletion_count[0] == 2);
    int32_t counts[4 * SYMBOL_COUNT];
    msa_profile(&msa, counts);
    cr_assert(counts[0] == 2 && counts[2 * SYMBOL_COUNT + 21] == 1 &&
              counts[2 * SYMBOL_COUNT + 7] == 1 && counts[3 * SYMBOL_COUNT + 3] == 2);
    arena_close(&arena);
}

Test(msa, stockholm_drops_the_gaps_of_its_first_row)
{
    arena_open(&arena, 0);
    struct msa msa =
        made("# STOCKHOLM 1.0\n#=GF ID x\nq M-K\nr MAK\n\nq A\nr -\n//\n", ALIGNMENT_STOCKHOLM, 3);
    static const uint8_t rows[6] = {12, 11, 0, 12, 11, 21};
    cr_assert(msa.rows == 2 && memcmp(msa.symbol, rows, 6) == 0);
    cr_assert(msa.deletion_start[2] == 1 && msa.deletion_column[0] == 1 &&
              msa.deletion_count[0] == 1);
    arena_close(&arena);
}

Test(msa, clustal_blocks_join)
{
    arena_open(&arena, 0);
    struct msa msa = made("CLUSTAL W (1.8) multiple sequence alignment\n\n\na.pdb  AC- 2\nb.pdb  "
                          "ACD 3\n       **\n\na.pdb  DE\nb.pdb  -E\n        *\n",
                          ALIGNMENT_CLUSTAL, 4);
    static const uint8_t rows[8] = {0, 4, 3, 6, 0, 4, 21, 6};
    cr_assert(msa.rows == 2 && memcmp(msa.symbol, rows, 8) == 0);
    cr_assert(msa.deletion_column[0] == 2 && msa.deletion_count[0] == 1);
    arena_close(&arena);
}

Test(msa, a2m_dots_are_skipped_and_odd_letters_have_their_codes)
{
    arena_open(&arena, 0);
    struct msa msa = made(">q\nAB..ZX\n>r\nUJabO-\n", ALIGNMENT_A2M, 4);
    static const uint8_t rows[8] = {0, 3, 6, 20, 4, 20, 20, 21};
    cr_assert(memcmp(msa.symbol, rows, 8) == 0, "B is D, Z is E, U is C, J and O are X");
    cr_assert(msa.deletion_column[0] == 2 && msa.deletion_count[0] == 2);
    arena_close(&arena);
}

Test(msa, species_of_uniprot_names)
{
    static const char *const cases[][2] = {
        {"tr|A0A146SKV9|A0A146SKV9_FUNHE/9-90 words", "FUNHE"},
        {"sp|P0C2L1_1|A3X1_LOXLA/65-302", "LOXLA"},
        {"sp|P0C2L1|A3X1_LOXLA_37", "LOXLA"},
        {"xx|P0C2L1|A3X1_LOXLA", ""},
        {"tr|A0A1|B_FUNHE", ""},
        {"tr|A0A146SKV9|B_FUNHEX", ""},
        {"tr|A0A146SKV9|B_FUNHE_x", ""},
        {"MGYP000510094044/36-224", ""},
        {"", ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        cr_assert(span_is(species_id(span_of(cases[i][0])), cases[i][1]), "%s", cases[i][0]);
}

static const char family_text[] =
    ">1abc_A.pdb\nAC--DEF-\n>2xyz_B.pdb\n-CGGDEFW\n>other\nACGGDEF-\n";

static enum status family_of(const char *name, const char *sequence, struct alignment *view)
{
    static struct alignment family;
    cr_assert(alignment_read(span_of(family_text), ALIGNMENT_A2M, &arena, &family, &err) ==
              STATUS_OK);
    return family_view(&family, span_of(name), sequence, (int)strlen(sequence), &arena, view, &err);
}

Test(msa, family_puts_the_chain_first)
{
    struct alignment view;
    arena_open(&arena, 0);
    cr_assert(family_of("2xyz_B", "CGGDEFW", &view) == STATUS_OK, "%s", err.text);
    cr_assert(view.width == 7 && memcmp(view.letters, "CGGDEFWC--DEF-CGGDEF-", 21) == 0, "%.21s",
              view.letters);
    cr_assert(view.insertion_start[1] == 0 && view.insertion_start[2] == 1 &&
              view.insertion_start[3] == 2);
    cr_assert(view.insertion[0].column == 0 && view.insertion[0].count == 1, "the A before C");
    cr_assert(family_of("1abc_A", "ACDEF", &view) == STATUS_OK, "%s", err.text);
    cr_assert(memcmp(view.letters, "ACDEF-CDEFACDEF", 15) == 0);
    cr_assert(view.insertion_start[3] == 2 && view.insertion[0].column == 2 &&
                  view.insertion[0].count == 2,
              "G G before D; the W behind the last column is lost");
    arena_close(&arena);
}

Test(msa, family_finds_rows_by_sequence)
{
    struct alignment view;
    arena_open(&arena, 0);
    cr_assert(family_of("none", "ACGGDEF", &view) == STATUS_OK, "%s", err.text);
    cr_assert(memcmp(view.letters, "ACGGDEFAC--DEF", 14) == 0);
    cr_assert(family_of("none", "WWWW", &view) == STATUS_REFUSED);
    cr_assert(strstr(err.text, "no row none"), "%s", err.text);
    arena_close(&arena);
}

Test(msa, family_rows_may_be_pieces_or_hold_unknown_residues)
{
    struct alignment view;
    arena_open(&arena, 0);
    cr_assert(family_of("1abc_A", "MACDEFK", &view) == STATUS_OK, "%s", err.text);
    cr_assert(memcmp(view.letters, "MACDEFK--CDEF--ACDEF-", 21) == 0, "%.21s", view.letters);
    cr_assert(family_of("2xyz_B", "GGDXF", &view) == STATUS_OK, "%s", err.text);
    cr_assert(memcmp(view.letters, "GGDXF--DEFGGDEF", 15) == 0, "%.15s", view.letters);
    cr_assert(family_of("2xyz_B", "CGADEFW", &view) == STATUS_REFUSED);
    cr_assert(strstr(err.text, "residue 3, G in the row, A in the chain"), "%s", err.text);
    cr_assert(family_of("2xyz_B", "DEF", &view) == STATUS_REFUSED, "less than half");
    arena_close(&arena);
}

Test(msa, bad_files_are_refused_with_a_reason)
{
    static const struct {
        const char *text;
        enum alignment_format format;
        const char *reason;
    } cases[] = {
        {"", ALIGNMENT_A3M, "no rows"},
        {"ACGT\n", ALIGNMENT_A3M, "line 1 begins with \"ACGT\", wanted a header line"},
        {">q\nACGT\n>r\nAC\n", ALIGNMENT_A3M, "row 2 (r) ends with 2 columns, the first row has 4"},
        {">q\nAC*T\n", ALIGNMENT_A3M, "line 2: character 0x2a"},
        {">q\nAC.T\n", ALIGNMENT_A3M, "is it A2M?"},
        {">q\n\n>r\nA\n", ALIGNMENT_A2M, "row 1 (q) has 0 columns"},
        {"", ALIGNMENT_STOCKHOLM, "empty"},
        {">q\nAC\n", ALIGNMENT_STOCKHOLM, "wanted # STOCKHOLM"},
        {"# STOCKHOLM 1.0\nq AC\nr A\n//\n", ALIGNMENT_STOCKHOLM, "row 2 (r) has 1 columns"},
        {"# STOCKHOLM 1.0\nq AC\n", ALIGNMENT_STOCKHOLM, "without //"},
        {"# STOCKHOLM 1.0\nq A.C\n//\n", ALIGNMENT_STOCKHOLM, "0x2e in row q"},
        {"# STOCKHOLM 1.0\n//\n", ALIGNMENT_STOCKHOLM, "no rows"},
        {"", ALIGNMENT_CLUSTAL, "empty"},
        {"q AC\n", ALIGNMENT_CLUSTAL, "wanted CLUSTAL"},
        {"CLUSTAL\n\nq AC x\n", ALIGNMENT_CLUSTAL, "line 3"},
        {"CLUSTAL\n\nq\n", ALIGNMENT_CLUSTAL, "line 3"},
    };
    struct alignment alignment;
    arena_open(&arena, 0);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        enum status status =
            alignment_read(span_of(cases[i].text), cases[i].format, &arena, &alignment, &err);
        cr_assert(status == STATUS_REFUSED, "case %d is %s", (int)i, status_name(status));
        cr_assert(strstr(err.text, cases[i].reason), "case %d: %s", (int)i, err.text);
    }
    cr_assert(alignment_read((struct span){">q\nA\0C\n", 7}, ALIGNMENT_A3M, &arena, &alignment,
                             &err) == STATUS_REFUSED);
    enum alignment_format format;
    cr_assert(alignment_format_of(SPAN("a/b.A2M.gz"), &format, &err) == STATUS_OK &&
              format == ALIGNMENT_A2M);
    cr_assert(alignment_format_of(SPAN("b.txt"), &format, &err) == STATUS_INVALID);
    arena_close(&arena);
}

Test(msa, alignments_that_do_not_fit_the_chain_are_refused)
{
    struct alignment alignment;
    struct msa_builder builder;
    arena_open(&arena, 0);
    cr_assert(alignment_read(SPAN(">q\nACDE\n"), ALIGNMENT_A3M, &arena, &alignment, &err) ==
              STATUS_OK);
    cr_assert(alignment_check_query(&alignment, "ACXE", 4, &err) == STATUS_OK);
    cr_assert(alignment_check_query(&alignment, "ACWE", 4, &err) == STATUS_REFUSED);
    cr_assert(strstr(err.text, "has D at residue 3, the chain has W"), "%s", err.text);
    cr_assert(alignment_check_query(&alignment, "ACDEF", 5, &err) == STATUS_REFUSED);
    msa_open(&builder, 5, &arena);
    cr_assert(msa_add(&builder, &alignment, &err) == STATUS_REFUSED);
    cr_assert(strstr(err.text, "4 columns, the chain 5 residues"), "%s", err.text);
    arena_close(&arena);
}

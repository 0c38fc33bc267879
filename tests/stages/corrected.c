/* Where the reference is known to be wrong about mmCIF, both ways of reading; and FASTA. */
#include "stages/bio/cif.h"
#include "stages/bio/fasta.h"
#include "stages/bio/residue.h"
#include "tests/stages/features.h"

#include <stdio.h>

static struct arena arena;
static struct error err;
static struct structure structure;

static void begin(void)
{
    arena_open(&arena, 0);
}

static void end(void)
{
    arena_close(&arena);
}

TestSuite(corrected, .init = begin, .fini = end);

/* One atom: CA of residue `number` of label chain `label`, entity's monomer `code`. */
struct atom {
    const char *label, *author, *code, *alternate;
    int number;
};

static char *cif_text(const char *sequences, const char *asyms, const struct atom *atoms, int count)
{
    char *text = arena_printf(
        &arena,
        "data_TEST\n_entry.id TEST\n"
        "loop_\n_chem_comp.id\n_chem_comp.type\nGLY 'peptide linking'\nALA 'L-peptide linking'\n"
        "SER 'L-peptide linking'\nCYS 'L-peptide linking'\nLYS 'L-peptide linking'\n"
        "loop_\n_entity_poly_seq.entity_id\n_entity_poly_seq.num\n_entity_poly_seq.mon_id\n%s"
        "loop_\n_struct_asym.id\n_struct_asym.entity_id\n%s"
        "loop_\n_pdbx_audit_revision_history.ordinal\n"
        "_pdbx_audit_revision_history.revision_date\n1 2001-02-03\n"
        "loop_\n_atom_site.group_PDB\n_atom_site.id\n_atom_site.label_atom_id\n"
        "_atom_site.label_alt_id\n_atom_site.label_comp_id\n_atom_site.label_asym_id\n"
        "_atom_site.label_seq_id\n_atom_site.pdbx_PDB_ins_code\n_atom_site.Cartn_x\n"
        "_atom_site.Cartn_y\n_atom_site.Cartn_z\n_atom_site.occupancy\n"
        "_atom_site.B_iso_or_equiv\n_atom_site.auth_seq_id\n_atom_site.auth_asym_id\n"
        "_atom_site.pdbx_PDB_model_num\n",
        sequences, asyms);
    for (int i = 0; i < count; i++)
        text = arena_printf(&arena, "%sATOM %d CA %s %s %s %d ? %d.0 0.0 0.0 0.50 10.0 %d %s 1\n",
                            text, i + 1, atoms[i].alternate, atoms[i].code, atoms[i].label,
                            atoms[i].number, i + 1, atoms[i].number, atoms[i].author);
    return text;
}

static enum status read_text(const char *text, bool corrected)
{
    struct structure_wish wish = {.coordinates = true, .corrected = corrected};
    return cif_read(span_of(text), &wish, &arena, &structure, &err);
}

/* x of the CA of residue i; -1: it has none. */
static int ca(int chain, int i)
{
    const struct structure_chain *c = &structure.chain[chain];
    int64_t at = (int64_t)i * ATOM37 + ATOM_CA;
    return c->mask[at] ? (int)c->positions[3 * at] : -1;
}

Test(corrected, two_monomers_under_one_number_give_one_letter)
{
    static const struct atom atoms[] = {{"A", "A", "GLY", ".", 1},
                                        {"A", "A", "SER", "A", 2},
                                        {"A", "A", "CYS", "B", 2},
                                        {"A", "A", "LYS", ".", 3}};
    const char *sequence = "1 1 GLY\n1 2 SER\n1 2 CYS\n1 3 LYS\n1 4 ALA\n";
    const char *text = cif_text(sequence, "A 1\n", atoms, 4);
    cr_assert(read_text(text, false) == STATUS_OK, "%s", err.text);
    cr_assert(strcmp(structure.chain[0].sequence, "GSCKA") == 0, "%s", structure.chain[0].sequence);
    cr_assert(ca(0, 2) == 4 && ca(0, 3) == -1, "the reference: K's atoms stand at C");
    cr_assert(read_text(text, true) == STATUS_OK, "%s", err.text);
    cr_assert(structure.chain[0].length == 4 && strlen(structure.chain[0].sequence) == 4);
    cr_assert(strcmp(structure.chain[0].sequence, "GCKA") == 0,
              "C is the one whose atoms stand: %s", structure.chain[0].sequence);
    cr_assert(ca(0, 0) == 1 && ca(0, 1) == 3 && ca(0, 2) == 4 && ca(0, 3) == -1);
    /* Without atoms there the first monomer counts. */
    text = cif_text(sequence, "A 1\n", (const struct atom[]){atoms[0], atoms[3]}, 2);
    cr_assert(read_text(text, true) == STATUS_OK, "%s", err.text);
    cr_assert(strcmp(structure.chain[0].sequence, "GSKA") == 0, "%s", structure.chain[0].sequence);
}

Test(corrected, the_first_entity_with_an_author_name_stays)
{
    static const struct atom atoms[] = {
        {"A", "A", "GLY", ".", 1}, {"A", "A", "ALA", ".", 2}, {"B", "A", "LYS", ".", 1}};
    char *text = cif_text("1 1 GLY\n1 2 ALA\n2 1 LYS\n2 2 LYS\n2 3 SER\n", "A 1\nB 2\n", atoms, 3);
    /* The third atom has number 1 of chain A again: as a residue of its own it needs another. */
    char *third = strstr(strstr(text, "ATOM 3"), "10.0 1 A 1");
    cr_assert(third);
    memcpy(third, "10.0 9 A 1", 10);
    cr_assert(read_text(text, false) == STATUS_OK, "%s", err.text);
    cr_assert(structure.chain_count == 1 && strcmp(structure.chain[0].sequence, "KKS") == 0, "%s",
              structure.chain[0].sequence);
    cr_assert(read_text(text, true) == STATUS_OK, "%s", err.text);
    cr_assert(structure.chain_count == 1 && strcmp(structure.chain[0].sequence, "GA") == 0, "%s",
              structure.chain[0].sequence);
    cr_assert(ca(0, 0) == 1 && ca(0, 1) == 2, "no atoms of the other entity");
}

Test(corrected, a_chain_without_atoms_does_not_cost_the_file)
{
    static const struct atom atoms[] = {{"A", "A", "GLY", ".", 1}};
    const char *text = cif_text("1 1 GLY\n1 2 ALA\n", "A 1\nB 1\n", atoms, 1);
    cr_assert(read_text(text, false) == STATUS_REFUSED && strstr(err.text, "no atoms"), "%s",
              err.text);
    cr_assert(read_text(text, true) == STATUS_OK, "%s", err.text);
    cr_assert(structure.chain_count == 1 && strcmp(structure.chain[0].sequence, "GA") == 0);
}

Test(corrected, the_golden_case_of_micro_heterogeneity)
{
    struct span content = golden_file(&arena, "inputs/mmcif/9ed2.cif");
    struct structure_wish wish = {.chain = SPAN("A"), .coordinates = true};
    cr_assert(cif_read(content, &wish, &arena, &structure, &err) == STATUS_OK, "%s", err.text);
    cr_assert(strcmp(structure.chain[0].sequence, "GALSCKEWFDI") == 0);
    wish.corrected = true;
    cr_assert(cif_read(content, &wish, &arena, &structure, &err) == STATUS_OK, "%s", err.text);
    const char *sequence = structure.chain[0].sequence;
    cr_assert(strlen(sequence) == 10 && strncmp(sequence, "GAL", 3) == 0 &&
                  strcmp(sequence + 4, "KEWFDI") == 0 && (sequence[3] == 'S' || sequence[3] == 'C'),
              "%s", sequence);
    for (int i = 0; i < structure.chain[0].length; i++) /* a letter's side chain has its atoms */
        for (int atom = 0; atom < ATOM37; atom++) {
            int type = residue_type(sequence[i]);
            bool possible = atom == 36; /* OXT */
            for (int k = 0; k < atom14_count[type]; k++)
                possible |= atom14_to_atom37[type][k] == atom;
            cr_assert(possible || !structure.chain[0].mask[i * ATOM37 + atom], "residue %d %c", i,
                      sequence[i]);
        }
}

static enum status fasta(const char *text, const char *chain)
{
    struct structure_wish wish = {.chain = span_of(chain)};
    return fasta_read(span_of(text), &wish, &arena, &structure, &err);
}

Test(corrected, fasta_records_are_chains_without_coordinates)
{
    cr_assert(fasta(">one first\nMKV\nla*\n\n>two\n A C\n", "") == STATUS_OK, "%s", err.text);
    cr_assert(structure.chain_count == 2);
    const struct structure_chain *one = &structure.chain[0], *two = &structure.chain[1];
    cr_assert(span_is(one->name, "one") && strcmp(one->sequence, "MKVLA") == 0 && one->length == 5);
    cr_assert(span_is(two->name, "two") && strcmp(two->sequence, "AC") == 0);
    cr_assert(!one->positions && !one->mask && one->resolved == 0 && one->residue_index[4] == 4);
    cr_assert(fasta(">one\nMKV\n>two\nAC\n", "two") == STATUS_OK && structure.chain_count == 1);
    cr_assert(strcmp(structure.chain[0].sequence, "AC") == 0);
    static const struct {
        const char *text, *chain, *word;
    } bad[] = {
        {"", "", "no sequences"},
        {"MKV\n", "", "line 1: text before"},
        {">\nMKV\n", "", "without a name"},
        {">a\n>b\nMK\n", "", "line 1: a has no letters"},
        {">a\nMK\n>a\nMK\n", "", "line 3: a second"},
        {">a\nM-K\n", "", "byte 0x2d"},
        {">a\nM*K\n", "", "byte 0x2a"},
        {">a\nMK\n", "b", "no sequence called b"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        cr_assert(fasta(bad[i].text, bad[i].chain) == STATUS_REFUSED &&
                      strstr(err.text, bad[i].word),
                  "%s: %s", bad[i].text, err.text);
}

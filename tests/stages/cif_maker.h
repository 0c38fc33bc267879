/* Small mmCIF texts: one chain, a CA atom a residue. */
#ifndef TESTS_STAGES_CIF_MAKER_H
#define TESTS_STAGES_CIF_MAKER_H

#include "engine/base/arena.h"

#include <criterion/criterion.h>
#include <string.h>

/* The chain's letters, its author name, its release date (NULL: none stands in the file). CA atoms
 * stand 3.8 Angstrom apart on a line. */
static inline char *cif_make(struct arena *arena, const char *letters, const char *chain,
                             const char *date)
{
    static const char *const codes =
        "ALAA ARGR ASNN ASPD CYSC GLNQ GLUE GLYG HISH ILEI LEUL LYSK METM PHEF PROP SERS THRT "
        "TRPW TYRY VALV ";
    const char *parts = "", *sequence = "", *atoms = "", *dates = "";
    for (const char *code = codes; *code; code += 5)
        parts = arena_printf(arena, "%s%.3s 'L-peptide linking'\n", parts, code);
    for (int i = 0; letters[i]; i++) {
        const char *code = codes;
        while (*code && code[3] != letters[i])
            code += 5;
        cr_assert(*code, "%c is no residue", letters[i]);
        sequence = arena_printf(arena, "%s1 %d %.3s\n", sequence, i + 1, code);
        atoms = arena_printf(arena, "%sATOM %d CA . %.3s A %d ? %.1f 0.0 0.0 1.00 10.0 %d %s 1\n",
                             atoms, i + 1, code, i + 1, 3.8 * i, i + 1, chain);
    }
    if (date)
        dates = arena_printf(arena,
                             "loop_\n_pdbx_audit_revision_history.ordinal\n"
                             "_pdbx_audit_revision_history.revision_date\n1 %s\n2 2039-01-01\n",
                             date);
    return arena_printf(
        arena,
        "data_TEST\n_entry.id TEST\nloop_\n_chem_comp.id\n_chem_comp.type\n%s"
        "loop_\n_entity_poly_seq.entity_id\n_entity_poly_seq.num\n_entity_poly_seq.mon_id\n%s"
        "loop_\n_struct_asym.id\n_struct_asym.entity_id\nA 1\n%s"
        "loop_\n_atom_site.group_PDB\n_atom_site.id\n_atom_site.label_atom_id\n"
        "_atom_site.label_alt_id\n_atom_site.label_comp_id\n_atom_site.label_asym_id\n"
        "_atom_site.label_seq_id\n_atom_site.pdbx_PDB_ins_code\n_atom_site.Cartn_x\n"
        "_atom_site.Cartn_y\n_atom_site.Cartn_z\n_atom_site.occupancy\n"
        "_atom_site.B_iso_or_equiv\n_atom_site.auth_seq_id\n_atom_site.auth_asym_id\n"
        "_atom_site.pdbx_PDB_model_num\n%s",
        parts, sequence, dates, atoms);
}

#endif

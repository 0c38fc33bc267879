/* Reads PDB files, which have two meanings. Experimental structures: insertion codes are residues
 * of their own, the resolution is that of REMARK 2. Predicted structures for self-distillation: B
 * factors are confidences (pLDDT), and residues of low confidence are masked, as in the AlphaFold 2
 * reference pipeline. PDB files hold no complete sequence, so L counts the residues that are there.
 */
#ifndef STAGES_BIO_PDB_H
#define STAGES_BIO_PDB_H

#include "stages/bio/structure.h"

enum pdb_source {
    /* The first model. A chain's residues are those with a CA atom that are ATOM records, or HETATM
     * records (selenomethionine and other modified residues) with N, CA and C that a peptide bond
     * (C-N below 2 A) joins, directly or through others, to an ATOM residue. So waters, ligands and
     * free amino acids are out. Letters come from the parent residue (MSE is M); MSE's SE is stored
     * as SD, and ARG's NH1 is the one nearer to CD, as for mmCIF. */
    PDB_EXPERIMENTAL,
    /* One model, no insertion codes. Every residue with an atom37 atom counts; names beyond the 20
     * standard ones are X; the mask of residues without any atom of B > 50 is 0. */
    PDB_DISTILLED,
};

/* The name of a chain whose id in the file is blank. */
#define PDB_BLANK_CHAIN "_"

/* Reads the text of one file. Errors, naming the line: STATUS_REFUSED for text that is no PDB file,
 * holds no residues of a chain, bad numbers or atoms that contradict each other, or has no chain
 * wish->chain; STATUS_LIMIT when arena has no room. */
enum status pdb_read(struct span content, enum pdb_source source, const struct structure_wish *wish,
                     struct arena *arena, struct structure *structure, struct error *err);

#endif

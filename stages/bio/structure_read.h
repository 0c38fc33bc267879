/* One door for structure files: mmCIF, PDB, or FASTA for sequences alone, told by what the text
 * begins with, not by its name.
 */
#ifndef STAGES_BIO_STRUCTURE_READ_H
#define STAGES_BIO_STRUCTURE_READ_H

#include "stages/bio/pdb.h"

/* Reads content; source says what PDB files mean. Status as cif_read, pdb_read and fasta_read. */
enum status structure_read(struct span content, enum pdb_source source,
                           const struct structure_wish *wish, struct arena *arena,
                           struct structure *structure, struct error *err);

#endif

/* Reads mmCIF files (wwPDB): chains with sequence and atom37 coordinates of the first model, as the
 * AlphaFold 2 reference pipeline does, value for value. Sequences come from entity_poly_seq, so
 * residues without coordinates are there too, with mask 0. Where an entity lists two monomers under
 * one number (micro-heterogeneity) both give a letter, as in the reference. */
#ifndef STAGES_BIO_CIF_H
#define STAGES_BIO_CIF_H

#include "stages/bio/structure.h"

/* Reads the text of one file. Texts in *structure may point into content. Rows of models after the
 * first are skipped unread. Errors, naming the line: STATUS_REFUSED for text that is no mmCIF, that
 * lacks an item, ends inside a table, has no protein chain or no atoms of one, holds atoms that
 * contradict each other, or has no chain wish->chain; STATUS_LIMIT when arena has no room. */
enum status cif_read(struct span content, const struct structure_wish *wish, struct arena *arena,
                     struct structure *structure, struct error *err);

#endif

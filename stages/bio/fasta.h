/* Reads FASTA files of protein sequences, for chains without a structure: each record is a chain
 * named by its first word, without coordinates. */
#ifndef STAGES_BIO_FASTA_H
#define STAGES_BIO_FASTA_H

#include "stages/bio/structure.h"

/* Reads the text of one file; letters in either case, blanks within lines and a '*' at the end are
 * taken. resolved is 0, positions and mask are NULL. STATUS_REFUSED, naming the line: text before
 * the first '>', a record without name or letters, a name twice, letters other than A to Z, no
 * record wish->chain; STATUS_LIMIT: no memory, or a chain of more than STRUCTURE_LENGTH_MAX. */
enum status fasta_read(struct span content, const struct structure_wish *wish, struct arena *arena,
                       struct structure *structure, struct error *err);

#endif

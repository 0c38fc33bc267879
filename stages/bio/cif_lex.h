/* Splits mmCIF text into values, one pass, no copies: lines, quotes, text fields and comments as
 * the AlphaFold 2 reference pipeline reads them (Biopython's MMCIF2Dict). Used by cif.c alone. */
#ifndef STAGES_BIO_CIF_LEX_H
#define STAGES_BIO_CIF_LEX_H

#include "engine/base/error.h"
#include "engine/base/text.h"

struct cif_lex {
    const char *at, *end;
    const char *line_end; /* of the line that at is in, without trailing blanks */
    int64_t line;         /* number of that line, from 1 */
};

void cif_lex_open(struct cif_lex *lex, struct span content);

/* The next value, keyword or item name. STATUS_EMPTY at the end of the text; STATUS_REFUSED for a
 * quote or a text field that does not end. */
enum status cif_lex_next(struct cif_lex *lex, struct span *token, struct error *err);

/* Skips whole lines that begin with ATOM or HETATM: for models after the first. Only between rows.
 */
void cif_lex_skip_atoms(struct cif_lex *lex);

#endif

/* One alignment for a whole family, seen from one of its chains: the chain's row goes first,
 * columns in which it has gaps become deletions of the other rows. */
#ifndef STAGES_BIO_FAMILY_H
#define STAGES_BIO_FAMILY_H

#include "stages/bio/alignment.h"

/* The columns of view are the chain's residues 0..length-1; its first row is sequence[length].
 *
 * The chain's row is the one called name or name.pdb (as superposition programs write it), else the
 * first whose letters without gaps are the sequence, else the first that fits it. A row fits when
 * its letters equal the sequence, where X on either side stands for any letter (modified residues),
 * or when the shorter of the two lies in just one place of the longer and makes up at least half of
 * it: residues beyond the row get columns with gaps in all other rows, letters of the row beyond
 * the residues are dropped like other columns. At least half of the letters must be equal without
 * X.
 *
 * STATUS_REFUSED when no row is found, or the named one does not fit (shows the first difference).
 */
enum status family_view(const struct alignment *family, struct span name, const char *sequence,
                        int length, struct arena *arena, struct alignment *view, struct error *err);

#endif

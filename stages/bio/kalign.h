/* Aligns two sequences with the program kalign (Debian package kalign), as a template_aligner. Its
 * result depends on its version: 3.3.5 gives those of the reference. */
#ifndef STAGES_BIO_KALIGN_H
#define STAGES_BIO_KALIGN_H

#include "engine/base/arena.h"
#include "engine/base/error.h"
#include "engine/base/text.h"

/* program: a const char *, the path of kalign. STATUS_REFUSED: it is not there, failed, or took
 * longer than a minute. */
enum status kalign_pair(void *program, struct span first, struct span second, struct arena *arena,
                        struct span *first_row, struct span *second_row, struct error *err);

#endif

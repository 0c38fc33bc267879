/* A sample of crop, or one of a batch of them, as the compact form that stages/bio works on. */
#ifndef STAGES_LEARN_VIEW_H
#define STAGES_LEARN_VIEW_H

#include "engine/sample.h"
#include "stages/bio/compact.h"

enum { VIEW_ALONE = -1 };

/* The fields of sample number b of a batch (VIEW_ALONE: of a sample that is in none), borrowed, and
 * checked by compact_check. STATUS_INVALID names what is missing, of another kind, or contradicts
 * itself. */
enum status view_open(const struct sample *sample, int64_t b, struct compact *compact,
                      struct error *err);

/* The other way: adds the fields of compact to sample, borrowed. STATUS_LIMIT: they are larger than
 * a sample may be. */
enum status view_put(const struct compact *compact, struct sample *sample, struct error *err);

#endif

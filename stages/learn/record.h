/* A record of the feature store as the arrays that crop works on. */
#ifndef STAGES_LEARN_RECORD_H
#define STAGES_LEARN_RECORD_H

#include "engine/sample.h"
#include "stages/bio/compact_write.h"

struct record {
    struct compact_chain chain;
    struct compact_templates templates; /* none: count 0 */
    uint32_t shuffled;                  /* leading candidates, which training permutes */
    struct msa_source source;
};

/* Borrows the fields of parse, msa and templates. What they say is checked, so that readers can
 * rely on it: STATUS_INVALID names what is missing or contradicts itself. Structure and templates
 * may be missing. */
enum status record_read(const struct sample *in, struct record *record, struct error *err);

/* The rows of the alignment that used[N] marks, in arena: `msa` is a lazy field, and record_read
 * looks at its sizes alone where it comes without data. Any other row must not be looked at then.
 * STATUS_INVALID: symbols that are none; else as sample_rows. */
enum status record_alignment(const struct sample *in, struct record *record, const uint8_t *used,
                             struct arena *arena, struct error *err);

/* The candidates picked[count] alone, in that order, in arena: their atoms are lazy fields, which
 * record_read leaves out (NULL). Status as sample_rows. */
enum status record_templates(const struct sample *in, const struct record *record,
                             const uint32_t *picked, uint32_t count, struct arena *arena,
                             struct compact_templates *templates, struct error *err);

#endif

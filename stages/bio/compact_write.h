/* Writes a sample in its compact form (compact.h), out of a chain, its templates and its alignment,
 * for choices that were made before: crop draws them, tests give recorded ones. Only what lies in
 * the crop is read, and the residue before it. */
#ifndef STAGES_BIO_COMPACT_WRITE_H
#define STAGES_BIO_COMPACT_WRITE_H

#include "stages/bio/compact.h"
#include "stages/bio/msa_summary.h"

/* The chain, L residues. Without structure: positions and mask are NULL. */
struct compact_chain {
    const uint8_t *aatype;        /* [L] 0..20 */
    const int32_t *residue_index; /* [L] */
    const float *positions;       /* [L,37,3] */
    const uint8_t *mask;          /* [L,37] */
    float resolution, is_distillation;
};

/* Candidates: T templates over the chain's L residues. */
struct compact_templates {
    uint32_t count, length;
    const uint8_t *sequence; /* [T,L] letters, '-' where unaligned */
    const float *positions;  /* [T,L,37,3] */
    const uint8_t *mask;     /* [T,L,37] */
    const float *sum_probs;  /* [T] */
};

/* The residues of the chain that the sample holds. */
struct compact_window {
    uint32_t start, width;
};

/* What is written of one sample. */
struct compact_writer {
    struct arena *arena;
    struct compact_window window;
    struct byte_list cells;
    struct deletion_list deletions, extra_deletions;
};

struct compact_sizes {
    uint32_t length, clusters, extra, templates, passes; /* K M E T P */
};

/* Bytes of such a sample without its lists; a double, so that no product is too large. */
double compact_bytes(const struct compact_sizes *sizes);

/* Makes *compact a sample of zeros in arena. window.width is at most sizes->length. False: no
 * memory. */
bool compact_begin(const struct compact_sizes *sizes, struct compact_window window, bool structure,
                   struct arena *arena, struct compact *compact, struct compact_writer *writer);

/* Residues, and where it has one the structure. */
void compact_put_chain(struct compact *compact, const struct compact_writer *writer,
                       const struct compact_chain *chain);

/* The candidates taken[count], in this order. STATUS_INVALID: a letter that is none. */
enum status compact_put_templates(struct compact *compact, const struct compact_writer *writer,
                                  const struct compact_templates *templates, const uint32_t *taken,
                                  uint32_t count, struct error *err);

/* A recycling pass; passes are written in order. assignment: of msa_assign. False: no memory, or
 * more than a sample may hold. */
bool compact_put_pass(struct compact *compact, struct compact_writer *writer, uint32_t pass,
                      const struct msa_source *source, const struct msa_choice *choice,
                      const uint32_t *assignment);

/* Ends the sample, after its last pass. */
void compact_end(struct compact *compact, const struct compact_writer *writer);

#endif

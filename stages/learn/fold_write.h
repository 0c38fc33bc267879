/* A predicted structure as a file: what viewers open. */
#ifndef STAGES_LEARN_FOLD_WRITE_H
#define STAGES_LEARN_FOLD_WRITE_H

#include "engine/base/error.h"
#include "engine/base/text.h"

#include <stdint.h>

/* Chain A of residues n < length with mask[n] > 0. */
struct fold {
    const char *name;      /* of the entry: letters, digits and _ . - */
    const char *remark;    /* one line */
    int64_t length;
    const float *mask;     /* [length] */
    const int32_t *aatype; /* [length], 0..20; X has no atoms */
    const int32_t *number; /* [length]: as the file shows it, less 1 */
    const float *atoms;    /* [length,14,3], Angstrom */
    const float *plddt;    /* [length], 0..100: the B-factor */
};

/* PDB. The file is there whole or not at all. STATUS_LIMIT: a number above 9999 or a place that the
 * format cannot hold. */
enum status fold_write_pdb(const char *path, const struct fold *fold, struct error *err);

/* mmCIF: one entity with its sequence, and its atoms; label_seq_id counts residues from 1,
 * auth_seq_id is the number. STATUS_LIMIT: a place is no number, or as far off as PDB forbids. */
enum status fold_write_cif(const char *path, const struct fold *fold, struct error *err);

#endif

/* A predicted structure as a PDB file: what viewers open. */
#ifndef STAGES_LEARN_FOLD_WRITE_H
#define STAGES_LEARN_FOLD_WRITE_H

#include "engine/base/error.h"
#include "engine/base/text.h"

#include <stdint.h>

/* Chain A of residues n < length with mask[n] > 0: aatype[length] 0..20, number[length] as the file
 * shows it less 1, atoms[length,14,3] in Angstrom (X has none), plddt[length] 0..100 as B-factor.
 * remark: one line. The file is there whole or not at all. STATUS_LIMIT: a number above 9999 or a
 * place that the format cannot hold. */
enum status fold_write(const char *path, const char *remark, int64_t length, const float *mask,
                       const int32_t *aatype, const int32_t *number, const float *atoms,
                       const float *plddt, struct error *err);

#endif

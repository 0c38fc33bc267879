/* One step of an ordered sink: the samples of its positions, in order, through the gather stage
 * into one. Training and replay both make steps here, which is why a replayed batch is the batch.
 */
#ifndef FOLDMILL_STEP_H
#define FOLDMILL_STEP_H

#include "engine/runner.h"

#include <stdint.h>

/* samples[count]: NULL where the position has weight 0. gather NULL: count is 1, *out is the sample
 * itself. *digest: XXH3-64 over the sample_digests in order, 0 for each position of weight 0.
 * STATUS_EMPTY: no sample at all; else the gather stage's. */
enum status step_make(struct runner *gather, const struct work *work,
                      const struct sample *const *samples, uint32_t count, struct sample *out,
                      uint64_t *digest, struct arena *arena, struct error *err);

/* The same of a rank's share, with the digest of each sample in digests[count], 0 where there is
 * none; and the digest of a step from those of all its samples. */
enum status step_share(struct runner *gather, const struct work *work,
                       const struct sample *const *samples, uint32_t count, struct sample *out,
                       uint64_t *digests, struct arena *arena, struct error *err);
uint64_t step_digest(const uint64_t *digests, uint32_t count);

#endif

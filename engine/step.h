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

#endif

/* A sample's fields as arrays that base/npz_write.h writes, for people who look at them with numpy.
 */
#ifndef FOLDMILL_SAMPLE_NPZ_H
#define FOLDMILL_SAMPLE_NPZ_H

#include "engine/base/npz_write.h"
#include "engine/sample.h"

/* arrays[i] becomes field i, borrowed; bf16 is widened to float32 in arena. STATUS_LIMIT: no
 * memory. */
enum status sample_arrays(const struct sample *sample, struct arena *arena,
                          struct npz_array arrays[SAMPLE_FIELDS_MAX], struct error *err);

/* Array i becomes a field of that name, copied into arena: the other way round (bf16 stays
 * float32). STATUS_INVALID: a type that samples do not have, with the one to convert to; what
 * sample_put refuses; STATUS_LIMIT. */
enum status sample_take_arrays(struct sample *sample, const struct npz_array *arrays, int count,
                               struct arena *arena, struct error *err);

#endif

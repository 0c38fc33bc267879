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

/* And back: adds the array to sample as a field of that kind, copied into arena; KIND_COUNT: of the
 * kind that its numbers have. STATUS_INVALID: numbers of a kind that samples do not have, or that
 * do not fit the kind that is wanted; STATUS_LIMIT. */
enum status sample_put_array(struct sample *sample, const struct npz_array *array, enum kind kind,
                             struct arena *arena, struct error *err);

/* All of arrays[count], each of the kind that its numbers have. */
enum status sample_take_arrays(struct sample *sample, const struct npz_array *arrays, int count,
                               struct arena *arena, struct error *err);

#endif

/* Writes .npy and .npz files (numpy arrays, format 1.0; members stored, not compressed), which
 * numpy and npz.h read: what `foldmill store export` makes. Equal arrays give equal bytes. */
#ifndef FOLDMILL_BASE_NPZ_WRITE_H
#define FOLDMILL_BASE_NPZ_WRITE_H

#include "engine/base/arena.h"
#include "engine/base/error.h"
#include "engine/base/npz.h"
#include "engine/base/text.h"

enum { NPZ_WRITE_MAX = 4096, NPZ_NAME_MAX = 255 }; /* arrays of a file; bytes of a name */

/* One array of numbers as a .npy file, in arena: array->count elements of array->item_bytes bytes
 * at array->data, row-major. STATUS_LIMIT: the arena has no room. */
enum status npy_pack(const struct npz_array *array, struct arena *arena, struct span *content,
                     struct error *err);

/* Arrays as a .npz file, in arena. Names are 1 to NPZ_NAME_MAX bytes, all different. STATUS_LIMIT:
 * more than NPZ_WRITE_MAX arrays, 4 GiB or more, or no room in the arena. */
enum status npz_pack(const struct npz_array *array, int count, struct arena *arena,
                     struct span *content, struct error *err);

#endif

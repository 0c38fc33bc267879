/* Reads .npz files: numpy arrays in a zip whose members are stored or deflated (numpy's savez and
 * savez_compressed). Used by tests for reference tensors and by the store's import. The file is
 * looked at in memory; members are found through the zip's directory and their texts and sizes
 * are checked against it and against the end of the file. Stored arrays are not copied; what is
 * unpacked or brought into C order is allocated once, at a size that the file can really hold. */
#ifndef FOLDMILL_BASE_NPZ_H
#define FOLDMILL_BASE_NPZ_H

#include "engine/base/arena.h"
#include "engine/base/error.h"
#include "engine/base/text.h"

enum { NPZ_RANK_MAX = 8 };

enum npz_kind {
    NPZ_BOOL,
    NPZ_I8,
    NPZ_U8,
    NPZ_I16,
    NPZ_U16,
    NPZ_I32,
    NPZ_U32,
    NPZ_I64,
    NPZ_U64,
    NPZ_F16,
    NPZ_F32,
    NPZ_F64,
    NPZ_BYTES,   /* texts of item_bytes bytes, filled up with zeros */
    NPZ_UNICODE, /* texts of item_bytes / 4 UCS-4 characters, filled up with zeros */
    NPZ_KIND_COUNT
};

struct npz_array {
    struct span name; /* without ".npy" */
    enum npz_kind kind;
    int rank; /* 0: a scalar */
    uint64_t size[NPZ_RANK_MAX];
    uint64_t count; /* of elements */
    size_t item_bytes; /* of one element */
    const void *data; /* little-endian, row-major, inside the file's memory; may be unaligned */
};

struct npz {
    struct npz_array *array;
    int count;
};

/* Finds the arrays in content, which must stay as long as npz; tables and what is unpacked come
 * from arena. Errors: STATUS_INVALID (no zip, encrypted members, big-endian, other types),
 * STATUS_CORRUPT (sizes that do not fit, broken deflate), STATUS_LIMIT (too many arrays or axes,
 * zip64, no memory in arena). */
enum status npz_parse(struct span content, struct arena *arena, struct npz *npz,
                      struct error *err);

/* One .npy file in memory, which must stay as long as array; its name is left as it is. Errors as
 * npz_parse. */
enum status npy_parse(struct span file, struct arena *arena, struct npz_array *array,
                      struct error *err);

/* The array of this name; NULL when there is none. */
const struct npz_array *npz_find(const struct npz *npz, const char *name);

#endif

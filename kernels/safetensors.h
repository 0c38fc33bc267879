/* Named tensors in one file, in the format safetensors, which every framework reads: u64 bytes of
 * the header (little-endian), the header as JSON ("__metadata__": notes, texts by key; and of each
 * tensor its dtype, shape and data_offsets), then the numbers, tensor after tensor. A file that is
 * written here has a note CHECKSUM_NOTE, 16 hexadecimal digits: XXH3 (64 bits) of the whole file
 * with 16 zeros in its place. */
#ifndef FOLDMILL_KERNELS_SAFETENSORS_H
#define FOLDMILL_KERNELS_SAFETENSORS_H

#include "engine/base/arena.h"
#include "engine/base/error.h"
#include "engine/base/text.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    SAFETENSORS_NAME_MAX = 160, /* of a tensor, a note's key or its text, with the NUL */
    SAFETENSORS_RANK_MAX = 4,
    SAFETENSORS_MAX = 100000,   /* tensors of a file */
    SAFETENSORS_NOTES_MAX = 32,
    SAFETENSORS_HEADER_MAX = 100 << 20
};

/* SAFETENSOR_OTHER: a dtype that nothing here computes with; its numbers can be skipped. */
enum safetensor_kind {
    SAFETENSOR_F32,
    SAFETENSOR_BF16,
    SAFETENSOR_F16,
    SAFETENSOR_U8,
    SAFETENSOR_OTHER
};

struct safetensor {
    const char *name;
    enum safetensor_kind kind;
    int rank;
    uint64_t dim[SAFETENSORS_RANK_MAX];
    const void *data;   /* of a file read: inside its memory; f32 aligned to 4. Of one that is
                         * written: NULL where struct safetensors' read gives them */
    size_t bytes;
};

struct safetensors_note {
    const char *key, *text;
};

/* Puts the bytes [offset, offset + bytes) of tensor number `at` into `to`. */
typedef void safetensors_read(void *user, int at, size_t offset, size_t bytes, void *to);

struct safetensors {
    struct safetensor *tensor;
    int count;
    struct safetensors_note note[SAFETENSORS_NOTES_MAX];
    int notes;
    bool checked; /* of a file read: it has a checksum, and that is right */
    safetensors_read *read; /* of a file that is written; may be NULL when all tensors have data */
    void *user;
};

/* Writes the file, whole or not at all (file.h), in pieces: it is never in memory. Tensors are
 * written in their order, which is that of their kinds, so that all are aligned. STATUS_LIMIT: a
 * name is too long or has characters that would need an escape, too many tensors or notes;
 * STATUS_FULL, STATUS_IO: of the disk. */
enum status safetensors_write(const struct safetensors *from, const char *path, struct error *err);

/* The other way; content is aligned to 8, names and tables come from arena. STATUS_INVALID: not
 * such a file, or one that contradicts itself; STATUS_CORRUPT: cut off, or the checksum is wrong;
 * STATUS_LIMIT. */
enum status safetensors_parse(struct span content, struct arena *arena, struct safetensors *to,
                              struct error *err);

/* count numbers of a tensor of f32, bf16 or f16, as floats. */
void safetensors_floats(const struct safetensor *t, float *values, uint64_t count);

/* The tensor of this name, the note's text; NULL when there is none. */
const struct safetensor *safetensors_find(const struct safetensors *s, const char *name);
const char *safetensors_note(const struct safetensors *s, const char *key);

#endif

/* Checkpoints: named tensors and a small opaque state (where the run's sink stands) in one file
 * that is there whole or not at all. A file is <folder>/step-<12 digits>.ckpt:
 *
 *   head    64 bytes: "FOLDCKPT", u32 version, u32 tensors, u64 step, u64 updates, u64 state
 *           bytes, u64 state checksum, u64 file bytes, u64 checksum of the head before it and of
 *           the table
 *   table   192 bytes a tensor: char name[112] (NUL-padded), u32 kind (0 = f32), u32 rank,
 *           u64 sizes[4], u64 offset, u64 bytes, u64 checksum, u64 zero, u64 zero
 *   state, then the tensors' numbers, each on a multiple of 64 bytes
 *
 * All integers little-endian; checksums are XXH3 (64 bits). A file is read whole and every
 * checksum is verified before anything of it is used. */
#ifndef FOLDMILL_KERNELS_CHECKPOINT_H
#define FOLDMILL_KERNELS_CHECKPOINT_H

#include "engine/base/arena.h"
#include "engine/base/error.h"
#include "engine/base/text.h"

#include <stddef.h>
#include <stdint.h>

enum {
    CHECKPOINT_VERSION = 1,
    CHECKPOINT_NAME_MAX = 112, /* with its NUL */
    CHECKPOINT_RANK_MAX = 4,
    CHECKPOINT_TENSORS_MAX = 100000,
    CHECKPOINT_STATE_MAX = 64 << 20,
    CHECKPOINT_KEPT = 3 /* files that stay in a folder */
};

struct checkpoint_tensor {
    const char *name;
    int rank;
    uint64_t dim[CHECKPOINT_RANK_MAX];
    const float *data; /* in a file read: inside its memory, aligned to 64 */
};

struct checkpoint {
    uint64_t step, updates;
    struct span state;
    struct checkpoint_tensor *tensor;
    int count;
};

/* Writes the checkpoint of c->step into folder (made when it is not there) by way of a temporary
 * file, then removes all but the newest CHECKPOINT_KEPT. A checkpoint of the same step is replaced.
 * STATUS_IO, STATUS_FULL: the folder is as before. STATUS_LIMIT: a name or the state is too
 * long. */
enum status checkpoint_write(const char *folder, const struct checkpoint *c, struct error *err);

/* The file in memory (aligned to 64) -> c, whose tables come from arena and whose data lie in
 * content. STATUS_INVALID: not a checkpoint, or of another version; STATUS_CORRUPT: truncated or a
 * checksum is wrong; STATUS_LIMIT. */
enum status checkpoint_parse(struct span content, struct arena *arena, struct checkpoint *c,
                             struct error *err);

/* Reads one file; content in arena. */
enum status checkpoint_read(const char *path, struct arena *arena, struct checkpoint *c,
                            struct error *err);

/* Reads the newest readable checkpoint of folder; those that are damaged are passed over with a
 * warning in the log. STATUS_MISS: the folder holds none, or is not there. STATUS_CORRUPT: it holds
 * some, all damaged (err tells of the newest). */
enum status checkpoint_read_newest(const char *folder, struct arena *arena, struct checkpoint *c,
                                   struct error *err);

/* Steps of the checkpoints in folder, newest first, at most max; their number. */
int checkpoint_list(const char *folder, uint64_t *steps, int max);

/* "<folder>/step-<12 digits>.ckpt" into path. */
void checkpoint_path(const char *folder, uint64_t step, char *path, size_t path_bytes);

/* The tensor of this name; NULL when there is none. */
const struct checkpoint_tensor *checkpoint_find(const struct checkpoint *c, const char *name);

#endif

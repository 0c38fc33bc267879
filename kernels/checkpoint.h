/* Checkpoints: named tensors and a small opaque state (where the run's sink stands) in one file
 * that is there whole or not at all, <folder>/step-<12 digits>.safetensors. Its notes (see
 * safetensors.h) are format, version, step, updates and start, its last tensor is "state". A file
 * is read whole and its checksum is verified before anything of it is used. */
#ifndef FOLDMILL_KERNELS_CHECKPOINT_H
#define FOLDMILL_KERNELS_CHECKPOINT_H

#include "kernels/safetensors.h"

#define CHECKPOINT_FORMAT "foldmill checkpoint" /* the note "format" of its files */

enum {
    CHECKPOINT_VERSION = 2,
    CHECKPOINT_STATE_MAX = 64 << 20,
    CHECKPOINT_KEPT = 3 /* files that stay in a folder */
};

struct checkpoint {
    uint64_t step, updates;
    const char *start; /* note: where the first weights came from; NULL: from the seed */
    struct span state;
    struct safetensor *tensor; /* f32, but for none of them named "state" */
    int count;
    safetensors_read *read; /* of one that is written: gives the numbers of tensors without data */
    void *user;
};

/* Writes the checkpoint of c->step into folder (made when it is not there) by way of a temporary
 * file, then removes all but the newest CHECKPOINT_KEPT. A checkpoint of the same step is replaced.
 * STATUS_IO, STATUS_FULL: the folder is as before. STATUS_LIMIT: a name or the state is too
 * long. */
enum status checkpoint_write(const char *folder, const struct checkpoint *c, struct error *err);

/* The file in memory (aligned to 8) -> c, whose tables come from arena and whose data lie in
 * content. STATUS_INVALID: not a checkpoint, or of another version; STATUS_CORRUPT: truncated or
 * the checksum is wrong; STATUS_LIMIT. */
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

/* "<folder>/step-<12 digits>.safetensors" into path. */
void checkpoint_path(const char *folder, uint64_t step, char *path, size_t path_bytes);

/* The tensor of this name; NULL when there is none. */
const struct safetensor *checkpoint_find(const struct checkpoint *c, const char *name);

#endif

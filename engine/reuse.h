/* What need not be made again: before a stage of a fill line runs, its worker looks into the store
 * that the line fills for a record of the same input whose recipe is unchanged up to that stage's
 * output, and takes the stage's fields from there. So a changed template date redoes templates and
 * what stands below them, nothing else. */
#ifndef FOLDMILL_REUSE_H
#define FOLDMILL_REUSE_H

#include "engine/graph.h"
#include "engine/recipe.h"
#include "engine/store.h"

enum { REUSE_RECIPES_MAX = 8 }; /* that are kept read */

struct reuse {
    const char *path; /* of the store */
    uint64_t recipe;  /* of what leaves the stage */
    struct store *store;
    bool given_up;       /* the store cannot be read: told once, then everything is made */
    struct arena arena;  /* of the recipes */
    struct reuse_known { /* recipes that were looked at */
        uint64_t recipe;
        const char *const *fields; /* of the record that are this stage's; NULL: none can be used */
    } known[REUSE_RECIPES_MAX];
    int known_count;
};

/* For stage number `stage` of line number `line`, in arena, which must live as long; nothing is
 * opened yet. NULL when the line does not end in a store, or the stage is not STAGE_PASS: what it
 * makes may then be all there is, and fields from above would be missed. */
struct reuse *reuse_open(const struct graph *graph, int line, int stage, struct arena *arena);
void reuse_close(struct reuse *reuse);

/* The fields that the stage would make of in, in *out (with in's key). false: they are not there
 * (or reuse is NULL), and the stage has to run. */
bool reuse_find(struct reuse *reuse, const struct sample *in, struct sample *out,
                struct arena *arena);

#endif

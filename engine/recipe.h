/* What stands behind a recipe's hash: the stages above a store, a line of text each, from the
 * source down. Kept in the store under the hash, so that `foldmill store explain` can say what has
 * changed since a record was made, and a fill line can take from it what has not.
 *
 *     HASH NAME KIND VERSION pass|makes FIELDS {SETTINGS}
 *
 * HASH (16 hexadecimal digits) is the recipe of what leaves this stage; pass: what comes in goes
 * on with FIELDS (by commas; "-": none named) put in or replaced; makes: FIELDS may be all there
 * is. */
#ifndef FOLDMILL_RECIPE_H
#define FOLDMILL_RECIPE_H

#include "engine/base/arena.h"
#include "engine/base/error.h"
#include "engine/base/text.h"
#include "engine/graph.h"

enum { RECIPE_STAGES_MAX = 64 };

struct recipe_stage {
    uint64_t recipe;
    struct span name, kind, fields, settings; /* settings with their braces */
    int64_t version;
    bool passes;
};

struct recipe {
    int count;
    struct recipe_stage stages[RECIPE_STAGES_MAX];
};

/* The text of the recipe of what line makes (for a line that reads a store: with the line that
 * fills it in front), in arena. */
const char *recipe_text(const struct graph *graph, const struct graph_line *line,
                        struct arena *arena);

/* Reads such a text; spans point into it. STATUS_INVALID. */
enum status recipe_read(struct span text, struct recipe *recipe, struct error *err);

/* The number of the stage with this hash, or -1. */
int recipe_find(const struct recipe *recipe, uint64_t hash);

/* Does a comma-separated list of fields hold name? */
bool recipe_names(struct span fields, struct span name);

/* Takes the next "name: value" off settings "{...}" or what is left of them; false at the end. */
bool recipe_setting(struct span *settings, struct span *name, struct span *value);

/* The fields of a record of this recipe that are just what stage number `stage` gave: names in
 * arena, ended by NULL. NULL: that cannot be told, since the stage or a later one does not say
 * what it makes, or one of the later ones makes the same. */
const char *const *recipe_fields(const struct recipe *recipe, int stage, struct arena *arena);

#endif

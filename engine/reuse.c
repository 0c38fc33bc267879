/* Taking from the store what need not be made again; see reuse.h. */
#include "engine/reuse.h"

#include "engine/base/log.h"

#include <string.h>

struct reuse *reuse_open(const struct graph *graph, int line, int stage, struct arena *arena)
{
    const struct graph_stage *sink = &graph->stages[graph->lines[line].sink];
    if (!(sink->kind->flags & STAGE_STORE) || !(graph->stages[stage].kind->flags & STAGE_PASS))
        return NULL;
    struct reuse *reuse = arena_zero(arena, 1, sizeof *reuse);
    reuse->path = graph_store_path(sink);
    reuse->recipe = graph->stages[stage].recipe;
    arena_open(&reuse->arena, 0);
    return reuse;
}

void reuse_close(struct reuse *reuse)
{
    if (!reuse)
        return;
    store_close(reuse->store);
    reuse->store = NULL;
    arena_close(&reuse->arena);
}

/* Which fields of a record by that recipe are this stage's. */
static const char *const *look_up(struct reuse *reuse, uint64_t hash)
{
    for (int i = 0; i < reuse->known_count; i++)
        if (reuse->known[i].recipe == hash)
            return reuse->known[i].fields;
    if (reuse->known_count == REUSE_RECIPES_MAX) { /* a store filled in many ways: begin anew */
        arena_reset(&reuse->arena);
        reuse->known_count = 0;
    }
    struct recipe recipe;
    struct span text;
    const char *const *fields = NULL;
    if (store_recipe(reuse->store, hash, &reuse->arena, &text, NULL) == STATUS_OK &&
        recipe_read(text, &recipe, NULL) == STATUS_OK) {
        int stage = recipe_find(&recipe, reuse->recipe);
        if (stage >= 0)
            fields = recipe_fields(&recipe, stage, &reuse->arena);
    }
    reuse->known[reuse->known_count++] = (struct reuse_known){hash, fields};
    return fields;
}

static bool open_store(struct reuse *reuse)
{
    struct error err;
    if (reuse->store)
        return true;
    enum status status = store_open_reader(reuse->path, &reuse->store, &err);
    if (status != STATUS_OK && status != STATUS_MISS) {
        log_warn("nothing can be taken from the store: %s", err.text);
        reuse->given_up = true;
    }
    if (status != STATUS_OK)
        reuse->store = NULL;
    return reuse->store != NULL;
}

bool reuse_find(struct reuse *reuse, const struct sample *in, struct sample *out,
                struct arena *arena)
{
    struct store_entry entry;
    struct error err;
    if (!reuse || reuse->given_up || !open_store(reuse) ||
        store_find(reuse->store, in->key, &entry, NULL) != STATUS_OK || entry.refused ||
        entry.made.input == 0 || entry.made.input != store_made(0, in).input)
        return false;
    const char *const *fields = look_up(reuse, entry.made.recipe);
    if (!fields)
        return false;
    enum status status = store_get(reuse->store, in->key, fields, &entry.made, arena, out, &err);
    if (status == STATUS_CORRUPT)
        log_warn("made again: %s", err.text);
    return status == STATUS_OK;
}

/* Fuzzes the texts that come with records: the card of an exported one, and a recipe with its
 * settings, of which every part is looked at. */
#include "engine/recipe.h"
#include "engine/store_card.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_recipe(struct span text)
{
    static struct recipe recipe;
    struct arena arena;
    struct error err;
    if (recipe_read(text, &recipe, &err) != STATUS_OK)
        return;
    arena_open(&arena, 0);
    ASSERT_INT(recipe.count, <=, RECIPE_STAGES_MAX);
    for (int i = 0; i < recipe.count; i++) {
        struct span rest = recipe.stages[i].settings, name, value, before = rest;
        while (recipe_setting(&rest, &name, &value)) {
            ASSERT(rest.size < before.size);
            before = rest;
        }
        ASSERT(recipe_find(&recipe, recipe.stages[i].recipe) <= i);
        const char *const *fields = recipe_fields(&recipe, i, &arena);
        for (int k = 0; fields && fields[k]; k++)
            ASSERT(recipe_names(recipe.stages[i].fields, span_of(fields[k])));
    }
    arena_close(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct store_card card;
    struct span text = {(const char *)data, size};
    struct error err;
    if (store_card_read(text, &card, &err) == STATUS_OK) {
        struct sample sample;
        ASSERT(sample_open(&sample, span_of(card.key), NULL) == STATUS_OK);
        try_recipe(card.recipe);
    }
    try_recipe(text);
    return 0;
}

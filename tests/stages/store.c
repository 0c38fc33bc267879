/* The stage `store`: settings from a graph's text, samples in, records out, and the store that it
 * lends the engine. */
#include "engine/params.h"
#include "engine/store.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static double reported_records;

static void report(struct stage_context *context, const char *name, double value)
{
    (void)context;
    if (strcmp(name, "records") == 0)
        reported_records = value;
}

/* The stage's state, filled from settings as a graph has them. */
static void *state_make(struct arena *arena, const char *settings)
{
    static struct complaints complaints;
    const struct stage *stage = stage_find(SPAN("store"));
    struct source_text source = {.name = "graph.yaml", .text = span_of(settings)};
    struct param_roots roots = {"/tmp", NULL};
    cr_assert(stage && stage->abi == STAGE_ABI);
    complaints_open(&complaints, arena);
    void *state = arena_zero(arena, 1, stage->state_size);
    params_fill(stage->params, state, yaml_parse(&source, arena, &complaints), &roots,
                (struct place){&source, 1, 1, 1}, arena, &complaints);
    if (complaints.count)
        complaints_print(&complaints, stderr);
    cr_assert(complaints.count == 0);
    return state;
}

Test(store_stage, keeps_samples_and_lends_its_store)
{
    const struct stage *stage = stage_find(SPAN("store"));
    char folder[] = "/tmp/foldmill_stage_XXXXXX", settings[200], file[200];
    struct arena arena;
    struct error err;
    struct sample sample, back;
    struct store_entry entry;
    struct work work = {0};
    arena_open(&arena, 0);
    cr_assert(mkdtemp(folder));
    snprintf(settings, sizeof settings, "{path: %s/features, compression: lz4hc, size_max: 1GiB}",
             folder);
    void *state = state_make(&arena, settings);
    struct stage_context context = {.name = "store", .recipe = 77, .report = report,
                                    .recipe_text = "scan 1, parse 1", .arena = &arena};
    cr_assert(stage->open(state, &context, &err) == STATUS_OK, "%s", err.text);
    cr_assert(sample_open(&sample, SPAN("1ldh_A"), &err) == STATUS_OK);
    sample_add_1(&sample, &arena, "aatype", KIND_U8, 30);
    sample_add_2(&sample, &arena, "msa", KIND_U8, 5, 30);
    sample_add_text(&sample, &arena, "split", SPAN("held_out"));
    sample_add_text(&sample, &arena, "input_digest", SPAN("00112233445566778899aabbccddeeff"));
    cr_assert(stage->feed(state, &work, &sample, NULL, &arena, &err) == STATUS_OK, "%s", err.text);
    struct store *store = stage->store(state);
    struct store_made made = store_made(77, &sample);
    cr_assert(!store_has(store, "1ldh_A", made), "not before drain");
    cr_assert(stage->drain(state, &work, NULL, &arena, &err) == STATUS_OK, "%s", err.text);
    cr_assert(reported_records == 1 && store_has(store, "1ldh_A", made));
    cr_assert(store_find(store, "1ldh_A", &entry, &err) == STATUS_OK);
    cr_assert(entry.length == 30 && entry.rows == 5 && strcmp(entry.split, "held_out") == 0);
    cr_assert(store_get(store, "1ldh_A", NULL, &made, &arena, &back, &err) == STATUS_OK);
    cr_assert(sample_digest(&back) == sample_digest(&sample));
    stage->close(state);

    context.replay = true;
    cr_assert(stage->open(state_make(&arena, settings), &context, &err) == STATUS_INVALID);
    static const char *const files[] = {"data.mdb", "lock.mdb", "writer.lock"};
    for (int i = 0; i < 3; i++) {
        snprintf(file, sizeof file, "%s/features/%s", folder, files[i]);
        cr_assert(unlink(file) == 0);
    }
    snprintf(file, sizeof file, "%s/features", folder);
    cr_assert(rmdir(file) == 0 && rmdir(folder) == 0);
    arena_close(&arena);
}

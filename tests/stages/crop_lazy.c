/* Out of a store the rows of an alignment are read as the passes need them: what is made is the
 * same as from a whole record, whatever the settings, and only rows that are used are looked at. */
#include "tests/stages/crops.h"

#include "engine/port.h"
#include "engine/store.h"

#include <stdio.h>

extern const struct stage stage_crop;

enum { ROWS = 1700, LENGTH = 150 }; /* four chunks */

static struct arena arena;
static struct error err;
static char folder[] = "/tmp/foldmill_crop_lazy_XXXXXX";
static struct store *store;
static struct port_table ports;
static struct stage_context context = {.name = "crop"};

static void begin(void)
{
    arena_open(&arena, 0);
    cr_assert(mkdtemp(folder));
    cr_assert(port_open(&stage_crop.in, &ports, &err) == STATUS_OK, "%s", err.text);
    cr_assert(store_open_writer(folder, NULL, &store, &err) == STATUS_OK, "%s", err.text);
}

static void end(void)
{
    char command[100];
    store_close(store);
    snprintf(command, sizeof command, "rm -r %s", folder);
    cr_assert(system(command) == 0);
    arena_close(&arena);
}

TestSuite(crop_lazy, .init = begin, .fini = end);

/* The chain as it comes out of the store. */
static void store_through(struct sample *chain, struct sample *lazy)
{
    struct store_note note = {0};
    cr_assert(store_put(store, chain, &note, &err) == STATUS_OK, "%s", err.text);
    cr_assert(store_commit(store, &err) == STATUS_OK, "%s", err.text);
    cr_assert(store_get_lazy(store, chain->key, ports.lazy, NULL, &arena, lazy, &err) == STATUS_OK,
              "%s", err.text);
    cr_assert(!sample_find(lazy, "msa")->data && sample_find(lazy, "deletion_start")->data);
}

Test(crop_lazy, the_same_samples_as_from_whole_records)
{
    static const char *const settings[] = {
        "{mode: train, length: 64, clusters: 16, extra: 40}",
        "{mode: train, length: 64, clusters: 16, extra: 40, block_delete: false}",
        "{mode: train, length: 64, clusters: 16, extra: 40, blocks: 20}",
        "{mode: train, length: 64, clusters: 16, extra: 40, rows_limit: 90}",
        "{mode: train, length: 64, clusters: 16, extra: 40, distillation_rows: 100}",
        "{mode: eval, length: 64, clusters: 16, extra: 40}",
        "{mode: predict, clusters: 5, extra: 0, rows_limit: 3}",
    };
    for (int distilled = 0; distilled < 2; distilled++) {
        struct sample chain, lazy, out, other;
        chain_make(&chain, &arena, distilled ? "predicted" : "solved", 7, ROWS, LENGTH, 0);
        *(float *)field_data(&chain, "is_distillation") = (float)distilled;
        store_through(&chain, &lazy);
        for (size_t s = 0; s < sizeof settings / sizeof *settings; s++) {
            void *state = stage_state(&stage_crop, settings[s], &context, &arena);
            for (uint32_t position = 0; position < 8; position++) {
                struct work work = {.seed = 3, .position = position, .recycles = position % 4};
                stage_feed(&stage_crop, state, &work, &chain, &out, &arena);
                stage_feed(&stage_crop, state, &work, &lazy, &other, &arena);
                cr_assert(sample_digest(&out) == sample_digest(&other), "%s, position %u",
                          settings[s], position);
            }
        }
    }
}

Test(crop_lazy, symbols_are_checked_where_they_are_used)
{
    struct sample chain, lazy, out;
    struct work work = {.seed = 1};
    chain_make(&chain, &arena, "wrong", 7, ROWS, LENGTH, 0);
    ((uint8_t *)field_data(&chain, "msa"))[(ROWS - 1) * LENGTH + 3] = 29;
    store_through(&chain, &lazy);
    const struct sample *const both[] = {&chain, &lazy};
    void *eval = stage_state(&stage_crop, "{mode: eval, clusters: 4, extra: 4}", &context, &arena);
    void *some = stage_state(&stage_crop, "{length: 20, clusters: 4, extra: 4, rows_limit: 2}",
                             &context, &arena);
    for (int i = 0; i < 2; i++) {
        int refused = 0;
        cr_assert(sample_open(&out, SPAN("wrong"), &err) == STATUS_OK);
        cr_assert(stage_crop.feed(eval, &work, both[i], &out, &arena, &err) == STATUS_INVALID &&
                      strstr(err.text, "alignment contradicts itself"),
                  "%s", err.text);
        for (work.position = 0; work.position < 20; work.position++) {
            cr_assert(sample_open(&out, SPAN("wrong"), &err) == STATUS_OK);
            refused += stage_crop.feed(some, &work, both[i], &out, &arena, &err) != STATUS_OK;
        }
        cr_assert(refused <= 1, "%d of 20 samples of two rows held the last of %d", refused, ROWS);
    }
}

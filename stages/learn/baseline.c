/* Fits what evaluation compares with; see baseline.h. */
#include "stages/learn/baseline.h"

#include "engine/store.h"
#include "stages/bio/geometry.h"

#include <math.h>
#include <string.h>

enum { SEPARATION_MAX = 4096 };

enum status baseline_fit(struct baseline *baseline, const char *store_path, struct arena *process,
                         struct error *err)
{
    static const char *const fields[] = {"aatype", "all_atom_positions", "all_atom_mask",
                                         "hhblits_profile", NULL};
    struct arena arena;
    struct store *store;
    struct store_walk walk;
    const struct store_entry *entry;
    double entropy = 0;
    int64_t held_out = 0, train = 0;
    enum status status = store_open_reader(store_path, &store, err);
    if (status != STATUS_OK)
        return status;
    arena_open(&arena, 0);
    status = store_walk_open(&walk, store, process, err);
    separation_open(&baseline->separation, SEPARATION_MAX, process);
    while (status == STATUS_OK && (status = store_next(&walk, &entry, err)) == STATUS_OK) {
        struct sample sample;
        if (entry->refused)
            continue;
        arena_reset(&arena);
        if (store_get(store, entry->key, fields, NULL, &arena, &sample, err) != STATUS_OK)
            continue;
        const struct field *aatype = sample_find(&sample, "aatype");
        const struct field *xyz = sample_find(&sample, "all_atom_positions");
        const struct field *mask = sample_find(&sample, "all_atom_mask");
        const struct field *profile = sample_find(&sample, "hhblits_profile");
        if (!aatype || !xyz || !mask || !profile)
            continue;
        int length = (int)aatype->size[0];
        if (strcmp(entry->split, "train") == 0) {
            float *beta = arena_alloc(&arena, (size_t)length * 3 * sizeof *beta);
            float *beta_mask = arena_alloc(&arena, (size_t)length * sizeof *beta_mask);
            geometry_pseudo_beta(
                &(struct geometry_chain){.aatype = aatype->data, .positions = xyz->data,
                                         .mask = mask->data, .count = length}, beta, beta_mask);
            separation_add(&baseline->separation, length, beta, beta_mask);
            nearest_add(&baseline->nearest, entry->key, length, aatype->data, xyz->data, mask->data,
                        process);
            train++;
        } else {
            entropy += profile_entropy(profile->data, length, (int)profile->size[1]);
            held_out++;
        }
    }
    arena_close(&arena);
    store_close(store);
    if (status != STATUS_EMPTY)
        return status;
    baseline->known = train > 0;
    baseline->entropy = held_out ? entropy / (double)held_out : (double)NAN;
    return STATUS_OK;
}

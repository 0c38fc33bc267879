/* foldmill store diff: two stores side by side, in order of their keys: what only one holds, and
 * which fields of the others differ. */
#include "engine/command.h"
#include "engine/command/store.h"

#include <inttypes.h>
#include <string.h>

struct side {
    struct store *store;
    struct store_walk walk;
    struct arena lists, arena;
    const struct store_entry *entry; /* NULL: at its end */
    uint64_t only;
};

/* The next entry that can be read; damaged ones are told. */
static enum status advance(struct side *side, uint64_t *damaged, struct error *err)
{
    enum status status;
    while ((status = store_next(&side->walk, &side->entry, err)) == STATUS_CORRUPT) {
        store_complain(err);
        (*damaged)++;
    }
    if (status != STATUS_OK)
        side->entry = NULL;
    return status == STATUS_EMPTY ? STATUS_OK : status;
}

static void print_fields(const struct sample *a, const struct sample *b)
{
    const char *between = ": ";
    for (int i = 0; i < a->field_count; i++) {
        const struct field *was = &a->fields[i], *is = sample_find(b, was->name);
        char shape[160], other[160];
        if (!is)
            printf("%s%s only in the first", between, was->name);
        else if (strcmp(store_shape(was, shape, sizeof shape),
                        store_shape(is, other, sizeof other)) != 0)
            printf("%s%s %s and %s", between, was->name, shape, other);
        else if (field_bytes(was) && memcmp(was->data, is->data, field_bytes(was)) != 0)
            printf("%s%s", between, was->name);
        else
            continue;
        between = ", ";
    }
    for (int i = 0; i < b->field_count; i++)
        if (!sample_find(a, b->fields[i].name)) {
            printf("%s%s only in the second", between, b->fields[i].name);
            between = ", ";
        }
    if (between[0] == ':')
        printf(": the order of the fields");
    putchar('\n');
}

/* Same key, two records; true: they hold the same. Equal digests of records say so at once; other
 * ones may come of other packing. */
static enum status compare(struct side *a, struct side *b, bool *same, struct error *err)
{
    struct sample first, second;
    *same = a->entry->digest == b->entry->digest;
    if (*same)
        return STATUS_OK;
    arena_reset(&a->arena);
    arena_reset(&b->arena);
    enum status status = store_get(a->store, a->entry->key, NULL, NULL, &a->arena, &first, err);
    if (status == STATUS_OK)
        status = store_get(b->store, b->entry->key, NULL, NULL, &b->arena, &second, err);
    if (status != STATUS_OK)
        return status;
    *same = sample_digest(&first) == sample_digest(&second);
    if (!*same) {
        printf("differ   %s", a->entry->key);
        print_fields(&first, &second);
    }
    return STATUS_OK;
}

/* One step of both walks; counts what differs. */
static enum status step(struct side *a, struct side *b, uint64_t *differ, uint64_t *same,
                        uint64_t *damaged, struct error *err)
{
    int order = !a->entry ? 1 : !b->entry ? -1 : strcmp(a->entry->key, b->entry->key);
    bool equal = false;
    enum status status = STATUS_OK;
    store_progress(NULL);
    if (order != 0) {
        struct side *side = order < 0 ? a : b;
        printf("%s %s%s\n", order < 0 ? "only 1st" : "only 2nd", side->entry->key,
               side->entry->refused ? " (refused)" : "");
        side->only++;
        return advance(side, damaged, err);
    }
    if (a->entry->refused != b->entry->refused)
        printf("differ   %s: refused in the %s: %s\n", a->entry->key,
               a->entry->refused ? "first" : "second",
               a->entry->refused ? a->entry->reason : b->entry->reason);
    else if (a->entry->refused && !(equal = strcmp(a->entry->reason, b->entry->reason) == 0))
        printf("differ   %s: refused for other reasons: %s / %s\n", a->entry->key,
               a->entry->reason, b->entry->reason);
    else if (!a->entry->refused)
        status = compare(a, b, &equal, err);
    if (status == STATUS_CORRUPT) { /* of this record alone */
        store_complain(err);
        (*damaged)++;
        status = STATUS_OK;
    } else {
        *(equal ? same : differ) += 1;
    }
    if (status == STATUS_OK)
        status = advance(a, damaged, err);
    return status == STATUS_OK ? advance(b, damaged, err) : status;
}

int store_diff(struct store *store, int argc, char **argv)
{
    static struct side a, b;
    struct error err;
    uint64_t differ = 0, same = 0, damaged = 0;
    if (!command_rest(&command_store, argc, argv, 1, 1))
        return EXIT_USAGE;
    a.store = store;
    if (store_open_reader(argv[1], &b.store, &err) != STATUS_OK)
        return store_complain(&err);
    enum status status = STATUS_OK;
    for (int i = 0; i < 2; i++) {
        struct side *side = i ? &b : &a;
        arena_open(&side->lists, 0);
        arena_open(&side->arena, 0);
        if (status == STATUS_OK)
            status = store_walk_open(&side->walk, side->store, &side->lists, &err);
        if (status == STATUS_OK)
            status = advance(side, &damaged, &err);
    }
    while (status == STATUS_OK && (a.entry || b.entry))
        status = step(&a, &b, &differ, &same, &damaged, &err);
    uint64_t only = a.only + b.only;
    printf("%" PRIu64 " the same, %" PRIu64 " differ, %" PRIu64 " only in the first, %" PRIu64
           " only in the second\n", same, differ, a.only, b.only);
    store_close(b.store);
    arena_close(&a.lists), arena_close(&a.arena);
    arena_close(&b.lists), arena_close(&b.arena);
    if (status != STATUS_OK)
        return store_complain(&err);
    return only + differ + damaged ? EXIT_FAILED : EXIT_GOOD;
}

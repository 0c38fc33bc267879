/* What every stage must keep, checked for all that are registered without anyone writing it: its
 * table, its ports, its flags and its callbacks fit together. */
#include "engine/params.h"
#include "engine/port.h"

#include <criterion/criterion.h>
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#define DOUBLE_EXACT 9007199254740992.0 /* 2^53 */

enum { NAME_MAX_BYTES = 47, SUMMARY_MAX = 100, ROWS_MAX = 128 };

static size_t member_size(enum param_type type)
{
    switch (type) {
    case PARAM_BOOL:
        return sizeof(bool);
    case PARAM_INT:
    case PARAM_DURATION:
        return sizeof(int64_t);
    case PARAM_FLOAT:
        return sizeof(double);
    case PARAM_TEXT:
    case PARAM_PATH:
        return sizeof(const char *);
    case PARAM_CHOICE:
        return sizeof(int);
    case PARAM_BYTES:
        return sizeof(uint64_t);
    case PARAM_PATHS:
        return sizeof(struct param_paths);
    }
    return 0;
}

static const struct param *row_named(const struct stage *stage, const char *name)
{
    for (const struct param *row = stage->params; row && row->name; row++)
        if (strcmp(row->name, name) == 0)
            return row;
    return NULL;
}

static void row_check(const struct stage *stage, const struct param *row)
{
    const char *where = stage->name;
    size_t help = row->help ? strlen(row->help) : 0;
    cr_assert(islower((unsigned char)row->name[0]), "%s.%s begins with a small letter", where,
              row->name);
    for (const char *c = row->name; *c; c++)
        cr_assert(islower((unsigned char)*c) || isdigit((unsigned char)*c) || *c == '_', "%s.%s",
                  where, row->name);
    cr_assert(help > 10 && row->help[help - 1] == '.', "%s.%s: help ends with a full stop", where,
              row->name);
    cr_assert(row->offset + member_size(row->type) <= stage->state_size,
              "%s.%s lies outside the state", where, row->name);
    cr_assert(row->min <= row->max, "%s.%s: limits are the wrong way round", where, row->name);
    cr_assert((row->type == PARAM_CHOICE) == (row->choices != NULL), "%s.%s: choices", where,
              row->name);
    for (const char *c = row->help; *c; c++)
        cr_assert((unsigned char)*c >= 0x20, "%s.%s: help is one line", where, row->name);
    /* `--set STAGE.KEY=...` tells the keys of a stage and its settings apart by name alone. */
    static const char *const taken[] = {"run",     "in",     "on",  "workers", "queue",
                                        "timeout", "memory", "with"};
    for (size_t i = 0; i < sizeof taken / sizeof *taken; i++)
        cr_assert(strcmp(row->name, taken[i]) != 0, "%s.%s is a key of every stage", where,
                  row->name);
    if (row->type == PARAM_INT)
        cr_assert(row->min >= -DOUBLE_EXACT && row->max <= DOUBLE_EXACT,
                  "%s.%s: limits that a double cannot hold", where, row->name);
    for (const struct param *other = stage->params; other != row; other++) {
        cr_assert(strcmp(other->name, row->name) != 0, "%s.%s stands twice", where, row->name);
        cr_assert(other->offset + member_size(other->type) <= row->offset ||
                      row->offset + member_size(row->type) <= other->offset,
                  "%s: %s and %s lie on top of each other", where, other->name, row->name);
    }
}

Test(conformance, tables_ports_flags_and_callbacks_fit_together)
{
    int count = 0;
    for (const struct stage *const *s = stage_registry; *s; s++, count++) {
        const struct stage *stage = *s;
        struct port_table in, out;
        struct error err;
        cr_assert(stage->abi == STAGE_ABI && stage->version >= 1, "%s", stage->name);
        cr_assert(strlen(stage->name) <= NAME_MAX_BYTES &&
                  stage_find(span_of(stage->name)) == stage);
        size_t summary = strlen(stage->summary);
        cr_assert(summary > 10 && summary <= SUMMARY_MAX && stage->summary[summary - 1] == '.',
                  "%s: a summary is one sentence", stage->name);
        for (const struct param *row = stage->params; row && row->name; row++)
            row_check(stage, row);
        cr_assert(port_open(&stage->in, &in, &err) == STATUS_OK, "%s: %s", stage->name, err.text);
        cr_assert(port_open(&stage->out, &out, &err) == STATUS_OK, "%s: %s", stage->name, err.text);
        bool source = stage->flags & STAGE_SOURCE, sink = stage->flags & STAGE_SINK;
        bool gather = stage->flags & STAGE_GATHER, store = stage->flags & STAGE_STORE;
        cr_assert(source + sink + gather <= 1, "%s is one thing", stage->name);
        cr_assert(source == (stage->list != NULL), "%s: list is for sources", stage->name);
        cr_assert(source == (stage->feed == NULL), "%s: feed is for all others", stage->name);
        cr_assert(!gather || stage->drain, "%s: a gather stage gives what is left", stage->name);
        cr_assert(!store || (sink && stage->drain && (stage->flags & STAGE_SINGLE)),
                  "%s: a store is a sink with one writer", stage->name);
        cr_assert(store == (stage->store != NULL), "%s: store is for stores", stage->name);
        const struct param *path = row_named(stage, "path"), *size = row_named(stage, "size");
        cr_assert(!store || (path && path->type == PARAM_PATH && path->free && !path->fallback),
                  "%s: a store's `path` must be given and is not hashed", stage->name);
        cr_assert(!gather || (size && size->type == PARAM_INT && size->min >= 1),
                  "%s: a gather stage has a `size` of at least 1", stage->name);
        cr_assert(!(stage->flags & STAGE_RANDOM) || (!source && !store),
                  "%s: lists and stores are not random", stage->name);
        cr_assert(!stage->next || sink, "%s: sinks have passes", stage->name);
        cr_assert(!stage->save == !stage->load, "%s: what is saved can be loaded", stage->name);
        cr_assert(!stage->save || sink, "%s: sinks have checkpoints", stage->name);
        cr_assert(sink || source || stage->gives || out.count > 0, "%s gives something",
                  stage->name);
    }
    cr_assert(count >= 8, "%d stages", count);
}

Test(conformance, defaults_are_good_values_and_come_back_from_their_text)
{
    struct arena arena;
    struct complaints complaints;
    const struct param_roots roots = {.graph = "/graph"};
    const struct source_text source = {.name = "test", .text = SPAN("")};
    arena_open(&arena, 0);
    complaints_open(&complaints, &arena);
    for (const struct stage *const *s = stage_registry; *s; s++) {
        char *state = arena_zero(&arena, 1, (*s)->state_size + 1), *text = NULL, *again = NULL;
        size_t size = 0;
        int before = complaints.count, missing = 0;
        params_fill((*s)->params, state, NULL, &roots, (struct place){&source, 1, 1, 1}, &arena,
                    &complaints);
        for (const struct param *row = (*s)->params; row && row->name; row++)
            missing += !row->fallback;
        cr_assert(complaints.count - before == missing, "%s", (*s)->name);
        FILE *out = open_memstream(&text, &size);
        params_write((*s)->params, state, false, out);
        fclose(out);
        struct source_text written = {.name = "written", .text = {text, size}};
        struct yaml_node *node = yaml_parse(&written, &arena, &complaints);
        char *second = arena_zero(&arena, 1, (*s)->state_size + 1);
        params_fill((*s)->params, second, node, &roots, (struct place){&source, 1, 1, 1}, &arena,
                    &complaints);
        out = open_memstream(&again, &size);
        params_write((*s)->params, second, false, out);
        fclose(out);
        cr_assert(strcmp(text, again) == 0, "%s: %s became %s", (*s)->name, text, again);
        free(text);
        free(again);
    }
    arena_close(&arena);
}

/* Recipes as text; see recipe.h. */
#include "engine/recipe.h"

#include "engine/port.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static void write_stage(const struct graph_stage *stage, FILE *out)
{
    const char *const *rows = stage->kind->out.fields;
    fprintf(out, "%016" PRIx64 " %s %s %d %s ", stage->recipe, stage->name, stage->kind->name,
            stage->kind->version, stage->kind->flags & STAGE_PASS ? "pass" : "makes");
    for (int i = 0; rows && rows[i]; i++)
        fprintf(out, "%s%.*s", i ? "," : "", (int)strcspn(rows[i], ":"), rows[i]);
    fprintf(out, "%s ", rows && rows[0] ? "" : "-");
    if (stage->kind->params)
        params_write(stage->kind->params, stage->state, true, out);
    else
        fputs("{}", out);
    fputc('\n', out);
}

static void write_line(const struct graph *graph, const struct graph_line *line, FILE *out)
{
    if (line->filled_by >= 0)
        write_line(graph, &graph->lines[line->filled_by], out);
    else
        write_stage(&graph->stages[line->head], out);
    for (int w = 0; w < line->work_count; w++)
        write_stage(&graph->stages[line->work[w]], out);
}

const char *recipe_text(const struct graph *graph, const struct graph_line *line,
                        struct arena *arena)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    ASSERT(out);
    write_line(graph, line, out);
    ASSERT(fclose(out) == 0);
    const char *copy = arena_text(arena, text, size);
    free(text);
    return copy;
}

static bool read_hash(struct span text, uint64_t *hash)
{
    *hash = 0;
    for (size_t i = 0; i < text.size; i++) {
        const char *digit = memchr("0123456789abcdef", text.data[i], 16);
        if (!digit)
            return false;
        *hash = *hash << 4 | (uint64_t)(digit - (const char *)"0123456789abcdef");
    }
    return text.size == 16;
}

static bool read_stage(struct span line, struct recipe_stage *stage)
{
    struct span hash, version, how;
    if (!span_word(&line, &hash) || !span_word(&line, &stage->name) ||
        !span_word(&line, &stage->kind) || !span_word(&line, &version) || !span_word(&line, &how) ||
        !span_word(&line, &stage->fields))
        return false;
    stage->settings = span_trim(line);
    stage->passes = span_is(how, "pass");
    if (span_is(stage->fields, "-"))
        stage->fields.size = 0;
    return read_hash(hash, &stage->recipe) && text_int(version, 0, INT32_MAX, &stage->version) &&
           (stage->passes || span_is(how, "makes")) && stage->settings.size >= 2 &&
           stage->settings.data[0] == '{' &&
           stage->settings.data[stage->settings.size - 1] == '}';
}

enum status recipe_read(struct span text, struct recipe *recipe, struct error *err)
{
    recipe->count = 0;
    for (size_t i = 0; i < text.size; i++)
        if (((unsigned char)text.data[i] < 0x20 && text.data[i] != '\n') || text.data[i] == 0x7f)
            return error_set(err, STATUS_INVALID, "recipe: byte %zu is a control character", i);
    for (struct span line; span_line(&text, &line);) {
        if (recipe->count == RECIPE_STAGES_MAX)
            return error_set(err, STATUS_INVALID, "recipe of more than %d stages",
                             RECIPE_STAGES_MAX);
        if (!read_stage(line, &recipe->stages[recipe->count]))
            return error_set(err, STATUS_INVALID, "recipe: line %d is no stage",
                             recipe->count + 1);
        recipe->count++;
    }
    return STATUS_OK;
}

int recipe_find(const struct recipe *recipe, uint64_t hash)
{
    for (int i = 0; i < recipe->count; i++)
        if (recipe->stages[i].recipe == hash)
            return i;
    return -1;
}

/* Takes the next name off a list by commas. */
static bool next_name(struct span *list, struct span *name)
{
    if (list->size == 0)
        return false;
    const char *comma = memchr(list->data, ',', list->size);
    size_t size = comma ? (size_t)(comma - list->data) : list->size;
    *name = (struct span){list->data, size};
    size += comma ? 1 : 0;
    *list = (struct span){list->data + size, list->size - size};
    return true;
}

bool recipe_names(struct span fields, struct span name)
{
    for (struct span one; next_name(&fields, &one);)
        if (span_equal(one, name))
            return true;
    return false;
}

/* Where a value ends: at a comma or brace that is in no text, list or mapping. */
static size_t value_end(struct span text)
{
    int depth = 0;
    bool quoted = false;
    for (size_t i = 0; i < text.size; i++) {
        char c = text.data[i];
        if (quoted && c == '\\')
            i++;
        else if (c == '"')
            quoted = !quoted;
        else if (!quoted && (c == '[' || c == '{'))
            depth++;
        else if (!quoted && depth > 0 && (c == ']' || c == '}'))
            depth--;
        else if (!quoted && depth == 0 && (c == ',' || c == '}'))
            return i;
    }
    return text.size;
}

bool recipe_setting(struct span *settings, struct span *name, struct span *value)
{
    struct span rest = span_trim(*settings);
    while (rest.size > 0 && (rest.data[0] == '{' || rest.data[0] == ',' || rest.data[0] == ' '))
        rest.data++, rest.size--;
    const char *colon = rest.size ? memchr(rest.data, ':', rest.size) : NULL;
    if (!colon)
        return false;
    *name = (struct span){rest.data, (size_t)(colon - rest.data)};
    rest = (struct span){colon + 1, rest.size - name->size - 1};
    size_t end = value_end(rest);
    *value = span_trim((struct span){rest.data, end});
    *settings = (struct span){rest.data + end, rest.size - end};
    return true;
}

const char *const *recipe_fields(const struct recipe *recipe, int stage, struct arena *arena)
{
    const struct recipe_stage *own = &recipe->stages[stage];
    struct span list = own->fields, name;
    size_t count = 0;
    if (!own->passes || list.size == 0)
        return NULL;
    const char **names = arena_zero(arena, SAMPLE_FIELDS_MAX + 1, sizeof *names);
    while (next_name(&list, &name)) {
        if (count == SAMPLE_FIELDS_MAX)
            return NULL;
        names[count++] = arena_text(arena, name.data, name.size);
    }
    for (int later = stage + 1; later < recipe->count; later++) {
        if (!recipe->stages[later].passes || recipe->stages[later].fields.size == 0)
            return NULL;
        for (size_t i = 0; i < count; i++)
            if (recipe_names(recipe->stages[later].fields, span_of(names[i])))
                return NULL;
    }
    return names;
}

/* Settings by table; see params.h. */
#include "engine/params.h"

#include <float.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { NAMES_MAX = 128 };

static const char *type_name(const struct param *row)
{
    static const char *const names[] = {
        [PARAM_BOOL] = "true or false",
        [PARAM_INT] = "a whole number",
        [PARAM_FLOAT] = "a number",
        [PARAM_TEXT] = "text",
        [PARAM_CHOICE] = "one of",
        [PARAM_BYTES] = "a size like 512MiB",
        [PARAM_DURATION] = "a time like 30s",
        [PARAM_PATH] = "a path",
        [PARAM_PATHS] = "a path or a list of paths",
    };
    return names[row->type];
}

/* The shortest decimal that is this number again: 0.1 as "0.1". */
static void write_double(double number, FILE *out)
{
    char text[40];
    for (int digits = 6; digits <= DBL_DECIMAL_DIG; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, number);
        if (strtod(text, NULL) == number)
            break;
    }
    fputs(text, out);
}

static bool has_limits(const struct param *row)
{
    return row->min < row->max;
}

static bool in_limits(const struct param *row, double value)
{
    return !has_limits(row) || (value >= row->min && value <= row->max);
}

/* "{run}" or "{run}/..." */
static bool path_in_run(const char *path)
{
    return strncmp(path, "{run}", 5) == 0 && (path[5] == '/' || !path[5]);
}

/* A brace at the start that is no {run} is a slip of the pen, not the name of a folder. */
static bool path_is_good(const char *path)
{
    return strlen(path) <= PARAM_TEXT_MAX && (*path != '{' || path_in_run(path));
}

static const char *path_from(const struct param_roots *roots, const char *path, struct arena *arena)
{
    if (path_in_run(path) && roots->run)
        return arena_printf(arena, "%s%s", roots->run, path + 5);
    if (path[0] == '/' || path_in_run(path) || !roots->graph || !*roots->graph)
        return arena_text(arena, path, strlen(path));
    return arena_printf(arena, "%s/%s", roots->graph, path);
}

/* The same roots for a value: those of the command line begin where it was typed. */
static struct param_roots roots_of(const struct param_roots *roots, const struct yaml_node *value,
                                   struct arena *arena)
{
    struct param_roots own = *roots;
    char here[PATH_MAX];
    if (value->place.source && value->place.source->typed && getcwd(here, sizeof here))
        own.graph = arena_text(arena, here, strlen(here));
    return own;
}

/* The text of one scalar into its member; false when it does not fit the row. */
static bool scalar_fill(const struct param *row, char *member, const char *text, bool quoted,
                        const struct param_roots *roots, struct arena *arena)
{
    struct span span = span_of(text);
    int64_t integer;
    uint64_t bytes;
    double number;
    switch (row->type) {
    case PARAM_BOOL: {
        bool yes = span_is(span, "true") || span_is(span, "yes") || span_is(span, "on");
        bool no = span_is(span, "false") || span_is(span, "no") || span_is(span, "off");
        memcpy(member, &yes, sizeof yes);
        return !quoted && (yes || no);
    }
    case PARAM_INT:
        if (quoted || !text_int(span, INT64_MIN, INT64_MAX, &integer) ||
            !in_limits(row, (double)integer))
            return false;
        memcpy(member, &integer, sizeof integer);
        return true;
    case PARAM_FLOAT:
        if (quoted || !text_double(span, &number) || !in_limits(row, number))
            return false;
        memcpy(member, &number, sizeof number);
        return true;
    case PARAM_BYTES:
        if (!text_bytes(span, &bytes) || !in_limits(row, (double)bytes))
            return false;
        memcpy(member, &bytes, sizeof bytes);
        return true;
    case PARAM_DURATION:
        if (!text_duration(span, &integer) || !in_limits(row, (double)integer))
            return false;
        memcpy(member, &integer, sizeof integer);
        return true;
    case PARAM_CHOICE:
        for (int i = 0; row->choices[i]; i++)
            if (span_is(span, row->choices[i])) {
                memcpy(member, &i, sizeof i);
                return true;
            }
        return false;
    case PARAM_TEXT:
    case PARAM_PATH: {
        if (row->type == PARAM_PATH ? !path_is_good(text) : span.size > PARAM_TEXT_MAX)
            return false;
        const char *copy = row->type == PARAM_TEXT || !span.size
                               ? arena_text(arena, text, span.size)
                               : path_from(roots, text, arena);
        memcpy(member, &copy, sizeof copy);
        return true;
    }
    case PARAM_PATHS: {
        struct param_paths paths = {.count = span.size ? 1 : 0};
        paths.path = arena_zero(arena, 1, sizeof *paths.path);
        if (span.size)
            paths.path[0] = path_from(roots, text, arena);
        memcpy(member, &paths, sizeof paths);
        return path_is_good(text);
    }
    }
    return false;
}

/* What a row wants, in words: "a whole number from 1 to 64", "one of train, eval". */
static void describe(const struct param *row, char *text, size_t size)
{
    int used = snprintf(text, size, "%s", type_name(row));
    if (row->type == PARAM_CHOICE) {
        for (int i = 0; row->choices[i] && used > 0 && (size_t)used < size; i++)
            used +=
                snprintf(text + used, size - (size_t)used, "%s%s", i ? ", " : " ", row->choices[i]);
    } else if (has_limits(row) && used > 0 && (size_t)used < size) {
        snprintf(text + used, size - (size_t)used, " from %.15g to %.15g", row->min, row->max);
    }
}

static const char *path_hint(const char *path)
{
    return strlen(path) > PARAM_TEXT_MAX ? " (too long)" : " (did you mean '{run}/...'?)";
}

static void paths_fill(const struct param *row, char *member, const struct yaml_node *list,
                       const struct param_roots *roots, struct arena *arena,
                       struct complaints *complaints)
{
    struct param_paths paths = {0};
    struct param_roots own = roots_of(roots, list, arena);
    if (list->count > PARAM_PATHS_MAX) {
        complain(complaints, list->place, "%s: %d paths, the limit is %d", row->name, list->count,
                 PARAM_PATHS_MAX);
        return;
    }
    if (list->count == 0 && !row->fallback)
        complain(complaints, list->place, "%s must be given; the list is empty", row->name);
    paths.path = arena_zero(arena, (size_t)list->count + 1, sizeof *paths.path);
    for (const struct yaml_node *item = list->first; item; item = item->next) {
        if (item->kind != YAML_SCALAR || !*item->text)
            complain(complaints, item->place, "%s: a path was expected, here is %s", row->name,
                     yaml_kind_name(item));
        else if (!path_is_good(item->text))
            complain(complaints, item->place, "%s: '%.80s' is no path%s", row->name, item->text,
                     path_hint(item->text));
        else
            paths.path[paths.count++] = path_from(&own, item->text, arena);
    }
    memcpy(member, &paths, sizeof paths);
}

static void value_fill(const struct param *row, char *member, const struct yaml_node *value,
                       const struct param_roots *roots, struct arena *arena,
                       struct complaints *complaints)
{
    char wanted[512];
    describe(row, wanted, sizeof wanted);
    if (row->type == PARAM_PATHS && value->kind == YAML_LIST) {
        paths_fill(row, member, value, roots, arena, complaints);
        return;
    }
    if (value->kind != YAML_SCALAR) {
        complain(complaints, value->place, "%s wants %s; here is %s", row->name, wanted,
                 yaml_kind_name(value));
        return;
    }
    bool path = row->type == PARAM_PATH || row->type == PARAM_PATHS;
    if (!*value->text && !row->fallback) {
        complain(complaints, value->place, "%s must be given; it wants %s", row->name, wanted);
        return;
    }
    struct param_roots own = roots_of(roots, value, arena);
    if (scalar_fill(row, member, value->text, value->quoted, &own, arena))
        return;
    if (path) {
        complain(complaints, value->place, "%s wants %s; '%.80s' is none%s", row->name, wanted,
                 value->text, path_hint(value->text));
        return;
    }
    const char *near =
        row->type == PARAM_CHOICE ? text_suggest(span_of(value->text), row->choices) : NULL;
    complain(complaints, value->place, "%s wants %s; '%.80s' is not%s%s%s", row->name, wanted,
             value->text, near ? " (did you mean '" : "", near ? near : "", near ? "'?)" : "");
}

static const struct param *row_find(const struct param *table, const char *name)
{
    for (const struct param *row = table; row && row->name; row++)
        if (strcmp(row->name, name) == 0)
            return row;
    return NULL;
}

/* Keys of the mapping that no row has. */
static void unknown_keys(const struct param *table, const struct yaml_node *with,
                         struct complaints *complaints)
{
    const char *names[NAMES_MAX + 1];
    int count = 0;
    for (const struct param *row = table; row && row->name && count < NAMES_MAX; row++)
        names[count++] = row->name;
    names[count] = NULL;
    for (const struct yaml_node *value = with->first; value; value = value->next) {
        if (row_find(table, value->key->text))
            continue;
        const char *near = text_suggest(span_of(value->key->text), names);
        if (near)
            complain(complaints, value->key->place, "unknown setting '%.80s'; did you mean '%s'?",
                     value->key->text, near);
        else
            complain(complaints, value->key->place,
                     "unknown setting '%.80s'; `foldmill stages KIND` lists what there is",
                     value->key->text);
    }
}

void params_fill(const struct param *table, void *state, const struct yaml_node *with,
                 const struct param_roots *roots, struct place where, struct arena *arena,
                 struct complaints *complaints)
{
    if (with && with->kind != YAML_MAP) {
        if (with->kind != YAML_SCALAR || *with->text)
            complain(complaints, with->place, "settings are a mapping (name: value); here is %s",
                     yaml_kind_name(with));
        with = NULL;
    }
    if (with)
        unknown_keys(table, with, complaints);
    for (const struct param *row = table; row && row->name; row++) {
        char *member = (char *)state + row->offset;
        const struct yaml_node *value = yaml_get(with, row->name);
        if (value) {
            value_fill(row, member, value, roots, arena, complaints);
        } else if (row->fallback) {
            bool fits = scalar_fill(row, member, row->fallback, false, roots, arena);
            ASSERT(fits); /* the conformance test holds every default against its row */
        } else {
            char wanted[512];
            describe(row, wanted, sizeof wanted);
            complain(complaints, where, "setting '%s' is missing; it wants %s: %s", row->name,
                     wanted, row->help);
        }
    }
}

/* Whether UTF-8 text begins with a character that YAML does not take as it is inside quotes (other
 * line ends, which it folds, and what it does not print): its bytes, and the character. */
static int unprintable(const unsigned char *text, unsigned *character)
{
    if (text[0] == 0xc2 && text[1] >= 0x80 && text[1] < 0xa0) {
        *character = text[1];
        return 2;
    }
    bool three = (text[0] & 0xf0) == 0xe0 && text[1] && text[2];
    if (!three)
        return 0;
    *character = (text[0] & 0xfu) << 12 | (text[1] & 0x3fu) << 6 | (text[2] & 0x3fu);
    static const unsigned known[] = {0x2028, 0x2029, 0xfeff, 0xfffe, 0xffff};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (*character == known[i])
            return 3;
    return 0;
}

void json_string(const char *text, FILE *out)
{
    unsigned character;
    fputc('"', out);
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        int bytes = unprintable((const unsigned char *)text, &character);
        if (bytes) {
            fprintf(out, "\\u%04x", character);
            text += bytes - 1;
            continue;
        }
        if (c == '"' || c == '\\')
            fprintf(out, "\\%c", c);
        else if (c < 0x20 || c == 0x7f)
            fprintf(out, "\\u%04x", c);
        else
            fputc(c, out);
    }
    fputc('"', out);
}

static void value_write(const struct param *row, const char *member, FILE *out)
{
    int64_t integer;
    uint64_t bytes;
    double number;
    int choice;
    bool flag;
    const char *text;
    struct param_paths paths;
    switch (row->type) {
    case PARAM_BOOL:
        memcpy(&flag, member, sizeof flag);
        fputs(flag ? "true" : "false", out);
        break;
    case PARAM_INT:
        memcpy(&integer, member, sizeof integer);
        fprintf(out, "%lld", (long long)integer);
        break;
    case PARAM_DURATION:
        memcpy(&integer, member, sizeof integer);
        fprintf(out, "%lldms", (long long)integer);
        break;
    case PARAM_BYTES:
        memcpy(&bytes, member, sizeof bytes);
        fprintf(out, "%llu", (unsigned long long)bytes);
        break;
    case PARAM_FLOAT:
        memcpy(&number, member, sizeof number);
        write_double(number, out);
        break;
    case PARAM_CHOICE:
        memcpy(&choice, member, sizeof choice);
        fputs(row->choices[choice], out);
        break;
    case PARAM_TEXT:
    case PARAM_PATH:
        memcpy(&text, member, sizeof text);
        json_string(text ? text : "", out);
        break;
    case PARAM_PATHS:
        memcpy(&paths, member, sizeof paths);
        fputc('[', out);
        for (int i = 0; i < paths.count; i++) {
            fputs(i ? ", " : "", out);
            json_string(paths.path[i], out);
        }
        fputc(']', out);
        break;
    }
}

void params_value_write(const struct param *row, const void *state, FILE *out)
{
    value_write(row, (const char *)state + row->offset, out);
}

void params_write(const struct param *table, const void *state, bool only_hashed, FILE *out)
{
    const char *between = "";
    fputc('{', out);
    for (const struct param *row = table; row && row->name; row++) {
        if (only_hashed && row->free)
            continue;
        fprintf(out, "%s%s: ", between, row->name);
        params_value_write(row, state, out);
        between = ", ";
    }
    fputc('}', out);
}

void params_help(const struct param *table, FILE *out)
{
    for (const struct param *row = table; row && row->name; row++) {
        char wanted[512];
        describe(row, wanted, sizeof wanted);
        fprintf(out, "  %-20s %s", row->name, wanted);
        if (!row->fallback)
            fputs(" (must be given)", out);
        else if (*row->fallback)
            fprintf(out, " (default %s)", row->fallback);
        fprintf(out, "\n  %-20s %s\n", "", row->help);
    }
}

void params_schema(const struct param *table, FILE *out)
{
    static const char *const types[] = {
        [PARAM_BOOL] = "\"boolean\"",
        [PARAM_INT] = "\"integer\"",
        [PARAM_FLOAT] = "\"number\"",
        [PARAM_TEXT] = "\"string\"",
        [PARAM_CHOICE] = "\"string\"",
        [PARAM_BYTES] = "[\"string\", \"integer\"]",
        [PARAM_DURATION] = "\"string\"",
        [PARAM_PATH] = "\"string\"",
        [PARAM_PATHS] = "[\"string\", \"array\"]",
    };
    const char *between = "";
    fputs("{\"type\": \"object\", \"additionalProperties\": false, \"properties\": {", out);
    for (const struct param *row = table; row && row->name; row++) {
        fputs(between, out);
        json_string(row->name, out);
        fprintf(out, ": {\"type\": %s, \"description\": ", types[row->type]);
        json_string(row->help, out);
        if (row->type == PARAM_PATHS)
            fputs(", \"items\": {\"type\": \"string\"}", out);
        if (row->type == PARAM_CHOICE) {
            fputs(", \"enum\": [", out);
            for (int i = 0; row->choices[i]; i++) {
                fputs(i ? ", " : "", out);
                json_string(row->choices[i], out);
            }
            fputs("]", out);
        }
        if (has_limits(row) && (row->type == PARAM_INT || row->type == PARAM_FLOAT)) {
            fputs(", \"minimum\": ", out);
            write_double(row->min, out);
            fputs(", \"maximum\": ", out);
            write_double(row->max, out);
        }
        if (row->fallback &&
            (row->type == PARAM_INT || row->type == PARAM_FLOAT || row->type == PARAM_BOOL))
            fprintf(out, ", \"default\": %s", row->fallback);
        fputs("}", out);
        between = ", ";
    }
    fputs("}", out);
    between = "";
    for (const struct param *row = table; row && row->name; row++)
        if (!row->fallback) {
            fputs(*between ? between : ", \"required\": [", out);
            json_string(row->name, out);
            between = ", ";
        }
    fputs(*between ? "]}" : "}", out);
}

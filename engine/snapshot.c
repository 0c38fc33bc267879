/* A snapshot as text, JSON and metrics, all from its table of fields; see snapshot.h. */
#include "engine/snapshot.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static int *count_of(struct snapshot *snapshot, const struct snapshot_kind *kind)
{
    return (int *)(void *)((char *)snapshot + kind->count);
}

static int count_in(const struct snapshot *snapshot, const struct snapshot_kind *kind)
{
    int count;
    memcpy(&count, (const char *)snapshot + kind->count, sizeof count);
    return count;
}

static const char *row_in(const struct snapshot *snapshot, const struct snapshot_kind *kind, int at)
{
    return (const char *)snapshot + kind->rows + (size_t)at * kind->row_size;
}

void snapshot_copy(char *to, size_t size, const char *from)
{
    size_t i = 0;
    for (; from[i] && i + 1 < size; i++)
        to[i] = from[i];
    to[i] = 0;
    for (; i-- > 0;)
        if ((unsigned char)to[i] < ' ' || to[i] == 0x7f)
            to[i] = '?';
}

void snapshot_add(struct snapshot *snapshot, const struct snapshot *more)
{
    for (int k = 0; k < snapshot_kind_count; k++) {
        const struct snapshot_kind *kind = &snapshot_kinds[k];
        int *count = count_of(snapshot, kind);
        for (int i = 0; i < count_in(more, kind) && *count < kind->max; i++)
            memcpy((char *)snapshot + kind->rows + (size_t)(*count)++ * kind->row_size,
                   row_in(more, kind, i), kind->row_size);
    }
}

/* A number without a locale and without more digits than it has. */
static void write_number(const struct snapshot_field *field, const char *at, FILE *out)
{
    if (field->type == SNAPSHOT_I64) {
        int64_t value;
        memcpy(&value, at, sizeof value);
        fprintf(out, "%lld", (long long)value);
    } else if (field->type == SNAPSHOT_U64) {
        uint64_t value;
        memcpy(&value, at, sizeof value);
        fprintf(out, "%llu", (unsigned long long)value);
    } else {
        double value;
        memcpy(&value, at, sizeof value);
        fprintf(out, "%.9g", isfinite(value) ? value : 0);
    }
}

/* ---- text ---- */

void snapshot_write(const struct snapshot *snapshot, FILE *out)
{
    for (int k = 0; k < snapshot_kind_count; k++) {
        const struct snapshot_kind *kind = &snapshot_kinds[k];
        for (int i = 0; i < count_in(snapshot, kind); i++) {
            fputs(kind->name, out);
            for (int f = 0; f < kind->field_count; f++) {
                const struct snapshot_field *field = &kind->fields[f];
                const char *at = row_in(snapshot, kind, i) + field->offset;
                fprintf(out, "\t%s=", field->name);
                if (field->type != SNAPSHOT_TEXT)
                    write_number(field, at, out);
                for (; field->type == SNAPSHOT_TEXT && *at; at++)
                    fputc((unsigned char)*at < ' ' ? ' ' : *at, out);
            }
            fputc('\n', out);
        }
    }
}

static enum status read_value(const struct snapshot_field *field, struct span text, char *at,
                              struct error *err)
{
    char digits[32], *end = digits;
    if (field->type == SNAPSHOT_TEXT) {
        size_t size = text.size < field->size - 1 ? text.size : field->size - 1;
        memcpy(at, text.data, size);
        at[size] = 0;
        return STATUS_OK;
    }
    bool good = text.size > 0 && text.size < sizeof digits;
    snprintf(digits, sizeof digits, "%.*s", (int)(good ? text.size : 0), text.data);
    int64_t whole = 0;
    uint64_t count = 0;
    double number = 0;
    if (field->type == SNAPSHOT_I64) {
        good = good && text_int(text, INT64_MIN, INT64_MAX, &whole);
        memcpy(at, &whole, sizeof whole);
    } else if (field->type == SNAPSHOT_U64) {
        good = good && isdigit((unsigned char)*digits);
        count = strtoull(digits, &end, 10);
        good = good && *end == 0;
        memcpy(at, &count, sizeof count);
    } else {
        good = good && text_double(text, &number);
        memcpy(at, &number, sizeof number);
    }
    return good ? STATUS_OK
                : error_set(err, STATUS_INVALID, "the field %s wants a number, not '%.*s'",
                            field->name, (int)(text.size < 32 ? text.size : 32), text.data);
}

/* Takes what stands before the next tab off the front. */
static bool take_cell(struct span *rest, struct span *cell)
{
    if (rest->size == 0)
        return false;
    const char *tab = memchr(rest->data, '\t', rest->size);
    *cell = (struct span){rest->data, tab ? (size_t)(tab - rest->data) : rest->size};
    size_t taken = cell->size + (tab != NULL);
    *rest = (struct span){rest->data + taken, rest->size - taken};
    return true;
}

static enum status read_row(const struct snapshot_kind *kind, struct span cells, char *row,
                            struct error *err)
{
    struct span cell;
    enum status status = STATUS_OK;
    while (status == STATUS_OK && take_cell(&cells, &cell)) {
        const char *equal = memchr(cell.data, '=', cell.size);
        if (!equal)
            return error_set(err, STATUS_INVALID, "a cell of a %s row has no '='", kind->name);
        struct span name = {cell.data, (size_t)(equal - cell.data)};
        struct span value = {equal + 1, cell.size - name.size - 1};
        for (int f = 0; f < kind->field_count; f++)
            if (status == STATUS_OK && span_is(name, kind->fields[f].name))
                status = read_value(&kind->fields[f], value, row + kind->fields[f].offset, err);
    }
    return status;
}

enum status snapshot_read(struct span text, struct snapshot *snapshot, struct error *err)
{
    struct span line, name;
    memset(snapshot, 0, sizeof *snapshot);
    if (text.size > SNAPSHOT_BYTES_MAX)
        return error_set(err, STATUS_LIMIT, "a snapshot of %zu bytes (at most %d)", text.size,
                         SNAPSHOT_BYTES_MAX);
    while (span_line(&text, &line)) {
        const struct snapshot_kind *kind = NULL;
        if (!take_cell(&line, &name))
            continue;
        for (int k = 0; k < snapshot_kind_count; k++)
            if (span_is(name, snapshot_kinds[k].name))
                kind = &snapshot_kinds[k];
        if (!kind)
            continue;
        int *count = count_of(snapshot, kind);
        if (*count == kind->max)
            return error_set(err, STATUS_LIMIT, "more than %d rows of kind %s", kind->max,
                             kind->name);
        char *row = (char *)snapshot + kind->rows + (size_t)(*count)++ * kind->row_size;
        enum status status = read_row(kind, line, row, err);
        if (status != STATUS_OK)
            return status;
    }
    return STATUS_OK;
}

/* ---- JSON ---- */

/* Any bytes: what is no UTF-8 becomes a question mark. */
static void write_string(const char *text, FILE *out)
{
    fputc('"', out);
    for (const unsigned char *at = (const unsigned char *)text; *at; at++) {
        int follow = *at < 0x80 ? 0 : *at >= 0xf0 ? 3 : *at >= 0xe0 ? 2 : 1;
        bool good = *at < 0x80 || (*at >= 0xc2 && *at < 0xf0);
        for (int i = 1; i <= follow && good; i++)
            good = (at[i] & 0xc0) == 0x80;
        if (good && *at == 0xe0 && at[1] < 0xa0)
            good = false; /* overlong */
        if (good && *at == 0xed && at[1] >= 0xa0)
            good = false; /* half of a pair */
        if (*at == '"' || *at == '\\')
            fprintf(out, "\\%c", *at);
        else if (*at < ' ' || *at == 0x7f)
            fprintf(out, "\\u%04x", *at);
        else if (!good)
            fputc('?', out);
        else
            for (fputc(*at, out); follow > 0; follow--)
                fputc(*++at, out);
    }
    fputc('"', out);
}

static void write_object(const struct snapshot_kind *kind, const char *row, FILE *out)
{
    fputc('{', out);
    for (int f = 0; f < kind->field_count; f++) {
        const struct snapshot_field *field = &kind->fields[f];
        fprintf(out, "%s\"%s\": ", f ? ", " : "", field->name);
        if (field->type == SNAPSHOT_TEXT)
            write_string(row + field->offset, out);
        else
            write_number(field, row + field->offset, out);
    }
    fputc('}', out);
}

void snapshot_write_json(const struct snapshot *snapshot, FILE *out)
{
    fputs("{\n", out);
    for (int k = 0; k < snapshot_kind_count; k++) {
        const struct snapshot_kind *kind = &snapshot_kinds[k];
        const char *end = k + 1 < snapshot_kind_count ? "," : "";
        fprintf(out, "\"%s\": ", kind->plural ? kind->plural : kind->name);
        if (!kind->plural) {
            write_object(kind, row_in(snapshot, kind, 0), out);
            fprintf(out, "%s\n", end);
            continue;
        }
        fputc('[', out);
        for (int i = 0; i < count_in(snapshot, kind); i++) {
            fputs(i ? ",\n  " : "\n  ", out);
            write_object(kind, row_in(snapshot, kind, i), out);
        }
        fprintf(out, "]%s\n", end);
    }
    fputs("}\n", out);
}

/* ---- metrics ---- */

static void write_labels(const struct snapshot_kind *kind, const char *row, FILE *out)
{
    const char *separator = "{";
    for (int f = 0; f < kind->field_count; f++) {
        const struct snapshot_field *field = &kind->fields[f];
        if (field->use != SNAPSHOT_LABEL)
            continue;
        fprintf(out, "%s%s=\"", separator, field->name);
        if (field->type != SNAPSHOT_TEXT)
            write_number(field, row + field->offset, out);
        const char *at = row + field->offset;
        for (; field->type == SNAPSHOT_TEXT && *at; at++) {
            if (*at == '"' || *at == '\\')
                fputc('\\', out);
            fputc((unsigned char)*at < ' ' || (unsigned char)*at > '~' ? '?' : *at, out);
        }
        fputc('"', out);
        separator = ",";
    }
    if (*separator == ',')
        fputc('}', out);
}

void snapshot_write_metrics(const struct snapshot *snapshot, FILE *out)
{
    for (int k = 0; k < snapshot_kind_count; k++) {
        const struct snapshot_kind *kind = &snapshot_kinds[k];
        for (int f = 0; f < kind->field_count; f++) {
            const struct snapshot_field *field = &kind->fields[f];
            if (field->use != SNAPSHOT_COUNTER && field->use != SNAPSHOT_GAUGE)
                continue;
            bool counter = field->use == SNAPSHOT_COUNTER;
            const char *end = counter ? "_total" : "";
            fprintf(out, "# HELP foldmill_%s_%s%s %s\n# TYPE foldmill_%s_%s%s %s\n", kind->name,
                    field->name, end, field->help, kind->name, field->name, end,
                    counter ? "counter" : "gauge");
            for (int i = 0; i < count_in(snapshot, kind); i++) {
                const char *row = row_in(snapshot, kind, i);
                fprintf(out, "foldmill_%s_%s%s", kind->name, field->name, end);
                write_labels(kind, row, out);
                fputc(' ', out);
                write_number(field, row + field->offset, out);
                fputc('\n', out);
            }
        }
    }
}

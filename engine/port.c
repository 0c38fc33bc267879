/* Port rows and samples; see port.h. */
#include "engine/port.h"

#include <stdio.h>
#include <string.h>

/* One size: a capital or a number. */
static bool parse_dim(struct span text, char *dim, int64_t *size)
{
    *dim = 0;
    *size = 0;
    if (text.size == 1 && text.data[0] >= 'A' && text.data[0] <= 'Z') {
        *dim = text.data[0];
        return true;
    }
    return text_int(text, 0, INT32_MAX, size);
}

static bool parse_dims(struct span text, struct port_field *field)
{
    while (field->rank < SAMPLE_RANK_MAX) {
        const char *comma = memchr(text.data, ',', text.size);
        size_t size = comma ? (size_t)(comma - text.data) : text.size;
        struct span part = span_trim((struct span){text.data, size});
        if (!parse_dim(part, &field->dim[field->rank], &field->size[field->rank]))
            return false;
        field->rank++;
        if (!comma)
            return true;
        text = (struct span){comma + 1, text.size - size - 1};
    }
    return false;
}

enum status port_parse(const char *text, struct port_field *field, struct error *err)
{
    *field = (struct port_field){0};
    struct span rest = span_of(text);
    if (rest.size && rest.data[rest.size - 1] == '~') {
        field->lazy = true;
        rest.size--;
    }
    if (rest.size && rest.data[rest.size - 1] == '?') {
        field->optional = true;
        rest.size--;
    }
    const char *colon = memchr(rest.data, ':', rest.size);
    const char *open = memchr(rest.data, '[', rest.size);
    const char *end = rest.data + rest.size;
    bool good = colon && colon > rest.data && colon - rest.data <= FIELD_NAME_MAX &&
                (!open || (open > colon && end[-1] == ']'));
    if (good) {
        memcpy(field->name, rest.data, (size_t)(colon - rest.data));
        struct span kind = {colon + 1, (size_t)((open ? open : end) - colon - 1)};
        good = kind_parse(kind, &field->kind) == STATUS_OK;
    }
    if (good && open)
        good = parse_dims((struct span){open + 1, (size_t)(end - open - 2)}, field);
    if (!good)
        return error_set(err, STATUS_INVALID,
                         "wanted NAME:KIND[SIZES] like \"msa:u8[N,L]\", "
                         "found \"%s\"",
                         text);
    return STATUS_OK;
}

static void describe(const struct field *field, char *text, size_t room)
{
    size_t used = (size_t)snprintf(text, room, "%s[", kind_name(field->kind));
    for (int i = 0; i < field->rank && used < room; i++)
        used += (size_t)snprintf(text + used, room - used, "%s%lld", i ? "," : "",
                                 (long long)field->size[i]);
    if (used < room)
        snprintf(text + used, room - used, "]");
}

static enum status check_field(const char *row, const struct port_field *wanted,
                               const struct sample *sample, int64_t dims[26], struct error *err)
{
    const struct field *found = sample_find(sample, wanted->name);
    if (!found && wanted->optional)
        return STATUS_OK;
    if (!found)
        return error_set(err, STATUS_INVALID, "wanted a field %s, found none of that name", row);
    bool fits = found->kind == wanted->kind && found->rank == wanted->rank;
    char capital = 0;
    for (int i = 0; fits && i < wanted->rank; i++) {
        if (!wanted->dim[i]) {
            fits = found->size[i] == wanted->size[i];
            continue;
        }
        int64_t *dim = &dims[wanted->dim[i] - 'A'];
        if (*dim < 0)
            *dim = found->size[i];
        if (*dim != found->size[i])
            capital = wanted->dim[i];
    }
    char shape[160];
    describe(found, shape, sizeof shape);
    if (fits && !capital)
        return STATUS_OK;
    if (capital)
        return error_set(err, STATUS_INVALID,
                         "wanted %s with %c = %lld as in the fields before "
                         "it, found %s",
                         row, capital, (long long)dims[capital - 'A'], shape);
    return error_set(err, STATUS_INVALID, "wanted %s, found %s", row, shape);
}

enum status port_open(const struct port *port, struct port_table *table, struct error *err)
{
    int lazy = 0;
    table->count = 0;
    for (int i = 0; port->fields && port->fields[i]; i++) {
        if (i == SAMPLE_FIELDS_MAX)
            return error_set(err, STATUS_LIMIT, "a port may have %d fields", SAMPLE_FIELDS_MAX);
        enum status status = port_parse(port->fields[i], &table->field[i], err);
        if (status != STATUS_OK)
            return status;
        table->row[i] = port->fields[i];
        if (table->field[i].lazy)
            table->lazy[lazy++] = table->field[i].name;
        table->count++;
    }
    table->lazy[lazy] = NULL;
    return STATUS_OK;
}

enum status port_check(const struct port_table *table, const struct sample *sample,
                       struct error *err)
{
    int64_t dims[26];
    for (int i = 0; i < 26; i++)
        dims[i] = -1;
    for (int i = 0; i < table->count; i++) {
        enum status status = check_field(table->row[i], &table->field[i], sample, dims, err);
        if (status != STATUS_OK)
            return status;
    }
    return STATUS_OK;
}

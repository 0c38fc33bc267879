/* Fields to the compact form; see view.h. */
#include "stages/learn/view.h"

#include "engine/port.h"

#include <string.h>

/* Where the sizes of a field begin, and how many samples it holds. */
struct axes {
    int first;
    int64_t samples;
};

/* Takes the sizes of a field, each of which must be what its capital was before; -1: not known. */
static bool sizes_take(const struct port_field *want, const struct field *field, struct axes axes,
                       struct compact *compact)
{
    for (int i = 0; i < want->rank; i++) {
        int64_t size = field->size[axes.first + i];
        int64_t *known = want->dim[i] ? &compact->size[want->dim[i] - 'A'] : NULL;
        if (known && *known < 0)
            *known = size;
        if (size != (known ? *known : want->size[i]))
            return false;
    }
    return true;
}

static enum status field_take(const struct compact_field *row, const struct sample *sample,
                              int64_t b, struct compact *compact, struct error *err)
{
    struct port_field want;
    const struct field *field;
    struct axes axes = {.first = b == VIEW_ALONE ? 0 : 1, .samples = 1};
    enum status status = port_parse(row->text, &want, err);
    if (status != STATUS_OK)
        return status;
    if (want.optional && !sample_find(sample, want.name))
        return STATUS_OK;
    status = sample_need(sample, want.name, want.kind, want.rank + axes.first, &field, err);
    if (status != STATUS_OK)
        return status;
    if (axes.first)
        axes.samples = field->size[0];
    if (b >= axes.samples || !sizes_take(&want, field, axes, compact))
        return error_set(err, STATUS_INVALID,
                         "sample %s: field %s does not have the sizes of \"%s\" beside the others",
                         sample->key, want.name, row->text);
    size_t bytes = field_bytes(field) / (size_t)axes.samples;
    char *data = (char *)field->data + (b == VIEW_ALONE ? 0 : (size_t)b * bytes);
    memcpy((char *)compact + row->member, &data, sizeof data);
    return STATUS_OK;
}

enum status view_open(const struct sample *sample, int64_t b, struct compact *compact,
                      struct error *err)
{
    *compact = (struct compact){0};
    for (int i = 0; i < 26; i++)
        compact->size[i] = -1;
    for (const struct compact_field *row = compact_fields; row->text; row++) {
        enum status status = field_take(row, sample, b, compact, err);
        if (status != STATUS_OK)
            return status;
    }
    return compact_check(compact, err);
}

enum status view_put(const struct compact *compact, struct sample *sample, struct error *err)
{
    for (const struct compact_field *row = compact_fields; row->text; row++) {
        struct port_field port;
        struct field field = {0};
        enum status status = port_parse(row->text, &port, err);
        if (status != STATUS_OK)
            return status;
        memcpy(&field.data, (const char *)compact + row->member, sizeof field.data);
        if (!field.data) /* of a sample without structure */
            continue;
        memcpy(field.name, port.name, sizeof field.name);
        field.kind = port.kind;
        field.rank = port.rank;
        for (int i = 0; i < port.rank; i++)
            field.size[i] = port.dim[i] ? compact_size(compact, port.dim[i]) : port.size[i];
        status = sample_put(sample, &field, err);
        if (status != STATUS_OK)
            return status;
    }
    if (sample_bytes(sample) <= SAMPLE_BYTES_MAX)
        return STATUS_OK;
    return error_set(err, STATUS_LIMIT, "sample %s would be of %zu MB, and %zu MB is the most",
                     sample->key, sample_bytes(sample) >> 20, SAMPLE_BYTES_MAX >> 20);
}

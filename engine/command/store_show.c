/* foldmill store show: one record, field by field. */
#include "engine/command.h"
#include "engine/command/store.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum {
    PREVIEW_VALUES = 8,
    PREVIEW_TEXT = 60,    /* characters */
    FIELD_VALUES = 100000, /* that show KEY FIELD prints; export gives all */
};

const char *store_shape(const struct field *field, char *buffer, size_t buffer_size)
{
    size_t at = (size_t)snprintf(buffer, buffer_size, "%s[", kind_name(field->kind));
    for (int i = 0; i < field->rank && at < buffer_size; i++)
        at += (size_t)snprintf(buffer + at, buffer_size - at, "%s%" PRId64, i ? "," : "",
                               field->size[i]);
    if (at < buffer_size)
        snprintf(buffer + at, buffer_size - at, "]");
    return buffer;
}

/* The shortest decimal that is this float again. */
static void print_float(float value)
{
    char text[40];
    for (int digits = 6; digits <= 9; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, (double)value);
        float again = strtof(text, NULL);
        if (memcmp(&again, &value, sizeof value) == 0)
            break;
    }
    fputs(text, stdout);
}

static void print_value(const struct field *field, size_t i)
{
    const char *at = (const char *)field->data + i * kind_size(field->kind);
    int8_t i8;
    uint8_t u8;
    int16_t i16;
    int32_t i32;
    int64_t i64;
    uint16_t high;
    uint32_t bits;
    float f32;
    switch (field->kind) {
    case KIND_I8:
        memcpy(&i8, at, sizeof i8);
        printf("%d", i8);
        return;
    case KIND_U8:
    case KIND_BOOL:
        memcpy(&u8, at, sizeof u8);
        printf("%u", u8);
        return;
    case KIND_I16:
        memcpy(&i16, at, sizeof i16);
        printf("%d", i16);
        return;
    case KIND_I32:
        memcpy(&i32, at, sizeof i32);
        printf("%" PRId32, i32);
        return;
    case KIND_I64:
        memcpy(&i64, at, sizeof i64);
        printf("%" PRId64, i64);
        return;
    case KIND_BF16: /* the upper half of a float */
        memcpy(&high, at, sizeof high);
        bits = (uint32_t)high << 16;
        memcpy(&f32, &bits, sizeof f32);
        print_float(f32);
        return;
    case KIND_F32:
        memcpy(&f32, at, sizeof f32);
        print_float(f32);
        return;
    case KIND_COUNT:
        break;
    }
    ASSERT_INT(field->kind, <, KIND_COUNT);
}

/* u8 of rank 1 whose bytes are all printable: a text to people. */
static bool is_text(const struct field *field)
{
    size_t count = field_count(field);
    const unsigned char *data = field->data;
    if (field->kind != KIND_U8 || field->rank != 1 || count == 0)
        return false;
    for (size_t i = 0; i < count; i++)
        if ((data[i] < 0x20 && data[i] != '\n' && data[i] != '\t') || data[i] >= 0x7f)
            return false;
    return true;
}

static void print_preview(const struct field *field)
{
    size_t count = field_count(field);
    if (is_text(field)) {
        const char *data = field->data;
        putchar('"');
        for (size_t i = 0; i < count && i < PREVIEW_TEXT; i++)
            putchar(data[i] == '\n' ? ' ' : data[i]);
        printf("\"%s", count > PREVIEW_TEXT ? " ..." : "");
        return;
    }
    for (size_t i = 0; i < count && i < PREVIEW_VALUES; i++) {
        if (i)
            putchar(' ');
        print_value(field, i);
    }
    if (count > PREVIEW_VALUES)
        fputs(" ...", stdout);
}

static void print_field(const struct field *field)
{
    size_t count = field_count(field), shown = count < FIELD_VALUES ? count : FIELD_VALUES;
    size_t row = field->rank ? (size_t)field->size[field->rank - 1] : 1;
    if (is_text(field)) {
        fwrite(field->data, 1, count, stdout);
        putchar('\n');
        return;
    }
    for (size_t i = 0; i < shown; i++) {
        print_value(field, i);
        putchar((i + 1) % row == 0 || i + 1 == shown ? '\n' : '\t');
    }
    if (shown < count)
        printf("... %zu more values: `foldmill store export` writes all\n", count - shown);
}

static void print_record(const struct store_entry *entry, const struct record_view *view,
                         const struct sample *sample)
{
    char shape[256], raw[32], stored[32];
    printf("key     %s\nsplit   %s\nmade    %016" PRIx64 "%016" PRIx64 "\n", entry->key,
           entry->split[0] ? entry->split : "(none)", entry->made.recipe, entry->made.input);
    printf("size    %s, %s on disk\n\n", text_show_bytes(raw, sizeof raw, entry->raw_bytes),
           text_show_bytes(stored, sizeof stored, entry->stored_bytes));
    printf("%-24s %-20s %10s %10s  VALUES\n", "FIELD", "KIND", "BYTES", "STORED");
    for (int i = 0; i < sample->field_count; i++) {
        printf("%-24s %-20s %10zu %10zu  ", sample->fields[i].name,
               store_shape(&sample->fields[i], shape, sizeof shape), view->fields[i].raw_bytes,
               view->fields[i].stored_bytes);
        print_preview(&sample->fields[i]);
        putchar('\n');
    }
}

int store_show(struct store *store, int argc, char **argv)
{
    struct arena arena;
    struct error err;
    struct store_entry entry;
    struct record_view view;
    struct sample sample;
    if (!command_rest(&command_store, argc, argv, 1, 2))
        return EXIT_USAGE;
    const char *key = argv[1], *fields[] = {argc > 2 ? argv[2] : NULL, NULL};
    arena_open(&arena, 0);
    enum status status = store_find(store, key, &entry, &err);
    if (status == STATUS_OK && entry.refused) {
        printf("key     %s\nsplit   %s\nrefused %s\n", entry.key,
               entry.split[0] ? entry.split : "(none)", entry.reason);
        arena_close(&arena);
        return EXIT_GOOD;
    }
    if (status == STATUS_OK)
        status = store_peek(store, key, &view, &err);
    if (status == STATUS_OK)
        status = store_get(store, key, fields[0] ? fields : NULL, NULL, &arena, &sample, &err);
    if (status == STATUS_OK && fields[0] && sample.field_count == 0)
        status = error_set(&err, STATUS_MISS, "%s has no field %s; `foldmill store show PATH %s` "
                           "lists those that it has", key, fields[0], key);
    else if (status == STATUS_OK && fields[0])
        print_field(&sample.fields[0]);
    else if (status == STATUS_OK)
        print_record(&entry, &view, &sample);
    else if (status == STATUS_MISS)
        error_set(&err, STATUS_MISS, "there is no %s; `foldmill store ls PATH` lists all keys",
                  key);
    arena_close(&arena);
    return status == STATUS_OK ? EXIT_GOOD : store_complain(&err);
}

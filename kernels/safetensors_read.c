/* Reads the format safetensors; its header is a stream of JSON events (libyajl). */
#include "kernels/safetensors_inside.h"

#include <stdio.h>
#include <string.h>
#include <yajl/yajl_parse.h>

/* Where in the header's shape the stream stands. */
enum place {
    PLACE_OUTSIDE, /* wants the outermost map */
    PLACE_NAMES,   /* in it: wants a tensor's name or __metadata__ */
    PLACE_NOTES,   /* behind __metadata__: wants a map */
    PLACE_NOTE,    /* in it: wants a key */
    PLACE_TEXT,    /* behind that: wants a text */
    PLACE_TENSOR,  /* behind a name: wants a map */
    PLACE_KEYS,    /* in it: wants dtype, shape or data_offsets */
    PLACE_DTYPE,
    PLACE_SHAPE,   /* wants a list */
    PLACE_SIZES,   /* in it: wants sizes */
    PLACE_OFFSETS, /* wants a list */
    PLACE_BEGIN,   /* in it: wants two numbers and its end */
    PLACE_END,
    PLACE_ENDED,
    PLACE_DONE
};

static const char *const wanted[] = {
    [PLACE_OUTSIDE] = "{",       [PLACE_NAMES] = "a tensor's name",
    [PLACE_NOTES] = "{ of notes", [PLACE_NOTE] = "a note's key",
    [PLACE_TEXT] = "a note's text", [PLACE_TENSOR] = "{ of a tensor",
    [PLACE_KEYS] = "dtype, shape or data_offsets", [PLACE_DTYPE] = "a dtype",
    [PLACE_SHAPE] = "[ of sizes", [PLACE_SIZES] = "a size",
    [PLACE_OFFSETS] = "[ of two offsets", [PLACE_BEGIN] = "an offset",
    [PLACE_END] = "an offset",   [PLACE_ENDED] = "]",
    [PLACE_DONE] = "the end"};

enum { HAS_DTYPE = 1, HAS_SHAPE = 2, HAS_OFFSETS = 4, HAS_ALL = 7 };

struct reader {
    struct safetensors *to;
    struct arena *arena;
    struct span numbers; /* behind the header */
    enum place place;
    struct safetensor tensor;
    int has;
    size_t width; /* of the dtype; 0: not known */
    uint64_t begin, end;
    int room;
    struct error *err;
    bool failed;
};

static int fail(struct reader *r, enum status status, const char *what)
{
    if (!r->failed && r->tensor.name)
        error_set(r->err, status, "tensor %s: %s", r->tensor.name, what);
    else if (!r->failed)
        error_set(r->err, status, "the header: %s", what);
    r->failed = true;
    return 0;
}

static int unexpected(struct reader *r)
{
    char text[64];
    snprintf(text, sizeof text, "%s is wanted here", wanted[r->place]);
    return fail(r, STATUS_INVALID, text);
}

static const char *keep(struct reader *r, const unsigned char *text, size_t size)
{
    if (size >= SAFETENSORS_NAME_MAX || memchr(text, 0, size)) {
        fail(r, STATUS_LIMIT, "a name is too long or holds a zero byte");
        return NULL;
    }
    return arena_text(r->arena, (const char *)text, size);
}

/* The tensor in hand is whole. */
static int tensor_done(struct reader *r)
{
    struct safetensor *t = &r->tensor;
    uint64_t count;
    if (r->has != HAS_ALL)
        return fail(r, STATUS_INVALID, "dtype, shape or data_offsets is missing");
    if (r->begin > r->end || r->end > r->numbers.size)
        return fail(r, STATUS_CORRUPT, "its numbers do not lie inside the file");
    t->bytes = (size_t)(r->end - r->begin);
    t->data = r->numbers.data + r->begin;
    if (!safetensors_count(t, &count) ||
        (r->width && (count > t->bytes || count * r->width != t->bytes)))
        return fail(r, STATUS_INVALID, "its shape does not fit its numbers");
    if (t->kind == SAFETENSOR_F32 && (uintptr_t)t->data % sizeof(float) != 0)
        return fail(r, STATUS_INVALID, "its numbers are not on a multiple of four bytes");
    if (r->to->count == r->room) {
        int room = r->room ? 2 * r->room : 256;
        struct safetensor *more = arena_try(r->arena, (size_t)room, sizeof *more);
        if (!more || r->to->count >= SAFETENSORS_MAX)
            return fail(r, STATUS_LIMIT, "the file has too many tensors");
        if (r->room)
            memcpy(more, r->to->tensor, (size_t)r->room * sizeof *more);
        r->to->tensor = more, r->room = room;
    }
    r->to->tensor[r->to->count++] = *t;
    r->tensor = (struct safetensor){0};
    r->place = PLACE_NAMES;
    return 1;
}

static int on_map(void *user)
{
    struct reader *r = user;
    if (r->place == PLACE_OUTSIDE)
        r->place = PLACE_NAMES;
    else if (r->place == PLACE_NOTES)
        r->place = PLACE_NOTE;
    else if (r->place == PLACE_TENSOR)
        r->place = PLACE_KEYS;
    else
        return unexpected(r);
    return 1;
}

static int on_end_map(void *user)
{
    struct reader *r = user;
    if (r->place == PLACE_KEYS)
        return tensor_done(r);
    if (r->place != PLACE_NAMES && r->place != PLACE_NOTE)
        return unexpected(r);
    r->place = r->place == PLACE_NOTE ? PLACE_NAMES : PLACE_DONE;
    return 1;
}

static int take_key(struct reader *r, struct span key)
{
    static const struct {
        const char *name;
        enum place place;
        int has;
    } keys[] = {{"dtype", PLACE_DTYPE, HAS_DTYPE},
                {"shape", PLACE_SHAPE, HAS_SHAPE},
                {"data_offsets", PLACE_OFFSETS, HAS_OFFSETS}};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (span_is(key, keys[i].name) && !(r->has & keys[i].has)) {
            r->place = keys[i].place;
            r->has |= keys[i].has;
            return 1;
        }
    return unexpected(r);
}

static int on_key(void *user, const unsigned char *text, size_t size)
{
    struct reader *r = user;
    struct span key = {(const char *)text, size};
    if (r->place == PLACE_KEYS)
        return take_key(r, key);
    if (r->place == PLACE_NAMES && span_is(key, "__metadata__")) {
        r->place = PLACE_NOTES;
        return 1;
    }
    if (r->place != PLACE_NAMES && r->place != PLACE_NOTE)
        return unexpected(r);
    const char *name = keep(r, text, size);
    if (!name)
        return 0;
    if (r->place == PLACE_NOTE) {
        if (r->to->notes == SAFETENSORS_NOTES_MAX)
            return fail(r, STATUS_LIMIT, "too many notes");
        r->to->note[r->to->notes].key = name;
        r->place = PLACE_TEXT;
        return 1;
    }
    r->tensor = (struct safetensor){.name = name};
    r->has = 0;
    r->place = PLACE_TENSOR;
    return 1;
}

static int on_text(void *user, const unsigned char *text, size_t size)
{
    struct reader *r = user;
    struct span value = {(const char *)text, size};
    if (r->place == PLACE_TEXT) {
        const char *kept = keep(r, text, size);
        if (!kept)
            return 0;
        r->to->note[r->to->notes++].text = kept;
        r->place = PLACE_NOTE;
        return 1;
    }
    if (r->place != PLACE_DTYPE)
        return unexpected(r);
    static const struct {
        const char *name;
        enum safetensor_kind kind;
        size_t width;
    } dtypes[] = {{"F32", SAFETENSOR_F32, 4},
                  {"BF16", SAFETENSOR_BF16, 2},
                  {"F16", SAFETENSOR_F16, 2},
                  {"U8", SAFETENSOR_U8, 1}};
    r->tensor.kind = SAFETENSOR_OTHER;
    r->width = 0;
    for (size_t i = 0; i < sizeof dtypes / sizeof *dtypes; i++)
        if (span_is(value, dtypes[i].name)) {
            r->tensor.kind = dtypes[i].kind;
            r->width = dtypes[i].width;
        }
    r->place = PLACE_KEYS;
    return 1;
}

static int on_list(void *user)
{
    struct reader *r = user;
    if (r->place != PLACE_SHAPE && r->place != PLACE_OFFSETS)
        return unexpected(r);
    r->place = r->place == PLACE_SHAPE ? PLACE_SIZES : PLACE_BEGIN;
    return 1;
}

static int on_end_list(void *user)
{
    struct reader *r = user;
    if (r->place != PLACE_SIZES && r->place != PLACE_ENDED)
        return unexpected(r);
    r->place = PLACE_KEYS;
    return 1;
}

static int on_integer(void *user, long long value)
{
    struct reader *r = user;
    if (value < 0)
        return fail(r, STATUS_INVALID, "a number is negative");
    if (r->place == PLACE_SIZES) {
        if (r->tensor.rank == SAFETENSORS_RANK_MAX)
            return fail(r, STATUS_LIMIT, "it has more than four axes");
        r->tensor.dim[r->tensor.rank++] = (uint64_t)value;
    } else if (r->place == PLACE_BEGIN) {
        r->begin = (uint64_t)value;
        r->place = PLACE_END;
    } else if (r->place == PLACE_END) {
        r->end = (uint64_t)value;
        r->place = PLACE_ENDED;
    } else {
        return unexpected(r);
    }
    return 1;
}

static int on_other(void *user)
{
    return unexpected(user);
}

static int on_bool(void *user, int value)
{
    (void)value;
    return unexpected(user);
}

static int on_double(void *user, double value)
{
    (void)value;
    return unexpected(user);
}

static const yajl_callbacks events = {.yajl_null = on_other,
                                      .yajl_boolean = on_bool,
                                      .yajl_integer = on_integer,
                                      .yajl_double = on_double,
                                      .yajl_string = on_text,
                                      .yajl_start_map = on_map,
                                      .yajl_map_key = on_key,
                                      .yajl_end_map = on_end_map,
                                      .yajl_start_array = on_list,
                                      .yajl_end_array = on_end_list};

static enum status header_parse(struct reader *r, struct span header)
{
    yajl_handle handle = yajl_alloc(&events, NULL, r);
    ASSERT(handle);
    yajl_status parsed =
        yajl_parse(handle, (const unsigned char *)header.data, header.size);
    if (parsed == yajl_status_ok)
        parsed = yajl_complete_parse(handle);
    if (parsed != yajl_status_ok && !r->failed)
        fail(r, STATUS_INVALID, "it is not JSON");
    yajl_free(handle);
    if (!r->failed && r->place != PLACE_DONE)
        unexpected(r);
    return r->failed ? (r->err ? r->err->status : STATUS_INVALID) : STATUS_OK;
}

/* Before anything of the file is believed. */
static enum status checksum_verify(struct span content, struct span header, bool *checked,
                                   struct error *err)
{
    static const char key[] = "\"" CHECKSUM_NOTE "\":\"";
    const char *at = memmem(header.data, header.size, key, sizeof key - 1);
    *checked = false;
    if (!at || (size_t)(header.data + header.size - at) < sizeof key - 1 + CHECKSUM_DIGITS)
        return STATUS_OK;
    char digits[CHECKSUM_DIGITS + 1];
    at += sizeof key - 1;
    snprintf(digits, sizeof digits, "%016llx",
             (unsigned long long)safetensors_checksum(content, at));
    if (memcmp(at, digits, CHECKSUM_DIGITS) != 0)
        return error_set(err, STATUS_CORRUPT, "the checksum is wrong: damaged, or cut off");
    *checked = true;
    return STATUS_OK;
}

enum status safetensors_parse(struct span content, struct arena *arena, struct safetensors *to,
                              struct error *err)
{
    uint64_t size;
    *to = (struct safetensors){0};
    if (content.size < sizeof size + 2)
        return error_set(err, STATUS_INVALID, "no safetensors file: %zu bytes", content.size);
    memcpy(&size, content.data, sizeof size);
    if (size > SAFETENSORS_HEADER_MAX || content.data[sizeof size] != '{')
        return error_set(err, STATUS_INVALID,
                         "no safetensors file: it does not begin with a header of JSON");
    if (size > content.size - sizeof size)
        return error_set(err, STATUS_CORRUPT, "cut off inside its header");
    struct span header = {content.data + sizeof size, (size_t)size};
    enum status status = checksum_verify(content, header, &to->checked, err);
    if (status != STATUS_OK)
        return status;
    struct reader r = {.to = to,
                       .arena = arena,
                       .err = err,
                       .numbers = {header.data + size, content.size - sizeof size - (size_t)size}};
    return header_parse(&r, header);
}

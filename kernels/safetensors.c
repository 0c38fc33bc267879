/* Writes the format safetensors; see safetensors.h. */
#include "kernels/safetensors.h"

#include "engine/base/file.h"
#include "kernels/safetensors_inside.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ALIGN = 64, PIECE_BYTES = 1 << 20 };

static const char *const dtypes[] = {"F32", "BF16", "F16", "U8"};
static const size_t widths[] = {4, 2, 2, 1};

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "files are little-endian");

bool safetensors_count(const struct safetensor *t, uint64_t *count)
{
    *count = 1;
    for (int i = 0; i < t->rank; i++)
        if (__builtin_mul_overflow(*count, t->dim[i], count))
            return false;
    return true;
}

uint64_t safetensors_checksum(struct span file, const char *digits)
{
    static const char zeros[CHECKSUM_DIGITS + 1] = "0000000000000000";
    size_t before = (size_t)(digits - file.data), after = before + CHECKSUM_DIGITS;
    XXH3_state_t *state = XXH3_createState();
    ASSERT(state);
    XXH3_64bits_reset(state);
    XXH3_64bits_update(state, file.data, before);
    XXH3_64bits_update(state, zeros, CHECKSUM_DIGITS);
    XXH3_64bits_update(state, file.data + after, file.size - after);
    uint64_t checksum = XXH3_64bits_digest(state);
    XXH3_freeState(state);
    return checksum;
}

/* Printable and needs no escape in JSON. */
static enum status check_text(const char *text, bool may_be_empty, struct error *err)
{
    size_t size = strlen(text);
    if (size >= SAFETENSORS_NAME_MAX || (size == 0 && !may_be_empty))
        return error_set(err, STATUS_LIMIT,
                         "the name \"%.200s\" has %zu bytes; 1 to %d are allowed", text, size,
                         SAFETENSORS_NAME_MAX - 1);
    for (size_t i = 0; i < size; i++)
        if (text[i] < ' ' || text[i] > '~' || text[i] == '"' || text[i] == '\\')
            return error_set(err, STATUS_LIMIT,
                             "byte %zu of the name \"%s\" needs an escape: use letters, digits and "
                             "punctuation",
                             i, text);
    return STATUS_OK;
}

static enum status check(const struct safetensors *s, struct error *err)
{
    if (s->count > SAFETENSORS_MAX || s->notes >= SAFETENSORS_NOTES_MAX)
        return error_set(err, STATUS_LIMIT, "%d tensors and %d notes; %d and %d are allowed",
                         s->count, s->notes, SAFETENSORS_MAX, SAFETENSORS_NOTES_MAX - 1);
    enum status status = STATUS_OK;
    for (int i = 0; i < s->count && status == STATUS_OK; i++) {
        const struct safetensor *t = &s->tensor[i];
        uint64_t count;
        ASSERT(t->rank >= 0 && t->rank <= SAFETENSORS_RANK_MAX && t->kind != SAFETENSOR_OTHER);
        ASSERT(i == 0 || t->kind >= s->tensor[i - 1].kind);
        ASSERT(safetensors_count(t, &count) && count * widths[t->kind] == t->bytes);
        ASSERT(t->data || t->bytes == 0 || s->read);
        status = check_text(t->name, false, err);
    }
    for (int i = 0; i < s->notes && status == STATUS_OK; i++) {
        status = check_text(s->note[i].key, false, err);
        if (status == STATUS_OK)
            status = check_text(s->note[i].text, true, err);
    }
    return status;
}

/* The header's text, padded so that the numbers begin on a multiple of ALIGN; the caller frees it.
 * *digits: where the checksum's stand. */
static char *header_make(const struct safetensors *s, size_t *size, size_t *digits)
{
    char *text = NULL;
    uint64_t at = 0;
    FILE *out = open_memstream(&text, size);
    ASSERT(out);
    fprintf(out, "{\"__metadata__\":{\"" CHECKSUM_NOTE "\":\"");
    fflush(out);
    *digits = *size;
    fprintf(out, "0000000000000000\"");
    for (int i = 0; i < s->notes; i++)
        fprintf(out, ",\"%s\":\"%s\"", s->note[i].key, s->note[i].text);
    fputc('}', out);
    for (int i = 0; i < s->count; i++) {
        const struct safetensor *t = &s->tensor[i];
        fprintf(out, ",\"%s\":{\"dtype\":\"%s\",\"shape\":[", t->name, dtypes[t->kind]);
        for (int axis = 0; axis < t->rank; axis++)
            fprintf(out, "%s%llu", axis ? "," : "", (unsigned long long)t->dim[axis]);
        fprintf(out, "],\"data_offsets\":[%llu,%llu]}", (unsigned long long)at,
                (unsigned long long)(at + t->bytes));
        at += t->bytes;
    }
    fputc('}', out);
    fflush(out);
    while ((*size + sizeof(uint64_t)) % ALIGN != 0) {
        fputc(' ', out);
        fflush(out);
    }
    fclose(out);
    ASSERT(text);
    return text;
}

/* A file on its way to the disk, and its checksum so far. */
struct output {
    struct file_writer file;
    XXH3_state_t *sum;
};

static enum status put(struct output *out, const void *data, size_t bytes, struct error *err)
{
    XXH3_64bits_update(out->sum, data, bytes);
    return file_append(&out->file, (struct span){data, bytes}, err);
}

static enum status put_tensor(struct output *out, const struct safetensors *from, int at,
                              char *piece, struct error *err)
{
    const struct safetensor *t = &from->tensor[at];
    enum status status = STATUS_OK;
    if (t->data || t->bytes == 0)
        return t->bytes ? put(out, t->data, t->bytes, err) : STATUS_OK;
    for (size_t done = 0; done < t->bytes && status == STATUS_OK;) {
        size_t bytes = t->bytes - done < PIECE_BYTES ? t->bytes - done : PIECE_BYTES;
        from->read(from->user, at, done, bytes, piece);
        status = put(out, piece, bytes, err);
        done += bytes;
    }
    return status;
}

enum status safetensors_write(const struct safetensors *from, const char *path, struct error *err)
{
    size_t size, digits;
    struct output out;
    enum status status = check(from, err);
    if (status != STATUS_OK)
        return status;
    char *header = header_make(from, &size, &digits), *piece = malloc(PIECE_BYTES);
    uint64_t header_bytes = size;
    char sum[CHECKSUM_DIGITS + 1];
    out.sum = XXH3_createState();
    ASSERT(piece && out.sum);
    XXH3_64bits_reset(out.sum);
    if (size > SAFETENSORS_HEADER_MAX)
        status = error_set(err, STATUS_LIMIT, "a header of %zu bytes; %d are allowed", size,
                           SAFETENSORS_HEADER_MAX);
    if (status == STATUS_OK)
        status = file_begin(&out.file, path, err);
    if (status == STATUS_OK)
        status = put(&out, &header_bytes, sizeof header_bytes, err);
    if (status == STATUS_OK)
        status = put(&out, header, size, err);
    for (int i = 0; i < from->count && status == STATUS_OK; i++)
        status = put_tensor(&out, from, i, piece, err);
    snprintf(sum, sizeof sum, "%016llx", (unsigned long long)XXH3_64bits_digest(out.sum));
    if (status == STATUS_OK)
        status = file_patch(&out.file, sizeof header_bytes + digits,
                            (struct span){sum, CHECKSUM_DIGITS}, err);
    if (status == STATUS_OK)
        status = file_commit(&out.file, err);
    XXH3_freeState(out.sum);
    free(piece);
    free(header);
    return status;
}

static float float_of_bits(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* IEEE 754 binary16: a sign, 5 bits of exponent, 10 of fraction; every one is a float. */
static float float_of_half(uint16_t half)
{
    uint32_t sign = (uint32_t)(half & 0x8000) << 16, exponent = half >> 10 & 31;
    uint32_t fraction = half & 0x3ff;
    float value;
    if (exponent == 0) /* zero, and what is below the smallest power */
        value = (float)fraction * 0x1p-24f;
    else
        value = float_of_bits((exponent == 31 ? 255u : exponent + 112) << 23 | fraction << 13);
    return sign ? -value : value;
}

void safetensors_floats(const struct safetensor *t, float *values, uint64_t count)
{
    ASSERT(t->kind <= SAFETENSOR_F16 && count * widths[t->kind] <= t->bytes);
    if (t->kind == SAFETENSOR_F32) {
        memcpy(values, t->data, count * sizeof *values);
        return;
    }
    for (uint64_t i = 0; i < count; i++) {
        uint16_t bits;
        memcpy(&bits, (const char *)t->data + i * sizeof bits, sizeof bits);
        values[i] = t->kind == SAFETENSOR_F16 ? float_of_half(bits)
                                              : float_of_bits((uint32_t)bits << 16);
    }
}

const struct safetensor *safetensors_find(const struct safetensors *s, const char *name)
{
    for (int i = 0; i < s->count; i++)
        if (strcmp(s->tensor[i].name, name) == 0)
            return &s->tensor[i];
    return NULL;
}

const char *safetensors_note(const struct safetensors *s, const char *key)
{
    for (int i = 0; i < s->notes; i++)
        if (strcmp(s->note[i].key, key) == 0)
            return s->note[i].text;
    return NULL;
}

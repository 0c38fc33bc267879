/* A sample: one protein's data on its walk through a graph - named typed arrays under a key. The
 * arrays are dense, row-major, little-endian and start on 64 bytes; a dimension may be 0 (no
 * templates). A sample owns nothing: its arrays lie in an arena, a received block or a store. */
#ifndef FOLDMILL_SAMPLE_H
#define FOLDMILL_SAMPLE_H

#include "engine/base/arena.h"
#include "engine/base/error.h"
#include "engine/base/text.h"

#include <stddef.h>
#include <stdint.h>

enum {
    SAMPLE_KEY_MAX = 255,   /* bytes, without the NUL */
    SAMPLE_FIELDS_MAX = 64,
    SAMPLE_RANK_MAX = 6,
    FIELD_NAME_MAX = 47,    /* bytes, without the NUL */
};

/* No sample is larger: readers refuse more before they allocate. */
#define SAMPLE_BYTES_MAX ((size_t)1 << 30)

enum kind { KIND_I8, KIND_U8, KIND_I16, KIND_I32, KIND_I64, KIND_F32, KIND_BF16, KIND_BOOL,
            KIND_COUNT };

/* Bytes of one element. */
size_t kind_size(enum kind kind);
/* "f32"; and back (STATUS_INVALID when there is no such kind). */
const char *kind_name(enum kind kind);
enum status kind_parse(struct span text, enum kind *kind);

struct field {
    char name[FIELD_NAME_MAX + 1];
    enum kind kind;
    int rank;                       /* 0 (a scalar) .. SAMPLE_RANK_MAX */
    int64_t size[SAMPLE_RANK_MAX];
    void *data;                     /* field_bytes(field) bytes */
};

/* Where the rows of a sample's lazy fields are, those without data: see sample_rows. */
struct row_source {
    enum status (*read)(struct row_source *source, const struct field *field, const int32_t *rows,
                        size_t count, void *to, struct error *err);
    enum status failed; /* how it failed first; STATUS_OK: it has not */
};

struct sample {
    char key[SAMPLE_KEY_MAX + 1];
    int field_count;
    struct field fields[SAMPLE_FIELDS_MAX];
    struct row_source *source; /* NULL: all fields have their data */
};

/* Checks name, kind, rank and sizes and computes the bytes of a field: the one place where sizes
 * from outside are multiplied. STATUS_INVALID or STATUS_LIMIT. */
enum status field_measure(const struct field *field, size_t *bytes, struct error *err);

/* Elements and bytes of a field that field_measure has accepted. */
size_t field_count(const struct field *field);
size_t field_bytes(const struct field *field);

/* Makes sample empty, under key. STATUS_INVALID when key is empty, too long, or holds control
 * characters. */
enum status sample_open(struct sample *sample, struct span key, struct error *err);

/* Adds a zeroed array in arena and returns its data; size has rank entries. Aborts on a name
 * twice, too many fields or an impossible size: names and shapes are the stage's own. */
void *sample_add(struct sample *sample, struct arena *arena, const char *name, enum kind kind,
                 int rank, const int64_t *size);

/* Short forms of sample_add. */
void *sample_add_1(struct sample *sample, struct arena *arena, const char *name, enum kind kind,
                   int64_t n);
void *sample_add_2(struct sample *sample, struct arena *arena, const char *name, enum kind kind,
                   int64_t n, int64_t m);
void *sample_add_3(struct sample *sample, struct arena *arena, const char *name, enum kind kind,
                   int64_t n, int64_t m, int64_t k);
void sample_add_f32(struct sample *sample, struct arena *arena, const char *name, float value);
void sample_add_i32(struct sample *sample, struct arena *arena, const char *name, int32_t value);
void sample_add_text(struct sample *sample, struct arena *arena, const char *name,
                     struct span text); /* u8[n] */

/* Puts a field that lies elsewhere into the sample (no copy). */
enum status sample_put(struct sample *sample, const struct field *field, struct error *err);

/* The field of that name, or NULL. */
const struct field *sample_find(const struct sample *sample, const char *name);

/* The field, which must have this kind and rank: STATUS_INVALID names what was wanted and found. */
enum status sample_need(const struct sample *sample, const char *name, enum kind kind, int rank,
                        const struct field **field, struct error *err);

/* Copies rows rows[count] of the first axis of one of the sample's fields to `to`, one after
 * another; each row is all that lies behind that axis. Of a lazy field they are read now, and only
 * what holds them is touched. Row numbers must be there; any order, also twice. STATUS_CORRUPT
 * names key and field; STATUS_MISS: the record was replaced meanwhile; STATUS_IO, STATUS_LIMIT. A
 * stage returns them as they are. */
enum status sample_rows(const struct sample *sample, const struct field *field, const int32_t *rows,
                        size_t count, void *to, struct error *err);

/* The bytes of a u8[n] field as text; empty when it is not there. */
struct span sample_text(const struct sample *sample, const char *name);

/* Bytes of all arrays together. */
size_t sample_bytes(const struct sample *sample);

/* XXH3-64 of key, names, kinds, sizes and contents in field order: equal digests mean equal
 * samples. */
uint64_t sample_digest(const struct sample *sample);

#endif

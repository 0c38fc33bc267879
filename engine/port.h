/* Ports at work: does a sample hold the fields that a stage takes or makes, with these kinds and
 * ranks, fixed sizes as written, and equal sizes where the same capital stands? */
#ifndef FOLDMILL_PORT_H
#define FOLDMILL_PORT_H

#include "engine/base/error.h"
#include "engine/base/text.h"
#include "engine/sample.h"
#include "engine/stage.h"

#include <stdbool.h>

/* A row of a port, "msa:u8[N,L]": dim is a capital's character, or 0 where size is fixed. */
struct port_field {
    char name[FIELD_NAME_MAX + 1];
    enum kind kind;
    int rank;
    char dim[SAMPLE_RANK_MAX];
    int64_t size[SAMPLE_RANK_MAX];
    bool optional; /* "?" at the end */
    bool lazy;     /* "~" at the very end: sample_rows gives its rows, it may come without data */
};

/* Reads a row. STATUS_INVALID: it is not of the form above. */
enum status port_parse(const char *text, struct port_field *field, struct error *err);

/* The rows of a port, read once. */
struct port_table {
    int count;
    const char *row[SAMPLE_FIELDS_MAX]; /* as the stage wrote it */
    struct port_field field[SAMPLE_FIELDS_MAX];
    const char *lazy[SAMPLE_FIELDS_MAX + 1]; /* names of the lazy ones, ended by NULL */
};

/* Reads all rows. STATUS_INVALID: port_parse's; STATUS_LIMIT: more than SAMPLE_FIELDS_MAX. */
enum status port_open(const struct port *port, struct port_table *table, struct error *err);

/* STATUS_INVALID names the field, what was wanted and what was found. Fields that the port does
 * not name are of no interest. A port without fields fits every sample. */
enum status port_check(const struct port_table *table, const struct sample *sample,
                       struct error *err);

#endif

/* A3M, A2M and aligned FASTA: a header line with '>' for each row, its letters below. */
#include "stages/bio/alignment.h"
#include "stages/bio/names.h"

#include <string.h>

struct reader {
    struct arena *arena;
    struct alignment *alignment;
    bool dots; /* '.' is skipped (A2M) */
    int64_t line;
    size_t size;      /* letters of all rows so far */
    size_t row_begin; /* where the current row's begin */
    int32_t inserted; /* residues since the last column of the current row */
    int description_capacity, start_capacity, insertion_count, insertion_capacity;
};

static int cut(struct span text, int most)
{
    return text.size < (size_t)most ? (int)text.size : most;
}

/* Checks the current row's width. */
static enum status row_end(struct reader *reader, struct error *err)
{
    struct alignment *a = reader->alignment;
    if (a->rows == 0)
        return STATUS_OK;
    size_t width = reader->size - reader->row_begin;
    struct span name = a->description[a->rows - 1];
    if (a->rows == 1) {
        if (width == 0 || width > ALIGNMENT_WIDTH_MAX)
            return error_set(err, STATUS_REFUSED, "row 1 (%.*s) has %zu columns, wanted 1 to %d",
                             cut(name, 60), name.data, width, ALIGNMENT_WIDTH_MAX);
        a->width = (int)width;
    }
    if (width != (size_t)a->width)
        return error_set(err, STATUS_REFUSED,
                         "line %lld: row %d (%.*s) ends with %zu columns, the first row has %d "
                         "(not aligned, or truncated)",
                         (long long)reader->line, a->rows, cut(name, 60), name.data, width,
                         a->width);
    return STATUS_OK;
}

static enum status row_begin(struct reader *reader, struct span description, struct error *err)
{
    enum status status = row_end(reader, err);
    if (status != STATUS_OK)
        return status;
    struct alignment *a = reader->alignment;
    struct span *descriptions = array_grow(reader->arena, a->description, a->rows,
                                           &reader->description_capacity, sizeof *descriptions);
    int32_t *start = array_grow(reader->arena, a->insertion_start, a->rows, &reader->start_capacity,
                                sizeof *start);
    if (!descriptions || !start || a->rows == ALIGNMENT_ROWS_MAX)
        return error_set(err, STATUS_LIMIT, "line %lld: no room for more than %d rows",
                         (long long)reader->line, a->rows);
    a->description = descriptions;
    a->insertion_start = start;
    descriptions[a->rows] = description;
    start[a->rows++] = reader->insertion_count;
    reader->row_begin = reader->size;
    reader->inserted = 0;
    return STATUS_OK;
}

/* A column with insertions before it. */
static enum status insertion_add(struct reader *reader, struct error *err)
{
    struct alignment *a = reader->alignment;
    struct insertion *array = array_grow(reader->arena, a->insertion, reader->insertion_count,
                                         &reader->insertion_capacity, sizeof *array);
    if (!array)
        return error_set(err, STATUS_LIMIT, "line %lld: no memory for insertions",
                         (long long)reader->line);
    a->insertion = array;
    array[reader->insertion_count++] =
        (struct insertion){(int32_t)(reader->size - reader->row_begin), reader->inserted};
    reader->inserted = 0;
    return STATUS_OK;
}

static enum status letters_read(struct reader *reader, struct span line, struct error *err)
{
    char *letters = reader->alignment->letters;
    for (size_t i = 0; i < line.size; i++) {
        char c = line.data[i];
        if ((c >= 'A' && c <= 'Z') || c == '-') {
            if (reader->inserted) {
                enum status status = insertion_add(reader, err);
                if (status != STATUS_OK)
                    return status;
            }
            letters[reader->size++] = c;
        } else if (c >= 'a' && c <= 'z') {
            reader->inserted++;
        } else if (c != '.' || !reader->dots) {
            return error_set(err, STATUS_REFUSED,
                             "line %lld: character 0x%02x%s in an alignment row; wanted letters "
                             "and '-'",
                             (long long)reader->line, (unsigned)(unsigned char)c,
                             c == '.' ? " ('.': is it A2M? then name it .a2m)" : "");
        }
    }
    return STATUS_OK;
}

enum status a3m_read(struct span content, bool dots, struct arena *arena,
                     struct alignment *alignment, struct error *err)
{
    struct reader reader = {.arena = arena, .alignment = alignment, .dots = dots};
    *alignment = (struct alignment){0};
    alignment->letters = arena_try(arena, content.size, 1);
    alignment->insertion =
        array_grow(arena, NULL, 0, &reader.insertion_capacity, sizeof *alignment->insertion);
    if (!alignment->letters || !alignment->insertion)
        return error_set(err, STATUS_LIMIT, "no memory for %zu letters", content.size);
    struct span rest = content, line;
    enum status status = STATUS_OK;
    while (status == STATUS_OK && span_line(&rest, &line)) {
        reader.line++;
        line = span_trim(line);
        if (line.size == 0 || *line.data == '#')
            continue;
        if (*line.data == '>')
            status = row_begin(&reader, (struct span){line.data + 1, line.size - 1}, err);
        else if (alignment->rows == 0)
            status = error_set(err, STATUS_REFUSED,
                               "line %lld begins with \"%.*s\", wanted a header line with >",
                               (long long)reader.line, cut(line, 20), line.data);
        else
            status = letters_read(&reader, line, err);
    }
    if (status == STATUS_OK)
        status = row_end(&reader, err);
    if (status != STATUS_OK)
        return status;
    if (alignment->rows == 0)
        return error_set(err, STATUS_REFUSED, "no rows: wanted header lines with >");
    int32_t *start = array_grow(arena, alignment->insertion_start, alignment->rows,
                                &reader.start_capacity, sizeof *start);
    if (!start)
        return error_set(err, STATUS_LIMIT, "no memory for %d rows", alignment->rows);
    alignment->insertion_start = start;
    start[alignment->rows] = reader.insertion_count;
    return STATUS_OK;
}

/* A3M, A2M and aligned FASTA: a header line with '>' for each row, its letters below. */
#include "stages/bio/alignment.h"
#include "stages/bio/letters.h"
#include "stages/bio/names.h"

#include <string.h>

struct reader {
    struct arena *arena;
    alignment_row_fn *take;
    void *user;
    bool dots; /* '.' is skipped (A2M) */
    int64_t line;
    int rows, width; /* of the first row */
    struct letters letters;
    char *description; /* of the current row */
    size_t description_size, description_room;
};

static int cut(size_t size, int most)
{
    return size < (size_t)most ? (int)size : most;
}

/* Checks the current row's width and gives the row away. */
static enum status row_end(struct reader *reader, struct error *err)
{
    if (reader->rows == 0)
        return STATUS_OK;
    size_t width = reader->letters.size;
    int shown = cut(reader->description_size, 60);
    if (reader->rows == 1) {
        if (width == 0 || width > ALIGNMENT_WIDTH_MAX)
            return error_set(err, STATUS_REFUSED, "row 1 (%.*s) has %zu columns, wanted 1 to %d",
                             shown, reader->description, width, ALIGNMENT_WIDTH_MAX);
        reader->width = (int)width;
    }
    if (width != (size_t)reader->width)
        return error_set(err, STATUS_REFUSED,
                         "line %lld: row %d (%.*s) ends with %zu columns, the first row has %d "
                         "(not aligned, or truncated)",
                         (long long)reader->line, reader->rows, shown, reader->description, width,
                         reader->width);
    struct alignment_row row = {
        .description = {reader->description, reader->description_size},
        .letters = reader->letters.letter,
        .width = reader->width,
        .insertion = reader->letters.insertion,
        .insertions = reader->letters.insertion_count,
    };
    return reader->take(reader->user, &row, err);
}

static enum status row_begin(struct reader *reader, struct span description, struct error *err)
{
    enum status status = row_end(reader, err);
    if (status != STATUS_OK)
        return status;
    if (description.size && memchr(description.data, 0, description.size))
        return error_set(err, STATUS_REFUSED, "line %lld: not a text file: it holds zero bytes",
                         (long long)reader->line);
    if (description.size > reader->description_room) {
        reader->description_room = 2 * description.size;
        reader->description = arena_try(reader->arena, reader->description_room, 1);
    }
    if ((!reader->description && description.size) || reader->rows == ALIGNMENT_ROWS_MAX)
        return error_set(err, STATUS_LIMIT, "line %lld: no room for more than %d rows",
                         (long long)reader->line, reader->rows);
    if (description.size)
        memcpy(reader->description, description.data, description.size);
    reader->description_size = description.size;
    reader->letters.size = 0;
    reader->letters.insertion_count = 0;
    reader->letters.inserted = 0;
    reader->rows++;
    return STATUS_OK;
}

static enum status letters_read(struct reader *reader, struct span line, struct error *err)
{
    if (!letters_reserve(&reader->letters, line.size, reader->arena))
        return error_set(err, STATUS_LIMIT, "line %lld: no memory for %zu letters",
                         (long long)reader->line, line.size);
    size_t taken = letters_take(&reader->letters, line.data, line.size, reader->dots);
    if (taken == line.size)
        return STATUS_OK;
    char c = line.data[taken];
    return error_set(err, STATUS_REFUSED,
                     "line %lld: character 0x%02x%s in an alignment row; wanted letters and '-'",
                     (long long)reader->line, (unsigned)(unsigned char)c,
                     c == '.' ? " ('.': is it A2M? then name it .a2m)" : "");
}

enum status a3m_rows(struct lines *lines, bool dots, struct arena *arena, alignment_row_fn *take,
                     void *user, struct error *err)
{
    struct reader reader = {.arena = arena, .take = take, .user = user, .dots = dots};
    struct span line;
    enum status status;
    while ((status = lines_next(lines, &line, err)) == STATUS_OK) {
        reader.line++;
        line = span_trim(line);
        if (line.size == 0 || *line.data == '#')
            continue;
        if (*line.data == '>')
            status = row_begin(&reader, (struct span){line.data + 1, line.size - 1}, err);
        else if (reader.rows == 0)
            status = error_set(err, STATUS_REFUSED,
                               "line %lld begins with \"%.*s\", wanted a header line with >",
                               (long long)reader.line, cut(line.size, 20), line.data);
        else
            status = letters_read(&reader, line, err);
        if (status != STATUS_OK)
            return status;
    }
    if (status == STATUS_EMPTY)
        status = row_end(&reader, err);
    if (status == STATUS_OK && reader.rows == 0)
        return error_set(err, STATUS_REFUSED, "no rows: wanted header lines with >");
    return status;
}

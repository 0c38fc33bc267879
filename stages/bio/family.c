/* See family.h. */
#include "stages/bio/family.h"

#include <stdlib.h>
#include <string.h>

/* A row without its gaps. */
struct row {
    int length;
    char *letters;
    int32_t *column; /* of the alignment */
};

static bool row_open(const struct alignment *family, int row, struct arena *arena, struct row *out)
{
    const char *letters = family->letters + (size_t)row * (size_t)family->width;
    out->length = 0;
    out->letters = arena_try(arena, (size_t)family->width + 1, 1);
    out->column = arena_try(arena, (size_t)family->width, sizeof *out->column);
    if (!out->letters || !out->column)
        return false;
    for (int c = 0; c < family->width; c++)
        if (letters[c] != '-') {
            out->letters[out->length] = letters[c];
            out->column[out->length++] = c;
        }
    return true;
}

/* a[length] fits b[length]; half of it without X. */
static bool fits(const char *a, const char *b, int length)
{
    int equal = 0;
    for (int i = 0; i < length; i++) {
        if (a[i] != b[i] && a[i] != 'X' && b[i] != 'X')
            return false;
        equal += a[i] == b[i] && a[i] != 'X';
    }
    return 2 * equal >= length;
}

/* The only place of the shorter in the longer; -1: none, -2: several. */
static int place_find(const char *shorter, int size, const char *longer, int length)
{
    int found = -1;
    for (int at = 0; at + size <= length; at++)
        if (fits(shorter, longer + at, size)) {
            if (found >= 0)
                return -2;
            found = at;
        }
    return found;
}

/* Residue 0 of the chain stands at letter *offset of the row (negative: before it). */
static bool row_fits(const struct row *row, const char *sequence, int length, int *offset)
{
    bool shorter = row->length <= length;
    int size = shorter ? row->length : length, most = shorter ? length : row->length;
    if (2 * size < most)
        return false;
    int place = shorter ? place_find(row->letters, size, sequence, most)
                        : place_find(sequence, size, row->letters, most);
    *offset = shorter ? -place : place;
    return place >= 0;
}

static bool named(struct span row, struct span name)
{
    if (row.size == name.size + 4 && memcmp(row.data + name.size, ".pdb", 4) == 0)
        row.size -= 4;
    return span_equal(row, name);
}

static enum status refuse_row(const struct row *row, struct span name, const char *sequence,
                              int length, struct error *err)
{
    int at = 0;
    while (at < row->length && at < length &&
           (row->letters[at] == sequence[at] || row->letters[at] == 'X' || sequence[at] == 'X'))
        at++;
    char in_row[2] = {at < row->length ? row->letters[at] : '-', 0};
    char in_chain[2] = {at < length ? sequence[at] : '-', 0};
    return error_set(
        err, STATUS_REFUSED,
        "row %.*s of the alignment (%d residues) does not fit the chain (%d residues): "
        "the first difference is at residue %d, %s in the row, %s in the chain",
        (int)(name.size < 60 ? name.size : 60), name.data, row->length, length, at + 1, in_row,
        in_chain);
}

/* Looks for the chain's row; see family.h. */
static enum status row_find(const struct alignment *family, struct span name, const char *sequence,
                            int length, struct arena *arena, struct row *row, int *number,
                            int *offset, struct error *err)
{
    *number = -1;
    for (int i = 0; i < family->rows && *number < 0; i++)
        if (named(alignment_name(family, i), name))
            *number = i;
    if (*number >= 0) {
        if (!row_open(family, *number, arena, row))
            return error_set(err, STATUS_LIMIT, "no memory for %d columns", family->width);
        return row_fits(row, sequence, length, offset)
                   ? STATUS_OK
                   : refuse_row(row, name, sequence, length, err);
    }
    for (int exact = 1; exact >= 0; exact--)
        for (int i = 0; i < family->rows; i++) {
            struct arena_mark mark = arena_mark(arena);
            if (!row_open(family, i, arena, row))
                return error_set(err, STATUS_LIMIT, "no memory for %d columns", family->width);
            bool good =
                exact ? row->length == length && memcmp(row->letters, sequence, (size_t)length) == 0
                      : row_fits(row, sequence, length, offset);
            if (good) {
                *number = i;
                *offset = exact ? 0 : *offset;
                return STATUS_OK;
            }
            arena_rewind(arena, mark);
        }
    return error_set(err, STATUS_REFUSED,
                     "the alignment has no row %.*s and none with the chain's sequence, among %d "
                     "rows (the first is %.*s)",
                     (int)(name.size < 60 ? name.size : 60), name.data, family->rows,
                     (int)(family->description[0].size < 60 ? family->description[0].size : 60),
                     family->description[0].data);
}

/* Exchanges rows so that number comes first and the others keep their order. */
static enum status rows_order(struct alignment *view, int number, const char *sequence,
                              struct arena *arena, struct error *err)
{
    size_t width = (size_t)view->width, rows = (size_t)view->rows;
    struct alignment old = *view;
    view->letters = arena_try(arena, rows, width);
    view->description = arena_try(arena, rows, sizeof *view->description);
    view->insertion_start = arena_try(arena, rows + 1, sizeof *view->insertion_start);
    view->insertion =
        arena_try(arena, (size_t)old.insertion_start[rows] + 1, sizeof *view->insertion);
    if (!view->letters || !view->description || !view->insertion_start || !view->insertion)
        return error_set(err, STATUS_LIMIT, "no memory for %zu rows of %zu columns", rows, width);
    memcpy(view->letters, sequence, width);
    view->description[0] = old.description[number];
    view->insertion_start[0] = 0;
    int32_t insertions = 0; /* the chain itself has none */
    size_t to = 1;
    for (int row = 0; row < old.rows; row++) {
        if (row == number)
            continue;
        memcpy(view->letters + to * width, old.letters + (size_t)row * width, width);
        view->description[to] = old.description[row];
        view->insertion_start[to++] = insertions;
        int32_t first = old.insertion_start[row], count = old.insertion_start[row + 1] - first;
        if (count)
            memcpy(view->insertion + insertions, old.insertion + first,
                   (size_t)count * sizeof *view->insertion);
        insertions += count;
    }
    view->insertion_start[rows] = insertions;
    return STATUS_OK;
}

enum status family_view(const struct alignment *family, struct span name, const char *sequence,
                        int length, struct arena *arena, struct alignment *view, struct error *err)
{
    struct row row;
    int number, offset = 0;
    enum status status =
        row_find(family, name, sequence, length, arena, &row, &number, &offset, err);
    if (status != STATUS_OK)
        return status;
    int32_t *keep = arena_try(arena, (size_t)length, sizeof *keep);
    if (!keep)
        return error_set(err, STATUS_LIMIT, "no memory for %d residues", length);
    for (int i = 0; i < length; i++) {
        int at = i + offset;
        keep[i] = at >= 0 && at < row.length ? row.column[at] : -1;
    }
    status = alignment_keep(family, keep, length, arena, view, err);
    return status == STATUS_OK ? rows_order(view, number, sequence, arena, err) : status;
}

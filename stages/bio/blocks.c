/* See blocks.h. */
#include "stages/bio/blocks.h"

#include <string.h>

struct block_piece {
    struct span letters;
    int row;
};

void blocks_open(struct blocks *blocks, struct arena *arena)
{
    *blocks = (struct blocks){.arena = arena};
    names_open(&blocks->names, arena);
}

static bool is_letter(char c)
{
    return ((c >= 'A') & (c <= 'Z')) | (c == '-');
}

enum status blocks_add(struct blocks *blocks, int64_t line, struct span name, struct span letters,
                       struct error *err)
{
    bool good = true; /* no early end: so the loop is one of vectors */
    for (size_t i = 0; i < letters.size; i++)
        good &= is_letter(letters.data[i]);
    if (!good) {
        size_t at = 0;
        while (is_letter(letters.data[at]))
            at++;
        return error_set(err, STATUS_REFUSED,
                         "line %lld: character 0x%02x in row %.*s; wanted upper-case letters "
                         "and '-'",
                         (long long)line, (unsigned)(unsigned char)letters.data[at],
                         (int)(name.size < 60 ? name.size : 60), name.data);
    }
    bool fresh;
    int row = names_add(&blocks->names, name, &fresh);
    size_t *size = array_grow(blocks->arena, blocks->size, blocks->names.count - fresh,
                              &blocks->size_capacity, sizeof *size);
    struct block_piece *piece = array_grow(blocks->arena, blocks->piece, blocks->piece_count,
                                           &blocks->piece_capacity, sizeof *piece);
    if (row < 0 || !size || !piece || row >= ALIGNMENT_ROWS_MAX)
        return error_set(err, STATUS_LIMIT, "line %lld: no room for more than %d rows",
                         (long long)line, blocks->names.count);
    blocks->size = size;
    blocks->piece = piece;
    size[row] = (fresh ? 0 : size[row]) + letters.size;
    piece[blocks->piece_count++] = (struct block_piece){letters, row};
    return STATUS_OK;
}

enum status blocks_join(const struct blocks *blocks, struct alignment *alignment, struct error *err)
{
    int rows = blocks->names.count;
    if (rows == 0)
        return error_set(err, STATUS_REFUSED, "the alignment has no rows");
    size_t width = blocks->size[0];
    if (width == 0 || width > ALIGNMENT_WIDTH_MAX)
        return error_set(err, STATUS_REFUSED, "%zu columns, wanted 1 to %d", width,
                         ALIGNMENT_WIDTH_MAX);
    for (int row = 0; row < rows; row++) {
        struct span name = blocks->names.name[row];
        if (blocks->size[row] != width)
            return error_set(err, STATUS_REFUSED,
                             "row %d (%.*s) has %zu columns, the first row has %zu (truncated?)",
                             row + 1, (int)(name.size < 60 ? name.size : 60), name.data,
                             blocks->size[row], width);
    }
    *alignment = (struct alignment){.rows = rows, .width = (int)width};
    alignment->description = blocks->names.name;
    alignment->letters = arena_try(blocks->arena, (size_t)rows, width);
    alignment->insertion_start =
        arena_try(blocks->arena, (size_t)rows + 1, sizeof *alignment->insertion_start);
    alignment->insertion = arena_try(blocks->arena, 1, sizeof *alignment->insertion);
    size_t *filled = arena_try(blocks->arena, (size_t)rows, sizeof *filled);
    if (!alignment->letters || !alignment->insertion_start || !alignment->insertion || !filled)
        return error_set(err, STATUS_LIMIT, "no memory for %d rows of %zu columns", rows, width);
    memset(alignment->insertion_start, 0, ((size_t)rows + 1) * sizeof(int32_t));
    memset(filled, 0, (size_t)rows * sizeof *filled);
    for (int i = 0; i < blocks->piece_count; i++) {
        const struct block_piece *piece = &blocks->piece[i];
        size_t row = (size_t)piece->row;
        if (piece->letters.size)
            memcpy(alignment->letters + row * width + filled[row], piece->letters.data,
                   piece->letters.size);
        filled[row] += piece->letters.size;
    }
    return STATUS_OK;
}

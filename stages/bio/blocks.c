/* See blocks.h. */
#include "stages/bio/blocks.h"

#include <string.h>

enum { LETTERS_ROOM = 1 << 20 };

struct block_piece {
    const char *letters;
    int size, next; /* letters; the row's next piece, -1: none */
};

struct block_row {
    size_t size; /* letters of all its pieces */
    int first, last;
};

void blocks_open(struct blocks *blocks, struct arena *arena)
{
    *blocks = (struct blocks){.arena = arena};
    names_open(&blocks->names, arena);
}

static uint8_t is_letter(char c)
{
    return (uint8_t)((uint8_t)(c - 'A') < 26) | (uint8_t)(c == '-');
}

/* A copy of text; NULL: no memory. */
static char *keep(struct blocks *blocks, struct span text)
{
    if (text.size > blocks->letters_room) {
        size_t room = text.size > LETTERS_ROOM ? text.size : LETTERS_ROOM;
        char *letters = arena_try(blocks->arena, room, 1);
        if (!letters) /* a small arena may have room for the text alone */
            letters = arena_try(blocks->arena, room = text.size, 1);
        if (!letters)
            return NULL;
        blocks->letters = letters;
        blocks->letters_room = room;
    }
    char *copy = blocks->letters;
    if (text.size)
        memcpy(copy, text.data, text.size);
    blocks->letters += text.size;
    blocks->letters_room -= text.size;
    return copy;
}

/* Keeps a piece of the row; false: no memory. */
static bool piece_add(struct blocks *blocks, int number, struct span letters)
{
    struct block_row *row = &blocks->row[number];
    struct block_piece *piece = array_grow(blocks->arena, blocks->piece, blocks->piece_count,
                                           &blocks->piece_room, sizeof *piece);
    if (piece)
        blocks->piece = piece;
    char *copy = piece && letters.size <= INT32_MAX ? keep(blocks, letters) : NULL;
    if (!copy)
        return false;
    if (row->last >= 0)
        piece[row->last].next = blocks->piece_count;
    else
        row->first = blocks->piece_count;
    row->last = blocks->piece_count;
    row->size += letters.size;
    piece[blocks->piece_count++] = (struct block_piece){copy, (int)letters.size, -1};
    return true;
}

enum status blocks_add(struct blocks *blocks, int64_t line, struct span name, struct span letters,
                       struct error *err)
{
    uint8_t good = 1; /* no early end, and bytes: so the loop is one of vectors */
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
    int row = names_find(&blocks->names, name);
    bool room = true;
    if (row < 0) {
        char *copy = keep(blocks, name);
        struct block_row *rows = array_grow(blocks->arena, blocks->row, blocks->names.count,
                                            &blocks->row_room, sizeof *rows);
        row = copy && rows ? names_add(&blocks->names, (struct span){copy, name.size}, NULL) : -1;
        room = row >= 0 && row < ALIGNMENT_ROWS_MAX;
        if (room) {
            blocks->row = rows;
            rows[row] = (struct block_row){.first = -1, .last = -1};
        }
    }
    if (!room || !piece_add(blocks, row, letters))
        return error_set(err, STATUS_LIMIT, "line %lld: no room for more than %d rows",
                         (long long)line, blocks->names.count);
    return STATUS_OK;
}

enum status blocks_rows(const struct blocks *blocks, alignment_row_fn *take, void *user,
                        struct error *err)
{
    int rows = blocks->names.count;
    if (rows == 0)
        return error_set(err, STATUS_REFUSED, "the alignment has no rows");
    size_t width = blocks->row[0].size;
    if (width == 0 || width > ALIGNMENT_WIDTH_MAX)
        return error_set(err, STATUS_REFUSED, "%zu columns, wanted 1 to %d", width,
                         ALIGNMENT_WIDTH_MAX);
    char *letters = arena_try(blocks->arena, width, 1);
    if (!letters)
        return error_set(err, STATUS_LIMIT, "no memory for %zu columns", width);
    for (int i = 0; i < rows; i++) {
        struct span name = blocks->names.name[i];
        if (blocks->row[i].size != width)
            return error_set(err, STATUS_REFUSED,
                             "row %d (%.*s) has %zu columns, the first row has %zu (truncated?)",
                             i + 1, (int)(name.size < 60 ? name.size : 60), name.data,
                             blocks->row[i].size, width);
        size_t size = 0;
        for (int p = blocks->row[i].first; p >= 0; p = blocks->piece[p].next) {
            memcpy(letters + size, blocks->piece[p].letters, (size_t)blocks->piece[p].size);
            size += (size_t)blocks->piece[p].size;
        }
        struct alignment_row row = {.description = name, .letters = letters, .width = (int)width};
        enum status status = take(user, &row, err);
        if (status != STATUS_OK)
            return status;
    }
    return STATUS_OK;
}

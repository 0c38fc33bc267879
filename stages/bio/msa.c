/* De-duplication, encoding, profile; see msa.h. Rows are encoded where they will stay, and taken
 * back when they were there before. */
#include "stages/bio/msa.h"

#include "stages/bio/letters.h"
#include "stages/bio/names.h"
#include "stages/bio/residue.h"

#include <string.h>
#include <xxhash.h>

enum { ROWS_FIRST = 64, SLOTS_FIRST = 256 };

void msa_open(struct msa_builder *builder, int length, struct arena *arena)
{
    *builder = (struct msa_builder){
        .arena = arena, .symbol_arena = arena, .length = length, .rows_max = ALIGNMENT_ROWS_MAX};
}

static enum status no_memory(const struct msa_builder *builder, struct error *err)
{
    return error_set(err, STATUS_LIMIT, "no memory for more than %d alignment rows", builder->rows);
}

enum status msa_reserve(struct msa_builder *builder, int64_t rows, struct error *err)
{
    if (rows > builder->rows_max)
        rows = builder->rows_max;
    rows++; /* one that is looked at and may be dropped */
    if (rows <= builder->room)
        return STATUS_OK;
    uint8_t *code = arena_try(builder->symbol_arena, (size_t)rows, (size_t)builder->length);
    if (!code)
        return no_memory(builder, err);
    if (builder->rows)
        memcpy(code, builder->code, (size_t)builder->rows * (size_t)builder->length);
    builder->code = code;
    builder->room = rows;
    return STATUS_OK;
}

/* The slot of the row that equals the one with this code and hash, or the empty one. */
static size_t slot_find(const struct msa_builder *builder, const uint8_t *code, uint64_t hash)
{
    size_t mask = (size_t)builder->slot_count - 1, at = (size_t)hash & mask;
    size_t length = (size_t)builder->length;
    for (; builder->slot[at]; at = (at + 1) & mask) {
        size_t row = (size_t)builder->slot[at] - 1;
        if (builder->hash[row] == hash && memcmp(builder->code + row * length, code, length) == 0)
            break;
    }
    return at;
}

/* Keeps the table at most half full; false: no memory. */
static bool slots_reserve(struct msa_builder *builder)
{
    if (2 * (builder->rows + 1) <= builder->slot_count)
        return true;
    int count = builder->slot_count ? 2 * builder->slot_count : SLOTS_FIRST;
    int32_t *slot = arena_try(builder->arena, (size_t)count, sizeof *slot);
    if (!slot)
        return false;
    memset(slot, 0, (size_t)count * sizeof *slot);
    size_t mask = (size_t)count - 1;
    for (int row = 0; row < builder->rows; row++) {
        size_t at = (size_t)builder->hash[row] & mask;
        while (slot[at])
            at = (at + 1) & mask;
        slot[at] = row + 1;
    }
    builder->slot = slot;
    builder->slot_count = count;
    return true;
}

static bool deletions_add(struct msa_builder *builder, const struct insertion *insertion, int count)
{
    for (int i = 0; i < count; i++) {
        int32_t *column = array_grow(builder->arena, builder->deletion_column, builder->deletions,
                                     &builder->column_room, sizeof *column);
        int32_t *number = array_grow(builder->arena, builder->deletion_count, builder->deletions,
                                     &builder->count_room, sizeof *number);
        if (!column || !number)
            return false;
        builder->deletion_column = column;
        builder->deletion_count = number;
        column[builder->deletions] = insertion[i].column;
        number[builder->deletions++] = insertion[i].count;
    }
    return true;
}

/* Makes room for what belongs to one row more. */
static bool row_reserve(struct msa_builder *builder)
{
    uint64_t *hash =
        array_grow(builder->arena, builder->hash, builder->rows, &builder->hash_room, sizeof *hash);
    int32_t *start = array_grow(builder->arena, builder->deletion_start, builder->rows,
                                &builder->start_room, sizeof *start);
    if (hash)
        builder->hash = hash;
    if (start)
        builder->deletion_start = start;
    if (!hash || !start || !slots_reserve(builder))
        return false;
    if (!builder->with_species)
        return true;
    char(*species)[SPECIES_BYTES] = array_grow(builder->arena, builder->species, builder->rows,
                                               &builder->species_room, sizeof *species);
    if (species)
        builder->species = species;
    return species != NULL;
}

enum status msa_add_row(struct msa_builder *builder, const struct alignment_row *row,
                        struct error *err)
{
    if (row->width != builder->length)
        return error_set(err, STATUS_REFUSED, "the alignment has %d columns, the chain %d residues",
                         row->width, builder->length);
    if (builder->rows >= builder->rows_max)
        return STATUS_OK;
    if (builder->rows >= builder->room) {
        int64_t more = builder->rows < ROWS_FIRST ? ROWS_FIRST : builder->rows;
        enum status status = msa_reserve(builder, builder->rows + more, err);
        if (status != STATUS_OK)
            return status;
    }
    if (!row_reserve(builder))
        return no_memory(builder, err);
    size_t length = (size_t)builder->length;
    uint8_t *code = builder->code + (size_t)builder->rows * length;
    uint8_t largest = letters_encode(row->letters, length, code);
    if (largest == LETTER_BAD)
        return error_set(err, STATUS_REFUSED, "row %d holds characters that are no residues",
                         builder->rows + 1);
    uint64_t hash = XXH3_64bits(code, length);
    size_t at = slot_find(builder, code, hash);
    if (builder->slot[at])
        return STATUS_OK;
    builder->deletion_start[builder->rows] = builder->deletions;
    if (!deletions_add(builder, row->insertion, row->insertions))
        return no_memory(builder, err);
    if (builder->with_species) {
        struct span id = species_id(row->description);
        memset(builder->species[builder->rows], 0, SPECIES_BYTES);
        memcpy(builder->species[builder->rows], id.data, id.size);
    }
    builder->ambiguous |= largest >= LETTER_STANDARD;
    builder->hash[builder->rows] = hash;
    builder->slot[at] = ++builder->rows;
    return STATUS_OK;
}

enum status msa_add(struct msa_builder *builder, const struct alignment *alignment,
                    struct error *err)
{
    enum status status = STATUS_OK;
    if (alignment->width == builder->length)
        status = msa_reserve(builder, (int64_t)builder->rows + alignment->rows, err);
    for (int i = 0; status == STATUS_OK && i < alignment->rows; i++) {
        struct alignment_row row = alignment_row(alignment, i);
        status = msa_add_row(builder, &row, err);
    }
    return status;
}

enum status msa_add_sequence(struct msa_builder *builder, struct span description,
                             const char *sequence, struct error *err)
{
    struct alignment_row row = {
        .description = description, .letters = sequence, .width = builder->length};
    return msa_add_row(builder, &row, err);
}

enum status msa_finish(struct msa_builder *builder, struct msa *msa, struct error *err)
{
    size_t rows = (size_t)builder->rows, length = (size_t)builder->length;
    if (!row_reserve(builder))
        return no_memory(builder, err);
    builder->deletion_start[rows] = builder->deletions;
    if (builder->ambiguous)
        letters_standardise(builder->code, rows * length);
    if (builder->room)
        arena_trim(builder->symbol_arena, builder->code, (size_t)builder->room * length,
                   rows * length);
    *msa = (struct msa){
        .rows = builder->rows,
        .length = builder->length,
        .symbol = builder->code,
        .deletion_start = builder->deletion_start,
        .deletion_column = builder->deletion_column,
        .deletion_count = builder->deletion_count,
        .species = builder->species,
    };
    return STATUS_OK;
}

enum status alignment_check_row(const struct alignment_row *row, const char *sequence, int length,
                                struct error *err)
{
    struct span rest = row->description, name = {rest.data, 0};
    span_word(&rest, &name);
    int shown = (int)(name.size < 60 ? name.size : 60);
    if (row->width != length)
        return error_set(err, STATUS_REFUSED,
                         "the first row (%.*s) has %d columns, the chain %d residues: wanted an "
                         "alignment whose first row is the chain",
                         shown, name.data, row->width, length);
    for (int i = 0; i < length; i++) {
        char letter = row->letters[i];
        if (letter != sequence[i] && letter != 'X' && sequence[i] != 'X')
            return error_set(err, STATUS_REFUSED,
                             "the first row (%.*s) has %c at residue %d, the chain has %c: wanted "
                             "an alignment whose first row is the chain",
                             shown, name.data, letter, i + 1, sequence[i]);
    }
    return STATUS_OK;
}

enum status alignment_check_query(const struct alignment *alignment, const char *sequence,
                                  int length, struct error *err)
{
    struct alignment_row first = alignment_row(alignment, 0);
    return alignment_check_row(&first, sequence, length, err);
}

void msa_profile(const struct msa *msa, int32_t *counts)
{
    size_t length = (size_t)msa->length;
    memset(counts, 0, length * SYMBOL_COUNT * sizeof *counts);
    letters_count(msa->symbol, (size_t)msa->rows, length, counts);
}

/* De-duplication, encoding, profile, species; see msa.h. */
#include "stages/bio/msa.h"
#include "stages/bio/residue.h"

#include <string.h>

void msa_open(struct msa_builder *builder, int length, struct arena *arena)
{
    *builder = (struct msa_builder){.arena = arena, .length = length};
    names_open(&builder->rows, arena);
}

static enum status no_memory(const struct msa_builder *builder, struct error *err)
{
    return error_set(err, STATUS_LIMIT, "no memory for more than %d alignment rows",
                     builder->rows.count);
}

/* Appends one row with its insertions, unless its letters were there before. */
static enum status row_add(struct msa_builder *builder, const char *letters,
                           struct span description, const struct insertion *insertion, int count,
                           struct error *err)
{
    bool fresh;
    int row = names_add(&builder->rows, (struct span){letters, (size_t)builder->length}, &fresh);
    if (row < 0)
        return no_memory(builder, err);
    if (!fresh)
        return STATUS_OK;
    struct span *descriptions = array_grow(builder->arena, builder->description, row,
                                           &builder->description_capacity, sizeof *descriptions);
    int32_t *start = array_grow(builder->arena, builder->deletion_start, row,
                                &builder->start_capacity, sizeof *start);
    if (!descriptions || !start)
        return no_memory(builder, err);
    builder->description = descriptions;
    builder->deletion_start = start;
    descriptions[row] = description;
    start[row] = builder->deletions;
    for (int i = 0; i < count; i++) {
        int32_t *column = array_grow(builder->arena, builder->deletion_column, builder->deletions,
                                     &builder->column_capacity, sizeof *column);
        int32_t *number = array_grow(builder->arena, builder->deletion_count, builder->deletions,
                                     &builder->count_capacity, sizeof *number);
        if (!column || !number)
            return no_memory(builder, err);
        builder->deletion_column = column;
        builder->deletion_count = number;
        column[builder->deletions] = insertion[i].column;
        number[builder->deletions++] = insertion[i].count;
    }
    return STATUS_OK;
}

enum status msa_add(struct msa_builder *builder, const struct alignment *alignment,
                    struct error *err)
{
    if (alignment->width != builder->length)
        return error_set(err, STATUS_REFUSED, "the alignment has %d columns, the chain %d residues",
                         alignment->width, builder->length);
    for (int row = 0; row < alignment->rows; row++) {
        const int32_t *start = &alignment->insertion_start[row];
        enum status status = row_add(
            builder, alignment->letters + (size_t)row * (size_t)alignment->width,
            alignment->description[row], alignment->insertion + start[0], start[1] - start[0], err);
        if (status != STATUS_OK)
            return status;
    }
    return STATUS_OK;
}

enum status msa_add_sequence(struct msa_builder *builder, struct span description,
                             const char *sequence, struct error *err)
{
    return row_add(builder, sequence, description, NULL, 0, err);
}

void msa_cut(struct msa_builder *builder, int64_t rows_max)
{
    if (builder->rows.count <= rows_max)
        return;
    builder->rows.count = (int)rows_max;
    builder->deletions = builder->deletion_start[rows_max];
}

enum status msa_finish(struct msa_builder *builder, struct msa *msa, struct error *err)
{
    size_t rows = (size_t)builder->rows.count, length = (size_t)builder->length;
    *msa = (struct msa){.rows = (int)rows, .length = (int)length};
    int8_t table[256];
    for (int c = 0; c < 256; c++)
        table[c] = (int8_t)(c < 128 ? alignment_symbol((char)c) : -1);
    msa->symbol = arena_try(builder->arena, rows, length);
    int32_t *start = array_grow(builder->arena, builder->deletion_start, (int)rows,
                                &builder->start_capacity, sizeof *start);
    if (!msa->symbol || !start)
        return no_memory(builder, err);
    builder->deletion_start = start;
    start[rows] = builder->deletions;
    for (size_t row = 0; row < rows; row++) {
        const char *letters = builder->rows.name[row].data;
        uint8_t *symbol = msa->symbol + row * length;
        int bad = 0;
        for (size_t i = 0; i < length; i++) {
            int8_t code = table[(unsigned char)letters[i]];
            bad |= code;
            symbol[i] = (uint8_t)code;
        }
        if (bad < 0)
            return error_set(err, STATUS_REFUSED, "row %zu holds characters that are no residues",
                             row + 1);
    }
    msa->deletion_start = start;
    msa->deletion_column = builder->deletion_column;
    msa->deletion_count = builder->deletion_count;
    msa->description = builder->description;
    return STATUS_OK;
}

enum status alignment_check_query(const struct alignment *alignment, const char *sequence,
                                  int length, struct error *err)
{
    struct span name = alignment_name(alignment, 0);
    int shown = (int)(name.size < 60 ? name.size : 60);
    if (alignment->width != length)
        return error_set(err, STATUS_REFUSED,
                         "the first row (%.*s) has %d columns, the chain %d residues: wanted an "
                         "alignment whose first row is the chain",
                         shown, name.data, alignment->width, length);
    for (int i = 0; i < length; i++) {
        char row = alignment->letters[i];
        if (row != sequence[i] && row != 'X' && sequence[i] != 'X')
            return error_set(err, STATUS_REFUSED,
                             "the first row (%.*s) has %c at residue %d, the chain has %c: wanted "
                             "an alignment whose first row is the chain",
                             shown, name.data, row, i + 1, sequence[i]);
    }
    return STATUS_OK;
}

void msa_profile(const struct msa *msa, int32_t *counts)
{
    size_t length = (size_t)msa->length;
    memset(counts, 0, length * SYMBOL_COUNT * sizeof *counts);
    for (size_t row = 0; row < (size_t)msa->rows; row++) {
        const uint8_t *symbol = msa->symbol + row * length;
        for (size_t i = 0; i < length; i++)
            counts[i * SYMBOL_COUNT + symbol[i]]++;
    }
}

static bool is_letter_or_digit(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

/* Takes the longest run of letters and digits off the front. */
static struct span take_run(struct span *rest)
{
    struct span run = {rest->data, 0};
    while (run.size < rest->size && is_letter_or_digit(rest->data[run.size]))
        run.size++;
    rest->data += run.size, rest->size -= run.size;
    return run;
}

static bool take_char(struct span *rest, char c)
{
    if (!rest->size || *rest->data != c)
        return false;
    rest->data++, rest->size--;
    return true;
}

static bool is_number(struct span text)
{
    for (size_t i = 0; i < text.size; i++)
        if (text.data[i] < '0' || text.data[i] > '9')
            return false;
    return text.size > 0;
}

struct span species_id(struct span description)
{
    const struct span none = {"", 0};
    struct span rest = {"", 0};
    span_word(&description, &rest);
    const char *slash = rest.size ? memchr(rest.data, '/', rest.size) : NULL;
    if (slash)
        rest.size = (size_t)(slash - rest.data);
    if (!span_starts(rest, "tr|") && !span_starts(rest, "sp|"))
        return none;
    rest.data += 3, rest.size -= 3;
    struct span accession = take_run(&rest);
    if (accession.size < 6 || accession.size > 10)
        return none;
    if (take_char(&rest, '_')) { /* an isoform */
        struct span isoform = take_run(&rest);
        if (isoform.size != 1 || !is_number(isoform))
            return none;
    }
    if (!take_char(&rest, '|') || take_run(&rest).size == 0 || !take_char(&rest, '_'))
        return none;
    struct span species = take_run(&rest);
    if (species.size < 1 || species.size > 5)
        return none;
    if (take_char(&rest, '_') && !is_number(take_run(&rest)))
        return none;
    return rest.size ? none : species;
}

/* Fields of a record, held against each other; see record.h. */
#include "stages/learn/record.h"

#include "stages/bio/residue.h"

#include <string.h>

static bool symbols_good(const uint8_t *symbols, size_t count)
{
    uint8_t largest = 0; /* no early end: so the loop is one of vectors */
    for (size_t i = 0; i < count; i++)
        largest = symbols[i] > largest ? symbols[i] : largest;
    return largest <= MSA_GAP;
}

/* Whether what the arrays say can be relied on: profile counts are of N rows, and each row's
 * deletions are its own, in rising columns, at least 1. */
static bool source_good(const struct msa_source *source, int64_t deletions)
{
    bool good = source->deletion_start[0] == 0 && source->deletion_start[source->rows] == deletions;
    for (uint32_t j = 0; j < source->length; j++) {
        int64_t sum = 0;
        for (uint32_t s = 0; s < MSA_PROFILE; s++) {
            int32_t count = source->profile[j * MSA_PROFILE + s];
            good &= count >= 0;
            sum += count;
        }
        good &= sum == source->rows;
    }
    for (uint32_t row = 0; good && row < source->rows; row++) {
        int32_t from = source->deletion_start[row], to = source->deletion_start[row + 1];
        int32_t column = -1;
        good = from <= to && to <= deletions;
        for (int32_t d = from; good && d < to; d++) {
            good = source->deletion_column[d] > column && source->deletion_count[d] >= 1 &&
                   source->deletion_column[d] < (int64_t)source->length;
            column = source->deletion_column[d];
        }
    }
    return good;
}

/* Takes a field, NULL where it may be missing and is; the first failure stays. */
static const struct field *take(const struct sample *in, const char *name, enum kind kind, int rank,
                                bool optional, enum status *status, struct error *err)
{
    const struct field *field = NULL;
    if (*status == STATUS_OK && !(optional && !sample_find(in, name)))
        *status = sample_need(in, name, kind, rank, &field, err);
    return field;
}

static enum status contradiction(const struct sample *in, const char *what, struct error *err)
{
    return error_set(err, STATUS_INVALID,
                     "sample %s: its %s contradicts itself; make the record "
                     "again (foldmill store verify finds damaged ones)",
                     in->key, what);
}

static enum status source_read(const struct sample *in, struct msa_source *source,
                               struct error *err)
{
    enum status status = STATUS_OK;
    const struct field *msa = take(in, "msa", KIND_U8, 2, false, &status, err);
    const struct field *start = take(in, "deletion_start", KIND_I32, 1, false, &status, err);
    const struct field *column = take(in, "deletion_column", KIND_I32, 1, false, &status, err);
    const struct field *count = take(in, "deletion_count", KIND_I32, 1, false, &status, err);
    const struct field *profile = take(in, "hhblits_profile", KIND_I32, 2, false, &status, err);
    if (status != STATUS_OK)
        return status;
    int64_t rows = msa->size[0], length = msa->size[1];
    *source = (struct msa_source){.rows = (uint32_t)rows,
                                  .length = (uint32_t)length,
                                  .msa = msa->data,
                                  .deletion_start = start->data,
                                  .deletion_column = column->data,
                                  .deletion_count = count->data,
                                  .profile = profile->data};
    bool good = rows >= 1 && length >= 1 && rows < INT32_MAX && length < INT32_MAX &&
                start->size[0] == rows + 1 && column->size[0] == count->size[0] &&
                profile->size[0] == length && profile->size[1] == MSA_PROFILE &&
                source_good(source, column->size[0]);
    return good ? STATUS_OK : contradiction(in, "alignment", err);
}

enum status record_alignment(const struct sample *in, struct record *record, const uint8_t *used,
                             struct arena *arena, struct error *err)
{
    struct msa_source *source = &record->source;
    size_t length = source->length, count = 0;
    bool good = true;
    if (source->msa) { /* all is there: nothing is copied */
        for (uint32_t row = 0; row < source->rows; row++)
            good &= !used[row] || symbols_good(source->msa + row * length, length);
        return good ? STATUS_OK : contradiction(in, "alignment", err);
    }
    int32_t *rows = arena_alloc(arena, source->rows * sizeof *rows);
    uint32_t *place = arena_alloc(arena, source->rows * sizeof *place);
    for (uint32_t row = 0; row < source->rows; row++) {
        rows[count] = (int32_t)row;
        place[row] = (uint32_t)count;
        count += used[row] != 0;
    }
    uint8_t *symbols = arena_try(arena, count, length);
    if (!symbols)
        return error_set(err, STATUS_LIMIT, "sample %s: no memory for %zu rows of its alignment",
                         in->key, count);
    enum status status = sample_rows(in, sample_find(in, "msa"), rows, count, symbols, err);
    if (status != STATUS_OK)
        return status;
    source->msa = symbols;
    source->place = count < source->rows ? place : NULL;
    return symbols_good(symbols, count * length) ? STATUS_OK : contradiction(in, "alignment", err);
}

static float scalar_of(const struct field *field)
{
    return field ? *(const float *)field->data : 0;
}

static enum status chain_read(const struct sample *in, int64_t length, struct compact_chain *chain,
                              struct error *err)
{
    enum status status = STATUS_OK;
    const struct field *aatype = take(in, "aatype", KIND_U8, 1, false, &status, err);
    const struct field *index = take(in, "residue_index", KIND_I32, 1, false, &status, err);
    const struct field *xyz = take(in, "all_atom_positions", KIND_F32, 3, true, &status, err);
    const struct field *mask = take(in, "all_atom_mask", KIND_U8, 2, !xyz, &status, err);
    const struct field *resolution = take(in, "resolution", KIND_F32, 0, true, &status, err);
    const struct field *distilled = take(in, "is_distillation", KIND_F32, 0, true, &status, err);
    if (status != STATUS_OK)
        return status;
    bool good = aatype->size[0] == length && index->size[0] == length &&
                (!mask || (mask->size[0] == length && mask->size[1] == ATOM37)) &&
                (!xyz || (xyz->size[0] == length && xyz->size[1] == ATOM37 && xyz->size[2] == 3));
    for (int64_t i = 0; good && i < length; i++)
        good = ((const uint8_t *)aatype->data)[i] <= RESTYPE_X;
    if (!good)
        return contradiction(in, "structure", err);
    *chain = (struct compact_chain){.aatype = aatype->data,
                                    .residue_index = index->data,
                                    .positions = xyz ? xyz->data : NULL,
                                    .mask = xyz ? mask->data : NULL,
                                    .resolution = scalar_of(resolution),
                                    .is_distillation = scalar_of(distilled)};
    return STATUS_OK;
}

static enum status templates_read(const struct sample *in, int64_t length, struct record *record,
                                  struct error *err)
{
    enum status status = STATUS_OK;
    const struct field *sequence = take(in, "template_sequence", KIND_U8, 2, true, &status, err);
    bool none = !sequence;
    const struct field *xyz =
        take(in, "template_all_atom_positions", KIND_F32, 4, none, &status, err);
    const struct field *mask = take(in, "template_all_atom_mask", KIND_U8, 3, none, &status, err);
    const struct field *sum_probs = take(in, "template_sum_probs", KIND_F32, 1, none, &status, err);
    const struct field *shuffled = take(in, "template_shuffled", KIND_I32, 0, none, &status, err);
    if (status != STATUS_OK || none)
        return status;
    int64_t count = sequence->size[0];
    int32_t leading = *(const int32_t *)shuffled->data;
    bool good = count < INT32_MAX && sequence->size[1] == length && xyz->size[0] == count &&
                xyz->size[1] == length && xyz->size[2] == ATOM37 && xyz->size[3] == 3 &&
                mask->size[0] == count && mask->size[1] == length && mask->size[2] == ATOM37 &&
                sum_probs->size[0] == count && leading >= 0 && leading <= count;
    if (!good)
        return contradiction(in, "templates", err);
    record->shuffled = (uint32_t)leading;
    record->templates = (struct compact_templates){.count = (uint32_t)count,
                                                   .length = (uint32_t)length,
                                                   .sequence = sequence->data,
                                                   .sum_probs = sum_probs->data};
    return STATUS_OK;
}

enum status record_templates(const struct sample *in, const struct record *record,
                             const uint32_t *picked, uint32_t count, struct arena *arena,
                             struct compact_templates *templates, struct error *err)
{
    const struct compact_templates *all = &record->templates;
    size_t residues = (size_t)count * all->length;
    int32_t *rows = arena_alloc(arena, (size_t)count * sizeof *rows + 1);
    uint8_t *sequence = arena_alloc(arena, residues), *mask = arena_alloc(arena, residues * ATOM37);
    float *xyz = arena_alloc(arena, residues * ATOM37 * 3 * sizeof *xyz);
    float *sum_probs = arena_alloc(arena, (size_t)count * sizeof *sum_probs);
    for (uint32_t t = 0; t < count; t++) {
        rows[t] = (int32_t)picked[t];
        sum_probs[t] = all->sum_probs[picked[t]];
        memcpy(sequence + (size_t)t * all->length, all->sequence + (size_t)picked[t] * all->length,
               all->length);
    }
    *templates = (struct compact_templates){.count = count,
                                            .length = all->length,
                                            .sequence = sequence,
                                            .positions = xyz,
                                            .mask = mask,
                                            .sum_probs = sum_probs};
    enum status status = STATUS_OK;
    if (count)
        status =
            sample_rows(in, sample_find(in, "template_all_atom_positions"), rows, count, xyz, err);
    if (count && status == STATUS_OK)
        status = sample_rows(in, sample_find(in, "template_all_atom_mask"), rows, count, mask, err);
    return status;
}

enum status record_read(const struct sample *in, struct record *record, struct error *err)
{
    *record = (struct record){0};
    enum status status = source_read(in, &record->source, err);
    if (status == STATUS_OK)
        status = chain_read(in, record->source.length, &record->chain, err);
    if (status == STATUS_OK)
        status = templates_read(in, record->source.length, record, err);
    return status;
}

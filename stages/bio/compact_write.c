/* A sample in its compact form; see compact_write.h. */
#include "stages/bio/compact_write.h"

#include "stages/bio/residue.h"

#include <stdlib.h>
#include <string.h>

enum { ATOM_FLOATS = ATOM37 * 3 };

/* Elements of an array with these sizes, "P,M,K". */
static double elements(const struct compact *compact, const char *sizes)
{
    double count = 1;
    while (*sizes) {
        bool capital = *sizes >= 'A' && *sizes <= 'Z';
        char *end;
        count *= capital ? (double)compact_size(compact, *sizes) : (double)strtol(sizes, &end, 10);
        sizes = capital ? sizes + 1 : end;
        sizes += *sizes == ',';
    }
    return count;
}

static void *zeros(struct arena *arena, double count, size_t item)
{
    if (count * (double)item > (double)SUMMARY_BYTES_MAX)
        return NULL;
    void *data = arena_try(arena, (size_t)count, item);
    if (data)
        memset(data, 0, (size_t)count * item);
    return data;
}

static void sizes_set(const struct compact_sizes *sizes, struct compact *compact)
{
    const struct {
        char capital;
        uint32_t size;
    } all[] = {{'K', sizes->length},       {'M', sizes->clusters}, {'E', sizes->extra},
               {'T', sizes->templates},    {'P', sizes->passes},   {'W', (sizes->length + 7) / 8},
               {'S', sizes->clusters + 1}, {'U', sizes->extra + 1}};
    *compact = (struct compact){0};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        compact->size[all[i].capital - 'A'] = all[i].size;
}

double compact_bytes(const struct compact_sizes *sizes)
{
    struct compact compact;
    double bytes = 0;
    sizes_set(sizes, &compact);
#define ARRAY(name, kind, shape, optional)                                                         \
    bytes += elements(&compact, shape) * sizeof(compact_##kind);
#define SCALAR(name, kind, optional) ARRAY(name, kind, "", optional)
    COMPACT_FIELDS(ARRAY, SCALAR)
#undef ARRAY
#undef SCALAR
    return bytes;
}

bool compact_begin(const struct compact_sizes *sizes, struct compact_window window, bool structure,
                   struct arena *arena, struct compact *compact, struct compact_writer *writer)
{
    ASSERT_INT(window.width, <=, sizes->length);
    sizes_set(sizes, compact);
    *writer = (struct compact_writer){.arena = arena,
                                      .window = window,
                                      .cells = {.arena = arena},
                                      .deletions = {.arena = arena},
                                      .extra_deletions = {.arena = arena}};
#define ARRAY(name, kind, shape, optional)                                                         \
    if ((structure || !*(optional)) &&                                                             \
        !(compact->name = zeros(arena, elements(compact, shape), sizeof *compact->name)))          \
        return false;
#define SCALAR(name, kind, optional) ARRAY(name, kind, "", optional)
    COMPACT_FIELDS(ARRAY, SCALAR)
#undef ARRAY
#undef SCALAR
    *compact->seq_length = (int32_t)window.width;
    *compact->crop_start = (int32_t)window.start;
    return true;
}

void compact_put_chain(struct compact *compact, const struct compact_writer *writer,
                       const struct compact_chain *chain)
{
    size_t start = writer->window.start, width = writer->window.width;
    memcpy(compact->aatype, chain->aatype + start, width);
    memcpy(compact->residue_index, chain->residue_index + start,
           width * sizeof *compact->residue_index);
    if (!compact->all_atom_positions)
        return;
    memcpy(compact->all_atom_positions, chain->positions + start * ATOM_FLOATS,
           width * ATOM_FLOATS * sizeof *chain->positions);
    memcpy(compact->all_atom_mask, chain->mask + start * ATOM37, width * ATOM37);
    *compact->resolution = chain->resolution;
    *compact->is_distillation = chain->is_distillation;
}

enum status compact_put_templates(struct compact *compact, const struct compact_writer *writer,
                                  const struct compact_templates *templates, const uint32_t *taken,
                                  uint32_t count, struct error *err)
{
    size_t k = (size_t)compact_size(compact, 'K');
    size_t start = writer->window.start, width = writer->window.width;
    ASSERT_INT(count, <=, compact_size(compact, 'T'));
    *compact->template_count = (int32_t)count;
    for (size_t t = 0; t < count; t++) {
        ASSERT_INT(taken[t], <, templates->count);
        size_t from = (size_t)taken[t] * templates->length + start;
        for (size_t j = 0; j < width; j++) {
            char letter = (char)templates->sequence[from + j];
            int symbol = alignment_symbol(letter);
            if (symbol < 0)
                return error_set(err, STATUS_INVALID,
                                 "template %u has '%c' at residue %zu; wanted an upper-case letter "
                                 "or '-'",
                                 taken[t], letter, start + j + 1);
            compact->template_aatype[t * k + j] = (uint8_t)symbol;
        }
        memcpy(compact->template_all_atom_positions + t * k * ATOM_FLOATS,
               templates->positions + from * ATOM_FLOATS,
               width * ATOM_FLOATS * sizeof *templates->positions);
        memcpy(compact->template_all_atom_mask + t * k * ATOM37, templates->mask + from * ATOM37,
               width * ATOM37);
        compact->template_sum_probs[t] = templates->sum_probs[taken[t]];
        if (start == 0)
            continue;
        memcpy(compact->template_previous_positions + t * ATOM_FLOATS,
               templates->positions + (from - 1) * ATOM_FLOATS,
               ATOM_FLOATS * sizeof *templates->positions);
        memcpy(compact->template_previous_mask + t * ATOM37, templates->mask + (from - 1) * ATOM37,
               ATOM37);
    }
    return STATUS_OK;
}

/* Bits of bytes that are 0 or 1; bits[(width + 7) / 8] is zero. */
static void bits_put(const uint8_t *bytes, size_t width, uint8_t *bits)
{
    for (size_t j = 0; j < width; j++)
        bits[j / 8] = (uint8_t)(bits[j / 8] | bytes[j] << j % 8);
}

static bool put_extra(struct compact *compact, struct compact_writer *writer, uint32_t pass,
                      const struct msa_source *source, const struct msa_choice *choice)
{
    size_t k = (size_t)compact_size(compact, 'K'), e_max = (size_t)compact_size(compact, 'E');
    uint32_t start = writer->window.start, width = writer->window.width;
    uint8_t *msa = compact->extra_msa + pass * e_max * k;
    int32_t *start_of = compact->extra_deletion_start + pass * (e_max + 1);
    ASSERT_INT(choice->extra_kept_count, <=, e_max);
    compact->extra_rows[pass] = (int32_t)choice->extra_kept_count;
    for (size_t e = 0; e <= e_max; e++) {
        start_of[e] = (int32_t)writer->extra_deletions.size;
        if (e >= choice->extra_kept_count)
            continue;
        uint32_t row = choice->extra_row[choice->extra_kept[e]];
        memcpy(msa + e * k, msa_row(source, row) + start, width);
        if (!msa_deletions(source, row, start, width, &writer->extra_deletions))
            return false;
    }
    return true;
}

bool compact_put_pass(struct compact *compact, struct compact_writer *writer, uint32_t pass,
                      const struct msa_source *source, const struct msa_choice *choice,
                      const uint32_t *assignment)
{
    size_t k = (size_t)compact_size(compact, 'K'), m_max = (size_t)compact_size(compact, 'M');
    size_t words = (size_t)compact_size(compact, 'W'), length = source->length;
    uint32_t start = writer->window.start, width = writer->window.width;
    int32_t *cells_of = compact->cluster_start + pass * (m_max + 1);
    int32_t *start_of = compact->deletion_start + pass * (m_max + 1);
    ASSERT_INT(choice->clusters, <=, m_max);
    compact->msa_rows[pass] = (int32_t)choice->clusters;
    if (!msa_summarize(source, choice, assignment, start, width, writer->arena, &writer->cells,
                       cells_of, compact->cluster_sizes + pass * m_max))
        return false;
    for (size_t c = 0; c <= m_max; c++) {
        start_of[c] = (int32_t)writer->deletions.size;
        if (c >= choice->clusters) {
            cells_of[c] = (int32_t)writer->cells.size;
            continue;
        }
        size_t row = pass * m_max + c, from = c * length + start;
        uint32_t own = choice->cluster_row[c];
        memcpy(compact->msa + row * k, choice->masked + from, width);
        memcpy(compact->true_msa + row * k, msa_row(source, own) + start, width);
        bits_put(choice->mask + from, width, compact->bert_mask + row * words);
        if (!msa_deletions(source, own, start, width, &writer->deletions))
            return false;
    }
    return put_extra(compact, writer, pass, source, choice);
}

void compact_end(struct compact *compact, const struct compact_writer *writer)
{
    compact->size['C' - 'A'] = (int64_t)writer->cells.size;
    compact->size['D' - 'A'] = (int64_t)writer->deletions.size;
    compact->size['F' - 'A'] = (int64_t)writer->extra_deletions.size;
    if (writer->cells.size)
        compact->cluster_cells = writer->cells.data;
    if (writer->deletions.size) {
        compact->deletion_column = writer->deletions.column;
        compact->deletion_count = writer->deletions.count;
    }
    if (writer->extra_deletions.size) {
        compact->extra_deletion_column = writer->extra_deletions.column;
        compact->extra_deletion_count = writer->extra_deletions.count;
    }
}

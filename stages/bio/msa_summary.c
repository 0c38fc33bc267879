/* Symbols and deletions of clusters; see msa_summary.h. Cluster by cluster and in short runs of
 * columns, so that the counters of a run stay in the nearest cache. */
#include "stages/bio/msa_summary.h"

#include <string.h>

enum {
    RUN = 64,            /* columns counted at a time */
    SLOTS = 32,          /* counters of a column: 23 are used */
    LIST_ROOM = 1 << 12, /* of a list that begins */
};

/* Room for `more` bytes; false: there is none. */
static bool bytes_reserve(struct byte_list *list, size_t more)
{
    if (list->size + more <= list->room)
        return true;
    size_t room = (list->size + more) * 2 + LIST_ROOM;
    uint8_t *data = list->size + more <= SUMMARY_BYTES_MAX ? arena_try(list->arena, room, 1) : NULL;
    if (!data)
        return false;
    if (list->size)
        memcpy(data, list->data, list->size);
    list->data = data;
    list->room = room;
    return true;
}

static bool deletions_reserve(struct deletion_list *list, size_t more)
{
    if (list->size + more <= list->room)
        return true;
    size_t room = (list->size + more) * 2 + LIST_ROOM;
    if (room > SUMMARY_BYTES_MAX / sizeof *list->count)
        return false;
    int16_t *column = arena_try(list->arena, room, sizeof *column);
    int32_t *count = arena_try(list->arena, room, sizeof *count);
    if (!column || !count)
        return false;
    if (list->size) {
        memcpy(column, list->column, list->size * sizeof *column);
        memcpy(count, list->count, list->size * sizeof *count);
    }
    list->column = column;
    list->count = count;
    list->room = room;
    return true;
}

/* Deletions of a row from column start on: entries from .. to - 1 of the source. */
struct deletion_range {
    int32_t from, to;
};

static struct deletion_range deletions_from(const struct msa_source *source, uint32_t row,
                                            uint32_t start)
{
    int32_t low = source->deletion_start[row], to = source->deletion_start[row + 1], high = to;
    while (low < high) {
        int32_t middle = low + (high - low) / 2;
        if (source->deletion_column[middle] < (int32_t)start)
            low = middle + 1;
        else
            high = middle;
    }
    return (struct deletion_range){low, to};
}

bool msa_deletions(const struct msa_source *source, uint32_t row, uint32_t start, uint32_t width,
                   struct deletion_list *list)
{
    struct deletion_range range = deletions_from(source, row, start);
    size_t most = (size_t)(range.to - range.from);
    if (!deletions_reserve(list, most < width ? most : width))
        return false;
    int32_t end = (int32_t)(start + width);
    for (int32_t d = range.from; d < range.to && source->deletion_column[d] < end; d++) {
        list->column[list->size] = (int16_t)(source->deletion_column[d] - (int32_t)start);
        list->count[list->size++] = source->deletion_count[d];
    }
    return true;
}

/* A cluster: its rows' symbols and numbers, its own first. */
struct cluster {
    const uint8_t **symbols;
    const uint32_t *row;
    uint32_t count;
};

/* Counters of a run of columns; all zero between runs. */
struct counters {
    uint32_t seen[RUN]; /* bit s: symbol s */
    uint32_t count[RUN][SLOTS];
};

/* Sums of the deletions of a cluster's rows, into zeroed sums[width]. */
static void deletions_sum(const struct msa_source *source, const struct cluster *cluster,
                          uint32_t start, uint32_t width, int32_t *sums)
{
    int32_t end = (int32_t)(start + width);
    for (uint32_t i = 0; i < cluster->count; i++) {
        struct deletion_range range = deletions_from(source, cluster->row[i], start);
        for (int32_t d = range.from; d < range.to && source->deletion_column[d] < end; d++) {
            int32_t *sum = &sums[source->deletion_column[d] - (int32_t)start];
            if (__builtin_add_overflow(*sum, source->deletion_count[d], sum))
                *sum = INT32_MAX;
        }
    }
}

/* Codes of columns [from, from + columns) of the alignment; sums: of those columns. */
static uint8_t *run_write(const struct cluster *cluster, uint32_t from, uint32_t columns,
                          const int32_t *sums, struct counters *counters, uint8_t *to)
{
    for (uint32_t i = 0; i < cluster->count; i++) {
        const uint8_t *symbols = cluster->symbols[i] + from;
        for (uint32_t j = 0; j < columns; j++) {
            uint32_t symbol = symbols[j] & (SLOTS - 1);
            counters->seen[j] |= 1u << symbol;
            counters->count[j][symbol]++;
        }
    }
    for (uint32_t j = 0; j < columns; j++) {
        if (sums[j])
            to = compact_put(to, COMPACT_DELETIONS, (uint32_t)sums[j]);
        for (uint32_t left = counters->seen[j]; left; left &= left - 1) {
            uint32_t symbol = (uint32_t)__builtin_ctz(left);
            to = compact_put(to, symbol, counters->count[j][symbol]);
            counters->count[j][symbol] = 0;
        }
        counters->seen[j] = 0;
    }
    return to;
}

static bool cluster_write(const struct msa_source *source, const struct cluster *cluster,
                          uint32_t start, uint32_t width, struct counters *counters, int32_t *sums,
                          struct byte_list *cells)
{
    memset(sums, 0, width * sizeof *sums);
    deletions_sum(source, cluster, start, width, sums);
    for (uint32_t done = 0; done < width; done += RUN) {
        uint32_t columns = width - done < RUN ? width - done : RUN;
        if (!bytes_reserve(cells, (size_t)columns * (MSA_SYMBOLS + 1) * COMPACT_CODE_MAX))
            return false;
        uint8_t *end = run_write(cluster, start + done, columns, sums + done, counters,
                                 cells->data + cells->size);
        cells->size = (size_t)(end - cells->data);
    }
    return true;
}

bool msa_summarize(const struct msa_source *source, const struct msa_choice *choice,
                   const uint32_t *assignment, uint32_t start, uint32_t width, struct arena *arena,
                   struct byte_list *cells, int32_t *start_of, int32_t *sizes)
{
    size_t length = source->length, rows = (size_t)choice->clusters + choice->extra;
    ASSERT_INT(start + width, <=, length);
    /* All rows in the order of their clusters, each cluster's own first. */
    const uint8_t **symbols = arena_alloc(arena, rows * sizeof *symbols);
    uint32_t *row = arena_alloc(arena, rows * sizeof *row);
    uint32_t *end = arena_alloc(arena, choice->clusters * sizeof *end);
    int32_t *sums = arena_alloc(arena, width * sizeof *sums);
    struct counters *counters = arena_zero(arena, 1, sizeof *counters);
    memset(sizes, 0, choice->clusters * sizeof *sizes);
    for (uint32_t e = 0; e < choice->extra; e++)
        sizes[assignment[e]]++;
    for (uint32_t c = 0, place = 0; c < choice->clusters; c++) {
        symbols[place] = choice->masked + c * length;
        row[place] = choice->cluster_row[c];
        end[c] = place + 1;
        place += 1 + (uint32_t)sizes[c];
    }
    for (uint32_t e = 0; e < choice->extra; e++) {
        uint32_t place = end[assignment[e]]++;
        row[place] = choice->extra_row[e];
        symbols[place] = msa_row(source, row[place]);
    }
    for (uint32_t c = 0; c < choice->clusters; c++) {
        uint32_t count = (uint32_t)sizes[c] + 1, first = end[c] - count;
        struct cluster cluster = {symbols + first, row + first, count};
        start_of[c] = (int32_t)cells->size;
        if (!cluster_write(source, &cluster, start, width, counters, sums, cells))
            return false;
    }
    start_of[choice->clusters] = (int32_t)cells->size;
    return true;
}

/* Choosing columns of alignments; see alignment.h. */
#include "stages/bio/alignment.h"
#include "stages/bio/letters.h"

#include <string.h>

/* Columns that are kept and stand side by side, in what is kept as well. */
struct run {
    int from, to, count;
};

/* A choice of columns, and room for a row of them. */
struct columns {
    struct run *run; /* [runs], rising */
    int runs, width;
    struct letters letters;
};

static enum status columns_open(struct columns *columns, const int32_t *keep, int count,
                                struct arena *arena, struct error *err)
{
    size_t width = (size_t)count;
    *columns = (struct columns){.width = count};
    columns->run = arena_try(arena, width, sizeof *columns->run);
    /* Room for an insertion before each column. */
    if (!columns->run || count > ALIGNMENT_WIDTH_MAX ||
        !letters_reserve(&columns->letters, 2 * width + 1, arena))
        return error_set(err, STATUS_LIMIT, "no memory for %zu columns", width);
    for (int i = 0; i < count; i++) {
        struct run *last = columns->runs ? &columns->run[columns->runs - 1] : NULL;
        if (keep[i] < 0)
            continue;
        if (last && i == last->to + last->count && keep[i] == last->from + last->count)
            last->count++;
        else
            columns->run[columns->runs++] = (struct run){keep[i], i, 1};
    }
    return STATUS_OK;
}

static int letters_in(const char *letters, int count)
{
    int gaps = 0;
    for (int begin = 0; begin < count; begin += 255) {
        int end = count - begin < 255 ? count : begin + 255;
        uint8_t some = 0; /* cannot overflow, and makes vectors of bytes */
        for (int i = begin; i < end; i++)
            some = (uint8_t)(some + (letters[i] == '-'));
        gaps += some;
    }
    return count - gaps;
}

/* The row's chosen columns, good until the next call. */
static struct alignment_row columns_keep(struct columns *columns, const struct alignment_row *row)
{
    struct letters *to = &columns->letters;
    const struct insertion *insertion = row->insertion; /* may be NULL where there are none */
    int at = 0;
    int next = 0; /* first column that was not looked at */
    to->insertion_count = 0;
    memset(to->letter, '-', (size_t)columns->width);
    for (const struct run *run = columns->run; run < columns->run + columns->runs; run++) {
        /* Before the run: what stood in dropped columns, and insertions up to its first column. */
        int inserted = letters_in(row->letters + next, run->from - next);
        for (; at < row->insertions && insertion[at].column <= run->from; at++)
            inserted += insertion[at].count;
        if (inserted)
            to->insertion[to->insertion_count++] = (struct insertion){run->to, inserted};
        for (; at < row->insertions && insertion[at].column < run->from + run->count; at++)
            to->insertion[to->insertion_count++] =
                (struct insertion){run->to + insertion[at].column - run->from, insertion[at].count};
        memcpy(to->letter + run->to, row->letters + run->from, (size_t)run->count);
        next = run->from + run->count;
    }
    return (struct alignment_row){.description = row->description,
                                  .letters = to->letter,
                                  .width = columns->width,
                                  .insertion = to->insertion,
                                  .insertions = to->insertion_count};
}

struct alignment_row alignment_row(const struct alignment *alignment, int row)
{
    const int32_t *start = &alignment->insertion_start[row];
    return (struct alignment_row){
        .description = alignment->description[row],
        .letters = alignment->letters + (size_t)row * (size_t)alignment->width,
        .width = alignment->width,
        .insertion = alignment->insertion + start[0],
        .insertions = start[1] - start[0],
    };
}

enum status alignment_keep(const struct alignment *from, const int32_t *keep, int count,
                           struct arena *arena, struct alignment *to, struct error *err)
{
    struct columns columns;
    struct collector collector;
    enum status status = columns_open(&columns, keep, count, arena, err);
    if (status == STATUS_OK)
        status = collector_open(&collector, (size_t)from->rows * (size_t)count, arena, to, err);
    if (status != STATUS_OK)
        return status;
    collector.borrow = true;
    for (int i = 0; status == STATUS_OK && i < from->rows; i++) {
        struct alignment_row row = alignment_row(from, i);
        struct alignment_row kept = columns_keep(&columns, &row);
        status = collector_take(&collector, &kept, err);
    }
    return status == STATUS_OK ? collector_close(&collector, err) : status;
}

/* The columns in which the row has letters. */
static enum status letters_find(const struct alignment_row *row, struct arena *arena,
                                int32_t **keep, int *count, struct error *err)
{
    *count = 0;
    *keep = arena_try(arena, (size_t)row->width, sizeof **keep);
    if (!*keep)
        return error_set(err, STATUS_LIMIT, "no memory for %d columns", row->width);
    for (int column = 0; column < row->width; column++)
        if (row->letters[column] != '-')
            (*keep)[(*count)++] = column;
    return STATUS_OK;
}

enum status alignment_project(const struct alignment *from, int row, struct arena *arena,
                              struct alignment *to, struct error *err)
{
    int32_t *keep;
    int count;
    struct alignment_row chosen = alignment_row(from, row);
    enum status status = letters_find(&chosen, arena, &keep, &count, err);
    if (status != STATUS_OK)
        return status;
    if (count == from->width) {
        *to = *from;
        return STATUS_OK;
    }
    return alignment_keep(from, keep, count, arena, to, err);
}

/* Rows on their way through the columns of the first. */
struct projector {
    struct arena *arena;
    alignment_row_fn *take;
    void *user;
    bool begun;
    struct columns columns;
};

static enum status row_project(void *user, const struct alignment_row *row, struct error *err)
{
    struct projector *projector = user;
    if (!projector->begun) {
        int32_t *keep;
        int count;
        enum status status = letters_find(row, projector->arena, &keep, &count, err);
        if (status == STATUS_OK)
            status = columns_open(&projector->columns, keep, count, projector->arena, err);
        if (status != STATUS_OK)
            return status;
        projector->begun = true;
    }
    struct alignment_row kept = columns_keep(&projector->columns, row);
    return projector->take(projector->user, &kept, err);
}

enum status alignment_own_rows(struct lines *lines, enum alignment_format format,
                               struct arena *arena, alignment_row_fn *take, void *user,
                               struct error *err)
{
    if (format == ALIGNMENT_A3M || format == ALIGNMENT_A2M)
        return alignment_rows(lines, format, arena, take, user, err);
    struct projector projector = {.arena = arena, .take = take, .user = user};
    return alignment_rows(lines, format, arena, row_project, &projector, err);
}

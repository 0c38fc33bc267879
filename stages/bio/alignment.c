/* Formats by name, and choosing columns; see alignment.h. */
#include "stages/bio/alignment.h"
#include "stages/bio/names.h"

#include <string.h>
#include <strings.h>

static bool ends_with(struct span text, const char *suffix)
{
    size_t size = strlen(suffix);
    return text.size >= size && strncasecmp(text.data + text.size - size, suffix, size) == 0;
}

enum status alignment_format_of(struct span path, enum alignment_format *format, struct error *err)
{
    static const struct {
        const char *suffix;
        enum alignment_format format;
    } known[] = {
        {".a3m", ALIGNMENT_A3M},         {".a2m", ALIGNMENT_A2M},       {".fasta", ALIGNMENT_A2M},
        {".fas", ALIGNMENT_A2M},         {".fa", ALIGNMENT_A2M},        {".afa", ALIGNMENT_A2M},
        {".sto", ALIGNMENT_STOCKHOLM},   {".stk", ALIGNMENT_STOCKHOLM}, {".aln", ALIGNMENT_CLUSTAL},
        {".clustal", ALIGNMENT_CLUSTAL},
    };
    struct span name = path;
    if (ends_with(name, ".gz"))
        name.size -= 3;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (ends_with(name, known[i].suffix)) {
            *format = known[i].format;
            return STATUS_OK;
        }
    return error_set(err, STATUS_INVALID,
                     "%.*s: its name says no alignment format; wanted .a3m, .a2m, .fasta, .fas, "
                     ".fa, .afa, .sto, .stk, .aln or .clustal, with or without .gz",
                     (int)(path.size < 300 ? path.size : 300), path.data);
}

enum status alignment_read(struct span content, enum alignment_format format, struct arena *arena,
                           struct alignment *alignment, struct error *err)
{
    *alignment = (struct alignment){0};
    if (content.size && memchr(content.data, 0, content.size))
        return error_set(err, STATUS_REFUSED, "not a text file: it holds zero bytes");
    switch (format) {
    case ALIGNMENT_A3M:
        return a3m_read(content, false, arena, alignment, err);
    case ALIGNMENT_A2M:
        return a3m_read(content, true, arena, alignment, err);
    case ALIGNMENT_STOCKHOLM:
        return sto_read(content, arena, alignment, err);
    case ALIGNMENT_CLUSTAL:
        return clustal_read(content, arena, alignment, err);
    }
    return error_set(err, STATUS_INVALID, "unknown alignment format %d", (int)format);
}

struct span alignment_name(const struct alignment *alignment, int row)
{
    struct span rest = alignment->description[row], word = {rest.data, 0};
    span_word(&rest, &word);
    return word;
}

/* Columns that are kept and stand side by side, in what is kept as well. */
struct run {
    int from, to, count;
};

struct keeper {
    const struct alignment *from;
    struct alignment *to;
    struct arena *arena;
    struct run *run; /* [runs], rising */
    int runs, insertions, capacity;
};

static void runs_make(struct keeper *k, const int32_t *keep, int count)
{
    for (int i = 0; i < count; i++) {
        struct run *last = k->runs ? &k->run[k->runs - 1] : NULL;
        if (keep[i] < 0)
            continue;
        if (last && i == last->to + last->count && keep[i] == last->from + last->count)
            last->count++;
        else
            k->run[k->runs++] = (struct run){keep[i], i, 1};
    }
}

static bool insertion_add(struct keeper *k, int column, int count)
{
    struct insertion *array =
        array_grow(k->arena, k->to->insertion, k->insertions, &k->capacity, sizeof *array);
    if (!array)
        return false;
    k->to->insertion = array;
    array[k->insertions++] = (struct insertion){column, count};
    return true;
}

static int letters_in(const char *letters, int count)
{
    int gaps = 0;
    for (int i = 0; i < count; i++)
        gaps += letters[i] == '-';
    return count - gaps;
}

/* Copies one row's kept columns and appends its insertions; false: no memory. */
static bool row_keep(struct keeper *k, int row)
{
    const struct alignment *from = k->from;
    struct alignment *to = k->to;
    const char *source = from->letters + (size_t)row * (size_t)from->width;
    char *letters = to->letters + (size_t)row * (size_t)to->width;
    const struct insertion *at = from->insertion + from->insertion_start[row];
    const struct insertion *end = from->insertion + from->insertion_start[row + 1];
    int next = 0; /* first column that was not looked at */
    to->insertion_start[row] = k->insertions;
    memset(letters, '-', (size_t)to->width);
    for (const struct run *run = k->run; run < k->run + k->runs; run++) {
        /* Before the run: what stood in dropped columns, and insertions up to its first column. */
        int inserted = letters_in(source + next, run->from - next);
        for (; at < end && at->column <= run->from; at++)
            inserted += at->count;
        if (inserted && !insertion_add(k, run->to, inserted))
            return false;
        for (; at < end && at->column < run->from + run->count; at++)
            if (!insertion_add(k, run->to + at->column - run->from, at->count))
                return false;
        memcpy(letters + run->to, source + run->from, (size_t)run->count);
        next = run->from + run->count;
    }
    to->insertion_start[row + 1] = k->insertions;
    return true;
}

enum status alignment_keep(const struct alignment *from, const int32_t *keep, int count,
                           struct arena *arena, struct alignment *to, struct error *err)
{
    struct keeper keeper = {.from = from, .to = to, .arena = arena};
    size_t rows = (size_t)from->rows, width = (size_t)count;
    *to = (struct alignment){.rows = from->rows, .width = count};
    to->description = from->description;
    to->letters = width <= ALIGNMENT_WIDTH_MAX ? arena_try(arena, rows, width) : NULL;
    to->insertion_start = arena_try(arena, rows + 1, sizeof *to->insertion_start);
    to->insertion = array_grow(arena, NULL, 0, &keeper.capacity, sizeof *to->insertion);
    keeper.run = arena_try(arena, width, sizeof *keeper.run);
    bool room = to->letters && to->insertion_start && to->insertion && keeper.run;
    if (room)
        runs_make(&keeper, keep, count);
    for (int row = 0; room && row < from->rows; row++)
        room = row_keep(&keeper, row);
    if (!room)
        return error_set(err, STATUS_LIMIT, "no memory for %zu rows of %zu columns", rows, width);
    return STATUS_OK;
}

enum status alignment_project(const struct alignment *from, int row, struct arena *arena,
                              struct alignment *to, struct error *err)
{
    const char *letters = from->letters + (size_t)row * (size_t)from->width;
    int32_t *keep = arena_try(arena, (size_t)from->width, sizeof *keep);
    if (!keep)
        return error_set(err, STATUS_LIMIT, "no memory for %d columns", from->width);
    int count = 0;
    for (int column = 0; column < from->width; column++)
        if (letters[column] != '-')
            keep[count++] = column;
    if (count == from->width) {
        *to = *from;
        return STATUS_OK;
    }
    return alignment_keep(from, keep, count, arena, to, err);
}

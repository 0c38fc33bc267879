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

enum status alignment_rows(struct lines *lines, enum alignment_format format, struct arena *arena,
                           alignment_row_fn *take, void *user, struct error *err)
{
    switch (format) {
    case ALIGNMENT_A3M:
        return a3m_rows(lines, false, arena, take, user, err);
    case ALIGNMENT_A2M:
        return a3m_rows(lines, true, arena, take, user, err);
    case ALIGNMENT_STOCKHOLM:
        return sto_rows(lines, arena, take, user, err);
    case ALIGNMENT_CLUSTAL:
        return clustal_rows(lines, arena, take, user, err);
    }
    return error_set(err, STATUS_INVALID, "unknown alignment format %d", (int)format);
}

enum status collector_open(struct collector *collector, size_t letters_room, struct arena *arena,
                           struct alignment *alignment, struct error *err)
{
    *collector =
        (struct collector){.arena = arena, .alignment = alignment, .letters_room = letters_room};
    *alignment = (struct alignment){0};
    alignment->letters = arena_try(arena, letters_room, 1);
    alignment->insertion =
        array_grow(arena, NULL, 0, &collector->insertion_room, sizeof *alignment->insertion);
    if (!alignment->letters || !alignment->insertion)
        return error_set(err, STATUS_LIMIT, "no memory for %zu letters", letters_room);
    return STATUS_OK;
}

enum status collector_take(void *user, const struct alignment_row *row, struct error *err)
{
    struct collector *collector = user;
    struct alignment *a = collector->alignment;
    size_t width = (size_t)row->width, size = (size_t)a->rows * width;
    struct span description = row->description;
    struct span *descriptions = array_grow(collector->arena, a->description, a->rows,
                                           &collector->description_room, sizeof *descriptions);
    int32_t *start = array_grow(collector->arena, a->insertion_start, a->rows,
                                &collector->start_room, sizeof *start);
    char *copy = collector->borrow ? NULL : arena_try(collector->arena, description.size, 1);
    if (!descriptions || !start || (!collector->borrow && !copy))
        return error_set(err, STATUS_LIMIT, "no memory for more than %d rows", a->rows);
    if (copy && description.size)
        memcpy(copy, description.data, description.size);
    if (copy)
        description.data = copy;
    a->width = row->width;
    a->description = descriptions;
    a->insertion_start = start;
    descriptions[a->rows] = description;
    start[a->rows++] = collector->insertions;
    ASSERT_INT(size + width, <=, collector->letters_room); /* each is a character of the file */
    if (width)
        memcpy(a->letters + size, row->letters, width);
    for (int i = 0; i < row->insertions; i++) {
        struct insertion *array = array_grow(collector->arena, a->insertion, collector->insertions,
                                             &collector->insertion_room, sizeof *array);
        if (!array)
            return error_set(err, STATUS_LIMIT, "no memory for insertions");
        a->insertion = array;
        array[collector->insertions++] = row->insertion[i];
    }
    return STATUS_OK;
}

enum status collector_close(struct collector *collector, struct error *err)
{
    struct alignment *a = collector->alignment;
    int32_t *start = array_grow(collector->arena, a->insertion_start, a->rows,
                                &collector->start_room, sizeof *start);
    if (!start)
        return error_set(err, STATUS_LIMIT, "no memory for %d rows", a->rows);
    a->insertion_start = start;
    start[a->rows] = collector->insertions;
    return STATUS_OK;
}

enum status alignment_read(struct span content, enum alignment_format format, struct arena *arena,
                           struct alignment *alignment, struct error *err)
{
    struct collector collector;
    struct lines lines;
    *alignment = (struct alignment){0};
    if (content.size && memchr(content.data, 0, content.size))
        return error_set(err, STATUS_REFUSED, "not a text file: it holds zero bytes");
    lines_open_text(&lines, content);
    enum status status = collector_open(&collector, content.size, arena, alignment, err);
    if (status == STATUS_OK)
        status = alignment_rows(&lines, format, arena, collector_take, &collector, err);
    return status == STATUS_OK ? collector_close(&collector, err) : status;
}

struct span alignment_name(const struct alignment *alignment, int row)
{
    struct span rest = alignment->description[row], word = {rest.data, 0};
    span_word(&rest, &word);
    return word;
}

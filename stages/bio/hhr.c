/* HHsearch results; see hhr.h. A hit is a block from one line "No 1" to the next: its name, its
 * figures, and in turns rows of the query (Q) and of the template (T) with numbers around them. */
#include "stages/bio/hhr.h"

#include <limits.h>
#include <string.h>

enum { ROW_START = 17 }; /* the column where a row's numbers begin; the name stands before it */

/* One string of a hit, growing row by row. */
struct strand {
    char *letters;
    int32_t *at;
    int count, letters_room, at_room;
};

struct hhr_reader {
    struct arena *arena;
    struct hhr *hhr;
    int room;
    int64_t line;
    struct strand query, hit;
    struct error *err;
};

static enum status refuse(struct hhr_reader *reader, const char *what)
{
    return error_set(reader->err, STATUS_REFUSED, "line %lld: %s", (long long)reader->line, what);
}

/* Doubles an array of the arena when it is full; false: no memory, or too large. */
static bool grow(struct arena *arena, void **array, int count, int *room, size_t size)
{
    if (count < *room)
        return true;
    int larger = *room ? 2 * *room : 256;
    if (larger > 2 * HHR_COLUMNS_MAX)
        return false;
    void *copy = arena_try(arena, (size_t)larger, size);
    if (copy && count)
        memcpy(copy, *array, (size_t)count * size);
    *array = copy;
    *room = larger;
    return copy != NULL;
}

/* The number in front of the text; false: there is none. */
static bool take_number(struct span *text, int64_t least, int64_t *value)
{
    struct span word;
    return span_word(text, &word) && text_int(word, least, INT32_MAX, value);
}

/* "Sum_probs=92.2" in a line of figures. */
static bool figure(struct span line, const char *name, double *value)
{
    size_t size = strlen(name);
    for (size_t i = 0; i + size < line.size; i++) {
        if (memcmp(line.data + i, name, size) != 0)
            continue;
        struct span rest = {line.data + i + size, line.size - i - size}, word;
        return span_word(&rest, &word) && text_double(word, value);
    }
    return false;
}

/* A row's letters: "   81 AIEHLRAS-HKSH   93 (93)" behind the name. Only the query's end is held
 * against its letters, as in the reference. */
static enum status take_row(struct hhr_reader *reader, struct span line, struct strand *strand,
                            bool ends)
{
    struct span text = {line.data + ROW_START, line.size > ROW_START ? line.size - ROW_START : 0};
    struct span letters;
    int64_t start, end, next;
    if (!take_number(&text, 1, &start) || !span_word(&text, &letters) ||
        !take_number(&text, 0, &end))
        return refuse(reader, "a row of an alignment is `NAME START LETTERS END (LENGTH)`");
    next = start - 1;
    for (size_t i = 0; i < letters.size; i++) {
        char letter = letters.data[i];
        if (letter != '-' && (letter < 'A' || letter > 'Z'))
            return refuse(reader, "letters of an alignment are A to Z and '-'");
        if (strand->count >= HHR_COLUMNS_MAX ||
            !grow(reader->arena, (void **)&strand->letters, strand->count, &strand->letters_room,
                  1) ||
            !grow(reader->arena, (void **)&strand->at, strand->count, &strand->at_room,
                  sizeof *strand->at))
            return error_set(reader->err, STATUS_LIMIT, "line %lld: the hit has over %d columns",
                             (long long)reader->line, HHR_COLUMNS_MAX);
        if (letter != '-' && next >= INT32_MAX)
            return refuse(reader, "a residue's number is too large");
        strand->letters[strand->count] = letter;
        strand->at[strand->count++] = letter == '-' ? -1 : (int32_t)next++;
    }
    if (ends && next != end)
        return refuse(reader, "the row's last number does not count its letters");
    return STATUS_OK;
}

/* Q and T rows of residues; those of predictions and consensus are left out. */
static bool is_row(struct span line, char strand)
{
    static const char *const others[] = {"ss_dssp", "ss_pred", "Consensus"};
    if (line.size < 2 || line.data[0] != strand || line.data[1] != ' ')
        return false;
    struct span name = {line.data + 2, line.size - 2};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (span_starts(name, others[i]))
            return false;
    return true;
}

static enum status hit_close(struct hhr_reader *reader, struct hhr_hit *hit)
{
    if (reader->query.count != reader->hit.count)
        return error_set(reader->err, STATUS_REFUSED,
                         "line %lld: the hit's query has %d columns, its template %d",
                         (long long)hit->line, reader->query.count, reader->hit.count);
    hit->columns = reader->query.count;
    hit->query = arena_text(reader->arena, reader->query.letters ? reader->query.letters : "",
                            (size_t)hit->columns);
    hit->hit = arena_text(reader->arena, reader->hit.letters ? reader->hit.letters : "",
                          (size_t)hit->columns);
    hit->query_at = reader->query.at;
    hit->hit_at = reader->hit.at;
    reader->query = reader->hit = (struct strand){0}; /* arrays stay the hit's */
    return STATUS_OK;
}

/* The line after the one in hand; a hit must have it. */
static bool next_line(struct hhr_reader *reader, struct span *rest, struct span *line)
{
    reader->line++;
    return span_line(rest, line);
}

/* The block behind "No n": its name and figures. */
static enum status hit_open(struct hhr_reader *reader, struct span *rest)
{
    struct span line;
    double sum_probs, aligned;
    if (reader->hhr->count >= HHR_HITS_MAX ||
        !grow(reader->arena, (void **)&reader->hhr->hit, reader->hhr->count, &reader->room,
              sizeof *reader->hhr->hit))
        return error_set(reader->err, STATUS_LIMIT, "more than %d hits", HHR_HITS_MAX);
    struct hhr_hit *hit = &reader->hhr->hit[reader->hhr->count];
    *hit = (struct hhr_hit){.line = reader->line};
    if (!next_line(reader, rest, &line) || line.size < 2 || line.data[0] != '>')
        return refuse(reader, "behind `No NUMBER` stands `>NAME` of the hit");
    hit->name = (struct span){line.data + 1, line.size - 1};
    if (!next_line(reader, rest, &line) || !figure(line, "Sum_probs=", &sum_probs) ||
        !figure(line, "Aligned_cols=", &aligned) || !(aligned >= 0 && aligned <= INT_MAX))
        return refuse(reader, "behind the hit's name stand its figures, Aligned_cols= and "
                              "Sum_probs= among them");
    hit->sum_probs = (float)sum_probs;
    hit->aligned = (int)aligned;
    reader->hhr->count++;
    return STATUS_OK;
}

enum status hhr_read(struct span content, struct arena *arena, struct hhr *hhr, struct error *err)
{
    struct hhr_reader reader = {.arena = arena, .hhr = hhr, .err = err};
    struct span rest = content, line;
    enum status status = STATUS_OK;
    *hhr = (struct hhr){0};
    while (status == STATUS_OK && next_line(&reader, &rest, &line)) {
        struct hhr_hit *open = hhr->count ? &hhr->hit[hhr->count - 1] : NULL;
        if (span_starts(line, "No ")) {
            if (open)
                status = hit_close(&reader, open);
            if (status == STATUS_OK)
                status = hit_open(&reader, &rest);
        } else if (open && is_row(line, 'Q')) {
            status = take_row(&reader, line, &reader.query, true);
        } else if (open && is_row(line, 'T')) {
            status = take_row(&reader, line, &reader.hit, false);
        }
    }
    if (status == STATUS_OK && hhr->count)
        status = hit_close(&reader, &hhr->hit[hhr->count - 1]);
    return status;
}

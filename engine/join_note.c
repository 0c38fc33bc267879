/* Rows of joined engines; see join_note.h. */
#include "engine/join_note.h"

#include <stdio.h>
#include <string.h>

size_t join_note_write(const struct join_note *note, char row[JOIN_NOTE_MAX])
{
    int size =
        note->kind == JOIN_NOTE_PROCESS
            ? snprintf(row, JOIN_NOTE_MAX, "process %d %u %llu %llu %u\n", note->stage, note->index,
                       (unsigned long long)note->inc, (unsigned long long)note->starts, note->pid)
            : snprintf(row, JOIN_NOTE_MAX, "slow %d %u %d %u %llu %llu %s\n", note->stage,
                       note->index, note->line, note->attempt, (unsigned long long)note->seq,
                       (unsigned long long)note->ms, note->key);
    ASSERT(size > 0 && size < JOIN_NOTE_MAX);
    return (size_t)size;
}

/* The next word as a number up to max. */
static bool take(struct span *rest, uint64_t max, uint64_t *value)
{
    struct span word;
    uint64_t number = 0;
    if (!span_word(rest, &word) || word.size > 20)
        return false;
    for (size_t i = 0; i < word.size; i++) {
        uint64_t digit = (uint64_t)(unsigned char)word.data[i] - '0';
        if (digit > 9 || __builtin_mul_overflow(number, 10, &number) ||
            __builtin_add_overflow(number, digit, &number))
            return false;
    }
    *value = number;
    return number <= max;
}

static bool take_key(struct span *rest, char key[SAMPLE_KEY_MAX + 1])
{
    struct span word, more;
    if (!span_word(rest, &word) || word.size > SAMPLE_KEY_MAX || span_word(rest, &more))
        return false;
    for (size_t i = 0; i < word.size; i++)
        if (word.data[i] <= ' ' || word.data[i] > '~')
            return false;
    memcpy(key, word.data, word.size);
    key[word.size] = 0;
    return true;
}

bool join_note_read(struct span row, const struct graph *graph, struct join_note *note)
{
    struct span word, more;
    uint64_t stage, index, number[4];
    *note = (struct join_note){0};
    if (!span_word(&row, &word) || (!span_is(word, "process") && !span_is(word, "slow")))
        return false;
    note->kind = span_is(word, "slow") ? JOIN_NOTE_SLOW : JOIN_NOTE_PROCESS;
    if (!take(&row, (uint64_t)graph->stage_count - 1, &stage) ||
        !take(&row, GRAPH_WORKERS_MAX, &index))
        return false;
    note->stage = (int)stage;
    note->index = (uint32_t)index;
    if (note->kind == JOIN_NOTE_PROCESS) {
        if (!take(&row, UINT64_MAX, &note->inc) || !take(&row, UINT64_MAX, &note->starts) ||
            !take(&row, UINT32_MAX, number) || span_word(&row, &more))
            return false;
        note->pid = (uint32_t)number[0];
        return true;
    }
    if (!take(&row, (uint64_t)graph->line_count - 1, &number[0]) ||
        !take(&row, UINT32_MAX, &number[1]) || !take(&row, INT64_MAX, &note->seq) ||
        !take(&row, INT64_MAX, &note->ms))
        return false;
    note->line = (int)number[0];
    note->attempt = (uint32_t)number[1];
    return take_key(&row, note->key);
}

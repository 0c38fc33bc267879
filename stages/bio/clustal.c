/* CLUSTAL: a line that begins with CLUSTAL, then blocks of "name letters [count]" lines; lines that
 * begin with a blank mark conservation. */
#include "stages/bio/blocks.h"

enum status clustal_rows(struct lines *lines, struct arena *arena, alignment_row_fn *take,
                         void *user, struct error *err)
{
    struct blocks blocks;
    struct span line;
    enum status status;
    int64_t number = 0;
    bool headed = false;
    blocks_open(&blocks, arena);
    while ((status = lines_next(lines, &line, err)) == STATUS_OK) {
        number++;
        bool marks = line.size && (*line.data == ' ' || *line.data == '\t');
        line = span_trim(line);
        if (line.size == 0)
            continue;
        if (!headed && !span_starts(line, "CLUSTAL"))
            return error_set(err, STATUS_REFUSED, "line %lld begins with \"%.*s\", wanted CLUSTAL",
                             (long long)number, (int)(line.size < 20 ? line.size : 20), line.data);
        if (!headed || marks) {
            headed = true;
            continue;
        }
        struct span name = {0}, letters = {0}, count, more;
        int64_t residues;
        span_word(&line, &name);
        if (!span_word(&line, &letters) ||
            (span_word(&line, &count) &&
             (!text_int(count, 0, INT32_MAX, &residues) || span_word(&line, &more))))
            return error_set(err, STATUS_REFUSED,
                             "line %lld: wanted a name, blanks, letters, and perhaps a number",
                             (long long)number);
        status = blocks_add(&blocks, number, name, letters, err);
        if (status != STATUS_OK)
            return status;
    }
    if (status != STATUS_EMPTY)
        return status;
    if (!headed)
        return error_set(err, STATUS_REFUSED, "the file is empty, wanted a line with CLUSTAL");
    return blocks_rows(&blocks, take, user, err);
}

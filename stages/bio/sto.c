/* Stockholm: "name letters" lines in blocks, with marks in lines that begin with '#', up to "//".
 */
#include "stages/bio/blocks.h"

#include <string.h>

enum status sto_rows(struct lines *lines, struct arena *arena, alignment_row_fn *take, void *user,
                     struct error *err)
{
    struct blocks blocks;
    struct span line;
    enum status status;
    int64_t number = 0;
    bool headed = false, ended = false;
    blocks_open(&blocks, arena);
    while ((status = lines_next(lines, &line, err)) == STATUS_OK) {
        number++;
        line = span_trim(line);
        if (!headed && line.size && !span_starts(line, "# STOCKHOLM"))
            return error_set(err, STATUS_REFUSED,
                             "line %lld begins with \"%.*s\", wanted # STOCKHOLM 1.0",
                             (long long)number, (int)(line.size < 20 ? line.size : 20), line.data);
        headed = headed || line.size;
        ended = ended || span_starts(line, "//");
        if (line.size == 0 || *line.data == '#' || span_starts(line, "//"))
            continue;
        if (ended)
            return error_set(err, STATUS_REFUSED,
                             "line %lld: rows behind the // that ends the "
                             "alignment: wanted one alignment in a file",
                             (long long)number);
        struct span name = {0};
        span_word(&line, &name);
        struct span letters = span_trim(line); /* to its end: the only long word */
        if (letters.size == 0 || memchr(letters.data, ' ', letters.size) ||
            memchr(letters.data, '\t', letters.size))
            return error_set(err, STATUS_REFUSED,
                             "line %lld: wanted a name, blanks and letters (truncated file?)",
                             (long long)number);
        status = blocks_add(&blocks, number, name, letters, err);
        if (status != STATUS_OK)
            return status;
    }
    if (status != STATUS_EMPTY)
        return status;
    if (!headed)
        return error_set(err, STATUS_REFUSED, "the file is empty, wanted # STOCKHOLM 1.0");
    if (!ended)
        return error_set(err, STATUS_REFUSED,
                         "line %lld: the file ends without // (truncated file?)",
                         (long long)number);
    return blocks_rows(&blocks, take, user, err);
}

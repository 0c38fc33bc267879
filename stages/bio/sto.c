/* Stockholm: "name letters" lines in blocks, with marks in lines that begin with '#', up to "//".
 */
#include "stages/bio/blocks.h"

enum status sto_read(struct span content, struct arena *arena, struct alignment *alignment,
                     struct error *err)
{
    struct blocks blocks;
    struct span rest = content, line;
    int64_t number = 0;
    bool headed = false, ended = false;
    blocks_open(&blocks, arena);
    while (span_line(&rest, &line)) {
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
        struct span name = {0}, letters = {0}, more;
        span_word(&line, &name);
        if (!span_word(&line, &letters) || span_word(&line, &more))
            return error_set(err, STATUS_REFUSED,
                             "line %lld: wanted a name, blanks and letters (truncated file?)",
                             (long long)number);
        enum status status = blocks_add(&blocks, number, name, letters, err);
        if (status != STATUS_OK)
            return status;
    }
    if (!headed)
        return error_set(err, STATUS_REFUSED, "the file is empty, wanted # STOCKHOLM 1.0");
    if (!ended)
        return error_set(err, STATUS_REFUSED,
                         "line %lld: the file ends without // (truncated file?)",
                         (long long)number);
    return blocks_join(&blocks, alignment, err);
}

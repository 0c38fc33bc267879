/* One input of a sample, as a line of `alignment` or `template_hits` names it: a file, or a piece
 * of a database of concatenated files. Every stage reads these lines through this door. */
#ifndef STAGES_BIO_INPUT_H
#define STAGES_BIO_INPUT_H

#include "engine/base/arena.h"
#include "engine/base/error.h"
#include "engine/base/lines.h"
#include "engine/base/text.h"

#include <stdbool.h>
#include <stdint.h>

enum { INPUT_PATH_MAX = 4095, INPUT_NAME_MAX = 255, INPUT_LINE_MAX = 4608 };

/* Where the bytes are. NAME@OFFSET+LENGTH@PATH is a piece, and counts as a file called NAME;
 * anything else, and every line that begins with '/' or '.', is the path of a whole file. */
struct input {
    struct span name; /* of the piece, else path */
    struct span path;
    bool piece;
    int64_t offset, length; /* of a piece, bytes */
};

/* Takes a line apart; the spans lie in it. STATUS_INVALID: empty, or longer than the limits. */
enum status input_parse(struct span line, struct input *input, struct error *err);

/* The line of a piece, in arena. STATUS_INVALID, with the reason, for names and paths that a line
 * cannot hold: '@', '/' or an end of line in the name, '.' at its front, no bytes, too long. */
enum status input_piece(struct span name, int64_t offset, int64_t length, struct span path,
                        struct arena *arena, const char **line, struct error *err);

/* Reads what line names into arena, unpacking gzip; *content is NUL-terminated beyond its size.
 * *name (in the line's memory): what tells the format, a path or a piece's name. Errors name the
 * input. STATUS_INVALID: not a line of inputs; STATUS_IO: cannot be opened or read, or the piece
 * ends beyond its file; STATUS_CORRUPT: broken gzip; STATUS_LIMIT: more than bytes_max unpacked
 * bytes. */
enum status input_read(struct span line, size_t bytes_max, struct arena *arena, struct span *name,
                       struct span *content, struct error *err);

/* As input_read, but opens what line names to be read line by line, never whole in memory; close
 * *lines also after errors. Of broken gzip lines_next tells. */
enum status input_lines(struct span line, size_t bytes_max, struct arena *arena, struct span *name,
                        struct lines *lines, struct error *err);

#endif

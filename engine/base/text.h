/* Text from outside: spans that need no NUL, strict numbers, sizes and times with units, and
 * "did you mean". No locale, no partial success: what does not fit exactly is refused. */
#ifndef FOLDMILL_BASE_TEXT_H
#define FOLDMILL_BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* size bytes at data; not NUL-terminated, may hold any byte. */
struct span {
    const char *data;
    size_t size;
};

#define SPAN(literal) ((struct span){(literal), sizeof(literal) - 1})

struct span span_of(const char *text);            /* up to the NUL; NULL gives an empty span */
bool span_equal(struct span a, struct span b);
bool span_is(struct span a, const char *text);
bool span_starts(struct span a, const char *prefix);
struct span span_trim(struct span a);             /* without blanks at both ends */
/* Takes one line off the front of rest, without its "\n" or "\r\n"; false at the end. */
bool span_line(struct span *rest, struct span *line);
/* Takes the next run of characters that are no space or tab off the front; false at the end. */
bool span_word(struct span *rest, struct span *word);

/* The whole span is one decimal integer in [min, max]. */
bool text_int(struct span text, int64_t min, int64_t max, int64_t *value);
/* The whole span is one finite decimal number ("1", "-0.5", "1e-3"), correctly rounded. */
bool text_double(struct span text, double *value);
/* "512", "64KiB", "1.5GiB", "2GB": bytes. Units B KB MB GB TB KiB MiB GiB TiB. */
bool text_bytes(struct span text, uint64_t *bytes);
/* "500ms", "30s", "5min", "2h", "1d": milliseconds. */
bool text_duration(struct span text, int64_t *duration_ms);
/* "1.5 GiB", "12 min 3 s": for people. Return buffer. */
char *text_show_bytes(char *buffer, size_t buffer_size, uint64_t bytes);
char *text_show_duration(char *buffer, size_t buffer_size, double seconds);

/* Edit distance (with transpositions), capped at limit + 1. */
int text_distance(struct span a, struct span b, int limit);
/* The candidate nearest to word, for "did you mean"; NULL when none is near. candidates ends with
 * NULL. */
const char *text_suggest(struct span word, const char *const *candidates);

#endif

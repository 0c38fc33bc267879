/* See made.h. */
#include "stages/listing/made.h"

#include <stdio.h>
#include <string.h>

/* A line of `files`: the hash, and the name without its folder (of a piece: the piece's name). */
static char *file_line(struct arena *arena, const char *before, XXH128_hash_t hash,
                       struct span line)
{
    const char *piece = memchr(line.data, '@', line.size);
    size_t size = piece ? (size_t)(piece - line.data) : line.size, start = size;
    while (start > 0 && line.data[start - 1] != '/')
        start--;
    return arena_printf(arena, "%s%016llx%016llx %.*s\n", before, (unsigned long long)hash.high64,
                        (unsigned long long)hash.low64, (int)(size - start), line.data + start);
}

enum status made_digest(const struct made *made, struct inputs *inputs, struct arena *arena,
                        struct made_digest *digest, struct error *err)
{
    XXH3_state_t *state = XXH3_createState();
    ASSERT(state);
    XXH3_128bits_reset(state);
    XXH3_128bits_update(state, &made->content.hash, sizeof made->content.hash);
    const struct span names[] = {made->chain, made->row, made->key};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        uint64_t size = names[i].size;
        XXH3_128bits_update(state, &size, sizeof size);
        XXH3_128bits_update(state, names[i].data, names[i].size);
    }
    struct span rests[] = {made->alignment, made->template_hits}, line;
    char *lines = file_line(arena, "", made->content.hash, made->structure);
    enum status status = STATUS_OK;
    digest->bytes = made->content.bytes;
    for (int i = 0; i < 2; i++)
        while (status == STATUS_OK && span_line(&rests[i], &line)) {
            struct memo_content content;
            status = inputs_digest(inputs, line, &content, err);
            if (status == STATUS_OK) {
                XXH3_128bits_update(state, &content.hash, sizeof content.hash);
                lines = file_line(arena, lines, content.hash, line);
                digest->bytes += content.bytes;
            }
        }
    XXH128_hash_t hash = XXH3_128bits_digest(state);
    XXH3_freeState(state);
    char text[MADE_DIGEST + 1];
    snprintf(text, sizeof text, "%016llx%016llx", (unsigned long long)hash.high64,
             (unsigned long long)hash.low64);
    memcpy(digest->text, text, MADE_DIGEST);
    digest->files = span_of(lines);
    return status;
}

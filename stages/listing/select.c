/* Choosing chains; see select.h. */
#include "stages/listing/select.h"

#include "engine/base/file.h"
#include "stages/bio/date.h"

#include <string.h>

enum { LETTERS = 26, KEY_MAX = 255 };

enum status selection_check(const struct selection *selection, struct span sequence,
                            float resolution, struct span release_date, struct error *err)
{
    size_t counts[LETTERS] = {0}, most = 0;
    for (size_t i = 0; i < sequence.size; i++)
        if (sequence.data[i] >= 'A' && sequence.data[i] <= 'Z')
            counts[sequence.data[i] - 'A']++;
    for (int letter = 1; letter < LETTERS; letter++)
        most = counts[letter] > counts[most] ? (size_t)letter : most;
    if ((int64_t)sequence.size < selection->length_min)
        return error_set(err, STATUS_REFUSED, "%zu residues are less than length_min, %lld",
                         sequence.size, (long long)selection->length_min);
    if (selection->resolution_max > 0 && (double)resolution > selection->resolution_max)
        return error_set(err, STATUS_REFUSED,
                         "its resolution, %.2f Angstrom, is above resolution_max, %.2f",
                         (double)resolution, selection->resolution_max);
    if (selection->unknown_refused && counts['X' - 'A'])
        return error_set(err, STATUS_REFUSED, "%zu residues are X, and `unknown: refuse` is set",
                         counts['X' - 'A']);
    if ((double)counts[most] > selection->same_letter_max * (double)sequence.size)
        return error_set(err, STATUS_REFUSED,
                         "%zu of %zu residues are %c: more than same_letter_max, %g", counts[most],
                         sequence.size, (char)('A' + (int)most), selection->same_letter_max);
    if (*selection->date_max && release_date.size == DATE_BYTES &&
        memcmp(release_date.data, selection->date_max, DATE_BYTES) > 0)
        return error_set(err, STATUS_REFUSED, "released %.*s, later than date_max, %s", DATE_BYTES,
                         release_date.data, selection->date_max);
    return STATUS_OK;
}

/* The name in upper case, in buffer; longer ones are cut, and so in nobody's cluster. */
static struct span upper(struct span name, char buffer[KEY_MAX + 1])
{
    size_t size = name.size < KEY_MAX ? name.size : KEY_MAX;
    for (size_t i = 0; i < size; i++) {
        char c = name.data[i];
        buffer[i] = (char)(c >= 'a' && c <= 'z' ? c - 'a' + 'A' : c);
    }
    return (struct span){buffer, size};
}

enum status clusters_read(struct clusters *clusters, const char *path, struct arena *arena,
                          struct error *err)
{
    struct span content, line, word;
    char buffer[KEY_MAX + 1];
    *clusters = (struct clusters){0};
    names_open(&clusters->chains, arena);
    enum status status = file_read(path, CLUSTERS_BYTES_MAX, arena, &content, err);
    for (int64_t number = 1; status == STATUS_OK && span_line(&content, &line); number++) {
        int first = clusters->chains.count;
        while (span_word(&line, &word)) {
            bool fresh;
            struct span name = upper(word, buffer);
            name.data = arena_text(arena, name.data, name.size);
            int at = names_add(&clusters->chains, name, &fresh);
            if (at < 0)
                return error_set(err, STATUS_LIMIT, "%s: too many chains", path);
            if (!fresh)
                return error_set(
                    err, STATUS_INVALID,
                    "%s: line %lld: chain %.*s stands in two clusters, or twice in one", path,
                    (long long)number, (int)word.size, word.data);
            clusters->size =
                array_grow(arena, clusters->size, at, &clusters->size_room, sizeof *clusters->size);
            if (!clusters->size)
                return error_set(err, STATUS_LIMIT, "%s: too many chains", path);
        }
        for (int i = first; i < clusters->chains.count; i++)
            clusters->size[i] = clusters->chains.count - first;
    }
    return status;
}

int32_t clusters_find(const struct clusters *clusters, const char *key)
{
    char buffer[KEY_MAX + 1];
    int at = names_find(&clusters->chains, upper(span_of(key), buffer));
    return at < 0 ? -1 : clusters->size[at];
}

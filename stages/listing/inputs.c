/* See inputs.h. */
#include "stages/listing/inputs.h"

#include "engine/base/file.h"
#include "stages/bio/alignment.h"
#include "stages/bio/input.h"
#include "stages/listing/folder.h"

#include <ctype.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { ENTRY_LETTERS = 4 };

#define TWINS_BYTES_MAX ((size_t)1 << 30)

enum status inputs_open(struct inputs *inputs, const struct param_paths *folders,
                        struct arena *arena, struct arena *scratch, struct error *err)
{
    *inputs = (struct inputs){.folders = folders, .arena = arena, .scratch = scratch};
    names_open(&inputs->lines, arena);
    names_open(&inputs->twins, arena);
    database_open(&inputs->database, arena);
    inputs->held = arena_zero(arena, (size_t)folders->count, sizeof *inputs->held);
    for (int i = 0; i < folders->count; i++) {
        int count = 0;
        char **paths = folder_files(folders->path[i], arena, &count, err);
        if (!paths)
            return err->status;
        names_open(&inputs->held[i], arena);
        for (int p = 0; p < count; p++)
            if (names_add(&inputs->held[i], name_base(span_of(paths[p])), NULL) < 0)
                return error_set(err, STATUS_LIMIT, "%s: holds too many files", folders->path[i]);
    }
    return STATUS_OK;
}

enum status inputs_index(struct inputs *inputs, const struct param_paths *indices,
                         struct error *err)
{
    enum status status = STATUS_OK;
    for (int i = 0; i < indices->count && status == STATUS_OK; i++)
        status = database_read(&inputs->database, indices->path[i], err);
    return status;
}

bool inputs_is_alignment(struct span name)
{
    enum alignment_format format;
    return alignment_format_of(name, &format, NULL) == STATUS_OK;
}

void inputs_add(struct arena *arena, const char **lines, const char *line)
{
    *lines = **lines ? arena_printf(arena, "%s\n%s", *lines, line) : line;
}

/* Searches of other purposes, whose rows are not those of the chain's alignment. */
static bool left_out(struct span name)
{
    static const char *const starts[] = {"uniprot_hits.", "hmm_output.", "hmmsearch_output."};
    for (size_t i = 0; i < sizeof starts / sizeof *starts; i++)
        if (span_starts(name, starts[i]))
            return true;
    return false;
}

/* Adds an input by the name that it counts as. */
static void add_named(struct inputs *inputs, struct chain_inputs *found, struct span name,
                      const char *line)
{
    static const char *const hits[] = {".hhr", NULL};
    struct span stem;
    if (name_stem(name, hits, &stem))
        inputs_add(inputs->arena, &found->template_hits, line);
    else if (inputs_is_alignment(name) && !left_out(name))
        inputs_add(inputs->arena, &found->alignment, line);
}

static int by_name(const void *a, const void *b)
{
    const char *left = *(const char *const *)a, *right = *(const char *const *)b;
    struct span x = name_base(span_of(left)), y = name_base(span_of(right));
    int order = strcmp(x.data, y.data);
    return order ? order : strcmp(left, right);
}

/* Paths that grow. */
struct paths {
    char **path;
    int count, capacity;
};

/* Adds the files of a folder, and of those of its folders that are named here (NULL: of none); one
 * that cannot be read adds nothing. */
static void folder_add(struct inputs *inputs, const char *folder, const char *const *inner,
                       struct paths *paths)
{
    struct error err;
    int count = 0;
    char **more = folder_files(folder, inputs->arena, &count, &err);
    for (int i = 0; more && i < count; i++) {
        bool entered = false;
        for (int k = 0; inner && inner[k]; k++)
            entered |= span_is(name_base(span_of(more[i])), inner[k]);
        if (entered) {
            folder_add(inputs, more[i], NULL, paths);
        } else if (path_is_file(more[i])) {
            paths->path = array_grow(inputs->arena, paths->path, paths->count, &paths->capacity,
                                     sizeof *paths->path);
            ASSERT(paths->path);
            paths->path[paths->count++] = more[i];
        }
    }
}

/* What folder i of `alignments` holds of the chain. */
static void folder_find(struct inputs *inputs, int i, const char *key, struct chain_inputs *found)
{
    static const char *const suffixes[] = {".a3m",       ".a2m", ".fasta",   ".fa",  ".sto",
                                           ".stockholm", ".aln", ".clustal", ".hhr", NULL};
    static const char *const inner[] = {"a3m", "hhr", "sto", NULL};
    const char *folder = arena_printf(inputs->arena, "%s/%s", inputs->folders->path[i], key);
    char name[NAME_MAX + 16];
    for (int s = 0; suffixes[s]; s++)
        for (int packed = 0; packed < 2; packed++) {
            int size = snprintf(name, sizeof name, "%s%s%s", key, suffixes[s], packed ? ".gz" : "");
            if (size >= (int)sizeof name ||
                names_find(&inputs->held[i], (struct span){name, (size_t)size}) < 0)
                continue;
            const char *path = arena_printf(inputs->arena, "%s/%s", inputs->folders->path[i], name);
            if (path_is_file(path))
                add_named(inputs, found, name_base(span_of(path)), path);
        }
    if (names_find(&inputs->held[i], span_of(key)) < 0)
        return;
    struct paths paths = {0};
    folder_add(inputs, folder, inner, &paths);
    if (paths.count)
        qsort(paths.path, (size_t)paths.count, sizeof *paths.path, by_name);
    for (int p = 0; p < paths.count; p++)
        add_named(inputs, found, name_base(span_of(paths.path[p])), paths.path[p]);
}

static bool find_own(struct inputs *inputs, const char *key, struct chain_inputs *found)
{
    *found = (struct chain_inputs){"", ""};
    for (int i = 0; i < inputs->folders->count; i++)
        folder_find(inputs, i, key, found);
    const char *line[DATABASE_CHAIN_FILES_MAX];
    struct span name[DATABASE_CHAIN_FILES_MAX];
    int count = database_find(&inputs->database, key, inputs->arena, line, name);
    for (int i = 0; i < count; i++)
        add_named(inputs, found, name[i], line[i]);
    return *found->alignment || *found->template_hits;
}

/* Of the chain, or of the first of its twins that has some. */
static bool find_named(struct inputs *inputs, const char *key, struct chain_inputs *found)
{
    if (find_own(inputs, key, found))
        return true;
    int number = names_find(&inputs->twins, span_of(key));
    if (number < 0)
        return false;
    struct span line = inputs->twins_line[number], word;
    while (span_word(&line, &word)) {
        char twin[NAME_MAX + 1];
        if (word.size <= NAME_MAX && !span_is(word, key)) {
            snprintf(twin, sizeof twin, "%.*s", (int)word.size, word.data);
            if (find_own(inputs, twin, found))
                return true;
        }
    }
    return false;
}

void inputs_find(struct inputs *inputs, const char *key, struct span stem,
                 struct chain_inputs *found)
{
    size_t size = strlen(key);
    if (find_named(inputs, key, found))
        return;
    if (stem.size == size && strncasecmp(stem.data, key, size) == 0 &&
        find_named(inputs, arena_text(inputs->arena, stem.data, size), found))
        return;
    if (size > ENTRY_LETTERS && key[ENTRY_LETTERS] == '_') {
        char *capitals = arena_text(inputs->arena, key, size);
        for (int i = 0; i < ENTRY_LETTERS; i++)
            capitals[i] = (char)toupper((unsigned char)capitals[i]);
        find_named(inputs, capitals, found);
    }
}

enum status inputs_twins(struct inputs *inputs, const char *path, struct error *err)
{
    struct span content, line, rest, word;
    enum status status = file_read(path, TWINS_BYTES_MAX, inputs->arena, &content, err);
    for (int64_t number = 1; status == STATUS_OK && span_line(&content, &line); number++) {
        rest = line;
        while (span_word(&rest, &word)) {
            bool fresh;
            int at = names_add(&inputs->twins, word, &fresh);
            if (at >= 0 && !fresh)
                return error_set(err, STATUS_INVALID,
                                 "%s: line %lld: chain %.*s stands there twice", path,
                                 (long long)number, (int)word.size, word.data);
            if (at >= 0)
                inputs->twins_line = array_grow(inputs->arena, inputs->twins_line, at,
                                                &inputs->twins_room, sizeof *inputs->twins_line);
            if (at < 0 || !inputs->twins_line)
                return error_set(err, STATUS_LIMIT, "%s: too many chains", path);
            inputs->twins_line[at] = line;
        }
    }
    return status;
}

/* The input that a line names, and the stamp of its file. */
static enum status stamp_of(struct span line, struct input *input, struct stamp *stamp,
                            struct error *err)
{
    char path[INPUT_PATH_MAX + 1];
    enum status status = input_parse(line, input, err);
    if (status != STATUS_OK)
        return status;
    snprintf(path, sizeof path, "%.*s", (int)input->path.size, input->path.data);
    return stamp_take(path, stamp)
               ? STATUS_OK
               : error_set(err, STATUS_IO, "%s: no file that can be read", path);
}

/* A file's name, size and time stand for its bytes. */
static struct memo_content content_by_stamp(struct span line, const struct input *input,
                                            const struct stamp *stamp)
{
    char text[INPUT_LINE_MAX + 128];
    int size =
        snprintf(text, sizeof text, "%.*s %llu %lld.%09lld", (int)line.size, line.data,
                 (unsigned long long)stamp->size, (long long)(stamp->changed_ns / 1000000000),
                 (long long)(stamp->changed_ns % 1000000000));
    return (struct memo_content){XXH3_128bits(text, (size_t)size),
                                 input->piece ? (uint64_t)input->length : stamp->size};
}

/* Of the unpacked bytes, of which only a buffer is ever in memory. */
static enum status content_read(struct span line, struct arena *scratch,
                                struct memo_content *content, struct error *err)
{
    struct lines lines;
    struct span name, piece;
    XXH3_state_t *state = XXH3_createState();
    ASSERT(state && XXH3_128bits_reset(state) == XXH_OK);
    enum status status = input_lines(line, ALIGNMENT_BYTES_MAX, scratch, &name, &lines, err);
    content->bytes = 0;
    while (status == STATUS_OK && (status = lines_piece(&lines, &piece, err)) == STATUS_OK) {
        XXH3_128bits_update(state, piece.data, piece.size);
        content->bytes += piece.size;
    }
    lines_close(&lines);
    content->hash = XXH3_128bits_digest(state);
    XXH3_freeState(state);
    return status == STATUS_EMPTY ? STATUS_OK : status;
}

enum status inputs_digest(struct inputs *inputs, struct span line, struct memo_content *content,
                          struct error *err)
{
    bool fresh;
    int number = names_add(&inputs->lines, line, &fresh);
    ASSERT_INT(number, >=, 0);
    if (fresh) {
        inputs->digest = array_grow(inputs->arena, inputs->digest, number, &inputs->digest_capacity,
                                    sizeof *inputs->digest);
        ASSERT(inputs->digest);
        inputs->digest[number] = (struct input_digest){0};
    }
    struct input_digest *digest = &inputs->digest[number];
    struct input input;
    struct stamp stamp;
    enum status status = digest->known ? STATUS_OK : stamp_of(line, &input, &stamp, err);
    if (status != STATUS_OK)
        return status;
    if (!digest->known && inputs->stamps) {
        digest->content = content_by_stamp(line, &input, &stamp);
    } else if (!digest->known &&
               !(inputs->memo && memo_find_input(inputs->memo, line, &stamp, &digest->content))) {
        struct arena_mark mark = arena_mark(inputs->scratch);
        status = content_read(line, inputs->scratch, &digest->content, err);
        if (status != STATUS_OK)
            return status;
        arena_rewind(inputs->scratch, mark);
        if (inputs->memo)
            memo_keep_input(inputs->memo, line, &stamp, &digest->content);
    }
    digest->known = true;
    *content = digest->content;
    return STATUS_OK;
}

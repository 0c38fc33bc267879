/* See inputs.h. */
#include "stages/listing/inputs.h"

#include "stages/bio/alignment.h"
#include "stages/bio/input.h"
#include "stages/listing/folder.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

void inputs_open(struct inputs *inputs, const struct param_paths *folders, struct arena *arena,
                 struct arena *scratch)
{
    *inputs = (struct inputs){.folders = folders, .arena = arena, .scratch = scratch};
    names_open(&inputs->lines, arena);
    database_open(&inputs->database, arena);
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

/* The paths of the folder's files are added to paths[]; one that cannot be read adds none. */
static char **folder_add(struct inputs *inputs, const char *folder, char **paths, int *count,
                         int *capacity)
{
    struct error err;
    int files = 0;
    char **more = path_is_folder(folder) ? folder_files(folder, inputs->arena, &files, &err) : NULL;
    for (int i = 0; more && i < files; i++) {
        paths = array_grow(inputs->arena, paths, *count, capacity, sizeof *paths);
        ASSERT(paths);
        paths[(*count)++] = more[i];
    }
    return paths;
}

void inputs_find(struct inputs *inputs, const char *key, struct chain_inputs *found)
{
    static const char *const suffixes[] = {".a3m",       ".a2m", ".fasta",   ".fa",  ".sto",
                                           ".stockholm", ".aln", ".clustal", ".hhr", NULL};
    static const char *const inner[] = {"", "/a3m", "/hhr", "/sto", NULL};
    *found = (struct chain_inputs){"", ""};
    for (int i = 0; i < inputs->folders->count; i++) {
        const char *folder = arena_printf(inputs->arena, "%s/%s", inputs->folders->path[i], key);
        for (int s = 0; suffixes[s]; s++)
            for (int packed = 0; packed < 2; packed++) {
                const char *path =
                    arena_printf(inputs->arena, "%s%s%s", folder, suffixes[s], packed ? ".gz" : "");
                if (path_is_file(path))
                    add_named(inputs, found, name_base(span_of(path)), path);
            }
        char **paths = NULL;
        int count = 0, capacity = 0;
        for (int k = 0; inner[k] && path_is_folder(folder); k++)
            paths = folder_add(inputs, arena_printf(inputs->arena, "%s%s", folder, inner[k]), paths,
                               &count, &capacity);
        if (count)
            qsort(paths, (size_t)count, sizeof *paths, by_name);
        for (int p = 0; p < count; p++)
            if (path_is_file(paths[p]))
                add_named(inputs, found, name_base(span_of(paths[p])), paths[p]);
    }
    const char *line[DATABASE_CHAIN_FILES_MAX];
    struct span name[DATABASE_CHAIN_FILES_MAX];
    int count = database_find(&inputs->database, key, inputs->arena, line, name);
    for (int i = 0; i < count; i++)
        add_named(inputs, found, name[i], line[i]);
}

/* A file's name, size and time stand for its bytes. */
static enum status stamp(struct span line, struct input_digest *digest, struct error *err)
{
    char text[INPUT_LINE_MAX + 128], path[INPUT_PATH_MAX + 1];
    struct input input;
    struct stat info;
    enum status status = input_parse(line, &input, err);
    if (status != STATUS_OK)
        return status;
    snprintf(path, sizeof path, "%.*s", (int)input.path.size, input.path.data);
    if (stat(path, &info) != 0)
        return error_set(err, STATUS_IO, "%s: %s", path, strerror(errno));
    int size =
        snprintf(text, sizeof text, "%.*s %lld %lld.%09ld", (int)line.size, line.data,
                 (long long)info.st_size, (long long)info.st_mtim.tv_sec, info.st_mtim.tv_nsec);
    digest->hash = XXH3_128bits(text, (size_t)size);
    digest->bytes = (uint64_t)(input.piece ? input.length : info.st_size);
    return STATUS_OK;
}

/* Of the unpacked bytes, of which only a buffer is ever in memory. */
static enum status digest_read(struct span line, struct arena *scratch,
                               struct input_digest *digest, struct error *err)
{
    struct lines lines;
    struct span name, piece;
    XXH3_state_t *state = XXH3_createState();
    ASSERT(state && XXH3_128bits_reset(state) == XXH_OK);
    enum status status = input_lines(line, ALIGNMENT_BYTES_MAX, scratch, &name, &lines, err);
    digest->bytes = 0;
    while (status == STATUS_OK && (status = lines_piece(&lines, &piece, err)) == STATUS_OK) {
        XXH3_128bits_update(state, piece.data, piece.size);
        digest->bytes += piece.size;
    }
    lines_close(&lines);
    digest->hash = XXH3_128bits_digest(state);
    XXH3_freeState(state);
    return status == STATUS_EMPTY ? STATUS_OK : status;
}

enum status inputs_digest(struct inputs *inputs, struct span line, XXH128_hash_t *hash,
                          uint64_t *bytes, struct error *err)
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
    if (!digest->known && inputs->stamps) {
        enum status status = stamp(line, digest, err);
        if (status != STATUS_OK)
            return status;
        digest->known = true;
    }
    if (!digest->known) {
        struct arena_mark mark = arena_mark(inputs->scratch);
        enum status status = digest_read(line, inputs->scratch, digest, err);
        if (status != STATUS_OK)
            return status;
        digest->known = true;
        arena_rewind(inputs->scratch, mark);
    }
    *hash = digest->hash;
    *bytes += digest->bytes;
    return STATUS_OK;
}

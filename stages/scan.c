/* Scan: lists the chains that a line can make samples of. Runs once, when a run starts: reads every
 * structure file for its chains and sequences, pairs each chain with its alignments, groups chains
 * by PDB entry and identity, and holds groups out of training. The list depends on the files alone.
 *
 * Keys and entries follow from the names of files: stages/bio/chain_name.h.
 *
 * Alignments of a chain: files KEY.a3m, KEY.sto, ... or all alignment files in the folder KEY of an
 * `alignments` folder; else every alignment file that lies beside the structures is the alignment
 * of a family, in which the chain is searched by the stem of its file. */
#include "engine/base/file.h"
#include "engine/stage.h"
#include "stages/bio/alignment.h"
#include "stages/bio/chain_name.h"
#include "stages/bio/cluster.h"
#include "stages/bio/names.h"
#include "stages/bio/structure_read.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <xxhash.h>

enum { FOLDER_FILES_MAX = 10000000, DIGEST_TEXT = 32 };

struct scan_state {
    struct param_paths structures, alignments;
    int source;
    bool families;
    double held_out, identity_max;
};

/* A chain that was found. */
struct found {
    struct cluster_chain chain; /* key, entry, sequence */
    struct span structure, chain_name, alignment, row;
    char digest[DIGEST_TEXT];
};

/* Digests of alignment files, which many chains share. */
struct digest {
    XXH128_hash_t hash;
    bool known;
};

struct scan {
    const struct scan_state *settings;
    struct source *source;
    struct arena list, file; /* for the whole listing; for the file in hand */
    struct found *found;
    int count, capacity;
    struct names keys, paths; /* keys: to find doubles; paths: numbers of alignment files */
    struct digest *digests;
    int digest_capacity;
};

static bool ends_with(struct span text, const char *end)
{
    size_t size = strlen(end);
    return text.size > size && memcmp(text.data + text.size - size, end, size) == 0;
}

/* The name without ".gz" and then without the first of the suffixes it ends with; false: none. */
static bool stem_of(struct span name, const char *const *suffixes, struct span *stem)
{
    if (ends_with(name, ".gz"))
        name.size -= 3;
    for (; *suffixes; suffixes++)
        if (ends_with(name, *suffixes)) {
            *stem = (struct span){name.data, name.size - strlen(*suffixes)};
            return true;
        }
    return false;
}

static const char *const structure_suffixes[] = {".cif", ".mmcif", ".pdb", ".ent", NULL};

static bool is_alignment(struct span name)
{
    enum alignment_format format;
    return alignment_format_of(name, &format, NULL) == STATUS_OK;
}

static struct span base_name(struct span path)
{
    while (path.size && path.data[path.size - 1] == '/')
        path.size--;
    const char *slash = path.size ? memrchr(path.data, '/', path.size) : NULL;
    if (!slash)
        return path;
    size_t skip = (size_t)(slash + 1 - path.data);
    return (struct span){path.data + skip, path.size - skip};
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The paths of a folder's regular files, sorted; NULL when it cannot be read. */
static char **folder_files(const char *folder, struct arena *arena, int *count, struct error *err)
{
    DIR *handle = opendir(folder);
    if (!handle) {
        error_set(err, STATUS_IO, "%s: %s", folder, strerror(errno));
        return NULL;
    }
    char **paths = NULL;
    int capacity = 0;
    *count = 0;
    for (struct dirent *entry; (entry = readdir(handle)) != NULL && *count < FOLDER_FILES_MAX;) {
        if (entry->d_name[0] == '.')
            continue;
        paths = array_grow(arena, paths, *count, &capacity, sizeof *paths);
        ASSERT(paths);
        paths[(*count)++] = arena_printf(arena, "%s/%s", folder, entry->d_name);
    }
    closedir(handle);
    if (*count)
        qsort(paths, (size_t)*count, sizeof *paths, by_text);
    static char *none[1];
    return paths ? paths : none;
}

static bool is_folder(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

static bool is_file(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISREG(info.st_mode);
}

/* The hash of an alignment file's bytes, read once. */
static enum status alignment_digest(struct scan *scan, const char *path, XXH128_hash_t *hash,
                                    struct error *err)
{
    bool fresh;
    int number = names_add(&scan->paths, span_of(path), &fresh);
    ASSERT_INT(number, >=, 0);
    if (fresh) {
        scan->digests = array_grow(&scan->list, scan->digests, number, &scan->digest_capacity,
                                   sizeof *scan->digests);
        ASSERT(scan->digests);
        scan->digests[number] = (struct digest){0};
    }
    struct digest *digest = &scan->digests[number];
    if (!digest->known) {
        struct span content;
        struct arena_mark mark = arena_mark(&scan->file);
        enum status status = file_read(path, ALIGNMENT_BYTES_MAX, &scan->file, &content, err);
        if (status != STATUS_OK)
            return status;
        digest->hash = XXH3_128bits(content.data, content.size);
        digest->known = true;
        arena_rewind(&scan->file, mark);
    }
    *hash = digest->hash;
    return STATUS_OK;
}

/* Appends path as one more line of *lines. */
static void line_add(struct arena *arena, const char **lines, const char *path)
{
    *lines = **lines ? arena_printf(arena, "%s\n%s", *lines, path) : path;
}

/* The chain's own alignment files in one of the folders of `alignments`: a line each. */
static const char *own_alignments(struct scan *scan, const char *key)
{
    static const char *const suffixes[] = {".a3m",       ".a2m", ".fasta",   ".fa", ".sto",
                                           ".stockholm", ".aln", ".clustal", NULL};
    const struct param_paths *folders = &scan->settings->alignments;
    const char *lines = "";
    struct error err;
    for (int i = 0; i < folders->count; i++) {
        char *folder = arena_printf(&scan->list, "%s/%s", folders->path[i], key);
        for (int s = 0; suffixes[s]; s++)
            for (int packed = 0; packed < 2; packed++) {
                char *path =
                    arena_printf(&scan->list, "%s%s%s", folder, suffixes[s], packed ? ".gz" : "");
                if (is_file(path))
                    line_add(&scan->list, &lines, path);
            }
        int count = 0;
        char **paths = is_folder(folder) ? folder_files(folder, &scan->list, &count, &err) : NULL;
        for (int p = 0; paths && p < count; p++)
            if (is_alignment(base_name(span_of(paths[p]))) &&
                !span_starts(base_name(span_of(paths[p])), "uniprot_hits.") &&
                !span_starts(base_name(span_of(paths[p])), "hmm_output."))
                line_add(&scan->list, &lines, paths[p]);
    }
    return lines;
}

/* What made the sample: the bytes of its files and the names that choose from them. */
static enum status digest_make(struct scan *scan, struct span content, struct found *found,
                               struct error *err)
{
    XXH3_state_t *state = XXH3_createState();
    ASSERT(state);
    XXH3_128bits_reset(state);
    XXH3_128bits_update(state, content.data, content.size);
    const struct span names[] = {found->chain_name, found->row, found->chain.key};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        uint64_t size = names[i].size;
        XXH3_128bits_update(state, &size, sizeof size);
        XXH3_128bits_update(state, names[i].data, names[i].size);
    }
    struct span rest = found->alignment, line;
    enum status status = STATUS_OK;
    while (status == STATUS_OK && span_line(&rest, &line)) {
        XXH128_hash_t hash;
        status = alignment_digest(scan, arena_text(&scan->list, line.data, line.size), &hash, err);
        if (status == STATUS_OK)
            XXH3_128bits_update(state, &hash, sizeof hash);
    }
    XXH128_hash_t hash = XXH3_128bits_digest(state);
    XXH3_freeState(state);
    char text[DIGEST_TEXT + 1];
    snprintf(text, sizeof text, "%016llx%016llx", (unsigned long long)hash.high64,
             (unsigned long long)hash.low64);
    memcpy(found->digest, text, DIGEST_TEXT);
    return status;
}

/* The name stands beside the reason in the list of what was refused: not twice. */
static void refuse(struct scan *scan, const char *name, const struct error *err)
{
    size_t size = strlen(name);
    bool twice = strncmp(err->text, name, size) == 0 && strncmp(err->text + size, ": ", 2) == 0;
    scan->source->refuse(scan->source, name, twice ? err->text + size + 2 : err->text);
}

/* Adds one chain of the file in hand. family: the family's alignment files, a line each. */
static void chain_add(struct scan *scan, const char *path, struct span content, struct span stem,
                      bool cif, const struct structure *structure, int c, const char *family)
{
    const struct structure_chain *chain = &structure->chain[c];
    const char *key, *entry;
    struct error err;
    struct sample probe;
    chain_name(&(struct chain_file){stem, cif, structure->chain_count}, chain->name, &scan->list,
               &key, &entry);
    if (sample_open(&probe, span_of(key), &err) != STATUS_OK) {
        refuse(scan, path, &err);
        return;
    }
    if (names_find(&scan->keys, span_of(key)) >= 0) {
        error_set(&err, STATUS_REFUSED, "%s: a chain of the key %s was listed before", path, key);
        refuse(scan, key, &err);
        return;
    }
    struct found found = {
        .chain = {span_of(key), span_of(entry),
                  span_of(arena_text(&scan->list, chain->sequence, (size_t)chain->length))},
        .structure = span_of(path),
        .chain_name = span_of(arena_text(&scan->list, chain->name.data, chain->name.size)),
    };
    const char *own = own_alignments(scan, key);
    found.alignment = span_of(*own ? own : family);
    if (!*own && *family)
        found.row = span_of(arena_text(&scan->list, stem.data, stem.size));
    if (digest_make(scan, content, &found, &err) != STATUS_OK) {
        refuse(scan, key, &err);
        return;
    }
    scan->found =
        array_grow(&scan->list, scan->found, scan->count, &scan->capacity, sizeof *scan->found);
    ASSERT(scan->found && names_add(&scan->keys, found.chain.key, NULL) >= 0);
    scan->found[scan->count++] = found;
}

static void file_scan(struct scan *scan, const char *path, const char *family)
{
    struct span content, stem;
    struct structure structure;
    struct structure_wish wish = {.coordinates = false};
    struct error err;
    arena_reset(&scan->file);
    if (!stem_of(base_name(span_of(path)), structure_suffixes, &stem))
        stem = base_name(span_of(path));
    enum status status = file_read(path, STRUCTURE_BYTES_MAX, &scan->file, &content, &err);
    if (status == STATUS_OK) {
        status = structure_read(content, scan->settings->source ? PDB_DISTILLED : PDB_EXPERIMENTAL,
                                &wish, &scan->file, &structure, &err);
    }
    if (status != STATUS_OK) {
        refuse(scan, path, &err);
        return;
    }
    struct span name = base_name(span_of(path));
    bool cif = ends_with(name, ".cif") || ends_with(name, ".cif.gz") || ends_with(name, ".mmcif") ||
               ends_with(name, ".mmcif.gz");
    for (int c = 0; c < structure.chain_count; c++)
        chain_add(scan, path, content, stem, cif, &structure, c, family);
}

/* A path of `structures`: a file, or a folder whose alignment files belong to all in it. */
static enum status path_scan(struct scan *scan, const char *path, struct error *err)
{
    if (is_file(path)) {
        file_scan(scan, path, "");
        return STATUS_OK;
    }
    int count = 0, structures = 0;
    char **paths = folder_files(path, &scan->list, &count, err);
    if (!paths)
        return err->status;
    const char *family = "";
    for (int i = 0; i < count && scan->settings->families; i++)
        if (is_alignment(base_name(span_of(paths[i]))))
            line_add(&scan->list, &family, paths[i]);
    for (int i = 0; i < count; i++) {
        struct span stem;
        if (!stem_of(base_name(span_of(paths[i])), structure_suffixes, &stem) || !is_file(paths[i]))
            continue;
        structures++;
        file_scan(scan, paths[i], family);
    }
    if (structures == 0)
        return error_set(err, STATUS_INVALID,
                         "%s: holds no structure files (*.cif, *.mmcif, *.pdb, *.ent, also .gz)",
                         path);
    return STATUS_OK;
}

/* Gives the samples to the engine. */
static enum status give(struct scan *scan, struct error *err)
{
    struct arena *arena = &scan->list;
    size_t count = (size_t)scan->count;
    struct cluster_chain *chains = arena_alloc(arena, count * sizeof *chains);
    int32_t *group = arena_zero(arena, count, sizeof *group);
    int32_t *sizes = arena_zero(arena, count, sizeof *sizes);
    bool *held_out = arena_zero(arena, count, sizeof *held_out);
    for (int i = 0; i < scan->count; i++)
        chains[i] = scan->found[i].chain;
    cluster_groups(chains, scan->count, scan->settings->identity_max, arena, group);
    cluster_split(chains, scan->count, group, scan->settings->held_out, arena, held_out);
    for (int i = 0; i < scan->count; i++)
        sizes[group[i]]++;
    enum status status = STATUS_OK;
    for (int i = 0; i < scan->count && status == STATUS_OK; i++) {
        struct found *found = &scan->found[i];
        struct sample sample;
        arena_reset(&scan->file);
        status = sample_open(&sample, found->chain.key, err);
        if (status != STATUS_OK)
            break;
        sample_add_text(&sample, &scan->file, "structure", found->structure);
        sample_add_text(&sample, &scan->file, "chain", found->chain_name);
        sample_add_text(&sample, &scan->file, "alignment", found->alignment);
        sample_add_text(&sample, &scan->file, "row", found->row);
        sample_add_text(&sample, &scan->file, "entry", found->chain.entry);
        sample_add_text(&sample, &scan->file, "split", span_of(held_out[i] ? "held_out" : "train"));
        sample_add_i32(&sample, &scan->file, "cluster", group[i]);
        sample_add_i32(&sample, &scan->file, "cluster_size", sizes[group[i]]);
        sample_add_i32(&sample, &scan->file, "length", (int32_t)found->chain.sequence.size);
        sample_add_text(&sample, &scan->file, "input_digest",
                        (struct span){found->digest, DIGEST_TEXT});
        status = scan->source->emit(scan->source, &sample, err);
    }
    return status;
}

static enum status scan_list(void *state, struct source *source, struct error *err)
{
    struct scan scan = {.settings = state, .source = source};
    arena_open(&scan.list, 0);
    arena_open(&scan.file, 0);
    names_open(&scan.keys, &scan.list);
    names_open(&scan.paths, &scan.list);
    enum status status = STATUS_OK;
    for (int i = 0; i < scan.settings->structures.count && status == STATUS_OK; i++)
        status = path_scan(&scan, scan.settings->structures.path[i], err);
    if (status == STATUS_OK && scan.count == 0)
        status = error_set(err, STATUS_INVALID, "no chain could be listed; refused.tsv says why");
    if (status == STATUS_OK)
        status = give(&scan, err);
    arena_close(&scan.list);
    arena_close(&scan.file);
    return status;
}

#define AT(member) offsetof(struct scan_state, member)

static const char *const source_choices[] = {"experimental", "distilled", NULL};

static const struct param scan_params[] = {
    {.name = "structures",
     .type = PARAM_PATHS,
     .offset = AT(structures),
     .free = true,
     .help = "Folders (or files) of structures: *.cif, *.mmcif, *.pdb, *.ent, also .gz."},
    {.name = "alignments",
     .type = PARAM_PATHS,
     .fallback = "",
     .offset = AT(alignments),
     .free = true,
     .help = "Folders with each chain's own alignments: KEY.a3m (.sto, ...) or KEY/*.a3m."},
    {.name = "families",
     .type = PARAM_BOOL,
     .fallback = "true",
     .offset = AT(families),
     .free = true,
     .help =
         "Alignment files beside structures are the alignments of their family: each chain takes "
         "its own row as the query."},
    {.name = "source",
     .type = PARAM_CHOICE,
     .fallback = "experimental",
     .choices = source_choices,
     .offset = AT(source),
     .help = "What PDB files are; give parse the same."},
    {.name = "held_out",
     .type = PARAM_FLOAT,
     .fallback = "0.1",
     .min = 0,
     .max = 1,
     .offset = AT(held_out),
     .help = "Fraction of the chains that are held out of training, in whole groups."},
    {.name = "identity_max",
     .type = PARAM_FLOAT,
     .fallback = "0.9",
     .min = 0,
     .max = 1,
     .offset = AT(identity_max),
     .help = "Chains of one PDB entry, or more identical than this, are of one group."},
    {.name = NULL},
};

static const char *const scan_out[] = {"structure:u8[P]",
                                       "chain:u8[C]",
                                       "alignment:u8[A]",
                                       "row:u8[R]",
                                       "entry:u8[E]",
                                       "split:u8[S]",
                                       "cluster:i32",
                                       "cluster_size:i32",
                                       "length:i32",
                                       "input_digest:u8[32]",
                                       NULL};

const struct stage stage_scan = {
    .abi = STAGE_ABI,
    .version = 1,
    .flags = STAGE_SOURCE,
    .name = "scan",
    .summary = "Lists chains of structure files with their alignments, and the held-out split.",
    .state_size = sizeof(struct scan_state),
    .params = scan_params,
    .out = {scan_out},
    .list = scan_list,
};

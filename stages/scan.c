/* Scan: lists the chains that a line can make samples of. Runs once, when a run starts: reads every
 * structure file for its chains and sequences, pairs each chain with its alignments, groups chains
 * by PDB entry and identity, and holds groups out of training. The list depends on the files alone.
 *
 * Keys and entries follow from the names of files: stages/bio/chain_name.h.
 *
 * Alignments and template hits of a chain: stages/listing/inputs.h; without own alignments, every
 * alignment file that lies beside the structures is the alignment of a family, in which the chain
 * is searched by the stem of its file. */
#include "engine/base/file.h"
#include "engine/base/log.h"
#include "engine/stage.h"
#include "stages/bio/chain_name.h"
#include "stages/bio/cluster.h"
#include "stages/bio/date.h"
#include "stages/bio/structure_read.h"
#include "stages/listing/made.h"
#include "stages/listing/select.h"
#include "stages/listing/walk.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#define MEMO_NAME "scan.cache" /* in a store's folder */

enum { UNKNOWN_KEEP, UNKNOWN_REFUSE };
enum { DIGEST_CONTENT, DIGEST_STAMP };
enum { COMPAT_CORRECTED, COMPAT_OPENFOLD };

struct scan_state {
    struct param_paths structures, alignments, index;
    struct selection selection;
    const char *clusters, *twins, *memo;
    int unknown, digest, compat;
    int source;
    bool families, rescan;
    double held_out, identity_max;
    const struct stage_context *context;
};

/* A chain that was found. */
struct found {
    struct cluster_chain chain; /* key, entry, sequence */
    struct span structure, chain_name, alignment, template_hits, row, release_date;
    float resolution;
    struct made_digest digest; /* of what it is made from */
};

struct scan {
    const struct scan_state *settings;
    struct source *source;
    struct arena list, file; /* for the whole listing; for the file in hand */
    struct found *found;
    int count, capacity;
    struct names keys; /* to find doubles */
    struct clusters clusters;
    struct inputs inputs;
    struct memo memo;
};

/* The name stands beside the reason in the list of what was refused: not twice. */
static void refuse(struct scan *scan, const char *name, const struct error *err)
{
    size_t size = strlen(name);
    bool twice = strncmp(err->text, name, size) == 0 && strncmp(err->text + size, ": ", 2) == 0;
    scan->source->refuse(scan->source, name, twice ? err->text + size + 2 : err->text);
}

/* Adds one chain of the file in hand. family: the family's alignment files, a line each. */
static void chain_add(struct scan *scan, const char *path, const struct memo_structure *made,
                      const struct chain_file *file, int c, const char *family)
{
    const struct structure *structure = &made->structure;
    const struct structure_chain *chain = &structure->chain[c];
    const char *key, *entry;
    struct error err;
    struct sample probe;
    chain_name(file, chain->name, &scan->list, &key, &entry);
    if (sample_open(&probe, span_of(key), &err) != STATUS_OK) {
        refuse(scan, path, &err);
        return;
    }
    if (names_find(&scan->keys, span_of(key)) >= 0) {
        error_set(&err, STATUS_REFUSED, "%s: a chain of the key %s was listed before", path, key);
        refuse(scan, key, &err);
        return;
    }
    struct span date = structure->release_date;
    if (selection_check(&scan->settings->selection,
                        (struct span){chain->sequence, (size_t)chain->length},
                        structure->resolution, date, &err) != STATUS_OK) {
        refuse(scan, key, &err);
        return;
    }
    struct found found = {
        .resolution = structure->resolution,
        .release_date = span_of(arena_text(&scan->list, date.data, date.size)),
        .chain = {span_of(key), span_of(entry),
                  span_of(arena_text(&scan->list, chain->sequence, (size_t)chain->length))},
        .structure = span_of(path),
        .chain_name = span_of(arena_text(&scan->list, chain->name.data, chain->name.size)),
    };
    struct chain_inputs own;
    inputs_find(&scan->inputs, key, file->stem, &own);
    found.alignment = span_of(*own.alignment ? own.alignment : family);
    found.template_hits = span_of(own.template_hits);
    if (!*own.alignment && *family)
        found.row = span_of(arena_text(&scan->list, file->stem.data, file->stem.size));
    const struct made from = {found.structure, made->content,   found.chain_name,   found.row,
                              found.chain.key, found.alignment, found.template_hits};
    if (made_digest(&from, &scan->inputs, &scan->file, &found.digest, &err) != STATUS_OK) {
        refuse(scan, key, &err);
        return;
    }
    struct span *files = &found.digest.files;
    *files = span_of(arena_text(&scan->list, files->data, files->size));
    scan->found =
        array_grow(&scan->list, scan->found, scan->count, &scan->capacity, sizeof *scan->found);
    ASSERT(scan->found && names_add(&scan->keys, found.chain.key, NULL) >= 0);
    scan->found[scan->count++] = found;
}

/* What the file holds, by the memo if it has not changed, else by reading it. */
static void file_learn(struct scan *scan, const struct walk_file *file, struct memo_structure *made)
{
    const struct scan_state *settings = scan->settings;
    struct structure_wish wish = {.corrected = settings->compat == COMPAT_CORRECTED};
    unsigned reads = (unsigned)(settings->source << 1 | settings->compat);
    struct span content;
    if (memo_find_structure(&scan->memo, file->path, &file->stamp, reads, &scan->file, made))
        return;
    *made = (struct memo_structure){.refusal = {.status = STATUS_OK}};
    struct error *err = &made->refusal;
    enum status status = file_read(file->path, STRUCTURE_BYTES_MAX, &scan->file, &content, err);
    if (status == STATUS_OK) {
        made->content =
            (struct memo_content){XXH3_128bits(content.data, content.size), content.size};
        status = structure_read(content, settings->source ? PDB_DISTILLED : PDB_EXPERIMENTAL, &wish,
                                &scan->file, &made->structure, err);
    }
    err->status = status;
    memo_keep_structure(&scan->memo, file->path, &file->stamp, reads, made);
}

/* A file that the walk found; each record of a FASTA file is a chain of its own name. */
static void file_scan(void *user, const struct walk_file *file)
{
    struct scan *scan = user;
    struct memo_structure made;
    arena_reset(&scan->file);
    file_learn(scan, file, &made);
    if (made.refusal.status != STATUS_OK) {
        refuse(scan, file->path, &made.refusal);
        return;
    }
    for (int c = 0; c < made.structure.chain_count; c++) {
        struct chain_file named = {file->stem, file->cif, made.structure.chain_count};
        if (file->sequences)
            named = (struct chain_file){made.structure.chain[c].name, false, 1};
        chain_add(scan, file->path, &made, &named, c, file->family);
    }
}

/* A wrong folder or name of chains shows here first. */
static void tell(const struct scan *scan)
{
    int aligned = 0, hits = 0;
    for (int i = 0; i < scan->count; i++) {
        aligned += scan->found[i].alignment.size > 0;
        hits += scan->found[i].template_hits.size > 0;
    }
    log_info("%s: of %d chains %d have alignments, %d template searches",
             scan->settings->context->name, scan->count, aligned, hits);
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
        sample_add_text(&sample, &scan->file, "template_hits", found->template_hits);
        sample_add_text(&sample, &scan->file, "row", found->row);
        sample_add_text(&sample, &scan->file, "entry", found->chain.entry);
        sample_add_text(&sample, &scan->file, "split", span_of(held_out[i] ? "held_out" : "train"));
        sample_add_i32(&sample, &scan->file, "cluster", group[i]);
        sample_add_i32(&sample, &scan->file, "cluster_size",
                       *scan->settings->clusters
                           ? clusters_find(&scan->clusters, found->chain.key.data)
                           : sizes[group[i]]);
        sample_add_f32(&sample, &scan->file, "resolution", found->resolution);
        sample_add_text(&sample, &scan->file, "release_date", found->release_date);
        sample_add_i32(&sample, &scan->file, "length", (int32_t)found->chain.sequence.size);
        sample_add_text(&sample, &scan->file, "input_digest",
                        (struct span){found->digest.text, MADE_DIGEST});
        sample_add_text(&sample, &scan->file, "input_files", found->digest.files);
        sample_add_f32(&sample, &scan->file, "cost", (float)found->digest.bytes);
        status = scan->source->emit(scan->source, &sample, err);
    }
    return status;
}

static enum status scan_open(void *memory, struct stage_context *context, struct error *err)
{
    struct scan_state *state = memory;
    const char *date = state->selection.date_max;
    state->context = context;
    state->selection.unknown_refused = state->unknown == UNKNOWN_REFUSE;
    if (*date && !date_good(span_of(date)))
        return error_set(err, STATUS_INVALID, "date_max is YYYY-MM-DD, not \"%s\"", date);
    return STATUS_OK;
}

/* Where what was learned of each file is kept; false: nowhere. */
static bool memo_path(const struct scan_state *settings, char path[PATH_MAX])
{
    const char *store = settings->context->store_path;
    const char *folder = *settings->memo ? settings->memo : store;
    const char *name = *settings->memo ? "" : "/" MEMO_NAME;
    return folder && snprintf(path, PATH_MAX, "%s%s", folder, name) < PATH_MAX;
}

/* Takes in what the last run learned. No trouble with it costs more than reading the files. */
static void memo_begin(struct scan *scan, const char *path)
{
    struct error err;
    enum status status = memo_load(&scan->memo, path, &err);
    if (status == STATUS_INVALID)
        log_info("%s: %s: all files are read again", scan->settings->context->name, err.text);
    else if (status != STATUS_OK && status != STATUS_MISS)
        log_warn("%s: %s: all files are read again, and the file is replaced",
                 scan->settings->context->name, err.text);
}

static void memo_end(struct scan *scan, const char *path)
{
    struct error err;
    uint64_t found = scan->memo.found, missed = scan->memo.missed;
    log_info("%s: %llu files read, %llu unchanged", scan->settings->context->name,
             (unsigned long long)missed, (unsigned long long)found);
    if (memo_save(&scan->memo, path, &err) != STATUS_OK)
        log_warn("%s: %s: the next run will read all files again", scan->settings->context->name,
                 err.text);
}

static enum status scan_list(void *state, struct source *source, struct error *err)
{
    struct scan scan = {.settings = state, .source = source};
    char path[PATH_MAX];
    arena_open(&scan.list, 0);
    arena_open(&scan.file, 0);
    names_open(&scan.keys, &scan.list);
    memo_open(&scan.memo, &scan.list);
    bool kept = memo_path(scan.settings, path);
    if (kept && !scan.settings->rescan)
        memo_begin(&scan, path);
    enum status status =
        inputs_open(&scan.inputs, &scan.settings->alignments, &scan.list, &scan.file, err);
    scan.inputs.stamps = scan.settings->digest == DIGEST_STAMP;
    scan.inputs.memo = &scan.memo;
    if (status == STATUS_OK)
        status = inputs_index(&scan.inputs, &scan.settings->index, err);
    if (status == STATUS_OK && *scan.settings->twins)
        status = inputs_twins(&scan.inputs, scan.settings->twins, err);
    if (status == STATUS_OK && *scan.settings->clusters)
        status = clusters_read(&scan.clusters, scan.settings->clusters, &scan.list, err);
    const struct walk walk = {&scan.list, scan.settings->families, &scan, file_scan};
    for (int i = 0; i < scan.settings->structures.count && status == STATUS_OK; i++)
        status = walk_path(&walk, scan.settings->structures.path[i], err);
    if (status == STATUS_OK && scan.count == 0)
        status = error_set(err, STATUS_INVALID, "no chain could be listed; refused.tsv says why");
    if (status == STATUS_OK) {
        tell(&scan);
        status = give(&scan, err);
    }
    if (status == STATUS_OK && kept && !scan.settings->context->replay)
        memo_end(&scan, path);
    memo_close(&scan.memo);
    arena_close(&scan.list);
    arena_close(&scan.file);
    return status;
}

#define AT(member) offsetof(struct scan_state, member)

static const char *const source_choices[] = {"experimental", "distilled", NULL};

static const char *const compat_choices[] = {"corrected", "openfold", NULL};
static const char *const unknown_choices[] = {"keep", "refuse", NULL};
static const char *const digest_choices[] = {"content", "stamp", NULL};

static const struct param scan_params[] = {
    {.name = "structures",
     .type = PARAM_PATHS,
     .offset = AT(structures),
     .free = true,
     .help = "Folders (or files) of structures: *.cif, *.mmcif, *.pdb, *.ent, also .gz, also in "
             "subfolders of two letters (ab/1abc.cif.gz) and in NAME/pdb and NAME/cif; or FASTA "
             "files, named themselves: each sequence a chain without a structure, for prediction."},
    {.name = "alignments",
     .type = PARAM_PATHS,
     .fallback = "",
     .offset = AT(alignments),
     .free = true,
     .help =
         "Folders with each chain's own alignments and template hits: KEY.a3m (.sto, .hhr, ...), "
         "KEY/*.a3m, or KEY/a3m/*.a3m and KEY/hhr/*.hhr."},
    {.name = "compat",
     .type = PARAM_CHOICE,
     .fallback = "corrected",
     .choices = compat_choices,
     .offset = AT(compat),
     .help = "How mmCIF is read; give parse the same, where it is explained."},
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
    {.name = "alignment_index",
     .type = PARAM_PATHS,
     .fallback = "",
     .offset = AT(index),
     .free = true,
     .help = "Indices of alignment databases, JSON, beside the database files that they name: "
             "{\"1abc_A\": {\"db\": FILE, \"files\": [[NAME, OFFSET, LENGTH], ...]}, ...}."},
    {.name = "duplicates",
     .type = PARAM_PATH,
     .fallback = "",
     .offset = AT(twins),
     .free = true,
     .help =
         "Chains of the same sequence, those of one on a line, blanks between (OpenProteinSet's "
         "duplicate_pdb_chains.txt): a chain without alignments takes those of another."},
    {.name = "clusters",
     .type = PARAM_PATH,
     .fallback = "",
     .offset = AT(clusters),
     .free = true,
     .help = "Clusters of chains, one a line, blanks between (1abc_A 2xyz_B): where cluster_size "
             "comes from, -1 for chains in none; empty: from the groups by identity_max."},
    {.name = "resolution_max",
     .type = PARAM_FLOAT,
     .fallback = "0",
     .min = 0,
     .max = 1000,
     .offset = AT(selection.resolution_max),
     .free = true,
     .help = "Angstrom: chains of worse structures are refused; unknown (NMR) passes; 0: no limit. "
             "OpenFold: 9."},
    {.name = "same_letter_max",
     .type = PARAM_FLOAT,
     .fallback = "1",
     .min = 0,
     .max = 1,
     .offset = AT(selection.same_letter_max),
     .free = true,
     .help = "Chains of which one letter makes up more than this part are refused. OpenFold: 0.8."},
    {.name = "unknown",
     .type = PARAM_CHOICE,
     .fallback = "keep",
     .choices = unknown_choices,
     .offset = AT(unknown),
     .free = true,
     .help = "Chains with residues of unknown type, X. OpenFold never trains on them: refuse."},
    {.name = "length_min",
     .type = PARAM_INT,
     .fallback = "1",
     .min = 1,
     .max = 65536,
     .offset = AT(selection.length_min),
     .free = true,
     .help = "Residues: shorter chains are refused."},
    {.name = "date_max",
     .type = PARAM_TEXT,
     .fallback = "",
     .offset = AT(selection.date_max),
     .free = true,
     .help = "YYYY-MM-DD: chains released later are refused; empty: no limit."},
    {.name = "digest",
     .type = PARAM_CHOICE,
     .fallback = "content",
     .choices = digest_choices,
     .offset = AT(digest),
     .help = "What says that an alignment is still the one that a record was made from: its bytes, "
             "which are read when a run starts, or stamp: name, size and time of its file."},
    {.name = "cache",
     .type = PARAM_PATH,
     .fallback = "",
     .offset = AT(memo),
     .free = true,
     .help = "File that keeps what was read of each file, so that the next run reads only those "
             "that have changed (size, times or inode); empty: " MEMO_NAME " in the folder of the "
             "store that the line fills."},
    {.name = "rescan",
     .type = PARAM_BOOL,
     .fallback = "false",
     .offset = AT(rescan),
     .free = true,
     .help = "Read every file again, whatever the cache says."},
    {.name = NULL},
};

static const char *const scan_out[] = {"structure:u8[P]",
                                       "chain:u8[C]",
                                       "alignment:u8[A]",
                                       "template_hits:u8[H]",
                                       "row:u8[R]",
                                       "entry:u8[E]",
                                       "split:u8[S]",
                                       "cluster:i32",
                                       "cluster_size:i32",
                                       "length:i32",
                                       "input_digest:u8[32]",
                                       "resolution:f32",
                                       "release_date:u8[D]",
                                       "input_files:u8[F]",
                                       "cost:f32",
                                       NULL};

const struct stage stage_scan = {
    .abi = STAGE_ABI,
    .version = 3,
    .flags = STAGE_SOURCE,
    .name = "scan",
    .summary = "Lists chains of structure files with their alignments, and the held-out split.",
    .state_size = sizeof(struct scan_state),
    .params = scan_params,
    .out = {scan_out},
    .open = scan_open,
    .list = scan_list,
};

/* Templates: the hits of a chain's template search become pieces of known structures, aligned with
 * it (data path, section 5). Nothing here is random: all candidates are kept that training or
 * evaluation could take, and crop draws among them.
 *
 * What it adds (L residues, T candidates; T 0 where there are none):
 *   template_sequence u8[T,L]                letters of the template, '-' where unaligned
 *   template_all_atom_positions f32[T,L,37,3]  Angstrom, centred; 0 where absent
 *   template_all_atom_mask u8[T,L,37]
 *   template_sum_probs f32[T]
 *   template_domain_names text               ENTRY_CHAIN, one a line
 *   template_shuffled i32[]                  candidates from the front that training permutes
 *   template_report text                     a line for each refused hit: name, tab, why */
#include "engine/base/file.h"
#include "engine/base/log.h"
#include "engine/programs.h"
#include "engine/stage.h"
#include "stages/bio/cif.h"
#include "stages/bio/date.h"
#include "stages/bio/input.h"
#include "stages/bio/kalign.h"
#include "stages/bio/residue.h"
#include "stages/bio/template_walk.h"
#include "stages/listing/dates.h"

#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { KEPT_MAX = 64, OBSOLETE_BYTES_MAX = 1 << 24, MARGIN_DEFAULT = 60, INPUTS_MAX = 16 };

enum { SEEN_MAX = 1 << 18 }; /* dates that a worker remembers */

enum { COMPAT_CORRECTED, COMPAT_OPENFOLD };
enum { OWN_DEFAULT, OWN_REFUSE, OWN_KEEP };

/* A structure that was read, or why it could not be. */
struct kept {
    char entry[TEMPLATE_ENTRY_BYTES + 1];
    struct arena arena;
    struct structure structure;
    struct error refusal;
    uint64_t used; /* when, by count of openings; 0: free */
};

struct templates_state {
    const char *structures, *obsolete, *date_max, *kalign, *release_dates;
    int64_t candidates, hits, margin;
    uint64_t cache_bytes;
    int compat, own_entry;
    struct kept kept[KEPT_MAX];
    uint64_t opened;
    struct arena scratch, always; /* of the sample in hand; of the process */
    struct span obsolete_text;
    struct dates dates;     /* known without opening structures */
    struct dates seen;      /* of structures that were opened */
    char program[PATH_MAX]; /* of kalign; "": there is none */
};

/* Finds kalign. Where there is none, the run goes on without the hits that need it: they are named
 * in template_report, and the first worker says once what would bring them back. */
static enum status aligner_find(struct templates_state *state, const struct stage_context *context,
                                struct error *err)
{
    struct error missing;
    state->program[0] = 0;
    if (!*state->kalign)
        return STATUS_OK;
    if (strchr(state->kalign, '/'))
        return error_set(err, STATUS_INVALID,
                         "kalign is the program's name, not \"%s\"; its folder is given on the "
                         "command line: --programs DIR",
                         state->kalign);
    if (programs_find(state->kalign, state->program, &missing) == STATUS_OK)
        return STATUS_OK;
    state->program[0] = 0;
    if (context->worker == 0)
        log_warn("%s: %s. Template hits that must be aligned again are left out. To have them, "
                 "install %s (Debian package kalign), give its folder, and fill a new store; to "
                 "leave them out on purpose, say `kalign: \"\"`",
                 context->name, missing.text, state->kalign);
    return STATUS_OK;
}

static enum status templates_open(void *memory, struct stage_context *context, struct error *err)
{
    struct templates_state *state = memory;
    arena_open(&state->scratch, 0);
    arena_open(&state->always, 0);
    for (int i = 0; i < KEPT_MAX; i++)
        arena_open(&state->kept[i].arena, 0);
    if (*state->date_max && !date_good(span_of(state->date_max)))
        return error_set(err, STATUS_INVALID, "date_max is YYYY-MM-DD, not \"%s\"",
                         state->date_max);
    DIR *folder = opendir(state->structures);
    if (!folder)
        return error_set(err, STATUS_INVALID,
                         "structures: %s is no folder that can be read; it holds the template "
                         "structures, 1abc.cif or ab/1abc.cif, also .gz",
                         state->structures);
    closedir(folder);
    dates_open(&state->dates, &state->always);
    dates_open(&state->seen, &state->always);
    enum status status = aligner_find(state, context, err);
    if (status == STATUS_OK && *state->release_dates)
        status = dates_read(&state->dates, state->release_dates, err);
    if (status != STATUS_OK)
        return status;
    return *state->obsolete ? file_read(state->obsolete, OBSOLETE_BYTES_MAX, &state->always,
                                        &state->obsolete_text, err)
                            : STATUS_OK;
}

static void templates_close(void *memory)
{
    struct templates_state *state = memory;
    for (int i = 0; i < KEPT_MAX; i++)
        arena_close(&state->kept[i].arena);
    arena_close(&state->scratch);
    arena_close(&state->always);
}

/* The file of an entry, in the folder itself or in one named by its two middle letters. */
static bool structure_path(const struct templates_state *state, const char *entry,
                           char path[PATH_MAX])
{
    static const char *const suffixes[] = {".cif", ".cif.gz"};
    for (int deep = 0; deep < 2; deep++)
        for (int s = 0; s < 2; s++) {
            char folder[4] = {entry[1], entry[2], '/', 0};
            int size = snprintf(path, PATH_MAX, "%s/%s%s%s", state->structures, deep ? folder : "",
                                entry, suffixes[s]);
            if (size < PATH_MAX && access(path, R_OK) == 0)
                return true;
        }
    return false;
}

static void structure_read_into(const struct templates_state *state, struct kept *kept)
{
    char path[PATH_MAX];
    struct span content;
    struct structure_wish wish = {.coordinates = true,
                                  .corrected = state->compat == COMPAT_CORRECTED};
    struct error *err = &kept->refusal;
    if (!structure_path(state, kept->entry, path)) {
        error_set(err, STATUS_REFUSED, "%s.cif is not in %s", kept->entry, state->structures);
        return;
    }
    enum status status = file_read(path, STRUCTURE_BYTES_MAX, &kept->arena, &content, err);
    if (status == STATUS_OK)
        status = cif_read(content, &wish, &kept->arena, &kept->structure, err);
    if (status != STATUS_OK) {
        error_prefix(err, "%s.cif", kept->entry);
        err->status = STATUS_REFUSED;
    }
}

/* The place for one more structure: frees those used longest ago, until the rest keeps to the
 * limit. */
static struct kept *kept_room(struct templates_state *state)
{
    for (;;) {
        struct kept *oldest = NULL, *empty = NULL;
        uint64_t bytes = 0;
        for (int i = 0; i < KEPT_MAX; i++) {
            struct kept *kept = &state->kept[i];
            bytes += kept->used ? kept->arena.used_bytes : 0;
            if (!kept->used)
                empty = kept;
            else if (!oldest || kept->used < oldest->used)
                oldest = kept;
        }
        if (empty && (!oldest || bytes <= state->cache_bytes))
            return empty;
        arena_close(&oldest->arena);
        *oldest = (struct kept){0};
        arena_open(&oldest->arena, 0);
    }
}

static enum status library_open(void *memory, const char *entry, const struct structure **structure,
                                struct error *err)
{
    struct templates_state *state = memory;
    struct kept *found = NULL;
    for (int i = 0; i < KEPT_MAX && !found; i++)
        if (state->kept[i].used && strcmp(state->kept[i].entry, entry) == 0)
            found = &state->kept[i];
    if (!found) {
        found = kept_room(state);
        memcpy(found->entry, entry, sizeof found->entry);
        structure_read_into(state, found);
    }
    found->used = ++state->opened;
    *structure = &found->structure;
    struct span date = found->structure.release_date;
    if (found->refusal.status == STATUS_OK && date.size == DATE_BYTES &&
        state->seen.entries.count < SEEN_MAX)
        dates_add(&state->seen, span_of(entry), date);
    if (found->refusal.status != STATUS_OK)
        *err = found->refusal;
    return found->refusal.status;
}

/* What the file of dates says; else, where it changes nothing but time, what the structure said
 * when it was opened for another chain. */
static struct span library_date(void *memory, const char *entry)
{
    const struct templates_state *state = memory;
    struct span date = dates_find(&state->dates, entry);
    return date.size || state->compat == COMPAT_OPENFOLD ? date : dates_find(&state->seen, entry);
}

/* obsolete.dat of the PDB: "OBSLTE  31-JUL-94 116L     216L". The last entry of a line counts. */
static const char *library_replacement(void *memory, const char *entry)
{
    struct templates_state *state = memory;
    static char replaced[TEMPLATE_ENTRY_BYTES + 1];
    struct span rest = state->obsolete_text, line;
    while (span_line(&rest, &line)) {
        struct span word[4];
        int words = 0;
        while (words < 4 && span_word(&line, &word[words]))
            words++;
        if (words < 4 || !span_is(word[0], "OBSLTE") || word[2].size != TEMPLATE_ENTRY_BYTES ||
            word[3].size != TEMPLATE_ENTRY_BYTES ||
            strncasecmp(word[2].data, entry, TEMPLATE_ENTRY_BYTES) != 0)
            continue;
        for (int i = 0; i < TEMPLATE_ENTRY_BYTES; i++) {
            char c = word[3].data[i];
            replaced[i] = (char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
        }
        return replaced;
    }
    return NULL;
}

/* The latest date of a template for this chain. */
static struct span date_limit(const struct templates_state *state, const struct sample *in,
                              char buffer[DATE_BYTES + 1])
{
    struct span limit = span_of(state->date_max), own = sample_text(in, "release_date");
    int64_t margin = state->margin;
    if (margin < 0)
        margin = state->compat == COMPAT_OPENFOLD ? 0 : MARGIN_DEFAULT;
    if (margin == 0 || !date_good(own))
        return limit;
    date_before(own, margin, buffer);
    bool earlier = limit.size == 0 || memcmp(buffer, limit.data, DATE_BYTES) < 0;
    return earlier ? (struct span){buffer, DATE_BYTES} : limit;
}

/* The hits of all the chain's result files, as one list. */
static enum status hits_read(struct templates_state *state, const struct sample *in,
                             struct hhr *hhr, struct error *err)
{
    struct span rest = sample_text(in, "template_hits"), line;
    struct hhr files[INPUTS_MAX];
    int count = 0, total = 0;
    while (span_line(&rest, &line)) {
        struct span name, content;
        if (line.size == 0)
            continue;
        if (count == INPUTS_MAX)
            return error_set(err, STATUS_REFUSED, "more than %d template searches", INPUTS_MAX);
        enum status status = input_read(line, HHR_BYTES_MAX, &state->scratch, &name, &content, err);
        if (status == STATUS_OK) {
            status = hhr_read(content, &state->scratch, &files[count], err);
            if (status != STATUS_OK)
                error_prefix(err, "%.*s", (int)name.size, name.data);
        }
        if (status != STATUS_OK)
            return err->status = STATUS_REFUSED;
        total += files[count++].count;
    }
    hhr->hit = arena_alloc(&state->scratch, (size_t)total * sizeof *hhr->hit);
    hhr->count = 0;
    for (int i = 0; i < count; i++)
        for (int h = 0; h < files[i].count; h++)
            hhr->hit[hhr->count++] = files[i].hit[h];
    return STATUS_OK;
}

static void fields_add(const struct template_list *list, int64_t length, struct sample *out,
                       struct arena *arena)
{
    int64_t count = list->count;
    char *letters = sample_add_2(out, arena, "template_sequence", KIND_U8, count, length);
    float *positions = sample_add(out, arena, "template_all_atom_positions", KIND_F32, 4,
                                  (int64_t[]){count, length, ATOM37, 3});
    uint8_t *mask =
        sample_add_3(out, arena, "template_all_atom_mask", KIND_U8, count, length, ATOM37);
    float *sum_probs = sample_add_1(out, arena, "template_sum_probs", KIND_F32, count);
    const char *names = "";
    size_t cells = (size_t)length * ATOM37;
    for (int64_t t = 0; t < count; t++) {
        const struct template_candidate *candidate = &list->candidate[t];
        memcpy(letters + t * length, candidate->features.sequence, (size_t)length);
        memcpy(positions + (size_t)t * cells * 3, candidate->features.positions,
               cells * 3 * sizeof *positions);
        memcpy(mask + (size_t)t * cells, candidate->features.mask, cells);
        sum_probs[t] = candidate->sum_probs;
        names = arena_printf(arena, "%s%s\n", names, candidate->name);
    }
    sample_add_text(out, arena, "template_domain_names", span_of(names));
    sample_add_i32(out, arena, "template_shuffled", list->shuffled);
    sample_add_text(out, arena, "template_report", span_of(list->report));
}

static enum status templates_feed(void *memory, const struct work *work, const struct sample *in,
                                  struct sample *out, struct arena *arena, struct error *err)
{
    struct templates_state *state = memory;
    struct template_list list;
    struct hhr hhr;
    char date[DATE_BYTES + 1], entry[SAMPLE_KEY_MAX + 1];
    (void)work;
    struct span query = sample_text(in, "sequence"), own = sample_text(in, "entry");
    if (query.size == 0)
        return error_set(err, STATUS_REFUSED, "the chain has no residues");
    arena_reset(&state->scratch);
    enum status status = hits_read(state, in, &hhr, err);
    if (status != STATUS_OK)
        return status;
    bool keep = state->own_entry == OWN_KEEP ||
                (state->own_entry == OWN_DEFAULT && state->compat == COMPAT_OPENFOLD);
    snprintf(entry, sizeof entry, "%.*s", keep ? 0 : (int)own.size, own.data);
    struct template_settings settings = {.reference = state->compat == COMPAT_OPENFOLD,
                                         .shuffled = (int)state->candidates,
                                         .hits = (int)state->hits,
                                         .date_max = date_limit(state, in, date),
                                         .own_entry = entry};
    if (*state->program)
        settings.aligner = (struct template_aligner){state->program, kalign_pair};
    struct template_library library = {
        state, library_open, state->obsolete_text.size ? library_replacement : NULL, library_date};
    status = template_walk(&hhr, query, &settings, &library, &state->scratch, &list, err);
    if (status == STATUS_OK)
        fields_add(&list, (int64_t)query.size, out, arena);
    return status;
}

static const char *const compat_choices[] = {"corrected", "openfold", NULL};
static const char *const own_choices[] = {"default", "refuse", "keep", NULL};

#define AT(member) offsetof(struct templates_state, member)

static const struct param templates_params[] = {
    {.name = "structures",
     .type = PARAM_PATH,
     .offset = AT(structures),
     .free = true,
     .help = "Folder of the template structures: 1abc.cif or ab/1abc.cif, also .gz. A hit whose "
             "structure is not there is left out, and named in template_report."},
    {.name = "date_max",
     .type = PARAM_TEXT,
     .fallback = "",
     .offset = AT(date_max),
     .help = "YYYY-MM-DD: structures released later are no templates; empty: no such limit."},
    {.name = "date_margin",
     .type = PARAM_INT,
     .fallback = "-1",
     .min = -1,
     .max = 100000,
     .offset = AT(margin),
     .help = "Days that a template must be older than the chain itself, where the chain's release "
             "date is known; -1: 60, or 0 with compat: openfold."},
    {.name = "own_entry",
     .type = PARAM_CHOICE,
     .fallback = "default",
     .choices = own_choices,
     .offset = AT(own_entry),
     .help = "Hits in the chain's own PDB entry: refuse or keep; default: refuse, or keep with "
             "compat: openfold."},
    {.name = "compat",
     .type = PARAM_CHOICE,
     .fallback = "corrected",
     .choices = compat_choices,
     .offset = AT(compat),
     .help = "openfold: as the reference, which limits dates by date_max alone, takes pieces of "
             "the chain's own structure, gives residues that were lost in realignment the last "
             "residue of the template, and does not notice a search made with another sequence."},
    {.name = "candidates",
     .type = PARAM_INT,
     .fallback = "20",
     .min = 0,
     .max = 1000,
     .offset = AT(candidates),
     .help = "The best hits, which training permutes."},
    {.name = "hits",
     .type = PARAM_INT,
     .fallback = "4",
     .min = 0,
     .max = 64,
     .offset = AT(hits),
     .help = "Different templates that a sample takes: where the best hits give fewer, the walk "
             "goes on behind them."},
    {.name = "release_dates",
     .type = PARAM_PATH,
     .fallback = "",
     .offset = AT(release_dates),
     .free = true,
     .help =
         "JSON of release dates, {\"1abc\": {\"release_date\": \"2001-02-03\"}, ...} (OpenFold's "
         "caches of mmCIF files or chains), so that structures which are too young are not "
         "opened; what it lacks, the structures say. With compat: openfold, where it also "
         "frees their places among the candidates, fill a new store after changing it."},
    {.name = "obsolete",
     .type = PARAM_PATH,
     .fallback = "",
     .offset = AT(obsolete),
     .free = true,
     .help = "The PDB's obsolete.dat: entries that were replaced; empty: none are."},
    {.name = "kalign",
     .type = PARAM_TEXT,
     .fallback = "kalign",
     .offset = AT(kalign),
     .help = "Name of kalign, found in the folders of `--programs`, which aligns hits whose string "
             "is not in their structure; where it is not there, a warning says so once and those "
             "hits are left out. Empty: leave them out always."},
    {.name = "cache",
     .type = PARAM_BYTES,
     .fallback = "256MiB",
     .offset = AT(cache_bytes),
     .free = true,
     .help = "Structures that a worker keeps for other chains, unpacked, beside the one in hand."},
    {0},
};

static const char *const templates_in[] = {"sequence:u8[L]", "template_hits:u8[H]?",
                                           "release_date:u8[D]?", "entry:u8[P]?", NULL};

static const char *const templates_out[] = {"template_sequence:u8[T,L]",
                                            "template_all_atom_positions:f32[T,L,37,3]",
                                            "template_all_atom_mask:u8[T,L,37]",
                                            "template_sum_probs:f32[T]",
                                            "template_domain_names:u8[Q]",
                                            "template_shuffled:i32",
                                            "template_report:u8[R]",
                                            NULL};

const struct stage stage_templates = {
    .abi = STAGE_ABI,
    .version = 2,
    .flags = STAGE_PASS,
    .name = "templates",
    .summary = "Makes template features of the hits of a chain's template search.",
    .state_size = sizeof(struct templates_state),
    .params = templates_params,
    .in = {templates_in},
    .out = {templates_out},
    .open = templates_open,
    .feed = templates_feed,
    .close = templates_close,
};

/* From hits to candidates; see template_walk.h. */
#include "stages/bio/template_walk.h"

#include "stages/bio/residue.h"

#include <stdio.h>
#include <string.h>

enum { REPLACED_MAX = 16, REPORT_LINE = 400, REPORT_HITS_MAX = 200 };

/* A hit that passed the filter. */
struct passed {
    const struct hhr_hit *hit;
    char entry[TEMPLATE_ENTRY_BYTES + 1];
    struct span chain;
};

struct walk {
    const struct template_settings *settings;
    const struct template_library *library;
    struct span query;
    struct arena *arena;
    struct template_list *list;
    size_t report_size;
    int reported;
};

static void refuse(struct walk *walk, const struct hhr_hit *hit, const struct error *err)
{
    struct span name = hit->name, word;
    walk->list->refused++;
    if (walk->reported++ >= REPORT_HITS_MAX)
        return;
    if (!span_word(&name, &word))
        word = (struct span){"", 0};
    int size = snprintf(walk->list->report + walk->report_size, REPORT_LINE, "%.*s\t%s",
                        word.size < 40 ? (int)word.size : 40, word.data, err->text);
    size = size < REPORT_LINE - 2 ? size : REPORT_LINE - 2;
    walk->report_size += (size_t)size;
    walk->list->report[walk->report_size++] = '\n';
    walk->list->report[walk->report_size] = 0;
}

static bool is_later(struct span date, struct span limit)
{
    return limit.size == TEMPLATE_DATE_BYTES && date.size == TEMPLATE_DATE_BYTES &&
           memcmp(date.data, limit.data, TEMPLATE_DATE_BYTES) > 0;
}

static enum status age_check(const struct walk *walk, struct span date, struct error *err)
{
    struct span limit = walk->settings->date_max;
    return is_later(date, limit) ? error_set(err, STATUS_REFUSED, "released %.*s, later than %.*s",
                                             (int)date.size, date.data, (int)limit.size, limit.data)
                                 : STATUS_OK;
}

/* What the library knows; empty: nothing. */
static struct span known_date(const struct walk *walk, const char *entry)
{
    const struct template_library *library = walk->library;
    return library->date ? library->date(library->user, entry) : (struct span){"", 0};
}

/* Section 5.2, and the target's own entry. */
static enum status filter(struct walk *walk, const struct hhr_hit *hit, struct passed *passed,
                          struct error *err)
{
    const struct template_library *library = walk->library;
    passed->hit = hit;
    enum status status = template_name(hit, passed->entry, &passed->chain, err);
    for (int i = 0; status == STATUS_OK && library->replacement && i < REPLACED_MAX; i++) {
        const char *entry = library->replacement(library->user, passed->entry);
        if (!entry || strlen(entry) != TEMPLATE_ENTRY_BYTES)
            break;
        memcpy(passed->entry, entry, sizeof passed->entry);
    }
    if (status != STATUS_OK)
        return status;
    const char *own = walk->settings->own_entry;
    if (own && *own && strcmp(own, passed->entry) == 0)
        return error_set(err, STATUS_REFUSED, "it is the chain's own entry");
    if (walk->settings->reference)
        status = age_check(walk, known_date(walk, passed->entry), err);
    return status != STATUS_OK ? status : template_worthwhile(hit, walk->query, err);
}

/* Opens the hit's structure, unless it is known to be too young. */
static enum status open_structure(struct walk *walk, const struct passed *passed,
                                  const struct structure **structure, bool *young,
                                  struct error *err)
{
    const struct template_settings *settings = walk->settings;
    struct span known = known_date(walk, passed->entry);
    enum status status = age_check(walk, known, err);
    *young = status != STATUS_OK;
    if (*young)
        return status;
    status = walk->library->open(walk->library->user, passed->entry, structure, err);
    if (status != STATUS_OK)
        return status;
    struct span date = (*structure)->release_date;
    if (settings->date_max.size && date.size == 0 && (known.size == 0 || settings->reference))
        return error_set(err, STATUS_REFUSED, "%s has no release date, and a limit is set",
                         passed->entry);
    status = age_check(walk, date, err);
    *young = status != STATUS_OK;
    return status;
}

/* One hit on its structure; a candidate more, or a line of the report. */
static enum status make(struct walk *walk, const struct passed *passed, bool *young,
                        struct error *err)
{
    const struct structure *structure;
    const struct template_settings *settings = walk->settings;
    struct template_candidate *candidate = &walk->list->candidate[walk->list->count];
    struct template_wish wish = {.query = walk->query,
                                 .chain = passed->chain,
                                 .reference = settings->reference,
                                 .aligner = settings->aligner};
    enum status status = open_structure(walk, passed, &structure, young, err);
    struct arena_mark mark = arena_mark(walk->arena);
    if (status == STATUS_OK)
        status =
            template_make(passed->hit, structure, &wish, walk->arena, &candidate->features, err);
    if (status == STATUS_REFUSED) {
        arena_rewind(walk->arena, mark);
        refuse(walk, passed->hit, err);
        return STATUS_OK;
    }
    if (status != STATUS_OK)
        return status;
    candidate->sum_probs = passed->hit->sum_probs;
    candidate->name = arena_printf(walk->arena, "%s_%.*s", passed->entry, (int)passed->chain.size,
                                   passed->chain.data);
    walk->list->count++;
    return STATUS_OK;
}

/* Different strings among the candidates, counted up to enough. */
static int different(const struct template_list *list, int enough)
{
    int count = 0;
    for (int i = 0; i < list->count && count < enough; i++) {
        bool fresh = true;
        for (int j = 0; j < i && fresh; j++)
            fresh = strcmp(list->candidate[i].features.sequence,
                           list->candidate[j].features.sequence) != 0;
        count += fresh;
    }
    return count;
}

enum status template_walk(const struct hhr *hhr, struct span query,
                          const struct template_settings *settings,
                          const struct template_library *library, struct arena *arena,
                          struct template_list *list, struct error *err)
{
    struct walk walk = {
        .settings = settings, .library = library, .query = query, .arena = arena, .list = list};
    size_t hits = (size_t)hhr->count;
    *list = (struct template_list){.hits = hhr->count};
    struct passed *passed = arena_try(arena, hits, sizeof *passed);
    const struct hhr_hit **row = arena_try(arena, hits, sizeof *row);
    int *order = arena_try(arena, hits, sizeof *order), count = 0;
    list->candidate = arena_try(arena, hits, sizeof *list->candidate);
    list->report = arena_try(arena, REPORT_HITS_MAX + 1, REPORT_LINE);
    if (!passed || !row || !order || !list->candidate || !list->report)
        return error_set(err, STATUS_LIMIT, "no memory for %zu hits", hits);
    list->report[0] = 0;
    for (size_t i = 0; i < hits; i++) {
        if (filter(&walk, &hhr->hit[i], &passed[count], err) != STATUS_OK)
            refuse(&walk, &hhr->hit[i], err);
        else
            row[count] = passed[count].hit, count++;
    }
    template_order(row, count, order);
    enum status status = STATUS_OK;
    for (int i = 0, first = 0; i < count && status == STATUS_OK; i++) {
        bool young;
        if (first >= settings->shuffled && different(list, settings->hits) >= settings->hits)
            break;
        status = make(&walk, &passed[order[i]], &young, err);
        if (first < settings->shuffled)
            list->shuffled = list->count;
        first += !young || settings->reference;
    }
    return status;
}

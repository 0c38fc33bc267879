/* See dates.h. */
#include "stages/listing/dates.h"

#include "stages/bio/date.h"
#include "stages/listing/json.h"

#include <stdint.h>
#include <string.h>

/* Where in the file's shape the stream stands. */
enum place {
    PLACE_OUTSIDE, /* wants the outermost map */
    PLACE_ENTRIES, /* in it: wants a name */
    PLACE_ENTRY,   /* behind the name: wants a map or a date */
    PLACE_FACTS,   /* in that map: wants a key */
    PLACE_DATE,    /* behind "release_date" */
    PLACE_FACT,    /* behind another key: anything */
    PLACE_DONE
};

static const char *const wanted[] = {[PLACE_OUTSIDE] = "{ of all entries",
                                     [PLACE_ENTRIES] = "an entry's name",
                                     [PLACE_ENTRY] = "{ of an entry, or its date",
                                     [PLACE_FACTS] = "a key like \"release_date\"",
                                     [PLACE_DATE] = "a date, YYYY-MM-DD",
                                     [PLACE_FACT] = "a value",
                                     [PLACE_DONE] = NULL};

struct reader {
    struct dates *dates;
    enum place place;
    int64_t depth; /* of lists and maps inside a fact */
    char entry[DATES_ENTRY_BYTES];
    bool named; /* the name in hand is that of an entry */
    struct error *err;
};

static const char *wanted_now(const void *user)
{
    const struct reader *r = user;
    return wanted[r->place];
}

static int unexpected(struct reader *r)
{
    error_set(r->err, STATUS_INVALID, "%s is wanted here",
              r->place == PLACE_DONE ? "the end" : wanted[r->place]);
    return 0;
}

static int is_letter_or_digit(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* "1abc" or "1abc_A". */
static void take_name(struct reader *r, struct span name)
{
    r->named = name.size == DATES_ENTRY_BYTES ||
               (name.size > DATES_ENTRY_BYTES && name.data[DATES_ENTRY_BYTES] == '_');
    for (int i = 0; r->named && i < DATES_ENTRY_BYTES; i++) {
        char c = name.data[i];
        r->named = is_letter_or_digit(c);
        r->entry[i] = (char)(c >= 'A' && c <= 'Z' ? c | 32 : c);
    }
}

static int take_date(struct reader *r, struct span date)
{
    if (!date_good(date)) {
        error_set(r->err, STATUS_INVALID, "\"%.*s\" is no date, YYYY-MM-DD",
                  date.size < 40 ? (int)date.size : 40, date.data);
        return 0;
    }
    if (r->named && !dates_add(r->dates, (struct span){r->entry, DATES_ENTRY_BYTES}, date)) {
        error_set(r->err, STATUS_LIMIT, "no memory, or more than %d entries", DATES_MAX);
        return 0;
    }
    return 1;
}

/* A value that is no text, list or map. */
static int value(struct reader *r, bool is_null)
{
    if (r->place == PLACE_FACT)
        return r->place = r->depth ? PLACE_FACT : PLACE_FACTS, 1;
    if (is_null && r->place == PLACE_DATE)
        return r->place = PLACE_FACTS, 1;
    if (is_null && r->place == PLACE_ENTRY)
        return r->place = PLACE_ENTRIES, 1;
    return unexpected(r);
}

static int begin(struct reader *r)
{
    if (r->place != PLACE_FACT)
        return unexpected(r);
    r->depth++;
    return 1;
}

static int end(struct reader *r)
{
    if (r->place != PLACE_FACT || r->depth == 0)
        return unexpected(r);
    if (--r->depth == 0)
        r->place = PLACE_FACTS;
    return 1;
}

/* ---- yajl's events ---- */

static int on_null(void *user)
{
    return value(user, true);
}

static int on_bool(void *user, int truth)
{
    (void)truth;
    return value(user, false);
}

static int on_number(void *user, const char *text, size_t size)
{
    (void)text, (void)size;
    return value(user, false);
}

static int on_text(void *user, const unsigned char *text, size_t size)
{
    struct reader *r = user;
    enum place place = r->place;
    if (place != PLACE_ENTRY && place != PLACE_DATE)
        return value(r, false);
    r->place = place == PLACE_ENTRY ? PLACE_ENTRIES : PLACE_FACTS;
    return take_date(r, (struct span){(const char *)text, size});
}

static int on_map(void *user)
{
    struct reader *r = user;
    if (r->place == PLACE_OUTSIDE)
        return r->place = PLACE_ENTRIES, 1;
    if (r->place == PLACE_ENTRY)
        return r->place = PLACE_FACTS, 1;
    return begin(r);
}

static int on_key(void *user, const unsigned char *text, size_t size)
{
    struct reader *r = user;
    struct span key = {(const char *)text, size};
    if (r->place == PLACE_ENTRIES) {
        take_name(r, key);
        r->place = PLACE_ENTRY;
    } else if (r->place == PLACE_FACTS) {
        r->place = span_is(key, "release_date") ? PLACE_DATE : PLACE_FACT;
    } else if (r->place != PLACE_FACT) {
        return unexpected(r);
    }
    return 1;
}

static int on_end_map(void *user)
{
    struct reader *r = user;
    if (r->place == PLACE_FACTS)
        return r->place = PLACE_ENTRIES, 1;
    if (r->place == PLACE_ENTRIES)
        return r->place = PLACE_DONE, 1;
    return end(r);
}

static int on_list(void *user)
{
    return begin(user);
}

static int on_end_list(void *user)
{
    return end(user);
}

static const yajl_callbacks events = {.yajl_null = on_null,
                                      .yajl_boolean = on_bool,
                                      .yajl_number = on_number,
                                      .yajl_string = on_text,
                                      .yajl_start_map = on_map,
                                      .yajl_map_key = on_key,
                                      .yajl_end_map = on_end_map,
                                      .yajl_start_array = on_list,
                                      .yajl_end_array = on_end_list};

void dates_open(struct dates *dates, struct arena *arena)
{
    *dates = (struct dates){.arena = arena};
    names_open(&dates->entries, arena);
}

bool dates_add(struct dates *dates, struct span entry, struct span date)
{
    int at = names_find(&dates->entries, entry);
    if (at < 0) {
        if (dates->entries.count == DATES_MAX)
            return false;
        char *bytes = arena_try(dates->arena, entry.size + date.size, 1);
        if (!bytes)
            return false;
        memcpy(bytes, entry.data, entry.size);
        memcpy(bytes + entry.size, date.data, date.size);
        at = names_add(&dates->entries, (struct span){bytes, entry.size}, NULL);
        dates->date =
            at < 0 ? NULL
                   : array_grow(dates->arena, dates->date, at, &dates->room, sizeof *dates->date);
        if (!dates->date)
            return false;
        dates->date[at] = (struct span){bytes + entry.size, date.size};
    } else if (memcmp(date.data, dates->date[at].data, DATE_BYTES) > 0) {
        dates->date[at].data = arena_text(dates->arena, date.data, date.size);
    }
    return true;
}

enum status dates_read(struct dates *dates, const char *path, struct error *err)
{
    struct reader r = {.dates = dates, .err = err};
    return json_read(path, &events, &r, wanted_now, err);
}

struct span dates_find(const struct dates *dates, const char *entry)
{
    int at = names_find(&dates->entries, span_of(entry));
    return at < 0 ? (struct span){"", 0} : dates->date[at];
}

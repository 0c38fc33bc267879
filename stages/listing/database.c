/* Reads an index as a stream of JSON events (libyajl); see database.h. */
#include "stages/listing/database.h"

#include "stages/bio/input.h"
#include "stages/listing/json.h"

#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { FIRST_ROOM = 64 };

/* Where in the index's shape the stream stands. */
enum place {
    PLACE_OUTSIDE, /* wants the outermost map */
    PLACE_CHAINS,  /* in it: wants a chain's name */
    PLACE_CHAIN,   /* behind the name: wants a map */
    PLACE_KEYS,    /* in that: wants "db" or "files" */
    PLACE_DB,      /* wants the file's name */
    PLACE_FILES,   /* wants a list */
    PLACE_LIST,    /* in it: wants a list of three */
    PLACE_NAME,
    PLACE_OFFSET,
    PLACE_LENGTH,
    PLACE_END_FILE, /* wants the end of the list of three */
    PLACE_DONE
};

static const char *const wanted[] = {[PLACE_OUTSIDE] = "{ of all chains",
                                     [PLACE_CHAINS] = "a chain's name",
                                     [PLACE_CHAIN] = "{ of a chain",
                                     [PLACE_KEYS] = "\"db\" or \"files\"",
                                     [PLACE_DB] = "the database file's name",
                                     [PLACE_FILES] = "[ of the chain's files",
                                     [PLACE_LIST] = "[NAME, OFFSET, LENGTH]",
                                     [PLACE_NAME] = "a file's name",
                                     [PLACE_OFFSET] = "an offset",
                                     [PLACE_LENGTH] = "a length",
                                     [PLACE_END_FILE] = "]",
                                     [PLACE_DONE] = "the end"};

struct reader {
    struct database *database;
    const char *folder;
    enum place place;
    int64_t begun; /* first file of the chain in hand */
    int32_t where;
    int64_t size_of; /* bytes of the database file `where` */
    int64_t *sizes;  /* of all database files */
    int size_room;
    struct database_file file;
    struct error *err;
};

__attribute__((format(printf, 2, 3))) static int fail(struct reader *r, const char *format, ...)
{
    char text[ERROR_TEXT_MAX];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    error_set(r->err, STATUS_INVALID, "%s", text);
    return 0;
}

static int unexpected(struct reader *r)
{
    return fail(r, "%s is wanted here", wanted[r->place]);
}

static int32_t name_number(struct reader *r, struct names *names, struct span text, bool *fresh)
{
    char *copy = arena_text(r->database->arena, text.data, text.size);
    return names_add(names, (struct span){copy, text.size}, fresh);
}

/* The database file beside the index, measured once. */
static int take_db(struct reader *r, struct span name)
{
    struct database *d = r->database;
    struct stat info;
    bool fresh;
    char *path = arena_printf(d->arena, "%s/%.*s", r->folder, (int)name.size, name.data);
    if (name.size == 0 || memchr(name.data, '/', name.size) || name.data[0] == '.')
        return fail(r, "\"db\" is the name of a file beside the index, not \"%s\"", path);
    int number = names_find(&d->paths, span_of(path));
    fresh = number < 0;
    if (fresh) {
        if (stat(path, &info) != 0 || !S_ISREG(info.st_mode))
            return fail(r, "the database file %s is not there", path);
        number = name_number(r, &d->paths, span_of(path), NULL);
        r->sizes = array_grow(d->arena, r->sizes, number, &r->size_room, sizeof *r->sizes);
        if (number < 0 || !r->sizes)
            return fail(r, "no memory for the names of database files");
        r->sizes[number] = info.st_size;
    }
    r->where = number;
    r->size_of = r->sizes[number];
    r->place = PLACE_KEYS;
    return 1;
}

static int take_chain(struct reader *r, struct span name)
{
    struct database *d = r->database;
    bool fresh;
    int number = name_number(r, &d->chains, name, &fresh);
    if (number < 0 || !fresh)
        return fail(r, "chain %s stands in the index twice",
                    arena_text(d->arena, name.data, name.size));
    d->first = array_grow(d->arena, d->first, number + 1, &d->first_room, sizeof *d->first);
    if (!d->first)
        return fail(r, "no memory for the chains of the index");
    d->first[number] = r->begun = d->file_count;
    r->where = -1;
    r->place = PLACE_CHAIN;
    return 1;
}

/* The file in hand is whole. "db" may stand behind "files": ends are checked with the chain. */
static int file_done(struct reader *r)
{
    struct database *d = r->database;
    if (d->file_count == DATABASE_FILES_MAX)
        return fail(r, "the index has too many files");
    if (d->file_count == d->file_room) {
        int64_t room = d->file_room ? 2 * d->file_room : 4096;
        struct database_file *more = arena_try(d->arena, (size_t)room, sizeof *more);
        if (!more)
            return fail(r, "no memory for the files of the index");
        if (d->file_count)
            memcpy(more, d->file, (size_t)d->file_count * sizeof *more);
        d->file = more;
        d->file_room = room;
    }
    d->file[d->file_count++] = r->file;
    r->place = PLACE_LIST;
    return 1;
}

static int chain_done(struct reader *r)
{
    struct database *d = r->database;
    if (r->where < 0)
        return fail(r, "a chain has no \"db\"");
    for (int64_t i = r->begun; i < d->file_count; i++) {
        d->file[i].where = r->where;
        if (d->file[i].length <= 0 || d->file[i].offset < 0 ||
            d->file[i].offset > r->size_of - d->file[i].length)
            return fail(r, "a file of chain %s lies beyond the end of its database",
                        arena_text(d->arena, d->chains.name[d->chains.count - 1].data,
                                   d->chains.name[d->chains.count - 1].size));
    }
    d->first[d->chains.count] = d->file_count;
    r->place = PLACE_CHAINS;
    return 1;
}

/* ---- yajl's events ---- */

static int on_map(void *user)
{
    struct reader *r = user;
    if (r->place == PLACE_OUTSIDE)
        return r->place = PLACE_CHAINS, 1;
    if (r->place == PLACE_CHAIN)
        return r->place = PLACE_KEYS, 1;
    return unexpected(r);
}

static int on_key(void *user, const unsigned char *text, size_t size)
{
    struct reader *r = user;
    struct span key = {(const char *)text, size};
    if (r->place == PLACE_CHAINS)
        return take_chain(r, key);
    if (r->place == PLACE_KEYS && span_is(key, "db"))
        return r->place = PLACE_DB, 1;
    if (r->place == PLACE_KEYS && span_is(key, "files"))
        return r->place = PLACE_FILES, 1;
    return unexpected(r);
}

static int on_end_map(void *user)
{
    struct reader *r = user;
    if (r->place == PLACE_KEYS)
        return chain_done(r);
    if (r->place == PLACE_CHAINS)
        return r->place = PLACE_DONE, 1;
    return unexpected(r);
}

static int on_list(void *user)
{
    struct reader *r = user;
    if (r->place == PLACE_FILES)
        return r->place = PLACE_LIST, 1;
    if (r->place == PLACE_LIST)
        return r->place = PLACE_NAME, 1;
    return unexpected(r);
}

static int on_end_list(void *user)
{
    struct reader *r = user;
    if (r->place == PLACE_END_FILE)
        return file_done(r);
    if (r->place == PLACE_LIST)
        return r->place = PLACE_KEYS, 1;
    return unexpected(r);
}

static int on_text(void *user, const unsigned char *text, size_t size)
{
    struct reader *r = user;
    struct span span = {(const char *)text, size};
    if (r->place == PLACE_DB)
        return take_db(r, span);
    if (r->place != PLACE_NAME)
        return unexpected(r);
    int32_t number = names_find(&r->database->names, span);
    if (number < 0)
        number = name_number(r, &r->database->names, span, NULL);
    if (number < 0)
        return fail(r, "no memory for the names of files");
    r->file = (struct database_file){.name = number};
    r->place = PLACE_OFFSET;
    return 1;
}

static int on_integer(void *user, long long value)
{
    struct reader *r = user;
    if (r->place == PLACE_OFFSET)
        return r->file.offset = value, r->place = PLACE_LENGTH, 1;
    if (r->place == PLACE_LENGTH)
        return r->file.length = value, r->place = PLACE_END_FILE, 1;
    return unexpected(r);
}

static int on_null(void *user)
{
    return unexpected(user);
}

static int on_bool(void *user, int value)
{
    (void)value;
    return unexpected(user);
}

static int on_double(void *user, double value)
{
    (void)value;
    return unexpected(user);
}

static const yajl_callbacks events = {.yajl_null = on_null,
                                      .yajl_boolean = on_bool,
                                      .yajl_integer = on_integer,
                                      .yajl_double = on_double,
                                      .yajl_string = on_text,
                                      .yajl_start_map = on_map,
                                      .yajl_map_key = on_key,
                                      .yajl_end_map = on_end_map,
                                      .yajl_start_array = on_list,
                                      .yajl_end_array = on_end_list};

void database_open(struct database *database, struct arena *arena)
{
    *database = (struct database){.arena = arena, .first_room = FIRST_ROOM};
    database->first = arena_zero(arena, FIRST_ROOM, sizeof *database->first);
    names_open(&database->chains, arena);
    names_open(&database->names, arena);
    names_open(&database->paths, arena);
}

static const char *wanted_now(const void *user)
{
    const struct reader *r = user;
    return r->place == PLACE_DONE ? NULL : wanted[r->place];
}

enum status database_read(struct database *database, const char *path, struct error *err)
{
    char folder[PATH_MAX];
    struct reader r = {.database = database, .folder = folder, .err = err};
    const char *slash = strrchr(path, '/');
    snprintf(folder, sizeof folder, "%.*s", slash ? (int)(slash - path) : 1, slash ? path : ".");
    /* Sizes of databases that an index before this one named. */
    for (int i = 0; i < database->paths.count; i++) {
        struct stat info = {0};
        struct span known = database->paths.name[i];
        r.sizes = array_grow(database->arena, r.sizes, i, &r.size_room, sizeof *r.sizes);
        stat(known.data, &info);
        r.sizes[i] = info.st_size;
    }
    return json_read(path, &events, &r, wanted_now, err);
}

/* A file of a chain with the name that orders it. */
struct named {
    struct span name;
    const struct database_file *file;
};

static int by_name(const void *a, const void *b)
{
    const struct named *x = a, *y = b;
    return strcmp(x->name.data, y->name.data);
}

int database_find(const struct database *database, const char *key, struct arena *arena,
                  const char **line, struct span *name)
{
    struct named named[DATABASE_CHAIN_FILES_MAX];
    struct error err;
    int chain = names_find(&database->chains, span_of(key)), count = 0, good = 0;
    if (chain < 0)
        return 0;
    for (int64_t i = database->first[chain];
         i < database->first[chain + 1] && count < DATABASE_CHAIN_FILES_MAX; i++)
        named[count++] =
            (struct named){database->names.name[database->file[i].name], &database->file[i]};
    if (count)
        qsort(named, (size_t)count, sizeof *named, by_name);
    for (int i = 0; i < count; i++) {
        const struct database_file *file = named[i].file;
        if (input_piece(named[i].name, file->offset, file->length,
                        database->paths.name[file->where], arena, &line[good], &err) != STATUS_OK)
            continue;
        name[good++] = named[i].name;
    }
    return good;
}

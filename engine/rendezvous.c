/* Reading and writing a run's rendezvous file; see rendezvous.h. */
#include "engine/rendezvous.h"

#include "engine/base/file.h"
#include "engine/rundir.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { RENDEZVOUS_BYTES_MAX = 16384 };

enum status rendezvous_write(const struct rendezvous *rendezvous, const char *path,
                             struct error *err)
{
    char text[RENDEZVOUS_BYTES_MAX];
    int size =
        snprintf(text, sizeof text,
                 "foldmill 1\naddress %s\nrun %s\nkeys %s\nhead %s\njob %016llx\nstate %s\n",
                 rendezvous->address, rendezvous->run, rendezvous->keys, rendezvous->fingerprint,
                 (unsigned long long)rendezvous->job, rendezvous->over ? "over" : "running");
    return file_write_atomic(path, (struct span){text, (size_t)size}, err);
}

static bool take_text(struct span value, char *to, size_t room)
{
    if (value.size >= room)
        return false;
    for (size_t i = 0; i < value.size; i++)
        if ((unsigned char)value.data[i] < ' ')
            return false;
    memcpy(to, value.data, value.size);
    to[value.size] = 0;
    return true;
}

static bool take_job(struct span value, uint64_t *job)
{
    char text[17], *end;
    if (!take_text(value, text, sizeof text) || !*text)
        return false;
    *job = strtoull(text, &end, 16);
    return *end == 0;
}

static bool take_state(struct span value, bool *over)
{
    *over = span_is(value, "over");
    return *over || span_is(value, "running");
}

enum status rendezvous_parse(struct span text, struct rendezvous *to, struct error *err)
{
    struct span line, rest, word;
    *to = (struct rendezvous){0};
    bool good = span_line(&text, &line) && span_is(span_trim(line), "foldmill 1");
    while (good && span_line(&text, &line)) {
        rest = line;
        if (!span_word(&rest, &word))
            continue;
        struct span value = span_trim(rest);
        good = span_is(word, "address") ? take_text(value, to->address, sizeof to->address)
               : span_is(word, "run")   ? take_text(value, to->run, sizeof to->run)
               : span_is(word, "keys")  ? take_text(value, to->keys, sizeof to->keys)
               : span_is(word, "head")  ? take_text(value, to->fingerprint, sizeof to->fingerprint)
               : span_is(word, "state") ? take_state(value, &to->over)
               : span_is(word, "job")   ? take_job(value, &to->job)
                                        : true; /* of a later version */
    }
    if (!good || strncmp(to->address, "tcp://", 6) != 0)
        return error_set(err, STATUS_INVALID,
                         "wanted a rendezvous file as `foldmill run --head` writes it");
    return STATUS_OK;
}

enum status rendezvous_read(const char *path, struct rendezvous *rendezvous, struct error *err)
{
    char inside[PATH_MAX];
    struct stat info;
    struct arena arena;
    struct span text;
    if (stat(path, &info) == 0 && S_ISDIR(info.st_mode)) {
        if (strlen(path) + 16 > sizeof inside)
            return error_set(err, STATUS_LIMIT, "the path %s is too long", path);
        path = rundir_file(path, "rendezvous", inside);
    }
    if (stat(path, &info))
        return error_set(err, STATUS_MISS, "there is no %s", path);
    arena_open(&arena, 0);
    enum status status = file_read(path, RENDEZVOUS_BYTES_MAX, &arena, &text, err);
    if (status == STATUS_OK && (status = rendezvous_parse(text, rendezvous, err)) != STATUS_OK)
        error_prefix(err, "%s", path);
    arena_close(&arena);
    return status;
}

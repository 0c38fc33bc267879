/* Frozen lists: sorted whatever the order of listing, split, hashed, checked on reading. */
#include "engine/list.h"

#include "engine/base/file.h"
#include "engine/wire.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char folder[] = "/tmp/foldmill-list-XXXXXX", path[64];
static int refused;

static void on_refuse(void *user, const char *name, const char *reason)
{
    (void)user;
    cr_assert(strcmp(name, "bad.cif") == 0 && strcmp(reason, "no atoms") == 0, "what and why");
    refused++;
}

static enum status add(struct source *source, const char *key, int number, const char *split,
                       struct error *err)
{
    struct arena arena;
    struct sample sample;
    arena_open(&arena, 0);
    sample_open(&sample, span_of(key), NULL);
    sample_add_i32(&sample, &arena, "number", number);
    sample_add_text(&sample, &arena, "split", span_of(split));
    enum status status = source->emit(source, &sample, err);
    arena_close(&arena);
    return status;
}

static void make(int count, int stride)
{
    struct error err;
    struct list_maker *maker = list_make(NULL, on_refuse);
    for (int i = 0; i < count; i++) {
        int number = i * stride % count;
        char key[32];
        snprintf(key, sizeof key, "k%05d", number);
        cr_assert(add(list_source(maker), key, number, number % 10 ? "train" : "held_out", &err) ==
                      STATUS_OK,
                  "%s", err.text);
    }
    cr_assert(add(list_source(maker), "k00001", 1, "train", &err) == STATUS_INVALID &&
                  strstr(err.text, "twice"),
              "a key twice");
    list_source(maker)->refuse(list_source(maker), "bad.cif", "no atoms");
    cr_assert(list_write(maker, path, &err) == STATUS_OK, "%s", err.text);
    list_maker_close(maker);
}

Test(list, sorted_found_and_split)
{
    cr_assert(mkdtemp(folder), "folder");
    snprintf(path, sizeof path, "%s/list", folder);
    struct error err;
    struct list *list, *train, *none;
    make(3000, 7);
    cr_assert(refused == 1, "one was refused");
    cr_assert(list_open(&list, path, NULL, &err) == STATUS_OK, "%s", err.text);
    cr_assert(list_count(list) == 3000, "all");
    uint64_t hash = list_hash(list);
    for (uint64_t i = 0; i < 3000; i++) {
        char key[32];
        snprintf(key, sizeof key, "k%05d", (int)i);
        cr_assert(span_is(list_key(list, i), key) && list_find(list, span_of(key)) == i, "%s", key);
    }
    cr_assert(list_find(list, SPAN("k")) == UINT64_MAX && list_find(list, SPAN("z")) == UINT64_MAX,
              "keys that are not there");
    struct arena arena;
    struct sample sample;
    arena_open(&arena, 0);
    cr_assert(wire_decode(list_frame(list, 42), NULL, &arena, &sample, &err) == STATUS_OK, "frame");
    const struct field *number = sample_find(&sample, "number");
    cr_assert(number && *(int32_t *)number->data == 42, "its own frame");
    cr_assert(list_open(&train, path, "train", &err) == STATUS_OK, "%s", err.text);
    cr_assert(list_count(train) == 2700 && list_hash(train) != hash, "a split");
    cr_assert(list_open(&none, path, "no such", &err) == STATUS_OK && list_count(none) == 0,
              "none");
    list_close(list);
    make(3000, 11);
    cr_assert(list_open(&list, path, NULL, &err) == STATUS_OK && list_hash(list) == hash,
              "the order of listing does not matter");
    list_close(list);
    list_close(train);
    list_close(none);
    arena_close(&arena);
    unlink(path);
    rmdir(folder);
}

Test(list, damage_is_found)
{
    cr_assert(mkdtemp(folder), "folder");
    snprintf(path, sizeof path, "%s/list", folder);
    struct error err;
    struct list *list;
    struct arena arena;
    struct span content;
    make(50, 3);
    arena_open(&arena, 0);
    cr_assert(file_read(path, 1 << 20, &arena, &content, &err) == STATUS_OK, "%s", err.text);
    cr_assert(file_write_atomic(path, (struct span){content.data, content.size - 10}, &err) ==
                  STATUS_OK,
              "cut");
    cr_assert(list_open(&list, path, NULL, &err) == STATUS_CORRUPT && strstr(err.text, path),
              "cut");
    char *flipped = arena_text(&arena, content.data, content.size);
    flipped[40] ^= 4;
    file_write_atomic(path, (struct span){flipped, content.size}, &err);
    cr_assert(list_open(&list, path, NULL, &err) == STATUS_CORRUPT, "a flipped bit");
    file_write_atomic(path, (struct span){"", 0}, &err);
    cr_assert(list_open(&list, path, NULL, &err) == STATUS_CORRUPT, "an empty file");
    unlink(path);
    cr_assert(list_open(&list, path, NULL, &err) == STATUS_IO, "no file");
    struct list_maker *maker = list_make(NULL, NULL);
    cr_assert(list_write(maker, path, &err) == STATUS_EMPTY, "an empty list is said to be empty");
    list_maker_close(maker);
    arena_close(&arena);
    rmdir(folder);
}

/* The store: what was committed is there, whole and under its key; what is wrong is named. */
#include "engine/store.h"

#include "tests/engine/store_fixture.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <lmdb.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

Test(store, gives_back_what_was_put)
{
    struct fixture fixture = fixture_open("roundtrip");
    struct store *store = fixture_writer(&fixture);
    struct error err;
    fixture_fill(store, 0, 100);
    cr_assert(store_commit(store, &err) == STATUS_OK, "%s", err.text);
    for (int i = 0; i < 100; i++)
        fixture_check(store, i);
    struct sample sample;
    cr_assert(store_get(store, "absent", NULL, NULL, &fixture.arena, &sample, &err) == STATUS_MISS);
    cr_assert(store_get(store, "", NULL, NULL, &fixture.arena, &sample, &err) == STATUS_MISS);
    const char *const fields[] = {"aatype", NULL};
    cr_assert(store_get(store, "key_0007", fields, NULL, &fixture.arena, &sample, &err) ==
              STATUS_OK);
    cr_assert(sample.field_count == 1 && sample.fields[0].size[0] == 57);
    store_close(store);

    cr_assert(store_open_reader(fixture.path, &store, &err) == STATUS_OK, "%s", err.text);
    for (int i = 0; i < 100; i++)
        fixture_check(store, i);
    struct store_entry entry;
    cr_assert(store_find(store, "key_0012", &entry, &err) == STATUS_OK, "%s", err.text);
    cr_assert(entry.length == 62 && entry.rows == 3 && strcmp(entry.split, "train") == 0);
    cr_assert(strcmp(entry.key, "key_0012") == 0 && !entry.refused);
    store_close(store);
    fixture_close(&fixture);
}

Test(store, sees_nothing_before_the_commit)
{
    struct fixture fixture = fixture_open("commit");
    struct store *store = fixture_writer(&fixture);
    struct error err;
    fixture_fill(store, 0, 1);
    cr_assert(!store_has(store, "key_0000", fixture_made(0)));
    cr_assert(store_commit(store, &err) == STATUS_OK);
    cr_assert(store_has(store, "key_0000", fixture_made(0)));
    cr_assert(!store_has(store, "key_0000", fixture_made(1)), "made from something else");
    fixture_fill(store, 1, 2);
    store_close(store);
    store = fixture_writer(&fixture);
    cr_assert(!store_has(store, "key_0001", fixture_made(1)), "was not committed");
    fixture_check(store, 0);
    store_close(store);
    fixture_close(&fixture);
}

Test(store, commits_by_itself_what_would_take_too_much_memory)
{
    struct fixture fixture = fixture_open("group");
    struct error err;
    struct store *store;
    struct store_options options = {.group_bytes = 64 << 10};
    cr_assert(store_open_writer(fixture.path, &options, &store, &err) == STATUS_OK, "%s", err.text);
    fixture_fill(store, 0, 100);
    cr_assert(store_has(store, "key_0000", fixture_made(0)), "committed on the way");
    cr_assert(!store_has(store, "key_0099", fixture_made(99)), "still waits");
    cr_assert(store_commit(store, &err) == STATUS_OK, "%s", err.text);
    for (int i = 0; i < 100; i++)
        fixture_check(store, i);
    store_close(store);
    fixture_close(&fixture);
}

Test(store, keeps_refusals_with_their_reason)
{
    struct fixture fixture = fixture_open("refuse");
    struct store *store = fixture_writer(&fixture);
    struct error err;
    struct sample sample;
    char longer[2000];
    fixture_fill(store, 0, 3);
    cr_assert(store_commit(store, &err) == STATUS_OK);
    memset(longer, 'x', sizeof longer - 1);
    longer[sizeof longer - 1] = 0;
    cr_assert(store_refuse(store, SPAN("key_0001"), fixture_made(1), SPAN("train"),
                           "1abc.pdb: no atoms\n", &err) == STATUS_OK);
    cr_assert(store_refuse(store, SPAN("key_0005"), fixture_made(5), SPAN(""), longer, &err) ==
              STATUS_OK);
    cr_assert(store_refuse(store, SPAN("two words"), fixture_made(5), SPAN(""), "?", &err) ==
              STATUS_INVALID);
    cr_assert(store_commit(store, &err) == STATUS_OK);
    cr_assert(store_get(store, "key_0001", NULL, NULL, &fixture.arena, &sample, &err) ==
              STATUS_REFUSED);
    cr_assert(strcmp(err.text, "1abc.pdb: no atoms?") == 0, "%s", err.text);
    struct store_made other = fixture_made(9);
    cr_assert(store_get(store, "key_0001", NULL, &other, &fixture.arena, &sample, &err) ==
              STATUS_MISS, "the input has changed: it may be good now");
    cr_assert(store_get(store, "key_0005", NULL, NULL, &fixture.arena, &sample, &err) ==
              STATUS_REFUSED && strlen(err.text) == STORE_REASON_MAX);
    struct store_info info;
    cr_assert(store_stat(store, &info, &err) == STATUS_OK, "%s", err.text);
    cr_assert(info.entries == 4 && info.records == 2, "the refused record is gone");
    struct store_report report;
    cr_assert(store_verify(store, NULL, NULL, NULL, &report, &err) == STATUS_OK, "%s", err.text);
    cr_assert(report.records == 2 && report.tombstones == 2 && report.bad == 0);
    fixture_fill(store, 1, 2);
    cr_assert(store_commit(store, &err) == STATUS_OK);
    fixture_check(store, 1);
    store_close(store);
    fixture_close(&fixture);
}

Test(store, knows_what_is_missing)
{
    struct fixture fixture = fixture_open("missing");
    struct store *store = fixture_writer(&fixture);
    struct error err;
    struct store_want wants[3000];
    static char keys[3000][16];
    bool missing[3000];
    size_t count;
    fixture_fill(store, 0, 1500);
    cr_assert(store_refuse(store, SPAN("key_2000"), fixture_made(2000), SPAN(""), "bad", &err) ==
              STATUS_OK);
    cr_assert(store_commit(store, &err) == STATUS_OK, "%s", err.text);
    for (int i = 0; i < 3000; i++) {
        snprintf(keys[i], sizeof keys[i], "key_%04d", i);
        wants[i] = (struct store_want){keys[i], fixture_made(i == 77 ? 78 : i)};
    }
    cr_assert(store_missing(store, wants, 3000, missing, &count, &err) == STATUS_OK);
    cr_assert(count == 3000 - 1500 - 1 + 1, "%zu", count);
    cr_assert(missing[77] && !missing[78] && !missing[1499] && missing[1500] && !missing[2000]);
    store_close(store);
    fixture_close(&fixture);
}

Test(store, lists_in_order_while_it_is_written)
{
    struct fixture fixture = fixture_open("walk");
    struct store *store = fixture_writer(&fixture);
    struct error err;
    struct store_walk walk;
    const struct store_entry *entry;
    char before[SAMPLE_KEY_MAX + 1] = "";
    int count = 0;
    fixture_fill(store, 0, 500);
    cr_assert(store_commit(store, &err) == STATUS_OK);
    cr_assert(store_walk_open(&walk, store, &fixture.arena, &err) == STATUS_OK);
    enum status status;
    while ((status = store_next(&walk, &entry, &err)) == STATUS_OK) {
        cr_assert(strcmp(before, entry->key) < 0, "sorted by key, none twice");
        strcpy(before, entry->key);
        if (++count % 100 == 0) { /* replaces what comes and what was */
            fixture_fill(store, count - 10, count + 10 < 500 ? count + 10 : 500);
            cr_assert(store_commit(store, &err) == STATUS_OK);
        }
    }
    cr_assert(status == STATUS_EMPTY && count == 500, "%d", count);
    cr_assert(store_next(&walk, &entry, &err) == STATUS_EMPTY, "and it stays at the end");
    store_close(store);
    fixture_close(&fixture);
}

Test(store, grows_its_map_and_readers_follow)
{
    struct fixture fixture = fixture_open("grow");
    struct error err;
    struct store *store, *reader;
    struct store_options options = {.map_bytes = 1 << 20, .codec = STORE_RAW};
    cr_assert(store_open_writer(fixture.path, &options, &store, &err) == STATUS_OK, "%s", err.text);
    fixture_fill(store, 0, 1);
    cr_assert(store_commit(store, &err) == STATUS_OK);
    int to_child[2], to_parent[2];
    cr_assert(pipe(to_child) == 0 && pipe(to_parent) == 0);
    store_close(store);
    pid_t pid = fork(); /* the reader is a process of its own, forked while no store is open */
    if (pid == 0) {
        char byte;
        if (store_open_reader(fixture.path, &reader, &err) != STATUS_OK)
            _exit(1);
        struct arena arena;
        struct sample sample;
        arena_open(&arena, 0);
        if (store_get(reader, "key_0000", NULL, NULL, &arena, &sample, &err) != STATUS_OK)
            _exit(2);
        if (write(to_parent[1], "r", 1) != 1 || read(to_child[0], &byte, 1) != 1)
            _exit(3);
        if (store_get(reader, "key_0800", NULL, NULL, &arena, &sample, &err) != STATUS_OK)
            _exit(4);
        store_close(reader);
        arena_close(&arena);
        _exit(0);
    }
    char byte;
    cr_assert(read(to_parent[0], &byte, 1) == 1);
    cr_assert(store_open_writer(fixture.path, &options, &store, &err) == STATUS_OK, "%s", err.text);
    fixture_fill(store, 1, 1000);
    cr_assert(store_commit(store, &err) == STATUS_OK, "%s", err.text);
    struct store_info info;
    cr_assert(store_stat(store, &info, &err) == STATUS_OK);
    cr_assert(info.map_bytes > 1 << 20 && info.file_bytes > 1 << 20, "the map has grown");
    cr_assert(write(to_child[1], "w", 1) == 1);
    int status;
    cr_assert(waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0,
              "reader: %d", status);
    store_close(store);
    fixture_close(&fixture);
}

/* A reader's life: random keys until told to end; exits with 0 when all were right. */
static void read_until_told(struct fixture *fixture, unsigned seed, int end_fd)
{
    struct store *store;
    struct error err;
    struct arena arena;
    struct sample wanted, found;
    char byte;
    int reads = 0;
    arena_open(&arena, 0);
    fcntl(end_fd, F_SETFL, O_NONBLOCK);
    if (store_open_reader(fixture->path, &store, &err) != STATUS_OK)
        _exit(1);
    while (read(end_fd, &byte, 1) < 0) {
        arena_reset(&arena);
        fixture_sample(&wanted, &arena, (int)(rand_r(&seed) % 3000));
        enum status status = store_get(store, wanted.key, NULL, NULL, &arena, &found, &err);
        if (status != STATUS_MISS && status != STATUS_OK)
            _exit(2);
        if (status == STATUS_OK && sample_digest(&wanted) != sample_digest(&found))
            _exit(3);
        reads += status == STATUS_OK;
    }
    store_close(store);
    arena_close(&arena);
    _exit(reads > 100 ? 0 : 4);
}

Test(store, readers_see_whole_records_while_the_writer_overwrites_and_grows, .timeout = 60)
{
    struct fixture fixture = fixture_open("many");
    struct error err;
    struct store *store;
    struct store_options options = {.map_bytes = 1 << 20, .codec = STORE_LZ4};
    int end[2], status;
    pid_t readers[3];
    store_close(fixture_writer(&fixture));
    cr_assert(pipe(end) == 0);
    for (int r = 0; r < 3; r++) {
        readers[r] = fork();
        if (readers[r] == 0) {
            close(end[1]);
            read_until_told(&fixture, (unsigned)r + 1, end[0]);
        }
    }
    cr_assert(store_open_writer(fixture.path, &options, &store, &err) == STATUS_OK, "%s", err.text);
    for (int i = 0; i < 3000; i += 100) {
        fixture_fill(store, i, i + 100);
        fixture_fill(store, i / 2, i / 2 + 20);
        cr_assert(store_commit(store, &err) == STATUS_OK, "%s", err.text);
    }
    usleep(200000);
    close(end[1]); /* the end of the pipe is the end of the readers */
    for (int r = 0; r < 3; r++) {
        cr_assert(waitpid(readers[r], &status, 0) == readers[r]);
        cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "reader %d: %d", r, status);
    }
    store_close(store);
    fixture_close(&fixture);
}

Test(store, stops_at_its_limit_and_goes_on_with_a_larger_one)
{
    struct fixture fixture = fixture_open("limit");
    struct error err;
    struct store *store;
    struct store_options options = {.bytes_max = 2 << 20, .map_bytes = 1 << 20};
    cr_assert(store_open_writer(fixture.path, &options, &store, &err) == STATUS_OK, "%s", err.text);
    fixture_fill(store, 0, 50);
    cr_assert(store_commit(store, &err) == STATUS_OK, "%s", err.text);
    fixture_fill(store, 50, 1000);
    cr_assert(store_commit(store, &err) == STATUS_FULL);
    cr_assert(strstr(err.text, "raise `size_max`"), "%s", err.text);
    cr_assert(store_commit(store, &err) == STATUS_FULL, "and again");
    for (int i = 0; i < 50; i++)
        fixture_check(store, i);
    cr_assert(!store_has(store, "key_0050", fixture_made(50)), "all of a group or nothing");
    store_close(store);
    store = fixture_writer(&fixture);
    fixture_fill(store, 50, 1000);
    cr_assert(store_commit(store, &err) == STATUS_OK, "%s", err.text);
    for (int i = 0; i < 1000; i += 7)
        fixture_check(store, i);
    store_close(store);
    fixture_close(&fixture);
}

Test(store, has_one_writer)
{
    struct fixture fixture = fixture_open("lock");
    struct error err;
    struct store *store = NULL, *second = NULL;
    int ready[2];
    cr_assert(pipe(ready) == 0);
    pid_t pid = fork();
    if (pid == 0) {
        if (store_open_writer(fixture.path, NULL, &store, &err) != STATUS_OK ||
            write(ready[1], "r", 1) != 1)
            _exit(1);
        for (;;)
            pause();
    }
    char byte, expected[64];
    cr_assert(read(ready[0], &byte, 1) == 1);
    cr_assert(store_open_writer(fixture.path, NULL, &second, &err) == STATUS_BUSY);
    snprintf(expected, sizeof expected, "process %d on host", (int)pid);
    cr_assert(strstr(err.text, expected), "%s", err.text);
    cr_assert(store_open_reader(fixture.path, &second, &err) == STATUS_OK, "readers are welcome");
    store_close(second);
    kill(pid, SIGKILL);
    cr_assert(waitpid(pid, NULL, 0) == pid);
    store = fixture_writer(&fixture);
    cr_assert(store_open_writer(fixture.path, NULL, &second, &err) == STATUS_BUSY,
              "nor twice in one process");
    cr_assert(store_open_reader(fixture.path, &second, &err) == STATUS_OK && second == store,
              "one handle a process");
    store_close(second);
    fixture_fill(store, 0, 1);
    cr_assert(store_commit(store, &err) == STATUS_OK, "still open: %s", err.text);
    store_close(store);
    fixture_close(&fixture);
}

Test(store, refuses_what_is_no_store_of_this_version)
{
    struct fixture fixture = fixture_open("version");
    struct error err;
    struct store *store;
    char file[300];
    cr_assert(store_open_reader("/nonexistent/store", &store, &err) == STATUS_MISS);
    cr_assert(store_open_reader(fixture.path, &store, &err) == STATUS_MISS, "%s", err.text);
    snprintf(file, sizeof file, "%s/lock.mdb", fixture.path);
    cr_assert(access(file, F_OK) != 0, "looking leaves nothing behind");
    cr_assert(store_open_writer("/proc/self/nothing", NULL, &store, &err) == STATUS_IO);
    cr_assert(store_open_writer("/dev/null", NULL, &store, &err) != STATUS_OK);
    snprintf(file, sizeof file, "%s/data.mdb", fixture.path);
    FILE *out = fopen(file, "w");
    cr_assert(out);
    for (int i = 0; i < 20000; i++)
        fputs("not LMDB ", out);
    fclose(out);
    cr_assert(store_open_reader(fixture.path, &store, &err) == STATUS_CORRUPT, "%s", err.text);
    cr_assert(strstr(err.text, "no LMDB file"), "%s", err.text);
    cr_assert(store_open_writer(fixture.path, NULL, &store, &err) == STATUS_CORRUPT);
    cr_assert(unlink(file) == 0);

    store_close(fixture_writer(&fixture));
    fixture_raw_put(&fixture, "meta", "schema", "7", 1);
    cr_assert(store_open_reader(fixture.path, &store, &err) == STATUS_INVALID);
    cr_assert(strstr(err.text, "schema 7") && strstr(err.text, "schema 2") &&
                  strstr(err.text, "another folder"), "%s", err.text);
    cr_assert(store_open_writer(fixture.path, NULL, &store, &err) == STATUS_INVALID);

    cr_assert(unlink(file) == 0);
    fixture_raw_put(&fixture, "somebody_elses", "key", "value", 5);
    cr_assert(store_open_reader(fixture.path, &store, &err) == STATUS_INVALID);
    cr_assert(strstr(err.text, "not one of foldmill"), "%s", err.text);
    cr_assert(store_open_writer(fixture.path, NULL, &store, &err) == STATUS_INVALID);
    fixture_close(&fixture);
}

/* LMDB makes the file first and writes its head then. */
Test(store, a_writer_killed_before_its_first_page_leaves_no_store)
{
    struct fixture fixture = fixture_open("begun");
    struct error err;
    struct store *store;
    char file[300];
    snprintf(file, sizeof file, "%s/data.mdb", fixture.path);
    FILE *out = fopen(file, "w");
    cr_assert(out && fclose(out) == 0);
    cr_assert(store_open_reader(fixture.path, &store, &err) == STATUS_MISS, "%s", err.text);
    cr_assert(strstr(err.text, "no store (yet)"), "%s", err.text);
    store_close(fixture_writer(&fixture));
    cr_assert(store_open_reader(fixture.path, &store, &err) == STATUS_OK, "%s", err.text);
    store_close(store);
    fixture_close(&fixture);
}

/* A record whose value was exchanged with another's, checksums and all. */
Test(store, notices_a_value_under_the_wrong_key)
{
    struct fixture fixture = fixture_open("swap");
    struct store *store = fixture_writer(&fixture);
    struct error err;
    struct sample sample;
    fixture_fill(store, 0, 10);
    cr_assert(store_commit(store, &err) == STATUS_OK);
    store_close(store);
    char value[4096];
    size_t size = fixture_raw_get(&fixture, "records", "key_0003", value, sizeof value);
    fixture_raw_put(&fixture, "records", "key_0004", value, size);
    size = fixture_raw_get(&fixture, "records", "key_0005", value, sizeof value);
    fixture_raw_put(&fixture, "records", "key_0006", value, size);
    size = fixture_raw_get(&fixture, "index", "key_0005", value, sizeof value);
    fixture_raw_put(&fixture, "index", "key_0006", value, size);
    fixture_raw_put(&fixture, "records", "key_lost", value, 5);
    cr_assert(store_open_reader(fixture.path, &store, &err) == STATUS_OK);
    cr_assert(store_get(store, "key_0004", NULL, NULL, &fixture.arena, &sample, &err) ==
              STATUS_CORRUPT && strstr(err.text, "key_0004"), "%s", err.text);
    cr_assert(store_get(store, "key_0006", NULL, NULL, &fixture.arena, &sample, &err) ==
              STATUS_CORRUPT && strstr(err.text, "key_0006"), "%s", err.text);
    struct store_report report;
    cr_assert(store_verify(store, NULL, NULL, NULL, &report, &err) == STATUS_OK, "%s", err.text);
    cr_assert(report.records == 8 && report.bad == 3, "%d %d", (int)report.records,
              (int)report.bad);
    store_close(store);
    fixture_close(&fixture);
}

Test(store, made_depends_on_recipe_and_input)
{
    struct arena arena;
    struct sample a, b;
    arena_open(&arena, 0);
    cr_assert(sample_open(&a, SPAN("k"), NULL) == STATUS_OK);
    cr_assert(sample_open(&b, SPAN("k"), NULL) == STATUS_OK);
    cr_assert(store_made_equal(store_made(1, &a), store_made(1, &b)));
    cr_assert(!store_made_equal(store_made(1, &a), store_made(2, &a)));
    sample_add_text(&a, &arena, "input_digest", SPAN("0123"));
    sample_add_text(&b, &arena, "input_digest", SPAN("0124"));
    cr_assert(!store_made_equal(store_made(1, &a), store_made(1, &b)));
    arena_close(&arena);
}

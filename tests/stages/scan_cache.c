/* What scan keeps of its files between runs: the list is the same with and without, changes are
 * seen, and a damaged cache costs nothing but time. */
#include "engine/base/log.h"
#include "stages/listing/memo.h"
#include "tests/stages/cif_maker.h"
#include "tests/stages/crops.h"
#include "tests/stages/outside.h"

#include <fcntl.h>
#include <sys/stat.h>

extern const struct stage stage_scan;

static char store[64];

static void begin(void)
{
    outside_begin();
    snprintf(store, sizeof store, "%s/store", folder);
}

TestSuite(scan_cache, .init = begin, .fini = outside_end);

/* ---- files that did not change a moment ago ---- */

static void age(const char *path)
{
    struct timespec times[2] = {{.tv_sec = 1500000000}, {.tv_sec = 1500000000}};
    cr_assert(utimensat(AT_FDCWD, path, times, 0) == 0, "%s", path);
}

static const char *old_file(const char *name, const char *text)
{
    const char *path = outside_file(name, text);
    age(path);
    return path;
}

static void folder_make(const char *name)
{
    cr_assert(mkdir(arena_printf(&arena, "%s/%s", folder, name), 0755) == 0, "%s", name);
}

/* Three chains in cif/, of which one has an alignment of its own and a template search, a file that
 * is none, and FASTA. */
static void files_make(void)
{
    folder_make("cif");
    folder_make("ali");
    folder_make("ali/1abc_A");
    old_file("cif/1abc.cif", cif_make(&arena, "ACDEFGHIKLMN", "A", "2001-02-03"));
    old_file("cif/2xyz.cif", cif_make(&arena, "WWYYVVAACCDD", "B", NULL));
    old_file("cif/3bad.cif", "data_3BAD\nloop_\n");
    old_file("cif/4pdb.cif", cif_make(&arena, "GGGSSSGGGSSS", "C", "2020-01-01"));
    old_file("ali/1abc_A/one.a3m", ">q\nACDEFGHIKLMN\n>r\nACDEFGHIKLMM\n");
    old_file("ali/1abc_A/hits.hhr", "no hits\n");
    old_file("more.fasta", ">seq1 of mine\nMKTAYIAK\n");
}

/* ---- a listing as a text ---- */

struct listing {
    struct source source;
    const char *text;
    int count, refused;
};

static enum status emit(struct source *source, const struct sample *sample, struct error *error)
{
    struct listing *listing = (struct listing *)source;
    (void)error;
    listing->text = arena_printf(&arena, "%s%s\n", listing->text, sample->key);
    for (int i = 0; i < sample->field_count; i++) {
        const struct field *field = &sample->fields[i];
        XXH64_hash_t hash = XXH3_64bits(field->data, field_bytes(field));
        listing->text = arena_printf(&arena, "%s %s %zu %016llx\n", listing->text, field->name,
                                     field_bytes(field), (unsigned long long)hash);
    }
    listing->count++;
    return STATUS_OK;
}

static void refuse(struct source *source, const char *name, const char *reason)
{
    struct listing *listing = (struct listing *)source;
    listing->text = arena_printf(&arena, "%srefused %s: %s\n", listing->text, name, reason);
    listing->refused++;
}

static struct span log_text(void)
{
    struct span content;
    cr_assert(file_read(arena_printf(&arena, "%s/log.txt", folder), 1 << 20, &arena, &content,
                        &err) == STATUS_OK);
    return content;
}

static bool log_says(const char *text)
{
    struct span log = log_text();
    return memmem(log.data, log.size, text, strlen(text)) != NULL;
}

/* Lists the files under more settings (", x: y"); log.txt has what this listing said. */
static struct listing list(const char *more, const char *store_path)
{
    struct stage_context context = {.name = "scan", .store_path = store_path};
    struct listing listing = {.source = {.emit = emit, .refuse = refuse}, .text = ""};
    int log = open(arena_printf(&arena, "%s/log.txt", folder), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    cr_assert(log >= 0);
    log_open("", LOG_INFO, log);
    void *state = stage_state(
        &stage_scan,
        arena_printf(&arena, "{structures: [%s/cif, %s/more.fasta], alignments: [%s/ali]%s}",
                     folder, folder, folder, more),
        &context, &arena);
    enum status status = stage_scan.list(state, &listing.source, &err);
    log_open("", LOG_INFO, 2);
    close(log);
    cr_assert(status == STATUS_OK, "%s", err.text);
    return listing;
}

static void counts(int read, int same)
{
    struct span log = log_text();
    const char *wanted =
        arena_printf(&arena, "scan: %d files read, %d unchanged", read, same);
    cr_assert(log_says(wanted), "%s; the log: %.*s", wanted, (int)log.size, log.data);
}

/* Lists with the cache and without: the same. */
static struct listing same_as_without(const char *more)
{
    struct listing with = list(more, store);
    struct span said = log_text();
    struct listing without = list(more, NULL);
    cr_assert(strcmp(with.text, without.text) == 0, "with the cache:\n%s\nwithout:\n%s", with.text,
              without.text);
    outside_file("log.txt", arena_text(&arena, said.data, said.size));
    return with;
}

Test(scan_cache, files_that_did_not_change_are_not_read_again)
{
    files_make();
    struct listing first = same_as_without("");
    cr_assert(first.count == 4 && first.refused == 1, "%s", first.text);
    counts(7, 0);
    struct stat before, after;
    const char *path = arena_printf(&arena, "%s/scan.cache", store);
    cr_assert(stat(path, &before) == 0);
    struct listing again = same_as_without("");
    counts(0, 7);
    cr_assert(strcmp(first.text, again.text) == 0);
    cr_assert(stat(path, &after) == 0 && before.st_ino == after.st_ino,
              "nothing new: it is not written again");
    list(", rescan: true", store);
    counts(7, 0);
    list("", store);
    counts(0, 7);
    /* Filters and names work on what was kept as on what is read. */
    cr_assert(same_as_without(", length_min: 10, date_max: \"2010-01-01\"").refused == 3);
    counts(0, 7);
    struct listing stamps = same_as_without(", digest: stamp");
    cr_assert(strcmp(stamps.text, first.text) != 0, "digests of names and times");
}

Test(scan_cache, changes_are_seen)
{
    files_make();
    list("", store);
    struct listing first = same_as_without("");
    /* Another content of the same size, at the same time by its own word. */
    old_file("cif/1abc.cif", cif_make(&arena, "ACDEFGHIKLMM", "A", "2001-02-03"));
    struct listing changed = same_as_without("");
    counts(1, 6);
    cr_assert(strcmp(first.text, changed.text) != 0);
    age(arena_printf(&arena, "%s/cif/2xyz.cif", folder)); /* only touched: read, and the same */
    cr_assert(strcmp(same_as_without("").text, changed.text) == 0);
    counts(1, 6);
    old_file("ali/1abc_A/one.a3m", ">q\nACDEFGHIKLMM\n>r\nACDEFGHIKLMA\n");
    struct listing aligned = same_as_without("");
    counts(1, 6);
    cr_assert(strcmp(aligned.text, changed.text) != 0);
    old_file("cif/5new.cif", cif_make(&arena, "PPPPQQQQRRRR", "A", "2001-02-03"));
    cr_assert(same_as_without("").count == 5);
    counts(1, 7);
    cr_assert(remove(arena_printf(&arena, "%s/cif/5new.cif", folder)) == 0);
    cr_assert(same_as_without("").count == 4);
    counts(0, 7);
    struct stat info;
    cr_assert(stat(arena_printf(&arena, "%s/scan.cache", store), &info) == 0);
    off_t size = info.st_size;
    list("", store);
    cr_assert(stat(arena_printf(&arena, "%s/scan.cache", store), &info) == 0 &&
                  info.st_size == size,
              "what is gone is forgotten");
    /* A way of reading is part of what was learned. */
    same_as_without(", compat: openfold");
    counts(5, 2);
}

Test(scan_cache, a_file_that_changed_a_moment_ago_is_read_again)
{
    files_make();
    outside_file("cif/1abc.cif", cif_make(&arena, "ACDEFGHIKLMN", "A", "2001-02-03"));
    list("", store);
    list("", store);
    counts(1, 6);
}

Test(scan_cache, damage_is_told_and_costs_a_reading)
{
    files_make();
    struct listing first = list("", store);
    const char *path = arena_printf(&arena, "%s/scan.cache", store);
    struct span good;
    cr_assert(file_read(path, 1 << 20, &arena, &good, &err) == STATUS_OK, "%s", err.text);
    for (size_t at = 0; at < good.size; at += at < MEMO_HEADER_BYTES ? 5 : 97) {
        char *bad = arena_text(&arena, good.data, good.size);
        bad[at] = (char)(bad[at] ^ 0x20);
        cr_assert(file_write_atomic(path, (struct span){bad, good.size}, &err) == STATUS_OK);
        struct listing again = list("", store);
        cr_assert(strcmp(first.text, again.text) == 0);
        counts(7, 0);
        cr_assert(log_says(" warn ") && log_says("scan.cache: its "), "byte %zu", at);
        list("", store);
        counts(0, 7);
    }
    for (size_t size = 0; size < good.size; size += 61) {
        cr_assert(file_write_atomic(path, (struct span){good.data, size}, &err) == STATUS_OK);
        cr_assert(strcmp(first.text, list("", store).text) == 0);
        cr_assert(log_says(" warn ") && log_says("scan.cache: its "), "%zu bytes", size);
    }
    /* Made by another program: whole, but what it says may not be what this one would. */
    struct memo other;
    unsigned char header[MEMO_HEADER_BYTES];
    memo_open(&other, &arena);
    other.program++;
    struct span payload = {good.data + MEMO_HEADER_BYTES, good.size - MEMO_HEADER_BYTES};
    memo_header(&other, 7, payload, header);
    memo_close(&other);
    char *bytes = arena_text(&arena, good.data, good.size);
    memcpy(bytes, header, sizeof header);
    cr_assert(file_write_atomic(path, (struct span){bytes, good.size}, &err) == STATUS_OK);
    cr_assert(strcmp(first.text, list("", store).text) == 0);
    counts(7, 0);
    cr_assert(log_says("another version of the program") && !log_says(" warn "));
}

Test(scan_cache, it_may_lie_elsewhere_or_nowhere)
{
    files_make();
    struct listing first = list("", NULL);
    const char *own = arena_printf(&arena, ", cache: %s/deep/er/kept", folder);
    list(own, NULL);
    cr_assert(strcmp(first.text, list(own, NULL).text) == 0);
    counts(0, 7);
    outside_file("flat", "a file, not a folder\n");
    const char *bad = arena_printf(&arena, "%s/flat", folder);
    cr_assert(strcmp(first.text, list("", bad).text) == 0, "it cannot be written: a warning");
    cr_assert(log_says(" warn ") && log_says("/flat"), "the log names it");
}

/* Bits flipped in a store's file, and its end cut off: what a reader is given is right, or it is
 * told; LMDB may crash on its own pages, in a process that is there for it. Also `foldmill store`,
 * which a person runs to see it. */
#include "engine/base/file.h"
#include "engine/base/npz.h"

#include "tests/engine/foldmill.h"
#include "tests/engine/store_fixture.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

enum { RECORDS = 150 };

enum outcome { SOUND, TOLD, WRONG }; /* exit codes of a child that looks at a store */

/* Reads every record: is each as it was put, or an error? And does verify see what a reader saw? */
static enum outcome look(const char *path)
{
    struct store *store;
    struct arena arena;
    struct sample wanted, found;
    struct store_report report;
    struct error err;
    int told = 0;
    if (store_open_reader(path, &store, &err) != STATUS_OK)
        return TOLD;
    arena_open(&arena, 0);
    for (int i = 0; i < RECORDS; i++) {
        struct store_made made = fixture_made(i);
        arena_reset(&arena);
        fixture_sample(&wanted, &arena, i);
        enum status status = store_get(store, wanted.key, NULL, &made, &arena, &found, &err);
        if (status == STATUS_OK && sample_digest(&found) != sample_digest(&wanted))
            return WRONG;
        told += status != STATUS_OK;
    }
    enum status status = store_verify(store, NULL, NULL, NULL, &report, &err);
    bool seen = status != STATUS_OK || report.bad > 0 || report.records != RECORDS;
    arena_close(&arena);
    store_close(store);
    return told == 0 ? SOUND : seen ? TOLD : WRONG;
}

static void put_bytes(int fd, const char *data, size_t size, size_t at)
{
    cr_assert(pwrite(fd, data, size, (off_t)at) == (ssize_t)size);
}

Test(store_damage, flipped_bits_are_told_or_harmless, .timeout = 300)
{
    struct fixture fixture = fixture_open("flip");
    struct store *store = fixture_writer(&fixture);
    struct error err;
    struct span content;
    char file[300];
    int count[4] = {0}; /* by outcome; 3: LMDB crashed or hung */
    for (int i = 0; i < RECORDS; i += 30) {
        fixture_fill(store, i, i + 30);
        cr_assert(store_commit(store, &err) == STATUS_OK, "%s", err.text);
    }
    store_close(store);
    snprintf(file, sizeof file, "%s/data.mdb", fixture.path);
    cr_assert(file_read(file, (size_t)1 << 30, &fixture.arena, &content, &err) == STATUS_OK);
    int fd = open(file, O_RDWR);
    cr_assert(fd >= 0 && content.size > 100000);
    unsigned seed = 20261123;
    for (int n = 0; n < 1200; n++) {
        size_t at = ((size_t)rand_r(&seed) << 16 ^ (size_t)rand_r(&seed)) % content.size;
        if (n % 4 == 0)
            at %= 8192; /* the two pages that everything hangs on */
        size_t cut = n % 40 == 39 ? at : 0;
        char bad = (char)(content.data[at] ^ (1 << rand_r(&seed) % 8));
        if (cut)
            cr_assert(ftruncate(fd, (off_t)cut) == 0);
        else
            put_bytes(fd, &bad, 1, at);
        pid_t pid = fork();
        if (pid == 0) {
            alarm(20);
            if (freopen("/dev/null", "w", stderr) == NULL)
                _exit(WRONG);
            signal(SIGSEGV, SIG_DFL), signal(SIGBUS, SIG_DFL), signal(SIGABRT, SIG_DFL);
            _exit((int)look(fixture.path));
        }
        int status;
        cr_assert(waitpid(pid, &status, 0) == pid);
        int outcome = WIFEXITED(status) ? WEXITSTATUS(status) : 3;
        cr_assert(outcome != WRONG, "bit %d of byte %zu: wrong without a word", n, at);
        count[outcome > 3 ? 3 : outcome]++;
        if (cut)
            put_bytes(fd, content.data + cut, content.size - cut, cut);
        else
            put_bytes(fd, content.data + at, 1, at);
    }
    fprintf(stderr, "flips: %d harmless, %d told, %d crashed LMDB\n", count[SOUND], count[TOLD],
            count[3]);
    cr_assert(count[TOLD] > 100 && count[3] < 200);
    cr_assert(look(fixture.path) == SOUND, "put back, it is sound again");
    close(fd);
    fixture_close(&fixture);
}

static struct fixture filled(const char *name)
{
    struct fixture fixture = fixture_open(name);
    struct store_options options = {.codec = STORE_RAW, .recipe = 9,
                                    .recipe_text = "0123456789abcdef scan scan 1 makes a {}\n"
                                                   "00000000000000aa p parse 2 pass b {r: 2}\n"};
    struct store *store;
    struct error err;
    cr_assert(store_open_writer(fixture.path, &options, &store, &err) == STATUS_OK, "%s", err.text);
    fixture_fill(store, 0, 60);
    cr_assert(store_refuse(store, SPAN("zebra"), fixture_made(0), SPAN("train"), "has no atoms",
                           &err) == STATUS_OK && store_commit(store, &err) == STATUS_OK);
    store_close(store);
    return fixture;
}

Test(store_damage, verify_names_the_key_of_a_flipped_bit, .timeout = 60)
{
    struct fixture fixture = filled("verify");
    struct error err;
    struct sample sample;
    struct span content;
    char file[300];
    cr_assert(foldmill("store verify %s", fixture.path) == 0, "%s", output);
    cr_assert(strstr(output, "60 records are good, 1 refusals, 0 bad"), "%s", output);
    snprintf(file, sizeof file, "%s/data.mdb", fixture.path);
    cr_assert(file_read(file, (size_t)1 << 30, &fixture.arena, &content, &err) == STATUS_OK);
    fixture_sample(&sample, &fixture.arena, 42);
    const struct field *field = sample_find(&sample, "positions");
    char *at = memmem(content.data, content.size, field->data, field_bytes(field));
    cr_assert(at, "the record's array stands in the file");
    char flipped = (char)(at[1000] ^ 4);
    int fd = open(file, O_RDWR);
    put_bytes(fd, &flipped, 1, (size_t)(at - content.data) + 1000);
    cr_assert(foldmill("store verify %s", fixture.path) == 1, "%s", output);
    cr_assert(strstr(output, "bad  key_0042: ") && strstr(output, "positions"), "%s", output);
    cr_assert(strstr(output, "59 records are good, 1 refusals, 1 bad"), "%s", output);
    cr_assert(foldmill("store show %s key_0042", fixture.path) == 1 &&
                  strstr(output, "the checksum of chunk 0 is wrong"), "%s", output);
    cr_assert(foldmill("store show %s key_0041", fixture.path) == 0, "%s", output);
    cr_assert(foldmill("store verify %s --forget", fixture.path) == 0, "%s", output);
    cr_assert(strstr(output, "1 bad records were taken away"), "%s", output);
    cr_assert(foldmill("store verify %s", fixture.path) == 0, "%s", output);
    cr_assert(strstr(output, "59 records are good, 1 refusals, 0 bad"), "%s", output);
    cr_assert(ftruncate(fd, (off_t)(content.size / 2)) == 0);
    cr_assert(foldmill("store verify %s", fixture.path) == 1, "%s", output);
    cr_assert(strstr(output, "damaged") || strstr(output, "bad"), "%s", output);
    close(fd);
    fixture_close(&fixture);
}

Test(store_damage, foldmill_store_tells_what_it_holds, .timeout = 60)
{
    struct fixture fixture = filled("command");
    cr_assert(foldmill("store ls %s --tsv", fixture.path) == 0, "%s", output);
    cr_assert(strstr(output, "\nkey_0012\ttrain\t62\t3\t"), "%s", output);
    cr_assert(strstr(output, "\thas no atoms\n"), "%s", output);
    cr_assert(foldmill("store ls %s --split held_out", fixture.path) == 0);
    cr_assert(strstr(output, "key_0010 ") && !strstr(output, "key_0011 "), "%s", output);
    cr_assert(foldmill("store ls %s", fixture.path) == 0);
    cr_assert(strstr(output, "refused: has no atoms"), "%s", output);
    cr_assert(foldmill("store show %s key_0012", fixture.path) == 0, "%s", output);
    cr_assert(strstr(output, "positions") && strstr(output, "f32[62,5,3]"), "%s", output);
    cr_assert(strstr(output, "\"train\""), "%s", output);
    cr_assert(foldmill("store show %s key_0012 msa", fixture.path) == 0, "%s", output);
    cr_assert(strncmp(output, "12\t19\t4\t", 8) == 0, "(7k + 12) mod 22: %.40s", output);
    cr_assert(foldmill("store show %s zebra", fixture.path) == 0);
    cr_assert(strstr(output, "refused has no atoms"), "%s", output);
    cr_assert(foldmill("store show %s absent", fixture.path) == 1);
    cr_assert(strstr(output, "there is no absent"), "%s", output);
    cr_assert(foldmill("store show %s key_0012 absent", fixture.path) == 1);
    cr_assert(strstr(output, "has no field absent"), "%s", output);
    cr_assert(foldmill("store stat %s", fixture.path) == 0, "%s", output);
    cr_assert(strstr(output, "records     60") &&
                  strstr(output, "recipe      scan version 1 {}\n            p version 2 {r: 2}"),
              "%s", output);
    cr_assert(strstr(output, "held_out") && strstr(output, "positions"), "%s", output);
    cr_assert(foldmill("store frob %s", fixture.path) == 2 && foldmill("store ls") == 2);
    cr_assert(foldmill("store ls %s --frob", fixture.path) == 2);
    cr_assert(foldmill("store ls %s/nowhere", fixture.path) == 1);
    fixture_close(&fixture);
}

static void expect_npz(const char *path, int i)
{
    struct arena arena;
    struct error err;
    struct span content;
    struct npz npz;
    struct sample sample;
    arena_open(&arena, 0);
    cr_assert(file_read(path, 1 << 30, &arena, &content, &err) == STATUS_OK, "%s", err.text);
    cr_assert(npz_parse(content, &arena, &npz, &err) == STATUS_OK, "%s", err.text);
    fixture_sample(&sample, &arena, i);
    cr_assert(npz.count == sample.field_count + 1, "and what else a record knows");
    for (int f = 0; f < sample.field_count; f++) {
        const struct field *field = &sample.fields[f];
        const struct npz_array *array = npz_find(&npz, field->name);
        cr_assert(array && array->rank == field->rank && array->count == field_count(field));
        cr_assert(memcmp(array->data, field->data, field_bytes(field)) == 0, "%s", field->name);
    }
    arena_close(&arena);
}

Test(store_damage, exports_what_numpy_reads, .timeout = 60)
{
    struct fixture fixture = filled("export");
    struct error err;
    char out[300], file[400];
    struct store *store = fixture_writer(&fixture);
    struct arena *arena = &fixture.arena;
    struct sample odd;
    cr_assert(sample_open(&odd, SPAN("../../etc/x"), &err) == STATUS_OK);
    uint16_t *half = sample_add_1(&odd, arena, "half", KIND_BF16, 2);
    half[0] = 0x3f80, half[1] = 0xc000; /* 1 and -2 */
    sample_add_3(&odd, arena, "none", KIND_I64, 0, 5, 2);
    struct store_note note = {0};
    cr_assert(store_put(store, &odd, &note, &err) == STATUS_OK);
    cr_assert(store_commit(store, &err) == STATUS_OK);
    store_close(store);
    snprintf(out, sizeof out, "%s_out", fixture.path);
    cr_assert(foldmill("store export %s --all %s", fixture.path, out) == 0, "%s", output);
    cr_assert(strstr(output, "61 records to"), "%s", output);
    snprintf(file, sizeof file, "%s/key_0033.npz", out);
    expect_npz(file, 33);
    struct span content;
    struct npz npz;
    snprintf(file, sizeof file, "%s/%%2E.%%2F..%%2Fetc%%2Fx.npz", out);
    cr_assert(file_read(file, 1 << 20, arena, &content, &err) == STATUS_OK, "%s", err.text);
    cr_assert(npz_parse(content, arena, &npz, &err) == STATUS_OK, "%s", err.text);
    const struct npz_array *array = npz_find(&npz, "half");
    float value[2];
    cr_assert(array && array->kind == NPZ_F32 && array->count == 2);
    memcpy(value, array->data, sizeof value);
    cr_assert(value[0] == 1.0f && value[1] == -2.0f, "bf16 is widened exactly");
    array = npz_find(&npz, "none");
    cr_assert(array && array->rank == 3 && array->count == 0);
    fixture_clear(out);
    cr_assert(foldmill("store export %s key_0001 key_0002 zebra %s --npy", fixture.path, out) == 1);
    cr_assert(strstr(output, "zebra was refused: has no atoms"), "%s", output);
    snprintf(file, sizeof file, "%s/key_0002/aatype.npy", out);
    cr_assert(file_read(file, 1 << 20, arena, &content, &err) == STATUS_OK, "%s", err.text);
    cr_assert(content.size == 128 + 52 && memcmp(content.data, "\x93NUMPY\1\0", 8) == 0);
    cr_assert(strstr(content.data + 10,
                     "{'descr': '|u1', 'fortran_order': False, 'shape': (52,), }"));
    for (int i = 1; i <= 2; i++) {
        snprintf(file, sizeof file, "%s/key_%04d", out, i);
        fixture_clear(file);
        rmdir(file);
    }
    fixture_clear(out);
    rmdir(out);
    fixture_close(&fixture);
}

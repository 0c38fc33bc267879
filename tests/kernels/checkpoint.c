/* Checkpoints: whole or not at all, every flipped byte and every truncation found, three kept, the
 * one before taken when the newest is damaged; and a network that goes on as if never stopped. */
#include "kernels/checkpoint.h"

#include "engine/base/file.h"
#include "tests/kernels/sample.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[64];
static struct arena arena;

static void setup(void)
{
    arena_open(&arena, 0);
    snprintf(folder, sizeof folder, "/tmp/foldmill-checkpoint-XXXXXX");
    cr_assert(mkdtemp(folder) != NULL, "mkdtemp");
}

static void teardown(void)
{
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", folder);
    cr_assert(system(command) == 0, "%s", command);
    arena_close(&arena);
}

static const float numbers[6] = {1, 2, 3, 4, 5.5f, -6};
static struct safetensor tensors[2] = {
    {.name = "weight/a.weight", .rank = 2, .dim = {2, 3}, .data = numbers, .bytes = 24},
    {.name = "weight/a.bias", .rank = 1, .dim = {3}, .data = numbers + 1, .bytes = 12}};

static struct checkpoint sample_checkpoint(uint64_t step)
{
    return (struct checkpoint){.step = step, .updates = step - 1, .state = SPAN("position 77"),
                               .tensor = tensors, .count = 2};
}

static void write_step(uint64_t step)
{
    struct error err = {0};
    struct checkpoint c = sample_checkpoint(step);
    cr_assert(checkpoint_write(folder, &c, &err) == STATUS_OK, "%s", err.text);
}

Test(checkpoint, comes_back_as_written, .init = setup, .fini = teardown)
{
    struct checkpoint c;
    struct error err = {0};
    write_step(12);
    cr_assert(checkpoint_read_newest(folder, &arena, &c, &err) == STATUS_OK, "%s", err.text);
    cr_assert(c.step == 12 && c.updates == 11 && c.count == 2, "step %d", (int)c.step);
    cr_assert(span_is(c.state, "position 77"), "state");
    const struct safetensor *t = checkpoint_find(&c, "weight/a.weight");
    cr_assert(t && t->rank == 2 && t->dim[0] == 2 && t->dim[1] == 3, "shape");
    cr_assert(memcmp(t->data, numbers, sizeof numbers) == 0, "numbers");
    cr_assert((uintptr_t)t->data % 4 == 0, "aligned");
    cr_assert(!checkpoint_find(&c, "weight/b"), "no such tensor");
}

Test(checkpoint, keeps_three, .init = setup, .fini = teardown)
{
    uint64_t steps[8];
    for (uint64_t step = 10; step <= 60; step += 10)
        write_step(step);
    int count = checkpoint_list(folder, steps, 8);
    cr_assert(count == 3 && steps[0] == 60 && steps[1] == 50 && steps[2] == 40, "%d files", count);
    write_step(60);
    uint64_t newest;
    cr_assert(checkpoint_list(folder, &newest, 1) == 1 && newest == steps[0],
              "of more files than asked for, the newest");
    cr_assert(checkpoint_list(folder, steps, 8) == 3, "the same step again");
}

/* The bytes of the one file of `step`. */
static struct span file_of(uint64_t step, char *path, size_t path_bytes)
{
    struct span content;
    struct error err;
    checkpoint_path(folder, step, path, path_bytes);
    cr_assert(file_read(path, 1 << 20, &arena, &content, &err) == STATUS_OK, "%s", err.text);
    return content;
}

Test(checkpoint, finds_every_flipped_byte_and_truncation, .init = setup, .fini = teardown)
{
    char path[256];
    struct checkpoint c;
    struct error err;
    write_step(5);
    struct span good = file_of(5, path, sizeof path);
    char *bad = arena_alloc(&arena, good.size);
    cr_assert(checkpoint_parse(good, &arena, &c, &err) == STATUS_OK, "%s", err.text);
    for (size_t i = 0; i < good.size; i++) {
        memcpy(bad, good.data, good.size);
        bad[i] = (char)(bad[i] ^ 0x10);
        enum status status =
            checkpoint_parse((struct span){bad, good.size}, &arena, &c, &err);
        cr_assert(status != STATUS_OK, "byte %zu was changed and not found out", i);
    }
    for (size_t size = 0; size < good.size; size++) {
        memcpy(bad, good.data, size);
        cr_assert(checkpoint_parse((struct span){bad, size}, &arena, &c, &err) != STATUS_OK,
                  "cut to %zu bytes", size);
    }
}

Test(checkpoint, takes_the_one_before_when_the_newest_is_damaged, .init = setup, .fini = teardown)
{
    char path[256];
    struct checkpoint c;
    struct error err = {0};
    for (uint64_t step = 1; step <= 3; step++)
        write_step(step);
    file_of(3, path, sizeof path);
    cr_assert(truncate(path, 500) == 0, "truncate");
    struct span two = file_of(2, path, sizeof path);
    char *bad = arena_alloc(&arena, two.size);
    memcpy(bad, two.data, two.size);
    bad[two.size - 3] ^= 1; /* in the state */
    cr_assert(file_write_atomic(path, (struct span){bad, two.size}, &err) == STATUS_OK, "write");
    cr_assert(checkpoint_read_newest(folder, &arena, &c, &err) == STATUS_OK, "%s", err.text);
    cr_assert(c.step == 1, "step %d", (int)c.step);
    checkpoint_path(folder, 1, path, sizeof path);
    cr_assert(truncate(path, 10) == 0, "truncate");
    cr_assert(checkpoint_read_newest(folder, &arena, &c, &err) == STATUS_CORRUPT, "all damaged");
    cr_assert(strstr(err.text, "step-000000000003") && strstr(err.text, "checksum is wrong"), "%s",
              err.text);
}

Test(checkpoint, says_what_is_wrong, .init = setup, .fini = teardown)
{
    char long_name[200];
    struct checkpoint c;
    struct error err = {0};
    cr_assert(checkpoint_read_newest(folder, &arena, &c, &err) == STATUS_MISS, "empty folder");
    cr_assert(checkpoint_read_newest("/nowhere/at/all", &arena, &c, &err) == STATUS_MISS, "none");
    struct safetensors other = {.tensor = tensors, .count = 2};
    char path[128];
    checkpoint_path(folder, 1, path, sizeof path);
    cr_assert(safetensors_write(&other, path, &err) == STATUS_OK, "%s", err.text);
    cr_assert(checkpoint_read(path, &arena, &c, &err) == STATUS_INVALID, "tensors alone");
    cr_assert(strstr(err.text, "no checkpoint of a run") != NULL, "%s", err.text);
    other.note[0] = (struct safetensors_note){"format", "foldmill checkpoint"};
    other.note[1] = (struct safetensors_note){"version", "7"};
    other.notes = 2;
    cr_assert(safetensors_write(&other, path, &err) == STATUS_OK, "%s", err.text);
    cr_assert(checkpoint_read(path, &arena, &c, &err) == STATUS_INVALID, "version");
    cr_assert(strstr(err.text, "version 7: this program reads 2") != NULL, "%s", err.text);
    cr_assert(checkpoint_parse(SPAN("hello, this is a text file that is long enough to be looked "
                                    "at as a head"), &arena, &c, &err) == STATUS_INVALID, "text");
    memset(long_name, 'x', sizeof long_name - 1);
    long_name[sizeof long_name - 1] = 0;
    struct safetensor t = {
        .name = long_name, .rank = 1, .dim = {1}, .data = numbers, .bytes = 4};
    c = (struct checkpoint){.tensor = &t, .count = 1};
    cr_assert(checkpoint_write(folder, &c, &err) == STATUS_LIMIT, "name");
    c = sample_checkpoint(1);
    cr_assert(checkpoint_write("/proc/no-such-folder", &c, &err) != STATUS_OK, "not a folder");
}

static void read_ramp(void *user, int at, size_t offset, size_t bytes, void *to)
{
    float *values = to;
    (void)user;
    for (size_t i = 0; i < bytes / sizeof *values; i++)
        values[i] = (float)at + (float)((offset / sizeof *values + i) % 1000);
}

static long peak_kib(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_maxrss;
}

/* 192 MB whose numbers are made while they are written. */
Test(checkpoint, is_never_whole_in_memory, .init = setup, .fini = teardown)
{
    enum { COUNT = 3, NUMBERS = (16 << 20) + 77 };
    static const char *const names[COUNT] = {"weight/a", "weight/b", "weight/c"};
    struct safetensor large[COUNT];
    struct checkpoint c = {.step = 1, .state = SPAN("s"), .tensor = large, .count = COUNT};
    struct error err = {0};
    c.read = read_ramp;
    for (int i = 0; i < COUNT; i++)
        large[i] = (struct safetensor){.name = names[i], .rank = 1, .dim = {NUMBERS},
                                       .bytes = (size_t)NUMBERS * 4};
    long before = peak_kib();
    cr_assert(checkpoint_write(folder, &c, &err) == STATUS_OK, "%s", err.text);
    long grown = peak_kib() - before;
    cr_assert(grown < 24 << 10, "%ld KiB more for a file of 192 MB", grown);
    cr_assert(checkpoint_read_newest(folder, &arena, &c, &err) == STATUS_OK, "%s", err.text);
    for (int i = 0; i < COUNT; i++) {
        const float *values = c.tensor[i].data;
        for (int n = 0; n < NUMBERS; n++)
            cr_assert(values[n] == (float)i + (float)(n % 1000), "tensor %d number %d", i, n);
    }
}

/* A limit on the file's size stands for a full disk: what was there stays, and nothing else. */
Test(checkpoint, without_room_the_one_before_stays, .init = setup, .fini = teardown)
{
    struct rlimit limit = {4096, RLIM_INFINITY}, none = {RLIM_INFINITY, RLIM_INFINITY};
    struct safetensor large = {.name = "weight/a", .rank = 1, .dim = {100000}, .bytes = 400000};
    struct checkpoint c = {.step = 2, .state = SPAN("s"), .tensor = &large, .count = 1};
    struct error err = {0};
    c.read = read_ramp;
    write_step(1);
    signal(SIGXFSZ, SIG_IGN);
    cr_assert(setrlimit(RLIMIT_FSIZE, &limit) == 0, "limit");
    enum status status = checkpoint_write(folder, &c, &err);
    cr_assert(setrlimit(RLIMIT_FSIZE, &none) == 0, "no limit");
    cr_assert(status == STATUS_FULL && strstr(err.text, "step-000000000002"), "%d %s", status,
              err.text);
    DIR *files = opendir(folder);
    int count = 0;
    for (struct dirent *entry; files && (entry = readdir(files));)
        count += entry->d_name[0] != '.';
    closedir(files);
    cr_assert(count == 1, "%d files", count);
    cr_assert(checkpoint_read_newest(folder, &arena, &c, &err) == STATUS_OK && c.step == 1, "%s",
              err.text);
}

/* Steps [from, to] of a run. */
static void train(struct net *net, int from, int to)
{
    struct adam_config adam = adam_config_default();
    struct error err = {0};
    for (int step = from; step <= to; step++) {
        struct net_loss loss;
        struct net_input in = sample_make(&arena, net_config(net), (uint64_t)step, 0);
        net_gradient_clear(net);
        cr_assert(net_forward(net, &in, &loss, &err) == STATUS_OK, "%s", err.text);
        net_backward(net);
        net_update(net, &adam, 1, step);
    }
}

Test(checkpoint, a_resumed_network_has_the_same_bits, .init = setup, .fini = teardown)
{
    struct net_config config = net_config_default();
    config.length = 10, config.clusters = 4, config.blocks = 1, config.c_m = config.c_z = 16;
    struct backend *b = cpu_backend_open(2);
    struct net *one, *two;
    struct error err = {0};
    struct checkpoint c;
    cr_assert(net_open(&config, b, &one, &err) == STATUS_OK, "%s", err.text);
    train(one, 1, 6);
    cr_assert(net_save(one, folder, 6, SPAN("here"), &err) == STATUS_OK, "%s", err.text);
    train(one, 7, 12);
    config.seed = 99; /* other first weights: all must come from the file */
    cr_assert(net_open(&config, b, &two, &err) == STATUS_OK, "%s", err.text);
    cr_assert(checkpoint_read_newest(folder, &arena, &c, &err) == STATUS_OK, "%s", err.text);
    cr_assert(net_load(two, &c, &err) == STATUS_OK, "%s", err.text);
    net_close(two);
    config.seed = 1; /* it also keys dropout */
    cr_assert(net_open(&config, b, &two, &err) == STATUS_OK, "%s", err.text);
    cr_assert(net_load(two, &c, &err) == STATUS_OK, "%s", err.text);
    cr_assert(net_updates(two) == 6 && span_is(c.state, "here"), "updates and state");
    train(two, 7, 12);
    size_t count = (size_t)net_params(one)->size;
    float *x = arena_zero(&arena, count, sizeof *x), *y = arena_zero(&arena, count, sizeof *y);
    for (int which = NET_WEIGHTS; which <= NET_EMA; which++) {
        net_read(one, (enum net_buffer)which, x);
        net_read(two, (enum net_buffer)which, y);
        cr_assert(memcmp(x, y, count * sizeof *x) == 0, "buffer %d differs", which);
    }
    net_close(two);
    config.c_m = 20;
    cr_assert(net_open(&config, b, &two, &err) == STATUS_OK, "%s", err.text);
    cr_assert(net_load(two, &c, &err) == STATUS_INVALID, "another network");
    cr_assert(strstr(err.text, "shape") != NULL, "%s", err.text);
    net_close(one);
    net_close(two);
    b->close(b);
}

/* The script that shows people how to read a checkpoint. */
Test(checkpoint, a_script_reads_it, .init = setup, .fini = teardown)
{
    char command[512], line[256];
    bool seen[3] = {false};
    if (system("python3 -c pass 2> /dev/null") != 0)
        cr_skip("python3 is not installed");
    write_step(12);
    snprintf(command, sizeof command,
             "python3 %s/graphs/examples/checkpoint.py %s/step-000000000012.safetensors",
             FOLDMILL_SOURCE, folder);
    FILE *out = popen(command, "r");
    cr_assert(out != NULL, "%s", command);
    while (fgets(line, sizeof line, out)) {
        seen[0] = seen[0] || strstr(line, "step 12");
        seen[1] = seen[1] || strstr(line, "weight/a.weight  [2, 3]  mean 1.58333");
        seen[2] = seen[2] || strstr(line, "weight/a.bias  [3]  mean 3");
    }
    cr_assert(pclose(out) == 0, "%s", command);
    cr_assert(seen[0] && seen[1] && seen[2], "it prints step, shapes and means");
}

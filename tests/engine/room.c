/* Little room on a disk, and none: runs on a small file system of their own. They pause, say why,
 * go on by themselves, and nothing is lost. Mounting needs root; elsewhere these tests are skipped
 * by name. */
#include "engine/room.h"

#include "engine/control.h"
#include "engine/snapshot.h"
#include "tests/engine/process.h"

#include <sys/mount.h>
#include <sys/stat.h>

#ifdef __SANITIZE_ADDRESS__
#define MEMORY "512MiB"
#else
#define MEMORY "64MiB"
#endif

static const char graph_text[] = "graph: room\n"
                                 "seed: 11\n"
                                 "stages:\n"
                                 "  count:\n"
                                 "    with: {count: 400}\n"
                                 "  echo:\n"
                                 "    in: count\n"
                                 "    workers: 2\n"
                                 "    memory: " MEMORY "\n"
                                 "    with: {bytes: 20000, sleep_us: 5000}\n"
                                 "  store:\n"
                                 "    in: echo\n"
                                 "    with: {path: \"{run}/store\"}\n"
                                 "  jitter:\n"
                                 "    in: store\n"
                                 "    memory: " MEMORY "\n"
                                 "  bundle:\n"
                                 "    in: jitter\n"
                                 "    with: {size: 8}\n"
                                 "  tally:\n"
                                 "    in: bundle\n"
                                 "    with: {epochs: 4, recycles: 1, checkpoint_every: 10}\n";

static struct arena arena;
static struct snapshot snapshot;
static bool mounted;

static const char *disk(const char *name)
{
    static char paths[4][PATH_MAX];
    static int turn;
    char *path = paths[turn++ % 4];
    snprintf(path, PATH_MAX, "%s/%s", process_path("disk"), name);
    return path;
}

static void disk_open(const char *size)
{
    char options[64];
    process_begin();
    process_graph("g", graph_text);
    cr_assert(mkdir(process_path("disk"), 0700) == 0, "a folder");
    snprintf(options, sizeof options, "size=%s", size);
    mounted = mount("none", process_path("disk"), "tmpfs", 0, options) == 0;
    if (!mounted) {
        process_end();
        cr_skip("a file system cannot be mounted here");
    }
}

static void disk_close(void)
{
    if (mounted)
        cr_assert(umount2(process_path("disk"), MNT_DETACH) == 0, "unmounted");
    mounted = false;
    process_end();
}

/* A file that leaves so many bytes free. */
static void ballast(uint64_t left)
{
    struct room room;
    int fd = open(disk("ballast"), O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
    cr_assert(fd >= 0 && room_look(process_path("disk"), &room), "the disk");
    if (room.free_bytes > left)
        cr_assert(posix_fallocate(fd, 0, (off_t)(room.free_bytes - left)) == 0, "ballast");
    close(fd);
}

/* Takes all of it, however much others write meanwhile. */
static void fill_up(void)
{
    static char block[1 << 16];
    int fd = open(disk("ballast"), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    for (size_t size = sizeof block; size >= 1; size /= 2)
        while (write(fd, block, size) > 0)
            ;
    close(fd);
}

static pid_t start_run(const char *path)
{
    const char *args[] = {"run", process_path("g"), "--run", path, "--quiet", NULL};
    return process_start(args);
}

static bool look(const char *path)
{
    const char *word = "status";
    struct span answer;
    struct error err = {0};
    arena_reset(&arena);
    enum status status = control_ask(path, &word, 1, &arena, &answer, &err);
    if (status == STATUS_OK)
        cr_assert(snapshot_read(answer, &snapshot, &err) == STATUS_OK, "%s", err.text);
    return status == STATUS_OK;
}

static const struct snapshot_sink *sink_of(const char *line)
{
    for (int i = 0; i < snapshot.sink_count; i++)
        if (strcmp(snapshot.sinks[i].line, line) == 0)
            return &snapshot.sinks[i];
    cr_assert(false, "no sink %s", line);
    return NULL;
}

static void wait_state(const char *path, const char *state)
{
    int64_t end = clock_ms() + 30000;
    while (!look(path) || strcmp(snapshot.run.state, state) != 0) {
        cr_assert(clock_ms() < end, "%s: it is %s (%s)", state, snapshot.run.state,
                  snapshot.run.notice);
        usleep(20000);
    }
}

static void check(const char *path)
{
    const char *args[] = {"audit", path, "--replay", "5", NULL};
    cr_assert(process_run(args, 60) == 0, "audit: %s", process_read("out").data);
    struct span out = process_read("out");
    cr_assert(strstr(out.data, "delivered          1600"), "all of four epochs: %s", out.data);
}

Test(room, what_is_little)
{
    struct room room = {1, 0};
    room.disk_bytes = (uint64_t)100 << 30;
    cr_assert(room_least(&room) == room.disk_bytes / 20, "5 %%");
    room.free_bytes = room.disk_bytes / 20;
    cr_assert(!room_is_low(&room, false) && room_is_low(&room, true), "it goes on with more");
    room.free_bytes--;
    cr_assert(room_is_low(&room, false), "less than 5 %%");
    room.disk_bytes = (uint64_t)10 << 40;
    room.free_bytes = ROOM_AMPLE;
    cr_assert(!room_is_low(&room, false), "ample on a large disk");
    room = (struct room){ROOM_MIN - 1, 1 << 20};
    cr_assert(room_is_low(&room, false), "a tiny disk");
    cr_assert(!room_look("/nowhere/at/all", &room), "no such disk");
}

Test(room, a_run_pauses_while_there_is_little_and_goes_on, .timeout = 200, .fini = disk_close)
{
    char path[PATH_MAX];
    disk_open("96m");
    snprintf(path, sizeof path, "%s", disk("run"));
    pid_t pid = start_run(path);
    wait_state(path, "running");
    while (!look(path) || sink_of("tally")->step < 3)
        usleep(20000);
    ballast(ROOM_MIN - (2 << 20));
    wait_state(path, "paused");
    cr_assert(strstr(snapshot.run.notice, "free, less than 16.0 MiB") && snapshot.run.paused == 1,
              "%s", snapshot.run.notice);
    usleep(1500000);
    cr_assert(look(path), "it lives");
    int64_t step = sink_of("tally")->step;
    uint64_t done = sink_of("store")->done;
    cr_assert(strcmp(sink_of("tally")->state, "paused") == 0, "the trainer says why it waits: %s",
              sink_of("tally")->state);
    usleep(500000);
    cr_assert(look(path) && sink_of("tally")->step == step && sink_of("store")->done == done,
              "nothing is made meanwhile");
    unlink(disk("ballast"));
    wait_state(path, "running");
    cr_assert(process_wait(pid, 60) == 0, "to the end");
    check(path);
}

Test(room, a_disk_that_is_full_in_the_middle_loses_nothing, .timeout = 200, .fini = disk_close)
{
    char path[PATH_MAX];
    disk_open("96m");
    snprintf(path, sizeof path, "%s", disk("run"));
    pid_t pid = start_run(path);
    while (!look(path) || sink_of("tally")->step < 5)
        usleep(2000);
    for (int i = 0; i < 2; i++) {
        fill_up();
        usleep(2500000);
        fill_up();
        cr_assert(look(path), "the engine lives on a full disk");
        int64_t step = sink_of("tally")->step;
        unlink(disk("ballast"));
        for (int64_t end = clock_ms() + 20000; sink_of("tally")->step < step + 5; usleep(20000))
            cr_assert(look(path) && clock_ms() < end, "it goes on");
    }
    cr_assert(process_wait(pid, 100) == 0, "to the end");
    check(path);
}

Test(room, a_run_on_a_full_disk_drains_and_goes_on_later, .timeout = 200, .fini = disk_close)
{
    char path[PATH_MAX];
    disk_open("96m");
    snprintf(path, sizeof path, "%s", disk("run"));
    pid_t pid = start_run(path);
    while (!look(path) || sink_of("tally")->step < 5)
        usleep(2000);
    fill_up();
    usleep(1000000);
    fill_up();
    cr_assert(kill(pid, SIGTERM) == 0 && process_wait(pid, 60) == 0, "drained on a full disk");
    unlink(disk("ballast"));
    cr_assert(process_wait(start_run(path), 100) == 0, "it goes on");
    check(path);
}

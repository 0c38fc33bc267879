/* The power goes: every write and sync that LMDB makes is recorded, and files are built as a disk
 * may hold them after it went at any moment - what was not synced kept, lost or torn, sector by
 * sector. Each must open and hold every record that had been acknowledged by then. */
#include "tests/engine/store_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>

enum { EVENTS_MAX = 20000, SECTOR = 512, GROUPS = 40, IMAGES = 300, FILE_MAX = 16 << 20 };

enum what { WRITTEN, SYNCED, ACKED };

struct event {
    enum what what;
    bool at_once; /* the descriptor syncs each write (O_DSYNC) */
    size_t at, size;
    char *data;
    int acked; /* records that are promised from here on */
};

static struct event events[EVENTS_MAX];
static int event_count;
static ino_t watched; /* data.mdb; 0: nothing is recorded */

static struct event *record(int fd, enum what what)
{
    struct stat info;
    if (!watched || fstat(fd, &info) != 0 || info.st_ino != watched)
        return NULL;
    cr_assert(event_count < EVENTS_MAX);
    struct event *event = &events[event_count++];
    *event = (struct event){.what = what, .at_once = fcntl(fd, F_GETFL) & O_DSYNC};
    return event;
}

static void record_write(int fd, const void *data, size_t size, size_t at)
{
    struct event *event = record(fd, WRITTEN);
    if (!event)
        return;
    event->data = malloc(size);
    cr_assert(event->data);
    memcpy(event->data, data, size);
    event->size = size;
    event->at = at;
}

#define SHARED __attribute__((visibility("default"))) /* LMDB calls these */

SHARED ssize_t pwrite(int fd, const void *data, size_t size, off_t at)
{
    record_write(fd, data, size, (size_t)at);
    return syscall(SYS_pwrite64, fd, data, size, at);
}

SHARED ssize_t writev(int fd, const struct iovec *parts, int count)
{
    size_t at = (size_t)lseek(fd, 0, SEEK_CUR);
    for (int i = 0; i < count; at += parts[i++].iov_len)
        record_write(fd, parts[i].iov_base, parts[i].iov_len, at);
    return syscall(SYS_writev, fd, parts, count);
}

SHARED int fdatasync(int fd)
{
    record(fd, SYNCED);
    return (int)syscall(SYS_fdatasync, fd);
}

/* Fills a store in groups, also over old records and with refusals, and records it all. */
static void fill(struct fixture *fixture)
{
    struct error err;
    struct stat info;
    char file[300];
    unsigned seed = 7;
    struct store_options options = {.codec = STORE_LZ4, .map_bytes = 1 << 20};
    struct store *store;
    snprintf(file, sizeof file, "%s/data.mdb", fixture->path);
    close(open(file, O_CREAT | O_RDWR, 0600)); /* so that its first bytes are recorded, too */
    cr_assert(stat(file, &info) == 0);
    watched = info.st_ino;
    cr_assert(store_open_writer(fixture->path, &options, &store, &err) == STATUS_OK, "%s",
              err.text);
    for (int group = 0, next = 0; group < GROUPS; group++) {
        int end = next + 1 + (int)(rand_r(&seed) % 12);
        fixture_fill(store, next, end);
        if (next > 0)
            fixture_fill(store, 0, 1 + next / 3);
        cr_assert(store_refuse(store, SPAN("refused"), fixture_made(group), SPAN(""), "why not",
                               &err) == STATUS_OK);
        cr_assert(store_commit(store, &err) == STATUS_OK, "%s", err.text);
        events[event_count++] = (struct event){.what = ACKED, .acked = end};
        next = end;
    }
    store_close(store);
    watched = 0;
}

/* The file after the power went during event `last`; returns its size. What was synced is there;
 * of the rest each sector may be. mode 0: none of it, 1: all, 2: a half. */
static size_t build(char *image, int last, int mode, unsigned *seed, int *acked)
{
    size_t size = 0;
    int synced = 0;
    *acked = 0;
    memset(image, 0, FILE_MAX);
    for (int e = 0; e < last; e++) {
        synced = events[e].what == SYNCED ? e : synced;
        *acked = events[e].what == ACKED ? events[e].acked : *acked;
    }
    for (int e = 0; e <= last; e++) {
        const struct event *event = &events[e];
        if (event->what != WRITTEN)
            continue;
        bool durable = e < synced || (event->at_once && e < last);
        for (size_t from = 0; from < event->size; from += SECTOR) {
            size_t part = event->size - from < SECTOR ? event->size - from : SECTOR;
            if (!durable && (mode == 0 || (mode == 2 && rand_r(seed) % 2)))
                continue;
            cr_assert(event->at + from + part <= FILE_MAX);
            memcpy(image + event->at + from, event->data + from, part);
            size = event->at + from + part > size ? event->at + from + part : size;
        }
    }
    return size;
}

static void expect_sound(struct fixture *fixture, int acked, int last)
{
    struct error err;
    struct store *store;
    struct store_report report;
    cr_assert(store_open_writer(fixture->path, NULL, &store, &err) == STATUS_OK,
              "power gone at event %d: %s", last, err.text);
    for (int i = 0; i < acked; i++)
        fixture_check(store, i);
    cr_assert(store_verify(store, NULL, NULL, NULL, &report, &err) == STATUS_OK, "%s", err.text);
    cr_assert(report.bad == 0, "power gone at event %d", last);
    fixture_fill(store, 9000, 9003);
    cr_assert(store_commit(store, &err) == STATUS_OK, "and it can be written: %s", err.text);
    fixture_check(store, 9001);
    store_close(store);
}

Test(store_power, every_image_holds_what_was_acknowledged, .timeout = 300)
{
    struct fixture fixture = fixture_open("power");
    char file[300], *image = malloc(FILE_MAX);
    unsigned seed = 20261123;
    cr_assert(image);
    fill(&fixture);
    snprintf(file, sizeof file, "%s/data.mdb", fixture.path);
    for (int n = 0; n < IMAGES; n++) {
        int acked, last = n * event_count / IMAGES;
        size_t size = build(image, last, n % 3, &seed, &acked);
        fixture_clear(fixture.path);
        int fd = open(file, O_CREAT | O_RDWR | O_TRUNC, 0600);
        cr_assert(fd >= 0 && pwrite(fd, image, size, 0) == (ssize_t)size);
        close(fd);
        expect_sound(&fixture, acked, last);
    }
    fprintf(stderr, "power: %d events, %d images\n", event_count, IMAGES);
    cr_assert(event_count > 400);
    for (int e = 0; e < event_count; e++)
        free(events[e].data);
    free(image);
    fixture_close(&fixture);
}

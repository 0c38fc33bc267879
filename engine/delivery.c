/* The delivery journal; see delivery.h. The whole file is kept in memory: some 30 bytes a step. */
#include "engine/delivery.h"

#include "engine/base/arena.h"
#include "engine/base/file.h"
#include "engine/bytes.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

struct delivery {
    char path[PATH_MAX];
    int file; /* -1: read only */
    char *text;
    size_t size, room;
    size_t *end; /* [steps] of their rows */
    uint64_t steps, step_room;
};

char *delivery_path(const char *run_dir, const char *sink, uint32_t rank, char *buffer)
{
    int size = snprintf(buffer, PATH_MAX, "%s/%s.order.%u.tsv", run_dir, sink, rank);
    ASSERT(size > 0 && size < PATH_MAX);
    return buffer;
}

/* ---- rows ---- */

/* Takes a number off the front of text. */
static bool take_number(struct span *text, uint64_t *number)
{
    size_t size = 0;
    int64_t value;
    while (size < text->size && text->data[size] >= '0' && text->data[size] <= '9')
        size++;
    if (!text_int((struct span){text->data, size}, 0, INT64_MAX, &value))
        return false;
    *number = (uint64_t)value;
    *text = (struct span){text->data + size, text->size - size};
    return true;
}

static bool take_sign(struct span *text, char sign)
{
    if (text->size == 0 || *text->data != sign)
        return false;
    *text = (struct span){text->data + 1, text->size - 1};
    return true;
}

/* Reads a row without its end of line; 0: it is none of that step. seqs may be NULL. */
static uint32_t row_parse(struct span row, uint64_t step, uint64_t *seqs)
{
    uint64_t number, from, to, least = 0;
    uint32_t count = 0;
    if (!take_number(&row, &number) || number != step || !take_sign(&row, '\t'))
        return 0;
    do {
        if (!take_number(&row, &from) || from < least)
            return 0;
        to = from;
        if (take_sign(&row, '-') && (!take_number(&row, &to) || to <= from))
            return 0;
        if (to - from >= DELIVERY_TAKEN_MAX - count)
            return 0;
        for (; from <= to; from++, count++)
            if (seqs)
                seqs[count] = from;
        least = to + 1;
    } while (take_sign(&row, ','));
    return row.size ? 0 : count;
}

static size_t row_start(const struct delivery *delivery, uint64_t step)
{
    return step ? delivery->end[step - 1] : 0;
}

static void rows_add(struct delivery *delivery, size_t end)
{
    if (delivery->steps == delivery->step_room) {
        delivery->step_room = delivery->step_room ? 2 * delivery->step_room : 1024;
        delivery->end = realloc(delivery->end, delivery->step_room * sizeof *delivery->end);
        ASSERT(delivery->end);
    }
    delivery->end[delivery->steps++] = end;
}

static void text_add(struct delivery *delivery, struct span text)
{
    while (delivery->size + text.size > delivery->room) {
        delivery->room = delivery->room ? 2 * delivery->room : 65536;
        delivery->text = realloc(delivery->text, delivery->room);
        ASSERT(delivery->text);
    }
    if (text.size)
        memcpy(delivery->text + delivery->size, text.data, text.size);
    delivery->size += text.size;
}

/* ---- the file ---- */

static enum status failed(const struct delivery *delivery, struct error *err)
{
    return error_set(err, errno == ENOSPC ? STATUS_FULL : STATUS_IO, "%s: %s", delivery->path,
                     strerror(errno));
}

static enum status rows_read(struct delivery *delivery, struct error *err)
{
    struct arena arena;
    struct span content;
    arena_open(&arena, 0);
    enum status status = file_read(delivery->path, DELIVERY_BYTES_MAX, &arena, &content, err);
    for (size_t at = 0; status == STATUS_OK && at < content.size;) {
        const char *end = memchr(content.data + at, '\n', content.size - at);
        struct span row = {content.data + at, end ? (size_t)(end - content.data) - at : 0};
        if (!end || row_parse(row, delivery->steps, NULL) == 0)
            break;
        at += row.size + 1;
        rows_add(delivery, at);
    }
    if (status == STATUS_OK)
        text_add(delivery, (struct span){content.data, row_start(delivery, delivery->steps)});
    arena_close(&arena);
    return status;
}

enum status delivery_open(struct delivery **opened, const char *path, bool write, struct error *err)
{
    struct delivery *delivery = calloc(1, sizeof *delivery);
    ASSERT(delivery);
    delivery->file = -1;
    snprintf(delivery->path, sizeof delivery->path, "%s", path);
    enum status status = STATUS_OK;
    if (write) {
        delivery->file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
        if (delivery->file < 0)
            status = failed(delivery, err);
    } else if (access(path, F_OK)) {
        status = error_set(err, STATUS_MISS, "%s: %s", path, strerror(errno));
    }
    if (status == STATUS_OK)
        status = rows_read(delivery, err);
    if (status != STATUS_OK) {
        delivery_close(delivery);
        return status;
    }
    *opened = delivery;
    return STATUS_OK;
}

void delivery_close(struct delivery *delivery)
{
    if (!delivery)
        return;
    if (delivery->file >= 0)
        close(delivery->file);
    free(delivery->text);
    free(delivery->end);
    free(delivery);
}

uint64_t delivery_steps(const struct delivery *delivery)
{
    return delivery->steps;
}

uint32_t delivery_read(const struct delivery *delivery, uint64_t step,
                       uint64_t seqs[DELIVERY_TAKEN_MAX])
{
    if (step >= delivery->steps)
        return 0;
    size_t start = row_start(delivery, step);
    struct span row = {delivery->text + start, delivery->end[step] - start - 1};
    return row_parse(row, step, seqs);
}

/* ---- writing ---- */

static size_t row_format(uint64_t step, const uint64_t *seqs, uint32_t count, char *row,
                         size_t room)
{
    size_t size = (size_t)snprintf(row, room, "%llu\t", (unsigned long long)step);
    for (uint32_t i = 0, last; i < count; i = last + 1) {
        for (last = i; last + 1 < count && seqs[last + 1] == seqs[last] + 1;)
            last++;
        size += (size_t)snprintf(row + size, room - size, "%s%llu", i ? "," : "",
                                 (unsigned long long)seqs[i]);
        if (last > i)
            size +=
                (size_t)snprintf(row + size, room - size, "-%llu", (unsigned long long)seqs[last]);
    }
    size += (size_t)snprintf(row + size, room - size, "\n");
    ASSERT_INT(size, <, room);
    return size;
}

enum status delivery_write(struct delivery *delivery, uint64_t step, const uint64_t *seqs,
                           uint32_t count, struct error *err)
{
    static char row[DELIVERY_TAKEN_MAX * 22 + 64];
    ASSERT(delivery->file >= 0 && step <= delivery->steps);
    ASSERT(count >= 1 && count <= DELIVERY_TAKEN_MAX);
    size_t size = row_format(step, seqs, count, row, sizeof row);
    size_t start = row_start(delivery, step);
    if (step < delivery->steps && delivery->end[step] - start == size &&
        memcmp(delivery->text + start, row, size) == 0)
        return STATUS_OK;
    /* Whatever stands there or behind, torn rows too, is of a past that did not come to be. */
    delivery->steps = step;
    delivery->size = start;
    if (ftruncate(delivery->file, (off_t)start) ||
        pwrite(delivery->file, row, size, (off_t)start) != (ssize_t)size)
        return failed(delivery, err);
    text_add(delivery, (struct span){row, size});
    rows_add(delivery, start + size);
    return STATUS_OK;
}

static void note_make(const struct delivery *delivery, uint64_t steps,
                      unsigned char note[DELIVERY_NOTE_BYTES])
{
    size_t bytes = row_start(delivery, steps);
    put_u64(note, steps);
    put_u64(note + 8, bytes);
    put_u64(note + 16, bytes ? XXH3_64bits(delivery->text, bytes) : 0);
}

enum status delivery_sync(struct delivery *delivery, uint64_t steps,
                          unsigned char note[DELIVERY_NOTE_BYTES], struct error *err)
{
    ASSERT(steps <= delivery->steps);
    if (fsync(delivery->file))
        return failed(delivery, err);
    note_make(delivery, steps, note);
    return STATUS_OK;
}

enum status delivery_check(const struct delivery *delivery, struct span note, struct error *err)
{
    unsigned char made[DELIVERY_NOTE_BYTES];
    if (note.size != DELIVERY_NOTE_BYTES)
        return error_set(err, STATUS_CORRUPT,
                         "the checkpoint keeps %zu bytes of a delivery journal, not %d", note.size,
                         DELIVERY_NOTE_BYTES);
    uint64_t steps = get_u64((const unsigned char *)note.data);
    if (steps <= delivery->steps)
        note_make(delivery, steps, made);
    if (steps > delivery->steps || memcmp(made, note.data, sizeof made) != 0)
        return error_set(err, STATUS_CORRUPT,
                         "%s: the %llu steps that the checkpoint covers are not those that were "
                         "journaled; bring the file back, or start the run anew",
                         delivery->path, (unsigned long long)steps);
    return STATUS_OK;
}

enum status delivery_cut(struct delivery *delivery, uint64_t steps, struct error *err)
{
    if (steps >= delivery->steps)
        return STATUS_OK;
    delivery->steps = steps;
    delivery->size = row_start(delivery, steps);
    return ftruncate(delivery->file, (off_t)delivery->size) ? failed(delivery, err) : STATUS_OK;
}

/* ---- all ranks ---- */

enum status deliveries_open(struct deliveries *all, const char *run_dir, const char *sink,
                            struct error *err)
{
    char path[PATH_MAX];
    *all = (struct deliveries){0};
    for (uint32_t i = 0; i < DELIVERY_RANKS_MAX; i++) {
        enum status status =
            delivery_open(&all->of[i], delivery_path(run_dir, sink, i, path), false, err);
        if (status == STATUS_OK || status == STATUS_MISS)
            continue;
        deliveries_close(all);
        return status;
    }
    return STATUS_OK;
}

void deliveries_close(struct deliveries *all)
{
    for (int i = 0; i < DELIVERY_RANKS_MAX; i++)
        delivery_close(all->of[i]);
}

uint64_t deliveries_read(const struct deliveries *all, uint64_t step, uint64_t *seqs, uint64_t max)
{
    static uint64_t row[DELIVERY_TAKEN_MAX];
    uint64_t taken = 0;
    for (int i = 0; i < DELIVERY_RANKS_MAX; i++) {
        uint32_t count = all->of[i] ? delivery_read(all->of[i], step, row) : 0;
        if (taken + count <= max)
            memcpy(seqs + taken, row, count * sizeof *row);
        taken += count;
    }
    return taken;
}

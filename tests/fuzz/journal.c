/* Fuzzes the coordinator's journal: the bytes as a file; and the bytes as records, each behind one
 * byte that says its length, replayed into a coordinator whose compacted log must then replay. */
#include "engine/coordinate.h"
#include "engine/journal.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum status count_record(void *user, struct span record, struct error *err)
{
    (void)err;
    ASSERT(record.size >= 1 && record.size <= JOURNAL_RECORD_MAX);
    *(size_t *)user += record.size;
    return STATUS_OK;
}

static struct coordinate *coordinator(struct arena *arena)
{
    static const uint64_t max_bad[2] = {1, 2};
    struct coordinate_config config = {.epoch = 1, .line_count = 2, .max_bad = max_bad};
    struct coordinate *coordinate;
    arena_open(arena, 1 << 26);
    ASSERT(coordinate_open(&coordinate, &config, arena, NULL) == STATUS_OK);
    return coordinate;
}

static enum status replay(void *user, struct span record, struct error *err)
{
    enum status status = coordinate_replay(user, record, err);
    ASSERT(status == STATUS_OK);
    return status;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t bytes = 0, good;
    enum status status =
        journal_scan((struct span){(const char *)data, size}, count_record, &bytes, &good, NULL);
    ASSERT(bytes <= size && good <= size);
    ASSERT(status == STATUS_OK || status == STATUS_INVALID || status == STATUS_CORRUPT);
    struct arena arenas[2];
    struct coordinate *first = coordinator(&arenas[0]), *second = coordinator(&arenas[1]);
    for (size_t at = 0; at < size;) {
        size_t length = data[at++];
        length = length < size - at ? length : size - at;
        coordinate_replay(first, (struct span){(const char *)data + at, length}, NULL);
        at += length;
    }
    ASSERT(coordinate_dump(first, replay, second, NULL) == STATUS_OK);
    for (int line = 0; line < 2; line++)
        ASSERT(coordinate_gen(first, line) == coordinate_gen(second, line) &&
               coordinate_aside_count(first, line) == coordinate_aside_count(second, line));
    arena_close(&arenas[0]);
    arena_close(&arenas[1]);
    return 0;
}

/* Any bytes as a file of release dates: read or refused with a line, never a crash; what is read is
 * dates of entries. */
#include "stages/listing/dates.h"

#include "stages/bio/date.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char path[64];
static int fd = -1;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena;
    struct dates dates;
    struct error err;
    if (fd < 0) {
        fd = memfd_create("dates", MFD_CLOEXEC);
        ASSERT(fd >= 0);
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    }
    ASSERT(ftruncate(fd, 0) == 0 && pwrite(fd, data, size, 0) == (ssize_t)size);
    arena_open(&arena, 0);
    dates_open(&dates, &arena);
    enum status status = dates_read(&dates, path, &err);
    ASSERT(status == STATUS_OK || (status == STATUS_INVALID && strstr(err.text, ": line ")));
    for (int i = 0; i < dates.entries.count; i++) {
        ASSERT(dates.entries.name[i].size == DATES_ENTRY_BYTES && date_good(dates.date[i]));
        char entry[DATES_ENTRY_BYTES + 1] = {0};
        memcpy(entry, dates.entries.name[i].data, DATES_ENTRY_BYTES);
        ASSERT(span_equal(dates_find(&dates, entry), dates.date[i]));
    }
    arena_close(&arena);
    return 0;
}

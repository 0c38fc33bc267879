/* Fuzz target: delivery journals, whatever the file holds; rows that were read are ascending, and
 * come back when they are written again. */
#include "engine/delivery.h"

#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint64_t seqs[DELIVERY_TAKEN_MAX], again[DELIVERY_TAKEN_MAX];
    static int file = -1;
    unsigned char note[DELIVERY_NOTE_BYTES];
    char path[32];
    struct delivery *journal;
    struct error err;
    if (file < 0)
        file = memfd_create("journal", 0);
    ASSERT(ftruncate(file, 0) == 0 && pwrite(file, data, size, 0) == (ssize_t)size);
    snprintf(path, sizeof path, "/proc/self/fd/%d", file);
    if (delivery_open(&journal, path, true, &err) != STATUS_OK)
        return 0; /* a damaged gzip, say */
    uint64_t steps = delivery_steps(journal);
    for (uint64_t step = 0; step < steps; step++) {
        uint32_t count = delivery_read(journal, step, seqs);
        ASSERT(count >= 1 && count <= DELIVERY_TAKEN_MAX);
        for (uint32_t i = 1; i < count; i++)
            ASSERT(seqs[i] > seqs[i - 1]);
    }
    if (steps) {
        uint32_t count = delivery_read(journal, steps - 1, seqs);
        ASSERT(delivery_write(journal, steps - 1, seqs, count, &err) == STATUS_OK);
        ASSERT(delivery_read(journal, steps - 1, again) == count);
        ASSERT(again[0] == seqs[0] && again[count - 1] == seqs[count - 1]);
        ASSERT(delivery_sync(journal, steps, note, &err) == STATUS_OK);
        ASSERT(delivery_check(journal, (struct span){(const char *)note, sizeof note}, &err) ==
               STATUS_OK);
    }
    delivery_close(journal);
    return 0;
}

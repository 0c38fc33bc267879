/* Fuzzes the npz reader; every array that it finds is read to its last byte. */
#include "engine/base/npz.h"

#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static volatile unsigned seen; /* what was read goes here, so that it is read */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena;
    struct npz npz;
    struct error err;
    arena_open(&arena, 1 << 22);
    if (npz_parse((struct span){(const char *)data, size}, &arena, &npz, &err) == STATUS_OK) {
        unsigned sum = 0;
        for (int i = 0; i < npz.count; i++) {
            const unsigned char *bytes = npz.array[i].data;
            uint64_t count = npz.array[i].count * npz.array[i].item_bytes;
            for (uint64_t b = 0; b < count; b++)
                sum += bytes[b];
        }
        seen = sum;
    }
    arena_close(&arena);
    return 0;
}

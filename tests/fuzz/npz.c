/* Fuzzes the readers of .npz and .npy; every array that they find is read to its last byte, and
 * becomes a sample's field where it can. */
#include "engine/base/npz.h"
#include "engine/sample_npz.h"

#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static volatile unsigned seen; /* what was read goes here, so that it is read */

/* As what it is, and as bf16, in a sample. */
static void try_array(const struct npz_array *array, struct arena *arena)
{
    static struct sample sample;
    struct error err;
    unsigned sum = 0;
    const unsigned char *bytes = array->data;
    for (uint64_t b = 0; b < array->count * array->item_bytes; b++)
        sum += bytes[b];
    seen = sum;
    for (int as_bf16 = 0; as_bf16 < 2; as_bf16++) {
        enum kind kind = as_bf16 ? KIND_BF16 : KIND_COUNT;
        if (sample_open(&sample, SPAN("k"), &err) == STATUS_OK &&
            sample_put_array(&sample, array, kind, arena, &err) == STATUS_OK)
            seen = (unsigned)sample_digest(&sample);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena;
    struct npz npz;
    struct error err;
    arena_open(&arena, 1 << 22);
    if (npz_parse((struct span){(const char *)data, size}, &arena, &npz, &err) == STATUS_OK) {
        for (int i = 0; i < npz.count; i++)
            try_array(&npz.array[i], &arena);
    }
    struct npz_array alone = {.name = SPAN("alone")};
    if (npy_parse((struct span){(const char *)data, size}, &arena, &alone, &err) == STATUS_OK)
        try_array(&alone, &arena);
    arena_close(&arena);
    return 0;
}

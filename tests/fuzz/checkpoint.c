/* Fuzzes the checkpoint reader, as the bytes are and with all checksums made right (else nothing
 * behind them would ever be reached); every number of what it accepts is read. */
#include "kernels/checkpoint.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static volatile double seen; /* what was read goes here, so that it is read */

enum { HEAD = 64, ENTRY = 192 }; /* the layout of kernels/checkpoint.h */

static uint64_t get(const char *at)
{
    uint64_t value;
    memcpy(&value, at, sizeof value);
    return value;
}

static void put(char *at, uint64_t value)
{
    memcpy(at, &value, sizeof value);
}

/* The checksum of content[from, from + count), where that is inside. */
static void sum_put(char *content, size_t size, char *at, uint64_t from, uint64_t count)
{
    if (from <= size && count <= size - from)
        put(at, XXH3_64bits(content + from, count));
}

static void checksums_put(char *content, size_t size)
{
    uint32_t tensors;
    if (size < HEAD)
        return;
    memcpy(&tensors, content + 12, sizeof tensors);
    put(content + 48, size);
    uint64_t table = (uint64_t)tensors * ENTRY;
    if (table > size - HEAD)
        return;
    for (char *e = content + HEAD; e < content + HEAD + table; e += ENTRY)
        sum_put(content, size, e + 168, get(e + 152), get(e + 160));
    sum_put(content, size, content + 40, HEAD + table, get(content + 32));
    XXH3_state_t *state = XXH3_createState();
    XXH3_64bits_reset(state);
    XXH3_64bits_update(state, content, 56);
    XXH3_64bits_update(state, content + HEAD, table);
    put(content + 56, XXH3_64bits_digest(state));
    XXH3_freeState(state);
}

static void read_all(const char *content, size_t size)
{
    struct arena arena;
    struct checkpoint c;
    struct error err;
    double sum = 0;
    arena_open(&arena, 1 << 24);
    if (checkpoint_parse((struct span){content, size}, &arena, &c, &err) == STATUS_OK) {
        for (int i = 0; i < c.count; i++) {
            uint64_t count = 1;
            for (int axis = 0; axis < c.tensor[i].rank; axis++)
                count *= c.tensor[i].dim[axis];
            for (uint64_t n = 0; n < count; n++)
                sum += (double)c.tensor[i].data[n];
        }
        for (size_t i = 0; i < c.state.size; i++)
            sum += c.state.data[i];
    }
    seen = sum;
    arena_close(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *content = aligned_alloc(64, (size + 64) / 64 * 64);
    if (!content)
        return 0;
    memcpy(content, data, size);
    read_all(content, size);
    checksums_put(content, size);
    read_all(content, size);
    free(content);
    return 0;
}

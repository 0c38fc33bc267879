/* Fuzzes the checkpoint reader; every number of what it accepts is read. */
#include "kernels/checkpoint.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static volatile double seen; /* what was read goes here, so that it is read */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena;
    struct checkpoint c;
    struct error err;
    size_t room = (size + 64) / 64 * 64;
    char *content = aligned_alloc(64, room);
    if (!content)
        return 0;
    memcpy(content, data, size);
    arena_open(&arena, 1 << 24);
    if (checkpoint_parse((struct span){content, size}, &arena, &c, &err) == STATUS_OK) {
        double sum = 0;
        for (int i = 0; i < c.count; i++) {
            uint64_t count = 1;
            for (int axis = 0; axis < c.tensor[i].rank; axis++)
                count *= c.tensor[i].dim[axis];
            for (uint64_t n = 0; n < count; n++)
                sum += (double)c.tensor[i].data[n];
        }
        for (size_t i = 0; i < c.state.size; i++)
            sum += c.state.data[i];
        seen = sum;
    }
    arena_close(&arena);
    free(content);
    return 0;
}

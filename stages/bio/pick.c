/* Templates of a sample; see pick.h. */
#include "stages/bio/pick.h"

#include "engine/base/error.h"

#include <stdbool.h>
#include <string.h>

uint32_t pick_distinct(const uint8_t *sequence, uint32_t count, uint32_t length,
                       const uint32_t *order, uint32_t shuffled, uint32_t most, uint32_t *taken)
{
    uint32_t found = 0;
    ASSERT_INT(shuffled, <=, count);
    for (uint32_t i = 0; i < count && found < most; i++) {
        uint32_t candidate = order && i < shuffled ? order[i] : i;
        const uint8_t *row = sequence + (size_t)candidate * length;
        bool known = false;
        for (uint32_t t = 0; t < found; t++)
            known |= memcmp(sequence + (size_t)taken[t] * length, row, length) == 0;
        if (!known)
            taken[found++] = candidate;
    }
    return found;
}

uint32_t pick_from(const uint32_t *taken, const uint32_t *order, uint32_t count, uint32_t start,
                   uint32_t most, uint32_t *picked)
{
    uint32_t found = 0;
    for (uint32_t i = start; i < count && found < most; i++) {
        ASSERT_INT(order[i], <, count);
        picked[found++] = taken[order[i]];
    }
    return found;
}

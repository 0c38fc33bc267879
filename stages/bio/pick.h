/* Which of a chain's template candidates a sample uses (data path, sections 5.3 and 7.10), as index
 * arithmetic over draws that the caller gives. */
#ifndef STAGES_BIO_PICK_H
#define STAGES_BIO_PICK_H

#include <stddef.h>
#include <stdint.h>

/* Walks over the candidates - the first `shuffled` of them in the order order[shuffled] (NULL: as
 * they stand), then the others - and takes the first `most` whose aligned strings, rows of
 * sequence[count,length], differ from all taken before. Writes their numbers to taken[most],
 * returns how many. */
uint32_t pick_distinct(const uint8_t *sequence, uint32_t count, uint32_t length,
                       const uint32_t *order, uint32_t shuffled, uint32_t most, uint32_t *taken);

/* Of `count` that were taken, permuted by order[count]: those from `start` on, 0..count, at most
 * `most`. Writes them to picked[most], returns how many: 0 where start is count. */
uint32_t pick_from(const uint32_t *taken, const uint32_t *order, uint32_t count, uint32_t start,
                   uint32_t most, uint32_t *picked);

#endif

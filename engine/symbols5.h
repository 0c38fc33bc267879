/* Five bits for a byte: arrays of small symbols (alignment rows, masks) packed without loss. Eight
 * symbols below 32 become five bytes, the first in the lowest bits; a last group that is not full
 * is filled up with zeros. LZ4 behind it finds the runs of gaps in fewer bytes than in front. */
#ifndef FOLDMILL_SYMBOLS5_H
#define FOLDMILL_SYMBOLS5_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes of count symbols, packed. */
static inline size_t symbols5_bytes(size_t count)
{
    return (count + 7) / 8 * 5;
}

/* Whether all of symbols[count] are below 32. */
bool symbols5_fit(const uint8_t *symbols, size_t count);

/* symbols[count] -> packed[symbols5_bytes(count)]; they must fit. */
void symbols5_pack(const uint8_t *symbols, size_t count, uint8_t *packed);

/* And back; neither reads nor writes beyond the two arrays. Uses AVX2 where the processor has it.
 */
void symbols5_unpack(const uint8_t *packed, size_t count, uint8_t *symbols);

/* The same in plain C, which the other is tested against. */
void symbols5_unpack_plain(const uint8_t *packed, size_t count, uint8_t *symbols);

#endif

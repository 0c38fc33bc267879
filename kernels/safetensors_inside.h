/* What writing and reading safetensors share. */
#ifndef FOLDMILL_KERNELS_SAFETENSORS_INSIDE_H
#define FOLDMILL_KERNELS_SAFETENSORS_INSIDE_H

#include "kernels/safetensors.h"

#include <xxhash.h>

#define CHECKSUM_NOTE "xxh3_64"
enum { CHECKSUM_DIGITS = 16 };

/* Number of elements; false when it overflows. */
bool safetensors_count(const struct safetensor *t, uint64_t *count);

/* Of the file with zeros where the digits stand; digits: inside file. */
uint64_t safetensors_checksum(struct span file, const char *digits);

#endif

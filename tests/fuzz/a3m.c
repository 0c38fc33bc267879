/* Fuzzes the A3M and A2M reader, and what is made of the alignments. */
#include "tests/fuzz/alignment.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_alignment(data, size, ALIGNMENT_A3M);
    return fuzz_alignment(data, size, ALIGNMENT_A2M);
}

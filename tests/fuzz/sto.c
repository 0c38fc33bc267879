/* Fuzzes the Stockholm reader, and what is made of the alignments. */
#include "tests/fuzz/alignment.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    return fuzz_alignment(data, size, ALIGNMENT_STOCKHOLM);
}

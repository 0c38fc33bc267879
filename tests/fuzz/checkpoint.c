/* Fuzzes the checkpoint reader, as the bytes are and with the checksum made right (else nothing
 * behind it would ever be reached); every number of what it accepts is read. */
#include "kernels/checkpoint.h"
#include "kernels/safetensors_inside.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static volatile double seen; /* what was read goes here, so that it is read */

static void checksum_put(char *content, size_t size)
{
    static const char key[] = "\"" CHECKSUM_NOTE "\":\"";
    char digits[CHECKSUM_DIGITS + 1];
    char *at = memmem(content, size, key, sizeof key - 1);
    if (!at || (size_t)(content + size - at) < sizeof key - 1 + CHECKSUM_DIGITS)
        return;
    at += sizeof key - 1;
    snprintf(digits, sizeof digits, "%016llx",
             (unsigned long long)safetensors_checksum((struct span){content, size}, at));
    memcpy(at, digits, CHECKSUM_DIGITS);
}

static double sum_of(const struct safetensor *t)
{
    double sum = 0;
    const unsigned char *bytes = t->data;
    for (size_t i = 0; i < t->bytes; i++)
        sum += bytes[i];
    uint64_t count = 0;
    if (t->kind <= SAFETENSOR_F16 && safetensors_count(t, &count) && count <= t->bytes) {
        float *numbers = malloc((size_t)count * sizeof *numbers + 1);
        if (!numbers)
            abort();
        safetensors_floats(t, numbers, count);
        for (uint64_t i = 0; i < count; i++)
            sum += (double)numbers[i];
        free(numbers);
    }
    return sum;
}

static void read_all(const char *content, size_t size)
{
    struct arena arena;
    struct checkpoint c;
    struct safetensors s;
    struct error err;
    double sum = 0;
    arena_open(&arena, 1 << 24);
    if (safetensors_parse((struct span){content, size}, &arena, &s, &err) == STATUS_OK)
        for (int i = 0; i < s.count; i++)
            sum += sum_of(&s.tensor[i]);
    if (checkpoint_parse((struct span){content, size}, &arena, &c, &err) == STATUS_OK)
        for (size_t i = 0; i < c.state.size; i++)
            sum += c.state.data[i];
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
    checksum_put(content, size);
    read_all(content, size);
    free(content);
    return 0;
}

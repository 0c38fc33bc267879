/* What a sample may hold when it reaches the trainer: arrays of sizes that fit each other, any
 * contents. What compact_check accepts expands to features without leaving an array, and to
 * profiles that add up; everything else is refused by name. */
#include "stages/bio/features.h"
#include "stages/bio/msa_sample.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
    const uint8_t *data;
    size_t size;
};

static uint8_t next(struct input *input)
{
    if (input->size == 0)
        return 0;
    input->size--;
    return *input->data++;
}

static size_t elements(const struct compact *compact, const char *sizes)
{
    size_t count = 1;
    for (const char *at = sizes; *at; at++)
        if (*at >= 'A' && *at <= 'Z')
            count *= (size_t)compact_size(compact, *at);
    return count * (strstr(sizes, "37") ? 37 : 1) * (strstr(sizes, ",3") ? 3 : 1);
}

/* Small numbers, mostly: bytes as they are, or for wide kinds rising by little. */
static void fill(struct input *input, void *to, size_t count, size_t item, bool rising)
{
    int32_t value = 0;
    for (size_t i = 0; i < count; i++) {
        int32_t byte = (int8_t)next(input);
        value = rising && byte > -100 ? value + (byte & 7) % 5 : byte;
        if (item == 4)
            ((int32_t *)to)[i] = value;
        else if (item == 2)
            ((int16_t *)to)[i] = (int16_t)value;
        else
            ((uint8_t *)to)[i] = (uint8_t)byte;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = {data, size};
    struct compact compact = {0};
    struct features features;
    struct arena arena;
    struct error err = {0};
    static const struct {
        char capital;
        uint8_t most;
    } free_sizes[] = {{'K', 12}, {'M', 4}, {'E', 4}, {'T', 3}, {'P', 3}, {'C', 120}, {'D', 9},
                      {'F', 9}};
    arena_open(&arena, (size_t)16 << 20);
    for (size_t i = 0; i < sizeof free_sizes / sizeof *free_sizes; i++)
        compact.size[free_sizes[i].capital - 'A'] = next(&input) % (free_sizes[i].most + 1);
    uint8_t flags = next(&input);
    compact.size['W' - 'A'] = (compact_size(&compact, 'K') + 7) / 8 + (flags == 255);
    compact.size['S' - 'A'] = compact_size(&compact, 'M') + 1;
    compact.size['U' - 'A'] = compact_size(&compact, 'E') + 1;
#define ARRAY(name, kind, shape, optional)                                                         \
    if (!*(optional) || flags & 1) {                                                               \
        size_t count = elements(&compact, shape);                                                  \
        compact.name = arena_zero(&arena, count, sizeof *compact.name);                            \
        if (!strstr(#name, "positions"))                                                           \
            fill(&input, compact.name, count, sizeof *compact.name,                                \
                 strstr(#name, "_start") || strstr(#name, "column"));                              \
    }
#define SCALAR(name, kind, optional) ARRAY(name, kind, "", optional)
    COMPACT_FIELDS(ARRAY, SCALAR)
    enum status status = compact_check(&compact, &err);
    for (int64_t p = 0; status == STATUS_OK && p < compact_size(&compact, 'P'); p++) {
        status = features_make(&compact, p, FEATURES_ALL, &arena, &features, &err);
        int64_t k = compact_size(&compact, 'K');
        for (int64_t i = 0; status == STATUS_OK && i < compact_size(&compact, 'M') * k; i++) {
            bool inside = i / k < compact.msa_rows[p] && i % k < *compact.seq_length;
            float total = 0;
            for (int s = 0; s < MSA_SYMBOLS; s++)
                total += features.msa_feat[i * 49 + 25 + s];
            ASSERT(inside ? total > 0.99f && total < 1.01f : total == 0);
        }
    }
    ASSERT(status == STATUS_OK || (status == STATUS_INVALID && err.text[0]));
    arena_close(&arena);
    return 0;
}

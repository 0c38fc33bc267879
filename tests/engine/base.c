/* engine/base: arenas, Philox, permutations, numbers with units, files. */
#include "engine/base/arena.h"
#include "engine/base/file.h"
#include "engine/base/rng.h"
#include "engine/base/text.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

Test(base, philox_known_answers)
{
    /* Known-answer vectors of the Random123 distribution for philox4x32-10. */
    uint32_t out[4];
    philox((uint32_t[]){0, 0, 0, 0}, (uint32_t[]){0, 0}, out);
    cr_assert(out[0] == 0x6627e8d5 && out[1] == 0xe169c58d && out[2] == 0xbc57ac4c &&
              out[3] == 0x9b00dbd8);
    uint32_t ones = 0xffffffff;
    philox((uint32_t[]){ones, ones, ones, ones}, (uint32_t[]){ones, ones}, out);
    cr_assert(out[0] == 0x408f276d && out[1] == 0x41c83b0e && out[2] == 0xa20bc7c6 &&
              out[3] == 0x6d5451fd);
}

Test(base, permute_is_a_permutation_and_changes_with_the_epoch)
{
    for (uint64_t n = 1; n <= 300; n += 13) {
        char seen[300] = {0};
        for (uint64_t i = 0; i < n; i++)
            seen[permute(7, 3, n, i)]++;
        for (uint64_t i = 0; i < n; i++)
            cr_assert(seen[i] == 1, "n %zu index %zu", (size_t)n, (size_t)i);
    }
    int same = 0;
    for (uint64_t i = 0; i < 300; i++)
        same += permute(7, 3, 300, i) == permute(7, 4, 300, i);
    cr_assert(same < 20, "%d of 300 positions equal in two epochs", same);
}

Test(base, rng_below_is_even)
{
    struct rng rng = rng_open(1, 2, 3, "crop", 0);
    int count[7] = {0};
    for (int i = 0; i < 70000; i++)
        count[rng_below(&rng, 7)]++;
    for (int i = 0; i < 7; i++)
        cr_assert(abs(count[i] - 10000) < 500, "%d: %d", i, count[i]);
    struct rng again = rng_open(1, 2, 3, "crop", 0), other = rng_open(1, 2, 3, "crop", 1);
    struct rng first = rng_open(1, 2, 3, "crop", 0);
    cr_assert(rng_u64(&again) == rng_u64(&first));
    cr_assert(rng_u64(&again) != rng_u64(&other));
}

Test(base, arena_release_keeps_so_much)
{
    struct arena arena;
    arena_open(&arena, 0);
    char *small = arena_alloc(&arena, 1000);
    memset(arena_alloc(&arena, 5 << 20), 1, 5 << 20);
    arena_release(&arena, 6 << 20);
    cr_assert(arena.used_bytes == 0 && arena_alloc(&arena, 1000) == small, "all is kept");
    arena_alloc(&arena, 5 << 20);
    arena_release(&arena, 1 << 20);
    cr_assert(arena.used_bytes == 0 && arena_alloc(&arena, 1000) == small, "the first is kept");
    char *large = arena_alloc(&arena, 5 << 20);
    memset(large, 2, 5 << 20);
    arena_release(&arena, 0);
    cr_assert(arena.first == NULL && arena.used_bytes == 0, "nothing is kept");
    memset(arena_alloc(&arena, 1000), 3, 1000);
    arena_close(&arena);
}

Test(base, arena_rewinds_and_limits)
{
    struct arena arena;
    arena_open(&arena, 1 << 20);
    char *first = arena_alloc(&arena, 100);
    cr_assert((uintptr_t)first % ARENA_ALIGN == 0);
    struct arena_mark mark = arena_mark(&arena);
    memset(arena_alloc(&arena, 300000), 1, 300000);
    char *second = arena_text(&arena, "text", 4);
    cr_assert(strcmp(second, "text") == 0);
    arena_rewind(&arena, mark);
    cr_assert(arena.used_bytes == mark.used_bytes);
    cr_assert(arena_try(&arena, SIZE_MAX, 2) == NULL, "an overflowing product");
    cr_assert(arena_try(&arena, 2 << 20, 1) == NULL, "more than the limit");
    cr_assert(arena_try(&arena, 1 << 19, 1) != NULL);
    arena_close(&arena);
}

Test(base, numbers_with_units)
{
    int64_t integer, duration_ms;
    uint64_t bytes;
    double number;
    cr_assert(text_int(SPAN("-12"), -20, 0, &integer) && integer == -12);
    cr_assert(!text_int(SPAN("12x"), 0, 100, &integer));
    cr_assert(!text_int(SPAN("9223372036854775808"), INT64_MIN, INT64_MAX, &integer));
    cr_assert(text_int(SPAN("-9223372036854775808"), INT64_MIN, INT64_MAX, &integer));
    cr_assert(!text_int(SPAN(""), 0, 1, &integer) && !text_int(SPAN("-"), -1, 1, &integer));
    cr_assert(text_bytes(SPAN("1.5GiB"), &bytes) && bytes == 3ull << 29);
    cr_assert(!text_bytes(SPAN("5 furlongs"), &bytes) && !text_bytes(SPAN("GiB"), &bytes));
    cr_assert(text_duration(SPAN("30min"), &duration_ms) && duration_ms == 1800000);
    cr_assert(text_double(SPAN("1e-3"), &number) && number == 1e-3);
    cr_assert(!text_double(SPAN("nan"), &number) && !text_double(SPAN("0x10"), &number));
}

Test(base, suggestions)
{
    const char *const names[] = {"crop", "batch", "train", NULL};
    cr_assert(strcmp(text_suggest(SPAN("corp"), names), "crop") == 0);
    cr_assert(strcmp(text_suggest(SPAN("bacth"), names), "batch") == 0);
    cr_assert(text_suggest(SPAN("zebra"), names) == NULL);
}

Test(base, files_plain_gzip_broken)
{
    char folder[] = "/tmp/foldmill_base_XXXXXX", path[64], command[400];
    struct arena arena;
    struct error err;
    struct span content;
    arena_open(&arena, 0);
    cr_assert(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/a.txt", folder);
    cr_assert(file_write_atomic(path, SPAN("hello\nfoldmill\n"), &err) == STATUS_OK, "%s",
              err.text);
    cr_assert(file_read(path, 1000, &arena, &content, &err) == STATUS_OK);
    cr_assert(span_is(content, "hello\nfoldmill\n"));
    cr_assert(file_read(path, 5, &arena, &content, &err) == STATUS_LIMIT);
    snprintf(command, sizeof command, "gzip -k %s && head -c 20 %s.gz > %s.cut", path, path, path);
    cr_assert(system(command) == 0);
    snprintf(path, sizeof path, "%s/a.txt.gz", folder);
    cr_assert(file_read(path, 1000, &arena, &content, &err) == STATUS_OK);
    cr_assert(span_is(content, "hello\nfoldmill\n"));
    snprintf(path, sizeof path, "%s/a.txt.cut", folder);
    cr_assert(file_read(path, 1000, &arena, &content, &err) == STATUS_CORRUPT);
    cr_assert(strstr(err.text, path) && strstr(err.text, "truncated"), "%s", err.text);
    cr_assert(file_read(folder, 1000, &arena, &content, &err) == STATUS_IO);
    snprintf(command, sizeof command, "rm -r %s", folder);
    cr_assert(system(command) == 0);
    arena_close(&arena);
}

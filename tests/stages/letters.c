/* Rows in bulk: the vector ways give what the plain ones give, and those what the tables say. */
#include "stages/bio/letters.h"
#include "stages/bio/residue.h"
#include "engine/base/rng.h"

#include <criterion/criterion.h>
#include <string.h>

static struct arena arena;

static void open(void)
{
    arena_open(&arena, 0);
}

static void close(void)
{
    arena_close(&arena);
}

TestSuite(letters, .init = open, .fini = close, .timeout = 120);

/* A line of letters in which `most` in 100 characters are columns, the others as `other` says. */
static char *line_make(struct rng *rng, size_t size, uint32_t most, const char *other)
{
    char *line = arena_alloc(&arena, size + 1);
    for (size_t i = 0; i < size; i++) {
        uint32_t letter = rng_below(rng, 27);
        line[i] = rng_below(rng, 100) < most      ? (char)(letter < 26 ? 'A' + (int)letter : '-')
                  : other[0] && rng_below(rng, 2) ? other[rng_below(rng, (uint32_t)strlen(other))]
                                                  : (char)('a' + (int)(letter % 26));
    }
    line[size] = 0;
    return line;
}

static void take_check(const char *line, size_t size, bool dots)
{
    /* In three pieces, as lines of a file that break a row. */
    size_t cut[4] = {0, size / 3, size / 2, size}, taken[2] = {0};
    struct letters both[2] = {{0}};
    cr_assert(letters_reserve(&both[0], 1, &arena) && letters_reserve(&both[1], 1, &arena));
    for (int way = 0; way < 2; way++)
        for (int p = 0; p < 3 && taken[way] == cut[p]; p++) {
            const char *text = line + cut[p];
            size_t piece = cut[p + 1] - cut[p];
            cr_assert(letters_reserve(&both[way], piece, &arena));
            taken[way] += way ? letters_take_plain(&both[way], text, piece, dots)
                              : letters_take(&both[way], text, piece, dots);
        }
    cr_assert(taken[0] == taken[1], "%zu and %zu taken of %s", taken[0], taken[1], line);
    cr_assert(both[0].size == both[1].size && both[0].inserted == both[1].inserted);
    cr_assert(memcmp(both[0].letter, both[1].letter, both[0].size) == 0, "%s", line);
    cr_assert(both[0].insertion_count == both[1].insertion_count);
    cr_assert(memcmp(both[0].insertion, both[1].insertion,
                     (size_t)both[0].insertion_count * sizeof *both[0].insertion) == 0,
              "%s", line);
}

Test(letters, rows_come_apart_the_same_in_every_way)
{
    static const uint32_t most[] = {0, 10, 50, 90, 99, 100};
    static const char *const other[] = {"", ".", ". \t*0", "\x80\xff\x01@[`{"};
    struct rng rng = rng_open(1, 0, 0, "letters", 0);
    for (size_t size = 0; size <= 300; size++)
        for (size_t m = 0; m < sizeof most / sizeof *most; m++)
            for (size_t o = 0; o < sizeof other / sizeof *other; o++) {
                struct arena_mark mark = arena_mark(&arena);
                char *line = line_make(&rng, size, most[m], other[o]);
                take_check(line, size, true);
                take_check(line, size, false);
                arena_rewind(&arena, mark);
            }
}

Test(letters, a_row_by_hand)
{
    struct letters row = {0};
    cr_assert(letters_reserve(&row, 100, &arena));
    cr_assert(letters_take(&row, "abAC-deD", 8, false) == 8);
    cr_assert(letters_take(&row, "ghijE.F", 7, false) == 5, "up to the dot");
    cr_assert(row.size == 5 && memcmp(row.letter, "AC-DE", 5) == 0);
    cr_assert(row.insertion_count == 3);
    cr_assert(row.insertion[0].column == 0 && row.insertion[0].count == 2);
    cr_assert(row.insertion[1].column == 3 && row.insertion[1].count == 2);
    cr_assert(row.insertion[2].column == 4 && row.insertion[2].count == 4, "over lines");
    cr_assert(letters_take(&row, ".Fgh", 4, true) == 4 && row.size == 6 && row.inserted == 2);
}

Test(letters, codes_tell_all_letters_apart_and_become_symbols)
{
    char text[256];
    uint8_t code[256], plain[256];
    bool seen[256] = {false};
    for (int c = 0; c < 256; c++)
        text[c] = (char)c;
    uint8_t most = letters_encode(text, 256, code);
    cr_assert(most == LETTER_BAD && letters_encode_plain(text, 256, plain) == LETTER_BAD);
    cr_assert(memcmp(code, plain, 256) == 0);
    for (int c = 0; c < 256; c++) {
        bool letter = (c >= 'A' && c <= 'Z') || c == '-';
        cr_assert((code[c] != LETTER_BAD) == letter, "character %d", c);
        cr_assert(!letter || !seen[code[c]], "two letters have code %d", code[c]);
        seen[code[c]] = true;
    }
    for (size_t size = 0; size < 100; size++) {
        for (size_t i = 0; i < 128; i++) /* of letters, from another one each time */
            text[i] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ-"[(i + size) % 27];
        letters_encode(text, 128, code);
        letters_encode(text, 128, plain);
        letters_standardise(code, size);
        for (size_t i = 0; i < 128; i++)
            cr_assert(code[i] == (i < size ? (uint8_t)alignment_symbol(text[i]) : plain[i]),
                      "letter %c, %zu of %zu", text[i], i, size);
    }
    for (size_t size = 0; size < 130; size++) {
        memset(code, 77, sizeof code);
        cr_assert(letters_encode("ACDEFGHIKLMNPQRSTVWYXACDEFGHIKLMNPQRSTVWYXACDEFGHIKLMNPQRSTVWYX"
                                 "ACDEFGHIKLMNPQRSTVWYXACDEFGHIKLMNPQRSTVWYXACDEFGHIKLMNPQRSTVWYX"
                                 "ACDEFGHI",
                                 size, code) <= 20);
        cr_assert(code[size] == 77, "writes beyond");
    }
}

Test(letters, symbols_are_counted_by_column)
{
    static const size_t rows[] = {0, 1, 2, 254, 255, 256, 511, 1100};
    static const size_t lengths[] = {1, 31, 32, 33, 64, 100};
    struct rng rng = rng_open(2, 0, 0, "counts", 0);
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++)
        for (size_t l = 0; l < sizeof lengths / sizeof *lengths; l++) {
            size_t cells = rows[r] * lengths[l], places = lengths[l] * SYMBOL_COUNT;
            uint8_t *symbol = arena_alloc(&arena, cells);
            for (size_t i = 0; i < cells; i++)
                symbol[i] = (uint8_t)(rng_below(&rng, 3) ? rng_below(&rng, SYMBOL_COUNT) : 21);
            int32_t *counts = arena_zero(&arena, places, sizeof *counts);
            int32_t *plain = arena_zero(&arena, places, sizeof *plain), sum = 0;
            counts[0] = plain[0] = 5; /* is added to */
            letters_count(symbol, rows[r], lengths[l], counts);
            letters_count_plain(symbol, rows[r], lengths[l], plain);
            cr_assert(memcmp(counts, plain, places * sizeof *counts) == 0, "%zu rows, %zu columns",
                      rows[r], lengths[l]);
            for (size_t i = 0; i < places; i++)
                sum += counts[i];
            cr_assert(sum == (int32_t)cells + 5);
        }
}

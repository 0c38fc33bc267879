/* Rows in bulk; see letters.h. */
#include "stages/bio/letters.h"

#include "stages/bio/residue.h"

#include <string.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

enum { COLUMN, INSERTED, DOT, BAD };

static int class_of(char c)
{
    if ((c >= 'A' && c <= 'Z') || c == '-')
        return COLUMN;
    return c >= 'a' && c <= 'z' ? INSERTED : c == '.' ? DOT : BAD;
}

/* The code of each letter A..Z. */
static const uint8_t code_of[26] = {0, 22, 4,  3, 6, 13, 7,  8,  9,  23, 11, 10, 12,
                                    2, 24, 14, 5, 1, 15, 16, 25, 19, 17, 20, 18, 26};

bool letters_reserve(struct letters *letters, size_t size, struct arena *arena)
{
    size_t room = letters->size + size,
           insertions = (size_t)letters->insertion_count + size / 2 + 1;
    if (room > letters->room) {
        room = room > 2 * letters->room ? room : 2 * letters->room;
        char *larger = arena_try(arena, room + LETTERS_SLACK, 1);
        if (!larger)
            return false;
        if (letters->size)
            memcpy(larger, letters->letter, letters->size);
        letters->letter = larger;
        letters->room = room;
    }
    if (insertions > (size_t)letters->insertion_room) {
        struct insertion *larger =
            insertions > INT32_MAX / 2 ? NULL : arena_try(arena, 2 * insertions, sizeof *larger);
        if (!larger)
            return false;
        if (letters->insertion_count)
            memcpy(larger, letters->insertion, (size_t)letters->insertion_count * sizeof *larger);
        letters->insertion = larger;
        letters->insertion_room = (int)(2 * insertions);
    }
    return true;
}

/* Says that the next column has insertions before it, if it has. */
static inline void insertion_note(struct letters *letters)
{
    if (!letters->inserted)
        return;
    letters->insertion[letters->insertion_count++] =
        (struct insertion){(int32_t)letters->size, letters->inserted};
    letters->inserted = 0;
}

size_t letters_take_plain(struct letters *letters, const char *text, size_t size, bool dots)
{
    for (size_t i = 0; i < size; i++) {
        int class = class_of(text[i]);
        if (class == COLUMN) {
            insertion_note(letters);
            letters->letter[letters->size++] = text[i];
        } else if (class == INSERTED) {
            letters->inserted++;
        } else if (class == BAD || !dots) {
            return i;
        }
    }
    return size;
}

uint8_t letters_encode_plain(const char *letter, size_t size, uint8_t *code)
{
    uint8_t largest = 0;
    for (size_t i = 0; i < size; i++) {
        unsigned at = (unsigned)(unsigned char)letter[i] - 'A';
        code[i] = at < 26 ? code_of[at] : letter[i] == '-' ? SYMBOL_COUNT - 1 : LETTER_BAD;
        largest = code[i] > largest ? code[i] : largest;
    }
    return largest;
}

/* Symbols of codes 16 to 31: B as D, J and O as X, U as C, Z as E. */
static const uint8_t standard_of[16] = {16, 17, 18, 19, 20, 21, 3, 20, 20, 4, 6};

static void standardise_plain(uint8_t *code, size_t size)
{
    for (size_t i = 0; i < size; i++)
        code[i] = code[i] < 16 ? code[i] : standard_of[code[i] & 15];
}

void letters_count_plain(const uint8_t *symbol, size_t rows, size_t length, int32_t *counts)
{
    for (size_t row = 0; row < rows; row++)
        for (size_t i = 0; i < length; i++)
            counts[i * SYMBOL_COUNT + symbol[row * length + i]]++;
}

#if defined(__x86_64__)
#define AVX2 __attribute__((target("avx2,bmi")))

enum { WIDE = 32 };

AVX2 static inline __m256i load(const void *at)
{
    return _mm256_loadu_si256((const __m256i *)at);
}

/* Bytes of x that lie in first..last, ASCII; x above 127 does not. */
AVX2 static inline __m256i between(__m256i x, char first, char last)
{
    return _mm256_and_si256(_mm256_cmpgt_epi8(x, _mm256_set1_epi8((char)(first - 1))),
                            _mm256_cmpgt_epi8(_mm256_set1_epi8((char)(last + 1)), x));
}

/* Takes the runs of 32 characters, each of `column` or else `inserted` bits; text has 64. */
AVX2 static inline void runs_take(struct letters *letters, const char *text, uint32_t column)
{
    for (unsigned at = 0; at < WIDE;) {
        uint32_t rest = column >> at;
        unsigned most = WIDE - at;
        if (rest & 1) {
            unsigned run = ~rest ? (unsigned)__builtin_ctz(~rest) : WIDE;
            run = run < most ? run : most;
            insertion_note(letters);
            /* More than the run is written; what is too much is written over, or slack. */
            _mm256_storeu_si256((__m256i *)(void *)(letters->letter + letters->size),
                                load(text + at));
            letters->size += run;
            at += run;
        } else {
            unsigned run = rest ? (unsigned)__builtin_ctz(rest) : most;
            letters->inserted += (int32_t)run;
            at += run;
        }
    }
}

AVX2 static size_t take_avx2(struct letters *letters, const char *text, size_t size, bool dots)
{
    size_t i = 0;
    for (; size - i >= 2 * WIDE; i += WIDE) {
        __m256i x = load(text + i);
        __m256i in_column =
            _mm256_or_si256(between(x, 'A', 'Z'), _mm256_cmpeq_epi8(x, _mm256_set1_epi8('-')));
        uint32_t column = (uint32_t)_mm256_movemask_epi8(in_column);
        if (column == UINT32_MAX) {
            insertion_note(letters);
            _mm256_storeu_si256((__m256i *)(void *)(letters->letter + letters->size), x);
            letters->size += WIDE;
            continue;
        }
        uint32_t inserted = (uint32_t)_mm256_movemask_epi8(between(x, 'a', 'z'));
        if ((column | inserted) != UINT32_MAX) {
            size_t taken = letters_take_plain(letters, text + i, WIDE, dots);
            if (taken < WIDE)
                return i + taken;
            continue;
        }
        runs_take(letters, text + i, column);
    }
    return i + letters_take_plain(letters, text + i, size - i, dots);
}

AVX2 static uint8_t encode_avx2(const char *letter, size_t size, uint8_t *code)
{
    uint8_t tables[2][16]; /* of the letters' low four bits: A..O from 1, P..Z from 0 */
    memset(tables, LETTER_BAD, sizeof tables);
    for (unsigned c = 0; c < 26; c++)
        tables[(c + 1) >> 4][(c + 1) & 15] = code_of[c];
    const __m256i low = _mm256_broadcastsi128_si256(_mm_loadu_si128((__m128i *)(void *)tables[0]));
    const __m256i high = _mm256_broadcastsi128_si256(_mm_loadu_si128((__m128i *)(void *)tables[1]));
    __m256i largest = _mm256_setzero_si256();
    size_t i = 0;
    for (; i + WIDE <= size; i += WIDE) {
        __m256i x = load(letter + i);
        __m256i nibble = _mm256_and_si256(x, _mm256_set1_epi8(15));
        __m256i second = _mm256_slli_epi16(x, 3); /* bit 4 to where blend looks */
        __m256i found = _mm256_blendv_epi8(_mm256_shuffle_epi8(low, nibble),
                                           _mm256_shuffle_epi8(high, nibble), second);
        found = _mm256_blendv_epi8(_mm256_set1_epi8((char)LETTER_BAD), found, between(x, 'A', 'Z'));
        found = _mm256_blendv_epi8(found, _mm256_set1_epi8(SYMBOL_COUNT - 1),
                                   _mm256_cmpeq_epi8(x, _mm256_set1_epi8('-')));
        _mm256_storeu_si256((__m256i *)(void *)(code + i), found);
        largest = _mm256_max_epu8(largest, found);
    }
    uint8_t most = letters_encode_plain(letter + i, size - i, code + i), each[WIDE];
    _mm256_storeu_si256((__m256i *)(void *)each, largest);
    for (int k = 0; k < WIDE; k++)
        most = each[k] > most ? each[k] : most;
    return most;
}

AVX2 static void standardise_avx2(uint8_t *code, size_t size)
{
    const __m128i half = _mm_loadu_si128((const __m128i *)(const void *)standard_of);
    const __m256i high = _mm256_broadcastsi128_si256(half);
    size_t i = 0;
    for (; i + WIDE <= size; i += WIDE) {
        __m256i x = load(code + i); /* the shuffle looks at the low four bits */
        __m256i found = _mm256_blendv_epi8(x, _mm256_shuffle_epi8(high, x),
                                           _mm256_cmpgt_epi8(x, _mm256_set1_epi8(15)));
        _mm256_storeu_si256((__m256i *)(void *)(code + i), found);
    }
    standardise_plain(code + i, size - i);
}

/* Counts of half of the symbols in 32 columns of at most 255 rows. */
AVX2 static inline void count_half(const uint8_t *symbol, size_t rows, size_t length, int first,
                                   int32_t *counts)
{
    enum { HALF = SYMBOL_COUNT / 2 };
    __m256i sum[HALF];
    for (int s = 0; s < HALF; s++)
        sum[s] = _mm256_setzero_si256();
    for (size_t row = 0; row < rows; row++) {
        __m256i x = load(symbol + row * length);
#pragma GCC unroll 11
        for (int s = 0; s < HALF; s++)
            sum[s] =
                _mm256_sub_epi8(sum[s], _mm256_cmpeq_epi8(x, _mm256_set1_epi8((char)(first + s))));
    }
    for (int s = 0; s < HALF; s++) {
        uint8_t each[WIDE];
        _mm256_storeu_si256((__m256i *)(void *)each, sum[s]);
        for (int i = 0; i < WIDE; i++)
            counts[i * SYMBOL_COUNT + first + s] += each[i];
    }
}

AVX2 static void count_avx2(const uint8_t *symbol, size_t rows, size_t length, int32_t *counts)
{
    enum { ROWS = 255 }; /* more overflow a byte */
    size_t whole = length / WIDE * WIDE;
    for (size_t row = 0; row < rows; row += ROWS) {
        size_t some = rows - row < ROWS ? rows - row : ROWS;
        const uint8_t *from = symbol + row * length;
        for (size_t i = 0; i < whole; i += WIDE) {
            count_half(from + i, some, length, 0, counts + i * SYMBOL_COUNT);
            count_half(from + i, some, length, SYMBOL_COUNT / 2, counts + i * SYMBOL_COUNT);
        }
        for (size_t k = 0; k < some; k++)
            letters_count_plain(from + k * length + whole, 1, length - whole,
                                counts + whole * SYMBOL_COUNT);
    }
}

static bool have_avx2(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi");
}

size_t letters_take(struct letters *letters, const char *text, size_t size, bool dots)
{
    return have_avx2() ? take_avx2(letters, text, size, dots)
                       : letters_take_plain(letters, text, size, dots);
}

uint8_t letters_encode(const char *letter, size_t size, uint8_t *code)
{
    return have_avx2() ? encode_avx2(letter, size, code) : letters_encode_plain(letter, size, code);
}

void letters_standardise(uint8_t *code, size_t size)
{
    if (have_avx2())
        standardise_avx2(code, size);
    else
        standardise_plain(code, size);
}

void letters_count(const uint8_t *symbol, size_t rows, size_t length, int32_t *counts)
{
    if (have_avx2())
        count_avx2(symbol, rows, length, counts);
    else
        letters_count_plain(symbol, rows, length, counts);
}
#else
void letters_standardise(uint8_t *code, size_t size)
{
    standardise_plain(code, size);
}

size_t letters_take(struct letters *letters, const char *text, size_t size, bool dots)
{
    return letters_take_plain(letters, text, size, dots);
}

uint8_t letters_encode(const char *letter, size_t size, uint8_t *code)
{
    return letters_encode_plain(letter, size, code);
}

void letters_count(const uint8_t *symbol, size_t rows, size_t length, int32_t *counts)
{
    letters_count_plain(symbol, rows, length, counts);
}
#endif

/* The letters of alignment rows in bulk: A3M text apart into columns and insertions, letters to
 * codes, counts of symbols by column. With AVX2 where the processor has it; the plain way gives the
 * same. */
#ifndef STAGES_BIO_LETTERS_H
#define STAGES_BIO_LETTERS_H

#include "stages/bio/alignment.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    LETTERS_SLACK = 64,  /* bytes behind the letters of a row that are written and not meant */
    LETTER_BAD = 0xff,   /* code of what is no letter of a row */
    LETTER_STANDARD = 22 /* codes below are symbols in restype order, 20 = X, 21 = gap */
};

/* A row that is being read: letters A..Z and '-' of its columns, and what was inserted before them
 * by lower-case letters. */
struct letters {
    char *letter; /* [room + LETTERS_SLACK] */
    size_t size, room;
    struct insertion *insertion; /* columns rising */
    int insertion_count, insertion_room;
    int32_t inserted; /* lower-case letters since the last column */
};

/* Makes room for a line of `size` characters more; false: no memory. */
bool letters_reserve(struct letters *letters, size_t size, struct arena *arena);

/* Takes text[size], for which there is room, up to the first character that does not belong into a
 * row; dots: '.' is skipped. Returns how many were taken. */
size_t letters_take(struct letters *letters, const char *text, size_t size, bool dots);

/* code[size] of letter[size]: a symbol (LETTER_STANDARD), or 22..26 for B J O U Z, so that
 * different letters have different codes; LETTER_BAD for others. Returns the largest. */
uint8_t letters_encode(const char *letter, size_t size, uint8_t *code);

/* B J O U Z in code[size], whose codes are below 27, become the symbols of D X X C E. */
void letters_standardise(uint8_t *code, size_t size);

/* Adds to counts[length, 22] how many of symbol[rows, length] hold each symbol in each column. */
void letters_count(const uint8_t *symbol, size_t rows, size_t length, int32_t *counts);

/* The three without vectors, for comparison. */
size_t letters_take_plain(struct letters *letters, const char *text, size_t size, bool dots);
uint8_t letters_encode_plain(const char *letter, size_t size, uint8_t *code);
void letters_count_plain(const uint8_t *symbol, size_t rows, size_t length, int32_t *counts);

#endif

/* The tables behind residue.h, and look-ups in them. */
#include "stages/bio/residue.h"
#include "stages/bio/residue_codes.h"

#include <string.h>

const char residue_letters[RESTYPE_COUNT + 1] = "ARNDCQEGHILKMFPSTWYVX";

const char atom37_names[ATOM37][4] = {
    "N",   "CA",  "C",   "CB",  "O",   "CG", "CG1", "CG2", "OG",  "OG1", "SG",  "CD",  "CD1",
    "CD2", "ND1", "ND2", "OD1", "OD2", "SD", "CE",  "CE1", "CE2", "CE3", "NE",  "NE1", "NE2",
    "OE1", "OE2", "CH2", "NH1", "NH2", "OH", "CZ",  "CZ2", "CZ3", "NZ",  "OXT",
};

const uint8_t atom14_to_atom37[RESTYPE_COUNT][ATOM14] = {
    {0, 1, 2, 4, 3},                        /* ALA: N CA C O CB */
    {0, 1, 2, 4, 3, 5, 11, 23, 32, 29, 30}, /* ARG: N CA C O CB CG CD NE CZ NH1 NH2 */
    {0, 1, 2, 4, 3, 5, 16, 15},             /* ASN: N CA C O CB CG OD1 ND2 */
    {0, 1, 2, 4, 3, 5, 16, 17},             /* ASP: N CA C O CB CG OD1 OD2 */
    {0, 1, 2, 4, 3, 10},                    /* CYS: N CA C O CB SG */
    {0, 1, 2, 4, 3, 5, 11, 26, 25},         /* GLN: N CA C O CB CG CD OE1 NE2 */
    {0, 1, 2, 4, 3, 5, 11, 26, 27},         /* GLU: N CA C O CB CG CD OE1 OE2 */
    {0, 1, 2, 4},                           /* GLY: N CA C O */
    {0, 1, 2, 4, 3, 5, 14, 13, 20, 25},     /* HIS: N CA C O CB CG ND1 CD2 CE1 NE2 */
    {0, 1, 2, 4, 3, 6, 7, 12},              /* ILE: N CA C O CB CG1 CG2 CD1 */
    {0, 1, 2, 4, 3, 5, 12, 13},             /* LEU: N CA C O CB CG CD1 CD2 */
    {0, 1, 2, 4, 3, 5, 11, 19, 35},         /* LYS: N CA C O CB CG CD CE NZ */
    {0, 1, 2, 4, 3, 5, 18, 19},             /* MET: N CA C O CB CG SD CE */
    {0, 1, 2, 4, 3, 5, 12, 13, 20, 21, 32}, /* PHE: N CA C O CB CG CD1 CD2 CE1 CE2 CZ */
    {0, 1, 2, 4, 3, 5, 11},                 /* PRO: N CA C O CB CG CD */
    {0, 1, 2, 4, 3, 8},                     /* SER: N CA C O CB OG */
    {0, 1, 2, 4, 3, 9, 7},                  /* THR: N CA C O CB OG1 CG2 */
    {0, 1, 2, 4, 3, 5, 12, 13, 24, 21, 22, 33, 34,
     28}, /* TRP: N CA C O CB CG CD1 CD2 NE1 CE2 CE3 CZ2 CZ3 CH2 */
    {0, 1, 2, 4, 3, 5, 12, 13, 20, 21, 32, 31}, /* TYR: N CA C O CB CG CD1 CD2 CE1 CE2 CZ OH */
    {0, 1, 2, 4, 3, 6, 7},                      /* VAL: N CA C O CB CG1 CG2 */
    {0},                                        /* X: no atoms */
};

const uint8_t atom14_count[RESTYPE_COUNT] = {5, 11, 8,  8, 6, 9, 9,  4,  10, 8, 8,
                                             9, 8,  11, 7, 6, 7, 14, 12, 7,  0};

const uint8_t atom14_swap[RESTYPE_COUNT][ATOM14] = {
    {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13}, {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13},
    {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13}, {0, 1, 2, 3, 4, 5, 7, 6, 8, 9, 10, 11, 12, 13},
    {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13}, {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13},
    {0, 1, 2, 3, 4, 5, 6, 8, 7, 9, 10, 11, 12, 13}, {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13},
    {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13}, {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13},
    {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13}, {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13},
    {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13}, {0, 1, 2, 3, 4, 5, 7, 6, 9, 8, 10, 11, 12, 13},
    {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13}, {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13},
    {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13}, {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13},
    {0, 1, 2, 3, 4, 5, 7, 6, 9, 8, 10, 11, 12, 13}, {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13},
    {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13},
};

const uint8_t chi_chain[RESTYPE_COUNT][CHI_CHAIN] = {
    {0},                      /* ALA */
    {0, 1, 3, 5, 11, 23, 32}, /* ARG: N CA CB CG CD NE CZ */
    {0, 1, 3, 5, 16},         /* ASN: N CA CB CG OD1 */
    {0, 1, 3, 5, 16},         /* ASP: N CA CB CG OD1 */
    {0, 1, 3, 10},            /* CYS: N CA CB SG */
    {0, 1, 3, 5, 11, 26},     /* GLN: N CA CB CG CD OE1 */
    {0, 1, 3, 5, 11, 26},     /* GLU: N CA CB CG CD OE1 */
    {0},                      /* GLY */
    {0, 1, 3, 5, 14},         /* HIS: N CA CB CG ND1 */
    {0, 1, 3, 6, 12},         /* ILE: N CA CB CG1 CD1 */
    {0, 1, 3, 5, 12},         /* LEU: N CA CB CG CD1 */
    {0, 1, 3, 5, 11, 19, 35}, /* LYS: N CA CB CG CD CE NZ */
    {0, 1, 3, 5, 18, 19},     /* MET: N CA CB CG SD CE */
    {0, 1, 3, 5, 12},         /* PHE: N CA CB CG CD1 */
    {0, 1, 3, 5, 11},         /* PRO: N CA CB CG CD */
    {0, 1, 3, 8},             /* SER: N CA CB OG */
    {0, 1, 3, 9},             /* THR: N CA CB OG1 */
    {0, 1, 3, 5, 12},         /* TRP: N CA CB CG CD1 */
    {0, 1, 3, 5, 12},         /* TYR: N CA CB CG CD1 */
    {0, 1, 3, 6},             /* VAL: N CA CB CG1 */
    {0},                      /* UNK */
};

const uint8_t chi_count[RESTYPE_COUNT] = {0, 4, 2, 2, 1, 3, 3, 0, 2, 2, 2,
                                          4, 3, 2, 2, 1, 1, 2, 2, 1, 0};

/* ASP chi2, GLU chi3, PHE chi2, TYR chi2. */
const int8_t chi_symmetric[RESTYPE_COUNT] = {-1, -1, -1, 1,  -1, -1, 2,  -1, -1, -1, -1,
                                             -1, -1, 1,  -1, -1, -1, -1, 1,  -1, -1};

const uint8_t hhblits_to_restype[SYMBOL_COUNT] = {0, 4,  3, 6, 13, 7,  8,  9,  11, 10, 12,
                                                  2, 14, 5, 1, 15, 16, 19, 17, 18, 20, 21};

/* A..Z; B reads as D, Z as E, U as C, J and O as X. */
static const int8_t hhblits_letters[26] = {0,  2,  1,  2,  3,  4,  5,  6, 7,  20, 8,  9,  10,
                                           11, 20, 12, 13, 14, 15, 16, 1, 17, 18, 20, 19, 3};

static const int8_t restype_letters[26] = {0, 20, 4,  3, 6, 13, 7,  8,  9,  20, 11, 10, 12,
                                           2, 20, 14, 5, 1, 15, 16, 20, 19, 17, 20, 18, 20};

static const char standard_codes[RESTYPE_COUNT - 1][4] = {
    "ALA", "ARG", "ASN", "ASP", "CYS", "GLN", "GLU", "GLY", "HIS", "ILE",
    "LEU", "LYS", "MET", "PHE", "PRO", "SER", "THR", "TRP", "TYR", "VAL",
};

enum { CODE_BYTES = 4, CODE_COUNT = (sizeof residue_codes - 1) / CODE_BYTES };

int residue_type(char letter)
{
    return letter >= 'A' && letter <= 'Z' ? restype_letters[letter - 'A'] : -1;
}

int hhblits_code(char letter)
{
    if (letter == '-')
        return SYMBOL_GAP;
    return letter >= 'A' && letter <= 'Z' ? hhblits_letters[letter - 'A'] : -1;
}

int alignment_symbol(char letter)
{
    int code = hhblits_code(letter);
    return code < 0 ? code : hhblits_to_restype[code];
}

char residue_letter(struct span code)
{
    if (code.size != 3)
        return 'X';
    size_t low = 0, high = CODE_COUNT;
    while (low < high) {
        size_t middle = (low + high) / 2;
        const char *entry = residue_codes + middle * CODE_BYTES;
        int order = memcmp(entry, code.data, 3);
        if (order == 0)
            return entry[3];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return 'X';
}

char residue_letter_standard(struct span code)
{
    for (int type = 0; code.size == 3 && type < RESTYPE_X; type++)
        if (memcmp(standard_codes[type], code.data, 3) == 0)
            return residue_letters[type];
    return 'X';
}

int atom37_find(struct span name)
{
    if (name.size == 0 || name.size > 3)
        return -1;
    /* Four bytes as one number: most names that are looked up are there, and near the front. */
    char padded[4] = {0};
    memcpy(padded, name.data, name.size);
    uint32_t wanted, found;
    memcpy(&wanted, padded, 4);
    for (int atom = 0; atom < ATOM37; atom++) {
        memcpy(&found, atom37_names[atom], 4);
        if (found == wanted)
            return atom;
    }
    return -1;
}

/* Facts about residues: letters, three-letter codes, atom names, and which atoms make up side
 * chains and their torsions. Everything that reads structures or alignments translates through
 * here. Orders are those of the AlphaFold 2 features: restypes ARNDCQEGHILKMFPSTWYV then X; atom37
 * from N CA C CB O to OXT; atom14 by residue type. */
#ifndef STAGES_BIO_RESIDUE_H
#define STAGES_BIO_RESIDUE_H

#include "engine/base/text.h"

#include <stdint.h>

enum {
    RESTYPE_X = 20,     /* unknown */
    RESTYPE_COUNT = 21, /* with X */
    SYMBOL_GAP = 21,    /* in alignments */
    SYMBOL_COUNT = 22,  /* with X and gap */
    ATOM37 = 37,
    ATOM14 = 14,
    CHI_MAX = 4,
    CHI_CHAIN = 7,    /* atoms that four torsions run over */
    RIGID_GROUPS = 8, /* backbone, 2 unused, psi, chi1..4 */
};

/* Numbers in atom37 that are named in code. */
enum {
    ATOM_N = 0,
    ATOM_CA = 1,
    ATOM_C = 2,
    ATOM_CB = 3,
    ATOM_O = 4,
    ATOM_CD = 11,
    ATOM_SD = 18,
    ATOM_NH1 = 29,
    ATOM_NH2 = 30
};

/* Numbers of residue types that are named in code. */
enum { RESTYPE_GLY = 7 };

/* "ARNDCQEGHILKMFPSTWYVX" */
extern const char residue_letters[RESTYPE_COUNT + 1];

/* The 37 atom names, upper case, without blanks. */
extern const char atom37_names[ATOM37][4];

/* atom14[type][k] is the atom37 number of the type's k-th atom, k < atom14_count[type]; beyond it
 * 0. */
extern const uint8_t atom14_to_atom37[RESTYPE_COUNT][ATOM14];
extern const uint8_t atom14_count[RESTYPE_COUNT];

/* The atom14 number that k exchanges with when the two names of a symmetric group are swapped (ASP,
 * GLU, PHE, TYR); k itself for all other atoms. */
extern const uint8_t atom14_swap[RESTYPE_COUNT][ATOM14];

/* Side-chain torsion k < chi_count[type] is the dihedral of chi_chain[type][k..k+3] (atom37). */
extern const uint8_t chi_chain[RESTYPE_COUNT][CHI_CHAIN];
extern const uint8_t chi_count[RESTYPE_COUNT];

/* The torsion that turning by 180 degrees does not change, or -1. */
extern const int8_t chi_symmetric[RESTYPE_COUNT];

/* HHblits symbol (0..21) to restype order (20 X, 21 gap). */
extern const uint8_t hhblits_to_restype[SYMBOL_COUNT];

/* 0..19, 20 for any other upper-case letter, -1 for everything else. */
int residue_type(char letter);

/* HHblits code of an upper-case letter or '-': 0..21; -1 for everything else. */
int hhblits_code(char letter);

/* As hhblits_code, in restype order. */
int alignment_symbol(char letter);

/* One letter for a three-letter code of the Chemical Component Dictionary as Biopython 1.80 maps
 * modified amino acids to their parents (MSE is M); 'X' when it is not among its 1,032 codes. */
char residue_letter(struct span code);

/* One letter for one of the 20 standard codes, 'X' for all others (MSE too). */
char residue_letter_standard(struct span code);

/* The atom37 number of an atom name without blanks, -1 when there is none. */
int atom37_find(struct span name);

#endif

/* What a structure file gives, whatever its format: chains with sequence and coordinates, and the
 * little of the header that training needs. Everything lies in the arena given to the reader, texts
 * partly in the file's own memory, which must stay as long. */
#ifndef STAGES_BIO_STRUCTURE_H
#define STAGES_BIO_STRUCTURE_H

#include "engine/base/arena.h"
#include "engine/base/error.h"
#include "engine/base/text.h"

#include <stdint.h>

/* No structure file is larger, unpacked. */
#define STRUCTURE_BYTES_MAX ((size_t)1 << 30)

enum {
    STRUCTURE_LENGTH_MAX = 1 << 16, /* residues in one chain */
    RESIDUE_ATOMS_MAX = 1024,       /* atoms in one residue, with hydrogens */
    RESIDUE_VARIANTS_MAX = 32,      /* point mutations of one residue */
};

struct structure_chain {
    struct span name;       /* author chain id */
    int length;             /* L */
    int resolved;           /* residues with any atom37 atom */
    const char *sequence;   /* [L] one-letter codes, X unknown; NUL-terminated */
    float *positions;       /* [L,37,3] Angstrom, 0 where absent; NULL when not asked for */
    uint8_t *mask;          /* [L,37] 0 or 1; NULL when not asked for */
    int32_t *residue_index; /* [L] 0..L-1; NULL when not asked for */
};

struct structure {
    struct structure_chain *chain;
    int chain_count;
    int atom_count;           /* atoms read, of the first model */
    float resolution;         /* Angstrom; 0 when the file has none */
    struct span release_date; /* "YYYY-MM-DD"; empty when the file has none */
    struct span method;       /* lower case; empty when the file has none */
};

/* What is wanted from a file. */
struct structure_wish {
    struct span chain; /* only this author chain; empty: all */
    bool coordinates;  /* false: names and sequences alone */
    /* mmCIF: false as the reference reads them; true where it is wrong: of several monomers under
     * one number the one that the coordinates are of gives the only letter; of two entities under
     * one author name the first stays, and atoms of the other are not mixed in; a protein chain
     * without atoms is left out, and does not cost the file. */
    bool corrected;
};

#endif

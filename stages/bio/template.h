/* One hit of a template search becomes template features of a chain (data path, sections 5.2 and
 * 5.4 to 5.6): is it worth a look, where does its string lie in the template's structure, and which
 * residue of the query gets which coordinates. Pure functions; realignment comes from the caller.
 */
#ifndef STAGES_BIO_TEMPLATE_H
#define STAGES_BIO_TEMPLATE_H

#include "stages/bio/hhr.h"
#include "stages/bio/structure.h"

#include <stdbool.h>

enum {
    TEMPLATE_LENGTH_MIN = 10, /* residues of a hit */
    TEMPLATE_ATOMS_MIN = 5,   /* atoms of all residues together: alanine has 5 */
    TEMPLATE_ENTRY_BYTES = 4,
};

/* Which entry and author chain a hit names: "1abc_A ..." is {"1abc", "A"}. STATUS_REFUSED: it is
 * not of that form. entry is written in lower case, with a NUL. */
enum status template_name(const struct hhr_hit *hit, char entry[TEMPLATE_ENTRY_BYTES + 1],
                          struct span *chain, struct error *err);

/* Section 5.2 without dates: STATUS_REFUSED when the hit aligns a tenth of the query or less, is
 * (nearly) the whole query, or is shorter than TEMPLATE_LENGTH_MIN. */
enum status template_worthwhile(const struct hhr_hit *hit, struct span query, struct error *err);

/* Numbers of hits in the order of section 5.3: Sum_probs falling, equal ones in file order. */
void template_order(const struct hhr_hit **hit, int count, int *order);

/* Aligns two sequences; writes both with '-' into the arena, of equal width. */
struct template_aligner {
    void *user;
    enum status (*align)(void *user, struct span first, struct span second, struct arena *arena,
                         struct span *first_row, struct span *second_row, struct error *err);
};

/* What is wanted from a hit. As the reference: residues that realignment lost get the template's
 * last one, and a query that is not in the chain counts from -1; else those stay unaligned, and
 * that is refused. */
struct template_wish {
    struct span query;               /* [L] the chain's letters */
    struct span chain;               /* author chain that the hit names */
    bool reference;                  /* as the reference, see below */
    struct template_aligner aligner; /* align NULL: hits that need it are refused */
};

struct template_features {
    char *sequence;   /* [L] the template's letter, '-' where unaligned */
    float *positions; /* [L,37,3] Angstrom, centred on the template chain's atoms; 0 where absent */
    uint8_t *mask;    /* [L,37] */
    bool realigned;
};

/* STATUS_REFUSED: the hit's string is nowhere in the structure and cannot be aligned to it, the
 * chain has no coordinates, or CA atoms of neighbours lie more than 150 Angstrom apart, or fewer
 * than TEMPLATE_ATOMS_MIN atoms are aligned; the text says which. STATUS_LIMIT: no memory. */
enum status template_make(const struct hhr_hit *hit, const struct structure *structure,
                          const struct template_wish *wish, struct arena *arena,
                          struct template_features *features, struct error *err);

#endif

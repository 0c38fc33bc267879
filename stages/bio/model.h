/* The first model of a structure file while it is read: residues under their author names, atoms
 * under their residue, alternate locations and point mutations settled as Biopython settles them
 * (StructureBuilder; data of the AlphaFold 2 reference pipeline depend on it). Used by the mmCIF
 * and the PDB reader. */
#ifndef STAGES_BIO_MODEL_H
#define STAGES_BIO_MODEL_H

#include "stages/bio/names.h"
#include "stages/bio/structure.h"

enum { MODEL_NAME_MAX = 8 }; /* bytes of an atom name, residue name or insertion code */

struct model_atom {
    char name[MODEL_NAME_MAX]; /* filled up with zeros */
    float position[3];
    float b_factor;
    double occupancy;
    int next;       /* in its variant, -1 at the end */
    bool alternate; /* has alternate locations */
};

/* One residue name at a residue's place: more than one at a point mutation. */
struct model_variant {
    char code[MODEL_NAME_MAX];
    int first, last; /* atoms, -1 when there are none */
    int atom_count;
    int next; /* variant of the same residue, -1 at the end */
};

struct model_residue {
    int first_variant, selected; /* variants */
    int chain;
    bool hetero;
};

struct model {
    struct arena *arena;
    struct names chains, keys; /* keys number the residues */
    struct model_residue *residue;
    struct model_variant *variant;
    struct model_atom *atom;
    int residue_capacity, variant_count, variant_capacity, atom_count, atom_capacity;
    int current; /* residue that atoms go to */
};

/* How a residue is named in its file. */
struct residue_id {
    struct span chain, code, insertion; /* insertion empty: none */
    int32_t number;
    bool hetero; /* HETATM */
};

void model_open(struct model *model, struct arena *arena);

/* Starts a residue, or goes back to one that was started before; atoms then go to it. reuse: a
 * hetero residue may come in two blocks (mmCIF: an error). Errors: STATUS_REFUSED for names longer
 * than MODEL_NAME_MAX, a point mutation of a residue without alternate locations; STATUS_LIMIT. */
enum status model_residue(struct model *model, const struct residue_id *id, bool reuse,
                          struct error *err);

/* Adds an atom to the current residue; atom->name, position, b_factor, occupancy and alternate are
 * given. Of alternate locations the one of highest occupancy stays, the first of equal ones.
 * STATUS_REFUSED: an atom without alternate location that is there already. */
enum status model_atom(struct model *model, const struct model_atom *atom, struct error *err);

/* Copies a name into its fixed form; false when it is empty or too long. */
bool model_name(struct span text, char name[MODEL_NAME_MAX]);
struct span model_name_span(const char name[MODEL_NAME_MAX]);

/* The code of the residue's selected variant, and its atom of that name or NULL. */
struct span model_code(const struct model *model, int residue);
const struct model_atom *model_find(const struct model *model, int residue, const char *name);

enum place_flag {
    PLACE_RENAME = 1, /* MSE's SE goes to SD; ARG's NH1 is the one nearer to CD */
};

/* Puts the selected variant's atoms into positions[37,3] and mask[37], which are zero; returns the
 * number of atoms put, and the highest b factor among them in *b_factor (may be NULL). */
int model_place(const struct model *model, int residue, unsigned flags, float *positions,
                uint8_t *mask, float *b_factor);

#endif

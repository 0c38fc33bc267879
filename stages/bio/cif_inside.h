/* What cif.c (reading) hands to cif_chains.c (chains from what was read). */
#ifndef STAGES_BIO_CIF_INSIDE_H
#define STAGES_BIO_CIF_INSIDE_H

#include "stages/bio/model.h"

/* Items that are used; those of atom_site first, the optional ones of the header last. */
enum cif_item {
    CIF_GROUP,
    CIF_ATOM_NAME,
    CIF_ALTERNATE,
    CIF_CODE,
    CIF_LABEL_CHAIN,
    CIF_LABEL_NUMBER,
    CIF_INSERTION,
    CIF_X,
    CIF_Y,
    CIF_Z,
    CIF_OCCUPANCY,
    CIF_B_FACTOR,
    CIF_AUTHOR_NUMBER,
    CIF_AUTHOR_CHAIN,
    CIF_MODEL,
    CIF_ATOM_ITEMS,
    CIF_SEQ_ENTITY = CIF_ATOM_ITEMS,
    CIF_SEQ_MONOMER,
    CIF_SEQ_NUMBER,
    CIF_COMPONENT_ID,
    CIF_COMPONENT_TYPE,
    CIF_ASYM_ID,
    CIF_ASYM_ENTITY,
    CIF_NEEDED_ITEMS,
    CIF_RELEASE_DATE = CIF_NEEDED_ITEMS,
    CIF_METHOD,
    CIF_RESOLUTION_REFINE,
    CIF_RESOLUTION_EM,
    CIF_RESOLUTION_REFLNS,
    CIF_ITEMS
};

extern const char *const cif_item_names[CIF_ITEMS];

/* The values of one item, in file order. */
struct cif_column {
    struct span *value;
    int count, capacity;
};

/* Where label residue (label_chain, label_number) stands in the model: noted when it changes from
 * one row to the next. */
struct cif_place {
    int label_chain;  /* number in cif.label_chains */
    int author_chain; /* number in cif.model.chains */
    int residue;      /* in cif.model */
    int32_t number;   /* label_seq_id */
    bool numbered;    /* label_seq_id is a number */
    int64_t line;
};

struct cif {
    struct arena *arena;
    struct cif_column column[CIF_ITEMS]; /* those of atom_site stay empty */
    struct model model;
    struct names label_chains;
    int *author_of; /* [label_chains.count] author chain that came last */
    int author_capacity;
    struct cif_place *place;
    int place_count, place_capacity;
    bool first_model_is_1; /* pdbx_PDB_model_num of the first row is "1" */
};

/* Fills *structure from what was read; errors as cif_read. */
enum status cif_chains(struct cif *cif, const struct structure_wish *wish,
                       struct structure *structure, struct error *err);

#endif

/* What the bench of the data path works on: files of a folder of golden cases (FOLDMILL_GOLDEN)
 * where there is one, else files of the same sizes that are made up; a chain's record as the fill
 * line would store it; and stages with settings. */
#ifndef TOOLS_FEATURE_INPUTS_H
#define TOOLS_FEATURE_INPUTS_H

#include "engine/stage.h"

#include <stdbool.h>

struct bench_folder {
    const char *golden; /* NULL: all is made up */
    const char *folder; /* of what is made up */
    struct arena *arena;
};

/* Opens the inputs; folder is there and may be written to. */
struct bench_folder bench_inputs(const char *folder, struct arena *arena);

/* Text of an mmCIF file: the golden `name`.cif, or `residues` residues in `models` models. */
struct span input_mmcif(const struct bench_folder *inputs, const char *name, int residues,
                        int models);

/* Paths, one a line, of the alignments of the golden case `name`, its files that end in suffix
 * (".a3m" or
 * ".sto"; NULL: both); or of one made-up file, A3M or Stockholm (suffix), of rows x length. Sets
 * *query to the letters of the first row. */
struct span input_alignment(const struct bench_folder *inputs, const char *name, const char *suffix,
                            int rows, int length, struct span *query);

/* Bytes of the files of paths. */
size_t input_bytes(struct span paths);

/* A sample with all that parse gives for a chain of these letters: coordinates of a made-up fold in
 * steps of 0.001 Angstrom, the atoms of the residue types. */
void input_chain(struct sample *sample, struct span query, struct arena *arena);

/* Adds four templates to a chain, of its own letters but one in three. */
void input_templates(struct sample *sample, struct span query, struct arena *arena);

/* The stage's state, opened with these settings, as a graph would give them. */
void *stage_make(const struct stage *stage, const char *settings, struct arena *arena);

#endif

/* Finds structure files: of a folder, of those of its subfolders that archives use, and the
 * alignments of families that lie beside them. */
#ifndef STAGES_LISTING_WALK_H
#define STAGES_LISTING_WALK_H

#include "stages/listing/memo.h"

/* A structure file. */
struct walk_file {
    const char *path;
    struct span stem; /* its name without folder and suffixes */
    struct stamp stamp;
    bool cif;           /* its name says mmCIF */
    bool sequences;     /* its name says FASTA */
    const char *family; /* alignment files that lie beside it, a line each */
};

struct walk {
    struct arena *arena; /* paths and lines stay in it */
    bool families;       /* alignment files beside structures count */
    void *user;
    void (*visit)(void *user, const struct walk_file *file);
};

/* Visits the file at path, whatever its name; or all files *.cif, *.mmcif, *.pdb, *.ent (also .gz)
 * of the folder, of its subfolders of two letters (PDB's archive: ab/1abc.cif.gz), and of the
 * folders pdb and cif in its other subfolders (OpenProteinSet: NAME/pdb/NAME.pdb), in the order of
 * their names. STATUS_INVALID: the folder has none; STATUS_IO: one that cannot be read. */
enum status walk_path(const struct walk *walk, const char *path, struct error *err);

#endif

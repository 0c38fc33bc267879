/* Names of chains from names of files: the key of the sample, and the PDB entry that the chain is
 * of. Files are named 1abc.cif (an entry), 1abc_A.pdb (a chain of one), pdb1abc.ent (an entry, as
 * the archive names it), d1abca_.ent (a SCOP domain), or anything else. */
#ifndef STAGES_BIO_CHAIN_NAME_H
#define STAGES_BIO_CHAIN_NAME_H

#include "engine/base/arena.h"
#include "engine/base/text.h"

struct chain_file {
    struct span stem; /* name of the file without its suffixes */
    bool cif;         /* mmCIF: a file is an entry */
    int chain_count;  /* in the file */
};

/* *entry: the PDB entry in lower case; the whole stem in lower case where it names none. *key:
 * ENTRY_CHAIN for mmCIF files; else the stem (its entry in lower case where it is 1abc_A), with
 * _CHAIN behind it when the file holds several chains. Both are texts in arena. */
void chain_name(const struct chain_file *file, struct span chain, struct arena *arena,
                const char **key, const char **entry);

#endif

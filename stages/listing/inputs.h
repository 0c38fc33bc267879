/* Which alignments and template hits a chain has of its own, as lines that stages/bio/input.h
 * reads, and the digests of their bytes. */
#ifndef STAGES_LISTING_INPUTS_H
#define STAGES_LISTING_INPUTS_H

#include "engine/stage.h"
#include "stages/bio/names.h"
#include "stages/listing/database.h"
#include "stages/listing/memo.h"

#include <xxhash.h>

/* The content of an input, which many chains may share. */
struct input_digest {
    struct memo_content content;
    bool known;
};

struct inputs {
    const struct param_paths *folders;
    struct names *held;            /* [folders] names of what each holds, read once */
    struct memo *memo;             /* digests from an earlier run; NULL: none */
    struct database database;      /* what the indices of alignment databases say */
    bool stamps;                   /* digests are of names, sizes and times, not of bytes */
    struct arena *arena, *scratch; /* for the whole listing; for the file in hand */
    struct names twins;            /* chains of which others have the same sequence */
    struct span *twins_line;       /* [twins.count] all of them, blanks between */
    int twins_room;
    struct names lines; /* whose digests are in digest[] */
    struct input_digest *digest;
    int digest_capacity;
};

/* A chain's inputs, a line each; "": none. */
struct chain_inputs {
    const char *alignment, *template_hits;
};

/* Reads which names the folders hold. STATUS_IO: one of them cannot be read; STATUS_LIMIT. */
enum status inputs_open(struct inputs *inputs, const struct param_paths *folders,
                        struct arena *arena, struct arena *scratch, struct error *err);

/* The name of a file says an alignment. */
bool inputs_is_alignment(struct span name);

/* Appends a line. */
void inputs_add(struct arena *arena, const char **lines, const char *line);

/* Reads which chains have the same sequence, as OpenProteinSet's duplicate_pdb_chains.txt says it:
 * a line for each sequence, its chains (1abc_A) with blanks between. STATUS_INVALID names the line:
 * a chain stands in two; STATUS_IO, STATUS_LIMIT. */
enum status inputs_twins(struct inputs *inputs, const char *path, struct error *err);

/* What the folders hold of the chain: files KEY.a3m (.sto, ..., .hhr), and those of the folder KEY
 * and of its subfolders a3m, sto and hhr, in the order of the files' names. uniprot_hits,
 * hmm_output and hmmsearch_output are no alignments of the chain, and left out. Behind them, what
 * the databases hold. A chain that has neither alignments nor hits takes those of the first of its
 * twins that has some. Keys have entries in lower case: where there is nothing, KEY is also tried
 * as stem, the name of the chain's file, writes it, and with the entry in capitals. Texts in the
 * arena. */
void inputs_find(struct inputs *inputs, const char *key, struct span stem,
                 struct chain_inputs *found);

/* Adds the indices of alignment databases. STATUS as database_read. */
enum status inputs_index(struct inputs *inputs, const struct param_paths *indices,
                         struct error *err);

/* An input's bytes (unpacked), read once, or known by the memo; with stamps, the hash is of the
 * line and the size and time of its file, and the bytes are those of the file or piece. STATUS as
 * input_read. */
enum status inputs_digest(struct inputs *inputs, struct span line, struct memo_content *content,
                          struct error *err);

#endif

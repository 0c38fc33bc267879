/* What a sample is made from: the digest over its files and over the names that choose from them,
 * by which a store knows whether a record is still good. */
#ifndef STAGES_LISTING_MADE_H
#define STAGES_LISTING_MADE_H

#include "stages/listing/inputs.h"

enum { MADE_DIGEST = 32 };

struct made {
    struct span structure; /* path of its file */
    struct memo_content content;
    struct span chain, row, key;
    struct span alignment, template_hits; /* lines of inputs */
};

/* What made_digest says of it. */
struct made_digest {
    char text[MADE_DIGEST]; /* XXH3-128, hexadecimal, over the hashes of all files and the names */
    struct span files;      /* a line for each file: the hash of its bytes, and its name (of a
                               piece: the piece's) */
    uint64_t bytes;         /* of all files, unpacked */
};

/* Texts lie in arena. STATUS as inputs_digest. */
enum status made_digest(const struct made *made, struct inputs *inputs, struct arena *arena,
                        struct made_digest *digest, struct error *err);

#endif

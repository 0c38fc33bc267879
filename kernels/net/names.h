/* Names of parameters in files that others wrote: the table from theirs to ours. Ours are those of
 * OpenFold's present code (`evoformer.blocks.0.msa_att_row.mha.linear_q.weight`); its published
 * weights have older ones. */
#ifndef FOLDMILL_KERNELS_NET_NAMES_H
#define FOLDMILL_KERNELS_NET_NAMES_H

#include <stdbool.h>
#include <stddef.h>

/* A name that begins with `found` begins with `ours` instead; # stands for the number of a block.
 * Rows are tried once each, in their order. */
struct name_rule {
    const char *found, *ours;
};

/* Ends with a row of NULL. */
extern const struct name_rule name_rules[];

/* What a parameter of this name is called here, into ours; a name that no row fits stays as it is.
 * false: the result needs more than ours_bytes. */
bool name_translate(const char *name, char *ours, size_t ours_bytes);

#endif

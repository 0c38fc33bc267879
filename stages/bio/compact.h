/* The compact form of a training sample: what crop sends and the trainer expands to features
 * (features.h). Symbols are bytes, masks bits, deletions and the counts of clusters are kept only
 * where there are any, because the bytes between the two are what a node of devices waits for. The
 * table below is its one definition: ports, readers and writers are made of it. */
#ifndef STAGES_BIO_COMPACT_H
#define STAGES_BIO_COMPACT_H

#include "engine/base/arena.h"
#include "engine/base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ARRAY(name, kind, sizes, "?" where it may be missing), SCALAR(name, kind, the same).
 * K residues, M cluster rows, E extra rows, T templates, P recycling passes; padding is 0.
 * W = (K+7)/8, S = M+1, U = E+1. Entries [start[p][m], start[p][m+1]) of a list belong to row m of
 * pass p: C bytes of cluster cells, D and F deletions.
 *
 * Without structure (FASTA, predict): no all_atom_*, resolution, is_distillation.
 * seq_length         residues in use; the first of them is residue crop_start of the chain
 * rows_cut           alignment rows that were left out at random, because there were too many
 * template_*         of the templates in use, template_count of them; aatype 0..21 (21 unaligned);
 *                    previous_*: the residue before the crop, which torsions reach back to
 * msa, true_msa      cluster rows after and before masking: 0..19 amino acids, 20 X, 21 gap,
 *                    22 [MASK]; msa_rows of them are in use
 * bert_mask          bit j%8 of byte j/8: the masked-MSA loss looks at column j
 * cluster_sizes      extra rows in each cluster
 * cluster_cells      the symbols of all rows in each cluster, its own included, and the sum of
 *                    their deletions: see compact_put
 * deletion_*         of the cluster rows: column rising within a row, count at least 1 */
#define COMPACT_FIELDS(ARRAY, SCALAR)                                                              \
    ARRAY(aatype, u8, "K", "")                                                                     \
    ARRAY(residue_index, i32, "K", "")                                                             \
    SCALAR(seq_length, i32, "")                                                                    \
    SCALAR(crop_start, i32, "")                                                                    \
    SCALAR(rows_cut, i32, "")                                                                      \
    ARRAY(all_atom_positions, f32, "K,37,3", "?")                                                  \
    ARRAY(all_atom_mask, u8, "K,37", "?")                                                          \
    SCALAR(resolution, f32, "?")                                                                   \
    SCALAR(is_distillation, f32, "?")                                                              \
    SCALAR(use_clamped_fape, f32, "")                                                              \
    SCALAR(template_count, i32, "")                                                                \
    ARRAY(template_aatype, u8, "T,K", "")                                                          \
    ARRAY(template_all_atom_positions, f32, "T,K,37,3", "")                                        \
    ARRAY(template_all_atom_mask, u8, "T,K,37", "")                                                \
    ARRAY(template_previous_positions, f32, "T,37,3", "")                                          \
    ARRAY(template_previous_mask, u8, "T,37", "")                                                  \
    ARRAY(template_sum_probs, f32, "T", "")                                                        \
    ARRAY(msa_rows, i32, "P", "")                                                                  \
    ARRAY(msa, u8, "P,M,K", "")                                                                    \
    ARRAY(true_msa, u8, "P,M,K", "")                                                               \
    ARRAY(bert_mask, u8, "P,M,W", "")                                                              \
    ARRAY(cluster_sizes, i32, "P,M", "")                                                           \
    ARRAY(cluster_start, i32, "P,S", "")                                                           \
    ARRAY(cluster_cells, u8, "C", "")                                                              \
    ARRAY(deletion_start, i32, "P,S", "")                                                          \
    ARRAY(deletion_column, i16, "D", "")                                                           \
    ARRAY(deletion_count, i32, "D", "")                                                            \
    ARRAY(extra_rows, i32, "P", "")                                                                \
    ARRAY(extra_msa, u8, "P,E,K", "")                                                              \
    ARRAY(extra_deletion_start, i32, "P,U", "")                                                    \
    ARRAY(extra_deletion_column, i16, "F", "")                                                     \
    ARRAY(extra_deletion_count, i32, "F", "")

/* Strings of these fields for a stage's port, of one sample or with a size B in front. */
#define COMPACT_ROW(name, kind, sizes, optional)          #name ":" #kind "[" sizes "]" optional,
#define COMPACT_SCALAR_ROW(name, kind, optional)          #name ":" #kind optional,
#define COMPACT_BATCH_ROW(name, kind, sizes, optional)    #name ":" #kind "[B," sizes "]" optional,
#define COMPACT_BATCH_SCALAR_ROW(name, kind, optional)    #name ":" #kind "[B]" optional,

typedef uint8_t compact_u8;
typedef int16_t compact_i16;
typedef int32_t compact_i32;
typedef float compact_f32;

enum {
    COMPACT_LENGTH_MAX = INT16_MAX, /* residues: a column is an i16 */
    COMPACT_DELETIONS = 23,         /* the "symbol" of a cell's deletions */
    COMPACT_CODE_MAX = 6,           /* bytes of a code, at most */
};

/* One sample; arrays are where they are: in a sample's fields, or in an arena. */
struct compact {
    int64_t size[26]; /* by the capital of the table, less 'A' */
#define COMPACT_MEMBER(name, kind, sizes, optional) compact_##kind *name;
#define COMPACT_SCALAR_MEMBER(name, kind, optional) compact_##kind *name;
    COMPACT_FIELDS(COMPACT_MEMBER, COMPACT_SCALAR_MEMBER)
};

static inline int64_t compact_size(const struct compact *compact, char capital)
{
    return compact->size[capital - 'A'];
}

/* A row of the table: text is as in a port without B, member the offset of its pointer. */
struct compact_field {
    const char *text;
    size_t member;
};
extern const struct compact_field compact_fields[]; /* ended by text NULL */

/* A code of a cluster's cell, which says that `count` of its rows hold `symbol`: the byte
 * symbol | (count - 1) << 5, or, from 8 on, symbol | 7 << 5 and then count - 8 in bytes of seven
 * bits, lowest first, with the eighth bit on all but the last. A cell is its COMPACT_DELETIONS
 * code, if its sum is not 0, and then codes of different symbols until all rows are told. Cells
 * follow in the order of their columns. Returns the end. */
static inline uint8_t *compact_put(uint8_t *to, uint32_t symbol, uint32_t count)
{
    if (count < 8) {
        *to++ = (uint8_t)(symbol | (count - 1) << 5);
        return to;
    }
    *to++ = (uint8_t)(symbol | 7 << 5);
    for (count -= 8; count >= 128; count >>= 7)
        *to++ = (uint8_t)(count | 128);
    *to++ = (uint8_t)count;
    return to;
}

/* Reads a code before end; false: it is cut off, or its count is above INT32_MAX. */
static inline bool compact_get(const uint8_t **from, const uint8_t *end, uint32_t *symbol,
                               uint32_t *count)
{
    if (*from == end)
        return false;
    uint8_t first = *(*from)++;
    *symbol = first & 31;
    *count = (first >> 5) + 1u;
    if (*count < 8)
        return true;
    uint64_t more = 0;
    for (int shift = 0; shift < 35; shift += 7) {
        if (*from == end)
            return false;
        uint8_t byte = *(*from)++;
        more |= (uint64_t)(byte & 127) << shift;
        if (byte < 128) {
            *count = (uint32_t)more + 8;
            return more <= INT32_MAX - 8;
        }
    }
    return false;
}

/* Holds what the arrays say against their sizes: everything that readers rely on, but the codes of
 * cells, which are checked as they are read. STATUS_INVALID names the field. */
enum status compact_check(const struct compact *compact, struct error *err);

#endif

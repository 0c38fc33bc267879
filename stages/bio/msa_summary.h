/* What each cluster of alignment rows holds (data path, section 7.6), in the crop's columns, as the
 * compact form keeps it: the symbols of its rows, byte-coded, and lists of deletions. Exact
 * integers. Which rows a cluster holds: msa_assign.h. */
#ifndef STAGES_BIO_MSA_SUMMARY_H
#define STAGES_BIO_MSA_SUMMARY_H

#include "stages/bio/compact.h"
#include "stages/bio/msa_sample.h"

/* Bytes that grow in an arena. */
struct byte_list {
    struct arena *arena;
    uint8_t *data;
    size_t size, room;
};

/* Deletions that grow in an arena: columns and counts side by side. */
struct deletion_list {
    struct arena *arena;
    int16_t *column;
    int32_t *count;
    size_t size, room;
};

/* Appends the cells of all clusters in columns [start, start + width) to cells: of each cluster
 * itself (after masking) and the extra rows assigned to it. start_of[clusters + 1] become the
 * places of the clusters in cells; sizes[clusters] the number of extra rows. Sums of deletions stay
 * at INT32_MAX. Scratch memory from arena. False: no memory, or more than SUMMARY_BYTES_MAX. */
bool msa_summarize(const struct msa_source *source, const struct msa_choice *choice,
                   const uint32_t *assignment, uint32_t start, uint32_t width, struct arena *arena,
                   struct byte_list *cells, int32_t *start_of, int32_t *sizes);

/* Appends the deletions of a row in columns [start, start + width), counted from start. False: as
 * above. */
bool msa_deletions(const struct msa_source *source, uint32_t row, uint32_t start, uint32_t width,
                   struct deletion_list *list);

#define SUMMARY_BYTES_MAX ((size_t)1 << 30)

#endif

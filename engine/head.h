/* The head of a line at work: its frozen list, the order of its positions, and the samples by key,
 * out of the list (a source's) or out of a store. */
#ifndef FOLDMILL_HEAD_H
#define FOLDMILL_HEAD_H

#include "engine/job.h"
#include "engine/list.h"
#include "engine/order.h"
#include "engine/store.h"

struct head {
    struct list *list;
    uint64_t length;        /* of an epoch: the list's, or the sink's `epoch_length` */
    uint64_t positions;     /* length, padded to whole steps */
    const char *store_path; /* NULL: samples come from the list */
    struct store *store;    /* NULL: not there yet */
    uint64_t recipe;        /* of the records that it reads; 0: any record will do */
};

/* Opens the list of a line, and its store where it has one and the store is there. Errors name the
 * file. */
enum status head_open(struct head **head, const struct job *job, int line, struct error *err);
void head_close(struct head *head);

/* What a record by that recipe of this sample of the list must have been made from. */
enum status head_made(const struct head *head, uint64_t recipe, uint64_t index, struct arena *arena,
                      struct store_made *made, struct error *err);

/* The order of an ordered line's positions, weighted where its sink says so. What weighing needs
 * (cluster_size and length of every sample) comes from the list, or, where a store is only read,
 * from its records. STATUS_INVALID: a sample does not say them; errors of reading. */
enum status head_order(struct head *head, const struct job *job, int line, bool shuffled,
                       struct arena *arena, struct order *order, struct error *err);

/* The sample of that key; those of its fields that are named in lazy (ended by NULL; may be NULL)
 * without data, where they come from a store. STATUS_MISS: the store does not have it (yet);
 * STATUS_REFUSED: it was refused when it should have been made, or its record is damaged; the text
 * says which. STATUS_INVALID: the key is not in the list. */
enum status head_read(struct head *head, struct span key, const char *const *lazy,
                      struct arena *arena, struct sample *sample, struct error *err);

/* For a filling line: position -> index in its list, in the order in which the lines that read its
 * store will want the records in their first epoch; then all others as listed. */
uint32_t *head_needs(const struct head *head, const struct job *job, int line, struct arena *arena);

#endif

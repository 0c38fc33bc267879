/* The head of a line at work: its frozen list, the order of its positions, and the samples by key,
 * out of the list (a source's) or out of a store. */
#ifndef FOLDMILL_HEAD_H
#define FOLDMILL_HEAD_H

#include "engine/job.h"
#include "engine/list.h"
#include "engine/order.h"
#include "engine/store.h"

/* Fields that run_lists.c puts into the lists of stores for the order: of which store of a mixture
 * a sample is, i32; beside cluster_size and length. */
#define HEAD_STORE_FIELD "store"

/* The field of a list's entry that says what work on the sample costs, f32, in any unit: a source
 * may give it (scan: the bytes of its inputs); of a record it is the bytes of its arrays. */
#define HEAD_COST_FIELD "cost"

struct head_store {
    const char *path;
    struct store *store; /* NULL: not there yet */
};

struct head {
    struct list *list;
    uint64_t positions; /* of an epoch, padded to whole steps */
    struct head_store stores[GRAPH_MIX_MAX];
    int store_count; /* 0: samples come from the list */
    uint64_t recipe; /* of the records that it reads; 0: any record will do */
};

/* Opens the list of a line, and its store where it has one and the store is there. Errors name the
 * file. */
enum status head_open(struct head **head, const struct job *job, int line, struct error *err);
void head_close(struct head *head);

/* What a record by that recipe of this sample of the list must have been made from. */
enum status head_made(const struct head *head, uint64_t recipe, uint64_t index, struct arena *arena,
                      struct store_made *made, struct error *err);

/* The sample of that key; those of its fields that are named in lazy (ended by NULL; may be NULL)
 * without data, where they come from a store. STATUS_MISS: the store does not have it (yet);
 * STATUS_REFUSED: it was refused when it should have been made, or its record is damaged; the text
 * says which. STATUS_INVALID: the key is not in the list. */
enum status head_read(struct head *head, struct span key, const char *const *lazy,
                      struct arena *arena, struct sample *sample, struct error *err);

/* The order of a line's positions (head_order.c): of an ordered sink, as its settings `weights` and
 * `epoch_length` and its mixture say. It follows from the settings and the frozen list alone.
 * STATUS_INVALID: the list does not say what weighing needs (cluster_size and length), or the sink
 * takes the list as it is, which cannot be weighted. */
enum status head_order(const struct job *job, int line, const struct list *list, bool shuffled,
                       struct arena *arena, struct order *order, struct error *err);

/* True when the line's sink wants its samples weighted by cluster_size and length. */
bool head_weighs(const struct job *job, int line);

/* Positions of an epoch of a line whose list has count samples, before padding. */
uint64_t head_length(const struct job *job, int line, uint64_t count);

/* (*leads)[sample]: by how many positions work on it is begun before its turn, so that what is dear
 * does not come last: while one process works on a sample that costs as much as n usual ones, all
 * of them together do n * processes positions. Follows from the list and the graph's `workers`
 * alone, and orders work only, never what a step takes. Memory is arena's, 6 bytes a sample. */
enum status head_leads(const struct head *head, const struct job *job, int line,
                       struct arena *arena, uint16_t **leads, struct error *err);

/* For a filling line: position -> index in its list, in the order in which the lines that read its
 * store will want the records in their first epoch; then all others as listed. */
uint32_t *head_needs(const struct head *head, const struct job *job, int line, struct arena *arena);

#endif

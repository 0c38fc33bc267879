/* The frozen list of a line: what its positions can name, made when a run starts and the same for
 * every process of it. A list file holds one wire frame a sample (for samples of a source all that
 * the first work stage needs; for records of a store the key and its split), sorted by key. */
#ifndef FOLDMILL_LIST_H
#define FOLDMILL_LIST_H

#include "engine/base/arena.h"
#include "engine/base/error.h"
#include "engine/base/text.h"
#include "engine/sample.h"
#include "engine/stage.h"

#include <stdint.h>

#define LIST_COUNT_MAX ((uint64_t)1 << 26) /* samples of a list */
#define LIST_BYTES_MAX ((size_t)1 << 36)   /* of a list file */

struct list_maker;

/* Starts a list; refuse (may be NULL) hears of inputs that cannot be used. */
struct list_maker *list_make(void *user,
                             void (*refuse)(void *user, const char *name, const char *reason));
/* What a source's list() is given. */
struct source *list_source(struct list_maker *maker);
/* Sorts by key and writes the file whole or not at all. STATUS_EMPTY: nothing was emitted. */
enum status list_write(struct list_maker *maker, const char *path, struct error *err);
void list_maker_close(struct list_maker *maker);

struct list;

/* Opens a list file; split: only samples whose text field "split" says that ("" or NULL: all).
 * STATUS_CORRUPT: damaged or not sorted; STATUS_LIMIT. */
enum status list_open(struct list **list, const char *path, const char *split, struct error *err);
void list_close(struct list *list);

uint64_t list_count(const struct list *list);
uint64_t list_hash(const struct list *list); /* XXH3-64 over the keys in order */
struct span list_key(const struct list *list, uint64_t index);
struct span list_frame(const struct list *list, uint64_t index);
/* The index of key, or UINT64_MAX. */
uint64_t list_find(const struct list *list, struct span key);

#endif

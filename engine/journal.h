/* The coordinator's file: records with a checksum each, appended and synced one by one, so that
 * what was answered is never forgotten. A torn last record is cut off; damage anywhere else is
 * an error. Each opening takes the next epoch by a file made with O_EXCL and rewrites the
 * journal under a new name (write, fsync, rename), so that a twin that is still alive appends to
 * a file that nobody reads, notices, and stops. */
#ifndef FOLDMILL_JOURNAL_H
#define FOLDMILL_JOURNAL_H

#include "engine/base/arena.h"
#include "engine/base/error.h"
#include "engine/base/text.h"

#include <stdint.h>

enum {
    JOURNAL_RECORD_MAX = 65536,   /* bytes of one record */
    JOURNAL_RECORDS_MAX = 1 << 22,
    JOURNAL_AHEAD = 256 << 10, /* bytes kept free behind its end */
    JOURNAL_HEADER_BYTES = 16,
    JOURNAL_FRAME_BYTES = 16,     /* before each record: length, number, checksum */
};

/* Reads journal bytes: calls give for every whole record, in order. *good: bytes up to the end
 * of the last whole record; what is behind it was torn. STATUS_CORRUPT: damage that is no torn
 * tail; STATUS_INVALID: no journal, or of another version. An empty input is an empty journal. */
enum status journal_scan(struct span bytes,
                         enum status (*give)(void *user, struct span record, struct error *err),
                         void *user, size_t *good, struct error *err);

/* Reads the newest journal of folder without taking its epoch, also while a run writes it: for
 * those who only look. No journal at all is an empty one. Status as journal_scan, or STATUS_IO. */
enum status journal_read(const char *folder,
                         enum status (*give)(void *user, struct span record, struct error *err),
                         void *user, struct error *err);

struct journal;

/* Opens the journal of folder, taking the next epoch (from 1). STATUS_BUSY: another coordinator
 * took it at the same moment. Every record is given in order; then the caller asks
 * journal_compact with what is still needed, which must come before the first append. */
enum status journal_open(struct journal **journal, const char *folder,
                         enum status (*give)(void *user, struct span record, struct error *err),
                         void *user, struct error *err);
uint32_t journal_epoch(const struct journal *journal);

/* Rewrites the journal as what `dump` gives to its callback. */
enum status journal_compact(struct journal *journal,
                            enum status (*dump)(void *user, struct journal *journal,
                                                struct error *err),
                            void *user, struct error *err);
/* Inside dump: adds a record to the file that is being written. */
enum status journal_add(struct journal *journal, struct span record, struct error *err);

/* Appends and syncs. STATUS_BUSY: another coordinator has taken over, this one must end;
 * STATUS_IO, STATUS_FULL: not durable, and nothing may be answered. After an error the journal
 * takes nothing more. */
enum status journal_append(struct journal *journal, struct span record, struct error *err);

void journal_close(struct journal *journal);

#endif

/* The coordinator with its journal: what a run has promised, read from disk and written to it. The
 * engine opens it for as long as it runs; a command that changes a run that is stopped opens it for
 * a moment. */
#ifndef FOLDMILL_LEDGER_H
#define FOLDMILL_LEDGER_H

#include "engine/coordinate.h"
#include "engine/job.h"
#include "engine/journal.h"

struct ledger {
    struct journal *journal;
    struct coordinate *coordinate;
};

/* Reads the journal of the job's folder, compacts it and takes its next epoch. What lies in memory
 * lies in arena. Call ledger_close after errors too. Status as journal_open and coordinate_open. */
enum status ledger_open(struct ledger *ledger, struct job *job, uint64_t inc, struct arena *arena,
                        struct error *err);
void ledger_close(struct ledger *ledger);

/* Where the coordinator's records become durable. */
struct durable_log ledger_log(struct ledger *ledger);

#endif

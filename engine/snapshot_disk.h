/* A snapshot of a run that nobody runs now: what stands on disk. */
#ifndef FOLDMILL_SNAPSHOT_DISK_H
#define FOLDMILL_SNAPSHOT_DISK_H

#include "engine/job.h"
#include "engine/snapshot.h"

/* Reads the journal and the stores. Errors name the file that is damaged. */
enum status snapshot_from_disk(const struct job *job, struct snapshot *snapshot, struct error *err);

#endif

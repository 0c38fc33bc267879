/* What people ask of a running engine over its control socket. */
#include "engine/run_count.h"

#include <string.h>

static enum status do_status(struct run *run, FILE *body)
{
    static struct snapshot snapshot;
    run_snapshot(run, &snapshot);
    snapshot_write(&snapshot, body);
    return STATUS_OK;
}

static enum status handle(void *user, const char *const *words, int count, FILE *body,
                          struct error *err)
{
    struct run *run = user;
    if (count == 1 && strcmp(words[0], "status") == 0)
        return do_status(run, body);
    return error_set(err, STATUS_INVALID,
                     "this engine (" FOLDMILL_VERSION ") does not know the request '%.64s' with "
                     "%d arguments",
                     words[0], count - 1);
}

enum status run_control_open(struct run *run, struct error *err)
{
    return control_open(&run->control, run->dir.sockets, handle, run, err);
}

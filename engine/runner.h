/* One opened stage: its state, and its ports checked on every sample that goes in or comes out.
 * Workers, sinks and replay run stages through this, so a stage behaves the same everywhere. */
#ifndef FOLDMILL_RUNNER_H
#define FOLDMILL_RUNNER_H

#include "engine/port.h"
#include "engine/stage.h"

struct runner {
    const struct stage *stage;
    void *state; /* settings are in it before runner_open */
    struct stage_context *context;
    struct port_table in, out;
    bool opened;
};

/* Reads the ports and calls the stage's open. Everything is borrowed. */
enum status runner_open(struct runner *runner, const struct stage *stage, void *state,
                        struct stage_context *context, struct error *err);
void runner_close(struct runner *runner);

/* Feeds one sample. Work stages: the result has in's key and, for STAGE_PASS, in's fields too.
 * STATUS_INVALID also when a sample does not fit a port; else what the stage says. */
enum status runner_feed(struct runner *runner, const struct work *work, const struct sample *in,
                        struct sample *out, struct arena *arena, struct error *err);

/* What runner_feed would give, had the stage (STAGE_PASS) made the fields that are in *out already.
 * STATUS_INVALID: they do not fit its port. */
enum status runner_pass(struct runner *runner, const struct sample *in, struct sample *out,
                        struct error *err);

/* A gather stage's incomplete last batch (STATUS_EMPTY: none), checked as it comes out. */
enum status runner_drain(struct runner *runner, const struct work *work, struct sample *out,
                         struct arena *arena, struct error *err);

#endif

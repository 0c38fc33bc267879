/* Running a stage; see runner.h. */
#include "engine/runner.h"

#include <string.h>

enum status runner_open(struct runner *runner, const struct stage *stage, void *state,
                        struct stage_context *context, struct error *err)
{
    *runner = (struct runner){.stage = stage, .state = state, .context = context};
    enum status status = port_open(&stage->in, &runner->in, err);
    struct port out = stage->gives ? stage->gives(state, context->arena) : stage->out;
    if (status == STATUS_OK)
        status = port_open(&out, &runner->out, err);
    bool keeps = stage->flags & (STAGE_PASS | STAGE_SINK | STAGE_GATHER);
    if (status == STATUS_OK && (runner->out.lazy[0] || (keeps && runner->in.lazy[0])))
        status = error_set(err, STATUS_INVALID, "%s: lazy fields are for the in ports of stages "
                           "that keep nothing of their input", stage->name);
    if (status == STATUS_OK && stage->open)
        status = stage->open(state, context, err);
    runner->opened = status == STATUS_OK;
    return status;
}

void runner_close(struct runner *runner)
{
    if (runner->opened && runner->stage->close)
        runner->stage->close(runner->state);
    runner->opened = false;
}

/* What a stage of the kind STAGE_PASS did not touch goes on as it came. */
static enum status pass_fields(const struct sample *in, struct sample *out, struct error *err)
{
    for (int i = 0; i < in->field_count; i++) {
        if (sample_find(out, in->fields[i].name))
            continue;
        enum status status = sample_put(out, &in->fields[i], err);
        if (status != STATUS_OK)
            return status;
    }
    return STATUS_OK;
}

static enum status check_out(struct runner *runner, const struct sample *out, struct error *err)
{
    enum status status = port_check(&runner->out, out, err);
    if (status != STATUS_OK)
        error_prefix(err, "%s gave a sample that does not fit its own port", runner->stage->name);
    return status;
}

/* A record of a fill line says of each field which stage it is from, by the ports. */
static enum status check_named(const struct runner *runner, const struct sample *out,
                               struct error *err)
{
    for (int i = 0; i < out->field_count; i++) {
        bool named = runner->out.count == 0;
        for (int k = 0; k < runner->out.count && !named; k++)
            named = strcmp(runner->out.field[k].name, out->fields[i].name) == 0;
        if (!named)
            return error_set(err, STATUS_INVALID, "%s gave the field %s, which its out port does "
                             "not name", runner->stage->name, out->fields[i].name);
    }
    return STATUS_OK;
}

enum status runner_pass(struct runner *runner, const struct sample *in, struct sample *out,
                        struct error *err)
{
    enum status status = pass_fields(in, out, err);
    return status == STATUS_OK ? check_out(runner, out, err) : status;
}

enum status runner_feed(struct runner *runner, const struct work *work, const struct sample *in,
                        struct sample *out, struct arena *arena, struct error *err)
{
    const struct stage *stage = runner->stage;
    enum status status = in ? port_check(&runner->in, in, err) : STATUS_OK; /* a rank's, empty */
    if (status != STATUS_OK)
        return status;
    if (stage->flags & STAGE_SINK)
        return stage->feed(runner->state, work, in, NULL, arena, err);
    out->field_count = 0;
    out->source = NULL;
    memcpy(out->key, in->key, sizeof out->key);
    status = stage->feed(runner->state, work, in, out, arena, err);
    if (status != STATUS_OK)
        return status;
    if (stage->flags & STAGE_GATHER)
        return check_out(runner, out, err);
    if (strcmp(out->key, in->key) != 0)
        return error_set(err, STATUS_INVALID, "%s made \"%s\" out of \"%s\"", stage->name, out->key,
                         in->key);
    if (!(stage->flags & STAGE_PASS))
        return check_out(runner, out, err);
    status = check_named(runner, out, err);
    return status == STATUS_OK ? runner_pass(runner, in, out, err) : status;
}

enum status runner_drain(struct runner *runner, const struct work *work, struct sample *out,
                         struct arena *arena, struct error *err)
{
    if (!runner->stage->drain)
        return STATUS_EMPTY;
    out->field_count = 0;
    enum status status = runner->stage->drain(runner->state, work, out, arena, err);
    return status == STATUS_OK ? check_out(runner, out, err) : status;
}

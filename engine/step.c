/* Making steps; see step.h. */
#include "engine/step.h"

#include <xxhash.h>

static uint64_t digest_of(const struct sample *const *samples, uint32_t count)
{
    XXH3_state_t *state = XXH3_createState();
    ASSERT(state);
    XXH3_64bits_reset(state);
    for (uint32_t i = 0; i < count; i++) {
        uint64_t digest = samples[i] ? sample_digest(samples[i]) : 0;
        XXH3_64bits_update(state, &digest, sizeof digest);
    }
    uint64_t digest = XXH3_64bits_digest(state);
    XXH3_freeState(state);
    return digest;
}

enum status step_make(struct runner *gather, const struct work *work,
                      const struct sample *const *samples, uint32_t count, struct sample *out,
                      uint64_t *digest, struct arena *arena, struct error *err)
{
    *digest = digest_of(samples, count);
    if (!gather) {
        ASSERT_INT(count, ==, 1);
        if (samples[0])
            *out = *samples[0];
        return samples[0] ? STATUS_OK : STATUS_EMPTY;
    }
    enum status status = STATUS_EMPTY;
    for (uint32_t i = 0; i < count; i++) {
        if (!samples[i])
            continue;
        if (status == STATUS_OK)
            return error_set(err, STATUS_INVALID,
                             "%s said that the batch was complete before its last sample",
                             gather->stage->name);
        status = runner_feed(gather, work, samples[i], out, arena, err);
        if (status != STATUS_OK && status != STATUS_EMPTY)
            return error_prefix(err, "%s", samples[i]->key), status;
    }
    return status == STATUS_EMPTY ? runner_drain(gather, work, out, arena, err) : status;
}

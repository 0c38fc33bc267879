/* Making steps; see step.h. */
#include "engine/step.h"

#include <xxhash.h>

uint64_t step_digest(const uint64_t *digests, uint32_t count)
{
    return XXH3_64bits(digests, count * sizeof *digests);
}

enum status step_make(struct runner *gather, const struct work *work,
                      const struct sample *const *samples, uint32_t count, struct sample *out,
                      uint64_t *digest, struct arena *arena, struct error *err)
{
    uint64_t *digests = arena_alloc(arena, (count + 1) * sizeof *digests);
    enum status status = step_share(gather, work, samples, count, out, digests, arena, err);
    *digest = step_digest(digests, count);
    return status;
}

enum status step_share(struct runner *gather, const struct work *work,
                       const struct sample *const *samples, uint32_t count, struct sample *out,
                       uint64_t *digests, struct arena *arena, struct error *err)
{
    for (uint32_t i = 0; i < count; i++)
        digests[i] = samples[i] ? sample_digest(samples[i]) : 0;
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

/* The state of a training checkpoint as bytes; see saved.h. Little-endian, 8-byte members only. */
#include "stages/learn/saved.h"

#include <string.h>

struct saved_head {
    uint64_t version, config_bytes, step, epoch, position, journal_bytes;
};

struct span saved_pack(const struct saved *saved, struct arena *arena)
{
    struct saved_head head = {.version = SAVED_VERSION,
                              .config_bytes = sizeof saved->config,
                              .step = saved->position.step,
                              .epoch = saved->position.epoch,
                              .position = saved->position.position,
                              .journal_bytes = saved->position.journal_size};
    size_t size = sizeof head + sizeof saved->config + saved->position.journal_size;
    char *bytes = arena_alloc(arena, size);
    memcpy(bytes, &head, sizeof head);
    memcpy(bytes + sizeof head, &saved->config, sizeof saved->config);
    if (head.journal_bytes)
        memcpy(bytes + sizeof head + sizeof saved->config, saved->position.journal,
               saved->position.journal_size);
    return (struct span){bytes, size};
}

enum status saved_unpack(struct span state, struct saved *saved, struct error *err)
{
    struct saved_head head;
    if (state.size < sizeof head + sizeof saved->config)
        return error_set(err, STATUS_INVALID, "a state of %zu bytes, at least %zu are wanted",
                         state.size, sizeof head + sizeof saved->config);
    memcpy(&head, state.data, sizeof head);
    if (head.version != SAVED_VERSION || head.config_bytes != sizeof saved->config)
        return error_set(err, STATUS_INVALID,
                         "state version %llu with %llu bytes of settings; this program reads "
                         "version %d with %zu: train with the program that wrote it, or anew",
                         (unsigned long long)head.version, (unsigned long long)head.config_bytes,
                         SAVED_VERSION, sizeof saved->config);
    if (head.journal_bytes != state.size - sizeof head - sizeof saved->config)
        return error_set(err, STATUS_INVALID, "a journal of %llu bytes does not fit %zu bytes",
                         (unsigned long long)head.journal_bytes, state.size);
    memcpy(&saved->config, state.data + sizeof head, sizeof saved->config);
    saved->position = (struct sink_position){
        .step = head.step,
        .epoch = head.epoch,
        .position = head.position,
        .journal = state.data + sizeof head + sizeof saved->config,
        .journal_size = (size_t)head.journal_bytes,
    };
    return STATUS_OK;
}

const char *saved_folder(const char *run_dir, struct arena *arena)
{
    return arena_printf(arena, "%s/checkpoints", run_dir);
}

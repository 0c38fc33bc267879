/* Records of the coordinator as bytes of its journal; see coordinate.h. */
#include "engine/bytes.h"
#include "engine/coordinate.h"

#include <string.h>

enum { RECORD_FIXED = 56 };

static bool names_sample(enum durable_type type)
{
    return type == DURABLE_ASIDE || type == DURABLE_REQUEUE;
}

size_t durable_encode(const struct durable_record *record,
                      unsigned char bytes[COORDINATE_RECORD_MAX])
{
    put_u16(bytes, (uint16_t)record->type);
    put_u16(bytes + 2, record->line);
    put_u32(bytes + 4, record->gen);
    put_u64(bytes + 8, record->seq);
    put_u64(bytes + 16, record->digest);
    put_u32(bytes + 24, (uint32_t)record->cause);
    put_u32(bytes + 28, 0);
    start_encode(&record->start, bytes + 32);
    if (!names_sample(record->type))
        return RECORD_FIXED;
    unsigned char aside[ASIDE_BYTES_MAX];
    size_t size = aside_encode(&record->aside, aside);
    memcpy(bytes + RECORD_FIXED, aside, size);
    return RECORD_FIXED + size;
}

enum status durable_decode(struct span bytes, struct durable_record *record, struct error *err)
{
    const unsigned char *data = (const unsigned char *)bytes.data;
    if (bytes.size < RECORD_FIXED || bytes.size > COORDINATE_RECORD_MAX)
        return error_set(err, STATUS_INVALID, "a record of %zu bytes", bytes.size);
    unsigned type = get_u16(data), cause = get_u32(data + 24);
    if (type < DURABLE_LINE || type >= DURABLE_TYPES || cause >= CAUSES ||
        get_u16(data + 2) >= COORDINATE_LINES_MAX ||
        (!names_sample((enum durable_type)type) && bytes.size != RECORD_FIXED))
        return error_set(err, STATUS_INVALID, "a record of type %u, line %u: not known", type,
                         get_u16(data + 2));
    *record = (struct durable_record){.type = (enum durable_type)type,
                                      .line = get_u16(data + 2),
                                      .gen = get_u32(data + 4),
                                      .seq = get_u64(data + 8),
                                      .digest = get_u64(data + 16),
                                      .cause = (enum cause)cause};
    enum status status =
        start_decode((struct span){bytes.data + 32, START_BYTES}, &record->start, err);
    if (status == STATUS_OK && names_sample(record->type))
        status = aside_decode((struct span){bytes.data + RECORD_FIXED, bytes.size - RECORD_FIXED},
                              &record->aside, err);
    return status;
}

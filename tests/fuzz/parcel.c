/* Fuzzes putting parcels together. Input: records of 12 bytes (what to do, peer, item, size u16,
 * total u16, id, offset u16, digest right or wrong, fill) that become parts, ticks and peers that
 * leave. Totals and offsets are scaled so that small inputs reach all limits. What comes out whole
 * must have the size that it said; memory must stay below the bound and be given back. */
#include "engine/base/digest.h"
#include "engine/bytes.h"
#include "engine/parcel.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { RECORD = 12, BOUND = 1 << 20 };

static size_t in_use;

static bool take(void *user, size_t bytes, struct parcel_block *block)
{
    (void)user;
    if (in_use + bytes > BOUND - 4096)
        return false; /* now and then there is no room though the bound allows it */
    block->data = malloc(bytes);
    in_use += bytes;
    return block->data != NULL;
}

static void drop(void *user, struct parcel_block *block)
{
    (void)user;
    free(block->data);
    in_use -= block->bytes;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static unsigned char bytes[PARCEL_HEAD_BYTES + PARCEL_PART_BYTES + 64];
    struct parcel_room room = {NULL, take, drop};
    struct parcels *parcels = parcels_open(BOUND, &room);
    int64_t now = 0;
    for (; size >= RECORD; data += RECORD, size -= RECORD) {
        struct message part = {.type = MESSAGE_OUT,
                               .flags = MESSAGE_PART,
                               .peer = data[1] % 3,
                               .seq = data[2] % 4,
                               .attempt = data[2] >> 6,
                               .payload = bytes};
        uint32_t scale = data[0] & 8 ? 1024 : 1;
        now += data[0] & 16 ? 100 : 0;
        if ((data[0] & 7) == 7) {
            parcels_forget(parcels, part.peer);
            continue;
        }
        parcels_tick(parcels, now);
        part.size = get_u16(data + 3) * scale % sizeof bytes;
        part.offset = get_u16(data + 8) * scale;
        put_u32(bytes, data[0] & 32 ? UINT32_MAX - data[5] : get_u16(data + 5) * scale);
        put_u32(bytes + 4, data[7]);
        memset(bytes + PARCEL_HEAD_BYTES, data[11], sizeof bytes - PARCEL_HEAD_BYTES);
        uint64_t digest = 0; /* right for a parcel of one part */
        if (part.size > PARCEL_HEAD_BYTES && data[10] & 1)
            digest = digest_bytes(bytes + PARCEL_HEAD_BYTES, part.size - PARCEL_HEAD_BYTES);
        put_u64(bytes + 8, digest);
        struct parcel whole;
        if (parcels_take(parcels, &part, now, &whole) == STATUS_OK) {
            ASSERT(whole.message.size == get_u32(bytes) && !(whole.message.flags & MESSAGE_PART));
            ASSERT(whole.block.data[whole.message.size - 1] == data[11]);
            parcel_free(parcels, &whole);
        }
        struct parcel_counts counts = parcels_count(parcels);
        ASSERT(counts.bytes == in_use && in_use <= BOUND && counts.begun <= PARCELS_MAX);
    }
    parcels_close(parcels);
    ASSERT(in_use == 0);
    return 0;
}

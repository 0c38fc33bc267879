/* Putting parcels together; see parcel.h. */
#include "engine/parcel.h"

#include "engine/base/digest.h"
#include "engine/bytes.h"

#include <stdlib.h>
#include <string.h>

struct partial {
    struct message first; /* which item, from whom; no payload */
    struct parcel_block block;
    struct digest digest; /* of what came */
    uint32_t id, got;
    int64_t heard_ms;
};

struct parcels {
    struct parcel_room room;
    size_t bytes_max;
    struct parcel_counts counts;
    struct partial partial[PARCELS_MAX]; /* the first counts.begun are in use */
};

static bool take_memory(void *user, size_t bytes, struct parcel_block *block)
{
    (void)user;
    block->data = malloc(bytes);
    return block->data != NULL;
}

static void drop_memory(void *user, struct parcel_block *block)
{
    (void)user;
    free(block->data);
}

struct parcels *parcels_open(size_t bytes_max, const struct parcel_room *room)
{
    struct parcels *parcels = calloc(1, sizeof *parcels);
    ASSERT(parcels);
    parcels->room = room ? *room : (struct parcel_room){NULL, take_memory, drop_memory};
    parcels->bytes_max = bytes_max;
    return parcels;
}

/* Takes one out of the table, without its memory. */
static void remove_partial(struct parcels *parcels, struct partial *partial)
{
    parcels->counts.bytes -= partial->block.bytes;
    *partial = parcels->partial[--parcels->counts.begun];
}

static void give_up(struct parcels *parcels, struct partial *partial)
{
    parcels->room.drop(parcels->room.user, &partial->block);
    parcels->counts.lost++;
    remove_partial(parcels, partial);
}

void parcels_close(struct parcels *parcels)
{
    if (!parcels)
        return;
    while (parcels->counts.begun)
        give_up(parcels, parcels->partial);
    free(parcels);
}

static struct partial *find(struct parcels *parcels, const struct message *part)
{
    for (int i = 0; i < parcels->counts.begun; i++) {
        struct partial *partial = &parcels->partial[i];
        if (partial->first.peer == part->peer && partial->first.type == part->type &&
            partial->first.stage == part->stage && message_same_item(&partial->first, part))
            return partial;
    }
    return NULL;
}

static enum status begin(struct parcels *parcels, const struct message *part, uint32_t total,
                         struct partial **begun)
{
    struct parcel_block block = {.bytes = total};
    if (parcels->counts.begun == PARCELS_MAX || total > parcels->bytes_max - parcels->counts.bytes)
        return STATUS_FULL;
    if (!parcels->room.take(parcels->room.user, total, &block))
        return STATUS_FULL;
    parcels->counts.bytes += total;
    *begun = &parcels->partial[parcels->counts.begun++];
    **begun = (struct partial){.first = *part, .block = block};
    digest_begin(&(*begun)->digest);
    (*begun)->first.payload = NULL;
    return STATUS_OK;
}

static enum status finish(struct parcels *parcels, struct partial *partial, uint64_t digest,
                          struct parcel *whole)
{
    if (digest_end(&partial->digest) != digest) {
        give_up(parcels, partial);
        return STATUS_CORRUPT;
    }
    *whole = (struct parcel){.message = partial->first, .digest = digest, .block = partial->block};
    whole->message.flags &= (uint16_t)~MESSAGE_PART;
    whole->message.offset = 0;
    whole->message.size = (uint32_t)partial->block.bytes;
    whole->message.payload = partial->block.data;
    parcels->counts.whole++;
    remove_partial(parcels, partial);
    return STATUS_OK;
}

enum status parcels_take(struct parcels *parcels, const struct message *part, int64_t now_ms,
                         struct parcel *whole)
{
    ASSERT(part->flags & MESSAGE_PART);
    struct partial *partial = find(parcels, part);
    const unsigned char *bytes = part->payload;
    if (part->size <= PARCEL_HEAD_BYTES || part->size > PARCEL_HEAD_BYTES + PARCEL_PART_BYTES)
        return STATUS_INVALID;
    uint32_t total = get_u32(bytes), id = get_u32(bytes + 4), size = part->size - PARCEL_HEAD_BYTES;
    if (total > PARCEL_BYTES_MAX || part->offset >= total || size > total - part->offset)
        return STATUS_INVALID;
    if (size < total - part->offset && size % DIGEST_PIECE)
        return STATUS_INVALID; /* only the last part may have any size */
    if (partial &&
        (partial->id != id || partial->got != part->offset || partial->block.bytes != total)) {
        give_up(parcels, partial);
        partial = NULL;
    }
    if (!partial && part->offset != 0)
        return STATUS_MISS;
    if (!partial) {
        enum status status = begin(parcels, part, total, &partial);
        if (status != STATUS_OK)
            return status;
        partial->id = id;
    }
    digest_add(&partial->digest, partial->block.data + partial->got, bytes + PARCEL_HEAD_BYTES,
               size);
    partial->got += size;
    partial->heard_ms = now_ms;
    if (partial->got < total)
        return STATUS_EMPTY;
    return finish(parcels, partial, get_u64(bytes + 8), whole);
}

void parcel_free(struct parcels *parcels, struct parcel *whole)
{
    if (whole->block.data)
        parcels->room.drop(parcels->room.user, &whole->block);
    *whole = (struct parcel){0};
}

void parcels_tick(struct parcels *parcels, int64_t now_ms)
{
    for (int i = parcels->counts.begun - 1; i >= 0; i--)
        if (now_ms - parcels->partial[i].heard_ms >= PARCEL_SILENT_MS)
            give_up(parcels, &parcels->partial[i]);
}

void parcels_forget(struct parcels *parcels, uint32_t peer)
{
    for (int i = parcels->counts.begun - 1; i >= 0; i--)
        if (parcels->partial[i].first.peer == peer)
            give_up(parcels, &parcels->partial[i]);
}

uint32_t parcels_held(const struct parcels *parcels, struct held *held, uint32_t max)
{
    uint32_t count = 0;
    for (int i = 0; i < parcels->counts.begun && count < max; i++) {
        const struct message *first = &parcels->partial[i].first;
        held[count++] = (struct held){first->seq, first->gen, first->attempt};
    }
    return count;
}

struct parcel_counts parcels_count(const struct parcels *parcels)
{
    return parcels->counts;
}

/* Sending parcels in parts; see parcel.h. */
#include "engine/parcel.h"

#include "engine/base/digest.h"
#include "engine/bytes.h"

#include <stdlib.h>
#include <string.h>

struct sending {
    struct message message;
    struct parcel_source source;
    struct digest digest; /* of the first `digested` bytes */
    size_t sent, digested;
    uint32_t id;
    uint32_t busy_turn; /* the turn in which its peer took no more */
    int64_t moved_ms;
};

struct outgoing {
    size_t bytes, bytes_max;
    int count, next; /* next: whose turn it is */
    uint32_t last_id, turn;
    uint64_t dropped;
    struct sending sending[PARCELS_MAX];
    unsigned char part[PARCEL_HEAD_BYTES + PARCEL_PART_BYTES];
};

struct outgoing *outgoing_open(size_t bytes_max)
{
    struct outgoing *outgoing = calloc(1, sizeof *outgoing);
    ASSERT(outgoing);
    outgoing->bytes_max = bytes_max;
    return outgoing;
}

static void end(struct outgoing *outgoing, int at, bool sent)
{
    struct sending *sending = &outgoing->sending[at];
    struct parcel_source source = sending->source;
    outgoing->bytes -= source.bytes;
    outgoing->dropped += !sent;
    *sending = outgoing->sending[--outgoing->count];
    if (source.done)
        source.done(source.user, sent);
}

void outgoing_close(struct outgoing *outgoing)
{
    if (!outgoing)
        return;
    while (outgoing->count)
        end(outgoing, 0, false);
    free(outgoing);
}

enum status outgoing_add(struct outgoing *outgoing, const struct message *message,
                         struct parcel_source source, int64_t now_ms)
{
    ASSERT(source.bytes > 0 && source.bytes <= PARCEL_BYTES_MAX);
    size_t left = outgoing->bytes < outgoing->bytes_max ? outgoing->bytes_max - outgoing->bytes : 0;
    if (outgoing->count == PARCELS_MAX || (outgoing->count && source.bytes > left))
        return STATUS_FULL;
    outgoing->bytes += source.bytes;
    struct sending *sending = &outgoing->sending[outgoing->count++];
    *sending = (struct sending){
        .message = *message,
        .source = source,
        .id = ++outgoing->last_id,
        .moved_ms = now_ms,
    };
    digest_begin(&sending->digest);
    return STATUS_OK;
}

/* Sends the next part of one. The digest is made once, also when the part has to be offered again.
 */
static enum status send_part(struct outgoing *outgoing, struct sending *sending,
                             const struct parcel_way *way)
{
    const unsigned char *data = sending->source.data;
    size_t left = sending->source.bytes - sending->sent;
    size_t size = left < PARCEL_PART_BYTES ? left : PARCEL_PART_BYTES;
    unsigned char *bytes =
        way->frame ? way->frame(way->user, PARCEL_HEAD_BYTES + size) : outgoing->part;
    if (sending->digested == sending->sent) {
        digest_add(&sending->digest, bytes + PARCEL_HEAD_BYTES, data + sending->sent, size);
        sending->digested += size;
    } else {
        memcpy(bytes + PARCEL_HEAD_BYTES, data + sending->sent, size);
    }
    put_u32(bytes, (uint32_t)sending->source.bytes);
    put_u32(bytes + 4, sending->id);
    put_u64(bytes + 8, left == size ? digest_end(&sending->digest) : 0);
    struct message part = sending->message;
    part.flags |= MESSAGE_PART;
    part.offset = (uint32_t)sending->sent;
    part.size = (uint32_t)(PARCEL_HEAD_BYTES + size);
    part.payload = bytes;
    enum status status = way->send(way->user, &part);
    if (status == STATUS_OK)
        sending->sent += size;
    return status;
}

/* A peer that took no more is not offered anything else in this turn. */
static void mark_busy(struct outgoing *outgoing, uint32_t peer)
{
    for (int i = 0; i < outgoing->count; i++)
        if (outgoing->sending[i].message.peer == peer)
            outgoing->sending[i].busy_turn = outgoing->turn;
}

/* Gives one parcel its turn; returns whether a part was sent. */
static bool serve(struct outgoing *outgoing, int at, const struct parcel_way *way, int64_t now_ms)
{
    struct sending *sending = &outgoing->sending[at];
    enum status status =
        sending->busy_turn == outgoing->turn ? STATUS_BUSY : send_part(outgoing, sending, way);
    if (status == STATUS_OK)
        sending->moved_ms = now_ms;
    else if (status == STATUS_BUSY)
        mark_busy(outgoing, sending->message.peer);
    bool whole = sending->sent == sending->source.bytes;
    bool silent = now_ms - sending->moved_ms >= PARCEL_SILENT_MS;
    outgoing->next = at + 1;
    if (whole || silent || (status != STATUS_OK && status != STATUS_BUSY)) {
        outgoing->next = at; /* where the last one stands then */
        end(outgoing, at, whole);
    }
    return status == STATUS_OK;
}

void outgoing_send(struct outgoing *outgoing, const struct parcel_way *way, int64_t now_ms)
{
    outgoing->turn++;
    /* After a round in which nobody took a part, all are busy. */
    for (int parts = 0, idle = 0; parts < PARCEL_BURST && idle < outgoing->count;) {
        int before = outgoing->count;
        bool sent = serve(outgoing, outgoing->next < before ? outgoing->next : 0, way, now_ms);
        parts += sent;
        idle = sent || outgoing->count < before ? 0 : idle + 1;
    }
}

int outgoing_count(const struct outgoing *outgoing)
{
    return outgoing->count;
}

uint64_t outgoing_dropped(const struct outgoing *outgoing)
{
    return outgoing->dropped;
}

void outgoing_forget(struct outgoing *outgoing, uint32_t peer)
{
    for (int i = outgoing->count - 1; i >= 0; i--)
        if (outgoing->sending[i].message.peer == peer)
            end(outgoing, i, false);
}

uint32_t outgoing_held(const struct outgoing *outgoing, struct held *held, uint32_t max)
{
    uint32_t count = 0;
    for (int i = 0; i < outgoing->count && count < max; i++) {
        const struct message *message = &outgoing->sending[i].message;
        held[count++] = (struct held){message->seq, message->gen, message->attempt};
    }
    return count;
}

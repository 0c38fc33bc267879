/* Messages over links; see post.h. */
#include "engine/post.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum status post_send(struct link *link, const struct message *message)
{
    unsigned char header[MESSAGE_HEADER_BYTES];
    message_encode(message, header);
    return link_send(link, message->peer, header, sizeof header, message->payload, message->size);
}

/* Another version of the protocol is refused with both values, not left to wonder. What a REFUSE of
 * ours says is read by those whose header has the same form. */
static void refuse_version(struct link *link, const struct link_message *raw)
{
    uint16_t version;
    char text[MESSAGE_TEXT_MAX];
    unsigned char header[MESSAGE_HEADER_BYTES];
    if (!message_foreign_hello(raw->header, raw->header_size, &version))
        return;
    int size = snprintf(text, sizeof text,
                        "this run speaks protocol version %d, you speak %u: install the same "
                        "foldmill on all nodes",
                        MESSAGE_VERSION, version);
    struct message refuse = {.type = MESSAGE_REFUSE, .size = (uint32_t)size, .payload = text};
    message_encode_as(&refuse, version, header);
    link_send(link, raw->peer, header, sizeof header, text, (size_t)size);
}

/* Takes the next message that decodes and that its sender may send. */
static enum status receive_good(struct link *link, struct link_message *raw,
                                struct message *message, uint64_t *bad)
{
    while (link_receive(link, raw) == STATUS_OK) {
        if (message_decode(raw->header, raw->header_size, raw->payload, raw->payload_size, message,
                           NULL) == STATUS_OK &&
            message_allowed(message, raw->role)) {
            message->peer = raw->peer;
            return STATUS_OK;
        }
        ++*bad;
        refuse_version(link, raw);
        link_message_close(raw);
    }
    return STATUS_EMPTY;
}

enum status post_receive(struct link *link, struct link_message *raw, struct message *message,
                         uint64_t *bad)
{
    while (receive_good(link, raw, message, bad) == STATUS_OK) {
        if (!(message->flags & MESSAGE_PART))
            return STATUS_OK;
        ++*bad;
        link_message_close(raw);
    }
    return STATUS_EMPTY;
}

enum status post_receive_parcel(struct link *link, struct parcels *parcels, int64_t now_ms,
                                struct link_message *raw, struct message *message,
                                struct parcel *whole, uint64_t *bad)
{
    *whole = (struct parcel){0};
    enum status status = receive_good(link, raw, message, bad);
    if (status != STATUS_OK || !(message->flags & MESSAGE_PART))
        return status;
    status = parcels_take(parcels, message, now_ms, whole);
    if (status == STATUS_OK)
        *message = whole->message;
    else if (status != STATUS_EMPTY)
        ++*bad;
    return STATUS_OK;
}

static enum status send_on(void *user, const struct message *part)
{
    return post_send(user, part);
}

static void *frame_of(void *user, size_t bytes)
{
    return link_frame(user, bytes);
}

struct parcel_way post_way(struct link *link)
{
    return (struct parcel_way){link, send_on, frame_of};
}

/* A message in the backlog: its host form, then its payload. */
void backlog_add(struct backlog *backlog, const struct message *message)
{
    size_t need = sizeof *message + message->size;
    if (backlog->end - backlog->start + need > POST_BACKLOG_MAX) {
        backlog->dropped++;
        return;
    }
    if (backlog->end + need > backlog->room) {
        if (backlog->start)
            memmove(backlog->data, backlog->data + backlog->start, backlog->end - backlog->start);
        backlog->end -= backlog->start;
        backlog->start = 0;
        if (backlog->end + need > backlog->room) {
            backlog->room = 2 * (backlog->end + need);
            backlog->data = realloc(backlog->data, backlog->room);
            ASSERT(backlog->data);
        }
    }
    memcpy(backlog->data + backlog->end, message, sizeof *message);
    if (message->size)
        memcpy(backlog->data + backlog->end + sizeof *message, message->payload, message->size);
    backlog->end += need;
}

bool backlog_flush(struct backlog *backlog, struct link *link)
{
    while (backlog->start < backlog->end) {
        struct message message;
        memcpy(&message, backlog->data + backlog->start, sizeof message);
        message.payload = backlog->data + backlog->start + sizeof message;
        message.peer = LINK_HUB;
        if (post_send(link, &message) == STATUS_BUSY)
            return false;
        backlog->start += sizeof message + message.size;
    }
    backlog->start = backlog->end = 0;
    return true;
}

void backlog_free(struct backlog *backlog)
{
    free(backlog->data);
    *backlog = (struct backlog){0};
}

/* What a bridge has to send to each host, and sends as far as there is room; see meet_bridge.h.
 * Data are read from the regions when they go, so that nothing is held beside them. */
#include "engine/base/meet_bridge.h"

#include "engine/base/clock.h"

static void push(struct far_host *to, struct item item)
{
    struct item *last = to->count ? &to->item[(to->first + to->count - 1) % ITEMS] : NULL;
    if (last && item.kind == MAIL_DATA && last->kind == MAIL_DATA && last->rank == item.rank &&
        last->to == item.to && last->from + last->bytes == item.from) {
        last->bytes += item.bytes;
        return;
    }
    ASSERT_INT(to->count, <, ITEMS);
    to->item[(to->first + to->count++) % ITEMS] = item;
}

/* To the hub, or from it to all hosts but one. */
void bridge_push(struct meet_bridge *b, struct item item, int but)
{
    for (int h = 0; h < b->meet->place.hosts; h++)
        if (h != but && (b->hub ? h != 0 : h == 0))
            push(&b->host[h], item);
}

bool bridge_has_room(const struct meet_bridge *b)
{
    for (int h = 0; h < b->meet->place.hosts; h++)
        if (b->host[h].count + ITEMS_KEPT > ITEMS)
            return false;
    return true;
}

void bridge_push_data(struct meet_bridge *b, struct item item, int but)
{
    if (!b->hub)
        push(&b->host[0], item);
    else if (item.to == MEET_HOST_ALL)
        bridge_push(b, item, but);
    else if (item.to != 0)
        push(&b->host[item.to], item);
}

/* Sends one message now; serial: it has its place in the order. */
enum status bridge_send(struct meet_bridge *b, struct far_host *to, const struct item *item,
                        size_t size, bool serial)
{
    const struct meet *meet = b->meet;
    struct mail mail = {.magic = MAIL_MAGIC,
                        .kind = item->kind,
                        .token = meet->token,
                        .serial = serial ? to->sent + 1 : 0,
                        .host = meet->place.host,
                        .rank = item->rank,
                        .to = item->to,
                        .number = item->number,
                        .from = item->from,
                        .bytes = item->kind == MAIL_DATA ? size : meet->bytes};
    const char *payload =
        size ? meet->region + (size_t)item->rank * meet->bytes + item->from : NULL;
    enum status status =
        b->post.send(b->post.user, to->peer, &mail, sizeof mail, payload ? payload : "", size);
    if (status == STATUS_OK) {
        to->sent += serial;
        to->sent_ms = clock_ms();
    }
    return status;
}

/* Sends what goes out at once; false: something waits. */
static bool flush(struct meet_bridge *b, int host)
{
    struct far_host *to = &b->host[host];
    if (to->bye)
        to->count = 0;
    while (to->known && to->count) {
        struct item *item = &to->item[to->first % ITEMS];
        size_t size = item->kind != MAIL_DATA         ? 0
                      : item->bytes < MEET_PART_BYTES ? (size_t)item->bytes
                                                      : MEET_PART_BYTES;
        enum status status = bridge_send(b, to, item, size, true);
        if (status == STATUS_BUSY)
            return false;
        if (status != STATUS_OK) {
            to->known = false;
            to->count = 0;
            if (!to->bye)
                bridge_fail(b, host, WHY_HOST_LOST);
            return true;
        }
        to->answered = to->answered || item->kind == MAIL_BYE;
        item->from += size;
        item->bytes -= size;
        if (item->kind != MAIL_DATA || !item->bytes)
            to->first++, to->count--;
    }
    return !to->count || !to->known;
}

bool bridge_flush(struct meet_bridge *b)
{
    bool done = true;
    for (int h = 0; h < b->meet->place.hosts; h++)
        done = flush(b, h) && done;
    return done;
}

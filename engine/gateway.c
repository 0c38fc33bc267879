/* Payloads from and to workers of other engines; see gateway.h. */
#include "engine/gateway.h"

#include "engine/post.h"
#include "engine/sample.h"
#include "engine/table.h"

#include <stdlib.h>
#include <string.h>

struct elsewhere {
    uint64_t inc;
    int64_t seen_ms;
    uint32_t peer;
    bool sink;
};

struct gateway {
    struct lifeline *life;
    struct link *link;
    struct parcels *in;
    struct outgoing *out;
    struct arena arena;
    struct table by_inc, sinks; /* sinks: by peer */
    struct elsewhere workers[GATEWAY_WORKERS_MAX]; /* the first count are in use */
    uint32_t count;
    int64_t tick_ms;
    struct gateway_counts counts;
    unsigned char descriptor[SHM_DESCRIPTOR_BYTES]; /* of the message in hand */
};

/* ---- memory for what comes in: blocks of our pool ---- */

static bool take_room(void *user, size_t bytes, struct parcel_block *to)
{
    struct gateway *gateway = user;
    struct shm_block block;
    if (!gateway->life->pool)
        return false;
    enum status status = shm_pool_take(gateway->life->pool, bytes, &block);
    if (status == STATUS_FULL && shm_pool_reclaim(gateway->life->pool, GATEWAY_RECLAIM_MS) > 0)
        status = shm_pool_take(gateway->life->pool, bytes, &block);
    if (status != STATUS_OK)
        return false;
    to->data = block.data;
    to->tag[0] = block.slot;
    to->tag[1] = block.use;
    to->tag[2] = block.offset;
    return true;
}

static void drop_room(void *user, struct parcel_block *from)
{
    struct gateway *gateway = user;
    struct shm_block block = {.slot = (uint32_t)from->tag[0], .use = (uint32_t)from->tag[1]};
    shm_pool_drop(gateway->life->pool, &block);
}

struct gateway *gateway_open(struct lifeline *life, struct link *link)
{
    struct gateway *gateway = calloc(1, sizeof *gateway);
    ASSERT(gateway);
    gateway->life = life;
    gateway->link = link;
    arena_open(&gateway->arena, 0);
    gateway->by_inc = table_make(&gateway->arena, GATEWAY_WORKERS_MAX);
    gateway->sinks = table_make(&gateway->arena, GATEWAY_WORKERS_MAX);
    struct parcel_room room = {gateway, take_room, drop_room};
    gateway->in = parcels_open(GATEWAY_BYTES_MAX, &room);
    gateway->out = outgoing_open(GATEWAY_BYTES_MAX);
    return gateway;
}

void gateway_close(struct gateway *gateway)
{
    if (!gateway)
        return;
    outgoing_close(gateway->out);
    parcels_close(gateway->in);
    arena_close(&gateway->arena);
    free(gateway);
}

/* ---- who works elsewhere ---- */

static bool is_elsewhere(const struct gateway *gateway, uint64_t inc)
{
    return table_get(&gateway->by_inc, inc) != TABLE_NONE;
}

static void forget(struct gateway *gateway, uint32_t row)
{
    table_drop(&gateway->by_inc, gateway->workers[row].inc);
    if (gateway->workers[row].sink)
        table_drop(&gateway->sinks, gateway->workers[row].peer);
    if (row != --gateway->count) {
        gateway->workers[row] = gateway->workers[gateway->count];
        table_put(&gateway->by_inc, gateway->workers[row].inc, row);
    }
}

/* Of a sink elsewhere, which may have another connection now. */
static void note_peer(struct gateway *gateway, struct elsewhere *sink, uint32_t peer)
{
    table_drop(&gateway->sinks, sink->peer);
    table_put(&gateway->sinks, peer, 1);
    sink->peer = peer;
}

static bool remember(struct gateway *gateway, const struct message *hello, bool sink,
                     int64_t now_ms)
{
    uint64_t inc = hello->inc;
    uint32_t row = table_get(&gateway->by_inc, inc);
    if (row == TABLE_NONE && gateway->count == GATEWAY_WORKERS_MAX)
        return false;
    if (row == TABLE_NONE) {
        row = gateway->count++;
        table_put(&gateway->by_inc, inc, row);
    }
    gateway->workers[row] = (struct elsewhere){inc, now_ms, hello->peer, sink};
    if (sink)
        note_peer(gateway, &gateway->workers[row], hello->peer);
    return true;
}

/* ---- receiving ---- */

/* Who may say what, beyond what its key entitles to: descriptors name memory of this node, so they
 * mean nothing from elsewhere; and nobody from elsewhere is one of ours. */
static bool is_proper(struct gateway *gateway, const struct link_message *raw,
                      const struct message *message, int64_t now_ms)
{
    struct hello hello;
    struct span payload = {message->payload, message->size};
    uint32_t row = table_get(&gateway->by_inc, message->inc);
    if (row != TABLE_NONE) {
        gateway->workers[row].seen_ms = now_ms;
        if (gateway->workers[row].sink && gateway->workers[row].peer != message->peer)
            note_peer(gateway, &gateway->workers[row], message->peer);
    }
    bool far = raw->role == KEY_WORKER || raw->role == KEY_SINK || row != TABLE_NONE;
    if (message->type != MESSAGE_HELLO)
        return !(far && message->flags & MESSAGE_BLOCK);
    if (hello_decode(payload, &hello, NULL) != STATUS_OK)
        return true; /* the dispatcher counts it */
    if (far && hello.node == 0)
        return false;
    return hello.role == PEER_AGENT || hello.node == 0 ||
           remember(gateway, message, hello.role == PEER_SINK, now_ms);
}

/* The message of a whole payload goes on with a block's descriptor. */
static void describe(struct gateway *gateway, struct message *message, struct parcel *whole)
{
    struct shm_descriptor descriptor = {
        .inc = gateway->life->inc,
        .offset = whole->block.tag[2],
        .bytes = whole->block.bytes,
        .digest = whole->digest,
        .slot = (uint32_t)whole->block.tag[0],
        .use = (uint32_t)whole->block.tag[1],
    };
    shm_descriptor_encode(&descriptor, gateway->descriptor);
    message->flags |= MESSAGE_BLOCK;
    message->payload = gateway->descriptor;
    message->size = SHM_DESCRIPTOR_BYTES;
    gateway->counts.in++;
}

enum status gateway_receive(struct gateway *gateway, int64_t now_ms, struct link_message *raw,
                            struct message *message)
{
    struct parcel whole;
    while (post_receive_parcel(gateway->link, gateway->in, now_ms, raw, message, &whole,
                               &gateway->counts.malformed) == STATUS_OK) {
        bool part = (message->flags & MESSAGE_PART) != 0, is_whole = whole.block.data != NULL;
        if (!part && is_proper(gateway, raw, message, now_ms) &&
            (!is_whole || message->type == MESSAGE_OUT)) {
            if (is_whole)
                describe(gateway, message, &whole);
            uint32_t row = table_get(&gateway->by_inc, message->inc);
            bool gone = message->type == MESSAGE_BYE || message->type == MESSAGE_DIED;
            if (gone && row != TABLE_NONE)
                forget(gateway, row);
            return STATUS_OK;
        }
        gateway->counts.malformed += !part;
        parcel_free(gateway->in, &whole);
        link_message_close(raw);
    }
    return STATUS_EMPTY;
}

/* ---- sending ---- */

static void sent(void *user, bool all)
{
    (void)all;
    free(user);
}

/* Reads the block, which so goes back to its maker, and queues its bytes. */
static bool send_block(struct gateway *gateway, int64_t now_ms, const struct message *work)
{
    struct shm_view *view;
    if (work->size != SHM_DESCRIPTOR_BYTES)
        return false;
    struct shm_descriptor descriptor = shm_descriptor_decode(work->payload);
    if (lifeline_view(gateway->life, descriptor.inc, &view, NULL) != STATUS_OK)
        return false;
    void *copy = descriptor.bytes > 0 && descriptor.bytes <= PARCEL_BYTES_MAX
                     ? malloc((size_t)descriptor.bytes)
                     : NULL;
    if (!copy) {
        shm_view_return(view, &descriptor);
        return false;
    }
    struct message message = *work;
    message.flags &= (uint16_t)~MESSAGE_BLOCK;
    message.payload = NULL;
    message.size = 0;
    struct parcel_source source = {copy, (size_t)descriptor.bytes, copy, sent};
    if (shm_view_copy(view, &descriptor, copy, NULL) != STATUS_OK ||
        outgoing_add(gateway->out, &message, source, now_ms) != STATUS_OK) {
        free(copy);
        return false;
    }
    gateway->counts.out++;
    return true;
}

/* A block that nobody will read: ours, in the name of the worker elsewhere that filled it. */
static void drop_block(struct gateway *gateway, const struct message *message)
{
    if (message->size != SHM_DESCRIPTOR_BYTES || !gateway->life->pool)
        return;
    struct shm_descriptor descriptor = shm_descriptor_decode(message->payload);
    struct shm_block block = {.slot = descriptor.slot, .use = descriptor.use};
    if (descriptor.inc == gateway->life->inc)
        shm_pool_drop(gateway->life->pool, &block);
}

bool gateway_send(struct gateway *gateway, int64_t now_ms, const struct message *message)
{
    bool far = message->type == MESSAGE_DATA
                   ? table_get(&gateway->sinks, message->peer) != TABLE_NONE
                   : is_elsewhere(gateway, message->inc);
    bool good = true;
    if (message->type == MESSAGE_FREE && message->size == SHM_DESCRIPTOR_BYTES &&
        shm_descriptor_decode(message->payload).inc == gateway->life->inc)
        drop_block(gateway, message);
    else if ((message->type == MESSAGE_WORK || message->type == MESSAGE_DATA) && far &&
             message->flags & MESSAGE_BLOCK)
        good = send_block(gateway, now_ms, message);
    else
        good = post_send(gateway->link, message) == STATUS_OK || message->type == MESSAGE_FREE;
    gateway->counts.lost += !good;
    return good;
}

bool gateway_turn(struct gateway *gateway, int64_t now_ms)
{
    struct parcel_way way = post_way(gateway->link);
    if (outgoing_count(gateway->out))
        outgoing_send(gateway->out, &way, now_ms);
    if (now_ms - gateway->tick_ms >= 1000) {
        gateway->tick_ms = now_ms;
        parcels_tick(gateway->in, now_ms);
        if (gateway->life->pool)
            shm_pool_reclaim(gateway->life->pool, GATEWAY_OLD_MS);
        for (uint32_t row = gateway->count; row-- > 0;)
            if (now_ms - gateway->workers[row].seen_ms > GATEWAY_SILENT_MS)
                forget(gateway, row);
    }
    return outgoing_count(gateway->out) > 0;
}

struct gateway_counts gateway_count(const struct gateway *gateway)
{
    struct gateway_counts counts = gateway->counts;
    counts.workers = (int)gateway->count;
    counts.lost += outgoing_dropped(gateway->out) + parcels_count(gateway->in).lost;
    return counts;
}

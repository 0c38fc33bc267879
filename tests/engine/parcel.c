/* Parcels: put together whole or given up, whatever is lost, late, doubled, mixed or busy. */
#include "engine/parcel.h"

#include "engine/base/rng.h"
#include "engine/base/digest.h"
#include "engine/bytes.h"
#include "engine/link.h"
#include "engine/post.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { WIRE_MAX = 4096 };

/* A network: parts wait in a row until the test hands them on. */
struct wire {
    struct message part[WIRE_MAX];
    unsigned char *bytes[WIRE_MAX];
    int count, room; /* room: parts that it still takes; then it is busy */
    uint32_t busy_peer, gone_peer;
};

static struct wire wire;
static int done_sent, done_dropped;

static enum status put(void *user, const struct message *part)
{
    struct wire *to = user;
    if (part->peer == to->gone_peer)
        return STATUS_MISS;
    if (to->room == 0 || part->peer == to->busy_peer)
        return STATUS_BUSY;
    cr_assert(to->count < WIRE_MAX, "too many parts");
    unsigned char *bytes = malloc(part->size);
    memcpy(bytes, part->payload, part->size);
    to->part[to->count] = *part;
    to->part[to->count].payload = bytes;
    to->bytes[to->count++] = bytes;
    to->room--;
    return STATUS_OK;
}

static const struct parcel_way way = {&wire, put, NULL};

static void on_done(void *user, bool sent)
{
    (void)user;
    done_sent += sent;
    done_dropped += !sent;
}

static void begin(void)
{
    wire = (struct wire){.room = WIRE_MAX, .busy_peer = UINT32_MAX, .gone_peer = UINT32_MAX};
    done_sent = done_dropped = 0;
}

static void clear(void)
{
    for (int i = 0; i < wire.count; i++)
        free(wire.bytes[i]);
    wire.count = 0;
}

static struct message item(uint64_t seq, uint32_t peer)
{
    return (struct message){.type = MESSAGE_OUT,
                            .seq = seq,
                            .gen = 3,
                            .attempt = 1,
                            .line = 2,
                            .stage = 1,
                            .peer = peer};
}

static unsigned char *make_bytes(size_t bytes, uint64_t seed)
{
    unsigned char *data = malloc(bytes);
    for (size_t i = 0; i < bytes; i++)
        data[i] = (unsigned char)((i * 2654435761u + seed * 97) >> 5);
    return data;
}

static struct parcel_source source_of(const unsigned char *data, size_t bytes)
{
    return (struct parcel_source){.data = data, .bytes = bytes, .done = on_done};
}

Test(parcel, sizes_around_a_part_come_whole)
{
    static const size_t sizes[] = {1,
                                   PARCEL_PART_BYTES - 1,
                                   PARCEL_PART_BYTES,
                                   PARCEL_PART_BYTES + 1,
                                   2 * PARCEL_PART_BYTES,
                                   5 * PARCEL_PART_BYTES + 77};
    struct parcels *parcels = parcels_open(64 << 20, NULL);
    struct outgoing *outgoing = outgoing_open(64 << 20);
    begin();
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        unsigned char *data = make_bytes(sizes[i], i);
        struct message message = item(i, 9);
        struct parcel whole;
        message.flags = MESSAGE_EMPTY;
        cr_assert(outgoing_add(outgoing, &message, source_of(data, sizes[i]), 0) == STATUS_OK,
                  "add");
        outgoing_send(outgoing, &way, 0);
        cr_assert(outgoing_count(outgoing) == 0 && done_sent == (int)i + 1, "sent and given back");
        int parts = (int)((sizes[i] + PARCEL_PART_BYTES - 1) / PARCEL_PART_BYTES);
        cr_assert(wire.count == parts, "%d parts", wire.count);
        for (int k = 0; k < parts; k++) {
            cr_assert(wire.part[k].size <= MESSAGE_PAYLOAD_MAX, "a part fits a message");
            enum status status = parcels_take(parcels, &wire.part[k], 0, &whole);
            cr_assert(status == (k + 1 < parts ? STATUS_EMPTY : STATUS_OK), "part %d", k);
        }
        cr_assert(whole.message.size == sizes[i] && whole.message.payload == whole.block.data &&
                      memcmp(whole.block.data, data, sizes[i]) == 0,
                  "the same bytes");
        cr_assert(whole.message.flags == MESSAGE_EMPTY && whole.message.seq == i &&
                      whole.message.peer == 9 && whole.message.offset == 0,
                  "the same item");
        parcel_free(parcels, &whole);
        free(data);
        clear();
    }
    cr_assert(parcels_count(parcels).begun == 0 && parcels_count(parcels).bytes == 0,
              "nothing left");
    outgoing_close(outgoing);
    parcels_close(parcels);
}

/* Many parcels at once; parts are lost, doubled and damaged by a seeded network. Every parcel ends
 * whole with its own bytes, or not at all. */
Test(parcel, nothing_wrong_is_ever_whole)
{
    for (uint64_t seed = 0; seed < 60; seed++) {
        struct parcels *parcels = parcels_open(64 << 20, NULL);
        struct outgoing *outgoing = outgoing_open(64 << 20);
        struct rng rng = rng_open(seed, 0, 0, "net", 0);
        unsigned char *data[12];
        size_t sizes[12];
        bool hurt[12] = {false}, came[12] = {false};
        begin();
        for (uint32_t i = 0; i < 12; i++) {
            sizes[i] = 1 + rng_below(&rng, 3 * PARCEL_PART_BYTES);
            data[i] = make_bytes(sizes[i], i);
            struct message message = item(i, i % 3);
            cr_assert(outgoing_add(outgoing, &message, source_of(data[i], sizes[i]), 0) ==
                          STATUS_OK,
                      "add");
        }
        outgoing_send(outgoing, &way, 0);
        for (int k = 0; k < wire.count; k++) {
            struct message *part = &wire.part[k];
            uint64_t luck = rng_below(&rng, 20), times = 1;
            if (luck < 3) {
                hurt[part->seq] = true;
                times = luck == 0 ? 0 : luck == 1 ? 2 : 1;
                if (luck == 2)
                    wire.bytes[k][rng_below(&rng, part->size)] ^= 0x40;
            }
            for (uint64_t t = 0; t < times; t++) {
                struct parcel whole;
                if (parcels_take(parcels, part, 0, &whole) != STATUS_OK)
                    continue;
                uint64_t seq = whole.message.seq;
                cr_assert(whole.message.size == sizes[seq] &&
                              memcmp(whole.block.data, data[seq], sizes[seq]) == 0,
                          "seed %d: wrong bytes", (int)seed);
                came[seq] = true;
                parcel_free(parcels, &whole);
            }
        }
        for (int i = 0; i < 12; i++) {
            cr_assert(came[i] || hurt[i], "seed %d: %d is missing for no reason", (int)seed, i);
            free(data[i]);
        }
        parcels_tick(parcels, PARCEL_SILENT_MS);
        cr_assert(parcels_count(parcels).begun == 0 && parcels_count(parcels).bytes == 0, "held");
        clear();
        outgoing_close(outgoing);
        parcels_close(parcels);
    }
}

Test(parcel, a_lost_part_costs_the_parcel_and_the_next_sending_is_whole)
{
    struct parcels *parcels = parcels_open(64 << 20, NULL);
    struct outgoing *outgoing = outgoing_open(64 << 20);
    size_t bytes = 4 * PARCEL_PART_BYTES;
    unsigned char *data = make_bytes(bytes, 1);
    struct message message = item(5, 1);
    struct parcel whole;
    struct held held[4];
    begin();
    outgoing_add(outgoing, &message, source_of(data, bytes), 0);
    outgoing_send(outgoing, &way, 0);
    cr_assert(parcels_take(parcels, &wire.part[0], 0, &whole) == STATUS_EMPTY, "first");
    cr_assert(parcels_held(parcels, held, 4) == 1 && held[0].seq == 5 && held[0].attempt == 1,
              "a part of it is held");
    cr_assert(parcels_take(parcels, &wire.part[2], 0, &whole) == STATUS_MISS, "second is lost");
    cr_assert(parcels_take(parcels, &wire.part[3], 0, &whole) == STATUS_MISS, "the rest too");
    cr_assert(parcels_count(parcels).begun == 0 && parcels_count(parcels).lost == 1, "given up");
    cr_assert(parcels_take(parcels, &wire.part[0], 0, &whole) == STATUS_EMPTY,
              "first sending again");
    outgoing_add(outgoing, &message, source_of(data, bytes), 0);
    outgoing_send(outgoing, &way, 0);
    cr_assert(parcels_take(parcels, &wire.part[5], 0, &whole) == STATUS_MISS, "parts never mix");
    for (int k = 4; k < 8; k++)
        cr_assert(parcels_take(parcels, &wire.part[k], 0, &whole) ==
                      (k < 7 ? STATUS_EMPTY : STATUS_OK),
                  "part %d", k);
    cr_assert(memcmp(whole.block.data, data, bytes) == 0, "the same");
    parcel_free(parcels, &whole);
    parcels_take(parcels, &wire.part[4], 0, &whole);
    parcels_forget(parcels, 2);
    cr_assert(parcels_count(parcels).begun == 1, "of another peer");
    parcels_forget(parcels, 1);
    cr_assert(parcels_count(parcels).begun == 0, "forgotten");
    clear();
    free(data);
    outgoing_close(outgoing);
    parcels_close(parcels);
}

Test(parcel, limits_of_the_receiver)
{
    struct parcels *parcels = parcels_open(3 * PARCEL_PART_BYTES, NULL);
    unsigned char *bytes = calloc(1, PARCEL_HEAD_BYTES + PARCEL_PART_BYTES + 1);
    struct message part = item(1, 1);
    struct parcel whole;
    part.flags = MESSAGE_PART;
    part.payload = bytes;
    part.size = PARCEL_HEAD_BYTES;
    put_u32(bytes, 100);
    cr_assert(parcels_take(parcels, &part, 0, &whole) == STATUS_INVALID, "no bytes");
    part.size = PARCEL_HEAD_BYTES + 101;
    cr_assert(parcels_take(parcels, &part, 0, &whole) == STATUS_INVALID, "more than the total");
    part.offset = 100;
    part.size = PARCEL_HEAD_BYTES + 1;
    cr_assert(parcels_take(parcels, &part, 0, &whole) == STATUS_INVALID, "behind the end");
    part.offset = UINT32_MAX;
    cr_assert(parcels_take(parcels, &part, 0, &whole) == STATUS_INVALID, "far behind the end");
    part.offset = 0;
    put_u32(bytes, UINT32_MAX);
    cr_assert(parcels_take(parcels, &part, 0, &whole) == STATUS_INVALID, "too large for anybody");
    put_u32(bytes, 2 * PARCEL_PART_BYTES);
    cr_assert(parcels_take(parcels, &part, 0, &whole) == STATUS_INVALID, "an odd part in between");
    part.size = PARCEL_HEAD_BYTES + DIGEST_PIECE;
    put_u32(bytes, 3 * PARCEL_PART_BYTES + 1);
    cr_assert(parcels_take(parcels, &part, 0, &whole) == STATUS_FULL, "too large for here");
    put_u32(bytes, 2 * PARCEL_PART_BYTES);
    cr_assert(parcels_take(parcels, &part, 0, &whole) == STATUS_EMPTY, "fits");
    part.seq = 2;
    cr_assert(parcels_take(parcels, &part, 5, &whole) == STATUS_FULL, "no room beside it");
    put_u32(bytes, PARCEL_PART_BYTES);
    cr_assert(parcels_take(parcels, &part, 5, &whole) == STATUS_EMPTY, "a smaller one");
    parcels_tick(parcels, PARCEL_SILENT_MS);
    cr_assert(parcels_count(parcels).begun == 1, "one was silent for too long");
    parcels_forget(parcels, part.peer);
    put_u32(bytes, DIGEST_PIECE + 1);
    for (uint64_t i = 0; i < PARCELS_MAX + 5; i++) {
        part.seq = 100 + i;
        enum status wanted = i < PARCELS_MAX ? STATUS_EMPTY : STATUS_FULL;
        cr_assert(parcels_take(parcels, &part, 0, &whole) == wanted, "the %d-th", (int)i);
    }
    free(bytes);
    parcels_close(parcels);
}

Test(parcel, a_busy_peer_holds_up_nobody_and_loses_nothing)
{
    struct outgoing *outgoing = outgoing_open(8 * PARCEL_PART_BYTES);
    size_t bytes = 4 * PARCEL_PART_BYTES;
    unsigned char *data = make_bytes(bytes, 1);
    struct message slow = item(1, 1), quick = item(2, 2), gone = item(3, 3);
    struct held held[4];
    begin();
    cr_assert(outgoing_add(outgoing, &slow, source_of(data, bytes), 0) == STATUS_OK, "one");
    cr_assert(outgoing_add(outgoing, &quick, source_of(data, bytes), 0) == STATUS_OK, "two");
    cr_assert(outgoing_add(outgoing, &gone, source_of(data, 1), 0) == STATUS_FULL, "full");
    cr_assert(done_sent + done_dropped == 0, "nothing was done to it");
    cr_assert(outgoing_held(outgoing, held, 4) == 2 && held[0].seq == 1 && held[1].seq == 2,
              "held");
    wire.room = 2;
    outgoing_send(outgoing, &way, 1);
    cr_assert(wire.count == 2 && wire.part[0].peer == 1 && wire.part[1].peer == 2, "in turn");
    wire.room = WIRE_MAX;
    wire.busy_peer = 1;
    outgoing_send(outgoing, &way, 2);
    cr_assert(outgoing_count(outgoing) == 1 && done_sent == 1, "the quick one is through");
    wire.gone_peer = 3;
    cr_assert(outgoing_add(outgoing, &gone, source_of(data, bytes), 3) == STATUS_OK, "room again");
    outgoing_send(outgoing, &way, 3);
    cr_assert(outgoing_count(outgoing) == 1 && done_dropped == 1, "nobody is there");
    wire.busy_peer = UINT32_MAX;
    outgoing_send(outgoing, &way, PARCEL_SILENT_MS);
    cr_assert(outgoing_count(outgoing) == 0 && done_sent == 2, "the slow one too");
    struct parcels *parcels = parcels_open(64 << 20, NULL);
    struct parcel whole;
    int wholes = 0;
    for (int k = 0; k < wire.count; k++)
        if (parcels_take(parcels, &wire.part[k], 0, &whole) == STATUS_OK) {
            cr_assert(memcmp(whole.block.data, data, bytes) == 0, "the same");
            parcel_free(parcels, &whole);
            wholes++;
        }
    cr_assert(wholes == 2, "both are whole");
    /* One that takes nothing for too long is dropped. */
    wire.busy_peer = 1;
    outgoing_add(outgoing, &slow, source_of(data, bytes), 0);
    outgoing_send(outgoing, &way, PARCEL_SILENT_MS - 1);
    cr_assert(outgoing_count(outgoing) == 1, "waits");
    outgoing_send(outgoing, &way, PARCEL_SILENT_MS);
    cr_assert(outgoing_count(outgoing) == 0 && done_dropped == 2 && outgoing_dropped(outgoing) == 2,
              "was dropped");
    /* What is larger than the bound goes alone. */
    size_t large = 9 * PARCEL_PART_BYTES;
    unsigned char *more = make_bytes(large, 2);
    cr_assert(outgoing_add(outgoing, &slow, source_of(more, large), 0) == STATUS_OK, "alone");
    cr_assert(outgoing_add(outgoing, &quick, source_of(data, 1), 0) == STATUS_FULL, "with it");
    outgoing_forget(outgoing, 2);
    cr_assert(outgoing_count(outgoing) == 1, "another's");
    outgoing_forget(outgoing, 1);
    cr_assert(outgoing_count(outgoing) == 0, "forgotten");
    clear();
    free(data);
    free(more);
    parcels_close(parcels);
    outgoing_close(outgoing);
}

Test(parcel, a_burst_ends)
{
    struct outgoing *outgoing = outgoing_open(256 << 20);
    size_t bytes = (size_t)3 * PARCEL_BURST / 2 * PARCEL_PART_BYTES;
    unsigned char *data = make_bytes(bytes, 1);
    struct message message = item(1, 1);
    begin();
    outgoing_add(outgoing, &message, source_of(data, bytes), 0);
    outgoing_send(outgoing, &way, 0);
    cr_assert(wire.count == PARCEL_BURST && outgoing_count(outgoing) == 1,
              "heartbeats come between");
    outgoing_send(outgoing, &way, 0);
    cr_assert(outgoing_count(outgoing) == 0, "the rest");
    clear();
    outgoing_close(outgoing);
    free(data);
}

/* Over a real link whose queue holds four messages: every byte comes, heartbeats in between. */
Test(parcel, over_tcp_with_a_short_queue)
{
    struct link_options options = {.queue_max = 4, .insecure = true};
    struct link *hub, *peer;
    struct error err;
    cr_assert(link_context_open(&err) == STATUS_OK, "%s", err.text);
    cr_assert(link_listen(&hub, "tcp://127.0.0.1:0", options, &err) == STATUS_OK, "%s", err.text);
    cr_assert(link_connect(&peer, link_address(hub), options, &err) == STATUS_OK, "%s", err.text);
    struct outgoing *outgoing = outgoing_open(256 << 20);
    struct parcels *parcels = parcels_open(256 << 20, NULL);
    struct parcel_way on = post_way(peer);
    unsigned char *data[6];
    size_t bytes = 21 * PARCEL_PART_BYTES + 5;
    int wholes = 0, beats = 0, said = 0;
    uint64_t bad = 0;
    begin();
    for (uint32_t i = 0; i < 6; i++) {
        struct message message = item(i, LINK_HUB);
        data[i] = make_bytes(bytes, i);
        outgoing_add(outgoing, &message, source_of(data[i], bytes), 0);
    }
    for (int turn = 0; turn < 20000 && wholes < 6; turn++) {
        said += post_send(peer, &(struct message){.type = MESSAGE_HB}) == STATUS_OK;
        outgoing_send(outgoing, &on, turn);
        struct link_message raw;
        struct message message;
        struct parcel whole;
        while (post_receive_parcel(hub, parcels, turn, &raw, &message, &whole, &bad) == STATUS_OK) {
            link_message_close(&raw);
            beats += message.type == MESSAGE_HB;
            if (!whole.block.data)
                continue;
            cr_assert(message.size == bytes &&
                          memcmp(message.payload, data[message.seq], bytes) == 0,
                      "item %d", (int)message.seq);
            wholes++;
            parcel_free(parcels, &whole);
        }
        usleep(200);
    }
    cr_assert(wholes == 6 && bad == 0 && done_sent == 6, "%d came whole", wholes);
    cr_assert(said > 0 && beats > 0, "%d heartbeats of %d", beats, said);
    for (int i = 0; i < 6; i++)
        free(data[i]);
    outgoing_close(outgoing);
    parcels_close(parcels);
    link_close(peer, 0);
    link_close(hub, 0);
    link_context_close();
}

/* Fuzzes what a bridge does with messages of other hosts, as the hub and as another. Input: a byte
 * (who we are, whether we send), then records of 16 bytes that become messages with mostly right
 * magic, token and serial. Whatever comes, nothing outside of the regions may be written, queues
 * keep their bound, and members of this host are never moved. */
#include "engine/base/meet_bridge.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { RECORD = 16, RANKS = 5, HOSTS = 3, BYTES = 8192, GUARD = 64, TOKEN = 42 };

struct feed {
    const uint8_t *data;
    size_t size;
    uint64_t serial[HOSTS];
    struct mail mail;
    unsigned char payload[BYTES];
    bool full;
};

static enum status feed_send(void *user, uint32_t peer, const void *head, size_t head_size,
                             const void *payload, size_t size)
{
    const struct feed *feed = user;
    (void)peer;
    unsigned char copy[BYTES];
    if (feed->full)
        return STATUS_BUSY;
    ASSERT(head && head_size == sizeof(struct mail) && size <= BYTES);
    memcpy(copy, payload, size); /* all of it can be read */
    return size == 77 ? STATUS_MISS : STATUS_OK;
}

static enum status feed_take(void *user, struct meet_mail *raw)
{
    struct feed *feed = user;
    const uint8_t *d = feed->data;
    if (feed->size < RECORD)
        return STATUS_EMPTY;
    feed->data += RECORD;
    feed->size -= RECORD;
    int host = d[1] % (HOSTS + 1) - (d[0] & 1);
    bool known = host >= 0 && host < HOSTS;
    size_t bytes = (size_t)(d[4] | d[5] << 8) % BYTES;
    feed->mail =
        (struct mail){.magic = MAIL_MAGIC + (d[0] >> 7),
                      .kind = d[2] % (MAILS + 1),
                      .token = TOKEN + (d[0] >> 6 & 1),
                      .serial = known && d[0] & 2 ? ++feed->serial[host] : d[3],
                      .host = host,
                      .rank = (int8_t)d[6] >> 4,
                      .to = (int8_t)d[7] >> 5,
                      .number = d[8],
                      .from = (uint64_t)d[9] | (uint64_t)d[10] << 8 | (uint64_t)d[11] << 60,
                      .bytes = d[0] & 4 ? bytes : (uint64_t)d[12] << 56 | BYTES};
    if (d[0] & 8)
        feed->mail.from = d[13];
    memset(feed->payload, d[14], bytes);
    *raw =
        (struct meet_mail){.peer = d[0] & 16 ? d[15] : (uint32_t)host,
                           .head = &feed->mail,
                           .payload = feed->payload,
                           .head_size = d[0] & 32 ? d[15] % sizeof feed->mail : sizeof feed->mail,
                           .size = bytes};
    return STATUS_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct meet_shared shared;
    static struct far_host hosts[HOSTS];
    struct meet meet = {.rank = 0, .ranks = RANKS, .bytes = BYTES, .token = TOKEN, .wake = -1};
    struct meet_bridge b = {.meet = &meet, .host = hosts};
    if (size < 1)
        return 0;
    struct feed feed = {.data = data + 1, .size = size - 1, .full = data[0] & 2};
    memset(&shared, 0, sizeof shared);
    memset(hosts, 0, sizeof hosts);
    unsigned char *memory = malloc(RANKS * BYTES + 2 * GUARD);
    ASSERT(memory);
    memset(memory, 7, RANKS * BYTES + 2 * GUARD);
    meet.shared = &shared;
    meet.region = (char *)memory + GUARD;
    meet.place =
        (struct meet_place){.host = data[0] & 1, .hosts = HOSTS, .host_of = {0, 1, 2, 1, 0}};
    b.hub = meet.place.host == 0;
    b.post = (struct meet_post){.user = &feed, .send = feed_send, .take = feed_take};
    while (bridge_hear(&b)) {
        bridge_flush(&b);
        for (int h = 0; h < HOSTS; h++)
            ASSERT(hosts[h].count <= ITEMS);
        if (!bridge_has_room(&b))
            feed.full = false; /* it goes on when there is room again */
        bridge_flush(&b);
        if (!bridge_has_room(&b))
            break; /* hosts that have not come: nothing more is taken */
    }
    for (int i = 0; i < GUARD; i++)
        ASSERT(memory[i] == 7 && memory[GUARD + RANKS * BYTES + i] == 7);
    for (int r = 0; r < RANKS; r++)
        if (meet.place.host_of[r] == meet.place.host)
            ASSERT(!shared.member[r].stage && !shared.member[r].left);
    int broken = shared.broken;
    ASSERT(!broken || (broken % MEET_MAX < RANKS && broken / MEET_MAX < WHYS));
    free(memory);
    return 0;
}

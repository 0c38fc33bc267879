/* What a bridge does with messages of other hosts; see meet_bridge.h. None of them can write
 * outside of the regions; one that is not as it should be fails the meeting, for something is lost.
 */
#include "engine/base/meet_bridge.h"

#include "engine/base/clock.h"

#include <string.h>

enum { TURN = 16 }; /* messages taken before others are sent */

static void set_stages(struct meet_bridge *b, int host, uint32_t stage)
{
    for (int r = 0; r < b->meet->ranks; r++)
        if (b->meet->place.host_of[r] == host && !b->left[r])
            meet_set_stage(b->meet, r, stage);
}

static void set_left(struct meet_bridge *b, int rank)
{
    b->left[rank] = true;
    atomic_store(&b->meet->shared->member[rank].left, 1);
}

static void take_data(struct meet_bridge *b, int host, const struct mail *mail,
                      const struct meet_mail *raw)
{
    struct meet *meet = b->meet;
    bool good = mail->rank >= 0 && mail->rank < meet->ranks && mail->bytes == raw->size &&
                raw->size <= MEET_PART_BYTES && mail->from <= meet->bytes &&
                mail->bytes <= meet->bytes - mail->from && mail->to >= MEET_HOST_ALL &&
                mail->to < meet->place.hosts && mail->to != host;
    if (!good) {
        bridge_fail(b, host, WHY_HOST_LOST);
        return;
    }
    memcpy(meet->region + (size_t)mail->rank * meet->bytes + mail->from, raw->payload, raw->size);
    if (b->hub)
        bridge_push_data(b,
                         (struct item){.kind = MAIL_DATA,
                                       .rank = mail->rank,
                                       .to = mail->to,
                                       .from = mail->from,
                                       .bytes = mail->bytes},
                         host);
}

/* The hub hears of a host, the others of all hosts. */
static void take_stage(struct meet_bridge *b, int host, uint32_t stage)
{
    b->host[host].stage = stage;
    for (int h = 0; h < b->meet->place.hosts; h++)
        if (b->hub ? h == host : h != b->meet->place.host)
            set_stages(b, h, stage);
}

static void take_left(struct meet_bridge *b, int host, int rank)
{
    if (rank < 0 || rank >= b->meet->ranks || b->meet->place.host_of[rank] == b->meet->place.host)
        return;
    set_left(b, rank);
    if (b->hub)
        bridge_push(b, (struct item){.kind = MAIL_LEFT, .rank = rank}, host);
}

/* Its members have ended for all; when the hub leaves, nobody can be reached any more. */
static void take_bye(struct meet_bridge *b, int host)
{
    struct far_host *from = &b->host[host];
    struct item answer = {.kind = MAIL_BYE};
    if (!from->answered)
        bridge_send(b, from, &answer, 0, true);
    from->bye = from->answered = true;
    for (int r = 0; r < b->meet->ranks; r++) {
        int of = b->meet->place.host_of[r];
        if (!b->left[r] && (b->hub ? of == host : of != b->meet->place.host))
            take_left(b, host, r);
    }
}

static void take_break(struct meet_bridge *b, int host, const struct mail *mail)
{
    bool good = mail->rank >= 0 && mail->rank < b->meet->ranks && mail->number > WHY_NONE &&
                mail->number < WHYS;
    meet_set_broken(b->meet, good ? mail->rank : bridge_lowest(b->meet, host),
                    good ? (enum meet_why)mail->number : WHY_BROKE);
}

/* A host comes to the hub: it must think as we do, and come but once. */
static void take_hello(struct meet_bridge *b, int host, const struct mail *mail, uint32_t peer)
{
    struct far_host *from = &b->host[host];
    struct item answer = {.kind = MAIL_WELCOME};
    if (from->known && from->peer != peer && (from->heard || from->sent)) {
        from->peer = peer;
        bridge_fail(b, host, WHY_HOST_LOST);
        return;
    }
    from->peer = peer;
    from->known = true;
    from->heard_ms = clock_ms();
    if (mail->from != bridge_place(b->meet) || mail->bytes != b->meet->bytes)
        bridge_fail(b, host, WHY_DISAGREE);
    else
        bridge_send(b, from, &answer, 0, false); /* if it gets lost, it is asked for again */
}

static void take_ordered(struct meet_bridge *b, int host, const struct mail *mail,
                         const struct meet_mail *raw)
{
    struct far_host *from = &b->host[host];
    if (mail->serial && mail->serial != ++from->heard) {
        bridge_fail(b, host, WHY_HOST_LOST);
        return;
    }
    from->heard_ms = clock_ms();
    if (mail->kind == MAIL_DATA)
        take_data(b, host, mail, raw);
    else if (mail->kind == MAIL_STAGE)
        take_stage(b, host, mail->number);
    else if (mail->kind == MAIL_LEFT)
        take_left(b, host, mail->rank);
    else if (mail->kind == MAIL_BREAK)
        take_break(b, host, mail);
    else if (mail->kind == MAIL_BYE)
        take_bye(b, host);
}

static void take_at_hub(struct meet_bridge *b, const struct mail *mail, const struct meet_mail *raw)
{
    int host = mail->host;
    if (host < 1 || host >= b->meet->place.hosts)
        return;
    struct far_host *from = &b->host[host];
    if (mail->kind == MAIL_HELLO) {
        take_hello(b, host, mail, raw->peer);
    } else if (from->known && from->peer == raw->peer) {
        take_ordered(b, host, mail, raw);
    } else if (from->heard && !from->bye) { /* it has connected anew: something may be lost */
        from->peer = raw->peer;
        bridge_fail(b, host, WHY_HOST_LOST);
    }
}

/* A hub that does not know who speaks: it was started anew, and the sender is of an old start. */
static void turn_away(struct meet_bridge *b, const struct meet_mail *raw, uint64_t token)
{
    struct mail gone = {.magic = MAIL_MAGIC, .kind = MAIL_GONE, .token = token};
    b->post.send(b->post.user, raw->peer, &gone, sizeof gone, "", 0);
}

static void take(struct meet_bridge *b, const struct meet_mail *raw)
{
    struct mail mail;
    struct far_host *hub = &b->host[0];
    if (raw->head_size != sizeof mail)
        return;
    memcpy(&mail, raw->head, sizeof mail);
    if (mail.magic != MAIL_MAGIC || mail.kind >= MAILS)
        return;
    if (mail.token != b->meet->token) {
        if (b->hub && mail.kind != MAIL_HELLO && mail.kind != MAIL_GONE)
            turn_away(b, raw, mail.token);
        return;
    }
    if (b->hub) {
        take_at_hub(b, &mail, raw);
    } else if (mail.kind == MAIL_GONE) {
        if (hub->known && !hub->bye)
            bridge_fail(b, 0, WHY_HOST_LOST);
    } else if (mail.kind == MAIL_WELCOME || mail.serial || mail.kind == MAIL_BEAT) {
        if (!hub->known) {
            hub->known = true;
            atomic_store(&b->meet->shared->met, 1);
        }
        take_ordered(b, 0, &mail, raw);
    }
}

bool bridge_hear(struct meet_bridge *b)
{
    struct meet_mail raw;
    bool some = false;
    for (int i = 0; i < TURN && bridge_has_room(b) && b->post.take(b->post.user, &raw) == STATUS_OK;
         i++) {
        take(b, &raw);
        some = true;
    }
    return some;
}

/* For tests of the step functions: an outbox that keeps what was sent, and short forms of
 * messages. */
#ifndef FOLDMILL_TESTS_MAILBOX_H
#define FOLDMILL_TESTS_MAILBOX_H

#include "engine/message.h"

#include <criterion/criterion.h>
#include <string.h>

enum { MAILBOX_MAX = 512, MAILBOX_BYTES = 4096 };

struct mailbox {
    struct message messages[MAILBOX_MAX];
    unsigned char payloads[MAILBOX_MAX][MAILBOX_BYTES];
    int count;
};

static inline void mailbox_put(void *user, const struct message *message)
{
    struct mailbox *box = user;
    cr_assert(box->count < MAILBOX_MAX && message->size <= MAILBOX_BYTES, "the mailbox is full");
    struct message *kept = &box->messages[box->count];
    *kept = *message;
    if (message->size)
        memcpy(box->payloads[box->count], message->payload, message->size);
    kept->payload = box->payloads[box->count++];
}

/* How many messages of that type are in the box. */
static inline int mailbox_count(const struct mailbox *box, enum message_type type)
{
    int count = 0;
    for (int i = 0; i < box->count; i++)
        count += box->messages[i].type == type;
    return count;
}

/* The only message of that type, which must be there. */
static inline const struct message *mailbox_one(const struct mailbox *box, enum message_type type)
{
    const struct message *found = NULL;
    for (int i = 0; i < box->count; i++)
        if (box->messages[i].type == type) {
            cr_assert(!found, "more than one %s", message_type_name(type));
            found = &box->messages[i];
        }
    cr_assert(found, "no %s", message_type_name(type));
    return found;
}

/* The n-th message of that type. */
static inline const struct message *mailbox_nth(const struct mailbox *box, enum message_type type,
                                                int n)
{
    for (int i = 0; i < box->count; i++)
        if (box->messages[i].type == type && n-- == 0)
            return &box->messages[i];
    cr_assert(false, "not enough %s", message_type_name(type));
    return NULL;
}

#endif

/* engine/dispatch: keys that a store does not hold yet, and what is urgent. */
#include "tests/engine/dispatch_rig.h"

Test(dispatch_keys, a_missing_key_is_parked_called_urgent_and_woken)
{
    rig_open();
    hello(PEER_WORKER, 30, 1, 1, 0, 0, 0);
    request(1, 4, 1, 0);
    result(MESSAGE_MISS, 30, 1, 1, 0, 4, 1, 0, "");
    const struct message *urgent = mailbox_one(&rig.box, MESSAGE_URGENT);
    cr_assert(urgent->peer == LINK_FILL && urgent->line == 0);
    cr_assert(memcmp(urgent->payload, "key", 3) == 0);
    cr_assert(counts(1, 0).parked == 1 && counts(1, 0).missed == 1);
    request(1, 4, 2, 0);
    cr_assert(rig.box.count == 0 && counts(1, 0).parked == 1, "asking again makes no work");
    tick(DISPATCH_PARK_MS);
    cr_assert(mailbox_count(&rig.box, MESSAGE_URGENT) == 1, "called again");
    result(MESSAGE_COMMIT, 500, LINK_FILL, 0, 0, 0, 0, 0, "other");
    cr_assert(rig.box.count == 0);
    result(MESSAGE_COMMIT, 500, LINK_FILL, 0, 0, 0, 0, 0, "key");
    const struct message *work = mailbox_one(&rig.box, MESSAGE_WORK);
    cr_assert(work->seq == 4 && work->attempt == 2 && counts(1, 0).parked == 0);
    rig_close();
}

Test(dispatch_keys, a_key_that_will_never_be_there)
{
    rig_open();
    hello(PEER_WORKER, 30, 1, 1, 0, 0, 0);
    request(1, 4, 1, 0);
    result(MESSAGE_MISS, 30, 1, 1, 0, 4, 1, 0, "");
    result(MESSAGE_COMMIT, 500, LINK_FILL, 0, 0, 0, 0, MESSAGE_FINAL, "key");
    const struct message *fail = mailbox_one(&rig.box, MESSAGE_FAIL);
    cr_assert(fail->seq == 4 && fail->arg == CAUSE_REFUSED && fail->peer == LINK_RANK0);
    cr_assert(totals().items == 0);
    /* The filling line has ended: what waits looks once more, and what misses then is an error. */
    result(MESSAGE_COMMIT, 500, LINK_FILL, 0, 0, 0, 0, 0, "key");
    request(1, 6, 1, 0);
    result(MESSAGE_MISS, 30, 1, 1, 0, 6, 1, 0, "");
    result(MESSAGE_BYE, 500, LINK_FILL, 0, 0, 0, 0, MESSAGE_FINAL, "");
    tick(DISPATCH_PARK_MS);
    cr_assert(mailbox_one(&rig.box, MESSAGE_WORK)->seq == 6);
    result(MESSAGE_MISS, 30, 1, 1, 0, 6, 1, 0, "");
    fail = mailbox_one(&rig.box, MESSAGE_FAIL);
    cr_assert(fail->arg == CAUSE_ERR && fail->size > 10);
    rig_close();
}

Test(dispatch_keys, urgent_work_first)
{
    rig_open();
    hello(PEER_WORKER, 10, 1, 0, 0, 0, 0);
    for (uint64_t seq = 0; seq < 5; seq++)
        request(0, seq, 1, seq == 4 ? MESSAGE_IMPATIENT : 0);
    result(MESSAGE_OUT, 10, 1, 0, 0, 0, 1, 0, "x");
    cr_assert(mailbox_one(&rig.box, MESSAGE_WORK)->seq == 4);
    request(0, 3, 1, MESSAGE_IMPATIENT); /* the same request has become urgent */
    result(MESSAGE_OUT, 10, 1, 0, 0, 1, 1, 0, "x");
    cr_assert(mailbox_one(&rig.box, MESSAGE_WORK)->seq == 3);
    rig_close();
}

Test(dispatch_keys, a_set_aside_key_is_remembered)
{
    rig_open();
    hello(PEER_WORKER, 30, 1, 1, 0, 0, 0);
    result(MESSAGE_COMMIT, 500, LINK_FILL, 0, 0, 0, 0, MESSAGE_FINAL, "key");
    request(1, 4, 1, 0);
    result(MESSAGE_MISS, 30, 1, 1, 0, 4, 1, 0, "");
    cr_assert(mailbox_one(&rig.box, MESSAGE_FAIL)->arg == CAUSE_REFUSED);
    result(MESSAGE_COMMIT, 500, LINK_FILL, 0, 0, 0, 0, 0, "key"); /* it was made after all */
    request(1, 6, 1, 0);
    result(MESSAGE_MISS, 30, 1, 1, 0, 6, 1, 0, "");
    cr_assert(mailbox_count(&rig.box, MESSAGE_FAIL) == 0 && counts(1, 0).parked == 1);
    rig_close();
}

/* A dispatcher that was started after the filling process had said goodbye must not wait for it. */
Test(dispatch_keys, nobody_fills_the_store)
{
    rig_open();
    hello(PEER_WORKER, 30, 1, 1, 0, 0, 0);
    request(1, 4, 1, 0);
    result(MESSAGE_MISS, 30, 1, 1, 0, 4, 1, 0, "");
    int64_t waited = 0;
    bool failed = false;
    for (; !failed && waited < 2 * DISPATCH_ABSENT_MS; waited += 500) {
        tick(500);
        bool looks = mailbox_count(&rig.box, MESSAGE_WORK) != 0;
        if (looks) /* now and then, in vain */
            result(MESSAGE_MISS, 30, 1, 1, 0, 4, 1, 0, "");
        failed = mailbox_count(&rig.box, MESSAGE_FAIL) != 0;
        cr_assert(!failed || mailbox_one(&rig.box, MESSAGE_FAIL)->arg == CAUSE_ERR);
        struct held held = {4, 1, 1};
        heartbeat(30, 1, &held, 1);
    }
    cr_assert(waited > DISPATCH_ABSENT_MS && waited < DISPATCH_ABSENT_MS + 3000, "%d ms",
              (int)waited);
    hello(PEER_SINK, 500, LINK_FILL, 0, 0, 0, 0); /* it is back: there is hope again */
    request(1, 6, 1, 0);
    result(MESSAGE_MISS, 30, 1, 1, 0, 6, 1, 0, "");
    cr_assert(mailbox_one(&rig.box, MESSAGE_URGENT)->peer == LINK_FILL);
    rig_close();
}

Test(dispatch_keys, agents_are_known_after_their_hello)
{
    rig_open();
    heartbeat(800, LINK_AGENT, NULL, 0);
    cr_assert(mailbox_count(&rig.box, MESSAGE_CHALLENGE) == 1);
    hello(PEER_AGENT, 800, LINK_AGENT, 0, 0, 0, 0);
    cr_assert(mailbox_one(&rig.box, MESSAGE_WELCOME)->peer == LINK_AGENT);
    heartbeat(800, LINK_AGENT, NULL, 0);
    cr_assert(rig.box.count == 0);
    rig_close();
}

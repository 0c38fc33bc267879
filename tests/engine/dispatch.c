/* engine/dispatch: every rule of queues, credits and blame, by hand-written sequences. */
#include "tests/engine/dispatch_rig.h"

Test(dispatch, an_item_goes_through_the_stages_to_its_sink)
{
    rig_open();
    hello(PEER_WORKER, 10, 1, 0, 0, 0, 0);
    cr_assert(mailbox_one(&rig.box, MESSAGE_WELCOME)->arg == DISPATCH_CREDITS);
    hello(PEER_WORKER, 11, 2, 0, 1, 0, 0);
    request(0, 3, 1, 0);
    const struct message *work = mailbox_one(&rig.box, MESSAGE_WORK);
    cr_assert(work->peer == 1 && work->inc == 10 && work->seq == 3 && work->stage == 0);
    cr_assert(work->arg == 2 && work->size == 3 && memcmp(work->payload, "key", 3) == 0);
    cr_assert(counts(0, 0).running == 1 && !dispatch_idle(rig.dispatch));
    result(MESSAGE_OUT, 10, 1, 0, 0, 3, 1, MESSAGE_BLOCK, "descriptor");
    work = mailbox_one(&rig.box, MESSAGE_WORK);
    cr_assert(work->peer == 2 && work->stage == 1 && work->flags == MESSAGE_BLOCK);
    cr_assert(work->size == 10 && memcmp(work->payload, "descriptor", 10) == 0);
    result(MESSAGE_OUT, 11, 2, 0, 1, 3, 1, 0, "made");
    const struct message *data = mailbox_one(&rig.box, MESSAGE_DATA);
    cr_assert(data->peer == LINK_FILL && data->seq == 3 && data->inc == 11 && data->size == 4);
    cr_assert(dispatch_idle(rig.dispatch) && totals().items == 0 && totals().freed == 0);
    cr_assert(counts(0, 0).done == 1 && counts(0, 1).done == 1);
    rig_close();
}

Test(dispatch, credits_are_two_a_worker_and_the_idlest_is_chosen)
{
    rig_open();
    hello(PEER_WORKER, 10, 1, 0, 0, 0, 0);
    hello(PEER_WORKER, 20, 2, 0, 0, 1, 0);
    for (uint64_t seq = 0; seq < 6; seq++)
        request(0, seq, 1, 0);
    cr_assert(counts(0, 0).running == 4 && counts(0, 0).queued == 2 && counts(0, 0).workers == 2);
    struct dispatch_place places[2];
    for (uint64_t seq = 0; seq < 4; seq++) {
        cr_assert(dispatch_why(rig.dispatch, 0, seq, places, 2) == 1);
        cr_assert(places[0].where == WHERE_RUNNING &&
                  places[0].worker_inc == (seq % 2 == 0 ? 10u : 20u), "seq %d", (int)seq);
    }
    cr_assert(dispatch_why(rig.dispatch, 0, 5, places, 2) == 1 && places[0].where == WHERE_QUEUED);
    result(MESSAGE_OUT, 10, 1, 0, 0, 0, 1, 0, "x");
    cr_assert(mailbox_one(&rig.box, MESSAGE_WORK)->seq == 4, "first come, first served");
    rig_close();
}

Test(dispatch, the_queue_holds_a_position_once)
{
    rig_open();
    request(0, 3, 1, 0);
    request(0, 3, 1, 0);
    request(0, 3, 2, 0);
    request(0, 3, 1, 0);
    cr_assert(counts(0, 0).queued == 1 && totals().items == 1);
    hello(PEER_WORKER, 10, 1, 0, 0, 0, 0);
    cr_assert(mailbox_one(&rig.box, MESSAGE_WORK)->attempt == 2, "the newest attempt");
    rig_close();
}

Test(dispatch, a_request_renews_what_waits_further_on_without_new_work)
{
    rig_open();
    hello(PEER_WORKER, 10, 1, 0, 0, 0, 0);
    request(0, 3, 1, 0);
    result(MESSAGE_OUT, 10, 1, 0, 0, 3, 1, MESSAGE_BLOCK, "block");
    request(0, 3, 2, 0);
    cr_assert(mailbox_count(&rig.box, MESSAGE_WORK) == 0 && counts(0, 1).queued == 1);
    hello(PEER_WORKER, 11, 2, 0, 1, 0, 0);
    const struct message *work = mailbox_one(&rig.box, MESSAGE_WORK);
    cr_assert(work->attempt == 2 && work->stage == 1 && memcmp(work->payload, "block", 5) == 0);
    rig_close();
}

Test(dispatch, a_struck_or_changed_request_starts_over_and_frees_the_block)
{
    rig_open();
    hello(PEER_WORKER, 10, 1, 0, 0, 0, 0);
    request(0, 3, 1, 0);
    result(MESSAGE_OUT, 10, 1, 0, 0, 3, 1, MESSAGE_BLOCK, "block");
    step((struct message){.type = MESSAGE_REQ, .peer = LINK_FILL, .inc = 500, .gen = 1, .seq = 3,
                          .attempt = 2, .arg = 1, .payload = "key", .size = 3});
    const struct message *free_it = mailbox_one(&rig.box, MESSAGE_FREE);
    cr_assert(free_it->peer == 1 && free_it->inc == 10);
    cr_assert(memcmp(free_it->payload, "block", 5) == 0);
    const struct message *work = mailbox_one(&rig.box, MESSAGE_WORK);
    cr_assert(work->stage == 0 && work->arg == 1 && work->attempt == 2);
    rig_close();
}

Test(dispatch, two_copies_at_most_are_worked_on)
{
    rig_open();
    for (uint64_t i = 0; i < 3; i++)
        hello(PEER_WORKER, 10 + i, 1 + (uint32_t)i, 0, 0, (uint32_t)i, 0);
    request(0, 3, 1, 0);
    request(0, 3, 2, 0);
    request(0, 3, 3, 0);
    cr_assert(counts(0, 0).running == 2 && totals().declined == 1);
    rig_close();
}

Test(dispatch, when_data_goes_out_other_copies_that_wait_are_dropped)
{
    rig_open();
    hello(PEER_WORKER, 30, 1, 1, 0, 0, 0);
    request(1, 4, 1, 0);
    request(1, 6, 1, 0);
    request(1, 4, 2, 0); /* waits: both credits are in use */
    cr_assert(counts(1, 0).queued == 1);
    result(MESSAGE_OUT, 30, 1, 1, 0, 4, 1, 0, "x");
    cr_assert(mailbox_one(&rig.box, MESSAGE_DATA)->peer == LINK_RANK0);
    cr_assert(counts(1, 0).queued == 0 && counts(1, 0).running == 1);
    rig_close();
}

Test(dispatch, credits_are_absolute_by_held_lists)
{
    rig_open();
    hello(PEER_WORKER, 10, 1, 0, 0, 0, 0);
    request(0, 1, 1, 0);
    request(0, 2, 1, 0);
    struct held held[2] = {{1, 1, 1}, {2, 1, 9}};
    rig.now += DISPATCH_HELD_MS;
    heartbeat(10, 1, held, 1);
    cr_assert(rig.box.count == 0, "not older than T: WORK may still be under way");
    rig.now += 1;
    heartbeat(10, 1, held, 2);
    const struct message *fail = mailbox_one(&rig.box, MESSAGE_FAIL);
    cr_assert(fail->seq == 2 && fail->arg == CAUSE_LOST && fail->attempt == 1);
    cr_assert(counts(0, 0).running == 1 && totals().credits_recovered == 1);
    request(0, 5, 1, 0);
    cr_assert(mailbox_one(&rig.box, MESSAGE_WORK)->seq == 5, "the credit is there again");
    /* The late OUT of the lost one is of no use at the first stage, and touches no credit. */
    result(MESSAGE_OUT, 10, 1, 0, 0, 2, 1, MESSAGE_BLOCK, "late");
    cr_assert(mailbox_one(&rig.box, MESSAGE_FREE)->peer == 1);
    cr_assert(counts(0, 0).running == 2);
    rig_close();
}

Test(dispatch, a_stray_result_of_the_last_stage_is_forwarded)
{
    rig_open();
    hello(PEER_WORKER, 30, 1, 1, 0, 0, 4);
    result(MESSAGE_OUT, 30, 1, 1, 0, 7, 3, 0, "made before");
    const struct message *data = mailbox_one(&rig.box, MESSAGE_DATA);
    cr_assert(data->peer == LINK_RANK0 + 1 && data->attempt == 3 && counts(1, 0).running == 0);
    result(MESSAGE_ERR, 30, 1, 1, 0, 7, 3, 0, "too late to blame");
    cr_assert(rig.box.count == 0);
    rig_close();
}

Test(dispatch, unknown_processes_are_challenged_and_the_dead_stay_dead)
{
    rig_open();
    heartbeat(77, 9, NULL, 0);
    cr_assert(mailbox_one(&rig.box, MESSAGE_CHALLENGE)->peer == 9);
    result(MESSAGE_OUT, 77, 9, 1, 0, 7, 3, MESSAGE_BLOCK, "block");
    cr_assert(mailbox_count(&rig.box, MESSAGE_DATA) == 0);
    cr_assert(mailbox_one(&rig.box, MESSAGE_FREE)->peer == 9);
    hello(PEER_WORKER, 77, 9, 0, 0, 0, 3);
    died(77, CAUSE_LOST, 0, 0, UINT64_MAX, 0);
    cr_assert(mailbox_one(&rig.box, MESSAGE_DIEDOK)->inc == 77);
    hello(PEER_WORKER, 77, 9, 0, 0, 0, 3); /* a late duplicate of its first word */
    cr_assert(rig.box.count == 0 && counts(0, 0).workers == 0);
    rig_close();
}

Test(dispatch, only_the_executing_item_is_blamed)
{
    rig_open();
    hello(PEER_WORKER, 10, 1, 0, 0, 0, 0);
    request(0, 1, 1, 0);
    request(0, 2, 1, 0);
    died(10, CAUSE_CRASH, 0, 0, 2, 1);
    cr_assert(mailbox_count(&rig.box, MESSAGE_FAIL) == 2);
    for (int i = 0; i < 2; i++) {
        const struct message *fail = mailbox_nth(&rig.box, MESSAGE_FAIL, i);
        cr_assert(fail->arg == (fail->seq == 2 ? CAUSE_CRASH : CAUSE_LOST) && fail->inc == 10);
        cr_assert(fail->seq != 2 || memcmp(fail->payload, "signal 11", 9) == 0);
    }
    died(10, CAUSE_CRASH, 0, 0, 2, 1);
    cr_assert(mailbox_count(&rig.box, MESSAGE_DIEDOK) == 1, "repeated words are acknowledged");
    rig_close();
}

Test(dispatch, a_kill_from_outside_blames_nobody)
{
    rig_open();
    hello(PEER_WORKER, 10, 1, 0, 0, 0, 0);
    request(0, 1, 1, 0);
    died(10, CAUSE_LOST, 0, 0, 1, 1);
    cr_assert(mailbox_one(&rig.box, MESSAGE_FAIL)->arg == CAUSE_LOST);
    hello(PEER_WORKER, 11, 1, 0, 0, 0, 0);
    request(0, 2, 1, 0);
    died(11, CAUSE_TIMEOUT, 0, 0, 2, 1);
    cr_assert(mailbox_one(&rig.box, MESSAGE_FAIL)->arg == CAUSE_TIMEOUT);
    rig_close();
}

Test(dispatch, silence_and_new_incarnations_lose_what_was_held)
{
    rig_open();
    hello(PEER_WORKER, 10, 1, 0, 0, 0, 0);
    request(0, 1, 1, 0);
    tick(DISPATCH_SILENT_MS);
    cr_assert(rig.box.count == 0);
    tick(1);
    cr_assert(mailbox_one(&rig.box, MESSAGE_FAIL)->arg == CAUSE_LOST && counts(0, 0).workers == 0);
    hello(PEER_WORKER, 10, 1, 0, 0, 0, 1);
    request(0, 1, 2, 0);
    cr_assert(counts(0, 0).running == 1);
    hello(PEER_WORKER, 12, 3, 0, 0, 0, 0); /* the same place, another process */
    const struct message *fail = mailbox_one(&rig.box, MESSAGE_FAIL);
    cr_assert(fail->seq == 1 && fail->attempt == 2 && counts(0, 0).workers == 1);
    rig_close();
}

Test(dispatch, a_struck_item_waits_for_a_fresh_process_and_is_alone_in_it)
{
    rig_open();
    hello(PEER_WORKER, 10, 1, 0, 0, 0, 3); /* has worked before */
    request(0, 1, 2, MESSAGE_SOLO);
    request(0, 2, 1, 0);
    cr_assert(mailbox_one(&rig.box, MESSAGE_WORK)->seq == 2 && counts(0, 0).queued == 1);
    tick(100);
    cr_assert(mailbox_one(&rig.box, MESSAGE_DRAIN)->inc == 10, "asked to make room");
    request(0, 3, 1, 0);
    cr_assert(rig.box.count == 0, "and is given nothing more");
    result(MESSAGE_OUT, 10, 1, 0, 0, 2, 1, 0, "x");
    cr_assert(mailbox_count(&rig.box, MESSAGE_WORK) == 0);
    result(MESSAGE_BYE, 10, 1, 0, 0, 0, 0, 0, "");
    hello(PEER_WORKER, 11, 2, 0, 0, 0, 0);
    const struct message *work = mailbox_one(&rig.box, MESSAGE_WORK);
    cr_assert(work->seq == 1 && (work->flags & MESSAGE_SOLO) && work->peer == 2);
    request(0, 4, 1, 0);
    cr_assert(mailbox_count(&rig.box, MESSAGE_WORK) == 0, "nothing beside it");
    result(MESSAGE_OUT, 11, 2, 0, 0, 1, 2, 0, "x");
    cr_assert(mailbox_count(&rig.box, MESSAGE_WORK) == 2, "then the others");
    rig_close();
}

Test(dispatch, refused_and_failed_items_go_to_the_sink_with_their_reason)
{
    rig_open();
    hello(PEER_WORKER, 10, 1, 0, 0, 0, 0);
    request(0, 1, 1, 0);
    result(MESSAGE_REFUSED, 10, 1, 0, 0, 1, 1, 0, "no atoms");
    const struct message *fail = mailbox_one(&rig.box, MESSAGE_FAIL);
    cr_assert(fail->arg == CAUSE_REFUSED && memcmp(fail->payload, "no atoms", 8) == 0);
    request(0, 2, 1, 0);
    result(MESSAGE_ERR, 10, 1, 0, 0, 2, 1, 0, "bug");
    cr_assert(mailbox_one(&rig.box, MESSAGE_FAIL)->arg == CAUSE_ERR);
    request(0, 3, 1, 0);
    result(MESSAGE_OUT, 10, 1, 0, 0, 3, 1, MESSAGE_EMPTY, "");
    cr_assert(mailbox_one(&rig.box, MESSAGE_DATA)->flags == MESSAGE_EMPTY, "skips later stages");
    cr_assert(counts(0, 0).refused == 1 && counts(0, 0).failed == 1 && counts(0, 0).done == 1);
    rig_close();
}

Test(dispatch, generations_are_fenced)
{
    rig_open();
    hello(PEER_WORKER, 30, 1, 1, 0, 0, 0);
    request(1, 2, 1, 0);
    request(1, 4, 1, 0);
    request(1, 6, 1, 0); /* queued */
    struct hello again = {.role = PEER_SINK, .version = MESSAGE_VERSION, .graph_hash = 5};
    unsigned char bytes[HELLO_BYTES_MAX];
    uint32_t size = (uint32_t)hello_encode(&again, bytes);
    step((struct message){.type = MESSAGE_HELLO, .peer = 70, .inc = 700, .line = 1, .gen = 2,
                          .payload = bytes, .size = size});
    cr_assert(counts(1, 0).queued == 0 && counts(1, 0).running == 2);
    result(MESSAGE_OUT, 30, 1, 1, 0, 2, 1, MESSAGE_BLOCK, "old");
    cr_assert(mailbox_count(&rig.box, MESSAGE_DATA) == 0, "no content of another generation");
    cr_assert(mailbox_one(&rig.box, MESSAGE_FREE)->peer == 1);
    request(1, 8, 1, 0);
    cr_assert(rig.box.count == 0 && totals().dropped_gen == 1, "nor requests of an older one");
    rig_close();
}

Test(dispatch, other_versions_graphs_and_jobs_are_refused)
{
    rig_open();
    struct hello other = {.role = PEER_WORKER, .version = MESSAGE_VERSION, .graph_hash = 6};
    unsigned char bytes[HELLO_BYTES_MAX];
    uint32_t size = (uint32_t)hello_encode(&other, bytes);
    step((struct message){.type = MESSAGE_HELLO, .peer = 9, .inc = 9, .payload = bytes,
                          .size = size});
    const struct message *refuse = mailbox_one(&rig.box, MESSAGE_REFUSE);
    cr_assert(refuse->peer == 9 && memmem(refuse->payload, refuse->size, "0000000000000006", 16));
    other.version = 3;
    size = (uint32_t)hello_encode(&other, bytes);
    step((struct message){.type = MESSAGE_HELLO, .peer = 9, .inc = 9, .payload = bytes,
                          .size = size});
    refuse = mailbox_one(&rig.box, MESSAGE_REFUSE);
    cr_assert(memmem(refuse->payload, refuse->size, "you speak 3", 11) != NULL);
    struct message stranger = {.type = MESSAGE_HB, .job = 2, .inc = 9, .peer = 9};
    rig.box.count = 0;
    dispatch_step(rig.dispatch, &stranger, rig.now, &rig.out);
    cr_assert(rig.box.count == 0 && totals().dropped_job == 1);
    rig_close();
}

Test(dispatch, drain_gives_nothing_more)
{
    rig_open();
    hello(PEER_WORKER, 10, 1, 0, 0, 0, 0);
    request(0, 1, 1, 0);
    rig.box.count = 0;
    dispatch_drain(rig.dispatch, &rig.out);
    cr_assert(mailbox_count(&rig.box, MESSAGE_DRAIN) == 3, "all sinks are told");
    request(0, 2, 1, 0);
    cr_assert(rig.box.count == 0 && !dispatch_idle(rig.dispatch));
    result(MESSAGE_OUT, 10, 1, 0, 0, 1, 1, 0, "x");
    cr_assert(rig.box.count == 0 && dispatch_idle(rig.dispatch));
    rig_close();
}

Test(dispatch, nonsense_changes_nothing)
{
    rig_open();
    hello(PEER_WORKER, 10, 1, 0, 0, 0, 0);
    for (int type = 0; type < MESSAGE_TYPES + 2; type++)
        for (uint16_t line = 0; line < 70; line += 23) {
            if (type == MESSAGE_DRAIN || type == MESSAGE_BYE)
                continue;
            step((struct message){.type = (enum message_type)type, .peer = 3, .inc = 10,
                                  .line = line, .stage = 40, .seq = UINT64_MAX, .gen = 1,
                                  .attempt = 9, .payload = "?", .size = 1});
        }
    request(0, 1, 1, 0);
    cr_assert(mailbox_one(&rig.box, MESSAGE_WORK)->seq == 1);
    rig_close();
}

Test(dispatch, impossible_plans_are_refused)
{
    struct dispatch_line line = {.stage_count = 1, .pool = {1}, .group = 3, .rank_count = 2,
                                 .filled_by = -1};
    struct dispatch_config config = {.line_count = 1, .pool_count = 1, .worker_max = 1,
                                     .lines = &line};
    struct dispatch *dispatch;
    struct arena arena;
    struct error err;
    arena_open(&arena, 0);
    cr_assert(dispatch_open(&dispatch, &config, &arena, &err) == STATUS_INVALID);
    line.group = 4;
    cr_assert(dispatch_open(&dispatch, &config, &arena, &err) == STATUS_INVALID);
    cr_assert(strstr(err.text, "no pool 1"), "%s", err.text);
    arena_close(&arena);
}

/* Three lines whose stages share one kind of process: 0 and 2 train, 1 fills ahead of them. */
Test(dispatch, lines_that_share_processes_take_turns)
{
    static const struct dispatch_line lines[3] = {
        {.stage_count = 1, .pool = {0}, .group = 1, .rank_count = 1, .window = 8, .filled_by = -1},
        {.stage_count = 1, .pool = {0}, .group = 1, .rank_count = 1, .window = 8, .filled_by = -1,
         .rank = 1},
        {.stage_count = 1, .pool = {0}, .group = 1, .rank_count = 1, .window = 8, .filled_by = -1},
    };
    struct dispatch_config config = {.job = 1, .inc = 900, .graph_hash = 5, .line_count = 3,
                                     .pool_count = 1, .worker_max = 2, .lines = lines};
    rig.out = (struct outbox){&rig.box, mailbox_put};
    arena_open(&rig.arena, 0);
    cr_assert(dispatch_open(&rig.dispatch, &config, &rig.arena, NULL) == STATUS_OK);
    for (uint16_t line = 0; line < 3; line++) {
        hello(PEER_SINK, 500u + line, line, line, 0, 0, 0);
        for (uint64_t seq = 0; seq < 4; seq++)
            step((struct message){.type = MESSAGE_REQ, .inc = 500u + line, .peer = line,
                                  .line = line, .gen = 1, .seq = seq, .attempt = 1,
                                  .flags = line == 1 && seq == 3 ? MESSAGE_IMPATIENT : 0,
                                  .payload = "key", .size = 3});
    }
    static const uint16_t wanted[12] = {1, 2, 0, 2, 0, 2, 0, 2, 0, 1, 1, 1};
    struct message held[2];
    hello(PEER_WORKER, 10, 9, 1, 0, 0, 0);
    cr_assert(mailbox_count(&rig.box, MESSAGE_WORK) == 2);
    for (int i = 0; i < 12; i++) {
        if (i < 2) {
            held[i] = *mailbox_nth(&rig.box, MESSAGE_WORK, i);
        } else {
            result(MESSAGE_OUT, 10, 9, held[i % 2].line, 0, held[i % 2].seq, 1, 0, "x");
            cr_assert(mailbox_one(&rig.box, MESSAGE_DATA)->peer == held[i % 2].line);
            held[i % 2] = *mailbox_one(&rig.box, MESSAGE_WORK);
        }
        if (i == 0 && held[0].line == 1)
            cr_assert(held[0].seq == 3, "the urgent one first");
        cr_assert(held[i % 2].line == wanted[i], "work %d is of line %u", i, held[i % 2].line);
    }
    rig_close();
}

Test(dispatch, workers_of_other_engines_have_places_of_their_own)
{
    rig_open();
    hello(PEER_WORKER, 10, 1, 0, 0, 0, 0);
    unsigned char bytes[HELLO_BYTES_MAX];
    for (uint64_t node = 1; node <= 2; node++) {
        struct hello joined = {.role = PEER_WORKER, .version = MESSAGE_VERSION, .graph_hash = 5,
                               .node = node};
        uint32_t size = (uint32_t)hello_encode(&joined, bytes);
        step((struct message){.type = MESSAGE_HELLO, .peer = 20, .inc = 20 + node,
                              .payload = bytes, .size = size});
        cr_assert(mailbox_one(&rig.box, MESSAGE_WELCOME)->arg == DISPATCH_CREDITS);
    }
    cr_assert(counts(0, 0).workers == 3, "number 0 of three engines: %u", counts(0, 0).workers);
    struct hello again = {.role = PEER_WORKER, .version = MESSAGE_VERSION, .graph_hash = 5,
                          .node = 2};
    uint32_t size = (uint32_t)hello_encode(&again, bytes);
    step((struct message){.type = MESSAGE_HELLO, .peer = 21, .inc = 30, .payload = bytes,
                          .size = size});
    cr_assert(counts(0, 0).workers == 3 && totals().workers_lost == 1, "one place, one process");
    rig_close();
}

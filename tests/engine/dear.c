/* Dear samples are begun before their turn, so that nobody waits for them alone: by the
 * dispatcher's queues, and in whole runs, whose batches stay the same. */
#include "tests/engine/dispatch_rig.h"
#include "tests/engine/process.h"

static void request_lead(uint64_t seq, uint16_t lead, uint16_t flags)
{
    step((struct message){.type = MESSAGE_REQ,
                          .peer = LINK_FILL,
                          .inc = 500,
                          .gen = 1,
                          .seq = seq,
                          .attempt = 1,
                          .flags = flags,
                          .stage = lead,
                          .payload = "key",
                          .size = 3});
}

/* What the worker 10 is given when it has done `done` of stage 0. */
static uint64_t next_after(uint64_t done)
{
    result(MESSAGE_OUT, 10, 1, 0, 0, done, 1, 0, "x");
    return mailbox_one(&rig.box, MESSAGE_WORK)->seq;
}

Test(dear, work_begins_by_position_less_lead)
{
    rig_open();
    hello(PEER_WORKER, 10, 1, 0, 0, 0, 0);
    request_lead(0, 0, 0);
    request_lead(1, 0, 0);
    request_lead(5, 0, 0);
    request_lead(7, 3, 0); /* as if it stood at 4 */
    request_lead(6, 2, 0); /* at 4 too: the earlier position first */
    request_lead(2, 0, 0);
    request_lead(4, 0, MESSAGE_IMPATIENT);
    static const uint64_t order[] = {4, 2, 6, 7, 5};
    uint64_t held[2] = {0, 1};
    for (int i = 0; i < 5; i++) {
        uint64_t next = next_after(held[i % 2]);
        cr_assert(next == order[i], "%llu, wanted %llu", (unsigned long long)next,
                  (unsigned long long)order[i]);
        held[i % 2] = next;
    }
    rig_close();
}

Test(dear, nothing_is_given_to_who_has_a_dear_one_in_hand)
{
    rig_open();
    hello(PEER_WORKER, 10, 1, 0, 0, 0, 0);
    hello(PEER_WORKER, 11, 2, 0, 0, 1, 0);
    request_lead(7, 2 * DISPATCH_DEAR, 0); /* two processes: four usual items each */
    cr_assert(mailbox_one(&rig.box, MESSAGE_WORK)->inc == 10);
    for (uint64_t seq = 0; seq < 4; seq++) {
        request_lead(seq, 2, 0);
        int given = mailbox_count(&rig.box, MESSAGE_WORK);
        cr_assert(given == (seq < 2), "%llu", (unsigned long long)seq);
        cr_assert(!given || mailbox_one(&rig.box, MESSAGE_WORK)->inc == 11);
    }
    cr_assert(counts(0, 0).queued == 2);
    result(MESSAGE_OUT, 10, 1, 0, 0, 7, 1, 0, "x");
    cr_assert(mailbox_count(&rig.box, MESSAGE_WORK) == 2 && counts(0, 0).queued == 0);
    rig_close();
}

/* ---- whole runs ---- */

/* One in 40 takes 82 ms, the others 2. Four processes make 32 samples in 32 ms, a step takes 40. */
static const char graph[] = "graph: dear\nseed: 3\nstages:\n"
                            "  count:\n    with: {count: 1600}\n"
                            "  echo:\n    in: count\n    workers: 4\n"
                            "    with: {sleep_us: 2000, slow_every: 40, slow_ms: 80}\n"
                            "  bundle:\n    in: echo\n    with: {size: 32}\n"
                            "  tally:\n    in: bundle\n    with: {sleep_us: 40000}\n";

/* Seconds that the sink waited, after its first step. */
static double waited(const char *name)
{
    struct span table = process_read(name), line, word;
    double sum = 0;
    span_line(&table, &line);
    span_line(&table, &line);
    while (span_line(&table, &line)) {
        for (int i = 0; i < 5; i++)
            cr_assert(span_word(&line, &word), "a column of waited_s");
        sum += strtod(word.data, NULL);
    }
    return sum;
}

Test(dear, the_sink_waits_less_and_takes_the_same, .timeout = 120)
{
    char path[2][PATH_MAX];
    double wait[2];
    process_begin();
    process_graph("g", graph);
    for (int dear = 0; dear < 2; dear++) {
        snprintf(path[dear], PATH_MAX, "%s", process_path(dear ? "dear" : "turn"));
        const char *args[] = {"run",
                              process_path("g"),
                              "--run",
                              path[dear],
                              "--quiet",
                              dear ? "--set" : NULL,
                              "count.dear_every=40",
                              "--set",
                              "count.dear=41",
                              NULL};
        cr_assert(process_run(args, 60) == 0, "%s", process_read("out").data);
        wait[dear] = waited(dear ? "dear/tally.tsv" : "turn/tally.tsv");
    }
    printf("the sink waited %.3f s when work began in turn, %.3f s when it began by cost\n",
           wait[0], wait[1]);
    char *turn = process_digests("turn/tally.tsv"), *by_cost = process_digests("dear/tally.tsv");
    cr_assert(process_lines(span_of(turn)) == 51 && strcmp(turn, by_cost) == 0);
    cr_assert(wait[1] < 0.8 * wait[0], "%.3f s and %.3f s", wait[0], wait[1]);
    process_end();
}

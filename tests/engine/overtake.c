/* engine/sink in the order overtake: which positions a step takes, with which passes, and what is
 * taken again when a step is made again. */
#include "engine/sink.h"

#include "tests/engine/mailbox.h"

#include <stdio.h>

enum { BATCH = 2, SEED = 3, PASSES = 3, COUNT = 40 };

static struct {
    struct arena arena;
    struct sink *sink;
    struct mailbox box;
    struct outbox out;
    int64_t now;
    struct sink_batch batch;
    uint64_t planned[8][BATCH]; /* by step */
    int plan_count;
} rig;

static size_t key_of(void *user, uint64_t index, char *key)
{
    (void)user;
    return (size_t)sprintf(key, "k%llu", (unsigned long long)index);
}

static bool planned(void *user, uint64_t step, uint64_t *seqs, uint32_t count)
{
    (void)user;
    cr_assert(count == BATCH);
    if (step >= (uint64_t)rig.plan_count)
        return false;
    memcpy(seqs, rig.planned[step], sizeof rig.planned[step]);
    return true;
}

/* Running from `step`, of which the seqs in taken (ended by -1) were taken before. */
static void run_from(uint32_t overtake, uint32_t passes, uint64_t step, const int *taken)
{
    struct sink_config config = {
        .job = 1, .inc = 600, .line = 1, .gen = 4, .rank_count = 1, .ordered = true,
        .order = order_make(SEED, COUNT, BATCH, false, NULL), .window = 12, .overtake = overtake,
        .seq_end = COUNT, .recycles_max = passes, .key = key_of, .planned = planned};
    unsigned char bytes[STARTED_BYTES];
    struct started started = {step, 77, 0};
    struct error err;
    rig.out = (struct outbox){&rig.box, mailbox_put};
    rig.now = 1000;
    arena_open(&rig.arena, 0);
    cr_assert(sink_open(&rig.sink, &config, &rig.arena, &err) == STATUS_OK, "%s", err.text);
    struct message in = {.type = MESSAGE_WELCOME, .job = 1, .line = 1, .gen = 4, .inc = 900};
    sink_step(rig.sink, &in, rig.now, &rig.out);
    started_encode(&started, bytes);
    in = (struct message){.type = MESSAGE_STARTED, .peer = SINK_TO_COORDINATE, .job = 1, .line = 1,
                          .gen = 4, .arg = 1, .payload = bytes, .size = sizeof bytes};
    sink_step(rig.sink, &in, rig.now, &rig.out);
    for (; taken && *taken >= 0; taken++)
        cr_assert(sink_mark_taken(rig.sink, (uint64_t)*taken), "%d", *taken);
    rig.box.count = 0;
    sink_begin(rig.sink, step, rig.now, &rig.out);
}

static void data(uint64_t seq, uint32_t passes)
{
    struct message in = {.type = MESSAGE_DATA, .job = 1, .line = 1, .gen = 4, .seq = seq,
                         .attempt = 1, .arg = passes, .payload = "x", .size = 1};
    rig.box.count = 0;
    sink_step(rig.sink, &in, rig.now, &rig.out);
}

static bool next_step(void)
{
    rig.box.count = 0;
    return sink_batch(rig.sink, &rig.batch, rig.now, &rig.out);
}

static bool takes(uint64_t a, uint64_t b)
{
    return next_step() && rig.batch.items[0].seq == a && rig.batch.items[1].seq == b;
}

static void done(void)
{
    rig.box.count = 0;
    sink_batch_done(rig.sink, rig.now, &rig.out);
}

/* The passes of the step whose turn seq is. */
static uint32_t passes_of(uint64_t seq)
{
    return order_recycles(SEED, seq / BATCH, PASSES);
}

Test(overtake, what_is_ready_goes_first_but_nobody_is_overtaken_by_more_than_the_bound)
{
    run_from(3, 0, 0, NULL);
    cr_assert(mailbox_count(&rig.box, MESSAGE_REQ) == 12);
    for (uint64_t seq = 1; seq < 12; seq++)
        data(seq, 0);
    cr_assert(takes(1, 2), "0 is late");
    data(0, 0);
    cr_assert(takes(1, 2), "what was chosen stays so");
    done();
    cr_assert(takes(0, 3), "the oldest first");
    done();
    cr_assert(mailbox_count(&rig.box, MESSAGE_REQ) == 4, "12 to 15 come into the window");
    arena_close(&rig.arena);
    run_from(3, 0, 0, NULL);
    for (uint64_t seq = 1; seq < 12; seq++)
        data(seq, 0);
    cr_assert(takes(1, 2));
    done();
    cr_assert(!next_step(), "0 has been overtaken by 2; by 4 were too many");
    data(0, 0);
    cr_assert(takes(0, 3));
    arena_close(&rig.arena);
}

Test(overtake, a_bound_of_nothing_is_strict_order)
{
    run_from(0, 0, 0, NULL);
    for (uint64_t seq = 1; seq < 12; seq++)
        data(seq, 0);
    cr_assert(!next_step());
    data(0, 0);
    cr_assert(takes(0, 1));
    arena_close(&rig.arena);
}

Test(overtake, a_step_takes_what_was_made_with_its_passes)
{
    /* Steps 0 to 3 have four numbers of passes, steps 4 and 5 two of them again. */
    run_from(12, PASSES, 0, NULL);
    uint64_t same = 2;
    while (passes_of(same) != passes_of(0))
        same++;
    cr_assert(same == 8 || same == 10, "in this seed's second block: %d", (int)same);
    for (uint64_t seq = 1; seq < 12; seq++)
        data(seq, passes_of(seq));
    cr_assert(takes(1, same), "not 2, which has other passes");
    cr_assert(rig.batch.recycles == passes_of(0));
    done();
    cr_assert(takes(2, 3));
    arena_close(&rig.arena);
}

Test(overtake, what_is_lacking_is_asked_for_again_with_the_passes_of_the_step)
{
    struct sink_counts counts;
    run_from(2, PASSES, 0, NULL);
    for (uint64_t seq = 1; seq < 8; seq++)
        data(seq, passes_of(seq));
    cr_assert(!next_step() && rig.box.count == 0, "0 may come any moment");
    rig.now += 3000;
    cr_assert(!next_step());
    const struct message *again = mailbox_one(&rig.box, MESSAGE_REQ);
    cr_assert(again->seq == 7 && again->arg == passes_of(0) && again->attempt == 2);
    data(7, passes_of(7));
    cr_assert(!next_step(), "what was made before that does not count");
    data(7, passes_of(0));
    cr_assert(takes(1, 7));
    sink_count(rig.sink, &counts);
    cr_assert(counts.recounted >= 1 && counts.overtaken == 0);
    done();
    /* 0 may wait for step 1 alone now, and is asked for with its passes. */
    cr_assert(!next_step());
    cr_assert(mailbox_one(&rig.box, MESSAGE_REQ)->seq == 0);
    data(0, passes_of(2));
    cr_assert(takes(0, 2));
    sink_count(rig.sink, &counts);
    cr_assert(counts.overtaken == 1);
    arena_close(&rig.arena);
}

Test(overtake, resumes_with_what_was_taken)
{
    static const int taken[] = {1, 2, 3, 5, -1};
    run_from(4, 0, 2, taken);
    cr_assert(mailbox_count(&rig.box, MESSAGE_REQ) == 12 - 4 + 0, "0, 4 and 6 to 11");
    for (uint64_t seq = 6; seq < 12; seq++)
        data(seq, 0);
    cr_assert(!next_step(), "0 has been overtaken by 4");
    data(0, 0);
    cr_assert(takes(0, 6));
    done();
    data(4, 0);
    cr_assert(takes(4, 7));
    arena_close(&rig.arena);
    static const int first[] = {0, 1, -1};
    run_from(4, 0, 1, first);
    cr_assert(mailbox_nth(&rig.box, MESSAGE_REQ, 0)->seq == 2);
    arena_close(&rig.arena);
}

Test(overtake, follows_the_journal_as_far_as_it_goes)
{
    static const uint64_t plan[2][BATCH] = {{2, 5}, {0, 1}};
    memcpy(rig.planned, plan, sizeof plan);
    rig.plan_count = 2;
    run_from(4, PASSES, 0, NULL);
    for (uint64_t seq = 0; seq < 12; seq++)
        data(seq, passes_of(seq));
    cr_assert(!next_step(), "2 and 5 were made with other passes");
    cr_assert(mailbox_count(&rig.box, MESSAGE_REQ) == 2);
    data(2, passes_of(0));
    data(5, passes_of(0));
    cr_assert(takes(2, 5));
    cr_assert(mailbox_count(&rig.box, MESSAGE_REQ) == 2, "the next step's too");
    done();
    data(0, passes_of(2));
    data(1, passes_of(2));
    cr_assert(takes(0, 1));
    done();
    cr_assert(!next_step() || rig.batch.items[0].seq == 3, "then what is there");
    arena_close(&rig.arena);
}

Test(overtake, a_row_that_does_not_fit_ends_the_following)
{
    static const uint64_t plan[1][BATCH] = {{2, 30}};
    memcpy(rig.planned, plan, sizeof plan);
    rig.plan_count = 1;
    run_from(4, 0, 0, NULL);
    data(0, 0);
    data(1, 0);
    cr_assert(takes(0, 1), "30 is beyond the window");
    arena_close(&rig.arena);
}

/* engine/coordinate: generations, checkpoints, what is set aside; durable before visible. */
#include "engine/coordinate.h"

#include "tests/engine/mailbox.h"

static struct {
    struct arena arena;
    struct coordinate *coordinate;
    struct mailbox box;
    struct outbox out;
    unsigned char log[64][COORDINATE_RECORD_MAX];
    size_t log_size[64];
    int log_count, fail_at; /* fail_at: the append that fails; -1 none */
    int box_count_at_append;
} rig;

static enum status append(void *user, struct span bytes, struct error *err)
{
    (void)user;
    rig.box_count_at_append = rig.box.count;
    if (rig.log_count == rig.fail_at)
        return error_set(err, STATUS_FULL, "disk full");
    memcpy(rig.log[rig.log_count], bytes.data, bytes.size);
    rig.log_size[rig.log_count++] = bytes.size;
    return STATUS_OK;
}

static const uint64_t max_bad[2] = {2, UINT64_MAX};

/* A coordinator that has read the log. */
static void restart(uint32_t epoch)
{
    struct coordinate_config config = {.job = 1, .inc = 800 + epoch, .epoch = epoch,
                                       .line_count = 2, .max_bad = max_bad};
    struct error err;
    rig.out = (struct outbox){&rig.box, mailbox_put};
    arena_open(&rig.arena, 0);
    cr_assert(coordinate_open(&rig.coordinate, &config, &rig.arena, &err) == STATUS_OK);
    for (int i = 0; i < rig.log_count; i++) {
        struct span bytes = {(const char *)rig.log[i], rig.log_size[i]};
        cr_assert(coordinate_replay(rig.coordinate, bytes, &err) == STATUS_OK, "%s", err.text);
    }
}

static void rig_open(void)
{
    rig.fail_at = -1;
    rig.log_count = 0;
    restart(1);
}

static void step(struct message in)
{
    struct durable_log log = {NULL, append};
    in.job = 1;
    in.peer = 33;
    rig.box.count = 0;
    coordinate_step(rig.coordinate, &in, 0, &log, &rig.out);
}

static void start(uint16_t line, uint32_t gen, uint64_t graph, uint64_t list)
{
    unsigned char bytes[START_BYTES];
    start_encode(&(struct start){graph, list, 100}, bytes);
    step((struct message){.type = MESSAGE_START, .line = line, .gen = gen, .payload = bytes,
                          .size = sizeof bytes});
}

static void checkpoint(uint32_t gen, uint64_t done, uint64_t digest)
{
    unsigned char bytes[CKPT_BYTES];
    ckpt_encode(digest, bytes);
    step((struct message){.type = MESSAGE_CKPT, .gen = gen, .seq = done, .payload = bytes,
                          .size = sizeof bytes});
}

static void propose(uint32_t gen, uint64_t seq, uint64_t index, const char *key)
{
    struct aside aside = {.index = index, .text = "crashed"};
    unsigned char bytes[ASIDE_BYTES_MAX];
    strcpy(aside.key, key);
    uint32_t size = (uint32_t)aside_encode(&aside, bytes);
    step((struct message){.type = MESSAGE_QPROP, .gen = gen, .seq = seq, .arg = CAUSE_CRASH,
                          .payload = bytes, .size = size});
}

static struct started started_of(const struct message *message)
{
    struct started started;
    struct span bytes = {message->payload, message->size};
    cr_assert(started_decode(bytes, &started, NULL) == STATUS_OK);
    return started;
}

Test(coordinate, a_start_is_a_new_generation_once)
{
    rig_open();
    cr_assert(coordinate_next_gen(rig.coordinate, 0) == 1);
    start(0, 1, 7, 8);
    const struct message *answer = mailbox_one(&rig.box, MESSAGE_STARTED);
    cr_assert(answer->gen == 1 && answer->peer == 33 && answer->arg == 1 && answer->inc == 801);
    cr_assert(started_of(answer).step == 0 && rig.log_count == 2);
    start(0, 1, 7, 8);
    cr_assert(mailbox_count(&rig.box, MESSAGE_STARTED) == 1 && rig.log_count == 2, "idempotent");
    start(0, 5, 7, 8);
    cr_assert(coordinate_gen(rig.coordinate, 0) == 5 && coordinate_gen(rig.coordinate, 1) == 0);
    start(0, 4, 7, 8);
    const struct message *refuse = mailbox_one(&rig.box, MESSAGE_REFUSE);
    cr_assert(refuse->gen == 4 && memmem(refuse->payload, refuse->size, "replaced by 5", 13));
    arena_close(&rig.arena);
}

Test(coordinate, another_list_is_refused_another_graph_is_a_new_record)
{
    rig_open();
    start(0, 1, 7, 8);
    start(0, 2, 9, 8);
    cr_assert(mailbox_count(&rig.box, MESSAGE_STARTED) == 1 && rig.log_count == 4);
    start(0, 3, 9, 10);
    const struct message *refuse = mailbox_one(&rig.box, MESSAGE_REFUSE);
    cr_assert(memmem(refuse->payload, refuse->size, "000000000000000a", 16) != NULL);
    cr_assert(coordinate_gen(rig.coordinate, 0) == 2);
    arena_close(&rig.arena);
}

Test(coordinate, the_checkpoint_moves_forward_and_only_for_this_generation)
{
    rig_open();
    start(0, 2, 7, 8);
    checkpoint(2, 10, 111);
    cr_assert(mailbox_one(&rig.box, MESSAGE_CKOK)->seq == 10);
    checkpoint(2, 10, 111);
    checkpoint(2, 9, 99);
    cr_assert(mailbox_one(&rig.box, MESSAGE_CKOK)->seq == 10, "never back");
    checkpoint(1, 50, 1);
    cr_assert(mailbox_count(&rig.box, MESSAGE_CKOK) == 0);
    cr_assert(mailbox_count(&rig.box, MESSAGE_REFUSE) == 1, "a zombie is told");
    uint64_t digest;
    cr_assert(coordinate_checkpoint(rig.coordinate, 0, &digest) == 10 && digest == 111);
    start(0, 3, 7, 8);
    cr_assert(started_of(mailbox_one(&rig.box, MESSAGE_STARTED)).step == 10);
    arena_close(&rig.arena);
}

Test(coordinate, set_aside_once_and_told_to_the_next_generation)
{
    rig_open();
    start(0, 1, 7, 8);
    propose(1, 17, 3, "1abc_A");
    cr_assert(mailbox_one(&rig.box, MESSAGE_QOK)->seq == 17);
    int logged = rig.log_count;
    propose(1, 17, 3, "1abc_A");
    cr_assert(mailbox_count(&rig.box, MESSAGE_QOK) == 1 && rig.log_count == logged);
    propose(9, 18, 4, "2xyz_B");
    cr_assert(mailbox_count(&rig.box, MESSAGE_QOK) == 0, "of a generation that is not");
    start(0, 2, 7, 8);
    const struct message *answer = mailbox_one(&rig.box, MESSAGE_STARTED);
    cr_assert(started_of(answer).row_count == 1);
    struct ledger_row row = started_row((struct span){answer->payload, answer->size}, 0);
    cr_assert(row.seq == 17 && row.index == 3);
    cr_assert(coordinate_aside_count(rig.coordinate, 0) == 1);
    struct coordinate_aside aside = coordinate_aside(rig.coordinate, 0, 0);
    cr_assert(strcmp(aside.key, "1abc_A") == 0 && aside.cause == CAUSE_CRASH);
    arena_close(&rig.arena);
}

Test(coordinate, max_bad_counts_samples_not_positions)
{
    struct error err;
    rig_open();
    start(0, 1, 7, 8);
    propose(1, 1, 1, "a");
    propose(1, 101, 1, "a");
    propose(1, 201, 1, "a");
    propose(1, 2, 2, "b");
    cr_assert(coordinate_health(rig.coordinate, &err) == STATUS_OK, "two samples are allowed");
    propose(1, 3, 3, "c");
    cr_assert(coordinate_health(rig.coordinate, &err) == STATUS_LIMIT);
    cr_assert(strstr(err.text, "3 samples") && strstr(err.text, "c, b, a"), "%s", err.text);
    arena_close(&rig.arena);
}

Test(coordinate, nothing_is_answered_before_it_is_durable)
{
    struct error err;
    rig_open();
    start(0, 1, 7, 8);
    cr_assert(rig.box_count_at_append == 0);
    propose(1, 5, 5, "k");
    cr_assert(rig.box_count_at_append == 0 && rig.box.count == 1);
    rig.fail_at = rig.log_count;
    checkpoint(1, 4, 1);
    cr_assert(rig.box.count == 0 && coordinate_checkpoint(rig.coordinate, 0, NULL) == 0);
    cr_assert(coordinate_health(rig.coordinate, &err) == STATUS_FULL);
    cr_assert(strstr(err.text, "disk full"), "%s", err.text);
    rig.fail_at = -1;
    propose(1, 6, 6, "l");
    cr_assert(rig.box.count == 0, "after a failed write nothing more is taken");
    arena_close(&rig.arena);
}

static enum status keep(void *user, struct span bytes, struct error *err)
{
    (void)user;
    (void)err;
    memcpy(rig.log[rig.log_count], bytes.data, bytes.size);
    rig.log_size[rig.log_count++] = bytes.size;
    return STATUS_OK;
}

Test(coordinate, a_restart_and_a_compacted_log_forget_nothing)
{
    struct error err;
    rig_open();
    for (uint32_t gen = 1; gen <= 6; gen++) {
        start(0, gen, 7, 8);
        checkpoint(gen, gen * 10, gen);
    }
    for (uint64_t seq = 0; seq < 40; seq++)
        propose(6, seq, seq % 2, seq % 2 ? "odd" : "even");
    start(1, 3, 7, 9);
    for (int round = 0; round < 2; round++) {
        int before = rig.log_count;
        rig.log_count = 0;
        cr_assert(coordinate_dump(rig.coordinate, keep, NULL, &err) == STATUS_OK);
        cr_assert(rig.log_count == 3 + 40 + 2 && rig.log_count <= before);
        arena_close(&rig.arena);
        restart(2 + (uint32_t)round);
        uint64_t digest;
        cr_assert(coordinate_gen(rig.coordinate, 0) == 6 && coordinate_gen(rig.coordinate, 1) == 3);
        cr_assert(coordinate_checkpoint(rig.coordinate, 0, &digest) == 60 && digest == 6);
        cr_assert(coordinate_aside_count(rig.coordinate, 0) == 40);
        struct coordinate_aside last = coordinate_aside(rig.coordinate, 0, 39);
        cr_assert(last.seq == 39 && strcmp(last.key, "odd") == 0 &&
                  strcmp(last.text, "crashed") == 0);
        cr_assert(coordinate_health(rig.coordinate, &err) == STATUS_OK);
    }
    start(0, 6, 7, 8);
    cr_assert(mailbox_one(&rig.box, MESSAGE_STARTED)->arg == 3, "the epoch is the new one");
    arena_close(&rig.arena);
}

Test(coordinate, records_that_cannot_be_are_refused)
{
    struct error err;
    struct durable_record record = {.type = DURABLE_GEN, .line = 0, .gen = 3}, back;
    unsigned char bytes[COORDINATE_RECORD_MAX];
    rig_open();
    size_t size = durable_encode(&record, bytes);
    struct span span = {(const char *)bytes, size};
    cr_assert(coordinate_replay(rig.coordinate, span, &err) == STATUS_OK);
    cr_assert(coordinate_replay(rig.coordinate, span, &err) == STATUS_INVALID, "3 after 3");
    for (size_t cut = 0; cut < size; cut++)
        cr_assert(durable_decode((struct span){span.data, cut}, &back, &err) == STATUS_INVALID);
    record = (struct durable_record){.type = DURABLE_CHECKPOINT, .line = 0, .gen = 2, .seq = 5};
    span.size = durable_encode(&record, bytes);
    cr_assert(coordinate_replay(rig.coordinate, span, &err) == STATUS_INVALID, "generation 2");
    record = (struct durable_record){.type = DURABLE_GEN, .line = 2, .gen = 9};
    span.size = durable_encode(&record, bytes);
    cr_assert(coordinate_replay(rig.coordinate, span, &err) == STATUS_INVALID);
    cr_assert(strstr(err.text, "graph has 2 lines"), "%s", err.text);
    arena_close(&rig.arena);
}

static uint32_t take_back(int line, const char *key, bool fills)
{
    struct durable_log log = {NULL, append};
    struct error err;
    uint32_t rows;
    cr_assert(coordinate_requeue(rig.coordinate, line, span_of(key), fills, &log, &rows, &err) ==
                  STATUS_OK,
              "%s", err.text);
    return rows;
}

Test(coordinate, a_requeued_sample_counts_no_more_and_its_history_stays)
{
    struct error err;
    rig_open();
    start(0, 1, 5, 6);
    propose(1, 10, 3, "three");
    propose(1, 40, 3, "three");
    propose(1, 11, 4, "four");
    propose(1, 12, 5, "five");
    cr_assert(coordinate_health(rig.coordinate, &err) == STATUS_LIMIT, "three samples, two may be");
    cr_assert(take_back(0, "nobody", false) == 0 && rig.log_count == 6, "nothing to take back");
    cr_assert(take_back(0, "three", false) == 2 && rig.log_count == 7, "two positions, one record");
    cr_assert(coordinate_health(rig.coordinate, &err) == STATUS_OK, "%s", err.text);
    cr_assert(take_back(0, "three", false) == 0 && rig.log_count == 7, "once");
    propose(1, 70, 3, "three");
    cr_assert(coordinate_health(rig.coordinate, &err) == STATUS_LIMIT, "it is bad again");
    cr_assert(take_back(0, "four", false) == 1, "another");
    for (int turn = 0; turn < 2; turn++) {
        cr_assert(coordinate_aside_count(rig.coordinate, 0) == 5, "all positions stay");
        int requeued = 0;
        for (uint32_t i = 0; i < 5; i++)
            requeued += coordinate_aside(rig.coordinate, 0, i).requeued;
        cr_assert(requeued == 3, "%d of them are history", requeued);
        start(0, 2 + (uint32_t)turn, 5, 6);
        const struct message *said = mailbox_one(&rig.box, MESSAGE_STARTED);
        struct span bytes = {said->payload, said->size};
        int hidden = 0;
        for (uint32_t i = 0; i < 5; i++)
            hidden += started_row(bytes, i).index == UINT64_MAX;
        cr_assert(hidden == 3, "the sink holds nothing against %d", hidden);
        /* The same from a log that was compacted. */
        rig.log_count = 0;
        cr_assert(coordinate_dump(rig.coordinate, append, NULL, &err) == STATUS_OK, "%s", err.text);
        restart(2 + (uint32_t)turn);
        cr_assert(coordinate_health(rig.coordinate, &err) == STATUS_OK, "%s", err.text);
    }
}

Test(coordinate, a_store_makes_a_requeued_sample_as_if_nothing_had_been)
{
    rig_open();
    start(0, 1, 5, 6);
    propose(1, 10, 3, "three");
    propose(1, 11, 4, "four");
    cr_assert(take_back(0, "three", true) == 1, "one position");
    for (int turn = 0; turn < 2; turn++) {
        cr_assert(coordinate_aside_count(rig.coordinate, 0) == 1, "one is left");
        cr_assert(strcmp(coordinate_aside(rig.coordinate, 0, 0).key, "four") == 0, "the other");
        restart(2);
    }
    rig.fail_at = rig.log_count;
    struct durable_log log = {NULL, append};
    struct error err;
    uint32_t rows;
    cr_assert(coordinate_requeue(rig.coordinate, 0, SPAN("four"), true, &log, &rows, &err) ==
                  STATUS_FULL,
              "not durable, so not done");
    cr_assert(coordinate_aside_count(rig.coordinate, 0) == 1, "it is set aside still");
}

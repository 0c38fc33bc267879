/* The sink: what each message does, deadlines and strikes. Rules 1, 2 and 7 of the delivery
 * protocol; see sink.h for what it is for and sink_window.c for which positions it wants. */
#include "engine/sink_state.h"

#include <stdio.h>
#include <string.h>

enum {
    HURRY_ATTEMPTS = 4,  /* lost so often, an attempt waits before the next one ... */
    HURRY_MS = 50,       /* ... this long, doubled each time ... */
    HURRY_MAX_MS = 2000, /* ... up to this */
    BACKOFF_MAX = 6,
};

enum status sink_open(struct sink **opened, const struct sink_config *config, struct arena *arena,
                      struct error *err)
{
    struct sink *sink = arena_zero(arena, 1, sizeof *sink);
    sink->config = *config;
    if (sink->config.deadline_min_ms == 0)
        sink->config.deadline_min_ms = SINK_DEADLINE_MIN_MS;
    if (sink->config.deadline_max_ms == 0)
        sink->config.deadline_max_ms = SINK_DEADLINE_MAX_MS;
    if (!config->key || config->inc == 0 || config->gen == 0 ||
        config->recycles_max > ORDER_RECYCLES_MAX)
        return error_set(err, STATUS_INVALID,
                         "sink: inc, gen and key are needed, and at most %d "
                         "recycling passes",
                         ORDER_RECYCLES_MAX);
    enum status status = window_open(sink, arena, err);
    if (status != STATUS_OK)
        return status;
    uint64_t rows =
        config->seq_end < MESSAGE_LEDGER_MAX && config->order.count < MESSAGE_LEDGER_MAX
            ? (config->seq_end > config->order.count ? config->seq_end : config->order.count)
            : MESSAGE_LEDGER_MAX;
    sink->aside = table_make(arena, (uint32_t)rows);
    sink->bad = table_make(arena, (uint32_t)rows);
    *opened = sink;
    return STATUS_OK;
}

void sink_send(struct sink *sink, enum sink_peer peer, struct message message)
{
    message.peer = (uint32_t)peer;
    message.job = sink->config.job;
    message.inc = sink->config.inc;
    message.line = sink->config.line;
    message.gen = sink->config.gen;
    sink->out->put(sink->out->user, &message);
}

static void fence(struct sink *sink, const char *reason, size_t size)
{
    sink->mode = SINK_FENCED;
    snprintf(sink->reason, sizeof sink->reason, "%.*s", (int)size, size ? reason : "");
}

/* Notes how long a position took, or that it has taken so long already, and finds the time that all
 * but the slowest twentieth of the last ones took. */
static void latency_note(struct sink *sink, const struct slot *slot)
{
    uint32_t sorted[LATENCIES], count;
    int64_t ms = sink->now_ms - slot->first_ms;
    sink->latency[sink->latency_count++ % LATENCIES] = ms < UINT32_MAX ? (uint32_t)ms : UINT32_MAX;
    if (sink->latency_count > LATENCIES && sink->latency_count % 8)
        return;
    count = sink->latency_count < LATENCIES ? sink->latency_count : LATENCIES;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t at = i;
        for (; at > 0 && sorted[at - 1] > sink->latency[i]; at--)
            sorted[at] = sorted[at - 1];
        sorted[at] = sink->latency[i];
    }
    sink->latency_p95_ms = sorted[count - 1 - count / 20];
    sink->counts.latency_ms = sink->latency_p95_ms;
}

/* How long an attempt may take: four times what nearly all take, doubled with every attempt. */
static int64_t deadline(const struct sink *sink, uint32_t attempt)
{
    int64_t wait = 4 * sink->latency_p95_ms;
    if (wait < sink->config.deadline_min_ms)
        wait = sink->config.deadline_min_ms;
    uint32_t doubled = attempt > BACKOFF_MAX ? BACKOFF_MAX : attempt - 1;
    wait <<= doubled;
    return wait > sink->config.deadline_max_ms ? sink->config.deadline_max_ms : wait;
}

/* The window bounds how far dear samples go first, so that nothing else waits for ever. */
static uint16_t lead_of(const struct sink *sink, uint64_t index)
{
    uint64_t most = (uint64_t)sink->config.window * sink->config.rank_count;
    uint16_t lead = sink->config.lead ? sink->config.lead[index] : 0;
    return lead < most ? lead : (uint16_t)most;
}

void slot_ask(struct sink *sink, struct slot *slot, bool again)
{
    char key[MESSAGE_KEY_MAX + 1];
    ASSERT(slot->state == SLOT_NEED || slot->state == SLOT_ASKED);
    if (sink->dispatcher_inc == 0 || sink->mode != SINK_RUNNING) {
        slot->state = SLOT_NEED;
        slot->due_ms = sink->now_ms;
        return;
    }
    if (again) {
        sink->counts.asked++;
        sink->counts.asked_again += slot->attempt > 0;
        if (slot->attempt++ == 0)
            slot->first_ms = sink->now_ms;
        slot->asked_ms = sink->now_ms;
        slot->due_ms =
            MUTANT(MUTANT_NO_DEADLINE) ? INT64_MAX : sink->now_ms + deadline(sink, slot->attempt);
    }
    slot->state = SLOT_ASKED;
    bool hurry = slot->urgent || (sink->config.retries_first && slot->attempt > 1 &&
                                  (slot->hurt || step_awaits(sink, slot)));
    uint32_t size = (uint32_t)sink->config.key(sink->config.user, slot->index, key);
    ASSERT(size >= 1 && size <= MESSAGE_KEY_MAX);
    sink_send(sink, SINK_TO_DISPATCH,
              (struct message){.type = MESSAGE_REQ,
                               .seq = slot->seq,
                               .attempt = slot->attempt,
                               .arg = slot->recycles,
                               .stage = lead_of(sink, slot->index),
                               .size = size,
                               .payload = key,
                               .flags = (uint16_t)((hurry ? MESSAGE_IMPATIENT : 0) |
                                                   (slot->solo ? MESSAGE_SOLO : 0))});
}

static void propose(struct sink *sink, struct slot *slot)
{
    struct aside aside = {.index = slot->index};
    unsigned char bytes[ASIDE_BYTES_MAX];
    size_t size = sink->config.key(sink->config.user, slot->index, aside.key);
    aside.key[size] = 0;
    snprintf(aside.text, sizeof aside.text, "%s", slot->text);
    slot->due_ms = sink->now_ms + SINK_REPEAT_MS;
    sink_send(sink, SINK_TO_COORDINATE,
              (struct message){.type = MESSAGE_QPROP,
                               .seq = slot->seq,
                               .attempt = slot->attempt,
                               .arg = (uint32_t)slot->cause,
                               .payload = bytes,
                               .size = (uint32_t)aside_encode(&aside, bytes)});
}

int sink_slot(const struct sink *sink, const struct message *data)
{
    if (data->job != sink->config.job || data->line != sink->config.line ||
        (data->gen != sink->config.gen && !MUTANT(MUTANT_NO_DATA_GEN)))
        return -1;
    const struct slot *slot = window_find(sink, data->seq);
    if (!slot && MUTANT(MUTANT_COUNTS_ARRIVALS))
        for (uint32_t i = 0; i < sink->config.window; i++)
            if (sink->slots[i].state == SLOT_ASKED)
                return (int)i;
    if (slot && data->arg != slot->recycles && !MUTANT(MUTANT_TAKES_OTHER_PASSES))
        return -1;
    if (!slot || !(slot->state == SLOT_NEED || slot->state == SLOT_ASKED ||
                   (slot->state == SLOT_PROPOSED && MUTANT(MUTANT_TAKES_PROPOSED))))
        return -1;
    return (int)(slot - sink->slots);
}

static void take_data(struct sink *sink, const struct message *in)
{
    int at = sink_slot(sink, in);
    if (at < 0) {
        if (in->gen != sink->config.gen)
            sink->counts.dropped_gen++;
        else
            sink->counts.dropped_late++;
        return;
    }
    struct slot *slot = &sink->slots[at];
    latency_note(sink, slot);
    sink->counts.accepted++;
    if (in->flags & MESSAGE_EMPTY) {
        slot_skip(sink, slot, SKIP_EMPTY, "dropped by a filter");
    } else {
        slot->state = SLOT_HAVE;
        if (!sink->config.ordered)
            ASSERT(fifo_push(&sink->ready, (uint32_t)at));
    }
    window_fill(sink);
}

/* An attempt is gone without blame. The first few are repeated at once. */
static void attempt_lost(struct sink *sink, struct slot *slot)
{
    slot->hurt = true;
    if (slot->attempt < HURRY_ATTEMPTS) {
        slot_ask(sink, slot, true);
        return;
    }
    uint32_t doubled = slot->attempt - HURRY_ATTEMPTS;
    int64_t wait = doubled > 5 ? HURRY_MAX_MS : (int64_t)HURRY_MS << doubled;
    slot->state = SLOT_NEED;
    slot->due_ms = sink->now_ms + (wait < HURRY_MAX_MS ? wait : HURRY_MAX_MS);
}

static void strike(struct sink *sink, struct slot *slot, const struct message *in)
{
    if (in->attempt <= slot->blamed_attempt)
        return;
    slot->blamed_attempt = in->attempt;
    slot->cause = (enum cause)in->arg;
    size_t size = in->size < sizeof slot->text - 1 ? in->size : sizeof slot->text - 1;
    memcpy(slot->text, in->size ? in->payload : "", size);
    slot->text[size] = 0;
    bool distinct = true;
    for (uint32_t i = 0; i < slot->strikes; i++)
        distinct = distinct && slot->blamed[i] != in->inc;
    if (distinct) {
        slot->blamed[slot->strikes++] = in->inc;
        sink->counts.strikes++;
    }
    /* What was set aside at another position has had its three chances. */
    bool known = table_get(&sink->bad, slot->index) != TABLE_NONE;
    slot->solo = slot->hurt = true;
    if (slot->strikes < SINK_STRIKES && !known) {
        slot_ask(sink, slot, true);
    } else if (MUTANT(MUTANT_SKIPS_EARLY)) {
        slot_skip(sink, slot, SKIP_ASIDE, slot->text);
    } else {
        slot->state = SLOT_PROPOSED;
        propose(sink, slot);
    }
}

static void take_fail(struct sink *sink, const struct message *in)
{
    struct slot *slot = window_find(sink, in->seq);
    if (in->gen != sink->config.gen || in->line != sink->config.line || !slot ||
        (slot->state != SLOT_ASKED && slot->state != SLOT_NEED) || in->arg >= CAUSES ||
        in->size > MESSAGE_TEXT_MAX || in->attempt > slot->attempt) {
        sink->counts.dropped_late++;
        return;
    }
    if (in->arg == CAUSE_REFUSED) {
        char text[sizeof slot->text];
        snprintf(text, sizeof text, "%.*s", (int)in->size,
                 in->size ? (const char *)in->payload : "");
        slot_skip(sink, slot, SKIP_REFUSED, text);
        if (!sink->config.ordered)
            ASSERT(fifo_push(&sink->ready, (uint32_t)(slot - sink->slots)));
    } else if (in->arg == CAUSE_LOST && !MUTANT(MUTANT_TRUSTS_FLIGHT)) {
        if (in->attempt == slot->attempt && slot->state == SLOT_ASKED)
            attempt_lost(sink, slot);
    } else {
        strike(sink, slot, in);
    }
}

static void ledger_add(struct sink *sink, uint64_t seq, uint64_t index)
{
    if (sink->aside.count < sink->aside.count_max)
        table_put(&sink->aside, seq, 0);
    if (index != ORDER_EMPTY && sink->bad.count < sink->bad.count_max) /* EMPTY: requeued */
        table_put(&sink->bad, index, 0);
}

static void take_qok(struct sink *sink, const struct message *in)
{
    if (in->gen != sink->config.gen)
        return;
    struct slot *slot = window_find(sink, in->seq);
    if (!slot || slot->index == ORDER_EMPTY)
        return;
    ledger_add(sink, slot->seq, slot->index);
    if (slot->state != SLOT_PROPOSED)
        return;
    sink->counts.aside++;
    slot_skip(sink, slot, SKIP_ASIDE, slot->text);
    window_fill(sink);
}

static void take_started(struct sink *sink, const struct message *in)
{
    struct started started;
    struct span bytes = {in->payload, in->size};
    if (sink->mode != SINK_STARTING || in->gen != sink->config.gen ||
        started_decode(bytes, &started, NULL) != STATUS_OK)
        return;
    for (uint32_t i = 0; i < started.row_count; i++) {
        struct ledger_row row = started_row(bytes, i);
        ledger_add(sink, row.seq, row.index);
    }
    sink->checkpoint = started.step;
    sink->checkpoint_digest = started.digest;
    sink->mode = SINK_STARTED;
}

/* The coordinator speaks: what an older one says than we have heard is not obeyed. */
static void take_coordinator(struct sink *sink, const struct message *in)
{
    if (in->type == MESSAGE_REFUSE) {
        if (in->gen == sink->config.gen)
            fence(sink, in->payload, in->size);
        return;
    }
    if (in->arg < sink->coordinator_epoch)
        return;
    sink->coordinator_epoch = in->arg;
    if (in->type == MESSAGE_STARTED) {
        take_started(sink, in);
    } else if (in->type == MESSAGE_QOK) {
        take_qok(sink, in);
    } else if (in->type == MESSAGE_CKOK && in->gen == sink->config.gen &&
               in->seq > sink->checkpoint) {
        sink->checkpoint = in->seq;
    }
}

static void hello_send(struct sink *sink)
{
    unsigned char bytes[HELLO_BYTES_MAX];
    struct hello hello = {.role = PEER_SINK,
                          .node = sink->config.node,
                          .version = MESSAGE_VERSION,
                          .index = sink->config.rank,
                          .graph_hash = sink->config.graph_hash};
    sink->hello_due = sink->now_ms + SINK_HB_MS;
    sink_send(sink, SINK_TO_DISPATCH,
              (struct message){.type = MESSAGE_HELLO,
                               .payload = bytes,
                               .size = (uint32_t)hello_encode(&hello, bytes)});
}

static void take_welcome(struct sink *sink, const struct message *in)
{
    if (in->inc == sink->dispatcher_inc)
        return;
    sink->dispatcher_inc = in->inc;
    sink->hb_due = sink->now_ms + SINK_HB_MS;
    /* A new dispatcher knows nothing: what the old one had is asked for again. */
    for (uint32_t i = 0; i < sink->config.window; i++)
        if (sink->slots[i].state == SLOT_ASKED || sink->slots[i].state == SLOT_NEED)
            slot_ask(sink, &sink->slots[i], true);
}

static void ckpt_send(struct sink *sink)
{
    unsigned char bytes[CKPT_BYTES];
    ckpt_encode(sink->saved_digest, bytes);
    sink->ckpt_due = sink->now_ms + SINK_REPEAT_MS;
    sink_send(
        sink, SINK_TO_COORDINATE,
        (struct message){
            .type = MESSAGE_CKPT, .seq = sink->saved, .payload = bytes, .size = sizeof bytes});
}

static void tick(struct sink *sink)
{
    int64_t now = sink->now_ms;
    if (sink->mode == SINK_STARTING && now >= sink->start_due) {
        unsigned char bytes[START_BYTES];
        sink->start_due = now + SINK_REPEAT_MS;
        sink_send(sink, SINK_TO_COORDINATE,
                  (struct message){.type = MESSAGE_START,
                                   .payload = bytes,
                                   .size = (uint32_t)start_encode(&sink->config.start, bytes)});
    }
    if (sink->dispatcher_inc == 0 && now >= sink->hello_due)
        hello_send(sink);
    if (sink->dispatcher_inc != 0 && now >= sink->hb_due) {
        sink->hb_due = now + SINK_HB_MS;
        sink_send(sink, SINK_TO_DISPATCH, (struct message){.type = MESSAGE_HB});
    }
    if (sink->saved > sink->checkpoint && now >= sink->ckpt_due)
        ckpt_send(sink);
    if (sink->mode != SINK_RUNNING)
        return;
    for (uint32_t i = 0; i < sink->config.window; i++) {
        struct slot *slot = &sink->slots[i];
        if (slot->state == SLOT_ASKED && now >= slot->due_ms)
            latency_note(sink, slot);
        if ((slot->state == SLOT_NEED || slot->state == SLOT_ASKED) && now >= slot->due_ms)
            slot_ask(sink, slot, true);
        else if (slot->state == SLOT_PROPOSED && now >= slot->due_ms)
            propose(sink, slot);
    }
    window_fill(sink);
}

void sink_step(struct sink *sink, const struct message *in, int64_t now_ms,
               const struct outbox *out)
{
    sink->now_ms = now_ms;
    sink->out = out;
    if (sink->mode == SINK_FENCED || (in && in->job != sink->config.job))
        return;
    if (!in)
        tick(sink);
    else if (in->type == MESSAGE_DATA)
        take_data(sink, in);
    else if (in->type == MESSAGE_FAIL)
        take_fail(sink, in);
    else if (in->type == MESSAGE_LOST) {
        struct slot *slot = in->gen == sink->config.gen ? window_find(sink, in->seq) : NULL;
        if (slot && slot->state == SLOT_ASKED && in->attempt == slot->attempt)
            attempt_lost(sink, slot);
    } else if (in->type == MESSAGE_URGENT) {
        if (!sink->config.ordered && sink->mode == SINK_RUNNING)
            window_urgent(sink, (struct span){in->payload, in->size});
    } else if (in->type == MESSAGE_WELCOME)
        take_welcome(sink, in);
    else if (in->type == MESSAGE_CHALLENGE)
        hello_send(sink);
    else if (in->type == MESSAGE_REFUSE && in->peer == SINK_TO_DISPATCH)
        fence(sink, in->payload, in->size);
    else if (in->type == MESSAGE_DRAIN)
        sink->mode = sink->mode == SINK_RUNNING ? SINK_DRAINING : sink->mode;
    else
        take_coordinator(sink, in);
}

void sink_begin(struct sink *sink, uint64_t step, int64_t now_ms, const struct outbox *out)
{
    ASSERT(sink->mode == SINK_STARTED);
    sink->now_ms = now_ms;
    sink->out = out;
    if (MUTANT(MUTANT_RESUMES_BEYOND) && step > 0)
        step++;
    sink->step = step;
    if (!sink->config.ordered || sink->config.overtake == 0 || MUTANT(MUTANT_FORGETS_TAKEN))
        sink->base = step * sink->per_rank;
    sink->next = sink->base;
    sink->mode = SINK_RUNNING;
    window_fill(sink);
}

void sink_extend(struct sink *sink, uint64_t seq_end)
{
    ASSERT(sink->config.ordered && seq_end >= sink->config.seq_end &&
           seq_end % sink->config.order.group == 0);
    sink->config.seq_end = seq_end;
}

void sink_checkpoint_saved(struct sink *sink, uint64_t step, uint64_t digest, int64_t now_ms,
                           const struct outbox *out)
{
    ASSERT_INT(step, >=, sink->saved);
    sink->now_ms = now_ms;
    sink->out = out;
    sink->saved = step;
    sink->saved_digest = digest;
    if (step > sink->checkpoint)
        ckpt_send(sink);
}

void sink_bye(struct sink *sink, const struct outbox *out)
{
    sink->out = out;
    sink_send(sink, SINK_TO_DISPATCH,
              (struct message){.type = MESSAGE_BYE, .flags = sink_done(sink) ? MESSAGE_FINAL : 0});
}

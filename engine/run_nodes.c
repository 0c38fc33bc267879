/* The head's side of joining; see run_nodes.h. */
#include "engine/run_nodes.h"

#include "engine/base/clock.h"
#include "engine/base/log.h"
#include "engine/join_note.h"
#include "engine/post.h"
#include "engine/rundir.h"
#include "engine/run_state.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void answer(struct run *run, uint32_t peer, uint64_t inc, enum message_type type,
                   const void *payload, size_t size)
{
    struct message message = {.type = type,
                              .peer = peer,
                              .job = run->job.id,
                              .inc = inc,
                              .payload = payload,
                              .size = (uint32_t)size};
    post_send(run->coordinator, &message);
}

static void refuse(struct run *run, const struct message *in, const char *name, const char *why)
{
    log_warn("%s may not join: %s", name, why);
    answer(run, in->peer, in->inc, MESSAGE_REFUSE, why, strlen(why));
}

static struct run_node *find(struct run *run, uint64_t inc)
{
    for (int i = 0; i < RUN_NODES_MAX && inc; i++)
        if (run->nodes.node[i].inc == inc)
            return &run->nodes.node[i];
    return NULL;
}

static void add_row(struct join_row *to, const struct join_row *row)
{
    to->workers = (uint16_t)(to->workers + row->workers);
    to->held = (uint16_t)(to->held + row->held);
    to->wanted = (uint16_t)(to->wanted + row->wanted);
    to->done += row->done;
    to->refused += row->refused;
    to->failed += row->failed;
    to->reused += row->reused;
    to->busy_ns += row->busy_ns;
}

/* Its counters stay in the sums. */
static void node_leaves(struct run *run, struct run_node *node, const char *how)
{
    log_info("engine %s %s after %lld s", node->name, how,
             (long long)((clock_ms() - node->joined_ms) / 1000));
    for (int i = 0; i < run->job.graph->stage_count; i++) {
        node->rows[i].workers = node->rows[i].held = node->rows[i].wanted = 0;
        add_row(&run->nodes.gone[i], &node->rows[i]);
    }
    uint64_t inc = node->inc;
    *node = (struct run_node){0};
    run_ranks_gone(run, inc);
}

/* Names are for people: two engines of one host get different ones. */
static void choose_name(struct run *run, struct run_node *node, const char *name)
{
    snprintf(node->name, sizeof node->name, "%s", name);
    for (int i = 0, twins = 1; i < RUN_NODES_MAX; i++) {
        const struct run_node *other = &run->nodes.node[i];
        bool same = strcmp(node->name, run->node) == 0 ||
                    (other != node && other->inc && strcmp(other->name, node->name) == 0);
        if (!same)
            continue;
        snprintf(node->name, sizeof node->name, "%.50s.%d", name, ++twins);
        i = -1; /* look at all again */
    }
}

static void take_join(struct run *run, const struct message *in)
{
    struct join join;
    char text[MESSAGE_TEXT_MAX];
    if (join_decode((struct span){in->payload, in->size}, &join, NULL) != STATUS_OK || !in->inc)
        return;
    struct run_node *node = find(run, in->inc);
    if (join.version != MESSAGE_VERSION || strcmp(join.build, FOLDMILL_VERSION) != 0) {
        snprintf(text, sizeof text,
                 "the head runs foldmill " FOLDMILL_VERSION
                 " (protocol %d), %s has foldmill %s (protocol %u): install the same everywhere",
                 MESSAGE_VERSION, join.name, join.build, join.version);
        refuse(run, in, join.name, text);
        return;
    }
    if (join.graph_hash && join.graph_hash != run->job.graph->hash) {
        snprintf(text, sizeof text,
                 "the head's graph has the hash %016llx, the one that %s has is %016llx: it is "
                 "another run; join it anew",
                 (unsigned long long)run->job.graph->hash, join.name,
                 (unsigned long long)join.graph_hash);
        refuse(run, in, join.name, text);
        return;
    }
    if (run->nodes.closing || run->stopping || run->draining) {
        answer(run, in->peer, in->inc, MESSAGE_DRAIN, "the run is ending", 17);
        return;
    }
    for (int i = 0; i < RUN_NODES_MAX && !node; i++)
        if (!run->nodes.node[i].inc)
            node = &run->nodes.node[i];
    if (!node) {
        snprintf(text, sizeof text, "a run may have %d engines that joined", RUN_NODES_MAX);
        refuse(run, in, join.name, text);
        return;
    }
    if (!node->inc) {
        node->inc = in->inc;
        node->joined_ms = clock_ms();
        choose_name(run, node, join.name);
        run->nodes.joins++;
        log_info("engine %s joined", node->name);
    }
    node->peer = in->peer;
    node->places = join.ranks < RUN_FAR_MAX ? (int)join.ranks : RUN_FAR_MAX;
    node->seen_ms = clock_ms();
    static unsigned char bytes[JOINED_BYTES_MAX];
    answer(run, in->peer, in->inc, MESSAGE_JOINED, bytes, joined_encode(&run->nodes.joined, bytes));
}

static void send_file(struct run *run, const struct message *in)
{
    static unsigned char bytes[MESSAGE_PAYLOAD_MAX];
    ssize_t got = 0;
    if (in->arg < run->nodes.joined.file_count && in->seq <= INT64_MAX) {
        char path[PATH_MAX];
        rundir_file(run->dir.path, run->nodes.joined.file[in->arg].name, path);
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd >= 0) {
            got = pread(fd, bytes, sizeof bytes, (off_t)in->seq);
            close(fd);
        }
    }
    struct message message = *in;
    message.payload = bytes;
    message.size = got > 0 ? (uint32_t)got : 0;
    post_send(run->coordinator, &message);
}

struct run_node *run_nodes_find(struct run *run, const char *name)
{
    for (int i = 0; i < RUN_NODES_MAX; i++)
        if (run->nodes.node[i].inc && strcmp(run->nodes.node[i].name, name) == 0)
            return &run->nodes.node[i];
    return NULL;
}

/* What was asked of it and its last heartbeat does not show. */
static void say_wishes(struct run *run, const struct run_node *node)
{
    static const char leave[] = "asked to leave (foldmill drain)";
    if (node->leaving)
        answer(run, node->peer, node->inc, MESSAGE_DRAIN, leave, sizeof leave - 1);
    for (int i = 0; i < run->job.graph->stage_count; i++) {
        struct message message = {.type = MESSAGE_SCALE,
                                  .peer = node->peer,
                                  .job = run->job.id,
                                  .inc = node->inc,
                                  .stage = (uint16_t)i,
                                  .arg = (uint32_t)(node->asked[i] - 1)};
        if (node->asked[i] && node->rows[i].wanted != node->asked[i] - 1)
            post_send(run->coordinator, &message);
    }
    run_ranks_say(run, node);
}

void run_nodes_scale(struct run *run, struct run_node *node, int stage, int workers)
{
    node->asked[stage] = workers + 1;
    say_wishes(run, node);
}

void run_nodes_drain(struct run *run, struct run_node *node)
{
    node->leaving = true;
    say_wishes(run, node);
}

/* Also how fast it is. */
static void take_rows(struct run *run, struct run_node *node, const struct message *in)
{
    static struct join_row rows[GRAPH_STAGES_MAX];
    int count;
    int64_t now = clock_ms(), passed = now - node->rows_ms;
    if (join_rows_decode((struct span){in->payload, in->size}, rows, &count, NULL) != STATUS_OK)
        return;
    for (int i = 0; i < count; i++) {
        int stage = rows[i].stage;
        uint64_t before = node->rows[stage].done;
        double rate = rows[i].done > before && passed > 0
                          ? (double)(rows[i].done - before) * 1e3 / (double)passed
                          : 0;
        node->rate[stage] = node->rate[stage] > 0 ? 0.6 * node->rate[stage] + 0.4 * rate : rate;
        node->rows[stage] = rows[i];
    }
    node->rows_ms = now;
    say_wishes(run, node);
}

/* Rows of its processes, under its name, into the run's own tables. */
static void take_notes(struct run *run, const struct run_node *node, const struct message *in)
{
    struct span rest = {in->payload, in->size}, row;
    struct join_note note;
    char path[PATH_MAX];
    FILE *slow = fopen(rundir_file(run->dir.path, "slow.tsv", path), "ae");
    while (span_line(&rest, &row)) {
        if (!join_note_read(row, run->job.graph, &note))
            continue;
        const char *stage = run->job.graph->stages[note.stage].name;
        if (note.kind == JOIN_NOTE_PROCESS)
            fprintf(run->processes, "%s.%u@%s\t%016llx\t%u\t%llu\n", stage, note.index, node->name,
                    (unsigned long long)note.inc, note.pid, (unsigned long long)note.starts);
        else if (slow)
            fprintf(slow, "%s\t%s\t%llu\t%s\t%u\t%s.%u@%s\t%llu\n",
                    job_line_name(&run->job, note.line), stage, (unsigned long long)note.seq,
                    note.key, note.attempt, stage, note.index, node->name,
                    (unsigned long long)note.ms);
    }
    if (slow)
        fclose(slow);
}

bool run_nodes_take(struct run *run, const struct message *in)
{
    if (run->job.net.kind != NETWORK_HEAD)
        return false;
    if (in->type == MESSAGE_JOIN) {
        take_join(run, in);
        return true;
    }
    if (in->type != MESSAGE_FILE && in->type != MESSAGE_HB && in->type != MESSAGE_BYE &&
        in->type != MESSAGE_NOTES && in->type != MESSAGE_RANK)
        return false;
    struct run_node *node = find(run, in->inc);
    if (!node) {
        answer(run, in->peer, in->inc, MESSAGE_CHALLENGE, NULL, 0);
        return true;
    }
    node->peer = in->peer;
    node->seen_ms = clock_ms();
    if (in->type == MESSAGE_FILE) {
        send_file(run, in);
    } else if (in->type == MESSAGE_NOTES) {
        take_notes(run, node, in);
    } else if (in->type == MESSAGE_RANK) {
        run_ranks_take(run, node, in);
    } else if (in->type == MESSAGE_BYE) {
        answer(run, in->peer, in->inc, MESSAGE_BYE, NULL, 0);
        node_leaves(run, node, "left");
    } else {
        take_rows(run, node, in);
    }
    return true;
}

void run_nodes_turn(struct run *run)
{
    int64_t now = clock_ms();
    for (int i = 0; i < RUN_NODES_MAX; i++) {
        struct run_node *node = &run->nodes.node[i];
        if (node->inc && now - node->seen_ms > RUN_NODE_SILENT_MS)
            node_leaves(run, node, "has gone silent");
    }
}

bool run_nodes_dismiss(struct run *run)
{
    static const char over[] = "the run is over";
    run->nodes.closing = true;
    for (int i = 0; i < RUN_NODES_MAX; i++) {
        const struct run_node *node = &run->nodes.node[i];
        if (node->inc)
            answer(run, node->peer, node->inc, MESSAGE_DRAIN, over, sizeof over - 1);
    }
    return run_nodes_count(run) == 0;
}

int run_nodes_count(const struct run *run)
{
    int count = 0;
    for (int i = 0; i < RUN_NODES_MAX; i++)
        count += run->nodes.node[i].inc != 0;
    return count;
}

struct join_row run_nodes_sum(const struct run *run, int stage)
{
    struct join_row sum = run->nodes.gone[stage];
    for (int i = 0; i < RUN_NODES_MAX; i++)
        if (run->nodes.node[i].inc)
            add_row(&sum, &run->nodes.node[i].rows[stage]);
    return sum;
}

/* How the ranks of a sink keep in step; see ranks.h. What a rank tells lies in its region of the
 * meeting, in two places that take turns: who writes the next one has read the one before. */
#include "engine/ranks.h"

#include "engine/base/clock.h"
#include "engine/meet_link.h"
#include "engine/step.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { ALIGN = 64 };

struct item {
    uint64_t seq, index, digest;
    uint64_t skip;
};

struct word {
    uint64_t step, has, count;
    struct step_last last;
    struct item item[];
};

static size_t word_bytes(const struct sink_process *process)
{
    size_t bytes = sizeof(struct word) + process->share * sizeof(struct item);
    return (bytes + ALIGN - 1) / ALIGN * ALIGN;
}

static struct word *word_of(const struct sink_process *process, int rank)
{
    char *region = meet_region(process->meet, rank);
    return (struct word *)(void *)(region + (process->meet_turn & 1) * word_bytes(process));
}

/* Own word is whole for the next barrier. */
static void word_told(const struct sink_process *process, size_t bytes)
{
    int rank = (int)process->rank;
    const char *word = (const char *)word_of(process, rank);
    meet_wrote(process->meet, rank, (size_t)(word - (const char *)meet_region(process->meet, rank)),
               bytes, MEET_ALL);
}

static bool is_over(void *user)
{
    struct sink_process *process = user;
    pthread_mutex_lock(&process->lock);
    bool over = sink_is_over(process);
    pthread_mutex_unlock(&process->lock);
    return over;
}

enum status ranks_meet(struct sink_process *process, struct error *err)
{
    enum status status = meet_wait(process->meet, is_over, process, err);
    return status == STATUS_EMPTY ? error_set(err, STATUS_BUSY, "this process must end") : status;
}

char *ranks_path(const struct job *job, int line, char path[RANKS_PATH_MAX])
{
    int size = snprintf(path, RANKS_PATH_MAX, "/dev/shm/foldmill-%016llx-%d",
                        (unsigned long long)job->id, line);
    if (job->net.kind == NETWORK_JOINED) /* each engine has its own, also two of one machine */
        snprintf(path + size, (size_t)(RANKS_PATH_MAX - size), "-%016llx",
                 (unsigned long long)job->net.node);
    return path;
}

/* "0,0,1" */
static enum status read_place(const struct sink_process *process, struct meet_place *place,
                              struct error *err)
{
    struct span rest = span_of(process->place);
    uint32_t rank = 0;
    bool good = true;
    for (; good && rank < process->rank_count && rank < MEET_MAX; rank++) {
        const char *comma = memchr(rest.data, ',', rest.size);
        size_t size = comma ? (size_t)(comma - rest.data) : rest.size;
        int64_t host;
        good = text_int((struct span){rest.data, size}, 0, place->hosts, &host);
        rest = comma ? (struct span){comma + 1, rest.size - size - 1} : (struct span){NULL, 0};
        place->host_of[rank] = good ? (int)host : 0;
        place->hosts += good && host == place->hosts;
    }
    if (!good || rank != process->rank_count || rest.size)
        return error_set(err, STATUS_INVALID, "%s: not the places of %u ranks", process->place,
                         process->rank_count);
    place->host = place->host_of[process->rank];
    return STATUS_OK;
}

/* The way to the other engines; the lowest rank of each has it. True in *ours. */
static enum status open_post(const struct sink_process *process, const struct meet_place *place,
                             struct meet_post *post, bool *ours, struct error *err)
{
    const struct network *net = &process->job->net;
    char address[LINK_ADDRESS_MAX];
    int64_t end = clock_ms() + RANKS_LISTEN_MS;
    uint32_t lowest = 0;
    while (place->host_of[lowest] != place->host)
        lowest++;
    *ours = lowest == process->rank && place->hosts > 1;
    if (!*ours)
        return STATUS_OK;
    enum status status = meet_link_address(net->hub, process->line, address, err);
    if (status != STATUS_OK)
        return status;
    if (place->host > 0)
        return meet_link_connect(address, KEY_HEAD, !net->keys[0], post, err);
    while ((status = meet_link_listen(address, !net->keys[0], post, err)) == STATUS_IO &&
           clock_ms() < end)
        usleep(50000);
    return status;
}

static enum status open_meeting(struct sink_process *process, const char *path, uint64_t token,
                                size_t bytes, struct meet **meet, struct error *err)
{
    struct meet_place place = {0};
    struct meet_post post;
    bool ours = false;
    int rank = (int)process->rank, count = (int)process->rank_count;
    if (!process->place)
        return meet_open(path, token, rank, count, bytes, RANKS_OPEN_MS, meet, err);
    enum status status = read_place(process, &place, err);
    if (status == STATUS_OK)
        status = open_post(process, &place, &post, &ours, err);
    if (status == STATUS_OK)
        status = meet_open_far(path, token, rank, count, bytes, RANKS_OPEN_MS, &place,
                               ours ? &post : NULL, meet, err);
    return status;
}

enum status ranks_open(struct sink_process *process, uint32_t gen, struct error *err)
{
    char path[RANKS_PATH_MAX];
    struct meet *meet;
    size_t own = 2 * word_bytes(process);
    uint64_t token = process->job->id * 0x9e3779b97f4a7c15U + gen;
    ranks_path(process->job, process->line, path);
    enum status status = open_meeting(
        process, path, token, own + process->runner.context->terms.meet_bytes, &meet, err);
    if (status != STATUS_OK)
        return status;
    process->runner.context->meet = meet;
    process->runner.context->meet_from = own;
    pthread_mutex_lock(&process->lock);
    process->meet = meet; /* from now on the pump beats */
    pthread_mutex_unlock(&process->lock);
    return STATUS_OK;
}

enum status ranks_begin(struct sink_process *process, uint64_t step, struct error *err)
{
    word_of(process, (int)process->rank)->step = step;
    word_told(process, sizeof(struct word));
    enum status status = ranks_meet(process, err);
    for (int r = 0; r < (int)process->rank_count && status == STATUS_OK; r++)
        if (word_of(process, r)->step != step)
            status = error_set(err, STATUS_BUSY,
                               "rank %u goes on from step %llu, rank %d from %llu: the ranks are "
                               "started again", process->rank, (unsigned long long)step, r,
                               (unsigned long long)word_of(process, r)->step);
    process->meet_turn++;
    return status;
}

static void tell(struct sink_process *process, bool has, const struct sink_batch *batch,
                 const uint64_t *digests, const struct step_last *last)
{
    struct word *word = word_of(process, (int)process->rank);
    word->has = has;
    if (!has)
        return;
    word->step = batch->step;
    word->count = batch->count;
    word->last = *last;
    ASSERT_INT(batch->count, ==, process->share);
    for (uint32_t i = 0; i < batch->count; i++) {
        const struct sink_item *item = &batch->items[i];
        word->item[i] = (struct item){item->seq, item->index, digests[i], item->skip};
    }
}

/* The step of all ranks from what each has told. */
static void gather(struct sink_process *process, struct step_record *record)
{
    struct sink_batch *whole = &process->whole;
    uint64_t *digests = arena_alloc(&process->step_arena, process->batch * sizeof *digests);
    whole->count = 0;
    for (int r = 0; r < (int)process->rank_count; r++) {
        const struct word *word = word_of(process, r);
        ASSERT(word->step == whole->step);
        for (uint64_t i = 0; i < word->count; i++) {
            const struct item *item = &word->item[i];
            digests[whole->count] = item->digest;
            whole->items[whole->count++] =
                (struct sink_item){item->seq, item->index, -1, (enum skip)item->skip};
        }
        if (word->last.known && (!record->last.known || word->last.came_ms > record->last.came_ms))
            record->last = word->last;
    }
    ASSERT_INT(whole->count, ==, process->batch);
    record->batch = whole;
    record->digest = step_digest(digests, whole->count);
}

enum status ranks_agree(struct sink_process *process, bool has, const struct sink_batch *batch,
                        const uint64_t *digests, struct step_record *record, bool *all,
                        struct error *err)
{
    *all = has;
    if (process->rank_count == 1) {
        record->batch = batch;
        record->digest = has ? step_digest(digests, batch->count) : 0;
        return STATUS_OK;
    }
    struct step_last last = record->last;
    tell(process, has, batch, digests, &last);
    word_told(process, has ? word_bytes(process) : sizeof(struct word));
    meet_limit(process->meet, 0);
    enum status status = ranks_meet(process, err);
    for (int r = 0; r < (int)process->rank_count && status == STATUS_OK; r++)
        *all = *all && word_of(process, r)->has;
    if (status == STATUS_OK && *all) {
        process->whole.step = batch->step;
        process->whole.epoch = batch->epoch;
        process->whole.position = batch->position;
        process->whole.recycles = batch->recycles;
        gather(process, record);
    }
    process->meet_turn++;
    int64_t limit = process->longest_ms ? 5 * process->longest_ms : 0;
    if (limit && limit < RANKS_LIMIT_MS)
        limit = RANKS_LIMIT_MS;
    meet_limit(process->meet, limit);
    return status;
}

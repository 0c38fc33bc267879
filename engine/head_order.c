/* The order of a line: how often each sample of its frozen list comes; see head.h. */
#include "engine/head.h"
#include "engine/wire.h"

#include <string.h>

_Static_assert((int)GRAPH_MIX_MAX == (int)ORDER_SETS_MAX, "data sets of a line");

bool head_weighs(const struct job *job, int number)
{
    return graph_sink_setting(job->graph, &job->graph->lines[number], "weights", 0) != 0;
}

uint64_t head_length(const struct job *job, int number, uint64_t count)
{
    int64_t length = graph_sink_setting(job->graph, &job->graph->lines[number], "epoch_length", 0);
    return length && count ? (uint64_t)length : count;
}

/* A number of a sample in the list; false: it has none of that name. */
static bool scalar_i32(const struct sample *sample, const char *name, int32_t *value)
{
    const struct field *field = sample_find(sample, name);
    if (!field || field->kind != KIND_I32 || field->rank != 0)
        return false;
    memcpy(value, field->data, sizeof *value);
    return true;
}

/* How often a chain is wanted: OpenFold's rule. One of a cluster stands for all of it, and long
 * ones, of which a crop shows a part, come more often. */
static float weight_of(int32_t cluster_size, int32_t length)
{
    float held = length > 512 ? 512 : length < 256 ? 256 : (float)length;
    return (cluster_size > 0 ? 1 / (float)cluster_size : 1) * (held / 512);
}

/* What the list says of each of its samples. */
struct known {
    float *weight;
    unsigned char *store;
    uint64_t stores[GRAPH_MIX_MAX]; /* samples of each */
};

static enum status read_known(const struct list *list, bool weighted, int mix_count,
                              struct arena *arena, struct known *known, struct error *err)
{
    static const char *const fields[] = {"cluster_size", "length", HEAD_STORE_FIELD, NULL};
    struct wire_options options = {.fields = fields};
    uint64_t count = list_count(list);
    *known = (struct known){.weight = arena_alloc(arena, count * sizeof *known->weight),
                            .store = arena_zero(arena, count, 1)};
    for (uint64_t i = 0; i < count; i++) {
        struct sample sample;
        int32_t cluster = 0, length = 0, store = 0;
        struct arena_mark mark = arena_mark(arena);
        enum status status = wire_decode(list_frame(list, i), &options, arena, &sample, err);
        if (status != STATUS_OK)
            return status;
        struct span key = list_key(list, i);
        if (weighted && (!scalar_i32(&sample, "cluster_size", &cluster) ||
                         !scalar_i32(&sample, "length", &length)))
            return error_set(err, STATUS_INVALID,
                             "%.*s has no cluster_size and length, by which `weights` chooses: "
                             "scan gives them, and records that are made from it keep them",
                             (int)key.size, key.data);
        if (mix_count &&
            (!scalar_i32(&sample, HEAD_STORE_FIELD, &store) || store < 0 || store >= mix_count))
            return error_set(err, STATUS_CORRUPT, "%.*s is of none of the %d stores that are mixed",
                             (int)key.size, key.data, mix_count);
        known->weight[i] = weighted ? weight_of(cluster, length) : 1;
        known->store[i] = (unsigned char)store;
        known->stores[store]++;
        arena_rewind(arena, mark);
    }
    return STATUS_OK;
}

enum status head_order(const struct job *job, int number, const struct list *list, bool shuffled,
                       struct arena *arena, struct order *order, struct error *err)
{
    const struct graph_line *line = &job->graph->lines[number];
    uint64_t count = list_count(list), length = head_length(job, number, count);
    bool weighted = head_weighs(job, number);
    bool plain = !weighted && line->mix_count == 0 && length == count;
    *order = order_make(job->graph->seed, count, job->batch[number], shuffled, NULL);
    if (!shuffled && !plain)
        return error_set(err, STATUS_INVALID,
                         "%s takes its samples as they are listed: weights, epoch_length and "
                         "mixtures are for lines in random order",
                         job_line_name(job, number));
    if (plain || count == 0)
        return STATUS_OK;
    if (length > ORDER_LENGTH_MAX)
        return error_set(err, STATUS_INVALID, "%s: epoch_length wants at most %d positions",
                         job_line_name(job, number), ORDER_LENGTH_MAX);
    struct known known;
    struct order_sets sets = {.count = line->mix_count};
    enum status status = read_known(list, weighted, line->mix_count, arena, &known, err);
    for (int i = 0; i < line->mix_count && status == STATUS_OK; i++) {
        sets.share[i] = line->mix[i].share;
        if (known.stores[i] == 0)
            status = error_set(err, STATUS_EMPTY, "%s has no samples of split \"%s\" to mix in",
                               job->graph->stages[line->mix[i].store].name, line->mix[i].split);
    }
    sets.of = known.store;
    if (status == STATUS_OK)
        *order = order_weigh(*order, known.weight, line->mix_count ? &sets : NULL, length, arena);
    return status;
}

/* Reading a line's head; see head.h. */
#include "engine/head.h"

#include "engine/wire.h"

#include <stdlib.h>
#include <string.h>

/* A store that is being filled may not be there yet: then every read is a miss, and looks again. */
static enum status open_store(struct head *head, struct error *err)
{
    enum status status = store_open_reader(head->store_path, &head->store, err);
    if (status == STATUS_OK)
        return STATUS_OK;
    head->store = NULL;
    return status == STATUS_MISS ? STATUS_OK : status;
}

enum status head_open(struct head **head, const struct job *job, int number, struct error *err)
{
    const struct graph_line *line = &job->graph->lines[number];
    char path[PATH_MAX];
    *head = calloc(1, sizeof **head);
    ASSERT(*head);
    enum status status =
        list_open(&(*head)->list, job_list_path(job, number, path), line->split, err);
    if (status == STATUS_OK) {
        uint64_t group = job->batch[number];
        int64_t length = graph_sink_setting(job->graph, line, "epoch_length", 0);
        (*head)->length = length ? (uint64_t)length : list_count((*head)->list);
        (*head)->positions = ((*head)->length + group - 1) / group * group;
        (*head)->store_path = job_store_path(job, number);
        (*head)->recipe = job_recipe(job, number);
        if ((*head)->store_path)
            status = open_store(*head, err);
    }
    if (status != STATUS_OK) {
        head_close(*head);
        *head = NULL;
    }
    return status;
}

void head_close(struct head *head)
{
    if (!head)
        return;
    if (head->store)
        store_close(head->store);
    list_close(head->list);
    free(head);
}

enum status head_made(const struct head *head, uint64_t recipe, uint64_t index, struct arena *arena,
                      struct store_made *made, struct error *err)
{
    static const char *const fields[] = {"input_digest", NULL};
    struct wire_options options = {.fields = fields};
    struct sample sample;
    enum status status = wire_decode(list_frame(head->list, index), &options, arena, &sample, err);
    if (status == STATUS_OK)
        *made = store_made(recipe, &sample);
    return status;
}

static enum status read_store(struct head *head, uint64_t index, const char *const *lazy,
                              struct arena *arena, struct sample *sample, struct error *err)
{
    struct store_made made, *wanted = NULL;
    enum status status = head->store ? STATUS_OK : open_store(head, err);
    if (status == STATUS_OK && !head->store)
        return STATUS_MISS;
    if (status == STATUS_OK && head->recipe) {
        status = head_made(head, head->recipe, index, arena, &made, err);
        wanted = &made;
    }
    if (status != STATUS_OK)
        return status;
    char key[SAMPLE_KEY_MAX + 1];
    struct span span = list_key(head->list, index);
    memcpy(key, span.data, span.size);
    key[span.size] = '\0';
    status = lazy && *lazy ? store_get_lazy(head->store, key, lazy, wanted, arena, sample, err)
                           : store_get(head->store, key, NULL, wanted, arena, sample, err);
    if (status != STATUS_CORRUPT)
        return status;
    store_note_damage(head->store, key); /* skipped by name, and made again by the next fill */
    return STATUS_REFUSED;
}

enum status head_read(struct head *head, struct span key, const char *const *lazy,
                      struct arena *arena, struct sample *sample, struct error *err)
{
    uint64_t index = list_find(head->list, key);
    if (index == UINT64_MAX)
        return error_set(err, STATUS_INVALID, "the key \"%.*s\" is not in the list", (int)key.size,
                         key.data);
    if (head->store_path)
        return read_store(head, index, lazy, arena, sample, err);
    return wire_decode(list_frame(head->list, index), NULL, arena, sample, err);
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

/* How often a sample is wanted (data path, section 9.4): by the size of its cluster and its length.
 */
static enum status weight_of(struct head *head, uint64_t index, struct arena *arena, float *weight,
                             struct error *err)
{
    static const char *const fields[] = {"cluster_size", "length", NULL};
    struct wire_options options = {.fields = fields};
    struct sample sample;
    int32_t cluster = 0, length = 0;
    struct span span = list_key(head->list, index);
    char *key = arena_text(arena, span.data, span.size);
    enum status status = wire_decode(list_frame(head->list, index), &options, arena, &sample, err);
    bool known = status == STATUS_OK && scalar_i32(&sample, "cluster_size", &cluster) &&
                 scalar_i32(&sample, "length", &length);
    if (status == STATUS_OK && !known && head->store) {
        status = store_get(head->store, key, fields, NULL, arena, &sample, err);
        known = status == STATUS_OK && scalar_i32(&sample, "cluster_size", &cluster) &&
                scalar_i32(&sample, "length", &length);
    }
    if (status != STATUS_OK)
        return status;
    if (!known)
        return error_set(err, STATUS_INVALID,
                         "%s has no cluster_size and length, by which `weights: openfold` chooses: "
                         "they come from scan",
                         key);
    float most = length > 512 ? 512 : length < 256 ? 256 : (float)length;
    *weight = (cluster > 0 ? 1 / (float)cluster : 1) * (most / 512);
    return STATUS_OK;
}

enum status head_order(struct head *head, const struct job *job, int number, bool shuffled,
                       struct arena *arena, struct order *order, struct error *err)
{
    const struct graph_line *line = &job->graph->lines[number];
    uint64_t count = list_count(head->list);
    *order = order_make(job->graph->seed, count, job->batch[number], shuffled, NULL);
    bool weighted = graph_sink_setting(job->graph, line, "weights", 0) != 0;
    if (!shuffled && head->length != count)
        return error_set(err, STATUS_INVALID, "epoch_length is for lines in random order");
    if (!shuffled || count == 0 || (!weighted && head->length == count))
        return STATUS_OK;
    float *weight = arena_alloc(arena, count * sizeof *weight);
    enum status status = STATUS_OK;
    for (uint64_t i = 0; i < count && status == STATUS_OK; i++) {
        struct arena_mark mark = arena_mark(arena);
        weight[i] = 1;
        if (weighted)
            status = weight_of(head, i, arena, &weight[i], err);
        arena_rewind(arena, mark);
    }
    if (status == STATUS_OK)
        *order = order_weigh(*order, weight, head->length, arena);
    return status;
}

/* Adds the indices that one reading line wants, in its order; taken[] tells what is there already.
 */
static uint64_t add_wanted(const struct head *head, const struct job *job, int reader,
                           uint32_t *needs, uint64_t used, bool *taken)
{
    struct list *list;
    char path[PATH_MAX];
    if (list_open(&list, job_list_path(job, reader, path), job->graph->lines[reader].split, NULL) !=
        STATUS_OK)
        return used;
    struct order order =
        order_make(job->graph->seed, list_count(list), job->batch[reader], true, NULL);
    for (uint64_t seq = 0; seq < order.count; seq++) {
        uint64_t index = list_find(head->list, list_key(list, order_index(&order, seq)));
        if (index != UINT64_MAX && !taken[index]) {
            taken[index] = true;
            needs[used++] = (uint32_t)index;
        }
    }
    list_close(list);
    return used;
}

uint32_t *head_needs(const struct head *head, const struct job *job, int line, struct arena *arena)
{
    uint64_t count = list_count(head->list), used = 0;
    uint32_t *needs = arena_zero(arena, count, sizeof *needs);
    bool *taken = arena_zero(arena, count, sizeof *taken);
    for (int i = 0; i < job->graph->line_count; i++)
        if (job->graph->lines[i].filled_by == line)
            used = add_wanted(head, job, i, needs, used, taken);
    for (uint64_t index = 0; index < count; index++)
        if (!taken[index])
            needs[used++] = (uint32_t)index;
    ASSERT_INT(used, ==, count);
    return needs;
}

/* Reading a line's head; see head.h. */
#include "engine/head.h"

#include "engine/wire.h"

#include <stdlib.h>
#include <string.h>

/* A store that is being filled may not be there yet: then every read is a miss, and looks again. */
static enum status open_store(struct head_store *at, struct error *err)
{
    enum status status = store_open_reader(at->path, &at->store, err);
    if (status == STATUS_OK)
        return STATUS_OK;
    at->store = NULL;
    return status == STATUS_MISS ? STATUS_OK : status;
}

static enum status open_stores(struct head *head, const struct job *job, int number,
                               struct error *err)
{
    const struct graph_line *line = &job->graph->lines[number];
    const char *path = job_store_path(job, number);
    head->store_count = line->mix_count ? line->mix_count : path ? 1 : 0;
    enum status status = STATUS_OK;
    for (int i = 0; i < head->store_count && status == STATUS_OK; i++) {
        if (line->mix_count)
            path = graph_store_path(&job->graph->stages[line->mix[i].store]);
        head->stores[i].path = path;
        status = open_store(&head->stores[i], err);
    }
    return status;
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
        uint64_t length = head_length(job, number, list_count((*head)->list));
        (*head)->positions = (length + group - 1) / group * group;
        (*head)->recipe = job_recipe(job, number);
        status = open_stores(*head, job, number, err);
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
    for (int i = 0; i < head->store_count; i++)
        if (head->stores[i].store)
            store_close(head->stores[i].store);
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

/* Which of its stores the sample of that index is in. */
static enum status find_store(struct head *head, uint64_t index, struct arena *arena,
                              struct head_store **at, struct error *err)
{
    static const char *const fields[] = {HEAD_STORE_FIELD, NULL};
    struct wire_options options = {.fields = fields};
    struct sample sample;
    const struct field *field;
    int32_t number = 0;
    enum status status = STATUS_OK;
    if (head->store_count > 1) {
        status = wire_decode(list_frame(head->list, index), &options, arena, &sample, err);
        if (status == STATUS_OK)
            status = sample_need(&sample, HEAD_STORE_FIELD, KIND_I32, 0, &field, err);
        if (status == STATUS_OK)
            memcpy(&number, field->data, sizeof number);
    }
    if (status != STATUS_OK)
        return status;
    if (number < 0 || number >= head->store_count)
        return error_set(err, STATUS_CORRUPT, "the list says store %d of %d", number,
                         head->store_count);
    *at = &head->stores[number];
    return (*at)->store ? STATUS_OK : open_store(*at, err);
}

static enum status read_store(struct head *head, uint64_t index, const char *const *lazy,
                              struct arena *arena, struct sample *sample, struct error *err)
{
    struct store_made made, *wanted = NULL;
    struct head_store *at;
    enum status status = find_store(head, index, arena, &at, err);
    if (status == STATUS_OK && !at->store)
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
    status = lazy && *lazy ? store_get_lazy(at->store, key, lazy, wanted, arena, sample, err)
                           : store_get(at->store, key, NULL, wanted, arena, sample, err);
    if (status != STATUS_CORRUPT)
        return status;
    store_note_damage(at->store, key); /* skipped by name, and made again by the next fill */
    return STATUS_REFUSED;
}

enum status head_read(struct head *head, struct span key, const char *const *lazy,
                      struct arena *arena, struct sample *sample, struct error *err)
{
    uint64_t index = list_find(head->list, key);
    if (index == UINT64_MAX)
        return error_set(err, STATUS_INVALID, "the key \"%.*s\" is not in the list", (int)key.size,
                         key.data);
    if (head->store_count)
        return read_store(head, index, lazy, arena, sample, err);
    return wire_decode(list_frame(head->list, index), NULL, arena, sample, err);
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
    struct order order;
    struct arena arena;
    arena_open(&arena, 0);
    if (head_order(job, reader, list, true, &arena, &order, NULL) != STATUS_OK)
        order.length = 0;
    for (uint64_t seq = 0; seq < order.length; seq++) {
        uint64_t index = list_find(head->list, list_key(list, order_index(&order, seq)));
        if (index != UINT64_MAX && !taken[index]) {
            taken[index] = true;
            needs[used++] = (uint32_t)index;
        }
    }
    arena_close(&arena);
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

/* Starting weights by name; see start.h. Every tensor is held against the table of parameters, and
 * whatever does not fit is told at once. */
#include "kernels/net/start.h"

#include "engine/base/file.h"
#include "engine/base/log.h"
#include "kernels/net/inside.h"
#include "kernels/net/names.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

enum { SHOWN = 2, LOGGED = 100, NAME_ROOM = 2 * SAFETENSORS_NAME_MAX, NEAR = 24 };

/* What can be wrong with a tensor, or a parameter. */
enum flaw { FLAW_MISSING, FLAW_SHAPE, FLAW_KIND, FLAW_TWICE, FLAW_SURPLUS, FLAWS };

static const char *const flaw_texts[FLAWS] = {"missing", "of another shape",
                                              "not of f32, bf16 or f16", "there twice",
                                              "in surplus"};

struct take {
    const struct params *params;
    const struct safetensors *from;
    bool checkpoint;                 /* of this program: its moving average counts */
    int *sorted;                     /* parameters in the order of their names */
    const struct safetensor **given; /* [params->count] */
    bool *flawed;                    /* [params->count]: there, but not usable */
    const char **surplus;            /* [from->count] names as translated */
    int count[FLAWS], logged;
    char shown[FLAWS][SHOWN][NAME_ROOM + 64];
};

static void note(struct take *take, enum flaw flaw, const char *text)
{
    int number = take->count[flaw]++;
    if (number < SHOWN)
        snprintf(take->shown[flaw][number], sizeof take->shown[flaw][number], "%s", text);
    if (take->logged++ < LOGGED)
        log_warn("starting weights: %s: %s", flaw_texts[flaw], text);
}

static const struct params *comparing; /* for by_name: qsort hands nothing on */

static int by_name(const void *a, const void *b)
{
    int x, y;
    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    return strcmp(comparing->item[x].name, comparing->item[y].name);
}

/* The number of the parameter of this name; -1: none. */
static int find(const struct take *take, const char *name)
{
    int low = 0, high = take->params->count;
    while (low < high) {
        int middle = (low + high) / 2;
        int order = strcmp(take->params->item[take->sorted[middle]].name, name);
        if (order == 0)
            return take->sorted[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return -1;
}

static size_t shape_show(char *text, size_t room, const uint64_t *dim, int rank)
{
    size_t used = (size_t)snprintf(text, room, "[");
    for (int i = 0; i < rank && used < room; i++)
        used += (size_t)snprintf(text + used, room - used, "%s%llu", i ? "," : "",
                                 (unsigned long long)dim[i]);
    if (used < room)
        used += (size_t)snprintf(text + used, room - used, "]");
    return used;
}

static bool shape_check(struct take *take, const struct parameter *p, const struct safetensor *t)
{
    uint64_t wanted[PARAM_RANK_MAX] = {(uint64_t)p->dim[0], (uint64_t)p->dim[1]};
    bool equal = t->rank == p->rank;
    for (int i = 0; i < p->rank && equal; i++)
        equal = t->dim[i] == wanted[i];
    if (equal)
        return true;
    char found_text[128], wanted_text[64], text[NAME_ROOM + 64];
    bool turned = t->rank == 2 && p->rank == 2 && t->dim[0] == wanted[1] && t->dim[1] == wanted[0];
    shape_show(found_text, sizeof found_text, t->dim, t->rank);
    shape_show(wanted_text, sizeof wanted_text, wanted, p->rank);
    snprintf(text, sizeof text, "%s is %s, wanted %s%s", p->name, found_text, wanted_text,
             turned ? " (out,in: turn it)" : "");
    note(take, FLAW_SHAPE, text);
    return false;
}

/* The tensor's name here; NULL: one that does not count. */
static const char *name_of(const struct take *take, const struct safetensor *t, char *ours,
                           size_t room)
{
    static const char averaged[] = "ema/";
    if (!take->checkpoint)
        return name_translate(t->name, ours, room) ? ours : t->name;
    return strncmp(t->name, averaged, sizeof averaged - 1) == 0 ? t->name + sizeof averaged - 1
                                                                : NULL;
}

static void tensor_take(struct take *take, const struct safetensor *t)
{
    char ours[NAME_ROOM];
    const char *name = name_of(take, t, ours, sizeof ours);
    int i = name ? find(take, name) : -1;
    if (!name)
        return;
    if (i < 0) {
        take->surplus[take->count[FLAW_SURPLUS]] = t->name;
        note(take, FLAW_SURPLUS, t->name);
    } else if (take->given[i] || take->flawed[i]) {
        note(take, FLAW_TWICE, t->name);
    } else if (t->kind > SAFETENSOR_F16) {
        take->flawed[i] = true;
        note(take, FLAW_KIND, t->name);
    } else if (!shape_check(take, &take->params->item[i], t)) {
        take->flawed[i] = true;
    } else {
        take->given[i] = t;
    }
}

/* The surplus name that is most like one that is missing; NULL: none is near. */
static const char *nearest(const struct take *take, const char *name)
{
    const char *best = NULL;
    int least = NEAR + 1;
    for (int i = 0; i < take->count[FLAW_SURPLUS]; i++) {
        int distance = text_distance(span_of(name), span_of(take->surplus[i]), least - 1);
        if (distance < least)
            least = distance, best = take->surplus[i];
    }
    return best;
}

static void missing_note(struct take *take)
{
    for (int i = 0; i < take->params->count; i++) {
        const char *name = take->params->item[i].name, *near = NULL;
        char text[NAME_ROOM + 64];
        if (take->given[i] || take->flawed[i])
            continue;
        if (take->count[FLAW_MISSING] < SHOWN)
            near = nearest(take, name);
        snprintf(text, sizeof text, "%s%s%s%s", name, near ? " (is it " : "", near ? near : "",
                 near ? "?)" : "");
        note(take, FLAW_MISSING, text);
    }
}

static enum status verdict(const struct take *take, struct error *err)
{
    char text[ERROR_TEXT_MAX] = "";
    size_t used = 0;
    for (int flaw = 0; flaw < FLAWS; flaw++) {
        int count = take->count[flaw];
        if (count == 0)
            continue;
        if (used < sizeof text)
            used += (size_t)snprintf(text + used, sizeof text - used, "%s%d %s: ",
                                     used ? "; " : "", count, flaw_texts[flaw]);
        for (int i = 0; i < count && i < SHOWN && used < sizeof text; i++)
            used += (size_t)snprintf(text + used, sizeof text - used, "%s%s", i ? ", " : "",
                                     take->shown[flaw][i]);
        if (count > SHOWN && used < sizeof text)
            used += (size_t)snprintf(text + used, sizeof text - used, " and %d more (in the log)",
                                     count - SHOWN);
    }
    if (used == 0)
        return STATUS_OK;
    return error_set(err, STATUS_INVALID,
                     "not the weights of a network of these sizes (%d parameters, %d tensors in "
                     "the file): %.800s",
                     take->params->count, take->from->count, text);
}

enum status start_take(const struct params *params, const struct safetensors *from, float *values,
                       struct error *err)
{
    size_t count = (size_t)params->count;
    const char *format = safetensors_note(from, "format");
    struct take *take = calloc(1, sizeof *take);
    ASSERT(take);
    *take = (struct take){.params = params, .from = from};
    take->checkpoint = format && strcmp(format, CHECKPOINT_FORMAT) == 0;
    take->sorted = calloc(count, sizeof *take->sorted);
    take->given = calloc(count, sizeof *take->given);
    take->flawed = calloc(count, sizeof *take->flawed);
    take->surplus = calloc((size_t)from->count + 1, sizeof *take->surplus);
    ASSERT(take->sorted && take->given && take->flawed && take->surplus);
    for (int i = 0; i < params->count; i++)
        take->sorted[i] = i;
    comparing = params;
    qsort(take->sorted, count, sizeof *take->sorted, by_name);
    for (int i = 0; i < from->count; i++)
        tensor_take(take, &from->tensor[i]);
    missing_note(take);
    enum status status = verdict(take, err);
    if (status == STATUS_OK && values) {
        memset(values, 0, (size_t)params->size * sizeof *values);
        for (int i = 0; i < params->count; i++)
            safetensors_floats(take->given[i], values + params->item[i].offset,
                               (uint64_t)params->item[i].count);
    }
    free(take->sorted);
    free(take->given);
    free(take->flawed);
    free(take->surplus);
    free(take);
    return status;
}

/* Reads the file into arena and takes the numbers. digest: of its bytes. */
static enum status file_take(const struct params *params, const char *path, struct arena *arena,
                             float *values, uint64_t *digest, struct error *err)
{
    static const size_t bytes_max = (size_t)1 << 36;
    struct span content;
    struct safetensors file;
    enum status status = file_read(path, bytes_max, arena, &content, err);
    if (status != STATUS_OK)
        return status;
    status = safetensors_parse(content, arena, &file, err);
    if (status == STATUS_OK)
        status = start_take(params, &file, values, err);
    *digest = XXH3_64bits(content.data, content.size);
    return status == STATUS_OK ? status : error_prefix(err, "%s", path);
}

enum status net_start_check(const struct net_config *config, const char *path, struct error *err)
{
    struct model_sizes sizes = net_config_sizes(config);
    struct model *model = calloc(1, sizeof *model);
    struct params params;
    struct arena arena;
    uint64_t digest;
    ASSERT(model);
    arena_open(&arena, 0);
    params_open(&params);
    model_declare(&params, &sizes, model);
    enum status status = file_take(&params, path, &arena, NULL, &digest, err);
    params_close(&params);
    arena_close(&arena);
    free(model);
    return status;
}

/* "NAME xxh3_64 DIGITS", of letters that need no escape. */
static void started_note(struct net *net, const char *path, uint64_t digest)
{
    const char *slash = strrchr(path, '/');
    snprintf(net->started, sizeof net->started, "%.100s xxh3_64 %016llx", slash ? slash + 1 : path,
             (unsigned long long)digest);
    for (char *c = net->started; *c; c++)
        if (*c < ' ' || *c > '~' || *c == '"' || *c == '\\')
            *c = '_';
}

enum status net_start(struct net *net, const char *path, struct error *err)
{
    size_t count = (size_t)net->params.size;
    struct arena arena;
    uint64_t digest = 0;
    float *values = malloc(count * sizeof *values);
    ASSERT(values);
    arena_open(&arena, 0);
    enum status status = file_take(&net->params, path, &arena, values, &digest, err);
    arena_close(&arena);
    if (status == STATUS_OK) {
        net_write(net, NET_WEIGHTS, values);
        net_write(net, NET_EMA, values);
        memset(values, 0, count * sizeof *values);
        net_write(net, NET_MOMENT1, values);
        net_write(net, NET_MOMENT2, values);
        net_set_updates(net, 0);
        started_note(net, path, digest);
    }
    free(values);
    return status;
}

const char *net_started(const struct net *net)
{
    return net->started;
}

/* Memory, records and the reverse run; see tape.h. */
#include "kernels/net/tape.h"

#include <stdlib.h>
#include <string.h>

enum { ALIGN = 256, SLOT_WEIGHTS = 1, SLOTS_FIXED = 2 };

enum record_kind { RECORD_OP, RECORD_MODULE, RECORD_BLOCK };

struct tape_record {
    enum record_kind kind;
    enum op op;                   /* RECORD_OP */
    size_t args;                  /* where the op's arguments lie in t->args */
    int32_t module_slot;          /* RECORD_OP: first slot of its module */
    struct tape_mark mark;        /* RECORD_MODULE: what there was before */
    tape_block_run *block;        /* RECORD_BLOCK */
    void *context;
    struct backend_scope scope;   /* RECORD_OP, RECORD_BLOCK: who ran it */
    struct tape_stream m, z;      /* as they came into the block */
};

/* While planning no memory is there: places are counted from this address, never used. */
static char *const nowhere = (char *)(uintptr_t)(1 << 20);

void tape_open_plan(struct tape *t, struct backend *backend)
{
    *t = (struct tape){.backend = backend,
                       .planning = true,
                       .memory = nowhere,
                       .weights = nowhere,
                       .gradients = nowhere};
    tape_reset(t, true);
}

enum status tape_open(struct tape *t, struct backend *backend, struct tape_size size,
                      char *weights, char *gradients, struct error *err)
{
    *t = (struct tape){.backend = backend, .limit = size, .weights = weights,
                       .gradients = gradients};
    t->memory = backend->alloc(backend, size.bytes);
    t->slot = calloc((size_t)size.slots + 1, sizeof *t->slot);
    t->record = calloc((size_t)size.records + 1, sizeof *t->record);
    t->args = calloc(size.args_bytes + 1, 1);
    if (!t->memory || !t->slot || !t->record || !t->args) {
        tape_close(t);
        return error_set(err, STATUS_LIMIT,
                         "no memory for %zu bytes of activations on %s; use a shorter crop, fewer "
                         "rows, or keep fewer blocks",
                         size.bytes, backend->device);
    }
    tape_reset(t, true);
    return STATUS_OK;
}

void tape_close(struct tape *t)
{
    if (!t->planning && t->memory)
        t->backend->release(t->backend, t->memory);
    free(t->slot);
    free(t->record);
    free(t->args);
    *t = (struct tape){0};
}

size_t tape_table_bytes(struct tape_size size)
{
    return ((size_t)size.slots + 1) * sizeof(struct tape_slot) +
           ((size_t)size.records + 1) * sizeof(struct tape_record) + size.args_bytes + 1;
}

void tape_zone(struct tape *t, int zone)
{
    ASSERT(zone >= 0 && zone < TAPE_ZONES_MAX);
    t->zone = zone;
}

/* While planning: the zones of what is taken, and of what is given back. */
static void zone_take(struct tape *t, size_t bytes)
{
    if (t->cut_count == 0 || t->cut[t->cut_count - 1].zone != t->zone) {
        ASSERT_INT(t->cut_count, <, TAPE_CUTS_MAX);
        t->cut[t->cut_count].from = t->used.bytes;
        t->cut[t->cut_count++].zone = t->zone;
    }
    t->zone_bytes[t->zone] += bytes;
}

static void zone_drop(struct tape *t, size_t bytes)
{
    size_t end = t->used.bytes;
    while (t->cut_count > 0 && t->cut[t->cut_count - 1].from >= bytes) {
        t->cut_count--;
        t->zone_bytes[t->cut[t->cut_count].zone] -= end - t->cut[t->cut_count].from;
        end = t->cut[t->cut_count].from;
    }
    if (t->cut_count > 0)
        t->zone_bytes[t->cut[t->cut_count - 1].zone] -= end - bytes;
}

struct tape_size tape_peak(const struct tape *t)
{
    return t->limit;
}

/* While planning, host tables grow; else they have the planned size. */
static void *room(struct tape *t, void *table, int32_t count, int32_t *limit, size_t size)
{
    if (count < *limit)
        return table;
    if (!t->planning)
        assert_fail(__FILE__, __LINE__, "the pass is larger than planned: %d items", (int)count);
    *limit = *limit ? 2 * *limit : 256;
    void *grown = realloc(table, (size_t)*limit * size);
    ASSERT(grown);
    return grown;
}

static int32_t slot_add(struct tape *t, void *data, int64_t count)
{
    t->slot = room(t, t->slot, t->used.slots, &t->limit.slots, sizeof *t->slot);
    int32_t index = t->used.slots++;
    t->slot[index] = (struct tape_slot){.data = data, .count = count, .root = index,
                                        .newest = index};
    return index;
}

static struct tape_record *record_add(struct tape *t, enum record_kind kind)
{
    t->record = room(t, t->record, t->used.records, &t->limit.records, sizeof *t->record);
    struct tape_record *r = &t->record[t->used.records++];
    *r = (struct tape_record){.kind = kind};
    return r;
}

static char *take(struct tape *t, int64_t count, enum tensor_kind kind)
{
    size_t bytes = (size_t)count * tensor_kind_bytes(kind);
    bytes = (bytes + ALIGN - 1) / ALIGN * ALIGN;
    char *memory = t->memory + t->used.bytes;
    if (t->planning)
        zone_take(t, bytes);
    t->used.bytes += bytes;
    if (t->planning && t->used.bytes > t->limit.bytes) {
        t->limit.bytes = t->used.bytes;
        memcpy(t->zone_peak, t->zone_bytes, sizeof t->zone_peak);
    }
    if (!t->planning && t->used.bytes > t->bytes_peak)
        t->bytes_peak = t->used.bytes;
    ASSERT_INT(t->used.bytes, <=, t->limit.bytes);
    return memory;
}

void tape_reset(struct tape *t, bool recording)
{
    zone_drop(t, 0);
    t->used = (struct tape_size){0};
    t->recording = recording;
    slot_add(t, NULL, 0);
    slot_add(t, t->weights, INT64_MAX);
    t->slot[SLOT_WEIGHTS].gradient = t->gradients;
    t->module_slot = SLOTS_FIXED;
}

struct tensor tape_constant(struct tape *t, enum tensor_kind kind, int rank, int64_t d0,
                            int64_t d1, int64_t d2, int64_t d3)
{
    struct tensor made = tensor_make(NULL, kind, rank, d0, d1, d2, d3);
    made.data = take(t, tensor_count(&made), kind);
    return made;
}

struct tensor tape_tensor(struct tape *t, int rank, int64_t d0, int64_t d1, int64_t d2,
                          int64_t d3)
{
    struct tensor made = tape_constant(t, t->backend->real, rank, d0, d1, d2, d3);
    if (t->recording)
        made.slot = slot_add(t, made.data, tensor_count(&made));
    return made;
}

struct tensor tape_weight(const struct tape *t, struct weight w)
{
    enum tensor_kind real = t->backend->real;
    struct tensor made =
        tensor_make(t->weights + (size_t)w.offset * tensor_kind_bytes(real), real, w.rank,
                    w.dim[0], w.dim[1], 1, 1);
    made.slot = SLOT_WEIGHTS;
    return made;
}

struct tape_stream tape_stream_open(struct tape *t, int64_t d0, int64_t d1, int64_t d2)
{
    struct tape_stream s = {.now = tape_tensor(t, 3, d0, d1, d2, 1)};
    int64_t count = tensor_count(&s.now);
    char *second = take(t, count, s.now.kind);
    if (t->recording) {
        t->slot[s.now.slot].gradient = second;
    } else {
        s.buffer[0] = s.now.data;
        s.buffer[1] = second;
    }
    return s;
}

struct tensor tape_stream_next(struct tape *t, const struct tape_stream *s)
{
    const int64_t *d = s->now.dim;
    if (!t->recording) {
        struct tensor next = s->now;
        next.data = s->now.data == s->buffer[0] ? s->buffer[1] : s->buffer[0];
        return next;
    }
    struct tensor next = tape_tensor(t, 3, d[0], d[1], d[2], 1);
    t->slot[next.slot].root = t->slot[s->now.slot].root;
    return next;
}

void tape_stream_set(struct tape *t, struct tape_stream *s, struct tensor next)
{
    if (t->recording)
        t->slot[t->slot[next.slot].root].newest = next.slot;
    s->now = next;
}

void tape_part(struct tape *t, const char *part)
{
    t->backend->scope = (struct backend_scope){.part = part};
}

struct tape_mark tape_begin(struct tape *t, const char *module)
{
    const char *before = t->backend->scope.module;
    struct tape_mark mark = {t->used.bytes, t->used.slots, t->module_slot, before};
    if (module)
        t->backend->scope.module = module;
    if (t->recording) {
        record_add(t, RECORD_MODULE)->mark = mark;
        t->module_slot = t->used.slots;
    }
    return mark;
}

static void rewind_to(struct tape *t, struct tape_mark mark)
{
    if (t->planning)
        zone_drop(t, mark.bytes);
    t->used.bytes = mark.bytes;
    t->used.slots = mark.slot;
    t->module_slot = mark.module_slot;
}

void tape_end(struct tape *t, struct tape_mark mark)
{
    t->backend->scope.module = mark.module;
    if (!t->recording)
        rewind_to(t, mark);
    else
        t->module_slot = mark.module_slot;
}

/* The op reads the newest version of every stream; see tape_stream. */
static void check_versions(const struct tape *t, const struct op_info *info, const char *args)
{
    for (int f = 0; f < info->field_count; f++) {
        if (info->field[f].kind != OP_FIELD_IN && info->field[f].kind != OP_FIELD_OPT)
            continue;
        struct tensor in;
        memcpy(&in, args + info->field[f].offset, sizeof in);
        if (in.data && in.slot >= SLOTS_FIXED)
            ASSERT_INT(t->slot[t->slot[in.slot].root].newest, ==, in.slot);
    }
}

void tape_run(struct tape *t, enum op op, const void *args)
{
    const struct op_info *info = op_describe(op);
    if (!t->planning) {
        info->run(t->backend, args);
    } else {
        t->zone_flops[t->zone] += op_flops(op, args, NULL);
        if (t->backend->count)
            t->backend->count(t->backend, op, args, NULL);
    }
    if (!t->recording || !info->back)
        return;
    check_versions(t, info, args);
    size_t bytes = (info->args_bytes + 15) / 16 * 16;
    if (t->planning && t->used.args_bytes + bytes > t->limit.args_bytes) {
        t->limit.args_bytes = 2 * (t->used.args_bytes + bytes);
        t->args = realloc(t->args, t->limit.args_bytes);
        ASSERT(t->args);
    }
    ASSERT_INT(t->used.args_bytes + bytes, <=, t->limit.args_bytes);
    struct tape_record *r = record_add(t, RECORD_OP);
    r->op = op;
    r->scope = t->backend->scope;
    r->args = t->used.args_bytes;
    r->module_slot = t->module_slot;
    memcpy(t->args + r->args, args, info->args_bytes);
    t->used.args_bytes += bytes;
}

void tape_block(struct tape *t, tape_block_run *block, void *context, struct tape_stream *m,
                struct tape_stream *z, bool keep)
{
    if (keep || !t->recording) {
        block(t, context, m, z);
        return;
    }
    struct tape_record *r = record_add(t, RECORD_BLOCK);
    r->block = block, r->context = context;
    r->scope = t->backend->scope;
    r->m = *m, r->z = *z;
    struct tensor kept_m = tape_stream_next(t, m), kept_z = tape_stream_next(t, z);
    struct tape_mark mark = {t->used.bytes, t->used.slots, t->module_slot, NULL};
    struct tape_stream *streams[2] = {m, z};
    t->recording = false;
    for (int i = 0; i < 2; i++)
        for (int j = 0; j < 2; j++)
            streams[i]->buffer[j] = take(t, tensor_count(&streams[i]->now), streams[i]->now.kind);
    block(t, context, m, z);
    for (int i = 0; i < 2; i++) {
        struct tensor from = streams[i]->now, to = i ? kept_z : kept_m;
        from.slot = 0;
        tape_copy(t, (struct op_copy){.x = tensor_split(from, 1, from.dim[2]),
                                      .y = tensor_split(to, 1, to.dim[2])});
    }
    rewind_to(t, mark);
    t->recording = true;
    tape_stream_set(t, m, kept_m);
    tape_stream_set(t, z, kept_z);
}

/* Where the gradient of `of` lies: the same view over its slot's gradient memory. */
static struct tensor gradient_view(const struct tape *t, struct tensor of)
{
    const struct tape_slot *slot = &t->slot[of.slot];
    char *base = t->slot[slot->root].gradient;
    of.data = base ? base + ((char *)of.data - slot->data) : NULL;
    of.slot = 0;
    return of;
}

/* The upstream gradient of an op's result; absent when nothing was written to it. */
static struct tensor gradient_read(const struct tape *t, struct tensor of)
{
    const struct tape_slot *root = &t->slot[t->slot[of.slot].root];
    int64_t written = 0, at = (char *)of.data - t->slot[of.slot].data;
    for (int i = 0; i < root->parts; i++) {
        written += root->part_count[i];
        if (root->part_at[i] == at && root->part_count[i] == tensor_count(&of))
            return gradient_view(t, of); /* this part has one, whatever the others have */
    }
    if (written == 0)
        of.data = NULL;
    else
        ASSERT_INT(written, ==, root->count); /* all parts of it have a gradient, or none */
    return of.data ? gradient_view(t, of) : of;
}

/* The gradient to be written: replaced by the first who writes a part, added to by the others. */
static struct tensor gradient_write(struct tape *t, struct tensor of, int32_t module_slot)
{
    struct tape_slot *slot = &t->slot[of.slot], *root = &t->slot[slot->root];
    if (of.slot == SLOT_WEIGHTS) {
        of = gradient_view(t, of);
        of.add = true;
        return of;
    }
    if (!root->gradient) { /* a module gives back what it took: its own slots only */
        ASSERT_INT(of.slot, >=, module_slot);
        root->gradient = take(t, root->count, t->backend->real);
    }
    int64_t at = (char *)of.data - slot->data, count = tensor_count(&of), written = 0;
    bool known = false;
    for (int i = 0; i < root->parts; i++) {
        written += root->part_count[i];
        known = known || (root->part_at[i] == at && root->part_count[i] == count);
    }
    of = gradient_view(t, of);
    of.add = known || written == root->count;
    if (!of.add) {
        ASSERT_INT(written + count, <=, root->count);
        ASSERT_INT(root->parts, <, TAPE_PARTS_MAX);
        root->part_at[root->parts] = at;
        root->part_count[root->parts++] = count;
    }
    return of;
}

void tape_seed_value(struct tape *t, struct tensor of, double value)
{
    struct tensor g = gradient_write(t, of, of.slot);
    ASSERT(!g.add);
    if (!t->planning)
        t->backend->ops.fill(t->backend, &(struct op_fill){.y = tensor_flat(g), .value = value});
}

void tape_seed(struct tape *t, struct tensor of, const void *host)
{
    struct tensor g = gradient_write(t, of, of.slot);
    ASSERT(!g.add && tensor_dense(&g));
    if (!t->planning)
        t->backend->copy_in(t->backend, g.data, host,
                            (size_t)tensor_count(&g) * tensor_kind_bytes(g.kind));
}

static void op_back(struct tape *t, const struct tape_record *r)
{
    const struct op_info *info = op_describe(r->op);
    const char *args = t->args + r->args;
    _Alignas(16) char gradients[2048] = {0};
    ASSERT_INT(info->args_bytes, <=, sizeof gradients);
    struct tensor out[OP_FIELDS_MAX];
    int outs = 0;
    for (int f = 0; f < info->field_count; f++) {
        const struct op_field *field = &info->field[f];
        if (field->kind != OP_FIELD_OUT)
            continue;
        memcpy(&out[outs], args + field->offset, sizeof *out);
        out[outs] = gradient_read(t, out[outs]);
        memcpy(gradients + field->offset, &out[outs], sizeof *out);
        if (out[outs].data)
            outs++;
    }
    if (outs == 0)
        return; /* no loss depends on it */
    for (int f = 0; f < info->field_count; f++) {
        const struct op_field *field = &info->field[f];
        struct tensor in;
        if (field->kind != OP_FIELD_IN && field->kind != OP_FIELD_OPT)
            continue;
        memcpy(&in, args + field->offset, sizeof in);
        if (!in.data || in.slot == 0)
            continue;
        in = gradient_write(t, in, r->module_slot);
        for (int o = 0; o < outs; o++)
            if (in.data == out[o].data)
                in.data = NULL; /* a stream: the gradient passes where it is */
        memcpy(gradients + field->offset, &in, sizeof in);
    }
    if (!t->planning)
        info->back(t->backend, args, gradients);
    else if (t->backend->count)
        t->backend->count(t->backend, r->op, args, gradients);
}

/* Runs the block again, recording, from the streams that came into it; its records come after
 * this one's place and are taken off by the caller's loop. */
static void block_again(struct tape *t, struct tape_record r)
{
    t->slot[t->slot[r.m.now.slot].root].newest = r.m.now.slot;
    t->slot[t->slot[r.z.now.slot].root].newest = r.z.now.slot;
    r.block(t, r.context, &r.m, &r.z);
}

void tape_back(struct tape *t)
{
    ASSERT(t->recording);
    t->zone = TAPE_ZONE_BACK;
    while (t->used.records > 0) {
        struct tape_record r = t->record[--t->used.records];
        switch (r.kind) {
        case RECORD_OP:
            t->backend->scope = r.scope;
            op_back(t, &t->record[t->used.records]);
            t->used.args_bytes = r.args;
            break;
        case RECORD_MODULE:
            rewind_to(t, r.mark);
            break;
        case RECORD_BLOCK:
            t->backend->scope = r.scope;
            block_again(t, r);
            break;
        }
    }
}

struct tensor tape_gradient(const struct tape *t, struct tensor of)
{
    return gradient_read(t, of);
}

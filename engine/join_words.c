/* Payloads of joining; see join_words.h. */
#include "engine/join_words.h"

#include "engine/bytes.h"

#include <string.h>

enum { JOIN_FIXED = 16, JOINED_FIXED = 28, FILE_FIXED = 16 };

static const unsigned char *raw(struct span bytes)
{
    return (const unsigned char *)bytes.data;
}

static enum status malformed(struct error *err, const char *what, size_t size)
{
    return error_set(err, STATUS_INVALID, "%s of %zu bytes does not fit its contents", what, size);
}

/* A text as its size in one u16 and its bytes. */
static size_t put_text(unsigned char *to, const char *text)
{
    size_t size = strlen(text);
    put_u16(to, (uint16_t)size);
    memcpy(to + 2, text, size);
    return 2 + size;
}

static bool get_text(struct span *rest, char *to, size_t room)
{
    if (rest->size < 2)
        return false;
    size_t size = get_u16(raw(*rest));
    if (size >= room || size > rest->size - 2)
        return false;
    for (size_t i = 0; i < size; i++) {
        char letter = rest->data[2 + i];
        if ((unsigned char)letter < ' ' || letter == 127)
            return false;
        to[i] = letter;
    }
    to[size] = 0;
    *rest = (struct span){rest->data + 2 + size, rest->size - 2 - size};
    return true;
}

size_t join_encode(const struct join *join, unsigned char bytes[JOIN_BYTES_MAX])
{
    put_u32(bytes, join->version);
    put_u32(bytes + 4, join->ranks);
    put_u64(bytes + 8, join->graph_hash);
    size_t size = JOIN_FIXED;
    size += put_text(bytes + size, join->build);
    return size + put_text(bytes + size, join->name);
}

enum status join_decode(struct span bytes, struct join *join, struct error *err)
{
    *join = (struct join){0};
    if (bytes.size < JOIN_FIXED)
        return malformed(err, "JOIN", bytes.size);
    join->version = get_u32(raw(bytes));
    join->ranks = get_u32(raw(bytes) + 4);
    join->graph_hash = get_u64(raw(bytes) + 8);
    struct span rest = {bytes.data + JOIN_FIXED, bytes.size - JOIN_FIXED};
    if (!get_text(&rest, join->build, sizeof join->build) ||
        !get_text(&rest, join->name, sizeof join->name) || rest.size || !join->name[0])
        return malformed(err, "JOIN", bytes.size);
    return STATUS_OK;
}

size_t joined_encode(const struct joined *joined, unsigned char bytes[JOINED_BYTES_MAX])
{
    ASSERT_INT(joined->file_count, <=, JOIN_FILES_MAX);
    put_u64(bytes, joined->job);
    put_u64(bytes + 8, joined->graph_hash);
    put_u16(bytes + 16, joined->hub_port);
    put_u16(bytes + 18, 0);
    put_u32(bytes + 20, joined->file_count);
    put_u32(bytes + 24, joined->reach);
    size_t size = JOINED_FIXED;
    size += put_text(bytes + size, joined->run_dir);
    for (uint32_t i = 0; i < joined->file_count; i++) {
        put_u64(bytes + size, joined->file[i].bytes);
        put_u64(bytes + size + 8, joined->file[i].hash);
        size += 16;
        size += put_text(bytes + size, joined->file[i].name);
    }
    return size;
}

/* A file of the run's directory itself or of its lists, and no way out of there. */
static bool name_is_good(const char *name)
{
    const char *base = strncmp(name, "lists/", 6) == 0 ? name + 6 : name;
    if (base == name && strcmp(name, "graph.yaml") != 0)
        return false;
    return *base && *base != '.' && !strchr(base, '/');
}

enum status joined_decode(struct span bytes, struct joined *joined, struct error *err)
{
    *joined = (struct joined){0};
    if (bytes.size < JOINED_FIXED)
        return malformed(err, "JOINED", bytes.size);
    joined->job = get_u64(raw(bytes));
    joined->graph_hash = get_u64(raw(bytes) + 8);
    joined->hub_port = get_u16(raw(bytes) + 16);
    joined->file_count = get_u32(raw(bytes) + 20);
    joined->reach = get_u32(raw(bytes) + 24);
    struct span rest = {bytes.data + JOINED_FIXED, bytes.size - JOINED_FIXED};
    if (joined->file_count > JOIN_FILES_MAX || joined->hub_port == 0 ||
        joined->reach > NETWORK_REACH_MAX ||
        !get_text(&rest, joined->run_dir, sizeof joined->run_dir))
        return malformed(err, "JOINED", bytes.size);
    for (uint32_t i = 0; i < joined->file_count; i++) {
        struct join_file *file = &joined->file[i];
        if (rest.size < FILE_FIXED)
            return malformed(err, "JOINED", bytes.size);
        file->bytes = get_u64(raw(rest));
        file->hash = get_u64(raw(rest) + 8);
        rest = (struct span){rest.data + 16, rest.size - 16};
        if (!get_text(&rest, file->name, sizeof file->name))
            return malformed(err, "JOINED", bytes.size);
        if (!name_is_good(file->name))
            return error_set(err, STATUS_INVALID, "JOINED names a file \"%s\"", file->name);
    }
    return rest.size ? malformed(err, "JOINED", bytes.size) : STATUS_OK;
}

size_t join_rows_encode(const struct join_row *rows, int count,
                        unsigned char bytes[JOIN_ROWS_BYTES_MAX])
{
    ASSERT_INT(count, <=, GRAPH_STAGES_MAX);
    for (int i = 0; i < count; i++) {
        unsigned char *to = bytes + (size_t)i * JOIN_ROW_BYTES;
        put_u16(to, rows[i].stage);
        put_u16(to + 2, rows[i].workers);
        put_u16(to + 4, rows[i].held);
        put_u16(to + 6, rows[i].wanted);
        put_u64(to + 8, rows[i].done);
        put_u64(to + 16, rows[i].refused);
        put_u64(to + 24, rows[i].failed);
        put_u64(to + 32, rows[i].reused);
        put_u64(to + 40, rows[i].busy_ns);
    }
    return (size_t)count * JOIN_ROW_BYTES;
}

enum status join_rows_decode(struct span bytes, struct join_row rows[GRAPH_STAGES_MAX], int *count,
                             struct error *err)
{
    if (bytes.size % JOIN_ROW_BYTES || bytes.size > JOIN_ROWS_BYTES_MAX)
        return malformed(err, "a heartbeat", bytes.size);
    *count = (int)(bytes.size / JOIN_ROW_BYTES);
    for (int i = 0; i < *count; i++) {
        const unsigned char *from = raw(bytes) + (size_t)i * JOIN_ROW_BYTES;
        rows[i] = (struct join_row){get_u16(from),      get_u16(from + 2),  get_u16(from + 4),
                                    get_u16(from + 6),  get_u64(from + 8),  get_u64(from + 16),
                                    get_u64(from + 24), get_u64(from + 32), get_u64(from + 40)};
        if (rows[i].stage >= GRAPH_STAGES_MAX)
            return malformed(err, "a heartbeat", bytes.size);
    }
    return STATUS_OK;
}

size_t rank_report_encode(const struct rank_report *report,
                          unsigned char bytes[RANK_REPORT_BYTES_MAX])
{
    put_u32(bytes, report->state);
    put_u32(bytes + 4, report->starts);
    size_t size = 8;
    for (int i = 0; i < METRIC_COUNT; i++, size += 8)
        put_u64(bytes + size, report->counter[i]);
    for (int i = 0; i < GAUGE_COUNT; i++, size += 8)
        put_u64(bytes + size, (uint64_t)report->gauge[i]);
    return size + put_text(bytes + size, report->text);
}

enum status rank_report_decode(struct span bytes, struct rank_report *report, struct error *err)
{
    const size_t fixed = 8 + 8 * (METRIC_COUNT + GAUGE_COUNT);
    *report = (struct rank_report){.state = RANK_ABSENT};
    if (bytes.size < fixed || get_u32(raw(bytes)) >= RANK_STATES)
        return malformed(err, "RANK", bytes.size);
    report->state = (enum rank_state)get_u32(raw(bytes));
    report->starts = get_u32(raw(bytes) + 4);
    for (int i = 0; i < METRIC_COUNT; i++)
        report->counter[i] = get_u64(raw(bytes) + 8 + 8 * i);
    for (int i = 0; i < GAUGE_COUNT; i++)
        report->gauge[i] = (int64_t)get_u64(raw(bytes) + 8 + 8 * (METRIC_COUNT + i));
    struct span rest = {bytes.data + fixed, bytes.size - fixed};
    if (!get_text(&rest, report->text, sizeof report->text) || rest.size)
        return malformed(err, "RANK", bytes.size);
    return STATUS_OK;
}

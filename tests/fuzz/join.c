/* Fuzz: what joining engines read: JOIN, JOINED, heartbeat rows, notes, reports of ranks, the
 * rendezvous and network files. The first byte chooses which; what is read is written, and read
 * again as the same. */
#include "engine/join_note.h"
#include "engine/join_words.h"
#include "engine/rendezvous.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void join(struct span bytes)
{
    struct join value, again;
    unsigned char back[JOIN_BYTES_MAX];
    if (join_decode(bytes, &value, NULL) != STATUS_OK)
        return;
    size_t size = join_encode(&value, back);
    ASSERT(size <= sizeof back);
    ASSERT(join_decode((struct span){(const char *)back, size}, &again, NULL) == STATUS_OK);
    ASSERT(strcmp(value.name, again.name) == 0 && value.graph_hash == again.graph_hash);
}

static void joined(struct span bytes)
{
    static struct joined value, again;
    static unsigned char back[JOINED_BYTES_MAX];
    if (joined_decode(bytes, &value, NULL) != STATUS_OK)
        return;
    size_t size = joined_encode(&value, back);
    ASSERT(size <= sizeof back);
    ASSERT(joined_decode((struct span){(const char *)back, size}, &again, NULL) == STATUS_OK);
    ASSERT(memcmp(&value, &again, sizeof value) == 0);
    for (uint32_t i = 0; i < value.file_count; i++)
        ASSERT(!strstr(value.file[i].name, "/..") && value.file[i].name[0] != '/');
}

static void rows(struct span bytes)
{
    static struct join_row value[GRAPH_STAGES_MAX];
    static unsigned char back[JOIN_ROWS_BYTES_MAX];
    int count;
    if (join_rows_decode(bytes, value, &count, NULL) != STATUS_OK)
        return;
    ASSERT(join_rows_encode(value, count, back) == bytes.size);
    ASSERT(memcmp(back, bytes.data, bytes.size) == 0);
}

static void note(struct span row)
{
    static const struct graph graph = {.stage_count = 3, .line_count = 2};
    struct join_note value, again;
    char back[JOIN_NOTE_MAX];
    if (!join_note_read(row, &graph, &value))
        return;
    ASSERT(value.stage < graph.stage_count && value.line < graph.line_count);
    size_t size = join_note_write(&value, back);
    ASSERT(join_note_read((struct span){back, size - 1}, &graph, &again));
    ASSERT(memcmp(&value, &again, sizeof value) == 0);
}

static void rank(struct span bytes)
{
    static struct rank_report value;
    static unsigned char back[RANK_REPORT_BYTES_MAX];
    if (rank_report_decode(bytes, &value, NULL) != STATUS_OK)
        return;
    ASSERT(rank_report_encode(&value, back) == bytes.size);
    ASSERT(memcmp(back, bytes.data, bytes.size) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct rendezvous rendezvous;
    static struct network network;
    struct error err;
    if (size == 0)
        return 0;
    struct span bytes = {(const char *)data + 1, size - 1};
    if (data[0] == 'N')
        note(bytes);
    else if (data[0] % 5 == 0)
        join(bytes);
    else if (data[0] % 5 == 1)
        joined(bytes);
    else if (data[0] % 10 == 7)
        rank(bytes);
    else if (data[0] % 5 == 2)
        rows(bytes);
    else if (data[0] % 5 == 3)
        rendezvous_parse(bytes, &rendezvous, &err);
    else
        network_parse(bytes, &network, &err);
    return 0;
}

/* Any bytes as a graph file: read or refused with complaints, never a crash; what was read is
 * written out and must be a graph of the same hash, which writes the same text. The part behind a 0
 * byte is an override. */
#include "engine/graph.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct param_roots roots = {.graph = "/graphs", .run = "/run"};

static struct graph *parse(struct span text, const struct graph_overrides *overrides,
                           struct arena *arena, struct complaints *complaints)
{
    struct source_text *source = arena_zero(arena, 1, sizeof *source);
    *source = (struct source_text){.name = "fuzz", .text = text};
    complaints_open(complaints, arena);
    return graph_parse(source, &roots, overrides, arena, complaints);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct complaints complaints;
    struct arena arena;
    char *written = NULL;
    size_t written_size = 0;
    const uint8_t *zero = size ? memchr(data, 0, size) : NULL;
    size_t text_size = zero ? (size_t)(zero - data) : size;
    arena_open(&arena, 0);
    struct span text = {arena_text(&arena, (const char *)data, text_size), text_size};
    const char *set =
        zero ? arena_text(&arena, (const char *)zero + 1, size - text_size - 1) : NULL;
    struct graph_overrides overrides = {&set, set ? 1 : 0};
    const struct graph *graph = parse(text, &overrides, &arena, &complaints);
    FILE *out = open_memstream(&written, &written_size);
    ASSERT(out);
    if (graph) {
        graph_write(graph, out);
        fflush(out);
        const struct graph *again =
            parse((struct span){written, written_size}, NULL, &arena, &complaints);
        if (!again || again->hash != graph->hash)
            complaints_print(&complaints, stderr);
        ASSERT(again && again->hash == graph->hash);
        char *twice = NULL;
        size_t twice_size = 0;
        FILE *second = open_memstream(&twice, &twice_size);
        ASSERT(second);
        graph_write(again, second);
        fclose(second);
        ASSERT(twice_size == written_size && memcmp(twice, written, twice_size) == 0);
        free(twice);
    } else {
        ASSERT(complaints.count > 0);
        complaints_print(&complaints, out);
    }
    fclose(out);
    free(written);
    arena_close(&arena);
    return 0;
}

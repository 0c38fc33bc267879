/* Every graph in graphs/: reads without a mistake, means the same when it is written out and read
 * again, and names the schema that editors use, which is what the program prints today. */
#include "engine/base/file.h"
#include "engine/graph.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PATH_BYTES = 512 };

static const struct graph *load(const char *path, struct arena *arena)
{
    struct complaints *complaints = arena_zero(arena, 1, sizeof *complaints);
    complaints_open(complaints, arena);
    const struct graph *graph = graph_load(path, NULL, "/run", arena, complaints);
    if (!graph)
        complaints_print(complaints, stderr);
    cr_assert(graph, "%s", path);
    return graph;
}

static void graph_check(const char *path)
{
    struct arena arena;
    struct span text;
    struct error err;
    char copy[] = "/tmp/foldmill_graph_XXXXXX";
    arena_open(&arena, 0);
    cr_assert(file_read(path, 1 << 20, &arena, &text, &err) == STATUS_OK, "%s", err.text);
    cr_assert(span_starts(text, "# yaml-language-server: $schema=schema.json\n"),
              "%s does not name its schema", path);
    const struct graph *graph = load(path, &arena);
    cr_assert(graph->line_count >= 1 && graph->hash == load(path, &arena)->hash);
    int fd = mkstemp(copy);
    FILE *out = fdopen(fd, "w");
    cr_assert(fd >= 0 && out);
    graph_write(graph, out);
    fclose(out);
    cr_assert(load(copy, &arena)->hash == graph->hash, "%s changes when it is written out", path);
    unlink(copy);
    arena_close(&arena);
}

Test(graphs, all_are_good_and_resolve_to_themselves)
{
    int count = 0;
    DIR *folder = opendir(FOLDMILL_SOURCE "/graphs");
    cr_assert(folder);
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        char path[PATH_BYTES];
        size_t size = strlen(entry->d_name);
        if (size < 6 || strcmp(entry->d_name + size - 5, ".yaml") != 0)
            continue;
        snprintf(path, sizeof path, "%s/graphs/%s", FOLDMILL_SOURCE, entry->d_name);
        graph_check(path);
        count++;
    }
    closedir(folder);
    cr_assert(count >= 4, "%d graphs", count);
}

Test(graphs, the_schema_is_what_the_program_prints)
{
    cr_assert(system(FOLDMILL_BINARY " schema | cmp - " FOLDMILL_SOURCE "/graphs/schema.json") == 0,
              "make it again: foldmill schema > graphs/schema.json");
}

Test(graphs, the_schema_takes_good_graphs_and_no_broken_ones)
{
    if (system("python3 -c 'import jsonschema, yaml' 2> /dev/null") != 0)
        cr_skip("python3-jsonschema and python3-yaml are not installed");
    cr_assert(system("python3 " FOLDMILL_SOURCE "/tests/graphs/schema.py " FOLDMILL_SOURCE
                     "/graphs") == 0);
}

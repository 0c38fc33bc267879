/* foldmill drain: a node finishes what it has in hand, saves, and ends. */
#include "engine/base/clock.h"
#include "engine/command.h"
#include "engine/control.h"
#include "engine/snapshot.h"

#include <string.h>
#include <unistd.h>

enum { LOOK_MS = 100 };

static bool has_node(const struct snapshot *snapshot, const char *name)
{
    bool has = false;
    for (int i = 0; i < snapshot->node_count; i++)
        has = has || strcmp(snapshot->nodes[i].node, name) == 0;
    return has;
}

/* Until the run has no such node any more, or no engine answers. */
static enum status wait_for_end(const char *path, const char *node, struct error *err)
{
    static const char *const words[] = {"status"};
    static struct snapshot snapshot;
    enum status status = STATUS_OK;
    bool there = true;
    while (there && (status == STATUS_OK || status == STATUS_BUSY)) {
        struct arena arena;
        struct span answer;
        usleep(LOOK_MS * 1000);
        arena_open(&arena, 0);
        status = control_ask(path, words, 1, &arena, &answer, err);
        if (status == STATUS_OK) {
            status = snapshot_read(answer, &snapshot, err);
            there = has_node(&snapshot, node);
        }
        arena_close(&arena);
    }
    return status == STATUS_MISS ? STATUS_OK : status;
}

static int drain_run(int argc, char **argv)
{
    struct error err = {0};
    struct arena arena;
    struct span answer;
    char path[PATH_MAX];
    bool leave = command_flag(&argc, argv, "no-wait");
    if (!command_rest(&command_drain, argc, argv, 1, 2))
        return EXIT_USAGE;
    const char *words[] = {"drain", argv[1]};
    arena_open(&arena, 0);
    enum status status = control_find_run(argv[2], path, &err);
    int code = EXIT_USAGE;
    if (status == STATUS_OK) {
        status = control_ask(path, words, 2, &arena, &answer, &err);
        code = status == STATUS_INVALID ? EXIT_USAGE : EXIT_FAILED;
    }
    if (status == STATUS_OK) {
        int64_t start = clock_ms();
        printf("%.*s", (int)answer.size, answer.data);
        fflush(stdout);
        if (!leave)
            status = wait_for_end(path, argv[1], &err);
        if (status == STATUS_OK && !leave)
            printf("ended after %.1f s\n", (double)(clock_ms() - start) * 1e-3);
    }
    if (status != STATUS_OK)
        fprintf(stderr, "foldmill drain: %s\n", err.text);
    arena_close(&arena);
    return status == STATUS_OK ? EXIT_GOOD : code;
}

const struct command command_drain = {
    .name = "drain",
    .summary = "lets a node finish what it has in hand, and end",
    .help =
        "usage: foldmill drain NODE [RUN] [--no-wait]\n\n"
        "Tells the engine on the node NODE (foldmill status names them) of the run in the folder\n"
        "RUN (left out: the run in runs/ that was started last) to finish what is in flight, to\n"
        "save, and to end with exit code 0; and waits for that. It is what SIGTERM does. An "
        "engine\n"
        "that joined leaves, and the others go on. The one that has the run's sinks (that of\n"
        "foldmill run without --join) ends the run; foldmill run with the same folder goes on "
        "with\n"
        "the exact next batch.\n\n"
        "  --no-wait   return at once\n\n"
        "Exit code 0: done; 1: no engine runs; 2: there is no such node or run.\n",
    .run = drain_run,
};

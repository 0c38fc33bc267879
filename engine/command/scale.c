/* foldmill scale: more or fewer workers of a stage in a running engine. */
#include "engine/command.h"
#include "engine/control.h"

#include <string.h>

static int scale_run(int argc, char **argv)
{
    struct error err = {0};
    struct arena arena;
    struct span answer;
    char path[PATH_MAX], stage[GRAPH_NAME_MAX + 1];
    const char *node = command_option(&argc, argv, "node");
    if (!command_rest(&command_scale, argc, argv, 1, 2))
        return EXIT_USAGE;
    const char *equal = strchr(argv[1], '=');
    if (!equal || equal == argv[1] || equal - argv[1] > GRAPH_NAME_MAX) {
        fprintf(stderr, "foldmill scale: wanted STAGE=N, as parse=4, not '%s'\n", argv[1]);
        return EXIT_USAGE;
    }
    snprintf(stage, sizeof stage, "%.*s", (int)(equal - argv[1]), argv[1]);
    const char *words[] = {"scale", stage, equal + 1, node ? node : ""};
    arena_open(&arena, 0);
    enum status status = control_find_run(argv[2], path, &err);
    int code = EXIT_USAGE;
    if (status == STATUS_OK) {
        status = control_ask(path, words, 4, &arena, &answer, &err);
        code = status == STATUS_INVALID ? EXIT_USAGE : EXIT_FAILED;
    }
    if (status == STATUS_OK) {
        fwrite(answer.data, 1, answer.size, stdout);
        code = EXIT_GOOD;
    } else {
        fprintf(stderr, "foldmill scale: %s\n", err.text);
    }
    arena_close(&arena);
    return code;
}

const struct command command_scale = {
    .name = "scale",
    .summary = "gives a stage of a running engine more or fewer workers",
    .help =
        "usage: foldmill scale STAGE=N [RUN] [--node NAME]\n\n"
        "Gives the stage N workers, at once, in the engine that runs in the folder RUN (left out:\n"
        "the run in runs/ that was started last). New workers start in well under a second;\n"
        "those that go finish the sample that they have in hand and give back the others, so\n"
        "nothing is lost, and the bytes of every batch stay the same. 0 stops the stage until it\n"
        "has workers again.\n\n"
        "The number holds until this engine ends: at the next start, also of the same run, the\n"
        "graph and --set STAGE.workers=N decide, as for every other setting.\n\n"
        "  --node NAME   the engine on that node, of those that joined (foldmill status names\n"
        "                them); left out: the one that foldmill run started without --join\n\n"
        "Exit code 0: done; 1: no engine runs, or it has no room for so many processes;\n"
        "2: there is no such stage, node or run.\n",
    .run = scale_run,
};

/* foldmill keys: makes the keys with which the nodes of a job know each other. */
#include "engine/command.h"
#include "engine/keys.h"

#include <stdio.h>

static int run(int argc, char **argv)
{
    struct error err;
    bool force = command_flag(&argc, argv, "force"), check = command_flag(&argc, argv, "check");
    if (!command_rest(&command_keys, argc, argv, 1, 1))
        return EXIT_USAGE;
    enum status status = check ? keys_check(argv[1], &err) : keys_make(argv[1], force, &err);
    if (status != STATUS_OK) {
        fprintf(stderr, "foldmill keys: %s\n", err.text);
        return status == STATUS_BUSY || status == STATUS_INVALID ? EXIT_USAGE : EXIT_FAILED;
    }
    if (check)
        printf("%s: nobody else can read or change the keys\n", argv[1]);
    else
        printf("%s: keys for the roles head, sink and worker\n", argv[1]);
    return EXIT_GOOD;
}

const struct command command_keys = {
    .name = "keys",
    .summary = "makes the keys of a job of many nodes",
    .help =
        "usage: foldmill keys [--force] [--check] DIR\n\n"
        "Makes the folder DIR (mode 0700) with a CURVE key pair for each role, all of them or\n"
        "none: head.key, sink.key, worker.key (mode 0600: whoever can read one can take that\n"
        "role), and `public`, the list of those that are allowed. A node needs `public` and the\n"
        "file of its role: `head` where the run was started, `sink` on nodes with trainers or\n"
        "stores, `worker` on nodes that compute. A worker's key can take work and give results;\n"
        "it cannot start, save, skip or stop anything. Keys that are there are kept.\n\n"
        "  --force   new keys in the place of old ones; nodes with the old ones are shut out\n"
        "  --check   makes nothing: says whether others could read the keys, and the chmod\n",
    .run = run,
};

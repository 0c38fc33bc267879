/* Options of commands; see command.h. */
#include "engine/command.h"

#include <stdlib.h>
#include <string.h>

bool command_help(const struct command *command, int argc, char **argv)
{
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (strcmp(argv[i], "-h") == 0 || strcmp(argv[i], "--help") == 0) {
            fputs(command->help, stdout);
            return true;
        }
    return false;
}

/* Takes count arguments from argv[at] on out. */
static void remove_arguments(int *argc, char **argv, int at, int count)
{
    for (int i = at; i + count <= *argc; i++)
        argv[i] = argv[i + count]; /* the NULL at the end moves too */
    *argc -= count;
}

const char *command_option(int *argc, char **argv, const char *name)
{
    size_t size = strlen(name);
    for (int i = 1; i < *argc && strcmp(argv[i], "--") != 0; i++) {
        const char *text = argv[i];
        if (strncmp(text, "--", 2) != 0 || strncmp(text + 2, name, size) != 0)
            continue;
        if (text[2 + size] == '=') {
            remove_arguments(argc, argv, i, 1);
            return text + 3 + size;
        }
        if (text[2 + size] == 0) {
            if (i + 1 == *argc) {
                fprintf(stderr, "foldmill %s: --%s wants a value\n", argv[0], name);
                exit(EXIT_USAGE);
            }
            const char *value = argv[i + 1];
            remove_arguments(argc, argv, i, 2);
            return value;
        }
    }
    return NULL;
}

bool command_flag(int *argc, char **argv, const char *name)
{
    for (int i = 1; i < *argc && strcmp(argv[i], "--") != 0; i++)
        if (strncmp(argv[i], "--", 2) == 0 && strcmp(argv[i] + 2, name) == 0) {
            remove_arguments(argc, argv, i, 1);
            return true;
        }
    return false;
}

int command_sets(int *argc, char **argv, const char **sets, int max)
{
    int count = 0;
    const char *text;
    while ((text = command_option(argc, argv, "set")) != NULL) {
        if (count == max) {
            fprintf(stderr, "foldmill %s: more than %d --set options\n", argv[0], max);
            exit(EXIT_USAGE);
        }
        sets[count++] = text;
    }
    return count;
}

bool command_rest(const struct command *command, int argc, char **argv, int least, int most)
{
    for (int i = 1; i < argc; i++)
        if (argv[i][0] == '-' && argv[i][1]) {
            fprintf(stderr, "foldmill %s: unknown option '%s'; see foldmill %s --help\n",
                    command->name, argv[i], command->name);
            return false;
        }
    if (argc - 1 >= least && argc - 1 <= most)
        return true;
    fprintf(stderr, "foldmill %s: %s; see foldmill %s --help\n", command->name,
            argc - 1 < least ? "an argument is missing" : "too many arguments", command->name);
    return false;
}

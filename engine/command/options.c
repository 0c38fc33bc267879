/* Options of commands; see command.h. */
#include "engine/command.h"

#include <stdlib.h>
#include <string.h>

enum { OPTIONS_MAX = 32, OPTION_BYTES = 32 }; /* named in one command's help */

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

/* The option of the command's help that is nearest to text ("--stes"), as "--sets"; NULL: none is.
 */
static const char *option_near(const struct command *command, const char *text, char *near,
                               size_t size)
{
    char words[OPTIONS_MAX][OPTION_BYTES];
    const char *names[OPTIONS_MAX + 1];
    int count = 0;
    for (const char *at = command->help; count < OPTIONS_MAX && (at = strstr(at, "--")); at += 2) {
        size_t length = 2 + strspn(at + 2, "abcdefghijklmnopqrstuvwxyz-");
        if (length == 2 || length >= OPTION_BYTES)
            continue;
        memcpy(words[count], at, length);
        words[count][length] = 0;
        names[count] = words[count];
        count++;
    }
    names[count] = NULL;
    const char *found = text_suggest((struct span){text, strcspn(text, "=")}, names);
    if (found)
        snprintf(near, size, "%s", found);
    return found ? near : NULL;
}

bool command_rest(const struct command *command, int argc, char **argv, int least, int most)
{
    for (int i = 1; i < argc; i++)
        if (argv[i][0] == '-' && argv[i][1]) {
            char room[OPTION_BYTES];
            const char *near = option_near(command, argv[i], room, sizeof room);
            fprintf(stderr, "foldmill %s: unknown option '%s'%s%s%s; see foldmill %s --help\n",
                    command->name, argv[i], near ? "; did you mean '" : "", near ? near : "",
                    near ? "'?" : "", command->name);
            return false;
        }
    if (argc - 1 >= least && argc - 1 <= most)
        return true;
    fprintf(stderr, "foldmill %s: %s; see foldmill %s --help\n", command->name,
            argc - 1 < least ? "an argument is missing" : "too many arguments", command->name);
    return false;
}

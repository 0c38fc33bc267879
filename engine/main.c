/* The command `foldmill`: finds the command that is named and runs it. */
#include "engine/command.h"

#include <string.h>

static const struct command *const commands[] = {
    &command_run,
    &command_status,
    &command_top,
    &command_scale,
    &command_drain,
    &command_validate,
    &command_stages,
    &command_schema,
    &command_replay,
    &command_why,
    &command_audit,
    &command_requeue,
    &command_store,
    &command_doctor,
    &command_profile,
    &command_keys,
    &command_work,
};

enum { COMMANDS = sizeof commands / sizeof *commands };

static void usage(FILE *out)
{
    fputs("usage: foldmill COMMAND [options]\n\n", out);
    for (int i = 0; i < COMMANDS; i++)
        if (!commands[i]->hidden)
            fprintf(out, "  %-10s %s\n", commands[i]->name, commands[i]->summary);
    fputs("\n`foldmill COMMAND --help` tells more; `foldmill --version` which one this is.\n", out);
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        usage(stderr);
        return EXIT_USAGE;
    }
    const char *name = argv[1];
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || strcmp(name, "help") == 0) {
        usage(stdout);
        return EXIT_GOOD;
    }
    if (strcmp(name, "--version") == 0) {
        puts("foldmill " FOLDMILL_VERSION);
        return EXIT_GOOD;
    }
    const char *names[COMMANDS + 1] = {0};
    for (int i = 0, shown = 0; i < COMMANDS; i++) {
        if (strcmp(name, commands[i]->name) == 0)
            return command_help(commands[i], argc - 1, argv + 1)
                       ? EXIT_GOOD
                       : commands[i]->run(argc - 1, argv + 1);
        if (!commands[i]->hidden)
            names[shown++] = commands[i]->name;
    }
    const char *near = text_suggest(span_of(name), names);
    fprintf(stderr, "foldmill: there is no command '%s'%s%s%s\n", name,
            near ? "; did you mean '" : "; see foldmill --help", near ? near : "",
            near ? "'?" : "");
    return EXIT_USAGE;
}

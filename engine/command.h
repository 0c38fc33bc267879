/* The commands of `foldmill`: one file each in engine/command/, one row each in main.c. */
#ifndef FOLDMILL_COMMAND_H
#define FOLDMILL_COMMAND_H

#include "engine/graph.h"

#include <stdbool.h>

enum exit_code {
    EXIT_GOOD = 0,
    EXIT_FAILED = 1, /* the work failed; the text says why */
    EXIT_USAGE = 2,  /* a wrong command line or graph: nothing was started */
    EXIT_STOPPED = 130
};

struct command {
    const char *name, *summary;
    const char *help;                  /* all of `foldmill NAME --help` */
    bool hidden;                       /* the engine's own */
    int (*run)(int argc, char **argv); /* argv[0] is the command's name */
};

extern const struct command command_audit, command_doctor, command_drain, command_keys,
    command_profile, command_replay, command_requeue, command_run, command_scale, command_schema,
    command_stages, command_status, command_store, command_top, command_validate, command_why,
    command_work;

/* True when an argument is -h or --help: the command's help was printed. */
bool command_help(const struct command *command, int argc, char **argv);

/* Takes "--NAME VALUE" or "--NAME=VALUE" out of argv (*argc shrinks); NULL when it is not there.
 * Says so and ends the program with EXIT_USAGE when the value is missing. */
const char *command_option(int *argc, char **argv, const char *name);

/* Takes the flag "--NAME" out of argv. */
bool command_flag(int *argc, char **argv, const char *name);

/* Takes all "--set X=Y" out of argv; their texts go to sets[max]. */
int command_sets(int *argc, char **argv, const char **sets, int max);

/* After all options were taken: complains about those left, and about positional arguments that are
 * fewer than least or more than most. True when all is well. */
bool command_rest(const struct command *command, int argc, char **argv, int least, int most);

#endif

/* What the files of `foldmill store` share. */
#ifndef FOLDMILL_COMMAND_STORE_H
#define FOLDMILL_COMMAND_STORE_H

#include "engine/store.h"

/* The subcommands; arguments follow the store's path. Return an exit code. */
int store_show(struct store *store, int argc, char **argv);
int store_export(struct store *store, int argc, char **argv);
int store_import(struct store *store, int argc, char **argv);
int store_diff(struct store *store, int argc, char **argv);
int store_explain(struct store *store, int argc, char **argv);

/* Prints "foldmill store: text" to standard error and returns EXIT_FAILED. */
int store_complain(const struct error *err);

/* To be called for every key: when it is not, for a minute of computing, the process is ended and
 * the walk through damaged pages with it. user is not used. */
void store_progress(void *user);

/* Ends that watch: what follows reads no pages of the store. */
void store_rest(void);

/* "f32[100,37,3]" */
const char *store_shape(const struct field *field, char *buffer, size_t buffer_size);

#endif

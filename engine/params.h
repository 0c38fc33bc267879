/* A stage's settings from its table (struct param rows in stage.h): the values of a graph, or the
 * defaults, put into the stage's state; and what else the rows can say: help, JSON Schema, and the
 * text that the hash of a stored record covers. */
#ifndef FOLDMILL_PARAMS_H
#define FOLDMILL_PARAMS_H

#include "engine/stage.h"
#include "engine/yaml.h"

enum { PARAM_PATHS_MAX = 4096, PARAM_TEXT_MAX = 4096 };

/* Where paths of a graph begin: relative ones in the folder of the graph's file (those of --set
 * where that was typed), those that start with "{run}" in the run's folder (kept as they are while
 * run is NULL). */
struct param_roots {
    const char *graph, *run;
};

/* Puts the settings of a stage into state (state_size bytes, zeroed). with: the graph's mapping, or
 * NULL. Complains about unknown keys (with the nearest
 * name), wrong types and values out of range; where: the place for what is missing. Texts lie in
 * arena. */
void params_fill(const struct param *table, void *state, const struct yaml_node *with,
                 const struct param_roots *roots, struct place where, struct arena *arena,
                 struct complaints *complaints);

/* Writes the values in state as YAML flow text: "{length: 64, mask: 0.15}". Reading it again gives
 * the same state. only_hashed: without the rows that are free. */
void params_write(const struct param *table, const void *state, bool only_hashed, FILE *out);

/* The value of one row. */
void params_value_write(const struct param *row, const void *state, FILE *out);

/* A table for people: name, type, default, limits, help. */
void params_help(const struct param *table, FILE *out);

/* The JSON Schema of a mapping with these settings, an object. */
void params_schema(const struct param *table, FILE *out);

/* Writes text as a JSON string with its quotes (also a YAML double-quoted one). */
void json_string(const char *text, FILE *out);

#endif

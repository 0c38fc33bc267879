/* What the parts of the graph reader share: graph.c reads values, graph_edges.c finds the lines,
 * graph_ports.c checks that what flows fits. */
#ifndef FOLDMILL_GRAPH_INSIDE_H
#define FOLDMILL_GRAPH_INSIDE_H

#include "engine/graph.h"
#include "engine/yaml.h"

enum { GRAPH_UNKNOWN_MAX = 1024 }; /* stages that cannot be read: more are forgotten */

struct graph_reader {
    struct graph *graph;
    struct arena *arena;
    struct complaints *complaints;
    struct param_roots roots;
    const struct yaml_node *node[GRAPH_STAGES_MAX];  /* of each stage's mapping, or NULL */
    const struct yaml_node *input[GRAPH_STAGES_MAX]; /* of each stage's `in`, or NULL */
    const char *unknown[GRAPH_UNKNOWN_MAX]; /* stages that could not be read, after a complaint */
    const struct yaml_node *unknown_input[GRAPH_UNKNOWN_MAX]; /* and the `in` of each, or NULL */
    int unknown_count;
    bool too_many; /* stages, told once */
};

/* Resolves every `in`, checks the shape of the graph and makes its lines; false after a complaint,
 * and where a stage could not be read. */
bool graph_edges_check(struct graph_reader *reader);

/* Checks, along every line, that each stage finds the fields that it needs. */
void graph_ports_check(struct graph_reader *reader);

/* Recipes and the graph's hash. */
void graph_hash(struct graph_reader *reader);

#endif

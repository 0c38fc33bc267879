/* What has changed between two graphs of which one was run and the other is to go on with it. */
#ifndef FOLDMILL_GRAPH_DIFFER_H
#define FOLDMILL_GRAPH_DIFFER_H

#include "engine/graph.h"

/* Writes, in words, what decides what is made and differs: "crop.length was 64, is 48; seed was 1,
 * is 2", the first few and how many more. Workers, ranks, queues, limits and free settings are left
 * out: they may change. Returns text. */
char *graph_differ(const struct graph *before, const struct graph *now, char *text, size_t size);

#endif

/* YAML as a tree of nodes that know where they stand, read with libyaml. Bounded: depth, number of
 * nodes, size of the file. Anchors, aliases, tags and several documents are refused, since a graph
 * needs none of them; a key that stands twice in one mapping is a mistake. */
#ifndef FOLDMILL_YAML_H
#define FOLDMILL_YAML_H

#include "engine/base/arena.h"
#include "engine/complaint.h"

#include <stdbool.h>

enum {
    YAML_DEPTH_MAX = 32,
    YAML_NODES_MAX = 1000000,
    YAML_KEYS_MAX = 1024, /* in one mapping: each is compared with all before it */
    YAML_BYTES_MAX = 16 << 20,
};

enum yaml_kind { YAML_SCALAR, YAML_LIST, YAML_MAP };

struct yaml_node {
    enum yaml_kind kind;
    bool quoted; /* a scalar in quotes: "4" is no number */
    struct place place;
    const char *text;                      /* scalar, NUL-terminated, without inner NULs; else "" */
    struct yaml_node *key;                 /* of a value in a mapping; else NULL */
    struct yaml_node *first, *last, *next; /* children of a list or a mapping (its values) */
    int count;
};

/* Parses one document; NULL when it cannot be parsed at all (a complaint says why) or is empty. */
struct yaml_node *yaml_parse(const struct source_text *source, struct arena *arena,
                             struct complaints *complaints);

/* The value under key in a mapping; NULL when there is none, or map is none. */
struct yaml_node *yaml_get(const struct yaml_node *map, const char *key);

/* "a mapping", "a list", "text": for complaints. */
const char *yaml_kind_name(const struct yaml_node *node);

#endif

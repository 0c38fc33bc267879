/* A tree from libyaml's events, without recursion; see yaml.h. */
#include "engine/yaml.h"

#include "engine/base/error.h"

#include <limits.h>
#include <string.h>
#include <yaml.h>

/* A collection that is open, and the key that waits for its value. */
struct level {
    struct yaml_node *node, *key;
};

struct builder {
    const struct source_text *source;
    struct arena *arena;
    struct complaints *complaints;
    struct level stack[YAML_DEPTH_MAX];
    int depth, nodes;
    struct yaml_node *root;
    bool failed;
};

static int bounded(size_t value)
{
    return value < INT_MAX ? (int)value : INT_MAX;
}

static struct place place_of(const struct builder *builder, const yaml_event_t *event)
{
    struct place place = {builder->source, bounded(event->start_mark.line) + 1,
                          bounded(event->start_mark.column) + 1, 1};
    if (event->end_mark.line == event->start_mark.line &&
        event->end_mark.column > event->start_mark.column)
        place.width = bounded(event->end_mark.column - event->start_mark.column);
    return place;
}

/* One node for the event, or NULL after a complaint. */
static struct yaml_node *node_make(struct builder *builder, const yaml_event_t *event,
                                   enum yaml_kind kind)
{
    struct place place = place_of(builder, event);
    if (++builder->nodes > YAML_NODES_MAX) {
        complain(builder->complaints, place, "more than %d values in one file", YAML_NODES_MAX);
        return NULL;
    }
    struct yaml_node *node = arena_zero(builder->arena, 1, sizeof *node);
    node->kind = kind;
    node->place = place;
    node->text = "";
    if (kind != YAML_SCALAR)
        return node;
    size_t size = event->data.scalar.length;
    const char *value = (const char *)event->data.scalar.value;
    if (memchr(value, 0, size)) {
        complain(builder->complaints, place, "text with a NUL character in it");
        return NULL;
    }
    node->text = arena_text(builder->arena, value, size);
    node->quoted = event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
    return node;
}

/* Puts a finished or opened node where it belongs: root, list item, key or value. */
static void node_place(struct builder *builder, struct yaml_node *node)
{
    if (builder->depth == 0) {
        builder->root = node;
        return;
    }
    struct level *level = &builder->stack[builder->depth - 1];
    if (level->node->kind == YAML_MAP && !level->key) {
        if (node->kind != YAML_SCALAR) {
            complain(builder->complaints, node->place, "%s cannot be a key; keys are plain words",
                     yaml_kind_name(node));
            builder->failed = true;
            return;
        }
        if (level->node->count == YAML_KEYS_MAX) {
            complain(builder->complaints, node->place, "more than %d keys in one mapping",
                     YAML_KEYS_MAX);
            builder->failed = true;
            return;
        }
        const struct yaml_node *before = yaml_get(level->node, node->text);
        if (before)
            complain(builder->complaints, node->place,
                     "key '%.80s' stands here twice, first in line %d", node->text,
                     before->key->place.line);
        level->key = node;
        return;
    }
    node->key = level->key;
    level->key = NULL;
    if (level->node->last)
        level->node->last->next = node;
    else
        level->node->first = node;
    level->node->last = node;
    level->node->count++;
}

static void open_collection(struct builder *builder, const yaml_event_t *event,
                            enum yaml_kind kind)
{
    struct yaml_node *node = node_make(builder, event, kind);
    if (node && builder->depth == YAML_DEPTH_MAX) {
        complain(builder->complaints, node->place, "nested deeper than %d levels", YAML_DEPTH_MAX);
        node = NULL;
    }
    if (!node) {
        builder->failed = true;
        return;
    }
    node->place.width = 1;
    node_place(builder, node);
    if (!builder->failed)
        builder->stack[builder->depth++] = (struct level){.node = node};
}

/* Takes one event; false when the document has ended or cannot be read on. */
static bool take(struct builder *builder, const yaml_event_t *event, int *documents)
{
    bool tagged = (event->type == YAML_SCALAR_EVENT && event->data.scalar.tag) ||
                  (event->type == YAML_SEQUENCE_START_EVENT && event->data.sequence_start.tag) ||
                  (event->type == YAML_MAPPING_START_EVENT && event->data.mapping_start.tag);
    bool anchored =
        (event->type == YAML_SCALAR_EVENT && event->data.scalar.anchor) ||
        (event->type == YAML_SEQUENCE_START_EVENT && event->data.sequence_start.anchor) ||
        (event->type == YAML_MAPPING_START_EVENT && event->data.mapping_start.anchor);
    if (tagged || anchored || event->type == YAML_ALIAS_EVENT) {
        complain(builder->complaints, place_of(builder, event),
                 "%s are not part of the graph language; write the value out",
                 tagged ? "tags (!...)" : "anchors and aliases (& and *)");
        return false;
    }
    struct yaml_node *node;
    switch (event->type) {
    case YAML_DOCUMENT_START_EVENT:
        if (++*documents > 1) {
            complain(builder->complaints, place_of(builder, event),
                     "a second document begins here; a file holds one");
            return false;
        }
        break;
    case YAML_SCALAR_EVENT:
        node = node_make(builder, event, YAML_SCALAR);
        if (!node)
            return false;
        node_place(builder, node);
        break;
    case YAML_SEQUENCE_START_EVENT:
        open_collection(builder, event, YAML_LIST);
        break;
    case YAML_MAPPING_START_EVENT:
        open_collection(builder, event, YAML_MAP);
        break;
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        builder->depth--;
        break;
    case YAML_STREAM_END_EVENT:
        return false;
    case YAML_NO_EVENT:
    case YAML_STREAM_START_EVENT:
    case YAML_DOCUMENT_END_EVENT:
    case YAML_ALIAS_EVENT:
        break;
    }
    return !builder->failed;
}

/* Where the parser stopped. What cannot be decoded has no mark, only the offset of its byte. */
static struct place stop_place(const struct source_text *source, const yaml_parser_t *parser)
{
    if (parser->error != YAML_READER_ERROR)
        return (struct place){source, bounded(parser->problem_mark.line) + 1,
                              bounded(parser->problem_mark.column) + 1, 1};
    struct place place = {source, 1, 1, 1};
    for (size_t i = 0; i < parser->problem_offset && i < source->text.size; i++)
        if (source->text.data[i] == '\n') {
            place.line++;
            place.column = 1;
        } else if (((unsigned char)source->text.data[i] & 0xc0) != 0x80) {
            place.column++;
        }
    return place;
}

struct yaml_node *yaml_parse(const struct source_text *source, struct arena *arena,
                             struct complaints *complaints)
{
    struct builder builder = {.source = source, .arena = arena, .complaints = complaints};
    int before = complaints->count, documents = 0;
    yaml_parser_t parser;
    if (source->text.size > YAML_BYTES_MAX) {
        complain(complaints, (struct place){source, 0, 0, 0}, "%zu bytes, the limit is %d",
                 source->text.size, YAML_BYTES_MAX);
        return NULL;
    }
    ASSERT(yaml_parser_initialize(&parser));
    yaml_parser_set_input_string(&parser, (const unsigned char *)source->text.data,
                                 source->text.size);
    for (bool more = true; more;) {
        yaml_event_t event;
        if (!yaml_parser_parse(&parser, &event)) {
            complain(complaints, stop_place(source, &parser), "not YAML: %s%s%s",
                     parser.problem ? parser.problem : "unreadable", parser.context ? ", " : "",
                     parser.context ? parser.context : "");
            builder.failed = true;
            break;
        }
        more = take(&builder, &event, &documents);
        yaml_event_delete(&event);
    }
    yaml_parser_delete(&parser);
    if (!builder.root && complaints->count == before)
        complain(complaints, (struct place){source, 0, 0, 0}, "is empty; a graph was expected");
    return builder.failed || builder.depth > 0 ? NULL : builder.root;
}

struct yaml_node *yaml_get(const struct yaml_node *map, const char *key)
{
    if (!map || map->kind != YAML_MAP)
        return NULL;
    for (struct yaml_node *value = map->first; value; value = value->next)
        if (strcmp(value->key->text, key) == 0)
            return value;
    return NULL;
}

const char *yaml_kind_name(const struct yaml_node *node)
{
    switch (node->kind) {
    case YAML_LIST:
        return "a list";
    case YAML_MAP:
        return "a mapping";
    case YAML_SCALAR:
        break;
    }
    return *node->text ? "text" : "nothing";
}

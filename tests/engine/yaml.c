/* The tree under graph files: shapes, places, and each limit told at the place where it is crossed.
 */
#include "engine/yaml.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct arena arena;
static struct complaints complaints;

static void setup(void)
{
    arena_open(&arena, 0);
}

static void teardown(void)
{
    arena_close(&arena);
}

TestSuite(yaml, .init = setup, .fini = teardown);

static struct yaml_node *parse_bytes(const char *text, size_t size)
{
    struct source_text *source = arena_zero(&arena, 1, sizeof *source);
    *source = (struct source_text){.name = "y", .text = {text, size}};
    complaints_open(&complaints, &arena);
    return yaml_parse(source, &arena, &complaints);
}

static struct yaml_node *parse(const char *text)
{
    return parse_bytes(text, strlen(text));
}

/* Exactly one mistake, at this place and with these words. */
static void refused(const char *text, size_t size, int line, int column, const char *words)
{
    parse_bytes(text, size);
    cr_assert(complaints.count == 1, "%d mistakes in %.60s", complaints.count, text);
    const struct complaint *complaint = &complaints.item[0];
    cr_assert(strstr(complaint->text, words), "'%s' lacks '%s'", complaint->text, words);
    cr_assert(complaint->place.line == line && complaint->place.column == column, "%s: at %d:%d",
              words, complaint->place.line, complaint->place.column);
}

static void at(const struct yaml_node *node, int line, int column, int width)
{
    cr_assert(node && node->place.line == line && node->place.column == column &&
              node->place.width == width, "'%s' stands at %d:%d, %d wide",
              node ? node->text : "nothing", node ? node->place.line : 0,
              node ? node->place.column : 0, node ? node->place.width : 0);
}

Test(yaml, a_tree_with_places)
{
    const struct yaml_node *root =
        parse("a: 1\nbb:\n  - x\n  - \"2\"\n  - {c: d e}\n'q': |\n  text\n");
    cr_assert(root && complaints.count == 0 && root->kind == YAML_MAP && root->count == 3);
    at(yaml_get(root, "a"), 1, 4, 1);
    at(yaml_get(root, "a")->key, 1, 1, 1);
    const struct yaml_node *list = yaml_get(root, "bb");
    cr_assert(list->kind == YAML_LIST && list->count == 3 && list->key->place.width == 2);
    at(list->first, 3, 5, 1);
    cr_assert(!list->first->quoted && list->first->next->quoted, "\"2\" is no number");
    at(list->first->next, 4, 5, 3);
    cr_assert(list->last->kind == YAML_MAP && !list->last->next && !list->last->key);
    at(yaml_get(list->last, "c"), 5, 9, 3);
    cr_assert(strcmp(yaml_get(root, "q")->text, "text\n") == 0);
    cr_assert(!yaml_get(root, "c") && !yaml_get(list, "x") && !yaml_get(NULL, "a"));
    cr_assert(strcmp(yaml_kind_name(root), "a mapping") == 0 &&
              strcmp(yaml_kind_name(list), "a list") == 0 &&
              strcmp(yaml_kind_name(list->first), "text") == 0 &&
              strcmp(yaml_kind_name(yaml_get(parse("a:\n"), "a")), "nothing") == 0);
}

Test(yaml, what_is_refused)
{
    refused("", 0, 0, 0, "is empty");
    refused("# only a comment\n", 17, 0, 0, "is empty");
    refused("a: *b\n", 6, 1, 4, "anchors and aliases");
    refused("a: &b 1\n", 8, 1, 4, "anchors and aliases");
    refused("a: !t 1\n", 8, 1, 4, "tags");
    refused("a: 1\n...\n---\nb: 2\n", 18, 3, 1, "a second document");
    refused("a: 1\nb: 2\na: 3\n", 15, 3, 1, "key 'a' stands here twice, first in line 1");
    refused("a: 1\n? [b]\n: 2\n", 15, 2, 3, "a list cannot be a key");
    refused("a: \"x\\0y\"\n", 10, 1, 4, "NUL");
    refused("a: \"b\n", 6, 2, 1, "not YAML");
    refused("a: b: c\n", 8, 1, 5, "not YAML");
    refused("a: 1\n\tb: 2\n", 11, 2, 1, "not YAML");
    refused("\xff\xfe\xfd", 3, 1, 3, "not YAML");
    refused("a: 1\n\xc3\xa4: x\xc3\x28\n", 13, 2, 6, "not YAML");
    refused("a\0b", 3, 1, 2, "not YAML");
}

Test(yaml, limits)
{
    size_t room = 8 << 20, used = 0;
    char *text = arena_zero(&arena, 1, room);
    memset(text, '[', YAML_DEPTH_MAX + 1);
    refused(text, YAML_DEPTH_MAX + 1, 1, YAML_DEPTH_MAX + 1, "nested deeper than 32 levels");
    memset(text + YAML_DEPTH_MAX, ']', YAML_DEPTH_MAX);
    cr_assert(parse_bytes(text, 2 * YAML_DEPTH_MAX) && complaints.count == 0);
    for (int i = 0; i <= YAML_KEYS_MAX; i++)
        used += (size_t)snprintf(text + used, room - used, "k%d: 1\n", i);
    refused(text, used, YAML_KEYS_MAX + 1, 1, "more than 1024 keys in one mapping");
    used = 0;
    for (int i = 0; i < YAML_NODES_MAX; i++) {
        memcpy(text + used, "- a\n", 4);
        used += 4;
    }
    refused(text, used, YAML_NODES_MAX, 3, "more than 1000000 values");
    char *big = malloc((size_t)YAML_BYTES_MAX + 1);
    cr_assert(big);
    memset(big, ' ', (size_t)YAML_BYTES_MAX + 1);
    refused(big, (size_t)YAML_BYTES_MAX + 1, 0, 0, "16777217 bytes, the limit is 16777216");
    free(big);
}

/* What is shown holds no byte that could steer a terminal, and long lines are cut. */
Test(yaml, mistakes_are_shown_safely)
{
    char *told = NULL, text[600];
    size_t size = 0;
    memset(text, 'x', sizeof text);
    memcpy(text, "a: \"\\e[2J\" # ", 13);
    memcpy(text + 300, "\na: 1\n\x1b[2J", 11);
    cr_assert(!parse_bytes(text, 311));
    FILE *out = open_memstream(&told, &size);
    cr_assert(out);
    complaints_print(&complaints, out);
    fclose(out);
    cr_assert(complaints.count >= 1 && size > 0 && !memchr(told, 0x1b, size), "%s", told);
    free(told);
}

Test(yaml, at_most_a_hundred_mistakes_are_kept_and_the_rest_counted)
{
    char *told = NULL, *text = arena_zero(&arena, 1, 4096), *end = text;
    size_t size = 0;
    for (int i = 0; i < 251; i++)
        end = stpcpy(end, "a: 1\n");
    cr_assert(parse(text) && complaints.count == 250);
    FILE *out = open_memstream(&told, &size);
    cr_assert(out);
    complaints_print(&complaints, out);
    fclose(out);
    cr_assert(strstr(told, "y:101:1: error") && !strstr(told, "y:102:1: error") &&
              strstr(told, "and 150 more mistakes\n"), "%s", told);
    free(told);
}

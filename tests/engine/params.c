/* Settings by table: every type with good and bad values, limits, texts that come back as they
 * were, and what the rows say in help and schema. */
#include "engine/params.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct knobs {
    bool flag;
    int64_t count, wait_ms;
    double rate;
    const char *label, *file;
    int mode;
    uint64_t room_bytes;
    struct param_paths inputs;
};

static const char *const modes[] = {"fast", "slow", NULL};
#define ROW(TYPE, MEMBER, ...)                                                                     \
    {.name = #MEMBER, .type = TYPE, .offset = offsetof(struct knobs, MEMBER), __VA_ARGS__}
static const struct param table[] = {
    ROW(PARAM_BOOL, flag, .fallback = "false", .help = "Whether."),
    ROW(PARAM_INT, count, .fallback = "3", .min = -2, .max = 9, .help = "How many."),
    ROW(PARAM_DURATION, wait_ms, .fallback = "30s", .min = 1, .max = 60000, .help = "How long."),
    ROW(PARAM_FLOAT, rate, .fallback = "0.1", .min = 0, .max = 1, .help = "How much."),
    ROW(PARAM_TEXT, label, .fallback = "", .help = "A word.", .free = true),
    ROW(PARAM_PATH, file, .help = "A file."),
    ROW(PARAM_CHOICE, mode, .fallback = "fast", .choices = modes, .help = "Which."),
    ROW(PARAM_BYTES, room_bytes, .fallback = "1KiB", .min = 0, .max = 1 << 20, .help = "Size."),
    ROW(PARAM_PATHS, inputs, .fallback = "", .help = "Files."),
    {.name = NULL},
};

static struct arena arena;
static struct complaints complaints;
static struct knobs knobs;

static void setup(void)
{
    arena_open(&arena, 0);
}

static void teardown(void)
{
    arena_close(&arena);
}

TestSuite(params, .init = setup, .fini = teardown);

/* The settings from YAML text into `knobs`; the number of mistakes. */
static int fill(const char *text)
{
    const struct param_roots roots = {.graph = "/g", .run = NULL};
    struct source_text *source = arena_zero(&arena, 1, sizeof *source);
    *source = (struct source_text){.name = "p", .text = span_of(text)};
    complaints_open(&complaints, &arena);
    knobs = (struct knobs){.count = 0};
    struct yaml_node *with = yaml_parse(source, &arena, &complaints);
    params_fill(table, &knobs, with, &roots, (struct place){source, 1, 1, 1}, &arena, &complaints);
    return complaints.count;
}

/* Everything that `print` writes. */
static char *printed(void (*print)(FILE *))
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    cr_assert(out);
    print(out);
    fclose(out);
    return text;
}

static void all_values(FILE *out)
{
    params_write(table, &knobs, false, out);
}

static void hashed_values(FILE *out)
{
    params_write(table, &knobs, true, out);
}

static void help(FILE *out)
{
    params_help(table, out);
}

static void schema(FILE *out)
{
    params_schema(table, out);
}

Test(params, values_of_every_type)
{
    cr_assert(fill("{flag: yes, count: -2, wait_ms: 2min, file: x/y}") == 1, "2min is too long");
    cr_assert(fill("{flag: yes, count: -2, wait_ms: 1min, rate: 1e-3, label: \"4\", file: x/y,\n"
                   " mode: slow, room_bytes: 2KiB, inputs: [a, /b, \"{run}/c\"]}") == 0);
    cr_assert(knobs.flag && knobs.count == -2 && knobs.wait_ms == 60000 && knobs.mode == 1);
    cr_assert(fabs(knobs.rate - 1e-3) < 1e-18 && knobs.room_bytes == 2048);
    cr_assert(strcmp(knobs.label, "4") == 0 && strcmp(knobs.file, "/g/x/y") == 0);
    cr_assert(knobs.inputs.count == 3 && strcmp(knobs.inputs.path[0], "/g/a") == 0);
    cr_assert(strcmp(knobs.inputs.path[1], "/b") == 0);
    cr_assert(strcmp(knobs.inputs.path[2], "{run}/c") == 0, "kept while the folder is not known");
    cr_assert(fill("{file: f, inputs: one}") == 0 && knobs.inputs.count == 1);
    cr_assert(knobs.count == 3 && knobs.wait_ms == 30000 && !knobs.flag && knobs.mode == 0);
    cr_assert(strcmp(knobs.label, "") == 0);
}

Test(params, wrong_values_are_told_in_words)
{
    static const char *const cases[][2] = {
        {"flag: maybe", "flag wants true or false; 'maybe' is not"},
        {"flag: \"true\"", "'true' is not"},
        {"count: 10", "count wants a whole number from -2 to 9; '10' is not"},
        {"count: 2.5", "'2.5' is not"},
        {"count: \"2\"", "'2' is not"},
        {"count: 99999999999999999999", "a whole number from -2 to 9"},
        {"count:", "'' is not"},
        {"count: {a: 1}", "here is a mapping"},
        {"wait_ms: 30", "wait_ms wants a time like 30s"},
        {"wait_ms: 0s", "'0s' is not"},
        {"wait_ms: -1s", "'-1s' is not"},
        {"rate: 1.5", "rate wants a number from 0 to 1; '1.5' is not"},
        {"rate: nan", "'nan' is not"},
        {"rate: inf", "'inf' is not"},
        {"mode: slwo", "mode wants one of fast, slow; 'slwo' is not (did you mean 'slow'?)"},
        {"mode: zzzzzzz", "mode wants one of fast, slow; 'zzzzzzz' is not\n"},
        {"room_bytes: 2MiB", "room_bytes wants a size like 512MiB from 0 to 1048576"},
        {"room_bytes: lots", "'lots' is not"},
        {"inputs: [[a]]", "inputs: a path was expected, here is a list"},
        {"inputs: [\"\"]", "here is nothing"},
        {"inputs: [\"{run\"]", "did you mean '{run}/...'?"},
        {"inputs: \"{Run}\"", "did you mean '{run}/...'?"},
        {"inptus: a", "unknown setting 'inptus'; did you mean 'inputs'?"},
        {"elephants: 3", "unknown setting 'elephants'; `foldmill stages KIND` lists"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[128], *told = NULL;
        size_t size = 0;
        snprintf(text, sizeof text, "file: f\n%s\n", cases[i][0]);
        cr_assert(fill(text) == 1, "%s: %d mistakes", cases[i][0], complaints.count);
        FILE *out = open_memstream(&told, &size);
        complaints_print(&complaints, out);
        fclose(out);
        cr_assert(strncmp(told, "p:2:", 4) == 0 && strstr(told, cases[i][1]), "%s:\n%s",
                  cases[i][0], told);
        free(told);
    }
}

Test(params, what_must_be_given)
{
    cr_assert(fill("count: 1") == 1);
    cr_assert(strcmp(complaints.item[0].text, "setting 'file' is missing; it wants a path: A file.")
              == 0, "%s", complaints.item[0].text);
    cr_assert(fill("file:") == 1 && strstr(complaints.item[0].text, "file must be given"));
    cr_assert(fill("[file]") == 2, "a list is no mapping, and the file is missing");
}

Test(params, too_long_and_too_many)
{
    size_t size = PARAM_TEXT_MAX + 1;
    char *text = arena_zero(&arena, 1, size + 64);
    static const char *const heads[] = {"file: ", "file: f\nlabel: ", "file: f\ninputs: ",
                                        "file: f\ninputs:\n- "};
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++) {
        size_t head = strlen(heads[i]);
        memcpy(text, heads[i], head);
        memset(text + head, 'a', size);
        text[head + size] = 0;
        cr_assert(fill(text) == 1, "%s...: %d", heads[i], complaints.count);
        text[head + size - 1] = 0;
        cr_assert(fill(text) == 0, "%s...: as long as allowed", heads[i]);
    }
    char *many = arena_zero(&arena, 1, 64 + 2 * PARAM_PATHS_MAX);
    char *end = stpcpy(many, "{file: f, inputs: [a");
    for (int i = 0; i < PARAM_PATHS_MAX - 1; i++)
        end = stpcpy(end, ",a");
    strcpy(end, "]}");
    cr_assert(fill(many) == 0 && knobs.inputs.count == PARAM_PATHS_MAX);
    strcpy(end, ",a]}");
    cr_assert(fill(many) == 1 && strstr(complaints.item[0].text, "the limit is 4096"));
}

Test(params, written_values_come_back)
{
    cr_assert(
        fill("{flag: on, count: 9, rate: 0.3333333333333333, room_bytes: 1000, wait_ms: 7ms,\n"
             " label: \"a \\\"quoted\\\" \\\\ line\\nand \\u00e4: {#}\", file: \"/with blank\",\n"
             " mode: slow, inputs: [\"/- x\", \"/y, z\"]}") == 0);
    char *first = printed(all_values);
    double rate = knobs.rate;
    cr_assert(fill(first) == 0, "%s", first);
    char *second = printed(all_values);
    cr_assert(strcmp(first, second) == 0, "%s became %s", first, second);
    cr_assert(memcmp(&rate, &knobs.rate, sizeof rate) == 0, "to the last bit");
    cr_assert(strcmp(knobs.label, "a \"quoted\" \\ line\nand \xc3\xa4: {#}") == 0, "%s",
              knobs.label);
    char *hashed = printed(hashed_values);
    cr_assert(strstr(first, "label: ") && !strstr(hashed, "label: "), "free ones are left out");
    free(first);
    free(second);
    free(hashed);
}

Test(params, help_and_schema_say_the_rows)
{
    char *text = printed(help);
    cr_assert(strstr(text, "a whole number from -2 to 9 (default 3)"), "%s", text);
    cr_assert(strstr(text, "a path (must be given)"), "%s", text);
    cr_assert(strstr(text, "one of fast, slow (default fast)"), "%s", text);
    cr_assert(strstr(text, "How many."), "%s", text);
    free(text);
    text = printed(schema);
    cr_assert(strstr(text, "\"count\": {\"type\": \"integer\", \"description\": \"How many.\", "
                           "\"minimum\": -2, \"maximum\": 9, \"default\": 3}"), "%s", text);
    cr_assert(strstr(text, "\"enum\": [\"fast\", \"slow\"]"), "%s", text);
    cr_assert(strstr(text, "\"required\": [\"file\"]"), "%s", text);
    cr_assert(strstr(text, "\"additionalProperties\": false"), "%s", text);
    free(text);
}

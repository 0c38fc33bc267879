/* foldmill stages: what kinds of stages there are, and all settings of one. */
#include "engine/command.h"
#include "engine/params.h"

#include <string.h>

static const struct {
    unsigned flag;
    const char *name;
} flags[] = {
    {STAGE_SOURCE, "source"}, {STAGE_STORE, "store"},   {STAGE_GATHER, "gather"},
    {STAGE_SINK, "sink"},     {STAGE_SINGLE, "single"}, {STAGE_GPU, "gpu"},
    {STAGE_RANDOM, "random"},
};

static void flags_print(const struct stage *stage, FILE *out)
{
    const char *between = "";
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++)
        if (stage->flags & flags[i].flag) {
            fprintf(out, "%s%s", between, flags[i].name);
            between = ", ";
        }
    if (!*between)
        fputs("work", out);
}

static void port_print(const char *title, const struct port *port, FILE *out)
{
    if (!port->fields || !port->fields[0])
        return;
    fprintf(out, "\n%s\n", title);
    for (int i = 0; port->fields[i]; i++)
        fprintf(out, "  %s\n", port->fields[i]);
}

static int stages_run(int argc, char **argv)
{
    if (!command_rest(&command_stages, argc, argv, 0, 1))
        return EXIT_USAGE;
    if (argc == 1) {
        for (const struct stage *const *stage = stage_registry; *stage; stage++)
            printf("  %-12s %s\n", (*stage)->name, (*stage)->summary);
        puts("\n`foldmill stages NAME` lists the settings of one.");
        return EXIT_GOOD;
    }
    const struct stage *stage = stage_find(span_of(argv[1]));
    if (!stage) {
        const char *names[GRAPH_STAGES_MAX + 1];
        int count = 0;
        for (const struct stage *const *s = stage_registry; *s && count < GRAPH_STAGES_MAX; s++)
            names[count++] = (*s)->name;
        names[count] = NULL;
        const char *near = text_suggest(span_of(argv[1]), names);
        fprintf(stderr, "foldmill stages: there is no stage '%s'%s%s%s\n", argv[1],
                near ? "; did you mean '" : "; `foldmill stages` lists them", near ? near : "",
                near ? "'?" : "");
        return EXIT_USAGE;
    }
    printf("%s: %s\n\nkind: ", stage->name, stage->summary);
    flags_print(stage, stdout);
    printf("   version: %d\n", stage->version);
    if (stage->params && stage->params->name) {
        puts("\nsettings (under `with:`)");
        params_help(stage->params, stdout);
    }
    port_print("takes (? may be missing; equal capitals are equal sizes)", &stage->in, stdout);
    port_print(stage->flags & STAGE_PASS ? "adds to what it takes" : "gives", &stage->out, stdout);
    return EXIT_GOOD;
}

const struct command command_stages = {
    .name = "stages",
    .summary = "lists the kinds of stages, or all settings of one",
    .help = "usage: foldmill stages [NAME]\n\n"
            "Without a name: the kinds of stages of this program. With one: its settings with\n"
            "types, defaults, limits and meaning, and the fields that it takes and gives.\n",
    .run = stages_run,
};

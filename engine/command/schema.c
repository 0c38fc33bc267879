/* foldmill schema: the JSON Schema of graph files, from the tables that the reader uses too. */
#include "engine/command.h"
#include "engine/params.h"

/* The keys that every stage may have. */
static const struct {
    const char *name, *type, *help;
} stage_keys[] = {
    {"run", NULL, "Kind of the stage; its own name when left out."},
    {"in", "[\"string\", \"object\"]",
     "The stage that feeds this one; for a store also STORE.train, "
     "STORE.held_out or STORE.all; or several full stores with the shares of positions that they "
     "give, like {pdb.train: 0.25, distilled.train: 0.75}."},
    {"on", "\"string\"", "Role of the nodes that run this stage."},
    {"workers", "\"integer\"", "Worker processes on a node."},
    {"ranks", "\"integer\"",
     "Processes that train together, each on its share of every batch; the batch size must be "
     "divisible by it."},
    {"queue", "\"integer\"",
     "Of a sink: samples that it asks for ahead; 0: three steps, or twice what its "
     "workers may hold if that is more."},
    {"timeout", "\"string\"",
     "Longest time for one sample, like 30s or 10min; a sample that needs "
     "more three times is set aside."},
    {"memory", "[\"string\", \"integer\"]", "Most memory of one worker, like 4GiB."},
};

static void stage_schema(FILE *out)
{
    fputs("      \"type\": [\"object\", \"null\"],\n      \"additionalProperties\": false,\n"
          "      \"properties\": {\n",
          out);
    for (size_t i = 0; i < sizeof stage_keys / sizeof *stage_keys; i++) {
        fprintf(out, "        \"%s\": {", stage_keys[i].name);
        if (stage_keys[i].type) {
            fprintf(out, "\"type\": %s, ", stage_keys[i].type);
        } else {
            fputs("\"enum\": [", out);
            for (const struct stage *const *s = stage_registry; *s; s++) {
                fputs(s == stage_registry ? "" : ", ", out);
                json_string((*s)->name, out);
            }
            fputs("], ", out);
        }
        fputs("\"description\": ", out);
        json_string(stage_keys[i].help, out);
        fputs("},\n", out);
    }
    fputs("        \"with\": {\"type\": [\"object\", \"null\"], \"description\": \"Settings of the "
          "stage's kind.\"}\n      },\n      \"allOf\": [\n",
          out);
    for (const struct stage *const *s = stage_registry; *s; s++) {
        fputs("        {\"if\": {\"required\": [\"run\"], \"properties\": {\"run\": {\"const\": ",
              out);
        json_string((*s)->name, out);
        fputs("}}},\n         \"then\": {\"properties\": {\"with\": {\"$ref\": \"#/definitions/",
              out);
        fprintf(out, "%s\"}}}}%s\n", (*s)->name, s[1] ? "," : "");
    }
    fputs("      ]\n", out);
}

/* A stage without `run` is of the kind of its own name. */
static void named_schema(FILE *out)
{
    for (const struct stage *const *s = stage_registry; *s; s++) {
        fprintf(
            out,
            "        \"%s\": {\"allOf\": [{\"$ref\": \"#/definitions/stage\"}, {\"if\": {\"not\": "
            "{\"required\": [\"run\"]}},\n          \"then\": {\"properties\": {\"with\": "
            "{\"$ref\": "
            "\"#/definitions/%s\"}}}}]}%s\n",
            (*s)->name, (*s)->name, s[1] ? "," : "");
    }
}

static int schema_run(int argc, char **argv)
{
    if (!command_rest(&command_schema, argc, argv, 0, 0))
        return EXIT_USAGE;
    FILE *out = stdout;
    fputs(
        "{\n  \"$schema\": \"http://json-schema.org/draft-07/schema#\",\n"
        "  \"title\": \"Foldmill graph\",\n  \"type\": \"object\",\n"
        "  \"additionalProperties\": false,\n  \"required\": [\"graph\", \"stages\"],\n"
        "  \"properties\": {\n"
        "    \"graph\": {\"type\": \"string\", \"description\": \"Name of the graph; run folders "
        "carry it.\"},\n"
        "    \"seed\": {\"type\": \"integer\", \"minimum\": 0, \"default\": 1, \"description\": "
        "\"Everything random follows from it.\"},\n"
        "    \"order\": {\"anyOf\": [{\"enum\": [\"strict\"]}, {\"type\": \"object\", "
        "\"required\": [\"overtake\"],\n      \"additionalProperties\": false, \"properties\": "
        "{\"overtake\": {\"type\": \"integer\", \"minimum\": 1,\n      \"maximum\": 16384}}}], "
        "\"description\": \"How steps take samples: in the order of their positions, or slow "
        "ones overtaken by so many later ones at most.\"},\n"
        "    \"max_bad\": {\"type\": \"integer\", \"minimum\": 0, \"description\": \"More samples "
        "set "
        "aside than this stop the run; default: the larger of 10 and 0.1 %.\"},\n"
        "    \"stages\": {\n      \"type\": \"object\",\n      \"minProperties\": 1,\n"
        "      \"properties\": {\n",
        out);
    named_schema(out);
    fputs("      },\n      \"additionalProperties\": {\"$ref\": \"#/definitions/stage\"}\n    }\n  "
          "},\n"
          "  \"definitions\": {\n    \"stage\": {\n",
          out);
    stage_schema(out);
    fputs("    }", out);
    for (const struct stage *const *s = stage_registry; *s; s++) {
        fprintf(out, ",\n    \"%s\": ", (*s)->name);
        params_schema((*s)->params, out);
    }
    fputs("\n  }\n}\n", out);
    return EXIT_GOOD;
}

const struct command command_schema = {
    .name = "schema",
    .summary = "prints the JSON Schema of graph files, for editors",
    .help = "usage: foldmill schema > graphs/schema.json\n\n"
            "Prints the JSON Schema of graph files, made from the same tables that check them.\n"
            "The first line of each graph names it, so that editors complete and underline.\n",
    .run = schema_run,
};

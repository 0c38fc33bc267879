/* What has changed between two graphs; see graph_differ.h. It looks at what graph_hash covers. */
#include "engine/graph_differ.h"

#include <stdlib.h>
#include <string.h>

enum { TOLD_MAX = 4, VALUE_MAX = 80 };

struct teller {
    FILE *out;
    int count;
};

static void tell(struct teller *teller, const char *stage, const char *what, const char *before,
                 const char *now)
{
    if (teller->count++ >= TOLD_MAX)
        return;
    fprintf(teller->out, "%s%s%s%s was %.*s%s, is %.*s%s", teller->count > 1 ? "; " : "", stage,
            *stage ? "." : "", what, VALUE_MAX, before, strlen(before) > VALUE_MAX ? "..." : "",
            VALUE_MAX, now, strlen(now) > VALUE_MAX ? "..." : "");
}

static void compare(struct teller *teller, const char *stage, const char *what, const char *before,
                    const char *now)
{
    if (strcmp(before, now) != 0)
        tell(teller, stage, what, before, now);
}

static void compare_number(struct teller *teller, const char *stage, const char *what,
                           uint64_t before, uint64_t now)
{
    char a[24], b[24];
    snprintf(a, sizeof a, "%llu", (unsigned long long)before);
    snprintf(b, sizeof b, "%llu", (unsigned long long)now);
    compare(teller, stage, what, a, b);
}

/* A text that the caller frees. */
static char *setting(const struct param *row, const void *state)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    ASSERT(out);
    params_value_write(row, state, out);
    fclose(out);
    return text;
}

static char *input(const struct graph *graph, const struct graph_stage *stage)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    ASSERT(out);
    if (stage->input < 0)
        fputs("nothing", out);
    else if (stage->mix_count == 0)
        fprintf(out, "%s%s%s", graph->stages[stage->input].name, *stage->split ? "." : "",
                stage->split);
    for (int i = 0; i < stage->mix_count; i++)
        fprintf(out, "%s%s%s%s: %.6g", i ? ", " : "", graph->stages[stage->mix[i].store].name,
                *stage->mix[i].split ? "." : "", stage->mix[i].split, stage->mix[i].share);
    fclose(out);
    return text;
}

static const struct graph_stage *find(const struct graph *graph, const char *name)
{
    for (int i = 0; i < graph->stage_count; i++)
        if (strcmp(graph->stages[i].name, name) == 0)
            return &graph->stages[i];
    return NULL;
}

static void compare_stage(struct teller *teller, const struct graph *before_graph,
                          const struct graph_stage *before, const struct graph *now_graph,
                          const struct graph_stage *now)
{
    char *a = input(before_graph, before), *b = input(now_graph, now);
    compare(teller, now->name, "in", a, b);
    free(a);
    free(b);
    compare(teller, now->name, "run", before->kind->name, now->kind->name);
    bool keeps = now->kind->flags & STAGE_STORE && now->input >= 0; /* how does not matter */
    if (before->kind != now->kind || keeps)
        return;
    for (const struct param *row = now->kind->params; row && row->name; row++) {
        if (row->free)
            continue;
        a = setting(row, before->state);
        b = setting(row, now->state);
        compare(teller, now->name, row->name, a, b);
        free(a);
        free(b);
    }
}

char *graph_differ(const struct graph *before, const struct graph *now, char *text, size_t size)
{
    struct teller teller = {.out = fmemopen(text, size, "w")};
    ASSERT(teller.out && size > 0);
    compare_number(&teller, "", "seed", before->seed, now->seed);
    compare_number(&teller, "", "order's overtake", before->overtake, now->overtake);
    for (int i = 0; i < now->stage_count; i++) {
        const struct graph_stage *stage = find(before, now->stages[i].name);
        if (stage)
            compare_stage(&teller, before, stage, now, &now->stages[i]);
        else
            tell(&teller, now->stages[i].name, "run", "not there", now->stages[i].kind->name);
    }
    for (int i = 0; i < before->stage_count; i++)
        if (!find(now, before->stages[i].name))
            tell(&teller, before->stages[i].name, "run", before->stages[i].kind->name, "not there");
    if (teller.count > TOLD_MAX)
        fprintf(teller.out, "; and %d more", teller.count - TOLD_MAX);
    if (teller.count == 0)
        fputs("the way in which its stages are connected", teller.out);
    fclose(teller.out);
    text[size - 1] = '\0';
    return text;
}

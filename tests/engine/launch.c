/* Which engine of a run one is: by flags, by FOLDMILL_HEAD, by what Slurm says; tables of
 * environments. */
#include "engine/launch.h"

#include <criterion/criterion.h>
#include <string.h>

enum { VARIABLES = 8 };

static const char *of_table(const void *user, const char *name)
{
    const char *const *row = user;
    for (int i = 0; i < VARIABLES && row[i]; i++) {
        size_t size = strlen(name);
        if (strncmp(row[i], name, size) == 0 && row[i][size] == '=')
            return row[i] + size + 1;
    }
    return NULL;
}

struct row {
    struct launch_wish wish;
    const char *variables[VARIABLES];
    const char *host;
    struct launch want;
};

static const struct row rows[] = {
    {{0}, {NULL}, "a", {.kind = LAUNCH_ALONE}},
    {{.head = true}, {NULL}, "a", {.kind = LAUNCH_HEAD}},
    {{.join = "b:5"}, {NULL}, "a", {.kind = LAUNCH_JOIN, .to = "b:5"}},
    /* A host's name: the whole, or the first label where one has no more. */
    {{0}, {"FOLDMILL_HEAD=a"}, "a", {.kind = LAUNCH_HEAD, .listen = "0.0.0.0:9310", .host = "a"}},
    {{0},
     {"FOLDMILL_HEAD=mill-0.mill.ns:7000"},
     "mill-0",
     {.kind = LAUNCH_HEAD, .listen = "0.0.0.0:7000", .host = "mill-0.mill.ns"}},
    {{0},
     {"FOLDMILL_HEAD=mill-0.mill:7000"},
     "mill-1",
     {.kind = LAUNCH_JOIN, .to = "mill-0.mill:7000", .host = "mill-0.mill"}},
    {{0},
     {"FOLDMILL_HEAD=n1.east"},
     "n1.west",
     {.kind = LAUNCH_JOIN, .to = "n1.east:9310", .host = "n1.east"}},
    {{0},
     {"FOLDMILL_HEAD=mill-1"},
     "mill-10",
     {.kind = LAUNCH_JOIN, .to = "mill-1:9310", .host = "mill-1"}},
    {{0}, {"FOLDMILL_HEAD="}, "a", {.kind = LAUNCH_ALONE}},
    /* Flags come first. */
    {{.alone = true}, {"FOLDMILL_HEAD=a"}, "a", {.kind = LAUNCH_ALONE}},
    {{.join = "c"}, {"FOLDMILL_HEAD=a"}, "a", {.kind = LAUNCH_JOIN, .to = "c"}},
    /* Slurm. */
    {{.graph = "graphs/demo.yaml"},
     {"SLURM_JOB_ID=77", "SLURM_STEP_NUM_TASKS=3", "SLURM_PROCID=0", "SLURMD_NODENAME=n1",
      "SLURM_LOCALID=0"},
     "a",
     {.kind = LAUNCH_HEAD, .run_dir = "runs/demo-slurm-77", .name = "n1"}},
    {{.graph = "graphs/demo.yaml"},
     {"SLURM_JOB_ID=77", "SLURM_STEP_NUM_TASKS=3", "SLURM_PROCID=2", "SLURMD_NODENAME=n1",
      "SLURM_LOCALID=2"},
     "a",
     {.kind = LAUNCH_JOIN, .to = "runs/demo-slurm-77", .name = "n1-2"}},
    {{.graph = "demo.v2.yaml", .run_dir = "/big/run"},
     {"SLURM_JOB_ID=77", "SLURM_STEP_NUM_TASKS=2", "SLURM_PROCID=1", "SLURMD_NODENAME=n2"},
     "a",
     {.kind = LAUNCH_JOIN, .to = "/big/run", .name = "n2"}},
    {{.graph = "demo"},
     {"SLURM_JOB_ID=77", "SLURM_STEP_NUM_TASKS=2", "SLURM_PROCID=0", "SLURMD_NODENAME=n2"},
     "a",
     {.kind = LAUNCH_HEAD, .run_dir = "runs/demo-slurm-77", .name = "n2"}},
    /* One task, a batch script, a shell of salloc: one node. */
    {{.graph = "demo.yaml"},
     {"SLURM_JOB_ID=77", "SLURM_STEP_NUM_TASKS=1", "SLURM_PROCID=0", "SLURMD_NODENAME=n2"},
     "a",
     {.kind = LAUNCH_ALONE, .name = "n2"}},
    {{.graph = "demo.yaml"},
     {"SLURM_JOB_ID=77", "SLURM_NTASKS=4", "SLURM_PROCID=0", "SLURMD_NODENAME=n2"},
     "a",
     {.kind = LAUNCH_ALONE, .name = "n2"}},
    {{.alone = true, .graph = "demo.yaml"},
     {"SLURM_JOB_ID=77", "SLURM_STEP_NUM_TASKS=4", "SLURM_PROCID=1", "SLURMD_NODENAME=n2"},
     "a",
     {.kind = LAUNCH_ALONE, .name = "n2"}},
    /* A name comes before Slurm. */
    {{.graph = "demo.yaml"},
     {"SLURM_JOB_ID=77", "SLURM_STEP_NUM_TASKS=4", "SLURM_PROCID=0", "SLURMD_NODENAME=n2",
      "FOLDMILL_HEAD=other"},
     "a",
     {.kind = LAUNCH_JOIN, .to = "other:9310", .host = "other", .name = "n2"}},
};

Test(launch, the_surroundings_and_the_flags_decide)
{
    struct error err;
    struct launch launch;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct row *row = &rows[i];
        struct launch_around around = {of_table, row->variables, row->host};
        cr_assert(launch_find(&row->wish, &around, &launch, &err) == STATUS_OK, "row %zu: %s", i,
                  err.text);
        cr_assert(launch.kind == row->want.kind, "row %zu: kind %d", i, (int)launch.kind);
        cr_assert(strcmp(launch.to, row->want.to) == 0, "row %zu: to %s", i, launch.to);
        cr_assert(strcmp(launch.run_dir, row->want.run_dir) == 0, "row %zu: run %s", i,
                  launch.run_dir);
        cr_assert(strcmp(launch.listen, row->want.listen) == 0, "row %zu: listen %s", i,
                  launch.listen);
        cr_assert(strcmp(launch.host, row->want.host) == 0, "row %zu: host %s", i, launch.host);
        cr_assert(strcmp(launch.name, row->want.name) == 0, "row %zu: name %s", i, launch.name);
        bool told = launch.kind != LAUNCH_ALONE && !row->wish.head && !row->wish.join;
        cr_assert(told == (*launch.why != 0), "row %zu: why \"%s\"", i, launch.why);
    }
}

Test(launch, what_makes_no_sense_is_told)
{
    static const struct {
        struct launch_wish wish;
        const char *variables[VARIABLES];
        const char *text;
    } wrong[] = {
        {{.head = true, .join = "a"}, {NULL}, "exclude each other"},
        {{.alone = true, .head = true}, {NULL}, "exclude each other"},
        {{0}, {"FOLDMILL_HEAD=:7"}, "HOST:PORT"},
        {{0}, {"FOLDMILL_HEAD=a:0"}, "HOST:PORT"},
        {{0}, {"FOLDMILL_HEAD=a:65535"}, "HOST:PORT"},
        {{0}, {"FOLDMILL_HEAD=a:7x"}, "HOST:PORT"},
        {{0}, {"FOLDMILL_HEAD=fe80::1"}, "HOST:PORT"},
        {{0}, {"SLURM_JOB_ID=7", "SLURM_STEP_NUM_TASKS=many"}, "SLURM_STEP_NUM_TASKS"},
        {{0}, {"SLURM_JOB_ID=7", "SLURM_STEP_NUM_TASKS=3"}, "SLURM_PROCID"},
        {{0}, {"SLURM_JOB_ID=7", "SLURM_STEP_NUM_TASKS=3", "SLURM_PROCID=-1"}, "SLURM_PROCID"},
    };
    struct error err;
    struct launch launch;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct launch_around around = {of_table, wrong[i].variables, "a"};
        cr_assert(launch_find(&wrong[i].wish, &around, &launch, &err) == STATUS_INVALID, "row %zu",
                  i);
        cr_assert(strstr(err.text, wrong[i].text), "row %zu: %s", i, err.text);
    }
}

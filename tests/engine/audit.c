/* `foldmill audit` on real runs of small graphs, whole and tampered with. */
#include "tests/engine/process.h"

static const char graph[] = "graph: audited\nseed: 5\nmax_bad: 20\nstages:\n"
                            "  count: {with: {count: 90, held_out_every: 10}}\n"
                            "  echo: {in: count, workers: 2, with: {refuse_every: 30}}\n"
                            "  store: {in: echo, with: {path: \"{run}/records\"}}\n"
                            "  read: {run: echo, in: store.train}\n"
                            "  bundle: {in: read, with: {size: 4}}\n"
                            "  tally: {in: bundle, with: {epochs: 2}}\n";

static char said[16384];

/* Runs a command of the probe's; its exit code, what it said in `said`. */
__attribute__((format(printf, 1, 2))) static int probe(const char *format, ...)
{
    char arguments[PATH_MAX], command[2 * PATH_MAX];
    va_list list;
    va_start(list, format);
    vsnprintf(arguments, sizeof arguments, format, list);
    va_end(list);
    snprintf(command, sizeof command, "%s %s 2>&1", FOLDMILL_PROBE, arguments);
    FILE *pipe = popen(command, "r");
    cr_assert(pipe);
    said[fread(said, 1, sizeof said - 1, pipe)] = 0;
    return WEXITSTATUS(pclose(pipe));
}

__attribute__((format(printf, 1, 2))) static void shell(const char *format, ...)
{
    char command[2 * PATH_MAX];
    va_list list;
    va_start(list, format);
    vsnprintf(command, sizeof command, format, list);
    va_end(list);
    cr_assert(system(command) == 0, "%s", command);
}

#define HAS(text) cr_assert(strstr(said, text), "no \"%s\" in:\n%s", text, said)

Test(audit, counts_every_fate_and_finds_what_is_wrong, .timeout = 120)
{
    process_begin();
    process_graph("g.yaml", graph);
    const char *run = process_path("run");
    cr_assert(probe("run %s --run %s --quiet", process_path("g.yaml"), run) == 0, "%s", said);
    cr_assert(probe("audit %s --replay 5", run) == 0, "%s", said);
    HAS("line store: 90 keys");
    HAS("line tally:");
    HAS("delivered");
    HAS("of 5 steps that were made again");
    HAS("nothing lost, nothing doubled");
    shell("cp %s/tally.tsv %s/whole.tsv", run, run);

    shell("sed -i 6d %s/tally.tsv", run);
    cr_assert(probe("audit %s", run) == 1, "%s", said);
    HAS("holes                 1");
    HAS("SOMETHING IS WRONG");

    shell("sed 6p %s/whole.tsv > %s/tally.tsv", run, run);
    cr_assert(probe("audit %s", run) == 1, "%s", said);
    HAS("doubles               1");

    shell("sed '$d' %s/whole.tsv > %s/tally.tsv", run, run);
    cr_assert(probe("audit %s", run) == 1, "the checkpoint knows of one more: %s", said);
    HAS("holes                 1");

    shell("sed '2s/\\t[0-9a-f]\\{16\\}\\t/\\t0123456789abcdef\\t/' %s/whole.tsv > %s/tally.tsv",
          run, run);
    cr_assert(probe("audit %s", run) == 0, "%s", said);
    cr_assert(probe("audit %s --replay 3", run) == 1, "%s", said);
    HAS("different             1  of 3");

    shell("sed '4s/^[0-9]*/x/' %s/whole.tsv > %s/tally.tsv", run, run);
    cr_assert(probe("audit %s", run) == 1, "%s", said);
    HAS("damaged");

    shell("cp %s/whole.tsv %s/tally.tsv; rm -r %s/records", run, run, run);
    cr_assert(probe("audit %s", run) == 0, "%s", said);
    HAS("missing              87"); /* the other three stand in refused.tsv */

    cr_assert(probe("audit /nowhere") == 2, "%s", said);
    HAS("/nowhere is not the folder of a run");
    cr_assert(probe("audit %s --replay x", run) == 2, "%s", said);
    process_end();
}

/* What a changed setting costs: a run fills a store and trains, later runs of an edited graph on
 * the same store count how many records they make again, and which stages those records do not
 * need. */
#include "engine/base/file.h"
#include "tests/stages/cif_maker.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>

enum { CHAINS = 6, LENGTH = 48 };

static char folder[] = "/tmp/foldmill_reuse_XXXXXX";
static struct arena arena;

static void file_put(const char *name, const char *text)
{
    struct error err;
    char *path = arena_printf(&arena, "%s/%s", folder, name);
    cr_assert(file_write_atomic(path, span_of(text), &err) == STATUS_OK, "%s", err.text);
}

static void folder_make(const char *name)
{
    cr_assert(mkdir(arena_printf(&arena, "%s/%s", folder, name), 0777) == 0, "%s", name);
}

/* A hit of the whole chain. */
static const char *hit_of(int number, const char *name, const char *query, const char *letters)
{
    return arena_printf(&arena,
                        "No %d\n>%s_A\nAligned_cols=%d Sum_probs=%d\n"
                        "Q chain             1 %s %d (%d)\nT %s_A            1 %s %d (%d)\n",
                        number, name, LENGTH, 50 - number, query, LENGTH, LENGTH, name, letters,
                        LENGTH, LENGTH);
}

/* Chains that are not alike; each has an alignment of two rows, and hits in an older and a younger
 * structure. */
static void files_make(void)
{
    static const char order[] = "GAVLKDESTNQRGPFYWHMI";
    char letters[CHAINS + 2][LENGTH + 1];
    folder_make("structures");
    folder_make("alignments");
    folder_make("templates");
    for (int c = 0; c < CHAINS + 2; c++) {
        for (int i = 0; i < LENGTH; i++)
            letters[c][i] = order[(i * (2 * c + 1) + i / 7 * c + c) % 20];
        letters[c][LENGTH] = 0;
    }
    const char *older = letters[CHAINS], *younger = letters[CHAINS + 1];
    file_put("templates/8old.cif", cif_make(&arena, older, "A", "2001-02-03"));
    file_put("templates/9new.cif", cif_make(&arena, younger, "A", "2015-02-03"));
    for (int c = 0; c < CHAINS; c++) {
        const char *own = letters[c];
        file_put(arena_printf(&arena, "structures/1aa%d.cif", c),
                 cif_make(&arena, own, "A", "2020-01-01"));
        file_put(arena_printf(&arena, "alignments/1aa%d_A.a3m", c),
                 arena_printf(&arena, ">q\n%s\n>other\n%s\n>third\n%s\n", own, older, younger));
        file_put(arena_printf(&arena, "alignments/1aa%d_A.hhr", c),
                 arena_printf(&arena, "%s%s", hit_of(1, "8old", own, older),
                              hit_of(2, "9new", own, younger)));
    }
}

static const char graph[] =
    "graph: reuse\nseed: 1\nstages:\n"
    "  scan: {with: {structures: [structures], alignments: [alignments], held_out: 0}}\n"
    "  parse: {in: scan}\n  msa: {in: parse}\n"
    "  templates: {in: msa, with: {structures: templates, date_max: \"2010-01-01\"}}\n"
    "  store: {in: templates, with: {path: store}}\n"
    "  crop: {in: store.train, with: {length: 16, clusters: 2, extra: 2}}\n"
    "  batch: {in: crop, with: {size: 2}}\n"
    "  train:\n    in: batch\n"
    "    with: {steps: 3, epochs: 9, blocks: 1, c_m: 8, c_z: 8, outer_hidden: 4}\n";

__attribute__((format(printf, 1, 2))) static int shell(const char *format, ...)
{
    char command[3000];
    va_list args;
    va_start(args, format);
    vsnprintf(command, sizeof command, format, args);
    va_end(args);
    return system(command);
}

/* Runs the graph into a folder of its own. */
static void run(const char *name, const char *settings)
{
    cr_assert(shell("%s run %s/graph.yaml --run %s/%s --quiet %s > %s/out 2>&1 || "
                    "{ cat %s/out; false; }",
                    FOLDMILL_BINARY, folder, folder, name, settings, folder, folder) == 0,
              "%s", name);
    cr_assert(shell("%s store export %s/store --all %s/out_%s --npy > %s/out 2>&1", FOLDMILL_BINARY,
                    folder, folder, name, folder) == 0,
              "%s", name);
}

static struct span text_of(const char *run, const char *name)
{
    struct span text;
    struct error err;
    cr_assert(file_read(arena_printf(&arena, "%s/%s/%s", folder, run, name), 1 << 24, &arena, &text,
                        &err) == STATUS_OK,
              "%s", err.text);
    return text;
}

/* How many records the run found as they should be. */
static int stored_already(const char *run)
{
    int count = -1, all = 0;
    static const char words[] = " are stored already";
    struct span log = text_of(run, "log.txt"), line;
    while (span_line(&log, &line)) {
        const char *end = memmem(line.data, line.size, words, strlen(words));
        const char *at = end;
        while (at && at > line.data && at[-1] != ':') /* "store: 4 of 6 are stored already" */
            at--;
        if (at)
            cr_assert(sscanf(at, " %d of %d", &count, &all) == 2, "%.*s", (int)line.size,
                      line.data);
    }
    cr_assert(all == CHAINS, "%s: %d of %d", run, count, all);
    return count;
}

/* How many records the stage's output was taken for from those that were there. */
static int not_made(const char *run, const char *stage)
{
    struct span summary = text_of(run, "summary.txt");
    char *words = arena_printf(&arena, "not %s again:", stage);
    const char *at = memmem(summary.data, summary.size, words, strlen(words));
    return at ? atoi(at + strlen(words)) : 0;
}

/* Whether these fields of all records are the same bytes in the exports of two runs. */
static bool same_records(const char *a, const char *b, const char *files)
{
    int code = shell("cd %s && names=$(cd out_%s && find . -type f -name '%s') && "
                     "[ $(echo \"$names\" | wc -l) -ge %d ] || exit 2; "
                     "for f in $names; do cmp -s out_%s/$f out_%s/$f || exit 1; done",
                     folder, a, files, CHAINS, a, b);
    cr_assert(WIFEXITED(code) && WEXITSTATUS(code) < 2, "no %s in the export", files);
    return code == 0;
}

Test(reuse, a_changed_setting_redoes_what_lies_below_it_and_no_more, .timeout = 120)
{
    arena_open(&arena, 0);
    cr_assert(mkdtemp(folder));
    files_make();
    file_put("graph.yaml", graph);
    run("first", "");
    cr_assert(stored_already("first") == 0 && not_made("first", "parse") == 0);
    static const char *const below[] = {
        "--set crop.length=24",
        "--set crop.clusters=3 --set crop.extra=1 --set crop.mask=0.3 --set crop.crop=openfold",
        "--set crop.preset=finetuning --set crop.rows_limit=2 --set crop.block_delete=false",
        "--set crop.max_templates=1 --set batch.size=3 --set crop.workers=2",
        "--set seed=5 --set train.blocks=2 --set train.steps=2 --set store.compression=lz4hc",
        "--set parse.workers=3 --set parse.timeout=50s",
    };
    for (size_t i = 0; i < sizeof below / sizeof *below; i++) {
        const char *name = arena_printf(&arena, "below%zu", i);
        run(name, below[i]);
        cr_assert(stored_already(name) == CHAINS, "%s: %d are stored already", below[i],
                  stored_already(name));
        cr_assert(same_records("first", name, "*"), "%s", below[i]);
    }
    run("date", "--set templates.date_max=2018-01-01");
    cr_assert(stored_already("date") == 0, "the templates are others now");
    cr_assert(not_made("date", "parse") == CHAINS && not_made("date", "msa") == CHAINS &&
                  not_made("date", "templates") == 0,
              "only they are made again, not made again: %d by parse, %d by msa, %d by templates",
              not_made("date", "parse"), not_made("date", "msa"), not_made("date", "templates"));
    cr_assert(same_records("first", "date", "msa.npy") &&
              !same_records("first", "date", "template_sequence.npy"));
    run("same", "--set templates.date_max=2018-01-01 --set crop.length=20");
    cr_assert(stored_already("same") == CHAINS && same_records("date", "same", "*"));
    run("rows", "--set templates.date_max=2018-01-01 --set msa.rows_max=2");
    cr_assert(stored_already("rows") == 0 && not_made("rows", "parse") == CHAINS &&
                  not_made("rows", "msa") == 0,
              "%d stored already, not made again: %d by parse, %d by msa", stored_already("rows"),
              not_made("rows", "parse"), not_made("rows", "msa"));
    cr_assert(same_records("date", "rows", "template_*.npy") &&
              !same_records("date", "rows", "msa.npy"));
    cr_assert(shell("rm -r %s", folder) == 0);
    arena_close(&arena);
}

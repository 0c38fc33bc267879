/* A small network of all parts learns one chain by heart: graphs/overfit.yaml, held to the figures
 * that a rightly trained network must reach. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LINE = 1024 };

/* The number in the last row of a table, below the name of its column. */
static double last_number(const char *path, const char *name)
{
    char line[LINE], last[LINE] = "", *at;
    int column = -1, i = 0;
    FILE *table = fopen(path, "r");
    cr_assert(table && fgets(line, sizeof line, table), "%s", path);
    for (at = strtok(line, "\t\n"); at; at = strtok(NULL, "\t\n"), i++)
        if (strcmp(at, name) == 0)
            column = i;
    while (fgets(line, sizeof line, table))
        memcpy(last, line, sizeof last);
    fclose(table);
    cr_assert(column >= 0, "%s has no column %s", path, name);
    at = strtok(last, "\t\n");
    for (i = 0; i < column && at; i++)
        at = strtok(NULL, "\t\n");
    cr_assert(at != NULL, "%s: no number", path);
    return strtod(at, NULL);
}

Test(overfit, one_chain_by_heart, .timeout = 600)
{
    char folder[] = "/tmp/foldmill_overfit_XXXXXX", command[1024], path[128];
    if (!getenv("FOLDMILL_FULL"))
        cr_skip("takes 2 min: FOLDMILL_FULL=1");
    if (access("/usr/share/doc/python-biopython-doc/Tests/PDB", R_OK) != 0)
        cr_skip("package python-biopython-doc is not installed");
    cr_assert(mkdtemp(folder) != NULL, "mkdtemp");
    snprintf(command, sizeof command,
             "%s run %s/graphs/overfit.yaml --run %s/run > %s/log 2>&1 || { tail %s/log; exit 1; }",
             FOLDMILL_BINARY, FOLDMILL_SOURCE, folder, folder, folder);
    cr_assert(system(command) == 0, "%s", command);
    snprintf(path, sizeof path, "%s/run/train.tsv", folder);
    double fape = last_number(path, "backbone_fape");
    snprintf(path, sizeof path, "%s/run/evaluate.losses.tsv", folder);
    double lddt = last_number(path, "lddt_ca");
    cr_assert(fape > 0 && fape < 0.2, "FAPE of the backbone %g", fape);
    cr_assert(lddt > 0.9, "lDDT-CA %g", lddt);
    snprintf(command, sizeof command, "rm -rf %s", folder);
    cr_assert(system(command) == 0, "%s", command);
}

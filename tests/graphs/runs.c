/* The demo's graph on real structures: the bytes of its batches depend neither on the number of
 * workers nor on workers being killed, and a step can be made again. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

Test(runs, batches_do_not_depend_on_workers_or_on_their_deaths, .timeout = 300)
{
    char folder[] = "/tmp/foldmill_runs_XXXXXX", command[1024];
    if (access("/usr/share/doc/theseus/examples/ldh", R_OK) != 0 ||
        access("/usr/share/doc/python-biopython-doc/Tests/PDB", R_OK) != 0)
        cr_skip("packages theseus-examples and python-biopython-doc are not installed");
    cr_assert(mkdtemp(folder));
    snprintf(command, sizeof command, "bash %s/tests/graphs/digests.sh %s %s %s %s",
             FOLDMILL_SOURCE, FOLDMILL_BINARY, FOLDMILL_SOURCE, folder, FOLDMILL_DEMO_HITS);
    int code = system(command);
    snprintf(command, sizeof command, "rm -rf %s", folder);
    cr_assert(system(command) == 0);
    cr_assert(code == 0, "digests.sh says why");
}

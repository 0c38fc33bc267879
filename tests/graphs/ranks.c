/* Training on several ranks, whole: the same batches as on one, and the same weights whatever was
 * killed on the way. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

Test(ranks, four_train_alike_whatever_is_killed, .timeout = 300)
{
    char folder[] = "/tmp/foldmill_ranks_XXXXXX", command[1024];
    if (access("/usr/share/doc/theseus/examples/cytochromes", R_OK) != 0 ||
        access("/usr/share/doc/python-biopython-doc/Tests/PDB", R_OK) != 0)
        cr_skip("packages theseus-examples and python-biopython-doc are not installed");
    cr_assert(mkdtemp(folder));
    snprintf(command, sizeof command, "bash %s/tests/graphs/ranks.sh %s %s", FOLDMILL_SOURCE,
             FOLDMILL_BINARY, folder);
    int code = system(command);
    snprintf(command, sizeof command, "rm -rf %s", folder);
    cr_assert(system(command) == 0);
    cr_assert(code == 0, "ranks.sh says why");
}

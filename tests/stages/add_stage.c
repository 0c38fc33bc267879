/* Adding a stage is adding one file: a script does it in a copy of the sources, see there. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

Test(add_stage, one_file, .timeout = 600)
{
    char command[1024];
    int length = snprintf(command, sizeof command, "bash '%s/tests/stages/add_stage.sh' '%s'",
                          FOLDMILL_SOURCE, FOLDMILL_SOURCE);
    cr_assert(length > 0 && (size_t)length < sizeof command, "the path is too long");
    cr_assert(system(command) == 0, "%s", command);
}

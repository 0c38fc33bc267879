/* tools/gpu-check and tools/bundle without a GPU: they say what is missing and claim no more. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static char folder[] = "/tmp/foldmill-gpu-tools-XXXXXX";

/* Runs `FOLDMILL_SOURCE/tools/TOOL` with these words in a folder of its own; its exit code, and its
 * output in text. */
static int run(const char *tool, char text[8192])
{
    char command[1024];
    snprintf(command, sizeof command, "cd %s && PATH=/usr/bin:/bin %s/tools/%s > words 2>&1",
             folder, FOLDMILL_SOURCE, tool);
    int code = system(command);
    snprintf(command, sizeof command, "%s/words", folder);
    FILE *file = fopen(command, "r");
    cr_assert(file != NULL, "no output");
    text[fread(text, 1, 8191, file)] = '\0';
    fclose(file);
    return WEXITSTATUS(code);
}

Test(gpu_tools, say_what_is_missing)
{
    char text[8192], command[128];
    cr_assert(mkdtemp(folder) != NULL, "mkdtemp");
    cr_assert(run("gpu-check --help", text) == 0 && strstr(text, "gpu-check [OUT]"), "%s", text);
    cr_assert(run("gpu-check --backend tpu", text) == 2 && strstr(text, "cuda or cpu"), "%s", text);
    cr_assert(run("gpu-check --fast", text) == 2 && strstr(text, "no option"), "%s", text);
    cr_assert(run("bundle", text) == 2 && strstr(text, "ARCHIVE.tar.xz"), "%s", text);
    setenv("FOLDMILL_GOLDEN", "/nowhere", 1);
    cr_assert(run("bundle x.tar.xz", text) == 1 && strstr(text, "FOLDMILL_GOLDEN"), "%s", text);
    cr_assert(run("gpu-check", text) == 3, "%s", text);
    snprintf(command, sizeof command, "test ! -e %s/gpu-check.out && test ! -e %s/x.tar.xz", folder,
             folder);
    cr_assert(system(command) == 0, "nothing is written before all is there");
    snprintf(command, sizeof command, "rm -rf %s", folder);
    cr_assert(system(command) == 0, "cleaning up");
}

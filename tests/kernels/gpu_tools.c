/* tools/gpu-check and tools/bundle without a GPU: they say what is missing and claim no more, and
 * gpu-check, with programs that stand for the tests, tells which passed. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static char folder[] = "/tmp/foldmill-gpu-tools-XXXXXX";

/* Runs the line in the folder, where an nvidia-smi finds no GPU; its exit code, and its output in
 * text. */
static int run(const char *line, char text[8192])
{
    char command[2048];
    snprintf(command, sizeof command,
             "cd %s && { T=%s/tools; PATH=%s:/usr/bin:/bin; %s; } > words 2>&1", folder,
             FOLDMILL_SOURCE, folder, line);
    int code = system(command);
    snprintf(command, sizeof command, "%s/words", folder);
    FILE *file = fopen(command, "r");
    cr_assert(file != NULL, "no output");
    text[fread(text, 1, 8191, file)] = '\0';
    fclose(file);
    return WEXITSTATUS(code);
}

static void begin(void)
{
    char text[8192];
    cr_assert(mkdtemp(folder) != NULL, "mkdtemp");
    cr_assert(run("printf '#!/bin/sh\\nexit 9\\n' > nvidia-smi; chmod +x nvidia-smi", text) == 0,
              "%s", text);
}

static void end(void)
{
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", folder);
    cr_assert(system(command) == 0, "cleaning up");
}

Test(gpu_tools, say_what_is_missing, .init = begin, .fini = end)
{
    char text[8192];
    cr_assert(run("$T/gpu-check --help", text) == 0 && strstr(text, "gpu-check [OUT]"), "%s", text);
    cr_assert(run("$T/gpu-check --backend tpu", text) == 2 && strstr(text, "cuda or cpu"), "%s",
              text);
    cr_assert(run("$T/gpu-check --fast", text) == 2 && strstr(text, "no option"), "%s", text);
    cr_assert(run("$T/bundle", text) == 2 && strstr(text, "ARCHIVE.tar.xz"), "%s", text);
    setenv("FOLDMILL_GOLDEN", "/nowhere", 1);
    cr_assert(run("$T/bundle x.tar.xz", text) == 1 && strstr(text, "FOLDMILL_GOLDEN"), "%s", text);
    cr_assert(run("test ! -e gpu-check.out && test ! -e x.tar.xz", text) == 0,
              "nothing is written before all is there");
}

/* The folder as tools/bundle makes it; what the programs say is TAP, as Criterion's. */
Test(gpu_tools, tell_what_passed, .init = begin, .fini = end)
{
    static const char *const outcomes[][3] = {{"ok - a::b", "0", "all agree"},
                                              {"not ok - a::b", "1", "something differs"},
                                              {"ok - a::b  # SKIP", "0", "something differs"},
                                              {"# nothing", "0", "something differs"},
                                              {"ok - a::b", "139", "something differs"}};
    char text[8192], line[1024];
    cr_assert(run("mkdir -p box/bin box/lib box/golden/model && cp $T/gpu-check box && echo 2.0 > "
                  "box/glibc && cp nvidia-smi box/bin/test_kernels_ops",
                  text) == 0, "%s", text);
    for (size_t i = 0; i < sizeof outcomes / sizeof *outcomes; i++) {
        snprintf(line, sizeof line,
                 "p=box/bin/test_kernels_golden_x; printf '#!/bin/sh\\n"
                 "echo \"%s\" > ${1#--tap=}\\nexit %s\\n' > $p; chmod +x $p; "
                 "box/gpu-check --backend cpu out",
                 outcomes[i][0], outcomes[i][1]);
        int code = run(line, text);
        cr_assert(code == (i > 0) && strstr(text, outcomes[i][2]) && strstr(text, "golden_x"),
                  "case %d: code %d: %s", (int)i, code, text);
        cr_assert(run("cat out/gpu-check.txt", text) == 0 && strstr(text, outcomes[i][2]), "%s",
                  text);
    }
    cr_assert(run("box/gpu-check out", text) == 3 && strstr(text, "no GPU answers"), "%s", text);
    cr_assert(run("echo 99.1 > box/glibc; box/gpu-check", text) == 3 &&
                  strstr(text, "wants glibc 99.1"), "%s", text);
}

/* Asks OpenBLAS for its kernel set and /proc/cpuinfo for the right one; see blas.h. */
#include "kernels/blas.h"

#include <cblas.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

enum { LINE_BYTES = 16384 };

/* name is one of the words of flags. */
static bool has_flag(const char *flags, const char *name)
{
    size_t size = strlen(name);
    for (const char *at = flags; (at = strstr(at, name)); at += size) {
        bool starts = at == flags || at[-1] == ' ' || at[-1] == '\t' || at[-1] == ':';
        bool ends = at[size] == 0 || at[size] == ' ' || at[size] == '\n';
        if (starts && ends)
            return true;
    }
    return false;
}

const char *blas_coretype_for(const char *flags)
{
    static const char *const avx512[] = {"avx512f", "avx512dq", "avx512cd", "avx512bw",
                                         "avx512vl"};
    size_t found = 0;
    for (size_t i = 0; i < sizeof avx512 / sizeof *avx512; i++)
        found += has_flag(flags, avx512[i]);
    if (found == sizeof avx512 / sizeof *avx512)
        return "SkylakeX";
    if (has_flag(flags, "avx2") && has_flag(flags, "fma"))
        return "Haswell";
    return NULL;
}

const char *blas_coretype_wanted(void)
{
    FILE *file = fopen("/proc/cpuinfo", "re");
    if (!file)
        return NULL;
    static char line[LINE_BYTES];
    const char *wanted = NULL;
    while (fgets(line, sizeof line, file)) {
        if (strncmp(line, "flags", 5) == 0) {
            wanted = blas_coretype_for(line);
            break;
        }
    }
    fclose(file);
    return wanted;
}

const char *blas_core(void)
{
    return openblas_get_corename();
}

bool blas_check(void)
{
    static const char *const modern[] = {"SkylakeX", "Cooperlake", "SapphireRapids", "Zen",
                                         "Haswell"};
    const char *wanted = blas_coretype_wanted(), *found = blas_core();
    if (!wanted || strcasecmp(wanted, found) == 0)
        return true;
    size_t good = strcmp(wanted, "SkylakeX") == 0 ? 3 : 5; /* those that serve as well */
    for (size_t i = 0; i < good; i++)
        if (strcasecmp(found, modern[i]) == 0)
            return true;
    return false;
}

bool blas_environment_set(void)
{
    const char *wanted = blas_coretype_wanted();
    bool changed = false;
    if (wanted && !blas_check() && !getenv("OPENBLAS_CORETYPE"))
        changed = setenv("OPENBLAS_CORETYPE", wanted, 1) == 0;
    if (!getenv("OMP_WAIT_POLICY"))
        changed = (setenv("OMP_WAIT_POLICY", "PASSIVE", 1) == 0 &&
                   setenv("GOMP_SPINCOUNT", "1000", 0) == 0) ||
                  changed;
    return changed;
}

/* Runs before main, with its arguments. A failure is no harm: the program goes on, slower. */
__attribute__((constructor)) static void start_again(int argc, char **argv)
{
    char program[PATH_MAX];
    ssize_t size = readlink("/proc/self/exe", program, sizeof program - 1);
    if (argc < 1 || size <= 0 || !blas_environment_set())
        return;
    program[size] = 0;
    execv(program, argv);
}

void blas_set_single_thread(void)
{
    openblas_set_num_threads(1);
}

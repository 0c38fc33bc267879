/* Runs the command as a person does. */
#ifndef FOLDMILL_TESTS_FOLDMILL_H
#define FOLDMILL_TESTS_FOLDMILL_H

#include <criterion/criterion.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/wait.h>

enum { OUTPUT_MAX = 1 << 20 };

static char output[OUTPUT_MAX];

/* Runs `foldmill ...`; both streams go to output. Returns the exit code. */
__attribute__((format(printf, 1, 2))) static inline int foldmill(const char *format, ...)
{
    char arguments[2000], command[4200];
    va_list args;
    va_start(args, format);
    vsnprintf(arguments, sizeof arguments, format, args);
    va_end(args);
    /* Under a sanitizer, too, a crash in the child is a crash and not the sanitizer's report. */
    snprintf(command, sizeof command,
             "ASAN_OPTIONS=handle_segv=0:handle_sigbus=0:handle_abort=0 %s %s 2>&1",
             FOLDMILL_BINARY, arguments);
    FILE *pipe = popen(command, "r");
    cr_assert(pipe);
    size_t size = fread(output, 1, OUTPUT_MAX - 1, pipe);
    output[size] = 0;
    int status = pclose(pipe);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

#endif

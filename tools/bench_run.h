/* Runs of the tests' own program for benches: a folder, graphs in it, runs of them. Every failure
 * ends the bench with its reason. */
#ifndef FOLDMILL_TOOLS_BENCH_RUN_H
#define FOLDMILL_TOOLS_BENCH_RUN_H

#include <sys/types.h>

enum { BENCH_ARGS_MAX = 32 };

_Noreturn void bench_fail(const char *what);

/* argv0: of the bench, which lies beside the tests' program. Makes the folder. */
void bench_begin(const char *argv0);
const char *bench_folder(void);
/* Removes it. */
void bench_end(void);

/* The parts, up to a NULL, as file name of the folder. */
void bench_graph(const char *name, const char *const parts[]);
/* `foldmill run GRAPH --run FOLDER/RUN --quiet ARGS...`, RUN removed before. graph NULL: the
 * arguments alone (--join). args up to a NULL. */
pid_t bench_start(const char *graph, const char *run, const char *const args[]);
/* Waits for its end, which must be good. */
void bench_wait(pid_t pid);

/* CPU time of the children that have ended, s. */
double bench_cpu(void);
/* Sorts, and returns the middle one. */
double bench_median(double *values, int count);

#endif

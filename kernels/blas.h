/* The linked OpenBLAS: which kernels it chose, and which it should have. On virtual CPUs it may
 * not know the model and then takes kernels for a Pentium 4, three to five times slower. The choice
 * is made when the library loads, from OPENBLAS_CORETYPE, so a program that finds the wrong one
 * starts itself again with that variable set. */
#ifndef FOLDMILL_KERNELS_BLAS_H
#define FOLDMILL_KERNELS_BLAS_H

#include <stdbool.h>

/* The value that OPENBLAS_CORETYPE should have on this machine, by the flags in /proc/cpuinfo:
 * "SkylakeX" with AVX-512 (F DQ CD BW VL), "Haswell" with AVX2 and FMA, else NULL: OpenBLAS's own
 * choice stands. */
const char *blas_coretype_wanted(void);

/* The same from the text of a "flags" line: for tests. */
const char *blas_coretype_for(const char *flags);

/* The kernel set in use, as openblas_get_corename() says: "SkylakeX", "Prescott". */
const char *blas_core(void);

/* True when the set in use is the wanted one, or one that is at least as new (Cooperlake,
 * SapphireRapids, Zen), or when none is wanted. */
bool blas_check(void);

/* Sets, where they are not set, OPENBLAS_CORETYPE to the wanted value, and OMP_WAIT_POLICY and
 * GOMP_SPINCOUNT so that threads which wait for work spin for some 20 microseconds, then sleep.
 * (Spinning longer takes the processor from the preprocessing workers; sleeping at once makes a
 * step of the small network a quarter slower.) All are read when the libraries load: true means
 * that the program has to start itself again for them to count, and that it then finds nothing to
 * set.
 *
 * Every program that links the cpu backend does so by itself, before main: what it starts inherits
 * the variables, so this happens once in a tree of processes. Whoever sets them is left alone. */
bool blas_environment_set(void);

/* From now on every call of BLAS runs on its caller's thread. */
void blas_set_single_thread(void);

#endif

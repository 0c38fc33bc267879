/* The choice of OpenBLAS's kernel set by processor flags. */
#include "kernels/blas.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

Test(blas, the_kernel_set_follows_the_flags)
{
    const char *avx512 =
        "flags\t\t: fpu sse2 fma avx2 avx512f avx512dq avx512cd avx512bw avx512vl\n";
    const char *avx2 = "flags\t\t: fpu sse2 fma avx avx2\n";
    cr_assert(strcmp(blas_coretype_for(avx512), "SkylakeX") == 0, "all of AVX-512");
    cr_assert(strcmp(blas_coretype_for(avx2), "Haswell") == 0, "AVX2 and FMA");
    cr_assert(strcmp(blas_coretype_for("flags : avx512f avx2 fma\n"), "Haswell") == 0,
              "a part of AVX-512 is not enough");
    cr_assert(blas_coretype_for("flags : fpu sse2 avx\n") == NULL, "no opinion");
    cr_assert(blas_coretype_for("flags : xavx2 fma avx2x\n") == NULL, "whole words only");
}

Test(blas, the_environment_is_set_once)
{
    unsetenv("OMP_WAIT_POLICY");
    cr_assert(blas_environment_set(), "start again");
    cr_assert(!blas_environment_set(), "now it is as it should be");
    cr_assert(strcmp(getenv("OMP_WAIT_POLICY"), "PASSIVE") == 0, "policy");
    cr_assert(blas_check() || getenv("OPENBLAS_CORETYPE") != NULL, "kernel set %s", blas_core());
}

#!/usr/bin/env bash
# usage: add_op.sh SOURCE
# Adds an op to a copy of the kernels - one row in ops.h, one file in cpu/ - and runs the generic
# tests of ops there: they must find the new op without being told, and a mistake in its gradient.
set -eu
source=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/tests"
cp -r "$source/kernels" "$source/engine" "$work/"
cp -r "$source/tests/kernels" "$work/tests/"
cd "$work"

# The row: y = w x^2, behind the first row's macro line.
awk '{ print } /^#define OPS\(DIFF, PLAIN, F\)/ {
    print "    DIFF(weighted_square, F(IN, x, \"N\") F(IN, w, \"N\") F(OUT, y, \"N\")) \\" }' \
    kernels/ops.h > ops.new
mv ops.new kernels/ops.h
cat > kernels/cpu/weighted_square.c <<'C'
#include "kernels/cpu/cpu.h"

void CPU_NAME(weighted_square)(struct backend *backend, const struct op_weighted_square *a)
{
    (void)backend;
    for (int64_t i = 0; i < a->x.dim[0]; i++)
        cpu_data(&a->y)[i] = cpu_data(&a->w)[i] * cpu_data(&a->x)[i] * cpu_data(&a->x)[i];
}

void CPU_NAME(weighted_square_back)(struct backend *backend, const struct op_weighted_square *a,
                                    const struct op_weighted_square *g)
{
    (void)backend;
    const real *x = cpu_data(&a->x), *w = cpu_data(&a->w), *up = cpu_data(&g->y);
    real *dx = cpu_data(&g->x), *dw = cpu_data(&g->w);
    for (int64_t i = 0; i < a->x.dim[0]; i++) {
        if (dx)
            dx[i] = (g->x.add ? dx[i] : 0) + FACTOR * w[i] * x[i] * up[i];
        if (dw)
            dw[i] = (g->w.add ? dw[i] : 0) + x[i] * x[i] * up[i];
    }
}
C

flags="-std=gnu17 -D_GNU_SOURCE -DFOLDMILL_SOURCE=\"$source\" -I. -O1 -fopenmp -ffp-contract=off"
# Run by Criterion, its environment would make the inner program take itself for a part of it.
run='env -i PATH=/usr/bin:/bin OMP_WAIT_POLICY=PASSIVE GOMP_SPINCOUNT=1000 ./ops'
build() { # build FACTOR: the program of generic tests with this factor in the new op's gradient
    printf '%s\n' kernels/ops.c kernels/backend.c kernels/blas.c tests/kernels/ops.c \
        engine/base/*.c kernels/cpu/*.c |
        xargs -P 2 -I{} sh -c 'gcc '"$flags"' -DFACTOR='"$1"' -c {} -o "$(echo {} | tr / _)".o'
    for file in kernels/cpu/*.c; do
        printf '%s\n' "$file"
    done | xargs -P 2 -I{} sh -c \
        'gcc '"$flags"' -DCPU_DOUBLE -DFACTOR='"$1"' -c {} -o double_"$(echo {} | tr / _)".o'
    gcc ./*.o -o ops -fopenmp -lcriterion -lopenblas -lxxhash -lz -lm -ldl
}
build 2
$run > right.log 2>&1 || { cat right.log; echo "the tests of ops fail with the new op"; exit 1; }
rm -f ./*.o
build 3
if $run > wrong.log 2>&1 || ! grep -q weighted_square wrong.log; then
    cat wrong.log
    echo "the tests of ops did not find the wrong gradient of the new op"
    exit 1
fi

/* What a template says of two residues: types, direction, which atoms it has. */
#include "kernels/cpu/cpu.h"

enum { TYPES = 22 };

static void unit_of(real v[3])
{
    real norm = 1 / (real)sqrt((double)(v[0] * v[0] + v[1] * v[1] + v[2] * v[2]) + 1e-20);
    for (int i = 0; i < 3; i++)
        v[i] *= norm;
}

/* The axes of the frame of N, CA, C: the first along CA -> C, N in the half plane of the second. */
static void axes_of(const real backbone[9], real axis[3][3])
{
    real along = 0;
    for (int i = 0; i < 3; i++) {
        axis[0][i] = backbone[6 + i] - backbone[3 + i];
        axis[1][i] = backbone[i] - backbone[3 + i];
    }
    unit_of(axis[0]);
    for (int i = 0; i < 3; i++)
        along += axis[0][i] * axis[1][i];
    for (int i = 0; i < 3; i++)
        axis[1][i] -= along * axis[0][i];
    unit_of(axis[1]);
    for (int i = 0; i < 3; i++) {
        int j = (i + 1) % 3, k = (i + 2) % 3;
        axis[2][i] = axis[0][j] * axis[1][k] - axis[0][k] * axis[1][j];
    }
}

/* y[3] = direction from CA of i to that of j in the frame of i, times one. */
static void direction(real axis[3][3], const real *from, const real *to, real one, real *y)
{
    real d[3], square = (real)1e-8;
    for (int i = 0; i < 3; i++) {
        d[i] = to[3 + i] - from[3 + i];
        square += d[i] * d[i];
    }
    real scale = one / (real)sqrt((double)square);
    for (int i = 0; i < 3; i++)
        y[i] = (axis[i][0] * d[0] + axis[i][1] * d[1] + axis[i][2] * d[2]) * scale;
}

void CPU_NAME(template_pair)(struct backend *backend, const struct op_template_pair *a)
{
    int64_t length = a->y.dim[0];
    const int32_t *type = a->type.data;
    const real *backbone = cpu_data(&a->backbone), *beta = cpu_data(&a->beta);
    const real *mask = cpu_data(&a->mask);
    ASSERT(tensor_dense(&a->backbone) && a->y.stride[2] == 1);
#pragma omp parallel for num_threads(cpu_threads(backend)) schedule(static) if (length > 16)
    for (int64_t i = 0; i < length; i++) {
        real axis[3][3];
        axes_of(backbone + 9 * i, axis);
        for (int64_t j = 0; j < length; j++) {
            real *y = cpu_data(&a->y) + i * a->y.stride[0] + j * a->y.stride[1];
            real one = mask[i] * mask[j];
            memset(y, 0, (5 + 2 * TYPES) * sizeof *y);
            y[0] = beta[i] * beta[j] * one;
            y[1 + type[j]] = one;
            y[1 + TYPES + type[i]] = one;
            if (a->unit)
                direction(axis, backbone + 9 * i, backbone + 9 * j, one, y + 1 + 2 * TYPES);
            y[4 + 2 * TYPES] = one;
        }
    }
}

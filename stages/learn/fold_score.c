/* Scores of structures; see fold_score.h. */
#include "stages/learn/fold_score.h"

#include "kernels/net/targets.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static double distance(const float *a, const float *b)
{
    double square = 0;
    for (int k = 0; k < 3; k++)
        square += ((double)a[k] - (double)b[k]) * ((double)a[k] - (double)b[k]);
    return sqrt(square);
}

static double drmsd_of(int64_t count, const float *x, const float *y, const float *mask)
{
    double sum = 0, pairs = 0;
    for (int64_t i = 0; i < count; i++)
        for (int64_t j = 0; j < i; j++) {
            if (mask[i] <= 0 || mask[j] <= 0)
                continue;
            double off = distance(x + 3 * i, x + 3 * j) - distance(y + 3 * i, y + 3 * j);
            sum += off * off, pairs++;
        }
    return pairs > 0 ? sqrt(sum / pairs) : (double)NAN;
}

static double mean_lddt(int64_t count, const float *x, const float *y, const float *mask)
{
    double *lddt = malloc((size_t)count * sizeof *lddt), sum = 0, known = 0;
    ASSERT(lddt);
    lddt_ca(count, x, y, mask, lddt);
    for (int64_t i = 0; i < count; i++)
        sum += (double)mask[i] * lddt[i], known += (double)mask[i];
    free(lddt);
    return known > 0 ? sum / known : (double)NAN;
}

static void centre_of(int64_t count, const float *x, const float *mask, double *centre)
{
    double known = 0;
    memset(centre, 0, 3 * sizeof *centre);
    for (int64_t i = 0; i < count; i++)
        for (int k = 0; k < 3; k++)
            centre[k] += (double)mask[i] * (double)x[3 * i + k],
                known += k == 0 ? (double)mask[i] : 0;
    for (int k = 0; k < 3; k++)
        centre[k] /= known;
}

/* The eigenvector of the largest eigenvalue of a symmetric 4 x 4 matrix, by Jacobi's rotations. */
static void largest_eigenvector(double a[4][4], double *vector)
{
    double v[4][4] = {{1, 0, 0, 0}, {0, 1, 0, 0}, {0, 0, 1, 0}, {0, 0, 0, 1}};
    for (int sweep = 0; sweep < 50; sweep++)
        for (int p = 0; p < 3; p++)
            for (int q = p + 1; q < 4; q++) {
                if (fabs(a[p][q]) < 1e-300)
                    continue;
                double theta = (a[q][q] - a[p][p]) / (2 * a[p][q]);
                double t = (theta < 0 ? -1 : 1) / (fabs(theta) + sqrt(theta * theta + 1));
                double c = 1 / sqrt(t * t + 1), s = t * c;
                for (int k = 0; k < 4; k++) {
                    double x = a[k][p], y = a[k][q];
                    a[k][p] = c * x - s * y, a[k][q] = s * x + c * y;
                }
                for (int k = 0; k < 4; k++) {
                    double x = a[p][k], y = a[q][k], e = v[k][p], f = v[k][q];
                    a[p][k] = c * x - s * y, a[q][k] = s * x + c * y;
                    v[k][p] = c * e - s * f, v[k][q] = s * e + c * f;
                }
            }
    int best = 0;
    for (int k = 1; k < 4; k++)
        best = a[k][k] > a[best][best] ? k : best;
    for (int k = 0; k < 4; k++)
        vector[k] = v[k][best];
}

/* The rotation that lays x on y best (Horn 1987), both seen from their centres. */
static void superpose(int64_t count, const float *x, const float *y, const float *mask,
                      const double *from, const double *to, double turn[3][3])
{
    double m[3][3] = {{0}}, q[4];
    for (int64_t i = 0; i < count; i++)
        for (int a = 0; a < 3; a++)
            for (int b = 0; b < 3; b++)
                m[a][b] += (double)mask[i] * ((double)x[3 * i + a] - from[a]) *
                           ((double)y[3 * i + b] - to[b]);
    double n[4][4] = {
        {m[0][0] + m[1][1] + m[2][2], m[1][2] - m[2][1], m[2][0] - m[0][2], m[0][1] - m[1][0]},
        {m[1][2] - m[2][1], m[0][0] - m[1][1] - m[2][2], m[0][1] + m[1][0], m[2][0] + m[0][2]},
        {m[2][0] - m[0][2], m[0][1] + m[1][0], m[1][1] - m[0][0] - m[2][2], m[1][2] + m[2][1]},
        {m[0][1] - m[1][0], m[2][0] + m[0][2], m[1][2] + m[2][1], m[2][2] - m[0][0] - m[1][1]}};
    largest_eigenvector(n, q);
    double w = q[0], a = q[1], b = q[2], c = q[3];
    double r[3][3] = {{w * w + a * a - b * b - c * c, 2 * (a * b - w * c), 2 * (a * c + w * b)},
                      {2 * (a * b + w * c), w * w - a * a + b * b - c * c, 2 * (b * c - w * a)},
                      {2 * (a * c - w * b), 2 * (b * c + w * a), w * w - a * a - b * b + c * c}};
    memcpy(turn, r, sizeof r);
}

bool fold_superpose(int64_t count, const float *x, const float *y, const float *mask,
                    float *moved)
{
    double from[3], to[3], turn[3][3], known = 0;
    for (int64_t i = 0; i < count; i++)
        known += (double)mask[i];
    if (known <= 0)
        return false;
    centre_of(count, x, mask, from), centre_of(count, y, mask, to);
    superpose(count, x, y, mask, from, to, turn);
    for (int64_t i = 0; i < count; i++)
        for (int a = 0; a < 3; a++) {
            double place = to[a];
            for (int b = 0; b < 3; b++)
                place += turn[a][b] * ((double)x[3 * i + b] - from[b]);
            moved[3 * i + a] = (float)place;
        }
    return true;
}

static double gdt_ts_of(int64_t count, const float *x, const float *y, const float *mask)
{
    const double cutoffs[4] = {1, 2, 4, 8};
    double known = 0, sum = 0;
    float *moved = malloc((size_t)count * 3 * sizeof *moved);
    ASSERT(moved);
    bool any = fold_superpose(count, x, y, mask, moved);
    for (int64_t i = 0; i < count && any; i++) {
        double off = distance(moved + 3 * i, y + 3 * i);
        known += (double)mask[i];
        for (int k = 0; k < 4; k++)
            sum += off < cutoffs[k] ? 0.25 * (double)mask[i] : 0;
    }
    free(moved);
    return any ? sum / known : (double)NAN;
}

struct fold_score fold_score(int64_t count, const float *predicted, const float *truth,
                             const float *mask)
{
    return (struct fold_score){.lddt = mean_lddt(count, predicted, truth, mask),
                               .drmsd = drmsd_of(count, predicted, truth, mask),
                               .gdt_ts = gdt_ts_of(count, predicted, truth, mask)};
}

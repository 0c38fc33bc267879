/* Targets and weights of losses; see targets.h. */
#include "kernels/net/targets.h"

#include <math.h>

/* Half a turn changes nothing at the last chi of ASP, GLU, PHE and TYR (AF2 suppl. 1.9.1). */
static bool chi_is_symmetric(int32_t aatype, int k)
{
    enum { ASP = 3, GLU = 6, PHE = 13, TYR = 18 };
    return k == 2 ? aatype == GLU : k == 1 && (aatype == ASP || aatype == PHE || aatype == TYR);
}

static double sum_of(int64_t count, const float *x)
{
    double sum = 0;
    for (int64_t i = 0; i < count; i++)
        sum += (double)x[i];
    return sum;
}

static double squared_distance(const float *a, const float *b)
{
    double square = 0;
    for (int k = 0; k < 3; k++)
        square += ((double)a[k] - (double)b[k]) * ((double)a[k] - (double)b[k]);
    return square;
}

bool resolution_counts(double resolution)
{
    return resolution >= (double)0.1f && resolution <= 3.0;
}

void distogram_targets(int64_t length, const float *xyz, const float *mask, int32_t *bin,
                       float *weight)
{
    const double first = 2.3125, last = 21.6875;
    double sum = sum_of(length, mask), edge[DISTOGRAM_BINS - 1];
    for (int b = 0; b < DISTOGRAM_BINS - 1; b++) { /* squared, in float as the reference has them */
        float e = (float)(first + (last - first) * b / (DISTOGRAM_BINS - 2));
        edge[b] = (double)(e * e);
    }
    double norm = 1 / (1e-6 + sum * sum);
    for (int64_t i = 0; i < length; i++)
        for (int64_t j = 0; j < length; j++) {
            double square = squared_distance(xyz + 3 * i, xyz + 3 * j);
            int32_t b = 0;
            while (b < DISTOGRAM_BINS - 1 && square > edge[b])
                b++;
            bin[i * length + j] = b;
            weight[i * length + j] = (float)((double)(mask[i] * mask[j]) * norm);
        }
}

void masked_msa_weights(int64_t count, const float *mask, float *weight)
{
    double sum = sum_of(count, mask);
    for (int64_t i = 0; i < count; i++)
        weight[i] = (float)((double)mask[i] / (1e-8 + sum));
}

void lddt_ca(int64_t length, const float *predicted, const float *truth, const float *mask,
             double *lddt)
{
    const double eps = 1e-10, cutoff = 15, steps[4] = {0.5, 1, 2, 4};
    for (int64_t i = 0; i < length; i++) {
        double scored = 0, score = 0;
        for (int64_t j = 0; j < length; j++) {
            double real = sqrt(eps + squared_distance(truth + 3 * i, truth + 3 * j));
            double both = (double)(mask[i] * mask[j]);
            if (i == j || real >= cutoff || both == 0)
                continue;
            double off = fabs(real - sqrt(eps + squared_distance(predicted + 3 * i,
                                                                 predicted + 3 * j)));
            scored += both;
            for (int k = 0; k < 4; k++)
                score += off < steps[k] ? 0.25 * both : 0;
        }
        lddt[i] = 1 / (eps + scored) * (eps + score); /* rounded as the reference: bins are cut */
    }
}

void plddt_targets(int64_t length, const double *lddt, const float *mask, double resolution,
                   int32_t *bin, float *weight)
{
    enum { BINS = 50 };
    double norm = resolution_counts(resolution) ? 1 / (1e-10 + sum_of(length, mask)) : 0;
    for (int64_t i = 0; i < length; i++) {
        int32_t b = (int32_t)floor(lddt[i] * BINS);
        bin[i] = b < BINS ? b : BINS - 1;
        weight[i] = (float)((double)mask[i] * norm);
    }
}

void resolved_weights(int64_t count, const float *exists, double resolution, float *weight)
{
    double norm = resolution_counts(resolution) ? 1 / (1e-8 + sum_of(count, exists)) : 0;
    for (int64_t i = 0; i < count; i++)
        weight[i] = (float)((double)exists[i] * norm);
}

/* Place `to` in frame i. */
static void local(const float *rot, const float *trans, int64_t i, const float *to, double *y)
{
    for (int a = 0; a < 3; a++) {
        y[a] = 0;
        for (int k = 0; k < 3; k++)
            y[a] += (double)rot[9 * i + 3 * k + a] * ((double)to[k] - (double)trans[3 * i + k]);
    }
}

void aligned_error_targets(int64_t length, const float *rot, const float *trans,
                           const float *true_rot, const float *true_trans, const float *mask,
                           double resolution, int32_t *bin, float *weight)
{
    enum { BINS = 64, FARTHEST = 31 };
    double sum = sum_of(length, mask);
    double norm = resolution_counts(resolution) ? 1 / (1e-8 + sum * sum / 2) / 2 : 0;
    for (int64_t i = 0; i < length; i++)
        for (int64_t j = 0; j < length; j++) {
            double x[3], y[3], square = 0;
            local(rot, trans, i, trans + 3 * j, x);
            local(true_rot, true_trans, i, true_trans + 3 * j, y);
            for (int k = 0; k < 3; k++)
                square += (x[k] - y[k]) * (x[k] - y[k]);
            int32_t b = 0;
            for (double edge = 0; b < BINS - 1 && square > edge * edge;)
                edge = (double)FARTHEST * ++b / (BINS - 2);
            bin[i * length + j] = b;
            weight[i * length + j] = (float)((double)(mask[i] * mask[j]) * norm);
        }
}

void chi_targets(int64_t length, int iterations, const int32_t *aatype, const float *truth,
                 const float *mask, const float *seq_mask, float *other, float *chi_weight,
                 float *norm_weight)
{
    enum { CHIS = 4, ANGLES = 7 };
    const double eps = 1e-4;
    double chi = 0.5 / (eps + iterations * sum_of(CHIS * length, mask));
    double norm = 0.01 / (eps + iterations * ANGLES * sum_of(length, seq_mask));
    for (int64_t n = 0; n < length; n++) {
        for (int k = 0; k < CHIS; k++) {
            int64_t at = CHIS * n + k;
            float turn = chi_is_symmetric(aatype[n], k) ? -1 : 1;
            other[2 * at] = turn * truth[2 * at], other[2 * at + 1] = turn * truth[2 * at + 1];
            chi_weight[at] = (float)(chi * (double)mask[at]);
        }
        norm_weight[n] = (float)(norm * (double)seq_mask[n]);
    }
}

void bond_weights(int64_t length, const float *exists, const int32_t *index, float *weight)
{
    enum { SLOTS = 14, N = 0, CA = 1, C = 2 };
    double sum[3] = {0};
    for (int64_t n = 0; n < length; n++) {
        const float *here = exists + n * SLOTS, *next = here + SLOTS;
        bool bond = n + 1 < length && index[n + 1] - index[n] == 1;
        float both = bond ? here[C] * next[N] : 0;
        weight[3 * n] = both;
        weight[3 * n + 1] = bond ? both * here[CA] : 0;
        weight[3 * n + 2] = bond ? both * next[CA] : 0;
        for (int k = 0; k < 3; k++)
            sum[k] += (double)weight[3 * n + k];
    }
    for (int64_t i = 0; i < 3 * length; i++)
        weight[i] = (float)((double)weight[i] / (sum[i % 3] + 1e-6));
}

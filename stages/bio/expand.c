/* Compact crops to float features; see expand.h. */
#include "stages/bio/expand.h"

#include <math.h>
#include <string.h>

enum { SYMBOLS = 23, TABLE = 256 };

float deletion_value(float count)
{
    const float scale = 0.636619772f; /* f32(2 / pi) */
    /* The reference's arctangent is one ulp off at 1 and correctly rounded elsewhere. */
    if (count == 3)
        return 0.49999997f;
    float third = count / 3;
    return (float)atan((double)third) * scale;
}

void expand_target(int length, int used, const uint8_t *aatype, float *target)
{
    memset(target, 0, sizeof *target * (size_t)length * EXPAND_TARGET_FEATURES);
    for (int i = 0; i < used; i++)
        if (aatype[i] < EXPAND_TARGET_FEATURES - 1)
            target[i * EXPAND_TARGET_FEATURES + 1 + aatype[i]] = 1;
}

void expand_msa(const struct expand_clusters *c, float *msa_feat)
{
    float table[TABLE];
    for (int d = 0; d < TABLE; d++)
        table[d] = deletion_value((float)d);
    memset(msa_feat, 0,
           sizeof *msa_feat * (size_t)c->rows * (size_t)c->length * EXPAND_MSA_FEATURES);
    for (int m = 0; m < c->used_rows; m++) {
        /* f32(f32(1e-6 + 1) + n), as section 7.6 rounds it. */
        float own = (float)(1e-6 + 1), denominator = own + (float)c->sizes[m];
        for (int j = 0; j < c->used_length; j++) {
            size_t at = (size_t)m * (size_t)c->length + (size_t)j;
            float *to = msa_feat + at * EXPAND_MSA_FEATURES;
            const int16_t *counts = c->counts + at * SYMBOLS;
            int deletions = c->deletions[at], sum = c->deletion_sum[at];
            if (c->msa[at] < SYMBOLS)
                to[c->msa[at]] = 1;
            to[23] = deletions > 0;
            to[24] = deletions < TABLE ? table[deletions] : deletion_value((float)deletions);
            for (int s = 0; s < SYMBOLS; s++)
                to[25 + s] = counts[s] ? (float)counts[s] / denominator : 0;
            to[48] = sum ? deletion_value((float)sum / denominator) : 0;
        }
    }
}

/* Compact crops to float features; see expand.h. */
#include "stages/bio/expand.h"

#include "stages/bio/msa_sample.h"

#include <math.h>
#include <string.h>

enum { TABLE = 256, PROFILE = 25, MEAN = 48, SMALL = 64 };

float deletion_value(float count)
{
    const float scale = 0.636619772f; /* f32(2 / pi) */
    /* The reference's arctangent is one ulp off at 1 and correctly rounded elsewhere. */
    if (count == 3)
        return 0.49999997f;
    float third = count / 3;
    return (float)atan((double)third) * scale;
}

void expand_target(int64_t length, const uint8_t *aatype, float *target)
{
    for (int64_t i = 0; i < length; i++)
        if (aatype[i] < EXPAND_TARGET_FEATURES - 1)
            target[i * EXPAND_TARGET_FEATURES + 1 + aatype[i]] = 1;
}

/* Values of few deletions, which most are. */
struct value_table {
    float value[TABLE];
};

static void table_fill(struct value_table *table)
{
    for (int d = 0; d < TABLE; d++)
        table->value[d] = deletion_value((float)d);
}

static float table_value(const struct value_table *table, int32_t count)
{
    return count < TABLE ? table->value[count] : deletion_value((float)count);
}

/* What divides the sums of a cluster, and quotients that come up again and again in it. */
struct quotients {
    float denominator;
    float share[SMALL], mean[SMALL]; /* of counts below SMALL; mean: -1 not known yet */
};

static void quotients_open(struct quotients *q, int32_t size)
{
    float own = (float)(1e-6 + 1); /* f32(f32(1e-6 + 1) + n), as section 7.6 rounds it */
    q->denominator = own + (float)size;
    for (int n = 0; n < SMALL; n++) {
        q->share[n] = (float)n / q->denominator;
        q->mean[n] = -1;
    }
}

static float share(const struct quotients *q, uint32_t count)
{
    return count < SMALL ? q->share[count] : (float)count / q->denominator;
}

static float mean_value(struct quotients *q, uint32_t sum)
{
    if (sum >= SMALL)
        return deletion_value((float)sum / q->denominator);
    if (q->mean[sum] < 0)
        q->mean[sum] = deletion_value((float)sum / q->denominator);
    return q->mean[sum];
}

/* The profile and mean deletions of one cell, whose cluster has `rows` rows; false: its codes do
 * not tell them. */
static bool cell_expand(const uint8_t **from, const uint8_t *end, uint32_t rows,
                        struct quotients *q, float *feat)
{
    uint32_t symbol, count;
    if (!compact_get(from, end, &symbol, &count))
        return false;
    if (symbol == COMPACT_DELETIONS) {
        feat[MEAN] = mean_value(q, count);
        if (!compact_get(from, end, &symbol, &count))
            return false;
    }
    for (;;) {
        if (symbol >= MSA_SYMBOLS || count > rows || feat[PROFILE + symbol] > 0)
            return false;
        feat[PROFILE + symbol] = share(q, count);
        rows -= count;
        if (rows == 0)
            return true;
        if (!compact_get(from, end, &symbol, &count))
            return false;
    }
}

enum status expand_msa(const struct compact *compact, int64_t pass, float *msa_feat,
                       struct error *err)
{
    int64_t k = compact_size(compact, 'K'), m_max = compact_size(compact, 'M');
    int64_t length = *compact->seq_length, first = pass * m_max;
    const int32_t *cells = compact->cluster_start + pass * (m_max + 1);
    const int32_t *deletions = compact->deletion_start + pass * (m_max + 1);
    struct value_table table;
    struct quotients q;
    table_fill(&table);
    for (int64_t m = 0; m < compact->msa_rows[pass]; m++) {
        const uint8_t *from = compact->cluster_cells + cells[m];
        const uint8_t *end = compact->cluster_cells + cells[m + 1];
        const uint8_t *msa = compact->msa + (first + m) * k;
        float *row = msa_feat + m * k * EXPAND_MSA_FEATURES;
        uint32_t rows = (uint32_t)compact->cluster_sizes[first + m] + 1;
        bool good = true;
        quotients_open(&q, compact->cluster_sizes[first + m]);
        for (int64_t j = 0; j < length && good; j++) {
            float *feat = row + j * EXPAND_MSA_FEATURES;
            feat[msa[j]] = 1;
            good = cell_expand(&from, end, rows, &q, feat);
        }
        if (!good || from != end)
            return error_set(err, STATUS_INVALID,
                             "the cells of cluster %lld do not tell its rows: "
                             "the sample was damaged, or made by another version of crop",
                             (long long)m);
        for (int32_t d = deletions[m]; d < deletions[m + 1]; d++) {
            float *feat = row + compact->deletion_column[d] * EXPAND_MSA_FEATURES;
            feat[MSA_SYMBOLS] = compact->deletion_count[d] > 0;
            feat[MSA_SYMBOLS + 1] = table_value(&table, compact->deletion_count[d]);
        }
    }
    return STATUS_OK;
}

void expand_extra_deletions(const struct compact *compact, int64_t pass, float *has, float *value)
{
    int64_t k = compact_size(compact, 'K'), e_max = compact_size(compact, 'E');
    const int32_t *start = compact->extra_deletion_start + pass * (e_max + 1);
    struct value_table table;
    table_fill(&table);
    for (int64_t e = 0; e < compact->extra_rows[pass]; e++)
        for (int32_t d = start[e]; d < start[e + 1]; d++) {
            int64_t at = e * k + compact->extra_deletion_column[d];
            has[at] = compact->extra_deletion_count[d] > 0;
            value[at] = table_value(&table, compact->extra_deletion_count[d]);
        }
}

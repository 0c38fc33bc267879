/* One recycling pass of what crop gives, for the tests that look at its rows. */
#ifndef TESTS_STAGES_CROP_PASS_H
#define TESTS_STAGES_CROP_PASS_H

#include "tests/stages/crops.h"
#include "stages/bio/features.h"
#include "stages/learn/view.h"

/* Number of the chain's row that is these symbols; -1: none. */
static inline int row_find(const struct sample *chain, const uint8_t *symbols, uint32_t length)
{
    const struct field *msa = sample_find(chain, "msa");
    for (int64_t n = 0; n < msa->size[0]; n++)
        if (memcmp((const uint8_t *)msa->data + n * length, symbols, length) == 0)
            return (int)n;
    return -1;
}

/* What one pass over a whole chain gives, with every extra row in it: enough to make the clusters
 * again. */
struct pass {
    int32_t m, e, k, m_max, e_max, length;
    const uint8_t *msa, *true_msa, *extra;
    const int32_t *sizes, *deletion_start, *extra_start;
    struct compact compact;
    struct features features;
};

static inline struct pass pass_of(const struct sample *out, int p, struct arena *arena)
{
    struct pass pass;
    struct error err = {0};
    struct compact *c = &pass.compact;
    cr_assert(view_open(out, VIEW_ALONE, c, &err) == STATUS_OK, "%s", err.text);
    cr_assert(features_make(c, p, FEATURES_MSA | FEATURES_EXTRA, arena, &pass.features, &err) ==
                  STATUS_OK,
              "%s", err.text);
    pass.m = c->msa_rows[p];
    pass.e = c->extra_rows[p];
    pass.k = (int32_t)compact_size(c, 'K');
    pass.m_max = (int32_t)compact_size(c, 'M');
    pass.e_max = (int32_t)compact_size(c, 'E');
    pass.length = *c->seq_length;
    pass.msa = c->msa + p * pass.m_max * pass.k;
    pass.true_msa = c->true_msa + p * pass.m_max * pass.k;
    pass.extra = c->extra_msa + p * pass.e_max * pass.k;
    pass.sizes = c->cluster_sizes + p * pass.m_max;
    pass.deletion_start = c->deletion_start + p * (pass.m_max + 1);
    pass.extra_start = c->extra_deletion_start + p * (pass.e_max + 1);
    return pass;
}

#endif

/* The table of the compact form as data, and whether a sample of it can be relied on; see
 * compact.h. */
#include "stages/bio/compact.h"

#include "stages/bio/msa_sample.h"
#include "stages/bio/residue.h"

#define FIELD(name, kind, sizes, optional)                                                         \
    {#name ":" #kind "[" sizes "]" optional, offsetof(struct compact, name)},
#define SCALAR(name, kind, optional) {#name ":" #kind optional, offsetof(struct compact, name)},

const struct compact_field compact_fields[] = {COMPACT_FIELDS(FIELD, SCALAR){NULL, 0}};

static enum status contradiction(const char *what, struct error *err)
{
    return error_set(err, STATUS_INVALID,
                     "a sample whose %s contradicts its sizes: it was damaged, or made by another "
                     "version of crop",
                     what);
}

static bool largest_at_most(const uint8_t *values, int64_t count, uint8_t limit)
{
    uint8_t largest = 0; /* no early end: so the loop is one of vectors */
    for (int64_t i = 0; i < count; i++)
        largest = values[i] > largest ? values[i] : largest;
    return largest <= limit;
}

/* start[lists * size] rises from 0 to at most `entries`. */
static bool start_good(const int32_t *start, int64_t count, int64_t entries)
{
    int32_t before = 0;
    for (int64_t i = 0; i < count; i++) {
        if (start[i] < before || start[i] > entries)
            return false;
        before = start[i];
    }
    return true;
}

static bool deletions_good(const int16_t *column, const int32_t *count, int64_t entries,
                           int64_t length)
{
    bool good = true;
    for (int64_t i = 0; i < entries; i++)
        good &= column[i] >= 0 && column[i] < length && count[i] >= 0;
    return good;
}

static bool rows_good(const int32_t *rows, int64_t passes, int64_t most)
{
    bool good = true;
    for (int64_t p = 0; p < passes; p++)
        good &= rows[p] >= 0 && rows[p] <= most;
    return good;
}

enum status compact_check(const struct compact *c, struct error *err)
{
    int64_t k = compact_size(c, 'K'), m = compact_size(c, 'M'), e = compact_size(c, 'E');
    int64_t t = compact_size(c, 'T'), p = compact_size(c, 'P');
    if (compact_size(c, 'W') != (k + 7) / 8 || compact_size(c, 'S') != m + 1 ||
        compact_size(c, 'U') != e + 1 || k < 1 || m < 1 || p < 1 || k > COMPACT_LENGTH_MAX)
        return contradiction("arrays", err);
    if (*c->seq_length < 0 || *c->seq_length > k)
        return contradiction("seq_length", err);
    if (*c->template_count < 0 || *c->template_count > t)
        return contradiction("template_count", err);
    if (!largest_at_most(c->aatype, k, RESTYPE_X))
        return contradiction("aatype", err);
    if (!largest_at_most(c->template_aatype, t * k, SYMBOL_GAP))
        return contradiction("template_aatype", err);
    if (!rows_good(c->msa_rows, p, m))
        return contradiction("msa_rows", err);
    if (!rows_good(c->extra_rows, p, e))
        return contradiction("extra_rows", err);
    if (!rows_good(c->cluster_sizes, p * m, INT32_MAX - 1))
        return contradiction("cluster_sizes", err);
    if (!largest_at_most(c->msa, p * m * k, MSA_MASK) ||
        !largest_at_most(c->true_msa, p * m * k, MSA_GAP))
        return contradiction("msa", err);
    if (!largest_at_most(c->extra_msa, p * e * k, MSA_GAP))
        return contradiction("extra_msa", err);
    if (!start_good(c->cluster_start, p * (m + 1), compact_size(c, 'C')))
        return contradiction("cluster_start", err);
    if (!start_good(c->deletion_start, p * (m + 1), compact_size(c, 'D')) ||
        !deletions_good(c->deletion_column, c->deletion_count, compact_size(c, 'D'), k))
        return contradiction("deletions", err);
    if (!start_good(c->extra_deletion_start, p * (e + 1), compact_size(c, 'F')) ||
        !deletions_good(c->extra_deletion_column, c->extra_deletion_count, compact_size(c, 'F'), k))
        return contradiction("extra_deletions", err);
    if (!c->all_atom_positions != !c->all_atom_mask || !c->all_atom_mask != !c->resolution ||
        !c->resolution != !c->is_distillation)
        return contradiction("structure", err);
    return STATUS_OK;
}

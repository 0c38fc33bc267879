/* The ways to assign rows to clusters, against counting columns one by one: lengths around every
 * vector's and block's size, ties, rows of gaps, numbers of clusters that fill no tile. */
#include "stages/bio/msa_assign.h"

#include <criterion/criterion.h>
#include <string.h>

static struct arena arena;

static void open(void)
{
    arena_open(&arena, 0);
}

static void close(void)
{
    arena_close(&arena);
}

TestSuite(msa_assign, .init = open, .fini = close, .timeout = 120);

/* What the definition says, column by column. */
static uint32_t nearest(const struct msa_source *source, const struct msa_choice *choice,
                        uint32_t extra)
{
    const uint8_t *row = source->msa + (size_t)choice->extra_row[extra] * source->length;
    uint32_t best = 0, best_score = 0;
    for (uint32_t c = 0; c < choice->clusters; c++) {
        uint32_t score = 0;
        for (uint32_t j = 0; j < source->length; j++) {
            uint8_t symbol = choice->masked[(size_t)c * source->length + j];
            score += symbol == row[j] && symbol != MSA_GAP && symbol != MSA_MASK;
        }
        if (score > best_score) {
            best_score = score;
            best = c;
        }
    }
    return best;
}

/* How alike rows are. */
enum likeness {
    RANDOM,   /* few equal columns, so many ties */
    FAMILIES, /* copies of a cluster with changes */
    EQUAL,    /* all rows and clusters the same: the first wins */
    GAPS,     /* all rows gaps only */
    ENDS,     /* equal at both ends alone: what lies beyond the last column must not count */
};

static void row_fill(struct rng *rng, enum likeness likeness, const uint8_t *parent, uint8_t *row,
                     uint32_t length)
{
    for (uint32_t j = 0; j < length; j++) {
        uint8_t any = (uint8_t)rng_below(rng, MSA_GAP + 1);
        bool edge = j == 0 || j + 1 == length;
        switch (likeness) {
        case RANDOM:
            row[j] = any;
            break;
        case FAMILIES:
            row[j] = rng_below(rng, 3) ? parent[j] : any;
            break;
        case EQUAL:
            row[j] = (uint8_t)(j % 20);
            break;
        case GAPS:
            row[j] = MSA_GAP;
            break;
        case ENDS:
            row[j] = edge && rng_below(rng, 2) ? 0 : any % 2 ? 20 : MSA_GAP;
            break;
        }
    }
}

static void check(uint32_t clusters, uint32_t extra, uint32_t length, enum likeness likeness)
{
    static const char *const names[] = {"plain", "AVX2", "AVX-512"};
    struct arena_mark mark = arena_mark(&arena);
    struct rng rng = rng_open(5, likeness, length, "assign", clusters * 1000 + extra);
    uint32_t rows = clusters + extra, *order = arena_alloc(&arena, rows * sizeof *order);
    uint8_t *msa = arena_alloc(&arena, (size_t)rows * length);
    uint8_t *masked = arena_alloc(&arena, (size_t)clusters * length);
    for (uint32_t r = 0; r < rows; r++) {
        const uint8_t *parent = msa + (size_t)(r ? rng_below(&rng, r) : 0) * length;
        row_fill(&rng, r ? likeness : RANDOM, parent, msa + (size_t)r * length, length);
        order[r] = r;
    }
    if (likeness == EQUAL)
        memcpy(msa, msa + (size_t)(rows - 1) * length, length);
    memcpy(masked, msa, (size_t)clusters * length);
    for (size_t i = 0; likeness != EQUAL && i < (size_t)clusters * length; i++)
        if (rng_below(&rng, 100) < 15)
            masked[i] = rng_below(&rng, 10) < 7 ? MSA_MASK : (uint8_t)rng_below(&rng, MSA_GAP + 1);
    for (uint32_t e = extra; e > 1; e--) { /* rows in any order, as a pass has them */
        uint32_t other = clusters + rng_below(&rng, e), last = clusters + e - 1, kept = order[last];
        order[last] = order[other];
        order[other] = kept;
    }
    struct msa_source source = {.rows = rows, .length = length, .msa = msa};
    struct msa_choice choice = {.clusters = clusters,
                                .extra = extra,
                                .cluster_row = order,
                                .extra_row = order + clusters,
                                .masked = masked};
    for (int way = MSA_ASSIGN_PLAIN; way <= MSA_ASSIGN_AVX512; way++) {
        uint32_t *assignment = arena_alloc(&arena, ((size_t)extra + 1) * sizeof *assignment);
        memset(assignment, 0x77, ((size_t)extra + 1) * sizeof *assignment);
        if (!msa_assign_by((enum msa_assign_way)way, &source, &choice, &arena, assignment))
            continue; /* the processor cannot: plain can always, see below */
        for (uint32_t e = 0; e < extra; e++) {
            uint32_t want = nearest(&source, &choice, e);
            cr_assert(assignment[e] == want,
                      "%s: row %u of %u, %u clusters, %u columns, likeness %d: %u, not %u",
                      names[way], e, extra, clusters, length, (int)likeness, assignment[e], want);
        }
        cr_assert(assignment[extra] == 0x77777777, "%s writes beyond the rows", names[way]);
    }
    arena_rewind(&arena, mark);
}

Test(msa_assign, all_lengths_up_to_300)
{
    for (uint32_t length = 1; length <= 300; length++)
        for (int likeness = RANDOM; likeness <= ENDS; likeness++)
            check(1 + length % 37, 1 + length * 7 % 45, length, (enum likeness)likeness);
}

Test(msa_assign, numbers_of_clusters_and_rows_around_tiles_and_blocks)
{
    static const uint32_t clusters[] = {1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 128, 130};
    static const uint32_t extra[] = {1, 7, 8, 9, 31, 32, 33, 64, 65};
    for (size_t c = 0; c < sizeof clusters / sizeof *clusters; c++)
        for (size_t e = 0; e < sizeof extra / sizeof *extra; e++)
            for (int likeness = RANDOM; likeness <= ENDS; likeness++)
                check(clusters[c], extra[e], 65, (enum likeness)likeness);
}

Test(msa_assign, long_rows_overflow_no_byte_counter)
{
    /* 255 vectors of 16 and of 32 bytes, and a little more, all columns equal. */
    static const uint32_t lengths[] = {255 * 16, 255 * 16 + 1, 255 * 32, 255 * 32 + 33, 20000};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        check(3, 5, lengths[i], EQUAL);
        check(5, 9, lengths[i], FAMILIES);
    }
}

Test(msa_assign, no_rows_and_the_plain_way_is_always_there)
{
    static const uint8_t row[3] = {1, 2, 3};
    static const uint32_t order[1] = {0};
    struct msa_source source = {.rows = 1, .length = 3, .msa = row};
    struct msa_choice choice = {.clusters = 1, .cluster_row = order, .masked = row};
    cr_assert(msa_assign_by(MSA_ASSIGN_PLAIN, &source, &choice, &arena, NULL));
    msa_assign(&source, &choice, &arena, NULL);
    cr_assert(arena.used_bytes == 0, "scratch memory is given back");
}

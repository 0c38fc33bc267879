/* Groups and the held-out split: identity against a slow table, no leak between the splits, and no
 * dependence on the order of the list. */
#include "stages/bio/cluster.h"
#include "stages/bio/identity.h"

#include "engine/base/rng.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

enum { CHAINS = 120, LENGTH = 90 };

/* The textbook table. */
static int slow_common(const char *a, int n, const char *b, int m)
{
    static int table[200][200];
    for (int i = 0; i <= n; i++)
        for (int j = 0; j <= m; j++) {
            if (i == 0 || j == 0)
                table[i][j] = 0;
            else if (a[i - 1] == b[j - 1])
                table[i][j] = table[i - 1][j - 1] + 1;
            else
                table[i][j] = table[i - 1][j] > table[i][j - 1] ? table[i - 1][j] : table[i][j - 1];
        }
    return table[n][m];
}

Test(cluster, common_subsequence_is_that_of_the_table)
{
    static uint64_t scratch[257 * 4];
    struct rng rng = rng_open(1, 0, 0, "cluster", 0);
    for (int run = 0; run < 500; run++) {
        char a[200], b[200];
        int n = (int)rng_below(&rng, 190), m = (int)rng_below(&rng, 190);
        for (int i = 0; i < n; i++)
            a[i] = (char)('A' + rng_below(&rng, 4));
        for (int i = 0; i < m; i++)
            b[i] = (char)('A' + rng_below(&rng, 5));
        int64_t fast =
            common_subsequence((struct span){a, (size_t)n}, (struct span){b, (size_t)m}, scratch);
        cr_assert(fast == slow_common(a, n, b, m), "%d and %d letters", n, m);
    }
}

static struct cluster_chain chains[CHAINS], turned[CHAINS];
static char texts[CHAINS][3][LENGTH + 1];

/* Families of mutants, some with a twin in the same entry. */
static void chains_make(void)
{
    struct rng rng = rng_open(2, 0, 0, "cluster", 0);
    char parent[LENGTH + 1] = "";
    for (int c = 0; c < CHAINS; c++) {
        if (c % 6 == 0)
            for (int i = 0; i < LENGTH; i++)
                parent[i] = "ACDEFGHIKLMNPQRSTVWY"[rng_below(&rng, 20)];
        memcpy(texts[c][2], parent, sizeof parent);
        for (uint32_t m = rng_below(&rng, 14); m > 0; m--)
            texts[c][2][rng_below(&rng, LENGTH)] = "ACDEFGHIKLMNPQRSTVWY"[rng_below(&rng, 20)];
        snprintf(texts[c][0], LENGTH, "e%03d_%c", c / 2, c % 2 ? 'B' : 'A');
        snprintf(texts[c][1], LENGTH, "e%03d", c / 2);
        chains[c] = (struct cluster_chain){span_of(texts[c][0]), span_of(texts[c][1]),
                                           span_of(texts[c][2])};
    }
}

Test(cluster, held_out_chains_share_nothing_with_training_chains)
{
    static uint64_t scratch[257 * 4];
    struct arena arena;
    int32_t group[CHAINS];
    bool held_out[CHAINS];
    int count = 0;
    arena_open(&arena, 0);
    chains_make();
    cluster_groups(chains, CHAINS, 0.9, &arena, group);
    cluster_split(chains, CHAINS, group, 0.1, &arena, held_out);
    for (int i = 0; i < CHAINS; i++) {
        count += held_out[i];
        for (int j = 0; j < CHAINS; j++) {
            if (held_out[i] == held_out[j])
                continue;
            cr_assert(!span_equal(chains[i].entry, chains[j].entry));
            cr_assert((double)common_subsequence(chains[i].sequence, chains[j].sequence, scratch) <=
                      0.9 * LENGTH);
        }
    }
    cr_assert(count >= 6 && count <= 12, "%d of %d held out", count, CHAINS);
    arena_close(&arena);
}

Test(cluster, the_split_does_not_depend_on_the_order_of_the_list)
{
    struct arena arena;
    int32_t group[CHAINS], group_turned[CHAINS];
    bool held_out[CHAINS], held_out_turned[CHAINS];
    arena_open(&arena, 0);
    chains_make();
    for (int i = 0; i < CHAINS; i++)
        turned[i] = chains[(i * 7 + 3) % CHAINS];
    cluster_groups(chains, CHAINS, 0.9, &arena, group);
    cluster_groups(turned, CHAINS, 0.9, &arena, group_turned);
    cluster_split(chains, CHAINS, group, 0.1, &arena, held_out);
    cluster_split(turned, CHAINS, group_turned, 0.1, &arena, held_out_turned);
    for (int i = 0; i < CHAINS; i++) {
        cr_assert(group_turned[i] == group[(i * 7 + 3) % CHAINS]);
        cr_assert(held_out_turned[i] == held_out[(i * 7 + 3) % CHAINS]);
    }
    arena_close(&arena);
}

static double identity(const char *a, const char *b)
{
    struct arena arena;
    arena_open(&arena, 0);
    double forth = sequence_identity(span_of(a), span_of(b), &arena);
    double back = sequence_identity(span_of(b), span_of(a), &arena);
    arena_close(&arena);
    cr_assert(forth == back, "%s %s", a, b);
    return forth;
}

Test(cluster, identity_by_hand)
{
    cr_assert(identity("ACDEFGHIKL", "ACDEFGHIKL") == 1);
    cr_assert(identity("ACDEFGHIKL", "ACDEWGHIKL") == 0.9);
    cr_assert(identity("ACDEFGHIKL", "CDEFGHIKLMNPQ") == 0.9, "gaps at the ends are free");
    cr_assert(identity("", "ACD") == 0 && identity("ACD", "WWW") == 0);
    /* A loop that one of them lacks: 5 for the gap, 10 equal pairs on each side. */
    cr_assert(identity("ACDEFGHIKLMNPQRSTVWY", "ACDEFGHIKLGGGGGGGGGGGGGGMNPQRSTVWY") == 1);
    /* Four pairs are not worth a gap. */
    cr_assert(identity("ACDEFGHIKLWWWW", "ACDEFGHIKLGGGGGGWWWW") == 10.0 / 14);
    cr_assert(identity("ACDEFGHIKLWWWWWWW", "ACDEFGHIKLGGGGGGWWWWWWW") == 1);
    /* A peptide is no piece of a protein that merely holds its letters one by one. */
    cr_assert(identity("ACDEFGH", "AGGGCGGGDGGGEGGGFGGGGGGGH") < 0.5);
}

Test(cluster, peptides_do_not_join_proteins)
{
    static char one[301], other[301], peptide[13];
    struct rng rng = rng_open(3, 0, 0, "cluster", 0);
    for (int i = 0; i < 300; i++) {
        one[i] = "ACDEFGHIKLMNPQRSTVWY"[rng_below(&rng, 20)];
        other[i] = "ACDEFGHIKLMNPQRSTVWY"[rng_below(&rng, 20)];
    }
    memcpy(peptide, "AWCDEFGHIKLM", 13);
    const struct cluster_chain three[3] = {
        {SPAN("1aaa_A"), SPAN("1aaa"), span_of(one)},
        {SPAN("1bbb_A"), SPAN("1bbb"), span_of(other)},
        {SPAN("1ccc_A"), SPAN("1ccc"), span_of(peptide)},
    };
    static uint64_t scratch[257 * 5];
    cr_assert(common_subsequence(three[0].sequence, three[2].sequence, scratch) > 10 &&
                  common_subsequence(three[1].sequence, three[2].sequence, scratch) > 10,
              "each holds the peptide letter by letter");
    struct arena arena;
    int32_t group[3];
    arena_open(&arena, 0);
    cluster_groups(three, 3, 0.9, &arena, group);
    cr_assert(group[0] == 0 && group[1] == 1 && group[2] == 2, "%d %d %d", group[0], group[1],
              group[2]);
    arena_close(&arena);
}

Test(cluster, long_lists_are_grouped_by_their_words, .timeout = 60)
{
    enum { MANY = CLUSTER_ALL_PAIRS_MAX + 200, SHORT = 60 };
    static char letters[MANY][SHORT + 1], keys[MANY][8];
    static struct cluster_chain many[MANY];
    static int32_t group[MANY];
    static uint64_t scratch[257 * 2];
    struct rng rng = rng_open(4, 0, 0, "cluster", 0);
    struct arena arena;
    arena_open(&arena, 0);
    for (int c = 0; c < MANY; c++) {
        if (c % 8 == 0)
            for (int i = 0; i < SHORT; i++)
                letters[c][i] = "ACDEFGHIKLMNPQRSTVWY"[rng_below(&rng, 20)];
        else
            memcpy(letters[c], letters[c - c % 8], SHORT);
        for (uint32_t m = rng_below(&rng, 9); m > 0; m--)
            letters[c][rng_below(&rng, SHORT)] = "ACDEFGHIKLMNPQRSTVWY"[rng_below(&rng, 20)];
        snprintf(keys[c], sizeof keys[c], "k%d", c);
        many[c] = (struct cluster_chain){span_of(keys[c]), span_of(keys[c]), span_of(letters[c])};
    }
    cluster_groups(many, MANY, 0.9, &arena, group);
    int together = 0;
    for (int i = 0; i < MANY; i++)
        for (int j = 0; j < i; j++) {
            bool near = (double)common_subsequence(many[i].sequence, many[j].sequence, scratch) >
                            0.9 * SHORT &&
                        sequence_identity(many[i].sequence, many[j].sequence, &arena) > 0.9;
            cr_assert(!near || group[i] == group[j], "%s and %s", keys[i], keys[j]);
            cr_assert(group[i] != group[j] || i / 8 == j / 8, "families stay apart");
            together += near;
        }
    cr_assert(together > 300, "%d", together);
    arena_close(&arena);
}

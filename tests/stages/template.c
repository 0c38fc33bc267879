/* Templates from hits made here: what is read of a result file, filtered, located, mapped and
 * centred, with expected values worked out by hand; and the order of the walk. */
#include "stages/bio/template.h"

#include "stages/bio/date.h"
#include "stages/bio/residue.h"
#include "stages/bio/template_walk.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

static struct arena arena;
static struct error err;

static void begin(void)
{
    arena_open(&arena, 0);
}

static void end(void)
{
    arena_close(&arena);
}

TestSuite(template, .init = begin, .fini = end);

/* A hit of two strings that begin at these residues, counted from 1. */
static const char *block(int number, const char *name, int from, const char *query, int to,
                         const char *hit, double sum_probs)
{
    int query_end = from - 1, hit_end = to - 1, aligned = 0;
    for (int i = 0; query[i]; i++) {
        query_end += query[i] != '-';
        hit_end += hit[i] != '-';
        aligned += query[i] != '-' && hit[i] != '-';
    }
    return arena_printf(&arena,
                        "No %d\n>%s and what follows\nProbab=9.00  E-value=1  Score=5  "
                        "Aligned_cols=%d  Identities=9%%  Similarity=1.3  Sum_probs=%g  "
                        "Template_Neff=1.000\n\nQ chain            %d %s   %d (99)\n"
                        "Q Consensus        %d %s   %d (99)\n\nT %-16s %d %s   %d (99)\n"
                        "T ss_pred          %d %s   %d (99)\n\n",
                        number, name, aligned, sum_probs, from, query, query_end, from, query,
                        query_end, name, to, hit, hit_end, to, hit, hit_end);
}

static struct hhr read_text(const char *text)
{
    struct hhr hhr;
    cr_assert(hhr_read(span_of(text), &arena, &hhr, &err) == STATUS_OK, "%s", err.text);
    return hhr;
}

Test(template, hits_are_read_with_numbers_and_gaps)
{
    struct hhr hhr = read_text(arena_printf(&arena, "Query x\n\n No Hit\n  1 1abc_A\n\n%s%s",
                                            block(1, "1ABC_A", 3, "KL-MV", 11, "K-GMV", 3.5),
                                            block(2, "2xyz_B", 1, "AA", 1, "AA", 1.5)));
    cr_assert(hhr.count == 2);
    const struct hhr_hit *hit = &hhr.hit[0];
    static const int query_at[] = {2, 3, -1, 4, 5}, hit_at[] = {10, -1, 11, 12, 13};
    cr_assert(span_is(hit->name, "1ABC_A and what follows"));
    cr_assert(hit->aligned == 3 && hit->sum_probs == 3.5f && hit->columns == 5);
    cr_assert(strcmp(hit->query, "KL-MV") == 0 && strcmp(hit->hit, "K-GMV") == 0);
    for (int i = 0; i < 5; i++)
        cr_assert(hit->query_at[i] == query_at[i] && hit->hit_at[i] == hit_at[i], "column %d", i);
    cr_assert(read_text("").count == 0 && read_text("no hits at all\n").count == 0);
}

Test(template, broken_result_files_are_refused_by_line)
{
    static const struct {
        const char *text, *word;
    } bad[] = {
        {"No 1\n", "line 2"},
        {"No 1\nname\n", ">NAME"},
        {"No 1\n>a_B\nnothing\n", "Sum_probs="},
        {"No 1\n>a_B\nAligned_cols=1 Sum_probs=x\n", "Sum_probs="},
        {"No 1\n>a_B\nAligned_cols=1 Sum_probs=1\nQ chain             1 AC*   3 (9)\n", "A to Z"},
        {"No 1\n>a_B\nAligned_cols=1 Sum_probs=1\nQ chain             1 ACD   4 (9)\n", "count"},
        {"No 1\n>a_B\nAligned_cols=1 Sum_probs=1\nQ chain             x ACD   3 (9)\n", "START"},
        {"No 1\n>a_B\nAligned_cols=1 Sum_probs=1\nQ chain             0 ACD   2 (9)\n", "START"},
        {"No 1\n>a_B\nAligned_cols=1 Sum_probs=1\nQ chain             1 ACD   3 (9)\n",
         "query has 3 columns, its template 0"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct hhr hhr;
        cr_assert(hhr_read(span_of(bad[i].text), &arena, &hhr, &err) == STATUS_REFUSED, "%s",
                  bad[i].text);
        cr_assert(strstr(err.text, bad[i].word), "%s", err.text);
    }
}

Test(template, names_give_entry_and_chain)
{
    static const struct {
        const char *name, *entry, *chain;
    } names[] = {{"1ABC_A", "1abc", "A"}, {"4v4b_BB.2 x", "4v4b", "BB.2"}, {"abc_A", NULL, NULL},
                 {"1abcA", NULL, NULL},   {"1abc_", NULL, NULL},           {"", NULL, NULL}};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct hhr_hit hit = {.name = span_of(names[i].name)};
        char entry[TEMPLATE_ENTRY_BYTES + 1];
        struct span chain;
        bool good = template_name(&hit, entry, &chain, &err) == STATUS_OK;
        cr_assert(good == (names[i].entry != NULL), "%s", names[i].name);
        if (good)
            cr_assert(strcmp(entry, names[i].entry) == 0 && span_is(chain, names[i].chain));
    }
}

/* The status of the filter for a hit on this query; the reason stands in err. */
static enum status worth(const char *query, int from, const char *row, const char *hit)
{
    struct hhr hhr = read_text(block(1, "1abc_A", from, row, 1, hit, 1));
    return template_worthwhile(&hhr.hit[0], span_of(query), &err);
}

Test(template, the_filter_drops_what_is_too_little_too_short_or_the_query)
{
    const char *query = "ACDEFGHIKLMNPQRSTVWY"; /* 20 residues */
    cr_assert(worth(query, 1, "ACDEFGHIKL", "ACDEFGHIKM") == STATUS_OK);
    cr_assert(worth(query, 1, "ACDEFGHIK", "ACDEFGHIM") == STATUS_REFUSED &&
                  strstr(err.text, "9 residues"),
              "%s", err.text);
    cr_assert(worth(query, 1, "AC--------", "ACDEFGHIKL") == STATUS_REFUSED &&
                  strstr(err.text, "2 of 20"),
              "a tenth is too little: %s", err.text);
    cr_assert(worth(query, 1, "ACD-------", "ACDEFGHIKL") == STATUS_OK, "%s", err.text);
    cr_assert(worth(query, 1, query, query) == STATUS_REFUSED && strstr(err.text, "itself"));
    cr_assert(worth(query, 1, "ACDEFGHIKLMNPQRSTVWY", "ACDEFGHIKLMNPQRSTVW-") == STATUS_OK,
              "19 of 20 residues are 95 %%, which is allowed");
    cr_assert(worth(query, 1, query, "ACDEFGHIKLMNPQRSTVWW") == STATUS_OK, "not a piece of it");
}

Test(template, hits_are_taken_by_sum_probs_and_equal_ones_as_they_stand)
{
    struct hhr_hit hits[5] = {
        {.sum_probs = 1}, {.sum_probs = 3}, {.sum_probs = 2}, {.sum_probs = 3}, {.sum_probs = 1}};
    const struct hhr_hit *row[5] = {&hits[0], &hits[1], &hits[2], &hits[3], &hits[4]};
    static const int wanted[] = {1, 3, 2, 0, 4};
    int order[5];
    template_order(row, 5, order);
    cr_assert(memcmp(order, wanted, sizeof order) == 0);
}

/* A chain with N, CA, C on a line: residue i lies at 4 i, 4 i + 1, 4 i + 2. */
static struct structure_chain chain_of(const char *name, const char *sequence)
{
    int length = (int)strlen(sequence);
    float *xyz = arena_zero(&arena, (size_t)length * ATOM37 * 3, sizeof *xyz);
    uint8_t *mask = arena_zero(&arena, (size_t)length * ATOM37, 1);
    for (int i = 0; i < length; i++)
        for (int atom = 0; atom < 3; atom++) {
            mask[i * ATOM37 + atom] = 1;
            xyz[(i * ATOM37 + atom) * 3] = (float)(4 * i + atom);
        }
    return (struct structure_chain){.name = span_of(name),
                                    .length = length,
                                    .resolved = length,
                                    .sequence = sequence,
                                    .positions = xyz,
                                    .mask = mask};
}

static enum status make(const char *query, const char *hits, const struct structure *structure,
                        struct template_wish wish, struct template_features *features)
{
    struct hhr hhr = read_text(hits);
    wish.query = span_of(query);
    if (wish.chain.size == 0)
        wish.chain = SPAN("A");
    return template_make(&hhr.hit[0], structure, &wish, &arena, features, &err);
}

Test(template, residues_get_the_coordinates_of_their_partners)
{
    /* Query 3..5 of ..KLM.., template KLV: residue 2 gets template residue 0, and so on. The chain
     * is GKLV: its residues 1..3. Its centre is the mean of 12 atoms: 4 * 1.5 + 1 = 7. */
    struct structure_chain chain = chain_of("A", "GKLV");
    struct structure structure = {.chain = &chain, .chain_count = 1};
    struct template_features got;
    cr_assert(make("ACKLMAA", block(1, "1abc_A", 3, "KLM", 2, "KLV", 1), &structure,
                   (struct template_wish){0}, &got) == STATUS_OK,
              "%s", err.text);
    cr_assert(strcmp(got.sequence, "--KLV--") == 0 && !got.realigned, "%s", got.sequence);
    for (int i = 0; i < 7; i++)
        for (int atom = 0; atom < ATOM37; atom++) {
            bool there = i >= 2 && i <= 4 && atom < 3;
            cr_assert(got.mask[i * ATOM37 + atom] == there);
            float wanted = there ? (float)(4 * (i - 1) + atom - 7) : 0;
            cr_assert(got.positions[(i * ATOM37 + atom) * 3] == wanted, "%d %d", i, atom);
        }
    /* Gaps: with one in the query the template's residue is skipped, with one in the template the
     * query's stays open. */
    cr_assert(make("ACKLMAA", block(1, "1abc_A", 3, "K-LM", 1, "GKL-", 1), &structure,
                   (struct template_wish){0}, &got) == STATUS_OK,
              "%s", err.text);
    cr_assert(strcmp(got.sequence, "--GL---") == 0, "%s", got.sequence);
}

Test(template, the_string_is_looked_for_in_all_chains_then_loosely)
{
    struct structure_chain chains[] = {chain_of("A", "GGGGGG"), chain_of("B", "AAKLVAA"),
                                       chain_of("C", "KXVKLVW")};
    struct structure structure = {.chain = chains, .chain_count = 3};
    struct template_features got;
    cr_assert(make("KLVE", block(1, "1abc_A", 1, "KLVE", 1, "KLV-", 1), &structure,
                   (struct template_wish){0}, &got) == STATUS_OK,
              "%s", err.text);
    float centre = 4 * 3 + 1; /* of chain B */
    cr_assert(got.positions[0] == 4 * 2 - centre, "residue 2 of chain B, not chain C: %g",
              (double)got.positions[0]);
    cr_assert(make("KLVE", block(1, "1abc_A", 1, "KLVE", 1, "KXVX", 1), &structure,
                   (struct template_wish){0}, &got) == STATUS_OK,
              "%s", err.text);
    cr_assert(strcmp(got.sequence, "KXVX") == 0, "the hit's letters: %s", got.sequence);
    cr_assert(got.positions[0] == 4 * 2 - centre, "X fits anything: KLVA of chain B");
}

static enum status pretend(void *user, struct span first, struct span second, struct arena *memory,
                           struct span *first_row, struct span *second_row, struct error *error)
{
    const char *const *rows = user;
    (void)first, (void)second, (void)memory, (void)error;
    *first_row = span_of(rows[0]);
    *second_row = span_of(rows[1]);
    return STATUS_OK;
}

Test(template, realigned_hits_go_through_the_alignment)
{
    struct structure_chain chain = chain_of("A", "KLVAAGGHW");
    struct structure structure = {.chain = &chain, .chain_count = 1};
    struct template_features got;
    const char *query = "KLVDAAGGHE";
    /* The hit's string has a D that the chain lacks; the rest is the same: 9 of 9. */
    const char *hit = block(1, "1abc_A", 1, "KLVDAAGGHE", 1, "KLVDAAGGHW", 1);
    const char *rows[] = {"KLVDAAGGHW", "KLV-AAGGHW"};
    cr_assert(make(query, hit, &structure, (struct template_wish){0}, &got) == STATUS_REFUSED &&
                  strstr(err.text, "no kalign"),
              "%s", err.text);
    struct template_wish wish = {.aligner = {rows, pretend}};
    cr_assert(make(query, hit, &structure, wish, &got) == STATUS_OK, "%s", err.text);
    cr_assert(strcmp(got.sequence, "KLV-AAGGHW") == 0 && got.realigned, "%s", got.sequence);
    wish.reference = true; /* the residue that was lost gets the template's last one */
    cr_assert(make(query, hit, &structure, wish, &got) == STATUS_OK, "%s", err.text);
    cr_assert(strcmp(got.sequence, "KLVWAAGGHW") == 0, "%s", got.sequence);
    const char *poor[] = {"KLVDAAGGHW-", "--KLVAAGGHW"};
    wish.aligner.user = poor;
    cr_assert(make(query, hit, &structure, wish, &got) == STATUS_REFUSED &&
                  strstr(err.text, "less than 90 %"),
              "%s", err.text);
    const char *lies[] = {"KLVDAAGGHWKKKK", "KLV-AAGGHWKKKK"};
    wish.aligner.user = lies;
    cr_assert(make(query, hit, &structure, wish, &got) == STATUS_REFUSED &&
                  strstr(err.text, "longer"),
              "%s", err.text);
}

Test(template, a_search_with_another_sequence_is_noticed)
{
    struct structure_chain chain = chain_of("A", "KLVAAGGHW");
    struct structure structure = {.chain = &chain, .chain_count = 1};
    struct template_features got;
    const char *hit = block(1, "1abc_A", 1, "DDDD", 1, "KLVA", 1);
    cr_assert(make("AAAAAA", hit, &structure, (struct template_wish){0}, &got) == STATUS_REFUSED &&
                  strstr(err.text, "another sequence"),
              "%s", err.text);
    /* The reference counts from -1: the first pair goes to the last residue. */
    cr_assert(make("AAAAAA", hit, &structure, (struct template_wish){.reference = true}, &got) ==
                  STATUS_OK,
              "%s", err.text);
    cr_assert(strcmp(got.sequence, "LVA--K") == 0, "%s", got.sequence);
}

Test(template, chains_that_are_torn_or_bare_are_refused)
{
    struct structure_chain chain = chain_of("A", "GKLV");
    struct structure structure = {.chain = &chain, .chain_count = 1};
    struct template_features got;
    const char *hit = block(1, "1abc_A", 1, "KL", 2, "KL", 1);
    chain.positions[(2 * ATOM37 + ATOM_CA) * 3 + 1] = 150; /* y; x differs by 4 */
    cr_assert(make("KLAA", hit, &structure, (struct template_wish){0}, &got) == STATUS_REFUSED &&
                  strstr(err.text, "residues 2 and 3"),
              "%s", err.text);
    chain.mask[2 * ATOM37 + ATOM_CA] = 0;
    cr_assert(make("KLAA", hit, &structure, (struct template_wish){0}, &got) == STATUS_OK,
              "a gap in between is no jump: %s", err.text);
    chain.mask[1 * ATOM37 + ATOM_CA] = 0;
    cr_assert(make("KLAA", hit, &structure, (struct template_wish){0}, &got) == STATUS_REFUSED &&
                  strstr(err.text, "4 atoms"),
              "%s", err.text);
    chain.positions = NULL;
    cr_assert(make("KLAA", hit, &structure, (struct template_wish){0}, &got) == STATUS_REFUSED &&
                  strstr(err.text, "no coordinates"),
              "%s", err.text);
}

/* ---- the walk ---- */

static struct structure_chain walk_chain;
static struct structure walk_structure;

static enum status open_any(void *user, const char *entry, const struct structure **structure,
                            struct error *error)
{
    (void)user;
    if (strcmp(entry, "miss") == 0)
        return error_set(error, STATUS_REFUSED, "miss.cif is not there");
    walk_structure.release_date = strcmp(entry, "late") == 0   ? SPAN("2022-01-01")
                                  : strcmp(entry, "none") == 0 ? SPAN("")
                                                               : SPAN("2001-01-01");
    *structure = &walk_structure;
    return STATUS_OK;
}

static const char query_letters[] = "ACDEFGHIKLMNPQRSTVWY";

/* A hit of ten residues that begin at `from`, with this score. */
static const char *ten(int number, const char *name, int from, double score)
{
    const char *text = arena_text(&arena, query_letters + from - 1, 10);
    return block(number, name, from, text, from, text, score);
}

static struct template_list walk(const char *text, struct template_settings settings)
{
    struct template_library library = {.open = open_any};
    struct template_list list;
    struct hhr hhr = read_text(text);
    walk_chain = chain_of("A", query_letters);
    walk_structure = (struct structure){.chain = &walk_chain, .chain_count = 1};
    cr_assert(template_walk(&hhr, SPAN(query_letters), &settings, &library, &arena, &list, &err) ==
                  STATUS_OK,
              "%s", err.text);
    return list;
}

Test(template, the_walk_makes_the_best_and_goes_on_until_enough_differ)
{
    const char *text =
        arena_printf(&arena, "%s%s%s%s%s%s%s", ten(1, "1aaa_A", 1, 5), ten(2, "miss_A", 2, 9),
                     ten(3, "2bbb_A", 1, 8), ten(4, "3ccc_A", 3, 4), ten(5, "4ddd_A", 4, 3),
                     ten(6, "5eee_A", 5, 2), ten(7, "badname", 5, 7));
    /* The best three are miss (9), 2bbb (8), 1aaa (5); the last two are the same string. */
    struct template_list list = walk(text, (struct template_settings){.shuffled = 3, .hits = 3});
    cr_assert(list.count == 4 && list.shuffled == 2 && list.hits == 7, "%d %d", list.count,
              list.shuffled);
    static const char *const names[] = {"2bbb_A", "1aaa_A", "3ccc_A", "4ddd_A"};
    for (int i = 0; i < 4; i++)
        cr_assert(strcmp(list.candidate[i].name, names[i]) == 0, "%d: %s", i,
                  list.candidate[i].name);
    cr_assert(list.refused == 2, "%s", list.report);
    cr_assert(strcmp(list.report, "badname\tits name \"badname and what follows\" is not "
                                  "ENTRY_CHAIN, like 1abc_A\nmiss_A\tmiss.cif is not there\n") == 0,
              "%s", list.report);
    list = walk(text, (struct template_settings){.shuffled = 20, .hits = 1});
    cr_assert(list.count == 5 && list.shuffled == 5, "all of the best are made: %d", list.count);
    list = walk("", (struct template_settings){.shuffled = 20, .hits = 4});
    cr_assert(list.count == 0 && list.shuffled == 0 && list.refused == 0);
}

Test(template, dates_and_the_own_entry_limit_the_walk)
{
    const char *text = arena_printf(&arena, "%s%s%s", ten(1, "1own_A", 1, 5),
                                    ten(2, "late_A", 2, 4), ten(3, "none_A", 3, 3));
    struct template_settings settings = {.shuffled = 20, .hits = 4};
    cr_assert(walk(text, settings).count == 3);
    settings.own_entry = "1own";
    struct template_list list = walk(text, settings);
    cr_assert(list.count == 2 && strstr(list.report, "own entry"), "%s", list.report);
    settings.date_max = SPAN("2021-12-31");
    list = walk(text, settings);
    cr_assert(list.count == 0 && strstr(list.report, "later than 2021-12-31") &&
                  strstr(list.report, "no release date"),
              "%s", list.report);
}

Test(template, days_are_counted_back_through_leap_years)
{
    static const struct {
        const char *date, *before;
        int days;
    } cases[] = {{"2020-03-01", "2020-02-29", 1},   {"2021-03-01", "2021-02-28", 1},
                 {"1900-03-01", "1900-02-28", 1},   {"2000-03-01", "2000-02-29", 1},
                 {"2018-05-14", "2018-03-15", 60},  {"2018-01-15", "2017-11-16", 60},
                 {"2024-12-31", "2023-12-31", 366}, {"0001-01-05", "0001-01-01", 60},
                 {"2020-02-29", "2020-02-29", 0}};
    char result[DATE_BYTES + 1];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        date_before(span_of(cases[i].date), cases[i].days, result);
        cr_assert(strcmp(result, cases[i].before) == 0, "%s - %d: %s", cases[i].date, cases[i].days,
                  result);
    }
    static const char *const bad[] = {"",           "2020-1-01",  "2020-13-01", "2021-02-29",
                                      "2020-04-31", "0000-01-01", "2020/01/01", "2020-01-01x"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        cr_assert(!date_good(span_of(bad[i])), "%s", bad[i]);
    cr_assert(date_good(SPAN("2020-02-29")) && date_good(SPAN("1999-12-31")));
}

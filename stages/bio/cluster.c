/* Groups of chains; see cluster.h. */
#include "stages/bio/cluster.h"

#include "stages/bio/identity.h"

#include "engine/base/error.h"
#include "engine/base/rng.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

enum { WORD = 8 };

int64_t common_subsequence(struct span a, struct span b, uint64_t *scratch)
{
    size_t words = a.size / 64 + 1;
    uint64_t *match = scratch, *row = scratch + 256 * words;
    for (size_t i = 0; i < b.size; i++) /* only letters that b asks for are read */
        memset(match + (unsigned char)b.data[i] * words, 0, words * sizeof *match);
    for (size_t i = 0; i < a.size; i++)
        memset(match + (unsigned char)a.data[i] * words, 0, words * sizeof *match);
    for (size_t i = 0; i < a.size; i++)
        match[(unsigned char)a.data[i] * words + i / 64] |= (uint64_t)1 << (i % 64);
    memset(row, 0xff, words * sizeof *row);
    for (size_t i = 0; i < b.size; i++) {
        const uint64_t *bits = match + (unsigned char)b.data[i] * words;
        uint64_t carry = 0;
        for (size_t w = 0; w < words; w++) {
            uint64_t v = row[w], u = v & bits[w], sum;
            uint64_t over = __builtin_add_overflow(v, u, &sum);
            over |= (uint64_t)__builtin_add_overflow(sum, carry, &sum);
            row[w] = sum | (v - u);
            carry = over;
        }
    }
    int64_t common = 0;
    for (size_t i = 0; i < a.size; i++)
        common += !(row[i / 64] >> (i % 64) & 1);
    return common;
}

static int root_of(int *parent, int i)
{
    while (parent[i] != i) {
        parent[i] = parent[parent[i]];
        i = parent[i];
    }
    return i;
}

static void unite(int *parent, int i, int j)
{
    i = root_of(parent, i);
    j = root_of(parent, j);
    if (i < j)
        parent[j] = i;
    else
        parent[i] = j;
}

static int span_compare(struct span a, struct span b)
{
    size_t size = a.size < b.size ? a.size : b.size;
    int order = size ? memcmp(a.data, b.data, size) : 0;
    return order ? order : (a.size > b.size) - (a.size < b.size);
}

static int by_key(const void *a, const void *b, void *user)
{
    const struct cluster_chain *chains = user;
    return span_compare(chains[*(const int *)a].key, chains[*(const int *)b].key);
}

static int by_entry(const void *a, const void *b, void *user)
{
    const struct cluster_chain *chains = user;
    return span_compare(chains[*(const int *)a].entry, chains[*(const int *)b].entry);
}

static int by_sequence(const void *a, const void *b, void *user)
{
    const struct cluster_chain *chains = user;
    return span_compare(chains[*(const int *)a].sequence, chains[*(const int *)b].sequence);
}

static int *order_of(const struct cluster_chain *chains, int count, struct arena *arena,
                     int (*compare)(const void *, const void *, void *))
{
    int *order = arena_alloc(arena, (size_t)count * sizeof *order);
    for (int i = 0; i < count; i++)
        order[i] = i;
    struct cluster_chain *user;
    memcpy(&user, &chains, sizeof user); /* qsort_r hands it on without const */
    qsort_r(order, (size_t)count, sizeof *order, compare, user);
    return order;
}

struct linker {
    const struct cluster_chain *chains;
    int *parent;
    double identity_max;
    uint64_t *scratch;
    struct arena *arena; /* given back after each comparison */
};

static void compare_pair(struct linker *linker, int i, int j)
{
    if (root_of(linker->parent, i) == root_of(linker->parent, j))
        return;
    struct span a = linker->chains[i].sequence, b = linker->chains[j].sequence;
    size_t shorter = a.size < b.size ? a.size : b.size;
    if (shorter == 0)
        return;
    /* No alignment has more equal pairs than the common subsequence, which is quick to find. */
    if ((double)common_subsequence(a, b, linker->scratch) >
            linker->identity_max * (double)shorter &&
        sequence_identity(a, b, linker->arena) > linker->identity_max)
        unite(linker->parent, i, j);
}

/* A word of eight residues of one of the distinct sequences. */
struct word {
    uint64_t hash;
    int sequence; /* place in the list of distinct sequences */
};

static int by_word(const void *a, const void *b)
{
    const struct word *x = a, *y = b;
    if (x->hash != y->hash)
        return x->hash < y->hash ? -1 : 1;
    return (x->sequence > y->sequence) - (x->sequence < y->sequence);
}

/* The different words of every sequence, by hash and then by sequence. */
static struct word *words_list(const struct linker *linker, const int *distinct, int count,
                               struct arena *arena, size_t *listed)
{
    size_t total = 0, at = 0, kept = 0;
    for (int d = 0; d < count; d++) {
        size_t size = linker->chains[distinct[d]].sequence.size;
        total += size >= WORD ? size - WORD + 1 : 0;
    }
    struct word *words = arena_alloc(arena, total * sizeof *words);
    for (int d = 0; d < count; d++) {
        struct span sequence = linker->chains[distinct[d]].sequence;
        for (size_t i = 0; i + WORD <= sequence.size; i++)
            words[at++] = (struct word){XXH3_64bits(sequence.data + i, WORD), d};
    }
    qsort(words, total, sizeof *words, by_word);
    for (size_t i = 0; i < total; i++)
        if (i == 0 || by_word(&words[i - 1], &words[i]) != 0)
            words[kept++] = words[i];
    *listed = kept;
    return words;
}

/* For each sequence the places in words where the lists of its words begin: start[d] to
 * start[d + 1] - 1 of the result. */
static size_t *lists_of(const struct word *words, size_t listed, int count, struct arena *arena,
                        size_t *start)
{
    size_t *lists = arena_alloc(arena, listed * sizeof *lists);
    size_t *next = arena_zero(arena, (size_t)count + 1, sizeof *next);
    for (size_t w = 0; w < listed; w++)
        next[words[w].sequence + 1]++;
    for (int d = 0; d < count; d++)
        next[d + 1] += next[d];
    memcpy(start, next, ((size_t)count + 1) * sizeof *start);
    for (size_t w = 0, first = 0; w < listed; w++) {
        first = words[w].hash == words[first].hash ? first : w;
        lists[next[words[w].sequence]++] = first;
    }
    return lists;
}

/* Compares pairs that share words: each pair once, and only if at least a tenth of the shorter
 * one's residues, less eight, begin a common word. (Of m residues without gaps, 10 % differing, m /
 * 5 - 7 do; a gap takes 7 away.) */
static void compare_by_words(struct linker *linker, const int *distinct, int count,
                             struct arena *arena)
{
    size_t listed = 0;
    struct word *words = words_list(linker, distinct, count, arena, &listed);
    size_t *start = arena_alloc(arena, ((size_t)count + 1) * sizeof *start);
    size_t *lists = lists_of(words, listed, count, arena, start);
    int *shared = arena_zero(arena, (size_t)count, sizeof *shared);
    int *seen = arena_alloc(arena, (size_t)count * sizeof *seen);
    for (int d = 0; d < count; d++) {
        int others = 0;
        for (size_t l = start[d]; l < start[d + 1]; l++)
            for (size_t w = lists[l]; words[w].sequence < d; w++)
                if (shared[words[w].sequence]++ == 0)
                    seen[others++] = words[w].sequence;
        for (int k = 0; k < others; k++) {
            int i = distinct[d], j = distinct[seen[k]];
            size_t a = linker->chains[i].sequence.size, b = linker->chains[j].sequence.size;
            if (shared[seen[k]] + WORD >= (int)((a < b ? a : b) / 10))
                compare_pair(linker, i, j);
            shared[seen[k]] = 0;
        }
    }
}

void cluster_groups(const struct cluster_chain *chains, int count, double identity_max,
                    struct arena *arena, int32_t *group)
{
    struct arena_mark mark = arena_mark(arena);
    size_t longest = 0;
    for (int i = 0; i < count; i++)
        longest = chains[i].sequence.size > longest ? chains[i].sequence.size : longest;
    struct linker linker = {
        .chains = chains,
        .parent = arena_alloc(arena, (size_t)count * sizeof *linker.parent),
        .identity_max = identity_max,
        .arena = arena,
        .scratch = arena_zero(arena, 257 * (longest / 64 + 1), sizeof *linker.scratch),
    };
    for (int i = 0; i < count; i++)
        linker.parent[i] = i;
    int *entries = order_of(chains, count, arena, by_entry);
    for (int i = 1; i < count; i++)
        if (span_equal(chains[entries[i - 1]].entry, chains[entries[i]].entry))
            unite(linker.parent, entries[i - 1], entries[i]);
    int *sequences = order_of(chains, count, arena, by_sequence), distinct = 0;
    for (int i = 0; i < count; i++) {
        if (distinct &&
            span_equal(chains[sequences[distinct - 1]].sequence, chains[sequences[i]].sequence))
            unite(linker.parent, sequences[distinct - 1], sequences[i]);
        else
            sequences[distinct++] = sequences[i];
    }
    if (distinct <= CLUSTER_ALL_PAIRS_MAX) {
        for (int i = 1; i < distinct; i++)
            for (int j = 0; j < i; j++)
                compare_pair(&linker, sequences[j], sequences[i]);
    } else {
        compare_by_words(&linker, sequences, distinct, arena);
    }
    int *keys = order_of(chains, count, arena, by_key);
    int32_t *number = arena_alloc(arena, (size_t)count * sizeof *number), next = 0;
    for (int i = 0; i < count; i++)
        number[i] = -1;
    for (int i = 0; i < count; i++) {
        int root = root_of(linker.parent, keys[i]);
        if (number[root] < 0)
            number[root] = next++;
        group[keys[i]] = number[root];
    }
    arena_rewind(arena, mark);
}

/* A group as the split sees it. */
struct candidate {
    uint64_t hash;
    int32_t group, size;
};

static int by_hash(const void *a, const void *b)
{
    const struct candidate *x = a, *y = b;
    if (x->hash != y->hash)
        return x->hash < y->hash ? -1 : 1;
    return (x->group > y->group) - (x->group < y->group);
}

void cluster_split(const struct cluster_chain *chains, int count, const int32_t *group,
                   double fraction, struct arena *arena, bool *held_out)
{
    struct arena_mark mark = arena_mark(arena);
    int *keys = order_of(chains, count, arena, by_key);
    struct candidate *candidates = arena_zero(arena, (size_t)count, sizeof *candidates);
    bool *taken = arena_zero(arena, (size_t)count, sizeof *taken);
    int32_t groups = 0, wanted = (int32_t)((double)count * fraction + 0.5), got = 0;
    for (int i = 0; i < count; i++) {
        int32_t g = group[keys[i]];
        struct span key = chains[keys[i]].key;
        if (candidates[g].size++ == 0)
            candidates[g] = (struct candidate){XXH3_64bits(key.data, key.size), g, 1};
        groups = g >= groups ? g + 1 : groups;
    }
    qsort(candidates, (size_t)groups, sizeof *candidates, by_hash);
    for (int32_t c = 0; c < groups; c++)
        if (got + candidates[c].size <= wanted) {
            taken[candidates[c].group] = true;
            got += candidates[c].size;
        }
    for (int i = 0; i < count; i++)
        held_out[i] = taken[group[i]];
    arena_rewind(arena, mark);
}

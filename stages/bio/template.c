/* A hit on a structure; see template.h. */
#include "stages/bio/template.h"

#include "stages/bio/residue.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { UNALIGNED = -1, ATOMS = ATOM37, REALIGN_MIN = 6 };

static const float gap_max = 150; /* Angstrom between CA atoms of neighbours */

static bool is_letter_or_digit(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

enum status template_name(const struct hhr_hit *hit, char entry[TEMPLATE_ENTRY_BYTES + 1],
                          struct span *chain, struct error *err)
{
    struct span name = hit->name;
    size_t size = 0;
    while (size < name.size && is_letter_or_digit(name.data[size]))
        size++;
    bool good = size == TEMPLATE_ENTRY_BYTES && size < name.size && name.data[size] == '_';
    *chain = (struct span){name.data + size + 1, 0};
    while (good && size + 1 + chain->size < name.size &&
           (is_letter_or_digit(chain->data[chain->size]) || chain->data[chain->size] == '.'))
        chain->size++;
    if (!good || chain->size == 0)
        return error_set(err, STATUS_REFUSED, "its name \"%.*s\" is not ENTRY_CHAIN, like 1abc_A",
                         name.size < 40 ? (int)name.size : 40, name.data);
    for (int i = 0; i < TEMPLATE_ENTRY_BYTES; i++) {
        char c = name.data[i];
        entry[i] = (char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
    }
    entry[TEMPLATE_ENTRY_BYTES] = 0;
    return STATUS_OK;
}

/* The template's string without gaps. */
static struct span ungapped(const char *letters, int columns, char *buffer)
{
    size_t size = 0;
    for (int i = 0; i < columns; i++)
        if (letters[i] != '-')
            buffer[size++] = letters[i];
    return (struct span){buffer, size};
}

static int64_t find(struct span text, struct span piece)
{
    const char *at = piece.size ? memmem(text.data, text.size, piece.data, piece.size) : text.data;
    return at ? at - text.data : -1;
}

enum status template_worthwhile(const struct hhr_hit *hit, struct span query, struct error *err)
{
    size_t letters = 0, at = 0, run = 0;
    double length = (double)query.size;
    for (int i = 0; i < hit->columns; i++)
        letters += hit->hit[i] != '-';
    if ((double)hit->aligned / length <= 0.1)
        return error_set(err, STATUS_REFUSED, "it aligns %d of %zu residues", hit->aligned,
                         query.size);
    if ((double)letters / length > 0.95) {
        /* Is its string a piece of the query? Gaps are stepped over. */
        for (; at + letters <= query.size; at++) {
            run = 0;
            for (int i = 0; i < hit->columns; i++) {
                if (hit->hit[i] == '-')
                    continue;
                if (hit->hit[i] != query.data[at + run])
                    break;
                run++;
            }
            if (run == letters)
                return error_set(err, STATUS_REFUSED, "it is the query itself");
        }
    }
    if (letters < TEMPLATE_LENGTH_MIN)
        return error_set(err, STATUS_REFUSED, "it has %zu residues; %d are the least", letters,
                         TEMPLATE_LENGTH_MIN);
    return STATUS_OK;
}

static int order_compare(const void *a, const void *b, void *user)
{
    const struct hhr_hit *const *hit = user;
    int first = *(const int *)a, second = *(const int *)b;
    float left = hit[first]->sum_probs, right = hit[second]->sum_probs;
    return left != right ? (left < right) - (left > right) : (first > second) - (first < second);
}

void template_order(const struct hhr_hit **hit, int count, int *order)
{
    for (int i = 0; i < count; i++)
        order[i] = i;
    qsort_r(order, (size_t)count, sizeof *order, order_compare, hit);
}

/* Where a hit's string lies: which chain, from which residue on, and the letters that its residue
 * numbers mean. */
struct place {
    const struct structure_chain *chain;
    int64_t offset;
    struct span letters;
};

/* The first place where piece fits, X on either side standing for any letter. */
static int64_t find_loosely(struct span text, struct span piece)
{
    for (size_t at = 0; at + piece.size <= text.size; at++) {
        size_t i = 0;
        while (i < piece.size && (piece.data[i] == text.data[at + i] || piece.data[i] == 'X' ||
                                  text.data[at + i] == 'X'))
            i++;
        if (i == piece.size)
            return (int64_t)at;
    }
    return -1;
}

static struct span letters_of(const struct structure_chain *chain)
{
    return (struct span){chain->sequence, (size_t)chain->length};
}

static const struct structure_chain *chain_named(const struct structure *structure,
                                                 struct span name)
{
    for (int c = 0; c < structure->chain_count; c++)
        if (span_equal(structure->chain[c].name, name))
            return &structure->chain[c];
    return NULL;
}

/* Exactly in the chain that is named, exactly in any chain, loosely in any chain. */
static bool locate(const struct structure *structure, struct span name, struct span piece,
                   struct place *place)
{
    const struct structure_chain *named = chain_named(structure, name);
    *place = (struct place){named, named ? find(letters_of(named), piece) : -1, piece};
    for (int c = 0; place->offset < 0 && c < structure->chain_count; c++) {
        place->chain = &structure->chain[c];
        place->offset = find(letters_of(place->chain), piece);
    }
    for (int c = 0; place->offset < 0 && c < structure->chain_count; c++) {
        place->chain = &structure->chain[c];
        place->offset = find_loosely(letters_of(place->chain), piece);
    }
    return place->offset >= 0;
}

/* map[L]: the residue of the template's string that stands at each residue of the query, or
 * UNALIGNED. */
static enum status map_make(const struct hhr_hit *hit, const struct template_wish *wish,
                            size_t template_length, char *buffer, int32_t *map, struct error *err)
{
    int64_t length = (int64_t)wish->query.size, query_least = INT64_MAX, hit_least = INT64_MAX;
    int64_t offset = find(wish->query, ungapped(hit->query, hit->columns, buffer));
    if (offset < 0 && !wish->reference)
        return error_set(err, STATUS_REFUSED,
                         "its query string is not in the chain: was the search made with another "
                         "sequence?");
    for (int64_t i = 0; i < length; i++)
        map[i] = UNALIGNED;
    for (int i = 0; i < hit->columns; i++) {
        if (hit->query_at[i] >= 0 && hit->query_at[i] < query_least)
            query_least = hit->query_at[i];
        if (hit->hit_at[i] >= 0 && hit->hit_at[i] < hit_least)
            hit_least = hit->hit_at[i];
    }
    for (int i = 0; i < hit->columns; i++) {
        if (hit->query_at[i] < 0 || hit->hit_at[i] < 0)
            continue;
        int64_t to = hit->query_at[i] - query_least + offset, from = hit->hit_at[i] - hit_least;
        if (from < (int64_t)template_length && to < length)
            map[to < 0 ? to + length : to] = (int32_t)from;
    }
    return STATUS_OK;
}

/* The hit's string is not in the structure: aligns it with the chain that is named (or the only
 * one), and lets map go through that alignment. */
static enum status realign(const struct structure *structure, const struct template_wish *wish,
                           struct span piece, int32_t *map, struct arena *arena,
                           struct place *place, struct error *err)
{
    struct span old_row, new_row;
    const struct structure_chain *chain = chain_named(structure, wish->chain);
    if (!chain && structure->chain_count == 1)
        chain = &structure->chain[0];
    if (!chain)
        return error_set(err, STATUS_REFUSED,
                         "its string is in no chain, and there is no chain "
                         "%.*s",
                         (int)wish->chain.size, wish->chain.data);
    if (!wish->aligner.align)
        return error_set(err, STATUS_REFUSED,
                         "its string is in no chain of the structure, and "
                         "there is no kalign to align it with chain %.*s",
                         (int)chain->name.size, chain->name.data);
    if (piece.size < REALIGN_MIN || chain->length < REALIGN_MIN)
        return error_set(err, STATUS_REFUSED, "its string is in no chain, and too short to align");
    enum status status = wish->aligner.align(wish->aligner.user, piece, letters_of(chain), arena,
                                             &old_row, &new_row, err);
    if (status != STATUS_OK)
        return status;
    int32_t *moved = arena_try(arena, piece.size, sizeof *moved);
    if (!moved)
        return error_set(err, STATUS_LIMIT, "no memory to align %zu residues", piece.size);
    size_t old_at = 0, new_at = 0, same = 0, columns = old_row.size;
    size_t shorter = piece.size < (size_t)chain->length ? piece.size : (size_t)chain->length;
    if (new_row.size != columns)
        return error_set(err, STATUS_REFUSED, "kalign's rows have %zu and %zu columns", columns,
                         new_row.size);
    for (size_t i = 0; i < piece.size; i++)
        moved[i] = UNALIGNED;
    for (size_t i = 0; i < columns; i++) {
        bool old = old_row.data[i] != '-', new = new_row.data[i] != '-';
        if ((old && old_at >= piece.size) || (new &&new_at >= (size_t)chain->length))
            return error_set(err, STATUS_REFUSED,
                             "kalign's rows are longer than what it was given");
        if (old && new) {
            moved[old_at] = (int32_t)new_at;
            same += old_row.data[i] == new_row.data[i];
        }
        old_at += old;
        new_at += new;
    }
    if ((double)same / (double)shorter < 0.9)
        return error_set(
            err, STATUS_REFUSED,
            "aligned with chain %.*s, %zu of %zu residues are the same: less than 90 %%",
            (int)chain->name.size, chain->name.data, same, shorter);
    for (size_t i = 0; i < wish->query.size; i++) {
        if (map[i] == UNALIGNED)
            continue;
        map[i] = moved[map[i]];
        if (map[i] == UNALIGNED && wish->reference)
            map[i] = chain->length - 1;
    }
    *place = (struct place){chain, 0, letters_of(chain)};
    return STATUS_OK;
}

/* The mean of the chain's atoms, summed one after another in float32 as the reference does. */
static void centre_of(const struct structure_chain *chain, float centre[3])
{
    float sum[3] = {0}, count = 0;
    for (int64_t atom = 0; atom < (int64_t)chain->length * ATOMS; atom++) {
        if (!chain->mask[atom])
            continue;
        for (int axis = 0; axis < 3; axis++)
            sum[axis] += chain->positions[3 * atom + axis];
        count++;
    }
    for (int axis = 0; axis < 3; axis++)
        centre[axis] = count > 0 ? sum[axis] / count : 0;
}

static enum status neighbours_check(const struct structure_chain *chain, const float centre[3],
                                    struct error *err)
{
    for (int i = 1; i < chain->length; i++) {
        int64_t here = (int64_t)i * ATOMS + ATOM_CA, before = here - ATOMS;
        if (!chain->mask[here] || !chain->mask[before])
            continue;
        float square = 0;
        for (int axis = 0; axis < 3; axis++) {
            float there = chain->positions[3 * here + axis] - centre[axis];
            float step = there - (chain->positions[3 * before + axis] - centre[axis]);
            square += step * step;
        }
        if (sqrtf(square) > gap_max)
            return error_set(err, STATUS_REFUSED,
                             "CA atoms of residues %d and %d of its chain are %.0f Angstrom apart",
                             i, i + 1, (double)sqrtf(square));
    }
    return STATUS_OK;
}

/* Coordinates and letters of the residues that the map names. */
static enum status fill(const struct template_wish *wish, const struct place *place,
                        const int32_t *map, struct arena *arena, struct template_features *features,
                        struct error *err)
{
    const struct structure_chain *chain = place->chain;
    size_t length = wish->query.size, atoms = 0;
    float centre[3];
    if (!chain->positions || !chain->mask)
        return error_set(err, STATUS_REFUSED, "its chain has no coordinates");
    centre_of(chain, centre);
    enum status status = neighbours_check(chain, centre, err);
    if (status != STATUS_OK)
        return status;
    features->sequence = arena_try(arena, length + 1, 1);
    features->positions = arena_try(arena, length * ATOMS, 3 * sizeof *features->positions);
    features->mask = arena_try(arena, length, ATOMS);
    if (!features->sequence || !features->positions || !features->mask)
        return error_set(err, STATUS_LIMIT, "no memory for a template of %zu residues", length);
    memset(features->positions, 0, length * ATOMS * 3 * sizeof *features->positions);
    memset(features->mask, 0, length * ATOMS);
    memset(features->sequence, '-', length);
    features->sequence[length] = 0;
    for (size_t i = 0; i < length; i++) {
        int64_t from = map[i] + place->offset;
        if (map[i] == UNALIGNED || from >= chain->length)
            continue;
        features->sequence[i] = place->letters.data[map[i]];
        for (int64_t atom = 0; atom < ATOMS; atom++) {
            int64_t at = from * ATOMS + atom, to = (int64_t)i * ATOMS + atom;
            if (!chain->mask[at])
                continue;
            features->mask[to] = 1;
            atoms++;
            for (int axis = 0; axis < 3; axis++)
                features->positions[3 * to + axis] = chain->positions[3 * at + axis] - centre[axis];
        }
    }
    if (atoms < TEMPLATE_ATOMS_MIN)
        return error_set(err, STATUS_REFUSED, "%zu atoms are aligned; %d are the least", atoms,
                         TEMPLATE_ATOMS_MIN);
    return STATUS_OK;
}

enum status template_make(const struct hhr_hit *hit, const struct structure *structure,
                          const struct template_wish *wish, struct arena *arena,
                          struct template_features *features, struct error *err)
{
    char *buffer = arena_try(arena, (size_t)hit->columns + 1, 1);
    int32_t *map = arena_try(arena, wish->query.size, sizeof *map);
    char *letters = arena_try(arena, (size_t)hit->columns + 1, 1);
    if (!buffer || !map || !letters)
        return error_set(err, STATUS_LIMIT, "no memory for a hit of %d columns", hit->columns);
    struct place place;
    struct span piece = ungapped(hit->hit, hit->columns, letters);
    *features = (struct template_features){0};
    enum status status = map_make(hit, wish, piece.size, buffer, map, err);
    if (status == STATUS_OK && !locate(structure, wish->chain, piece, &place)) {
        status = realign(structure, wish, piece, map, arena, &place, err);
        features->realigned = true;
    }
    return status == STATUS_OK ? fill(wish, &place, map, arena, features, err) : status;
}

/* Residues, point mutations and alternate locations; see model.h. */
#include "stages/bio/model.h"
#include "stages/bio/residue.h"

#include <math.h>
#include <string.h>

/* What tells residues apart, as bytes for the table of keys. */
struct residue_key {
    int32_t chain, number;
    char insertion[MODEL_NAME_MAX];
    char hetero[MODEL_NAME_MAX]; /* "": ATOM; "W": water; else the code of a hetero residue */
    char kind;                   /* ' ', 'W', 'H' */
    char unused[7];              /* the key is compared as bytes: no padding */
};

void model_open(struct model *model, struct arena *arena)
{
    *model = (struct model){.arena = arena, .current = -1};
    names_open(&model->chains, arena);
    names_open(&model->keys, arena);
}

bool model_name(struct span text, char name[MODEL_NAME_MAX])
{
    memset(name, 0, MODEL_NAME_MAX);
    if (text.size == 0 || text.size > MODEL_NAME_MAX)
        return false;
    memcpy(name, text.data, text.size);
    return true;
}

struct span model_name_span(const char name[MODEL_NAME_MAX])
{
    return (struct span){name, strnlen(name, MODEL_NAME_MAX)};
}

static enum status no_memory(struct error *err)
{
    return error_set(err, STATUS_LIMIT, "no memory for %d more residues or atoms", 1);
}

/* A new variant of the residue, selected. */
static enum status variant_add(struct model *model, struct model_residue *residue,
                               const char code[MODEL_NAME_MAX], struct error *err)
{
    struct model_variant *array = array_grow(model->arena, model->variant, model->variant_count,
                                             &model->variant_capacity, sizeof *array);
    if (!array)
        return no_memory(err);
    model->variant = array;
    struct model_variant *variant = &array[model->variant_count];
    *variant = (struct model_variant){.first = -1, .last = -1, .next = residue->first_variant};
    memcpy(variant->code, code, MODEL_NAME_MAX);
    residue->first_variant = residue->selected = model->variant_count++;
    return STATUS_OK;
}

static bool all_alternate(const struct model *model, const struct model_variant *variant)
{
    for (int at = variant->first; at >= 0; at = model->atom[at].next)
        if (!model->atom[at].alternate)
            return false;
    return true;
}

/* A residue comes again: the same name, a known or a new variant. */
static enum status residue_again(struct model *model, struct model_residue *residue,
                                 const char code[MODEL_NAME_MAX], struct error *err)
{
    int variants = 0;
    for (int at = residue->first_variant; at >= 0; at = model->variant[at].next, variants++)
        if (memcmp(model->variant[at].code, code, MODEL_NAME_MAX) == 0) {
            residue->selected = at;
            return STATUS_OK;
        }
    if (variants == RESIDUE_VARIANTS_MAX)
        return error_set(err, STATUS_REFUSED, "more than %d point mutations of one residue",
                         RESIDUE_VARIANTS_MAX);
    const struct model_variant *first = &model->variant[residue->selected];
    if (first->next < 0 && !all_alternate(model, first)) {
        struct span old = model_name_span(first->code), new = model_name_span(code);
        return error_set(err, STATUS_REFUSED,
                         "residue %.*s comes again as %.*s, though its atoms have no alternate "
                         "location",
                         (int)old.size, old.data, (int)new.size, new.data);
    }
    return variant_add(model, residue, code, err);
}

enum status model_residue(struct model *model, const struct residue_id *id, bool reuse,
                          struct error *err)
{
    struct residue_key key = {.number = id->number, .kind = ' '};
    char code[MODEL_NAME_MAX];
    if (!model_name(id->code, code))
        return error_set(err, STATUS_REFUSED, "residue name \"%.*s\": wanted 1 to %d characters",
                         (int)(id->code.size < 40 ? id->code.size : 40), id->code.data,
                         MODEL_NAME_MAX);
    if (id->insertion.size && !model_name(id->insertion, key.insertion))
        return error_set(err, STATUS_REFUSED, "insertion code of more than %d characters",
                         MODEL_NAME_MAX);
    key.chain = names_add(&model->chains, id->chain, NULL);
    if (id->hetero) {
        key.kind = span_is(id->code, "HOH") || span_is(id->code, "WAT") ? 'W' : 'H';
        if (key.kind == 'H')
            memcpy(key.hetero, code, MODEL_NAME_MAX);
    }
    bool fresh = false;
    int number = names_find(&model->keys, (struct span){(const char *)&key, sizeof key});
    if (number < 0) {
        char *copy = arena_try(model->arena, 1, sizeof key);
        if (!copy || key.chain < 0)
            return no_memory(err);
        memcpy(copy, &key, sizeof key);
        number = names_add(&model->keys, (struct span){copy, sizeof key}, &fresh);
    }
    if (number < 0)
        return no_memory(err);
    if (!fresh) {
        if (id->hetero && !reuse)
            return error_set(err, STATUS_REFUSED,
                             "hetero residue %.*s %d comes in two separate places",
                             (int)id->code.size, id->code.data, id->number);
        model->current = number;
        return residue_again(model, &model->residue[number], code, err);
    }
    struct model_residue *array =
        array_grow(model->arena, model->residue, number, &model->residue_capacity, sizeof *array);
    if (!array)
        return no_memory(err);
    model->residue = array;
    array[number] = (struct model_residue){
        .first_variant = -1, .selected = -1, .chain = key.chain, .hetero = id->hetero};
    model->current = number;
    return variant_add(model, &array[number], code, err);
}

enum status model_atom(struct model *model, const struct model_atom *atom, struct error *err)
{
    struct model_residue *residue = &model->residue[model->current];
    struct model_variant *variant = &model->variant[residue->selected];
    bool mutated = model->variant[residue->first_variant].next >= 0;
    struct span name = model_name_span(atom->name);
    if (mutated && !atom->alternate)
        return error_set(err, STATUS_REFUSED,
                         "atom %.*s has no alternate location, though its residue is a point "
                         "mutation",
                         (int)name.size, name.data);
    for (int at = variant->first; at >= 0; at = model->atom[at].next) {
        struct model_atom *old = &model->atom[at];
        if (memcmp(old->name, atom->name, MODEL_NAME_MAX) != 0)
            continue;
        if (!atom->alternate)
            return error_set(err, STATUS_REFUSED, "atom %.*s is there twice in one residue",
                             (int)name.size, name.data);
        /* An old atom without alternate location counts as the later of the two. */
        bool replaces =
            old->alternate ? atom->occupancy > old->occupancy : !(old->occupancy > atom->occupancy);
        if (replaces) {
            int next = old->next;
            *old = *atom;
            old->next = next;
        }
        old->alternate = true;
        return STATUS_OK;
    }
    if (variant->atom_count == RESIDUE_ATOMS_MAX)
        return error_set(err, STATUS_REFUSED, "more than %d atoms in one residue",
                         RESIDUE_ATOMS_MAX);
    struct model_atom *array = array_grow(model->arena, model->atom, model->atom_count,
                                          &model->atom_capacity, sizeof *array);
    if (!array)
        return no_memory(err);
    model->atom = array;
    array[model->atom_count] = *atom;
    array[model->atom_count].next = -1;
    if (variant->last >= 0)
        array[variant->last].next = model->atom_count;
    else
        variant->first = model->atom_count;
    variant->last = model->atom_count++;
    variant->atom_count++;
    return STATUS_OK;
}

struct span model_code(const struct model *model, int residue)
{
    return model_name_span(model->variant[model->residue[residue].selected].code);
}

const struct model_atom *model_find(const struct model *model, int residue, const char *name)
{
    const struct model_variant *variant = &model->variant[model->residue[residue].selected];
    for (int at = variant->first; at >= 0; at = model->atom[at].next)
        if (span_is(model_name_span(model->atom[at].name), name))
            return &model->atom[at];
    return NULL;
}

static float distance(const float *a, const float *b)
{
    float x = a[0] - b[0], y = a[1] - b[1], z = a[2] - b[2];
    return sqrtf(x * x + y * y + z * z);
}

/* Exchanges the positions of two atoms. */
static void swap(float *a, float *b)
{
    for (int k = 0; k < 3; k++) {
        float kept = a[k];
        a[k] = b[k];
        b[k] = kept;
    }
}

int model_place(const struct model *model, int residue, unsigned flags, float *positions,
                uint8_t *mask, float *b_factor)
{
    const struct model_variant *variant = &model->variant[model->residue[residue].selected];
    struct span code = model_name_span(variant->code);
    int placed = 0;
    for (int at = variant->first; at >= 0; at = model->atom[at].next) {
        const struct model_atom *atom = &model->atom[at];
        struct span name = model_name_span(atom->name);
        int k = atom37_find(name);
        if (k < 0 && (flags & PLACE_RENAME) && span_is(code, "MSE") && name.size == 2 &&
            (name.data[0] | 32) == 's' && (name.data[1] | 32) == 'e')
            k = ATOM_SD;
        if (k < 0)
            continue;
        memcpy(positions + 3 * k, atom->position, sizeof atom->position);
        placed += !mask[k];
        mask[k] = 1;
        if (b_factor && (placed == 1 || atom->b_factor > *b_factor))
            *b_factor = atom->b_factor;
    }
    if ((flags & PLACE_RENAME) && span_is(code, "ARG") && mask[ATOM_CD] && mask[ATOM_NH1] &&
        mask[ATOM_NH2] &&
        distance(positions + 3 * ATOM_NH1, positions + 3 * ATOM_CD) >
            distance(positions + 3 * ATOM_NH2, positions + 3 * ATOM_CD))
        swap(positions + 3 * ATOM_NH1, positions + 3 * ATOM_NH2);
    return placed;
}

/* Protein chains from what cif.c has read: which label chains are proteins, their sequences, and
 * which residue of the model stands at which place of them. */
#include "stages/bio/cif_inside.h"
#include "stages/bio/decimal.h"
#include "stages/bio/residue.h"

#include <string.h>

/* A polymer entity: its rows of entity_poly_seq, and its label chains in struct_asym order. */
struct entity {
    int first_row, last_row, length; /* rows are linked by assembly.next_row */
    int first_asym, last_asym;       /* linked by assembly.next_asym */
    int32_t first_number;            /* lowest _entity_poly_seq.num */
    int32_t last_number;             /* that of last_row */
    bool protein;
};

struct assembly {
    struct cif *cif;
    bool corrected;  /* as structure_wish */
    int32_t *number; /* _entity_poly_seq.num of each row */
    struct names entities;
    struct entity *entity;
    int entity_capacity;
    int *next_row, *next_asym;
    int *entity_of;       /* [label_chains.count] entity of a protein chain, else -1 */
    struct names authors; /* author chains in the order of their sequences */
    int *label_of;        /* entity whose sequence the author chain has, [authors.count] */
    int label_capacity;
};

static enum status no_memory(struct error *err)
{
    return error_set(err, STATUS_LIMIT, "no memory for the chains");
}

static enum status columns_check(const struct cif *cif, struct error *err)
{
    for (int i = CIF_ATOM_ITEMS; i < CIF_NEEDED_ITEMS; i++)
        if (cif->column[i].count == 0)
            return error_set(err, STATUS_REFUSED, "the file has no %s", cif_item_names[i]);
    const struct cif_column *c = cif->column;
    if (c[CIF_SEQ_ENTITY].count != c[CIF_SEQ_MONOMER].count ||
        c[CIF_SEQ_ENTITY].count != c[CIF_SEQ_NUMBER].count ||
        c[CIF_COMPONENT_ID].count != c[CIF_COMPONENT_TYPE].count ||
        c[CIF_ASYM_ID].count != c[CIF_ASYM_ENTITY].count)
        return error_set(err, STATUS_REFUSED,
                         "entity_poly_seq, chem_comp or struct_asym has columns of unequal length");
    if (cif->place_count == 0)
        return error_set(err, STATUS_REFUSED, "the file has no atoms (no _atom_site table)");
    return STATUS_OK;
}

/* Groups the rows of entity_poly_seq by entity. */
static enum status entities_group(struct assembly *a, struct error *err)
{
    const struct cif_column *c = a->cif->column;
    int rows = c[CIF_SEQ_ENTITY].count;
    a->next_row = arena_try(a->cif->arena, (size_t)rows, sizeof *a->next_row);
    a->number = arena_try(a->cif->arena, (size_t)rows, sizeof *a->number);
    if (!a->next_row || !a->number)
        return no_memory(err);
    for (int row = 0; row < rows; row++) {
        int64_t number;
        struct span text = c[CIF_SEQ_NUMBER].value[row];
        if (!text_int(text, INT32_MIN / 2, INT32_MAX / 2, &number))
            return error_set(err, STATUS_REFUSED,
                             "_entity_poly_seq.num is \"%.*s\", wanted an integer",
                             (int)(text.size < 40 ? text.size : 40), text.data);
        bool fresh;
        int e = names_add(&a->entities, c[CIF_SEQ_ENTITY].value[row], &fresh);
        struct entity *array = array_grow(a->cif->arena, a->entity, a->entities.count - fresh,
                                          &a->entity_capacity, sizeof *array);
        if (e < 0 || !array)
            return no_memory(err);
        a->entity = array;
        if (fresh)
            array[e] =
                (struct entity){row, row, 0, -1, -1, (int32_t)number, (int32_t)number, false};
        else
            a->next_row[array[e].last_row] = row;
        struct entity *entity = &array[e];
        bool again = a->corrected && !fresh && number == entity->last_number;
        a->next_row[row] = -1;
        a->number[row] = (int32_t)number;
        entity->last_row = row;
        entity->last_number = (int32_t)number;
        if (again) /* another monomer at the same place */
            continue;
        if (number < entity->first_number)
            entity->first_number = (int32_t)number;
        if (++entity->length > STRUCTURE_LENGTH_MAX)
            return error_set(err, STATUS_REFUSED, "an entity of more than %d residues",
                             STRUCTURE_LENGTH_MAX);
    }
    return STATUS_OK;
}

/* An entity is a protein when the type of any of its monomers holds "peptide". */
static enum status proteins_find(struct assembly *a, struct error *err)
{
    const struct cif_column *c = a->cif->column;
    struct names components;
    names_open(&components, a->cif->arena);
    int count = c[CIF_COMPONENT_ID].count;
    int *last = arena_try(a->cif->arena, (size_t)count, sizeof *last);
    if (!last)
        return no_memory(err);
    for (int i = 0; i < count; i++) {
        int n = names_add(&components, c[CIF_COMPONENT_ID].value[i], NULL);
        if (n < 0)
            return no_memory(err);
        last[n] = i; /* a component that is listed twice counts with its last type */
    }
    for (int row = 0; row < c[CIF_SEQ_ENTITY].count; row++) {
        struct span monomer = c[CIF_SEQ_MONOMER].value[row];
        int n = names_find(&components, monomer);
        if (n < 0)
            return error_set(err, STATUS_REFUSED, "monomer %.*s is not listed in _chem_comp",
                             (int)(monomer.size < 20 ? monomer.size : 20), monomer.data);
        struct span type = c[CIF_COMPONENT_TYPE].value[last[n]];
        if (memmem(type.data, type.size, "peptide", 7))
            a->entity[names_find(&a->entities, c[CIF_SEQ_ENTITY].value[row])].protein = true;
    }
    return STATUS_OK;
}

/* Links label chains to their entities. */
static enum status asyms_link(struct assembly *a, struct error *err)
{
    const struct cif_column *c = a->cif->column;
    int count = c[CIF_ASYM_ID].count, labels = a->cif->label_chains.count;
    a->next_asym = arena_try(a->cif->arena, (size_t)count, sizeof *a->next_asym);
    a->entity_of = arena_try(a->cif->arena, (size_t)labels, sizeof *a->entity_of);
    if (!a->next_asym || !a->entity_of)
        return no_memory(err);
    for (int label = 0; label < labels; label++)
        a->entity_of[label] = -1;
    for (int i = 0; i < count; i++) {
        a->next_asym[i] = -1;
        int e = names_find(&a->entities, c[CIF_ASYM_ENTITY].value[i]);
        if (e < 0 || !a->entity[e].protein)
            continue;
        struct span id = c[CIF_ASYM_ID].value[i];
        int label = names_find(&a->cif->label_chains, id);
        if (label < 0 && a->corrected)
            continue;
        struct entity *entity = &a->entity[e];
        if (entity->last_asym >= 0)
            a->next_asym[entity->last_asym] = i;
        else
            entity->first_asym = i;
        entity->last_asym = i;
        if (label < 0)
            return error_set(err, STATUS_REFUSED, "protein chain %.*s has no atoms in model 1",
                             (int)(id.size < 20 ? id.size : 20), id.data);
        a->entity_of[label] = e;
    }
    return STATUS_OK;
}

/* Names author chains in the order in which they get a sequence; a later label chain with the same
 * author name puts its sequence in the place of the earlier one's (corrected: it has none). */
static enum status authors_name(struct assembly *a, struct error *err)
{
    struct cif *cif = a->cif;
    for (int e = 0; e < a->entities.count; e++)
        for (int i = a->entity[e].first_asym; i >= 0; i = a->next_asym[i]) {
            int label = names_find(&cif->label_chains, cif->column[CIF_ASYM_ID].value[i]);
            struct span author = cif->model.chains.name[cif->author_of[label]];
            bool fresh;
            int n = names_add(&a->authors, author, &fresh);
            int *array = array_grow(cif->arena, a->label_of, a->authors.count - fresh,
                                    &a->label_capacity, sizeof *array);
            if (n < 0 || !array)
                return no_memory(err);
            a->label_of = array;
            if (fresh || !a->corrected)
                array[n] = e;
        }
    if (a->authors.count == 0)
        return error_set(err, STATUS_REFUSED,
                         "no protein chains: no entity has a monomer whose _chem_comp.type says "
                         "peptide");
    for (int i = 0; i < cif->place_count; i++) {
        const struct cif_place *place = &cif->place[i];
        if (a->entity_of[place->label_chain] >= 0 && !place->numbered)
            return error_set(err, STATUS_REFUSED,
                             "line %lld: an atom of a protein chain has no _atom_site.label_seq_id",
                             (long long)place->line);
    }
    return STATUS_OK;
}

/* where[length]: the residue of the model at each place of author chain n, or -1; NULL: no memory.
 */
static int *where_make(const struct assembly *a, int n, int length)
{
    const struct cif *cif = a->cif;
    int *where = arena_try(cif->arena, (size_t)length, sizeof *where);
    int author = names_find(&cif->model.chains, a->authors.name[n]);
    for (int i = 0; where && i < length; i++)
        where[i] = -1;
    for (int i = 0; where && i < cif->place_count; i++) {
        const struct cif_place *place = &cif->place[i];
        int e = a->entity_of[place->label_chain];
        if (e < 0 || place->author_chain != author || (a->corrected && e != a->label_of[n]))
            continue;
        int64_t at = (int64_t)place->number - a->entity[e].first_number;
        if (at >= 0 && at < length)
            where[at] = place->residue;
    }
    return where;
}

/* One letter for each row; corrected: for each number, of the monomer that the coordinates are of,
 * or the first. NULL: no memory. */
static char *sequence_make(const struct assembly *a, const struct entity *entity, const int *where)
{
    const struct cif_column *monomer = &a->cif->column[CIF_SEQ_MONOMER];
    char *sequence = arena_try(a->cif->arena, (size_t)entity->length + 1, 1);
    int i = 0;
    for (int row = entity->first_row; sequence && row >= 0; row = a->next_row[row]) {
        int chosen = row, next = a->next_row[row];
        for (; a->corrected && next >= 0 && a->number[next] == a->number[row];
             row = next, next = a->next_row[row])
            if (where[i] >= 0 &&
                span_equal(model_code(&a->cif->model, where[i]), monomer->value[next]))
                chosen = next;
        sequence[i++] = residue_letter(monomer->value[chosen]);
    }
    if (sequence)
        sequence[i] = 0;
    return sequence;
}

/* Coordinates of a chain whose residues stand there in the model. */
static enum status chain_fill(const struct assembly *a, const int *where,
                              struct structure_chain *chain, struct error *err)
{
    struct cif *cif = a->cif;
    size_t length = (size_t)chain->length;
    chain->positions = arena_try(cif->arena, length, ATOM37 * 3 * sizeof *chain->positions);
    chain->mask = arena_try(cif->arena, length, ATOM37);
    chain->residue_index = arena_try(cif->arena, length, sizeof *chain->residue_index);
    if (!chain->positions || !chain->mask || !chain->residue_index)
        return no_memory(err);
    memset(chain->positions, 0, length * ATOM37 * 3 * sizeof *chain->positions);
    memset(chain->mask, 0, length * ATOM37);
    for (size_t i = 0; i < length; i++) {
        chain->residue_index[i] = (int32_t)i;
        if (where[i] >= 0)
            chain->resolved +=
                model_place(&cif->model, where[i], PLACE_RENAME, chain->positions + i * ATOM37 * 3,
                            chain->mask + i * ATOM37, NULL) > 0;
    }
    return STATUS_OK;
}

/* Release date, resolution, method. */
static enum status header_fill(const struct cif *cif, struct structure *structure,
                               struct error *err)
{
    const struct cif_column *date = &cif->column[CIF_RELEASE_DATE];
    for (int i = 0; i < date->count; i++) {
        struct span a = date->value[i], b = structure->release_date;
        int order = memcmp(a.data, b.data ? b.data : "", a.size < b.size ? a.size : b.size);
        if (i == 0 || order < 0 || (order == 0 && a.size < b.size))
            structure->release_date = a;
    }
    for (int item = CIF_RESOLUTION_REFINE; item <= CIF_RESOLUTION_REFLNS; item++) {
        double value;
        if (cif->column[item].count && decimal_parse(cif->column[item].value[0], &value)) {
            structure->resolution = (float)value;
            break;
        }
    }
    const struct cif_column *method = &cif->column[CIF_METHOD];
    size_t size = 0;
    for (int i = 0; i < method->count; i++)
        size += method->value[i].size + 1;
    char *text = arena_try(cif->arena, size + 1, 1), *at = text;
    if (!text)
        return no_memory(err);
    for (int i = 0; i < method->count; i++) {
        for (size_t k = 0; k < method->value[i].size; k++) {
            char c = method->value[i].data[k];
            *at++ = c >= 'A' && c <= 'Z' ? (char)(c | 32) : c;
        }
        *at++ = ',';
    }
    structure->method = (struct span){text, size ? size - 1 : 0};
    return STATUS_OK;
}

static enum status chains_fill(const struct assembly *a, const struct structure_wish *wish,
                               struct structure *structure, struct error *err)
{
    structure->chain = arena_try(a->cif->arena, (size_t)a->authors.count, sizeof *structure->chain);
    if (!structure->chain)
        return no_memory(err);
    for (int n = 0; n < a->authors.count; n++) {
        if (wish->chain.size && !span_equal(wish->chain, a->authors.name[n]))
            continue;
        const struct entity *entity = &a->entity[a->label_of[n]];
        struct structure_chain *chain = &structure->chain[structure->chain_count++];
        int *where = where_make(a, n, entity->length);
        if (!where)
            return no_memory(err);
        *chain = (struct structure_chain){.name = a->authors.name[n],
                                          .length = entity->length,
                                          .sequence = sequence_make(a, entity, where)};
        if (!chain->sequence)
            return no_memory(err);
        if (wish->coordinates) {
            enum status status = chain_fill(a, where, chain, err);
            if (status != STATUS_OK)
                return status;
        }
    }
    if (structure->chain_count == 0)
        return error_set(err, STATUS_REFUSED, "no protein chain %.*s; the first is %.*s",
                         (int)(wish->chain.size < 20 ? wish->chain.size : 20), wish->chain.data,
                         (int)a->authors.name[0].size, a->authors.name[0].data);
    return STATUS_OK;
}

enum status cif_chains(struct cif *cif, const struct structure_wish *wish,
                       struct structure *structure, struct error *err)
{
    struct assembly a = {.cif = cif, .corrected = wish->corrected};
    names_open(&a.entities, cif->arena);
    names_open(&a.authors, cif->arena);
    enum status status = columns_check(cif, err);
    if (status != STATUS_OK)
        return status;
    if (!cif->first_model_is_1)
        return error_set(err, STATUS_REFUSED, "the first model is not number 1");
    structure->atom_count = cif->model.atom_count;
    status = entities_group(&a, err);
    if (status == STATUS_OK)
        status = proteins_find(&a, err);
    if (status == STATUS_OK)
        status = asyms_link(&a, err);
    if (status == STATUS_OK)
        status = authors_name(&a, err);
    if (status == STATUS_OK)
        status = header_fill(cif, structure, err);
    return status == STATUS_OK ? chains_fill(&a, wish, structure, err) : status;
}

/* mmCIF text to atoms, residues and the columns of the header; see cif.h. */
#include "stages/bio/cif.h"
#include "stages/bio/cif_inside.h"
#include "stages/bio/cif_lex.h"
#include "stages/bio/decimal.h"

#include <string.h>
#include <strings.h>

enum { LOOP_COLUMNS_MAX = 256 };

const char *const cif_item_names[CIF_ITEMS] = {
    [CIF_GROUP] = "_atom_site.group_PDB",
    [CIF_ATOM_NAME] = "_atom_site.label_atom_id",
    [CIF_ALTERNATE] = "_atom_site.label_alt_id",
    [CIF_CODE] = "_atom_site.label_comp_id",
    [CIF_LABEL_CHAIN] = "_atom_site.label_asym_id",
    [CIF_LABEL_NUMBER] = "_atom_site.label_seq_id",
    [CIF_INSERTION] = "_atom_site.pdbx_PDB_ins_code",
    [CIF_X] = "_atom_site.Cartn_x",
    [CIF_Y] = "_atom_site.Cartn_y",
    [CIF_Z] = "_atom_site.Cartn_z",
    [CIF_OCCUPANCY] = "_atom_site.occupancy",
    [CIF_B_FACTOR] = "_atom_site.B_iso_or_equiv",
    [CIF_AUTHOR_NUMBER] = "_atom_site.auth_seq_id",
    [CIF_AUTHOR_CHAIN] = "_atom_site.auth_asym_id",
    [CIF_MODEL] = "_atom_site.pdbx_PDB_model_num",
    [CIF_SEQ_ENTITY] = "_entity_poly_seq.entity_id",
    [CIF_SEQ_MONOMER] = "_entity_poly_seq.mon_id",
    [CIF_SEQ_NUMBER] = "_entity_poly_seq.num",
    [CIF_COMPONENT_ID] = "_chem_comp.id",
    [CIF_COMPONENT_TYPE] = "_chem_comp.type",
    [CIF_ASYM_ID] = "_struct_asym.id",
    [CIF_ASYM_ENTITY] = "_struct_asym.entity_id",
    [CIF_RELEASE_DATE] = "_pdbx_audit_revision_history.revision_date",
    [CIF_METHOD] = "_exptl.method",
    [CIF_RESOLUTION_REFINE] = "_refine.ls_d_res_high",
    [CIF_RESOLUTION_EM] = "_em_3d_reconstruction.resolution",
    [CIF_RESOLUTION_REFLNS] = "_reflns.d_resolution_high",
};

/* A table of the file while it is read. */
struct loop {
    int columns;
    int16_t item[LOOP_COLUMNS_MAX]; /* enum cif_item, or -1 */
    bool atoms;                     /* it is atom_site */
    int64_t values, line;
};

struct reader {
    struct cif *cif;
    struct cif_lex lex;
    struct loop loop;
    struct span row[CIF_ATOM_ITEMS];      /* of atom_site; data NULL: item not in the file */
    struct span previous[CIF_ATOM_ITEMS]; /* the row before */
    bool atoms_begun, atoms_done;         /* done: at the second model */
};

static int item_find(struct span name)
{
    for (int i = 0; i < CIF_ITEMS; i++)
        if (span_is(name, cif_item_names[i]))
            return i;
    return -1;
}

static enum status column_add(struct cif *cif, int item, struct span value, struct error *err)
{
    struct cif_column *column = &cif->column[item];
    struct span *array =
        array_grow(cif->arena, column->value, column->count, &column->capacity, sizeof *array);
    if (!array)
        return error_set(err, STATUS_LIMIT, "no memory for %s", cif_item_names[item]);
    column->value = array;
    array[column->count++] = value;
    return STATUS_OK;
}

static bool is_unset(struct span value)
{
    return value.size == 1 && (*value.data == '.' || *value.data == '?');
}

/* "12", "-3", "+4" */
static bool number_parse(struct span text, int32_t *number)
{
    int64_t value;
    if (text.size > 1 && *text.data == '+')
        text.data++, text.size--;
    if (!text_int(text, INT32_MIN / 2, INT32_MAX / 2, &value))
        return false;
    *number = (int32_t)value;
    return true;
}

static bool differs(const struct reader *reader, int item)
{
    return !span_equal(reader->row[item], reader->previous[item]);
}

static enum status bad_value(const struct reader *reader, int item, const char *wanted,
                             struct error *err)
{
    struct span value = reader->row[item];
    return error_set(err, STATUS_REFUSED, "line %lld: %s is \"%.*s\", wanted %s",
                     (long long)reader->lex.line, cif_item_names[item],
                     (int)(value.size < 40 ? value.size : 40), value.data, wanted);
}

/* The chains' names, and the place of the residue that this row begins or goes on with. */
static enum status place_add(struct reader *reader, struct error *err)
{
    struct cif *cif = reader->cif;
    bool fresh;
    int label = names_add(&cif->label_chains, reader->row[CIF_LABEL_CHAIN], &fresh);
    int author = names_find(&cif->model.chains, reader->row[CIF_AUTHOR_CHAIN]);
    int *of = array_grow(cif->arena, cif->author_of, cif->label_chains.count - 1,
                         &cif->author_capacity, sizeof *of);
    struct cif_place *array =
        array_grow(cif->arena, cif->place, cif->place_count, &cif->place_capacity, sizeof *array);
    if (label < 0 || !of || !array)
        return error_set(err, STATUS_LIMIT, "no memory for %d residues", cif->place_count);
    cif->author_of = of;
    cif->place = array;
    of[label] = author;
    struct cif_place *place = &array[cif->place_count++];
    *place = (struct cif_place){.label_chain = label,
                                .author_chain = author,
                                .residue = cif->model.current,
                                .line = reader->lex.line};
    place->numbered = number_parse(reader->row[CIF_LABEL_NUMBER], &place->number);
    return STATUS_OK;
}

/* Starts a residue if this row does. */
static enum status residue_begin(struct reader *reader, struct error *err)
{
    const struct span *row = reader->row;
    bool begins = !reader->previous[CIF_MODEL].data || differs(reader, CIF_AUTHOR_CHAIN) ||
                  differs(reader, CIF_GROUP) || differs(reader, CIF_CODE) ||
                  differs(reader, CIF_AUTHOR_NUMBER) || differs(reader, CIF_INSERTION);
    if (!begins && !differs(reader, CIF_LABEL_CHAIN) && !differs(reader, CIF_LABEL_NUMBER))
        return STATUS_OK;
    if (begins) {
        struct residue_id id = {.chain = row[CIF_AUTHOR_CHAIN],
                                .code = row[CIF_CODE],
                                .insertion = row[CIF_INSERTION],
                                .hetero = span_is(row[CIF_GROUP], "HETATM")};
        if (!number_parse(row[CIF_AUTHOR_NUMBER], &id.number))
            return bad_value(reader, CIF_AUTHOR_NUMBER, "an integer", err);
        if (is_unset(id.insertion))
            id.insertion.size = 0;
        enum status status = model_residue(&reader->cif->model, &id, false, err);
        if (status != STATUS_OK)
            return error_prefix(err, "line %lld", (long long)reader->lex.line);
    }
    return place_add(reader, err);
}

/* One row of atom_site. */
static enum status atom_read(struct reader *reader, struct error *err)
{
    const struct span *row = reader->row;
    if (!reader->atoms_begun) {
        for (int i = 0; i < CIF_ATOM_ITEMS; i++)
            if (!row[i].data)
                return error_set(err, STATUS_REFUSED, "line %lld: the atoms have no %s",
                                 (long long)reader->lex.line, cif_item_names[i]);
        reader->atoms_begun = true;
        reader->cif->first_model_is_1 = span_is(row[CIF_MODEL], "1");
    } else if (differs(reader, CIF_MODEL)) {
        reader->atoms_done = true;
        return STATUS_OK;
    }
    enum status status = residue_begin(reader, err);
    if (status != STATUS_OK)
        return status;
    struct model_atom atom = {.alternate = !is_unset(row[CIF_ALTERNATE])};
    if (!model_name(row[CIF_ATOM_NAME], atom.name))
        return bad_value(reader, CIF_ATOM_NAME, "1 to 8 characters", err);
    double x, y, z, b_factor;
    if (!decimal_parse(row[CIF_X], &x))
        return bad_value(reader, CIF_X, "a number", err);
    if (!decimal_parse(row[CIF_Y], &y))
        return bad_value(reader, CIF_Y, "a number", err);
    if (!decimal_parse(row[CIF_Z], &z))
        return bad_value(reader, CIF_Z, "a number", err);
    if (!decimal_parse(row[CIF_B_FACTOR], &b_factor))
        return bad_value(reader, CIF_B_FACTOR, "a number", err);
    if (!decimal_parse(row[CIF_OCCUPANCY], &atom.occupancy))
        return bad_value(reader, CIF_OCCUPANCY, "a number", err);
    atom.position[0] = (float)x;
    atom.position[1] = (float)y;
    atom.position[2] = (float)z;
    atom.b_factor = (float)b_factor;
    status = model_atom(&reader->cif->model, &atom, err);
    if (status != STATUS_OK)
        return error_prefix(err, "line %lld", (long long)reader->lex.line);
    memcpy(reader->previous, row, sizeof reader->previous);
    return STATUS_OK;
}

/* A column name of a loop. */
static enum status loop_column(struct reader *reader, struct span name, struct error *err)
{
    struct loop *loop = &reader->loop;
    if (loop->columns == LOOP_COLUMNS_MAX)
        return error_set(err, STATUS_REFUSED, "line %lld: a table of more than %d columns",
                         (long long)reader->lex.line, LOOP_COLUMNS_MAX);
    int item = item_find(name);
    loop->item[loop->columns++] = (int16_t)item;
    if (span_starts(name, "_atom_site.")) {
        if (reader->atoms_begun)
            return error_set(err, STATUS_REFUSED, "line %lld: a second table of atoms",
                             (long long)reader->lex.line);
        loop->atoms = true;
        if (item >= 0)
            reader->row[item] = name; /* there is such a column */
    } else if (item >= 0) {
        reader->cif->column[item].count = 0;
    }
    return STATUS_OK;
}

/* A value of a loop. */
static enum status loop_value(struct reader *reader, struct span value, struct error *err)
{
    struct loop *loop = &reader->loop;
    if (loop->columns == 0)
        return error_set(err, STATUS_REFUSED, "line %lld: a table without columns",
                         (long long)reader->lex.line);
    int column = (int)(loop->values++ % loop->columns), item = loop->item[column];
    if (!loop->atoms)
        return item < 0 ? STATUS_OK : column_add(reader->cif, item, value, err);
    if (item >= 0 && item < CIF_ATOM_ITEMS)
        reader->row[item] = value;
    if (column < loop->columns - 1)
        return STATUS_OK;
    enum status status = reader->atoms_done ? STATUS_OK : atom_read(reader, err);
    if (reader->atoms_done)
        cif_lex_skip_atoms(&reader->lex);
    return status;
}

/* A loop must end with a whole row: else the file is cut off, or a value has a blank inside. */
static enum status loop_end(struct reader *reader, struct error *err)
{
    const struct loop *loop = &reader->loop;
    if (loop->columns == 0 || loop->values % loop->columns == 0)
        return STATUS_OK;
    return error_set(err, STATUS_REFUSED,
                     "line %lld: the table that begins at line %lld ends inside a row: %lld values "
                     "for %d columns (truncated file?)",
                     (long long)reader->lex.line, (long long)loop->line,
                     (long long)(loop->values % loop->columns), loop->columns);
}

/* One item with one value. */
static enum status pair_read(struct reader *reader, struct span name, struct span value,
                             struct error *err)
{
    int item = item_find(name);
    if (item < 0)
        return STATUS_OK;
    if (item < CIF_ATOM_ITEMS) {
        reader->row[item] = value;
        return STATUS_OK;
    }
    reader->cif->column[item].count = 0;
    return column_add(reader->cif, item, value, err);
}

static bool is_loop(struct span token)
{
    return token.size == 5 && strncasecmp(token.data, "loop_", 5) == 0;
}

/* All tokens behind data_XXXX. */
static enum status tokens_read(struct reader *reader, struct error *err)
{
    struct span token = {0}, key = {0};
    bool in_loop = false;
    enum status status;
    while ((status = cif_lex_next(&reader->lex, &token, err)) == STATUS_OK) {
        struct loop *loop = &reader->loop;
        bool name = token.size && *token.data == '_';
        if (is_loop(token)) {
            if (in_loop && (status = loop_end(reader, err)) != STATUS_OK)
                return status;
            in_loop = true;
            *loop = (struct loop){.line = reader->lex.line};
            continue;
        }
        if (in_loop && name && loop->values == 0) {
            status = loop_column(reader, token, err);
        } else if (in_loop && !(name && loop->values % loop->columns == 0)) {
            status = loop_value(reader, token, err);
        } else {
            in_loop = false;
            if (!key.data)
                key = token;
            else {
                status = pair_read(reader, key, token, err);
                key.data = NULL;
            }
        }
        if (status != STATUS_OK)
            return status;
    }
    if (status != STATUS_EMPTY)
        return status;
    if (key.data)
        return error_set(err, STATUS_REFUSED, "line %lld: %.*s has no value (truncated file?)",
                         (long long)reader->lex.line, (int)(key.size < 60 ? key.size : 60),
                         key.data);
    return in_loop ? loop_end(reader, err) : STATUS_OK;
}

enum status cif_read(struct span content, const struct structure_wish *wish, struct arena *arena,
                     struct structure *structure, struct error *err)
{
    struct cif cif = {.arena = arena};
    struct reader reader = {.cif = &cif};
    struct span token;
    *structure = (struct structure){0};
    model_open(&cif.model, arena);
    names_open(&cif.label_chains, arena);
    if (content.size && memchr(content.data, 0, content.size))
        return error_set(err, STATUS_REFUSED, "not a text file: it holds zero bytes");
    cif_lex_open(&reader.lex, content);
    enum status status = cif_lex_next(&reader.lex, &token, err);
    if (status == STATUS_EMPTY)
        return error_set(err, STATUS_REFUSED, "the file is empty; wanted mmCIF text");
    if (status != STATUS_OK)
        return status;
    if (token.size < 5 || strncasecmp(token.data, "data_", 5) != 0)
        return error_set(
            err, STATUS_REFUSED,
            "line %lld: no mmCIF file: it begins with \"%.*s\", wanted data_ and a name",
            (long long)reader.lex.line, (int)(token.size < 20 ? token.size : 20), token.data);
    status = tokens_read(&reader, err);
    if (status == STATUS_OK && !reader.atoms_begun && reader.row[CIF_X].data)
        status = atom_read(&reader, err); /* a file of one atom writes no table */
    return status == STATUS_OK ? cif_chains(&cif, wish, structure, err) : status;
}

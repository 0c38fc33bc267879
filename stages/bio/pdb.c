/* PDB records by their columns; see pdb.h. */
#include "stages/bio/pdb.h"
#include "stages/bio/decimal.h"
#include "stages/bio/model.h"
#include "stages/bio/residue.h"

#include <string.h>

enum { ATOM_LINE_MIN = 54 }; /* up to the z coordinate */

static const float bond_squared_max = 4.0F; /* of a C-N bond, square Angstrom */
static const float confidence_min = 50.0F;  /* pLDDT above which a residue of a prediction counts */

struct reader {
    enum pdb_source source;
    struct model model;
    char previous[13]; /* columns 1-6 of the record and 18-27: which residue */
    int64_t line;
    int models;
    bool ended; /* behind the first model */
    struct structure *structure;
};

/* Columns first..last of the line, counted from 1, without blanks around. */
static struct span columns(struct span line, size_t first, size_t last)
{
    if (line.size < first)
        return (struct span){line.data, 0};
    size_t size = (line.size < last ? line.size : last) - first + 1;
    return span_trim((struct span){line.data + first - 1, size});
}

static enum status number_need(const struct reader *reader, struct span line, size_t first,
                               size_t last, const char *what, double *value, struct error *err)
{
    struct span text = columns(line, first, last);
    if (decimal_parse(text, value))
        return STATUS_OK;
    return error_set(err, STATUS_REFUSED,
                     "line %lld: the %s in columns %zu-%zu is \"%.*s\", wanted a number",
                     (long long)reader->line, what, first, last, (int)text.size, text.data);
}

/* Starts the residue of this line if it is another one than that of the line before. */
static enum status residue_begin(struct reader *reader, struct span line, struct error *err)
{
    char key[sizeof reader->previous];
    memcpy(key, line.data, 3); /* "ATO" or "HET" */
    memcpy(key + 3, line.data + 17, 10);
    if (memcmp(key, reader->previous, sizeof key) == 0)
        return STATUS_OK;
    memcpy(reader->previous, key, sizeof key);
    struct span number = columns(line, 23, 26);
    int64_t value;
    if (!text_int(number, INT32_MIN / 2, INT32_MAX / 2, &value))
        return error_set(err, STATUS_REFUSED,
                         "line %lld: the residue number in columns 23-26 is \"%.*s\", wanted an "
                         "integer",
                         (long long)reader->line, (int)number.size, number.data);
    struct residue_id id = {.chain = {line.data + 21, 1},
                            .code = columns(line, 18, 20),
                            .insertion = columns(line, 27, 27),
                            .number = (int32_t)value,
                            .hetero = line.data[0] == 'H'};
    if (*id.chain.data == ' ')
        id.chain = SPAN(PDB_BLANK_CHAIN);
    if (id.insertion.size && reader->source == PDB_DISTILLED)
        return error_set(err, STATUS_REFUSED,
                         "line %lld: insertion code %c: predicted structures have none; for "
                         "experimental ones set source: experimental",
                         (long long)reader->line, *id.insertion.data);
    enum status status = model_residue(&reader->model, &id, true, err);
    return status == STATUS_OK ? status : error_prefix(err, "line %lld", (long long)reader->line);
}

static enum status atom_read(struct reader *reader, struct span line, struct error *err)
{
    if (line.size < ATOM_LINE_MIN)
        return error_set(
            err, STATUS_REFUSED,
            "line %lld: an atom of %zu characters, wanted %d or more (truncated file?)",
            (long long)reader->line, line.size, ATOM_LINE_MIN);
    enum status status = residue_begin(reader, line, err);
    struct model_atom atom = {.alternate = line.data[16] != ' ', .occupancy = 1};
    double position[3] = {0}, b_factor = 0;
    for (size_t k = 0; status == STATUS_OK && k < 3; k++) {
        status = number_need(reader, line, 31 + 8 * k, 38 + 8 * k, "coordinate", &position[k], err);
        atom.position[k] = (float)position[k];
    }
    if (status == STATUS_OK && columns(line, 55, 60).size)
        status = number_need(reader, line, 55, 60, "occupancy", &atom.occupancy, err);
    if (status == STATUS_OK && columns(line, 61, 66).size)
        status = number_need(reader, line, 61, 66, "B factor", &b_factor, err);
    if (status != STATUS_OK)
        return status;
    atom.b_factor = (float)b_factor;
    /* A calcium "CA  " is no alpha carbon " CA ", a cadmium "CD  " no " CD ": names of two-letter
     * elements begin a column earlier. Kept whole they match no name; selenium has a name of its
     * own. */
    struct span name = columns(line, 13, 16);
    if (line.data[0] == 'H' && line.data[12] != ' ' && name.size == 2 && !span_is(name, "SE"))
        name = (struct span){line.data + 12, 4};
    if (!model_name(name, atom.name))
        return error_set(err, STATUS_REFUSED, "line %lld: an atom without a name in columns 13-16",
                         (long long)reader->line);
    /* Old files name several hydrogens of a residue alike; no hydrogen is an atom37 atom. */
    if (reader->source == PDB_EXPERIMENTAL && atom37_find(name) < 0 && !span_is(name, "SE"))
        return STATUS_OK;
    status = model_atom(&reader->model, &atom, err);
    return status == STATUS_OK ? status : error_prefix(err, "line %lld", (long long)reader->line);
}

static void header_read(struct reader *reader, struct span line, struct arena *arena)
{
    struct structure *structure = reader->structure;
    if (span_starts(line, "REMARK   2 RESOLUTION.") && reader->source == PDB_EXPERIMENTAL) {
        struct span rest = {line.data + 22, line.size - 22}, word;
        double value;
        if (span_word(&rest, &word) && decimal_parse(word, &value))
            structure->resolution = (float)value;
    } else if (span_starts(line, "EXPDTA") && !structure->method.size) {
        struct span method = columns(line, 11, 79);
        char *text = arena_try(arena, method.size + 1, 1);
        for (size_t i = 0; text && i < method.size; i++)
            text[i] = method.data[i] >= 'A' && method.data[i] <= 'Z' ? (char)(method.data[i] | 32)
                                                                     : method.data[i];
        structure->method = (struct span){text, text ? method.size : 0};
    }
}

static enum status lines_read(struct reader *reader, struct span content, struct arena *arena,
                              struct error *err)
{
    struct span line;
    while (span_line(&content, &line)) {
        reader->line++;
        bool atom = span_starts(line, "ATOM  ") || span_starts(line, "HETATM");
        enum status status = STATUS_OK;
        if (atom && !reader->ended) {
            status = atom_read(reader, line, err);
        } else if (atom || span_starts(line, "MODEL ")) {
            if (reader->source == PDB_DISTILLED && (reader->ended || ++reader->models > 1))
                status = error_set(err, STATUS_REFUSED,
                                   "line %lld: a second model: predicted structures have one",
                                   (long long)reader->line);
        } else if (span_starts(line, "ENDMDL")) {
            reader->ended = true;
        } else {
            header_read(reader, line, arena);
        }
        if (status != STATUS_OK)
            return status;
    }
    if (reader->model.keys.count == 0)
        return error_set(err, STATUS_REFUSED,
                         "no ATOM or HETATM record in %lld lines: wanted a PDB file",
                         (long long)reader->line);
    return STATUS_OK;
}

/* residue a's C is bonded to residue b's N. */
static bool is_bonded(const struct model *model, int a, int b)
{
    const struct model_atom *c = model_find(model, a, "C"), *n = model_find(model, b, "N");
    if (!c || !n)
        return false;
    float x = c->position[0] - n->position[0], y = c->position[1] - n->position[1],
          z = c->position[2] - n->position[2];
    return x * x + y * y + z * z < bond_squared_max;
}

/* Which of count residues, in file order, belong to an experimental chain; see pdb.h. */
static void residues_choose(const struct model *model, const int *residue, int count, bool *chosen)
{
    for (int i = 0; i < count; i++)
        chosen[i] = !model->residue[residue[i]].hetero && model_find(model, residue[i], "CA");
    for (int pass = 0; pass < 2; pass++)
        for (int k = 1; k < count; k++) {
            int i = pass == 0 ? k : count - 1 - k, neighbour = pass == 0 ? i - 1 : i + 1;
            int r = residue[i];
            if (chosen[i] || !chosen[neighbour] || !model->residue[r].hetero ||
                !model_find(model, r, "N") || !model_find(model, r, "CA") ||
                !model_find(model, r, "C"))
                continue;
            chosen[i] = pass == 0 ? is_bonded(model, residue[neighbour], r)
                                  : is_bonded(model, r, residue[neighbour]);
        }
}

/* As residues_choose, for predicted chains: any atom37 atom. */
static void residues_choose_distilled(const struct model *model, const int *residue, int count,
                                      bool *chosen)
{
    for (int i = 0; i < count; i++) {
        float positions[ATOM37 * 3];
        uint8_t mask[ATOM37] = {0};
        chosen[i] = model_place(model, residue[i], 0, positions, mask, NULL) > 0;
    }
}

static enum status chain_fill(const struct reader *reader, const int *residue, int count,
                              const bool *chosen, bool coordinates, struct arena *arena,
                              struct structure_chain *chain, struct error *err)
{
    bool distilled = reader->source == PDB_DISTILLED;
    size_t length = (size_t)chain->length;
    char *sequence = arena_try(arena, length + 1, 1);
    if (coordinates) {
        chain->positions = arena_try(arena, length, ATOM37 * 3 * sizeof *chain->positions);
        chain->mask = arena_try(arena, length, ATOM37);
        chain->residue_index = arena_try(arena, length, sizeof *chain->residue_index);
    }
    if (!sequence || (coordinates && (!chain->positions || !chain->mask || !chain->residue_index)))
        return error_set(err, STATUS_LIMIT, "no memory for a chain of %zu residues", length);
    size_t i = 0;
    for (int k = 0; k < count; k++) {
        if (!chosen[k])
            continue;
        struct span code = model_code(&reader->model, residue[k]);
        sequence[i] = distilled ? residue_letter_standard(code) : residue_letter(code);
        if (coordinates) {
            float *positions = chain->positions + i * ATOM37 * 3, confidence = 0;
            uint8_t *mask = chain->mask + i * ATOM37;
            memset(positions, 0, ATOM37 * 3 * sizeof *positions);
            memset(mask, 0, ATOM37);
            chain->resolved += model_place(&reader->model, residue[k], distilled ? 0 : PLACE_RENAME,
                                           positions, mask, &confidence) > 0;
            if (distilled && !(confidence > confidence_min))
                memset(mask, 0, ATOM37);
            chain->residue_index[i] = (int32_t)i;
        }
        i++;
    }
    sequence[i] = 0;
    chain->sequence = sequence;
    return STATUS_OK;
}

/* Chain number c of the model; *length 0: it has no residues that count. */
static enum status chain_make(const struct reader *reader, int c, bool coordinates,
                              struct arena *arena, struct structure_chain *chain, struct error *err)
{
    const struct model *model = &reader->model;
    size_t all = (size_t)model->keys.count;
    int *residue = arena_try(arena, all, sizeof *residue), count = 0;
    bool *chosen = arena_try(arena, all, sizeof *chosen);
    if (!residue || !chosen)
        return error_set(err, STATUS_LIMIT, "no memory for %zu residues", all);
    for (int r = 0; r < model->keys.count; r++)
        if (model->residue[r].chain == c)
            residue[count++] = r;
    if (reader->source == PDB_DISTILLED)
        residues_choose_distilled(model, residue, count, chosen);
    else
        residues_choose(model, residue, count, chosen);
    *chain = (struct structure_chain){.name = model->chains.name[c]};
    for (int i = 0; i < count; i++)
        chain->length += chosen[i];
    if (chain->length > STRUCTURE_LENGTH_MAX)
        return error_set(err, STATUS_REFUSED, "a chain of %d residues, the limit is %d",
                         chain->length, STRUCTURE_LENGTH_MAX);
    return chain->length
               ? chain_fill(reader, residue, count, chosen, coordinates, arena, chain, err)
               : STATUS_OK;
}

enum status pdb_read(struct span content, enum pdb_source source, const struct structure_wish *wish,
                     struct arena *arena, struct structure *structure, struct error *err)
{
    struct reader reader = {.source = source, .structure = structure};
    *structure = (struct structure){0};
    model_open(&reader.model, arena);
    if (content.size == 0)
        return error_set(err, STATUS_REFUSED, "the file is empty; wanted PDB records");
    if (memchr(content.data, 0, content.size))
        return error_set(err, STATUS_REFUSED, "not a text file: it holds zero bytes");
    enum status status = lines_read(&reader, content, arena, err);
    if (status != STATUS_OK)
        return status;
    const struct names *chains = &reader.model.chains;
    structure->atom_count = reader.model.atom_count;
    structure->chain = arena_try(arena, (size_t)chains->count, sizeof *structure->chain);
    if (!structure->chain)
        return error_set(err, STATUS_LIMIT, "no memory for %d chains", chains->count);
    for (int c = 0; c < chains->count; c++) {
        if (wish->chain.size && !span_equal(wish->chain, chains->name[c]))
            continue;
        struct structure_chain *chain = &structure->chain[structure->chain_count];
        status = chain_make(&reader, c, wish->coordinates, arena, chain, err);
        if (status != STATUS_OK)
            return status;
        structure->chain_count += chain->length > 0;
    }
    if (structure->chain_count == 0 && wish->chain.size)
        return error_set(err, STATUS_REFUSED,
                         "no chain %.*s with residues of a protein; the first "
                         "chain is %.*s",
                         (int)(wish->chain.size < 20 ? wish->chain.size : 20), wish->chain.data,
                         (int)chains->name[0].size, chains->name[0].data);
    if (structure->chain_count == 0)
        return error_set(err, STATUS_REFUSED, "no residue of a protein among %d residues",
                         reader.model.keys.count);
    return STATUS_OK;
}

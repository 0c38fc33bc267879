/* Parse: the structure file of a chain becomes sequence, atom37 coordinates and what the header
 * says, as data path section 2 names them, in compact kinds. A file is read once for several chains
 * of it only if they come one after another, which the order of keys makes likely. */
#include "engine/base/file.h"
#include "engine/stage.h"
#include "stages/bio/residue.h"
#include "stages/bio/structure_read.h"

#include <string.h>

enum { ATOMS = 37, PATH_BYTES_MAX = 4096 };

enum { SOURCE_EXPERIMENTAL, SOURCE_DISTILLED };
enum { COMPAT_CORRECTED, COMPAT_OPENFOLD };

struct parse_state {
    int source, compat;
    double resolution;
    struct arena arena; /* of the file in hand */
    char path[PATH_BYTES_MAX];
    struct span content; /* of it; empty: none */
};

static enum status parse_open(void *state, struct stage_context *context, struct error *err)
{
    (void)context, (void)err;
    arena_open(&((struct parse_state *)state)->arena, 0);
    return STATUS_OK;
}

/* What is wrong with the file itself will not change by trying again. */
static enum status refuse(enum status status, struct error *err)
{
    return status == STATUS_OK ? STATUS_OK : (err->status = STATUS_REFUSED);
}

static enum status content_read(struct parse_state *parse, struct span path, struct error *err)
{
    if (path.size == 0 || path.size >= sizeof parse->path)
        return error_set(err, STATUS_REFUSED,
                         "the path of its structure file has %zu bytes, 1 to %zu "
                         "are possible",
                         path.size, sizeof parse->path - 1);
    if (parse->content.data && span_is(path, parse->path))
        return STATUS_OK;
    arena_reset(&parse->arena);
    parse->content = (struct span){0};
    memcpy(parse->path, path.data, path.size);
    parse->path[path.size] = 0;
    enum status status =
        file_read(parse->path, STRUCTURE_BYTES_MAX, &parse->arena, &parse->content, err);
    if (status != STATUS_OK)
        parse->content = (struct span){0};
    return refuse(status, err);
}

/* The wanted chain of the file into *structure. */
static enum status chain_read(struct parse_state *parse, struct span chain, struct arena *arena,
                              struct structure *structure, struct error *err)
{
    struct structure_wish wish = {
        .chain = chain, .coordinates = true, .corrected = parse->compat == COMPAT_CORRECTED};
    enum pdb_source source = parse->source == SOURCE_DISTILLED ? PDB_DISTILLED : PDB_EXPERIMENTAL;
    enum status status = structure_read(parse->content, source, &wish, arena, structure, err);
    if (status != STATUS_OK) {
        error_prefix(err, "%s", parse->path);
        return refuse(status, err);
    }
    bool sequence_alone = structure->chain_count == 1 && !structure->chain[0].positions;
    if (!sequence_alone && (structure->chain_count != 1 || structure->chain[0].resolved == 0))
        return error_set(err, STATUS_REFUSED, "%s: chain %.*s has no atoms of a protein",
                         parse->path, (int)chain.size, chain.data);
    return STATUS_OK;
}

static uint8_t letter_type(char letter)
{
    int type = residue_type(letter);
    return type < 0 ? RESTYPE_X : (uint8_t)type;
}

static enum status parse_feed(void *state, const struct work *work, const struct sample *in,
                              struct sample *out, struct arena *arena, struct error *err)
{
    (void)work;
    struct parse_state *parse = state;
    struct structure structure;
    enum status status = content_read(parse, sample_text(in, "structure"), err);
    if (status == STATUS_OK)
        status = chain_read(parse, sample_text(in, "chain"), arena, &structure, err);
    if (status != STATUS_OK)
        return status;
    const struct structure_chain *chain = &structure.chain[0];
    int64_t length = chain->length;
    bool distilled = parse->source == SOURCE_DISTILLED;
    uint8_t *aatype = sample_add_1(out, arena, "aatype", KIND_U8, length);
    for (int64_t i = 0; i < length; i++)
        aatype[i] = letter_type(chain->sequence[i]);
    memcpy(sample_add_1(out, arena, "residue_index", KIND_I32, length), chain->residue_index,
           (size_t)length * sizeof *chain->residue_index);
    sample_add_text(out, arena, "sequence", (struct span){chain->sequence, (size_t)length});
    if (chain->positions) {
        memcpy(sample_add_3(out, arena, "all_atom_positions", KIND_F32, length, ATOMS, 3),
               chain->positions, (size_t)length * ATOMS * 3 * sizeof *chain->positions);
        memcpy(sample_add_2(out, arena, "all_atom_mask", KIND_U8, length, ATOMS), chain->mask,
               (size_t)length * ATOMS);
    }
    float resolution = structure.resolution > 0 ? structure.resolution : (float)parse->resolution;
    sample_add_f32(out, arena, "resolution", distilled ? 0 : resolution);
    sample_add_f32(out, arena, "is_distillation", distilled ? 1 : 0);
    sample_add_text(out, arena, "release_date", structure.release_date);
    sample_add_text(out, arena, "domain_name", span_of(in->key));
    return STATUS_OK;
}

static void parse_close(void *state)
{
    arena_close(&((struct parse_state *)state)->arena);
}

static const char *const source_choices[] = {"experimental", "distilled", NULL};

static const char *const compat_choices[] = {"corrected", "openfold", NULL};

static const struct param parse_params[] = {
    {.name = "source",
     .type = PARAM_CHOICE,
     .fallback = "experimental",
     .choices = source_choices,
     .offset = offsetof(struct parse_state, source),
     .help =
         "What PDB files are: experimental structures, or predicted ones for distillation, whose "
         "B factors are confidences."},
    {.name = "compat",
     .type = PARAM_CHOICE,
     .fallback = "corrected",
     .choices = compat_choices,
     .offset = offsetof(struct parse_state, compat),
     .help = "mmCIF: corrected, or as openfold reads it: two monomers under one number give two "
             "letters and shift all coordinates behind them; the second entity with an author name "
             "replaces the first one's sequence; a protein chain without atoms refuses the file. "
             "Give scan the same."},
    {.name = "resolution",
     .type = PARAM_FLOAT,
     .fallback = "0",
     .min = 0,
     .max = 100,
     .offset = offsetof(struct parse_state, resolution),
     .help = "Resolution in Angstrom of structures whose files do not say it."},
    {.name = NULL},
};

static const char *const parse_in[] = {"structure:u8[P]", "chain:u8[C]", NULL};
static const char *const parse_out[] = {"aatype:u8[L]",
                                        "residue_index:i32[L]",
                                        "sequence:u8[L]",
                                        "all_atom_positions:f32[L,37,3]?",
                                        "all_atom_mask:u8[L,37]?",
                                        "resolution:f32",
                                        "is_distillation:f32",
                                        "release_date:u8[R]",
                                        "domain_name:u8[D]",
                                        NULL};

const struct stage stage_parse = {
    .abi = STAGE_ABI,
    .version = 2,
    .flags = STAGE_PASS,
    .name = "parse",
    .summary =
        "Reads structures (mmCIF, PDB) or sequences (FASTA): letters and atom37 coordinates.",
    .state_size = sizeof(struct parse_state),
    .params = parse_params,
    .in = {parse_in},
    .out = {parse_out},
    .open = parse_open,
    .feed = parse_feed,
    .close = parse_close,
};

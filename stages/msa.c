/* Msa: the alignment files of a chain become the rows of its MSA features (data path sections 4 and
 * 6.3): symbols one byte each, deletions sparse, the profile as counts. Stands behind parse, whose
 * sequence says what the first row must be. */
#include "engine/stage.h"
#include "stages/bio/family.h"
#include "stages/bio/input.h"
#include "stages/bio/msa.h"
#include "stages/bio/residue.h"

#include <string.h>
#include <sys/stat.h>

enum { FILES_MAX = 1000, KEEP_BYTES = 64 << 20 };

enum { MISSING_REFUSE, MISSING_ALONE };

struct msa_state {
    int64_t rows_max;
    int missing;
    bool species;
    struct arena scratch; /* of the sample in hand */
    struct arena kept;    /* of the family alignment that was read last */
    char kept_line[INPUT_LINE_MAX];
    struct alignment family;
};

static enum status msa_stage_open(void *state, struct stage_context *context, struct error *err)
{
    (void)context, (void)err;
    struct msa_state *msa = state;
    arena_open(&msa->scratch, 0);
    arena_open(&msa->kept, 0);
    return STATUS_OK;
}

/* An alignment as it is. What is wrong with it will not change by trying again. */
static enum status raw_read(struct span line, struct arena *arena, struct alignment *alignment,
                            struct error *err)
{
    enum alignment_format format;
    struct span name, content;
    enum status status = input_read(line, ALIGNMENT_BYTES_MAX, arena, &name, &content, err);
    if (status == STATUS_OK)
        status = alignment_format_of(name, &format, err);
    if (status == STATUS_OK) {
        status = alignment_read(content, format, arena, alignment, err);
        if (status != STATUS_OK)
            error_prefix(err, "%.*s", (int)line.size, line.data);
    }
    return status == STATUS_OK ? status : (err->status = STATUS_REFUSED);
}

/* The chain's view of a family's alignment; consecutive chains of a family read the file once. */
static enum status family_read(struct msa_state *msa, struct span line, struct span row,
                               struct span sequence, struct alignment *view, struct error *err)
{
    if (!span_is(line, msa->kept_line)) {
        arena_release(&msa->kept, KEEP_BYTES);
        msa->kept_line[0] = 0;
        enum status status = raw_read(line, &msa->kept, &msa->family, err);
        if (status != STATUS_OK)
            return status;
        memcpy(msa->kept_line, line.data, line.size);
        msa->kept_line[line.size] = 0;
    }
    enum status status =
        family_view(&msa->family, row, sequence.data, (int)sequence.size, &msa->scratch, view, err);
    return status == STATUS_OK ? status : error_prefix(err, "%.*s", (int)line.size, line.data);
}

/* Rows of one of the chain's own alignments, on their way to the features. */
struct own {
    struct msa_builder *builder;
    struct span sequence;
    bool begun; /* the first row was the chain */
};

static enum status own_row(void *user, const struct alignment_row *row, struct error *err)
{
    struct own *own = user;
    enum status status = STATUS_OK;
    if (!own->begun)
        status = alignment_check_row(row, own->sequence.data, (int)own->sequence.size, err);
    own->begun = true;
    return status == STATUS_OK ? msa_add_row(own->builder, row, err) : status;
}

/* Adds one of the chain's own alignments, whose first row is the chain. Rows go one by one: neither
 * the text nor a second form of the symbols is ever in memory as a whole. */
static enum status own_read(struct msa_state *msa, struct span line, struct span sequence,
                            struct msa_builder *builder, struct error *err)
{
    enum alignment_format format;
    struct own own = {.builder = builder, .sequence = sequence};
    struct span name;
    struct lines lines;
    enum status status = input_lines(line, ALIGNMENT_BYTES_MAX, &msa->scratch, &name, &lines, err);
    if (status == STATUS_OK)
        status = alignment_format_of(name, &format, err);
    if (status == STATUS_OK) {
        status = alignment_own_rows(&lines, format, &msa->scratch, own_row, &own, err);
        if (status != STATUS_OK && !span_starts(span_of(err->text), lines.path))
            error_prefix(err, "%.*s", (int)line.size, line.data);
    }
    lines_close(&lines);
    return status == STATUS_OK ? status : (err->status = STATUS_REFUSED);
}

/* Room for the rows of all inputs, by their sizes, so that they need not be moved: a row takes more
 * bytes in its file than in memory; in a packed file perhaps an eighth. */
static void rows_reserve(struct span inputs, struct msa_builder *builder)
{
    enum { PACKED_TIMES = 8 };
    uint64_t bytes = 0;
    struct span line;
    struct error ignored; /* who reads the input says what is wrong with it; and without this room,
                             the builder takes it as it comes */
    while (span_line(&inputs, &line)) {
        char path[INPUT_PATH_MAX + 1];
        struct input input;
        struct stat info;
        if (input_parse(line, &input, &ignored) != STATUS_OK)
            continue;
        memcpy(path, input.path.data, input.path.size);
        path[input.path.size] = 0;
        struct span name = input.name;
        bool packed = name.size > 3 && memcmp(name.data + name.size - 3, ".gz", 3) == 0;
        if (stat(path, &info) == 0 && info.st_size > 0)
            bytes +=
                (uint64_t)(input.piece ? input.length : info.st_size) * (packed ? PACKED_TIMES : 1);
    }
    if (bytes > SAMPLE_BYTES_MAX)
        bytes = SAMPLE_BYTES_MAX;
    msa_reserve(builder, (int64_t)(bytes / (uint64_t)builder->length) + 1, &ignored);
}

/* Adds the rows of all inputs, a line each. */
static enum status files_read(struct msa_state *msa, struct span inputs, struct span row,
                              struct span sequence, struct msa_builder *builder, struct error *err)
{
    struct span line;
    int files = 0, fitting = 0;
    struct error first = {0};
    while (span_line(&inputs, &line)) {
        struct alignment view;
        if (line.size == 0)
            continue;
        if (line.size >= INPUT_LINE_MAX || ++files > FILES_MAX)
            return error_set(err, STATUS_REFUSED,
                             "a path of %zu bytes, or more than %d alignment files", line.size,
                             FILES_MAX);
        enum status status = row.size ? family_read(msa, line, row, sequence, &view, err)
                                      : own_read(msa, line, sequence, builder, err);
        if (status == STATUS_REFUSED && row.size) { /* it may be in another family's file */
            if (!first.status)
                first = *err;
            continue;
        }
        if (status == STATUS_OK && row.size)
            status = msa_add(builder, &view, err);
        if (status != STATUS_OK)
            return status;
        fitting++;
    }
    if (first.status && !fitting && msa->missing == MISSING_REFUSE) {
        *err = first;
        return STATUS_REFUSED;
    }
    return fitting ? STATUS_OK : msa_add_sequence(builder, SPAN(""), sequence.data, err);
}

/* The features as fields of the sample. */
static enum status fields_add(const struct msa *msa, struct sample *out, struct arena *arena,
                              struct error *err)
{
    size_t rows = (size_t)msa->rows;
    int64_t deletions = msa->deletion_start[rows];
    size_t deletion_bytes = (size_t)deletions * sizeof *msa->deletion_column;
    const struct field symbols = {.name = "msa",
                                  .kind = KIND_U8,
                                  .rank = 2,
                                  .size = {msa->rows, msa->length},
                                  .data = msa->symbol};
    enum status status = sample_put(out, &symbols, err);
    if (status != STATUS_OK)
        return status;
    memcpy(sample_add_1(out, arena, "deletion_start", KIND_I32, msa->rows + 1), msa->deletion_start,
           (rows + 1) * sizeof *msa->deletion_start);
    int32_t *column = sample_add_1(out, arena, "deletion_column", KIND_I32, deletions);
    int32_t *count = sample_add_1(out, arena, "deletion_count", KIND_I32, deletions);
    if (deletions) {
        memcpy(column, msa->deletion_column, deletion_bytes);
        memcpy(count, msa->deletion_count, deletion_bytes);
    }
    sample_add_i32(out, arena, "num_alignments", msa->rows);
    msa_profile(msa,
                sample_add_2(out, arena, "hhblits_profile", KIND_I32, msa->length, SYMBOL_COUNT));
    if (msa->species)
        memcpy(
            sample_add_2(out, arena, "msa_species_identifiers", KIND_U8, msa->rows, SPECIES_BYTES),
            msa->species, rows * SPECIES_BYTES);
    return STATUS_OK;
}

static enum status msa_feed(void *state, const struct work *work, const struct sample *in,
                            struct sample *out, struct arena *arena, struct error *err)
{
    (void)work;
    struct msa_state *msa = state;
    struct msa_builder builder;
    struct msa features;
    struct span sequence = sample_text(in, "sequence");
    if (sequence.size == 0)
        return error_set(err, STATUS_REFUSED, "the chain has no residues");
    arena_release(&msa->scratch, KEEP_BYTES);
    msa_open(&builder, (int)sequence.size, &msa->scratch);
    builder.symbol_arena = arena; /* where the field will stand */
    builder.with_species = msa->species;
    /* One row more than fits a sample is enough to refuse it. */
    builder.rows_max = (int64_t)(SAMPLE_BYTES_MAX / 2 / sequence.size) + 1;
    if (msa->rows_max && msa->rows_max < builder.rows_max)
        builder.rows_max = msa->rows_max;
    struct span files = sample_text(in, "alignment"), row = sample_text(in, "row");
    if (row.size == 0)
        rows_reserve(files, &builder);
    enum status status = files_read(msa, files, row, sequence, &builder, err);
    struct span found = sample_text(in, "found_alignment"), line;
    while (status == STATUS_OK && span_line(&found, &line))
        if (line.size)
            status = own_read(msa, line, sequence, &builder, err);
    if (status == STATUS_OK)
        status = msa_finish(&builder, &features, err);
    if (status != STATUS_OK)
        return status;
    size_t cells = (size_t)features.rows * (size_t)features.length;
    size_t deletions = (size_t)features.deletion_start[features.rows];
    if (cells + 2 * sizeof(int32_t) * deletions > SAMPLE_BYTES_MAX / 2)
        return error_set(err, STATUS_REFUSED,
                         "%d alignment rows of %d columns are too many for a sample: set rows_max",
                         features.rows, features.length);
    return fields_add(&features, out, arena, err);
}

static void msa_stage_close(void *state)
{
    struct msa_state *msa = state;
    arena_close(&msa->scratch);
    arena_close(&msa->kept);
}

static const char *const missing_choices[] = {"refuse", "alone", NULL};

static const struct param msa_params[] = {
    {.name = "rows_max",
     .type = PARAM_INT,
     .fallback = "0",
     .max = ALIGNMENT_ROWS_MAX,
     .offset = offsetof(struct msa_state, rows_max),
     .help = "Keep so many rows, the first of them; 0: all."},
    {.name = "missing",
     .type = PARAM_CHOICE,
     .fallback = "refuse",
     .choices = missing_choices,
     .offset = offsetof(struct msa_state, missing),
     .help =
         "What happens to a chain that its family's alignments lack: refuse it, or take the chain "
         "alone as the only row."},
    {.name = "species",
     .type = PARAM_BOOL,
     .fallback = "false",
     .offset = offsetof(struct msa_state, species),
     .help = "Also give msa_species_identifiers, the species of each row that has a UniProt name."},
    {.name = NULL},
};

static const char *const msa_in[] = {"sequence:u8[L]", "alignment:u8[A]", "row:u8[R]",
                                      "found_alignment:u8[F]?", NULL};
static const char *const msa_out[] = {"msa:u8[N,L]",
                                      "deletion_start:i32[S]",
                                      "deletion_column:i32[D]",
                                      "deletion_count:i32[D]",
                                      "num_alignments:i32",
                                      "hhblits_profile:i32[L,22]",
                                      "msa_species_identifiers:u8[N,5]?",
                                      NULL};

const struct stage stage_msa = {
    .abi = STAGE_ABI,
    .version = 1,
    .flags = STAGE_PASS,
    .name = "msa",
    .summary = "Reads alignments (A3M, A2M, FASTA, Stockholm, CLUSTAL) of chains and of families.",
    .state_size = sizeof(struct msa_state),
    .params = msa_params,
    .in = {msa_in},
    .out = {msa_out},
    .open = msa_stage_open,
    .feed = msa_feed,
    .close = msa_stage_close,
};

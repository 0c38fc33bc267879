/* Msa: the alignment files of a chain become the rows of its MSA features (data path sections 4 and
 * 6.3): symbols one byte each, deletions sparse, the profile as counts. Stands behind parse, whose
 * sequence says what the first row must be. */
#include "engine/base/file.h"
#include "engine/stage.h"
#include "stages/bio/family.h"
#include "stages/bio/msa.h"
#include "stages/bio/residue.h"

#include <string.h>

enum { PATH_BYTES_MAX = 4096, FILES_MAX = 1000, SPECIES_BYTES = 5 };

enum { MISSING_REFUSE, MISSING_ALONE };

struct msa_state {
    int64_t rows_max;
    int missing;
    bool species;
    struct arena scratch; /* of the sample in hand */
    struct arena kept;    /* of the family alignment that was read last */
    char kept_path[PATH_BYTES_MAX];
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

/* An alignment file as it is. What is wrong with it will not change by trying again. */
static enum status raw_read(const char *path, struct arena *arena, struct alignment *alignment,
                            enum alignment_format *format, struct error *err)
{
    struct span content;
    enum status status = alignment_format_of(span_of(path), format, err);
    if (status == STATUS_OK)
        status = file_read(path, ALIGNMENT_BYTES_MAX, arena, &content, err);
    if (status == STATUS_OK) {
        status = alignment_read(content, *format, arena, alignment, err);
        if (status != STATUS_OK)
            error_prefix(err, "%s", path);
    }
    return status == STATUS_OK ? status : (err->status = STATUS_REFUSED);
}

/* The chain's view of a family's alignment; consecutive chains of a family read the file once. */
static enum status family_read(struct msa_state *msa, const char *path, struct span row,
                               struct span sequence, struct alignment *view, struct error *err)
{
    if (strcmp(path, msa->kept_path) != 0) {
        enum alignment_format format;
        arena_reset(&msa->kept);
        msa->kept_path[0] = 0;
        enum status status = raw_read(path, &msa->kept, &msa->family, &format, err);
        if (status != STATUS_OK)
            return status;
        strcpy(msa->kept_path, path);
    }
    enum status status =
        family_view(&msa->family, row, sequence.data, (int)sequence.size, &msa->scratch, view, err);
    return status == STATUS_OK ? status : error_prefix(err, "%s", path);
}

/* One of the chain's own alignments: its first row is the chain. */
static enum status own_read(struct msa_state *msa, const char *path, struct span sequence,
                            struct alignment *view, struct error *err)
{
    struct alignment raw;
    enum alignment_format format;
    enum status status = raw_read(path, &msa->scratch, &raw, &format, err);
    if (status != STATUS_OK)
        return status;
    *view = raw;
    if (format == ALIGNMENT_STOCKHOLM || format == ALIGNMENT_CLUSTAL)
        status = alignment_project(&raw, 0, &msa->scratch, view, err);
    if (status == STATUS_OK)
        status = alignment_check_query(view, sequence.data, (int)sequence.size, err);
    return status == STATUS_OK ? status : error_prefix(err, "%s", path);
}

/* Adds the rows of all files, a line each in paths. */
static enum status files_read(struct msa_state *msa, struct span paths, struct span row,
                              struct span sequence, struct msa_builder *builder, struct error *err)
{
    struct span line;
    int files = 0, fitting = 0;
    struct error first = {0};
    while (span_line(&paths, &line)) {
        char path[PATH_BYTES_MAX];
        struct alignment view;
        if (line.size == 0)
            continue;
        if (line.size >= sizeof path || ++files > FILES_MAX)
            return error_set(err, STATUS_REFUSED,
                             "a path of %zu bytes, or more than %d alignment files", line.size,
                             FILES_MAX);
        memcpy(path, line.data, line.size);
        path[line.size] = 0;
        enum status status = row.size ? family_read(msa, path, row, sequence, &view, err)
                                      : own_read(msa, path, sequence, &view, err);
        if (status == STATUS_REFUSED && row.size) { /* it may be in another family's file */
            if (!first.status)
                first = *err;
            continue;
        }
        if (status == STATUS_OK)
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
static void fields_add(const struct msa_state *state, const struct msa *msa, struct sample *out,
                       struct arena *arena)
{
    size_t rows = (size_t)msa->rows, length = (size_t)msa->length;
    int64_t deletions = msa->deletion_start[rows];
    size_t deletion_bytes = (size_t)deletions * sizeof *msa->deletion_column;
    memcpy(sample_add_2(out, arena, "msa", KIND_U8, msa->rows, msa->length), msa->symbol,
           rows * length);
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
    if (!state->species)
        return;
    char *species =
        sample_add_2(out, arena, "msa_species_identifiers", KIND_U8, msa->rows, SPECIES_BYTES);
    for (size_t row = 0; row < rows; row++) {
        struct span id = species_id(msa->description[row]);
        memcpy(species + row * SPECIES_BYTES, id.data, id.size);
    }
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
    arena_reset(&msa->scratch);
    msa_open(&builder, (int)sequence.size, &msa->scratch);
    enum status status = files_read(msa, sample_text(in, "alignment"), sample_text(in, "row"),
                                    sequence, &builder, err);
    if (status == STATUS_OK && msa->rows_max)
        msa_cut(&builder, msa->rows_max);
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
    fields_add(msa, &features, out, arena);
    return STATUS_OK;
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

static const char *const msa_in[] = {"sequence:u8[L]", "alignment:u8[A]", "row:u8[R]", NULL};
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

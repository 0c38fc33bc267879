/* Alignment files as they are: rows of letters over common columns, and what was inserted between
 * the columns. Read from A3M, A2M and aligned FASTA (a3m.c), Stockholm (sto.c) and CLUSTAL
 * (clustal.c); msa.c makes features of them, family.c takes one chain's view of a family's
 * alignment. */
#ifndef STAGES_BIO_ALIGNMENT_H
#define STAGES_BIO_ALIGNMENT_H

#include "engine/base/arena.h"
#include "engine/base/error.h"
#include "engine/base/lines.h"
#include "engine/base/text.h"

#include <stdint.h>

/* No alignment file is larger, unpacked. */
#define ALIGNMENT_BYTES_MAX ((size_t)1 << 30)

enum { ALIGNMENT_ROWS_MAX = 1 << 22, ALIGNMENT_WIDTH_MAX = 1 << 20 };

enum alignment_format { ALIGNMENT_A3M, ALIGNMENT_A2M, ALIGNMENT_STOCKHOLM, ALIGNMENT_CLUSTAL };

/* Residues inserted before a column of a row. */
struct insertion {
    int32_t column, count;
};

struct alignment {
    int rows, width;
    char *letters;            /* [rows, width] A..Z and '-' */
    struct span *description; /* [rows] header line, or name */
    int32_t *insertion_start; /* [rows + 1] into insertion: row by row, columns rising */
    struct insertion *insertion;
};

/* A row as its file has it. */
struct alignment_row {
    struct span description;
    const char *letters; /* [width] A..Z and '-' */
    int width;
    const struct insertion *insertion; /* [insertions], columns rising */
    int insertions;
};

/* Is given the rows of a file one after another; what they point to is good for the call alone. */
typedef enum status alignment_row_fn(void *user, const struct alignment_row *row,
                                     struct error *err);

/* The format that a file's name says (".gz" behind it does not matter). STATUS_INVALID, naming the
 * known suffixes, for other names. */
enum status alignment_format_of(struct span path, enum alignment_format *format, struct error *err);

/* Gives the rows of a file to take, one after another; buffers lie in arena. A3M and A2M take the
 * memory of a row, Stockholm and CLUSTAL that of all letters. Lower-case letters are insertions in
 * A3M and A2M, '.' is skipped in A2M; both are errors elsewhere. Insertions behind the last column
 * are dropped. Errors, naming line and row: STATUS_REFUSED for another format, rows of unequal
 * width, letters outside the alphabet, no rows; STATUS_LIMIT; those of lines_next and of take. */
enum status alignment_rows(struct lines *lines, enum alignment_format format, struct arena *arena,
                           alignment_row_fn *take, void *user, struct error *err);

/* alignment_rows of a chain's own alignment, whose first row is the chain: Stockholm and CLUSTAL
 * lose the columns in which that row has gaps, as alignment_project does. */
enum status alignment_own_rows(struct lines *lines, enum alignment_format format,
                               struct arena *arena, alignment_row_fn *take, void *user,
                               struct error *err);

/* The text of one file as a whole. Status as alignment_rows. */
enum status alignment_read(struct span content, enum alignment_format format, struct arena *arena,
                           struct alignment *alignment, struct error *err);

/* The columns that keep[] names, in rising order (-1: a column that is not there, gaps in all
 * rows); letters in the others become insertions before the next kept column. */
enum status alignment_keep(const struct alignment *from, const int32_t *keep, int count,
                           struct arena *arena, struct alignment *to, struct error *err);

/* alignment_keep of the columns in which row has a letter. */
enum status alignment_project(const struct alignment *from, int row, struct arena *arena,
                              struct alignment *to, struct error *err);

/* A row of it. */
struct alignment_row alignment_row(const struct alignment *alignment, int row);

/* Row's name: the first word of its description. */
struct span alignment_name(const struct alignment *alignment, int row);

/* Rows into an alignment of at most letters_room letters. */
struct collector {
    struct arena *arena;
    struct alignment *alignment;
    size_t letters_room;
    bool borrow; /* descriptions stay: they need not be copied */
    int description_room, start_room, insertions, insertion_room;
};

enum status collector_open(struct collector *collector, size_t letters_room, struct arena *arena,
                           struct alignment *alignment, struct error *err);
enum status collector_take(void *collector, const struct alignment_row *row, struct error *err);
enum status collector_close(struct collector *collector, struct error *err);

/* The readers behind alignment_rows. dots: A2M. */
enum status a3m_rows(struct lines *lines, bool dots, struct arena *arena, alignment_row_fn *take,
                     void *user, struct error *err);
enum status sto_rows(struct lines *lines, struct arena *arena, alignment_row_fn *take, void *user,
                     struct error *err);
enum status clustal_rows(struct lines *lines, struct arena *arena, alignment_row_fn *take,
                         void *user, struct error *err);

#endif

/* What the fuzz targets of alignment formats share: read, take the first row's view and a family's
 * view, make features, and check that all of it fits together. */
#ifndef TESTS_FUZZ_ALIGNMENT_H
#define TESTS_FUZZ_ALIGNMENT_H

#include "stages/bio/family.h"
#include "stages/bio/msa.h"
#include "stages/bio/residue.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static inline void fuzz_features(const struct alignment *view, struct arena *arena)
{
    struct msa_builder builder;
    struct msa msa;
    struct error err = {0};
    msa_open(&builder, view->width, arena);
    builder.with_species = true;
    if (msa_add(&builder, view, &err) != STATUS_OK || msa_finish(&builder, &msa, &err) != STATUS_OK)
        return;
    ASSERT(msa.rows >= 1 && msa.rows <= view->rows && msa.deletion_start[0] == 0);
    for (int row = 0; row < msa.rows; row++) {
        for (int i = 0; i < msa.length; i++)
            ASSERT_INT(msa.symbol[(size_t)row * (size_t)msa.length + (size_t)i], <, SYMBOL_COUNT);
        int last = -1;
        for (int k = msa.deletion_start[row]; k < msa.deletion_start[row + 1]; k++) {
            ASSERT(msa.deletion_column[k] > last && msa.deletion_column[k] < msa.length);
            ASSERT_INT(msa.deletion_count[k], >=, 1);
            last = msa.deletion_column[k];
        }
    }
}

static inline enum status fuzz_own_row(void *user, const struct alignment_row *row,
                                       struct error *err)
{
    struct msa_builder *builder = (struct msa_builder *)user;
    if (builder->length == 0)
        builder->length = row->width;
    return row->width ? msa_add_row(builder, row, err) : error_set(err, STATUS_REFUSED, "gaps");
}

/* Rows taken one by one from the file give the features of the first row's view. */
static inline void fuzz_own(struct span content, enum alignment_format format,
                            const struct alignment *view, struct arena *arena)
{
    struct msa_builder one, other;
    struct msa a, b;
    struct lines lines;
    struct error err = {0};
    msa_open(&one, 0, arena);
    msa_open(&other, view->width, arena);
    lines_open_text(&lines, content);
    if (alignment_own_rows(&lines, format, arena, fuzz_own_row, &one, &err) != STATUS_OK ||
        msa_finish(&one, &a, &err) != STATUS_OK || msa_add(&other, view, &err) != STATUS_OK ||
        msa_finish(&other, &b, &err) != STATUS_OK) {
        ASSERT_INT(err.status, ==, STATUS_LIMIT);
        return;
    }
    ASSERT(a.rows == b.rows && a.length == b.length);
    size_t rows = (size_t)a.rows, length = (size_t)a.length;
    size_t deletions = (size_t)a.deletion_start[rows] * sizeof *a.deletion_count;
    ASSERT(memcmp(a.symbol, b.symbol, rows * length) == 0);
    ASSERT(memcmp(a.deletion_start, b.deletion_start, (rows + 1) * sizeof(int32_t)) == 0);
    ASSERT(!deletions || (memcmp(a.deletion_column, b.deletion_column, deletions) == 0 &&
                          memcmp(a.deletion_count, b.deletion_count, deletions) == 0));
}

static inline int fuzz_alignment(const uint8_t *data, size_t size, enum alignment_format format)
{
    struct arena arena;
    struct alignment alignment, view;
    struct error err = {0};
    arena_open(&arena, 1 << 26);
    enum status status =
        alignment_read((struct span){(const char *)data, size}, format, &arena, &alignment, &err);
    if (status == STATUS_OK) {
        ASSERT(alignment.rows >= 1 && alignment.width >= 1);
        fuzz_features(&alignment, &arena);
        if (alignment_project(&alignment, 0, &arena, &view, &err) == STATUS_OK && view.width) {
            bool a3m = format == ALIGNMENT_A3M || format == ALIGNMENT_A2M;
            fuzz_features(&view, &arena);
            fuzz_own((struct span){(const char *)data, size}, format, a3m ? &alignment : &view,
                     &arena);
            struct alignment family;
            if (family_view(&alignment, alignment_name(&alignment, 0), view.letters, view.width,
                            &arena, &family, &err) == STATUS_OK) {
                ASSERT(memcmp(family.letters, view.letters, (size_t)view.width) == 0);
                fuzz_features(&family, &arena);
            }
        }
    } else {
        ASSERT(err.text[0] && (status == STATUS_REFUSED || status == STATUS_LIMIT));
    }
    arena_close(&arena);
    return 0;
}

#endif

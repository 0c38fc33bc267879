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
            fuzz_features(&view, &arena);
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

/* Readers in arenas of every size from none to enough: they say that there is no room, and never
 * die of it or call it a fault of the file. */
#include "engine/base/file.h"
#include "stages/bio/family.h"
#include "stages/bio/msa.h"
#include "stages/bio/structure_read.h"

#include <criterion/criterion.h>

static struct span corpus(const char *name, struct arena *arena)
{
    struct span content;
    struct error err;
    char *path = arena_printf(arena, "%s/tests/data/fuzz/%s", FOLDMILL_SOURCE, name);
    cr_assert(file_read(path, 1 << 20, arena, &content, &err) == STATUS_OK, "%s", err.text);
    return content;
}

static enum status structure_in(struct span content, struct arena *arena, struct error *err)
{
    struct structure structure;
    struct structure_wish wish = {.coordinates = true};
    return structure_read(content, PDB_EXPERIMENTAL, &wish, arena, &structure, err);
}

static enum status alignment_in(struct span content, enum alignment_format format,
                                struct arena *arena, struct error *err)
{
    struct alignment raw, first, view;
    struct msa_builder builder;
    struct msa msa;
    enum status status = alignment_read(content, format, arena, &raw, err);
    if (status == STATUS_OK)
        status = alignment_project(&raw, 0, arena, &first, err);
    if (status == STATUS_OK)
        status = family_view(&raw, alignment_name(&raw, 0), first.letters, first.width, arena,
                             &view, err);
    if (status != STATUS_OK)
        return status;
    msa_open(&builder, view.width, arena);
    status = msa_add(&builder, &view, err);
    return status == STATUS_OK ? msa_finish(&builder, &msa, err) : status;
}

Test(room, too_little_is_said, .timeout = 60)
{
    static const struct {
        const char *name;
        int format; /* of an alignment, or -1 */
    } cases[] = {
        {"cif/whole.cif", -1},
        {"pdb/whole.pdb", -1},
        {"a3m/family.a2m", ALIGNMENT_A2M},
        {"sto/rows.sto", ALIGNMENT_STOCKHOLM},
        {"clustal/rows.aln", ALIGNMENT_CLUSTAL},
    };
    struct arena files;
    arena_open(&files, 0);
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        struct span content = corpus(cases[c].name, &files);
        enum status status = STATUS_LIMIT;
        int limits = 0;
        for (size_t bytes = 64; status != STATUS_OK; bytes += 64) {
            struct arena arena;
            struct error err = {0};
            arena_open(&arena, bytes);
            status =
                cases[c].format < 0
                    ? structure_in(content, &arena, &err)
                    : alignment_in(content, (enum alignment_format)cases[c].format, &arena, &err);
            arena_close(&arena);
            cr_assert(status == STATUS_OK || status == STATUS_LIMIT, "%s in %zu bytes: %s: %s",
                      cases[c].name, bytes, status_name(status), err.text);
            cr_assert(bytes < 1 << 20, "%s never fits", cases[c].name);
            limits += status == STATUS_LIMIT;
        }
        cr_assert(limits > 10, "%s: %d", cases[c].name, limits);
    }
    arena_close(&files);
}

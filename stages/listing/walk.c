/* See walk.h. */
#include "stages/listing/walk.h"

#include "stages/listing/folder.h"
#include "stages/listing/inputs.h"

#include <ctype.h>

static bool has_stem(struct span name, struct span *stem)
{
    static const char *const suffixes[] = {".cif", ".mmcif", ".pdb", ".ent", NULL};
    return name_stem(name, suffixes, stem);
}

static void visit(const struct walk *walk, const char *path, const struct stamp *stamp,
                  const char *family, bool alone)
{
    static const char *const cif[] = {".cif", ".mmcif", NULL};
    static const char *const fasta[] = {".fasta", ".fa", ".faa", NULL};
    struct span name = name_base(span_of(path)), unused;
    struct walk_file file = {.path = path,
                             .stem = name,
                             .stamp = *stamp,
                             .cif = name_stem(name, cif, &unused),
                             .sequences = alone && name_stem(name, fasta, &unused),
                             .family = family};
    has_stem(name, &file.stem);
    walk->visit(walk->user, &file);
}

/* The structure files of one folder; its other names are handed back in *rest[*rest_count]. */
static enum status visit_folder(const struct walk *walk, const char *folder, int *structures,
                                char ***rest, int *rest_count, struct error *err)
{
    int count = 0;
    char **paths = folder_files(folder, walk->arena, &count, err);
    if (!paths)
        return err->status;
    const char *family = "";
    for (int i = 0; i < count && walk->families; i++)
        if (inputs_is_alignment(name_base(span_of(paths[i]))))
            inputs_add(walk->arena, &family, paths[i]);
    *rest = paths;
    *rest_count = 0;
    for (int i = 0; i < count; i++) {
        struct span stem;
        struct stamp stamp;
        if (!has_stem(name_base(span_of(paths[i])), &stem)) {
            (*rest)[(*rest_count)++] = paths[i];
        } else if (stamp_take(paths[i], &stamp)) {
            ++*structures;
            visit(walk, paths[i], &stamp, family, false);
        }
    }
    return STATUS_OK;
}

/* Two letters or digits: the middle ones of an entry's name. */
static bool is_shelf(struct span name)
{
    return name.size == 2 && isalnum((unsigned char)name.data[0]) &&
           isalnum((unsigned char)name.data[1]);
}

enum status walk_path(const struct walk *walk, const char *path, struct error *err)
{
    static const char *const inner[] = {"pdb", "cif"};
    struct stamp stamp;
    char **names, **unused;
    int count = 0, unused_count, structures = 0;
    if (stamp_take(path, &stamp)) {
        visit(walk, path, &stamp, "", true);
        return STATUS_OK;
    }
    enum status status = visit_folder(walk, path, &structures, &names, &count, err);
    for (int i = 0; i < count && status == STATUS_OK; i++) {
        if (is_shelf(name_base(span_of(names[i]))) && path_is_folder(names[i]))
            status = visit_folder(walk, names[i], &structures, &unused, &unused_count, err);
        for (int k = 0; k < 2 && status == STATUS_OK; k++) {
            const char *folder = arena_printf(walk->arena, "%s/%s", names[i], inner[k]);
            if (path_is_folder(folder))
                status = visit_folder(walk, folder, &structures, &unused, &unused_count, err);
        }
    }
    if (status == STATUS_OK && structures == 0)
        status = error_set(err, STATUS_INVALID,
                           "%s: holds no structure files (*.cif, *.mmcif, *.pdb, *.ent, also .gz; "
                           "there, in subfolders of two letters, or in NAME/pdb and NAME/cif)",
                           path);
    return status;
}

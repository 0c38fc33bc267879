/* Template searches for the demo, made without searching: each chain of a family gets a result file
 * in HHsearch's format, whose hits are other chains of the same family, aligned as the family's own
 * alignment has them; and the structures of those hits are written as mmCIF files, as the stage
 * `templates` wants them. Figures are counts of that alignment, and the files say so. A structure's
 * release date is the day of the file that holds it: its entry was public by then.
 *   demo_hits OUT FOLDER...   into OUT/hits and OUT/structures, from families in FOLDERs */
#include "stages/bio/alignment.h"
#include "stages/bio/chain_name.h"
#include "stages/bio/input.h"
#include "stages/bio/residue.h"
#include "stages/bio/structure_read.h"
#include "stages/listing/folder.h"
#include "stages/listing/inputs.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

enum { MEMBERS_MAX = 1000, LIBRARY = 12, HITS = 6, LETTERS_LEAST = 10 };

/* A chain whose row of the family's alignment holds just its residues. */
struct member {
    const char *key, *entry;
    struct structure_chain chain;
    const char *row; /* [width] A..Z and '-' */
    char date[11];   /* YYYY-MM-DD */
};

/* A hit: the columns that either chain has, from the first to the last that both have. */
struct hit {
    const struct member *member;
    char *query, *letters; /* [columns] */
    int columns, aligned, identical;
    int query_from, letters_from; /* residues before the first column */
};

static struct error err;

static void fail(const char *what)
{
    fprintf(stderr, "demo_hits: %s: %s\n", what, err.text);
    exit(1);
}

static FILE *file_make(const char *path)
{
    FILE *file = fopen(path, "we");
    if (!file) {
        error_set(&err, STATUS_IO, "%s", strerror(errno));
        fail(path);
    }
    return file;
}

static void file_end(FILE *file, const char *path)
{
    if (ferror(file) | fclose(file)) {
        error_set(&err, STATUS_IO, "%s", strerror(errno));
        fail(path);
    }
}

/* The row's letters are the chain's, one for one. */
static bool row_fits(const char *row, int width, const struct structure_chain *chain)
{
    int at = 0;
    for (int c = 0; c < width; c++)
        if (row[c] != '-' && (at >= chain->length || row[c] != chain->sequence[at++]))
            return false;
    return at == chain->length;
}

/* Reads a structure file of the folder; false: it is none, or has no row that fits. */
static bool member_read(const char *path, const struct alignment *family, struct arena *arena,
                        struct member *member)
{
    static const char *const suffixes[] = {".pdb", ".ent", NULL};
    struct chain_file file = {.chain_count = 1};
    struct span name = name_base(span_of(path)), input_name, content;
    struct structure structure;
    struct structure_wish wish = {.coordinates = true};
    struct stat state;
    if (!name_stem(name, suffixes, &file.stem) || stat(path, &state) != 0 ||
        input_read(span_of(path), STRUCTURE_BYTES_MAX, arena, &input_name, &content, &err) !=
            STATUS_OK ||
        structure_read(content, PDB_EXPERIMENTAL, &wish, arena, &structure, &err) != STATUS_OK ||
        structure.chain_count != 1)
        return false;
    *member = (struct member){.chain = structure.chain[0]};
    chain_name(&file, member->chain.name, arena, &member->key, &member->entry);
    struct tm day;
    gmtime_r(&state.st_mtime, &day);
    strftime(member->date, sizeof member->date, "%Y-%m-%d", &day);
    for (int r = 0; r < family->rows; r++) {
        struct span row = alignment_name(family, r);
        if (row.size >= file.stem.size && memcmp(row.data, file.stem.data, file.stem.size) == 0 &&
            row_fits(family->letters + (size_t)r * (size_t)family->width, family->width,
                     &member->chain)) {
            member->row = family->letters + (size_t)r * (size_t)family->width;
            return strlen(member->entry) == 4;
        }
    }
    return false;
}

static struct hit hit_make(const struct member *query, const struct member *other, int width,
                           struct arena *arena)
{
    struct hit hit = {.member = other};
    int first = width, last = -1;
    for (int c = 0; c < width; c++)
        if (query->row[c] != '-' && other->row[c] != '-') {
            first = c < first ? c : first;
            last = c;
        }
    hit.query = arena_alloc(arena, (size_t)width + 1);
    hit.letters = arena_alloc(arena, (size_t)width + 1);
    for (int c = 0; c <= last; c++) {
        char q = query->row[c], t = other->row[c];
        if (c < first) {
            hit.query_from += q != '-';
            hit.letters_from += t != '-';
        } else if (q != '-' || t != '-') {
            hit.query[hit.columns] = q;
            hit.letters[hit.columns++] = t;
            hit.aligned += q != '-' && t != '-';
            hit.identical += q == t;
        }
    }
    hit.query[hit.columns] = hit.letters[hit.columns] = 0;
    return hit;
}

/* Most identical columns first; by name where equal. */
static int hit_before(const void *a, const void *b)
{
    const struct hit *x = a, *y = b;
    if (x->identical != y->identical)
        return y->identical - x->identical;
    return strcmp(x->member->key, y->member->key);
}

static int letters_of(const char *row)
{
    int count = 0;
    for (; *row; row++)
        count += *row != '-';
    return count;
}

static void hits_write(const char *path, const struct member *query, const struct hit *hits,
                       int count, const char *family)
{
    FILE *file = file_make(path);
    fprintf(file,
            "Query         %s\nMatch_columns %d\n"
            "Command       demo_hits: no search; rows of the family's alignment %s,\n"
            "              Sum_probs is the number of identical columns\n\n"
            " No Hit                             Cols Identical\n",
            query->key, query->chain.length, family);
    for (int h = 0; h < count; h++)
        fprintf(file, "%3d %-30s %5d %5d\n", h + 1, hits[h].member->key, hits[h].aligned,
                hits[h].identical);
    for (int h = 0; h < count; h++) {
        const struct hit *hit = &hits[h];
        const struct member *other = hit->member;
        fprintf(file, "\nNo %d\n>%s_%.*s of the same family\n", h + 1, other->entry,
                (int)other->chain.name.size, other->chain.name.data);
        fprintf(file, "Aligned_cols=%d  Identities=%d%%  Sum_probs=%d.0\n\n", hit->aligned,
                100 * hit->identical / hit->aligned, hit->identical);
        fprintf(file, "Q %-16s %5d %s %5d (%d)\n", query->key, hit->query_from + 1, hit->query,
                hit->query_from + letters_of(hit->query), query->chain.length);
        fprintf(file, "T %-16s %5d %s %5d (%d)\n", other->key, hit->letters_from + 1, hit->letters,
                hit->letters_from + letters_of(hit->letters), other->chain.length);
    }
    file_end(file, path);
}

static const char *code_of(char letter)
{
    static const char codes[][4] = {"ALA", "ARG", "ASN", "ASP", "CYS", "GLN", "GLU",
                                    "GLY", "HIS", "ILE", "LEU", "LYS", "MET", "PHE",
                                    "PRO", "SER", "THR", "TRP", "TYR", "VAL", "UNK"};
    return codes[residue_type(letter)];
}

/* The chain as an entry of its own. */
static void structure_write(const char *path, const struct member *member)
{
    const struct structure_chain *chain = &member->chain;
    FILE *file = file_make(path);
    fprintf(file,
            "data_%s\n# made by demo_hits from a PDB file; the date is that file's\n_entry.id %s\n"
            "_pdbx_audit_revision_history.revision_date %s\nloop_\n_chem_comp.id\n"
            "_chem_comp.type\n",
            member->entry, member->entry, member->date);
    for (const char *letter = residue_letters; *letter; letter++)
        fprintf(file, "%s 'L-peptide linking'\n", code_of(*letter));
    fputs("loop_\n_entity_poly_seq.entity_id\n_entity_poly_seq.num\n_entity_poly_seq.mon_id\n",
          file);
    for (int i = 0; i < chain->length; i++)
        fprintf(file, "1 %d %s\n", i + 1, code_of(chain->sequence[i]));
    fputs("loop_\n_struct_asym.id\n_struct_asym.entity_id\nA 1\nloop_\n_atom_site.group_PDB\n"
          "_atom_site.id\n_atom_site.label_atom_id\n_atom_site.label_alt_id\n"
          "_atom_site.label_comp_id\n_atom_site.label_asym_id\n_atom_site.label_seq_id\n"
          "_atom_site.pdbx_PDB_ins_code\n_atom_site.Cartn_x\n_atom_site.Cartn_y\n"
          "_atom_site.Cartn_z\n_atom_site.occupancy\n_atom_site.B_iso_or_equiv\n"
          "_atom_site.auth_seq_id\n_atom_site.auth_asym_id\n_atom_site.pdbx_PDB_model_num\n",
          file);
    for (int i = 0, serial = 1; i < chain->length; i++)
        for (int a = 0; a < ATOM37; a++) {
            const float *at = chain->positions + ((size_t)i * ATOM37 + (size_t)a) * 3;
            if (chain->mask[(size_t)i * ATOM37 + (size_t)a])
                fprintf(file, "ATOM %d %.4s . %s A %d ? %.3f %.3f %.3f 1.00 0.00 %d %.*s 1\n",
                        serial++, atom37_names[a], code_of(chain->sequence[i]), i + 1,
                        (double)at[0], (double)at[1], (double)at[2], i + 1, (int)chain->name.size,
                        chain->name.data);
        }
    file_end(file, path);
}

/* Members whose structures serve as templates: some, evenly over the names, an entry once. */
static int library_choose(const struct member *members, int count, const struct member **library)
{
    int chosen = 0;
    for (int m = 0; m < count && chosen < LIBRARY; m++) {
        bool fresh = chosen == 0 || strcmp(library[chosen - 1]->entry, members[m].entry) != 0;
        if (fresh && m * LIBRARY >= chosen * count)
            library[chosen++] = &members[m];
    }
    return chosen;
}

static void family_write(const char *out, const char *folder, struct arena *arena)
{
    struct alignment family = {0};
    int file_count, count = 0, library_count;
    const struct member *library[LIBRARY];
    const char *family_name = "";
    char **files = folder_files(folder, arena, &file_count, &err);
    if (!files)
        fail(folder);
    for (int f = 0; f < file_count; f++) {
        struct span path = span_of(files[f]), name, content;
        enum alignment_format format;
        if (!inputs_is_alignment(name_base(path)))
            continue;
        family_name = arena_text(arena, name_base(path).data, name_base(path).size);
        if (input_read(path, ALIGNMENT_BYTES_MAX, arena, &name, &content, &err) != STATUS_OK ||
            alignment_format_of(name, &format, &err) != STATUS_OK ||
            alignment_read(content, format, arena, &family, &err) != STATUS_OK)
            fail(files[f]);
    }
    struct member *members = arena_alloc(arena, MEMBERS_MAX * sizeof *members);
    for (int f = 0; f < file_count && count < MEMBERS_MAX; f++)
        count += member_read(files[f], &family, arena, &members[count]);
    library_count = library_choose(members, count, library);
    for (int t = 0; t < library_count; t++)
        structure_write(arena_printf(arena, "%s/structures/%s.cif", out, library[t]->entry),
                        library[t]);
    for (int m = 0; m < count; m++) {
        struct hit hits[LIBRARY];
        int hit_count = 0;
        for (int t = 0; t < library_count; t++) {
            hits[hit_count] = hit_make(&members[m], library[t], family.width, arena);
            hit_count += hits[hit_count].aligned >= LETTERS_LEAST;
        }
        qsort(hits, (size_t)hit_count, sizeof *hits, hit_before);
        hits_write(arena_printf(arena, "%s/hits/%s.hhr", out, members[m].key), &members[m], hits,
                   hit_count < HITS ? hit_count : HITS, family_name);
    }
    printf("%s: %d chains have hits in %d structures (of %d files)\n", folder, count, library_count,
           file_count);
}

static void folder_make(const char *path)
{
    if (mkdir(path, 0777) != 0 && errno != EEXIST) {
        error_set(&err, STATUS_IO, "%s", strerror(errno));
        fail(path);
    }
}

int main(int argc, char **argv)
{
    struct arena arena;
    if (argc < 3 || argv[1][0] == '-') {
        puts("usage: demo_hits OUT FOLDER...   template searches of the demo, made of families");
        return argc < 2 || strcmp(argv[1], "--help") != 0;
    }
    arena_open(&arena, 0);
    folder_make(argv[1]);
    folder_make(arena_printf(&arena, "%s/hits", argv[1]));
    folder_make(arena_printf(&arena, "%s/structures", argv[1]));
    for (int f = 2; f < argc; f++)
        family_write(argv[1], argv[f], &arena);
    arena_close(&arena);
    return 0;
}

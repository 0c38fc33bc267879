/* Writes predicted structures; see fold_write.h. */
#include "stages/learn/fold_write.h"

#include "engine/base/file.h"
#include "stages/bio/residue.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

static const char names[RESTYPE_COUNT][4] = {"ALA", "ARG", "ASN", "ASP", "CYS", "GLN", "GLU",
                                             "GLY", "HIS", "ILE", "LEU", "LYS", "MET", "PHE",
                                             "PRO", "SER", "THR", "TRP", "TYR", "VAL", "UNK"};

/* Whether the columns of PDB can hold a residue: 8.3 digits a coordinate. */
static bool fits(const struct fold *fold, int64_t n)
{
    const float *atoms = fold->atoms + n * ATOM14 * 3;
    bool good = true;
    for (int i = 0; i < 3 * atom14_count[fold->aatype[n]] && good; i++)
        good = atoms[i] > -999.0f && atoms[i] < 9999.0f;
    return good;
}

static enum status does_not_fit(const struct fold *fold, int64_t n, const char *path,
                                struct error *err)
{
    return error_set(err, STATUS_LIMIT,
                     "residue %d of %s: the format cannot hold its number or places",
                     fold->number[n] + 1, path);
}

/* Closes the text, and makes it the file where all is well. */
static enum status text_end(FILE *out, char **text, size_t *size, enum status status,
                            const char *path, struct error *err)
{
    fclose(out);
    if (status == STATUS_OK)
        status = file_write_atomic(path, (struct span){*text, *size}, err);
    free(*text);
    return status;
}

enum status fold_write_pdb(const char *path, const struct fold *fold, struct error *err)
{
    char *text = NULL;
    size_t size;
    int serial = 0;
    enum status status = STATUS_OK;
    FILE *out = open_memstream(&text, &size);
    ASSERT(out);
    fprintf(out, "REMARK   1 %.68s\n", fold->remark);
    for (int64_t n = 0; n < fold->length && status == STATUS_OK; n++) {
        const float *place = fold->atoms + n * ATOM14 * 3;
        int32_t type = fold->aatype[n], number = fold->number[n];
        if (fold->mask[n] <= 0)
            continue;
        if (number < 0 || number >= 9999 || !fits(fold, n))
            status = does_not_fit(fold, n, path, err);
        for (int k = 0; k < atom14_count[type] && status == STATUS_OK; k++) {
            const char *atom = atom37_names[atom14_to_atom37[type][k]];
            fprintf(out,
                    "ATOM  %5d  %-3.3s %3.3s A%4d    %8.3f%8.3f%8.3f  1.00%6.2f          %2c\n",
                    ++serial % 100000, atom, names[type], number + 1, (double)place[3 * k],
                    (double)place[3 * k + 1], (double)place[3 * k + 2], (double)fold->plddt[n],
                    atom[0]);
        }
    }
    fputs("TER\nEND\n", out);
    return text_end(out, &text, &size, status, path, err);
}

/* All that stands before the atoms. */
static void cif_head(FILE *out, const struct fold *fold)
{
    bool used[RESTYPE_COUNT] = {false};
    int number = 0;
    fprintf(out, "data_%s\n#\n_entry.id %s\n#\n", fold->name, fold->name);
    fprintf(out, "_struct.entry_id %s\n_struct.title '%.200s'\n#\n", fold->name, fold->remark);
    fputs("_entity.id 1\n_entity.type polymer\n_entity.pdbx_description 'predicted chain'\n#\n"
          "_entity_poly.entity_id 1\n_entity_poly.type 'polypeptide(L)'\n#\n"
          "_struct_asym.id A\n_struct_asym.entity_id 1\n#\nloop_\n_entity_poly_seq.entity_id\n"
          "_entity_poly_seq.num\n_entity_poly_seq.mon_id\n_entity_poly_seq.hetero\n",
          out);
    for (int64_t n = 0; n < fold->length; n++)
        if (fold->mask[n] > 0) {
            fprintf(out, "1 %d %s n\n", ++number, names[fold->aatype[n]]);
            used[fold->aatype[n]] = true;
        }
    fputs("#\nloop_\n_chem_comp.id\n_chem_comp.type\n", out);
    for (int type = 0; type < RESTYPE_COUNT; type++)
        if (used[type])
            fprintf(out, "%s '%s'\n", names[type],
                    type == RESTYPE_GLY ? "peptide linking" : "L-peptide linking");
    fputs("#\nloop_\n_atom_site.group_PDB\n_atom_site.id\n_atom_site.type_symbol\n"
          "_atom_site.label_atom_id\n_atom_site.label_alt_id\n_atom_site.label_comp_id\n"
          "_atom_site.label_asym_id\n_atom_site.label_entity_id\n_atom_site.label_seq_id\n"
          "_atom_site.pdbx_PDB_ins_code\n_atom_site.Cartn_x\n_atom_site.Cartn_y\n"
          "_atom_site.Cartn_z\n_atom_site.occupancy\n_atom_site.B_iso_or_equiv\n"
          "_atom_site.auth_seq_id\n_atom_site.auth_comp_id\n_atom_site.auth_asym_id\n"
          "_atom_site.auth_atom_id\n_atom_site.pdbx_PDB_model_num\n",
          out);
}

enum status fold_write_cif(const char *path, const struct fold *fold, struct error *err)
{
    char *text = NULL;
    size_t size;
    int serial = 0, residue = 0;
    enum status status = STATUS_OK;
    FILE *out = open_memstream(&text, &size);
    ASSERT(out);
    cif_head(out, fold);
    for (int64_t n = 0; n < fold->length && status == STATUS_OK; n++) {
        const float *place = fold->atoms + n * ATOM14 * 3;
        int32_t type = fold->aatype[n];
        if (fold->mask[n] <= 0)
            continue;
        residue++;
        if (fold->number[n] < 0 || !fits(fold, n))
            status = does_not_fit(fold, n, path, err);
        for (int k = 0; k < atom14_count[type] && status == STATUS_OK; k++) {
            const char *atom = atom37_names[atom14_to_atom37[type][k]];
            fprintf(out, "ATOM %d %c %s . %s A 1 %d ? %.3f %.3f %.3f 1.00 %.2f %d %s A %s 1\n",
                    ++serial, atom[0], atom, names[type], residue, (double)place[3 * k],
                    (double)place[3 * k + 1], (double)place[3 * k + 2], (double)fold->plddt[n],
                    fold->number[n] + 1, names[type], atom);
        }
    }
    fputs("#\n", out);
    return text_end(out, &text, &size, status, path, err);
}

/* Writes PDB files; see fold_write.h. */
#include "stages/learn/fold_write.h"

#include "engine/base/file.h"
#include "stages/bio/residue.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static const char names[RESTYPE_COUNT][4] = {"ALA", "ARG", "ASN", "ASP", "CYS", "GLN", "GLU",
                                             "GLY", "HIS", "ILE", "LEU", "LYS", "MET", "PHE",
                                             "PRO", "SER", "THR", "TRP", "TYR", "VAL", "UNK"};

/* Whether the columns of the format can hold a residue: 8.3 digits a coordinate. */
static bool fits(int32_t type, int32_t number, const float *atoms)
{
    bool good = number >= 0 && number < 9999;
    for (int i = 0; i < 3 * atom14_count[type] && good; i++)
        good = atoms[i] > -999.0f && atoms[i] < 9999.0f;
    return good;
}

enum status fold_write(const char *path, const char *remark, int64_t length, const float *mask,
                       const int32_t *aatype, const int32_t *number, const float *atoms,
                       const float *plddt, struct error *err)
{
    char *text = NULL;
    size_t size;
    int serial = 0;
    enum status status = STATUS_OK;
    FILE *out = open_memstream(&text, &size);
    ASSERT(out);
    fprintf(out, "REMARK   1 %.68s\n", remark);
    for (int64_t n = 0; n < length && status == STATUS_OK; n++) {
        const float *place = atoms + n * ATOM14 * 3;
        int32_t type = aatype[n];
        if (mask[n] <= 0)
            continue;
        if (!fits(type, number[n], place))
            status = error_set(err, STATUS_LIMIT,
                               "residue %d of %s: the format PDB cannot hold its number or places",
                               number[n] + 1, path);
        for (int k = 0; k < atom14_count[type] && status == STATUS_OK; k++) {
            const char *atom = atom37_names[atom14_to_atom37[type][k]];
            fprintf(out,
                    "ATOM  %5d  %-3.3s %3.3s A%4d    %8.3f%8.3f%8.3f  1.00%6.2f          %2c\n",
                    ++serial % 100000, atom, names[type], number[n] + 1, (double)place[3 * k],
                    (double)place[3 * k + 1], (double)place[3 * k + 2], (double)plddt[n], atom[0]);
        }
    }
    fputs("TER\nEND\n", out);
    fclose(out);
    if (status == STATUS_OK)
        status = file_write_atomic(path, (struct span){text, size}, err);
    free(text);
    return status;
}

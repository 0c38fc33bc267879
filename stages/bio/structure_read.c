/* mmCIF, PDB or FASTA; see structure_read.h. */
#include "stages/bio/structure_read.h"

#include "stages/bio/cif.h"
#include "stages/bio/fasta.h"

/* An mmCIF file begins with "data_", after comments and empty lines; with a table or an item where
 * it was cut, which cif_read then says. */
static bool is_cif(struct span content)
{
    struct span line;
    while (span_line(&content, &line)) {
        line = span_trim(line);
        if (line.size && line.data[0] != '#')
            return span_starts(line, "data_") || span_starts(line, "loop_") || *line.data == '_';
    }
    return false;
}

enum status structure_read(struct span content, enum pdb_source source,
                           const struct structure_wish *wish, struct arena *arena,
                           struct structure *structure, struct error *err)
{
    if (content.size == 0)
        return error_set(err, STATUS_REFUSED,
                         "the file is empty; mmCIF, PDB or FASTA text is wanted");
    if (content.data[0] == '>')
        return fasta_read(content, wish, arena, structure, err);
    if (is_cif(content))
        return cif_read(content, wish, arena, structure, err);
    return pdb_read(content, source, wish, arena, structure, err);
}

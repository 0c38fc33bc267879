/* kalign on two sequences; see kalign.h. */
#include "stages/bio/kalign.h"

#include "stages/bio/program.h"

#include <string.h>

static const struct program_limits limits = {
    .time_ms = 60000, .memory_bytes = (uint64_t)4 << 30, .output_bytes = (size_t)16 << 20};

/* The letters of the next record of a FASTA text, lines joined in place. */
static bool next_record(struct span *rest, struct span *letters)
{
    struct span line;
    if (!span_line(rest, &line) || line.size == 0 || line.data[0] != '>')
        return false;
    char *to;
    const char *from = rest->data;
    memcpy(&to, &from, sizeof to); /* the text is ours: program_run made it */
    *letters = (struct span){rest->data, 0};
    while (rest->size && rest->data[0] != '>' && span_line(rest, &line)) {
        memmove(to + letters->size, line.data, line.size);
        letters->size += line.size;
    }
    return true;
}

enum status kalign_pair(void *program, struct span first, struct span second, struct arena *arena,
                        struct span *first_row, struct span *second_row, struct error *err)
{
    const char *const argv[] = {program, "--format", "fasta", NULL};
    struct span output;
    const char *input = arena_printf(arena, ">1\n%.*s\n>2\n%.*s\n", (int)first.size, first.data,
                                     (int)second.size, second.data);
    enum status status = program_run(argv, span_of(input), &limits, arena, &output, err);
    if (status == STATUS_MISS)
        return error_set(err, STATUS_REFUSED,
                         "it must be aligned again, and %s is not there any more", argv[0]);
    if (status != STATUS_OK)
        return err->status = STATUS_REFUSED;
    while (output.size && output.data[0] != '>') /* what it may say before */
        output = (struct span){output.data + 1, output.size - 1};
    if (!next_record(&output, first_row) || !next_record(&output, second_row) ||
        first_row->size != second_row->size)
        return error_set(err, STATUS_REFUSED, "%s gave no alignment of two rows", argv[0]);
    return STATUS_OK;
}

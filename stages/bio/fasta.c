/* Sequences alone; see fasta.h. */
#include "stages/bio/fasta.h"

#include "stages/bio/names.h"

#include <string.h>

/* The records that were read. */
struct records {
    struct arena *arena;
    struct names names;
    struct structure_chain *chain;
    int capacity;
    char *letters; /* of the record in hand, at its largest */
    int length;
    int64_t line, begun; /* lines in hand, and where the record began */
    struct error *err;
};

static enum status no_memory(struct records *r)
{
    return error_set(r->err, STATUS_LIMIT, "no memory for %d sequences", r->names.count);
}

/* The record in hand is whole. */
static enum status record_close(struct records *r)
{
    if (r->names.count == 0)
        return STATUS_OK;
    struct structure_chain *chain = &r->chain[r->names.count - 1];
    if (r->length == 0)
        return error_set(r->err, STATUS_REFUSED, "line %lld: %.*s has no letters",
                         (long long)r->begun, (int)chain->name.size, chain->name.data);
    char *sequence = arena_text(r->arena, r->letters, (size_t)r->length);
    int32_t *index = arena_try(r->arena, (size_t)r->length, sizeof *index);
    if (!index)
        return no_memory(r);
    for (int i = 0; i < r->length; i++)
        index[i] = i;
    chain->length = r->length;
    chain->sequence = sequence;
    chain->residue_index = index;
    return STATUS_OK;
}

static enum status record_open(struct records *r, struct span line)
{
    struct span rest = {line.data + 1, line.size - 1}, name;
    bool fresh;
    if (!span_word(&rest, &name))
        return error_set(r->err, STATUS_REFUSED, "line %lld: a sequence without a name",
                         (long long)r->line);
    int number = names_add(&r->names, name, &fresh);
    if (number < 0)
        return no_memory(r);
    if (!fresh)
        return error_set(r->err, STATUS_REFUSED, "line %lld: a second sequence called %.*s",
                         (long long)r->line, name.size < 80 ? (int)name.size : 80, name.data);
    r->chain = array_grow(r->arena, r->chain, number, &r->capacity, sizeof *r->chain);
    if (!r->chain)
        return no_memory(r);
    r->chain[number] = (struct structure_chain){.name = name};
    r->length = 0;
    r->begun = r->line;
    return STATUS_OK;
}

static enum status letters_add(struct records *r, struct span line)
{
    for (size_t i = 0; i < line.size; i++) {
        char c = line.data[i];
        char letter = (char)(c >= 'a' && c <= 'z' ? c - 'a' + 'A' : c);
        if (c == ' ' || c == '\t' || (c == '*' && i + 1 == line.size))
            continue;
        if (letter < 'A' || letter > 'Z')
            return error_set(r->err, STATUS_REFUSED,
                             "line %lld: letters of a protein are A to Z; byte 0x%02x is none",
                             (long long)r->line, (unsigned)(unsigned char)c);
        if (r->length == STRUCTURE_LENGTH_MAX)
            return error_set(r->err, STATUS_LIMIT, "line %lld: a sequence of more than %d letters",
                             (long long)r->line, STRUCTURE_LENGTH_MAX);
        r->letters[r->length++] = letter;
    }
    return STATUS_OK;
}

enum status fasta_read(struct span content, const struct structure_wish *wish, struct arena *arena,
                       struct structure *structure, struct error *err)
{
    struct records r = {.arena = arena, .err = err};
    struct span line;
    enum status status = STATUS_OK;
    *structure = (struct structure){0};
    names_open(&r.names, arena);
    r.letters = arena_try(arena, STRUCTURE_LENGTH_MAX, 1);
    if (!r.letters)
        return no_memory(&r);
    while (status == STATUS_OK && span_line(&content, &line)) {
        r.line++;
        if (line.size && line.data[0] == '>') {
            status = record_close(&r);
            if (status == STATUS_OK)
                status = record_open(&r, line);
        } else if (span_trim(line).size && r.names.count == 0) {
            status = error_set(err, STATUS_REFUSED, "line %lld: text before the first `>NAME`",
                               (long long)r.line);
        } else {
            status = letters_add(&r, line);
        }
    }
    if (status == STATUS_OK)
        status = record_close(&r);
    if (status == STATUS_OK && r.names.count == 0)
        status = error_set(err, STATUS_REFUSED, "the file has no sequences");
    if (status != STATUS_OK)
        return status;
    structure->chain = r.chain;
    structure->chain_count = r.names.count;
    if (wish->chain.size == 0)
        return STATUS_OK;
    int wanted = names_find(&r.names, wish->chain);
    if (wanted < 0)
        return error_set(err, STATUS_REFUSED, "there is no sequence called %.*s",
                         wish->chain.size < 80 ? (int)wish->chain.size : 80, wish->chain.data);
    structure->chain = &r.chain[wanted];
    structure->chain_count = 1;
    return STATUS_OK;
}

/* See chain_name.h. */
#include "stages/bio/chain_name.h"

enum { ENTRY_SIZE = 4 };

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_letter_or_digit(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* Four letters or digits, the first a digit. */
static bool is_entry(const char *text)
{
    return is_digit(text[0]) && is_letter_or_digit(text[1]) && is_letter_or_digit(text[2]) &&
           is_letter_or_digit(text[3]);
}

static char *lower(struct span text, struct arena *arena)
{
    char *copy = arena_text(arena, text.data, text.size);
    for (size_t i = 0; i < text.size; i++)
        copy[i] = (char)(copy[i] >= 'A' && copy[i] <= 'Z' ? copy[i] | 32 : copy[i]);
    return copy;
}

void chain_name(const struct chain_file *file, struct span chain, struct arena *arena,
                const char **key, const char **entry)
{
    struct span stem = file->stem, named = stem;
    bool leads = stem.size > ENTRY_SIZE + 1 && stem.data[ENTRY_SIZE] == '_' && is_entry(stem.data);
    bool archive = stem.size == 7 && span_starts(stem, "pdb") && is_entry(stem.data + 3);
    bool domain = stem.size == 7 && stem.data[0] == 'd' && is_entry(stem.data + 1);
    if (leads)
        named.size = ENTRY_SIZE;
    else if (archive || domain)
        named = (struct span){stem.data + (archive ? 3 : 1), ENTRY_SIZE};
    *entry = lower(named, arena);
    const char *base = arena_text(arena, stem.data, stem.size);
    if (leads)
        base = arena_printf(arena, "%s%.*s", *entry, (int)stem.size - ENTRY_SIZE,
                            stem.data + ENTRY_SIZE);
    else if (file->cif)
        base = lower(stem, arena);
    *key = file->cif || file->chain_count > 1
               ? arena_printf(arena, "%s_%.*s", base, (int)chain.size, chain.data)
               : base;
}

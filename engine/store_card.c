/* Cards of exported records; see store_card.h. */
#include "engine/store_card.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct span store_card_write(const struct store_entry *entry, const struct sample *sample,
                             struct span recipe, struct arena *arena)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    ASSERT(out);
    fprintf(out, "foldmill record 1\nkey %s\nmade %016" PRIx64 " %016" PRIx64 "\n", sample->key,
            entry->made.recipe, entry->made.input);
    fprintf(out, "size %" PRIu32 " %" PRIu32 "\n", entry->length, entry->rows);
    for (int i = 0; i < sample->field_count; i++)
        fprintf(out, "field %s %s\n", sample->fields[i].name, kind_name(sample->fields[i].kind));
    if (recipe.size)
        fprintf(out, "recipe\n%.*s", (int)recipe.size, recipe.data);
    ASSERT(fclose(out) == 0);
    struct span card = {arena_text(arena, text, size), size};
    free(text);
    return card;
}

static bool read_hash(struct span *rest, uint64_t *hash)
{
    struct span word;
    *hash = 0;
    if (!span_word(rest, &word) || word.size != 16)
        return false;
    for (size_t i = 0; i < word.size; i++) {
        char c = word.data[i];
        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f')))
            return false;
        *hash = *hash << 4 | (uint64_t)(c <= '9' ? c - '0' : c - 'a' + 10);
    }
    return true;
}

static bool read_count(struct span *rest, uint32_t *count)
{
    struct span word;
    int64_t value;
    if (!span_word(rest, &word) || !text_int(word, 0, UINT32_MAX, &value))
        return false;
    *count = (uint32_t)value;
    return true;
}

static bool read_field(struct span rest, struct store_card *card)
{
    struct span name, kind;
    if (card->field_count == SAMPLE_FIELDS_MAX || !span_word(&rest, &name) ||
        !span_word(&rest, &kind) || name.size > FIELD_NAME_MAX || memchr(name.data, 0, name.size))
        return false;
    struct card_field *field = &card->fields[card->field_count++];
    memcpy(field->name, name.data, name.size);
    field->name[name.size] = 0;
    return kind_parse(kind, &field->kind) == STATUS_OK;
}

/* "key KEY": a key may hold blanks. */
static bool read_key(struct span rest, char key[SAMPLE_KEY_MAX + 1])
{
    struct sample sample;
    if (rest.size == 0 || sample_open(&sample, (struct span){rest.data + 1, rest.size - 1}, NULL) !=
                              STATUS_OK)
        return false;
    memcpy(key, sample.key, sizeof sample.key);
    return true;
}

enum status store_card_read(struct span text, struct store_card *card, struct error *err)
{
    struct span line, word;
    *card = (struct store_card){0};
    if (!span_line(&text, &line) || !span_is(line, "foldmill record 1"))
        return error_set(err, STATUS_INVALID, "it does not begin with 'foldmill record 1'");
    for (int number = 2; span_line(&text, &line); number++) {
        struct span rest = line;
        bool good = span_word(&rest, &word);
        if (good && span_is(word, "recipe")) {
            card->recipe = text;
            break;
        }
        if (good && span_is(word, "key"))
            good = read_key(rest, card->key);
        else if (good && span_is(word, "made"))
            good = read_hash(&rest, &card->note.made.recipe) &&
                   read_hash(&rest, &card->note.made.input);
        else if (good && span_is(word, "size"))
            good = read_count(&rest, &card->note.length) && read_count(&rest, &card->note.rows);
        else if (good && span_is(word, "field"))
            good = read_field(rest, card);
        else
            good = false;
        if (!good)
            return error_set(err, STATUS_INVALID, "line %d is not that of a record's card: '%.*s'",
                             number, (int)(line.size < 80 ? line.size : 80), line.data);
    }
    return card->key[0] ? STATUS_OK : error_set(err, STATUS_INVALID, "no line says the key");
}

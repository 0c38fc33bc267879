/* What an exported record says beside its arrays, as lines of text, so that it can be brought back
 * as it was: key, what it was made from, kinds and order of its fields, and its recipe.
 *
 *     foldmill record 1
 *     key KEY
 *     made RECIPE INPUT         two hashes of 16 hexadecimal digits
 *     size LENGTH ROWS          for listings
 *     field NAME KIND           one line a field, in order
 *     recipe                    and the recipe's text in the lines that follow; may be missing */
#ifndef FOLDMILL_STORE_CARD_H
#define FOLDMILL_STORE_CARD_H

#include "engine/store.h"

#define STORE_CARD_NAME "foldmill_record" /* of the array in a .npz file, of the .txt in a folder */

struct store_card {
    char key[SAMPLE_KEY_MAX + 1];
    struct store_note note;
    int field_count;
    struct card_field {
        char name[FIELD_NAME_MAX + 1];
        enum kind kind;
    } fields[SAMPLE_FIELDS_MAX];
    struct span recipe; /* empty: not told */
};

/* The text for a record, in arena; recipe may be empty. */
struct span store_card_write(const struct store_entry *entry, const struct sample *sample,
                             struct span recipe, struct arena *arena);

/* Reads it; card->recipe points into text. STATUS_INVALID names the line. */
enum status store_card_read(struct span text, struct store_card *card, struct error *err);

#endif

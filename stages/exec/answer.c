/* Frames as fields; see answer.h. */
#include "stages/exec/answer.h"

#include "engine/sample_npz.h"

#include <string.h>

enum { REASON_MAX = 500, GREETING_SHOWN = 40 };

bool answer_word(struct span *rest, struct span *word)
{
    while (rest->size && memchr(" ,\t\n", rest->data[0], 4))
        *rest = (struct span){rest->data + 1, rest->size - 1};
    *word = (struct span){rest->data, 0};
    bool inside = false; /* of brackets, where commas part axes */
    while (word->size < rest->size && (inside || !memchr(" ,\t\n", rest->data[word->size], 4))) {
        inside = rest->data[word->size] == '[' || (inside && rest->data[word->size] != ']');
        word->size++;
    }
    *rest = (struct span){rest->data + word->size, rest->size - word->size};
    return word->size > 0;
}

struct port answer_port(const char *adds, struct arena *arena)
{
    const char **fields = arena_zero(arena, SAMPLE_FIELDS_MAX + 2, sizeof *fields);
    struct span rest = span_of(adds), word;
    for (int count = 0; count <= SAMPLE_FIELDS_MAX && answer_word(&rest, &word); count++)
        fields[count] = arena_text(arena, word.data, word.size);
    return (struct port){fields};
}

/* The first letters of what came, for a text: it need not be one. */
static int shown(struct span content, size_t most)
{
    return (int)(content.size < most ? content.size : most);
}

enum status answer_greeting(const struct frame *answer, struct error *err)
{
    if (strcmp(answer->tag, "HELO") == 0 && span_starts(answer->content, EXEC_GREETING))
        return STATUS_OK;
    return error_set(err, STATUS_INVALID,
                     "it answers \"%s %.*s\" to the greeting, not \"HELO foldmill-exec 1\": does "
                     "it speak the protocol of stages/README.md?",
                     answer->tag, shown(answer->content, GREETING_SHOWN), answer->content.data);
}

static bool is_named(const struct port *port, struct span name)
{
    for (const char *const *field = port->fields; *field; field++)
        if (strcspn(*field, ":") == name.size && memcmp(*field, name.data, name.size) == 0)
            return true; /* the name may hold any bytes */
    return false;
}

static enum status fields_take(struct span content, const char *adds, struct arena *scratch,
                               struct sample *out, struct arena *arena, struct error *err)
{
    struct port port = answer_port(adds, scratch);
    struct npz npz;
    enum status status = npz_parse(content, scratch, &npz, err);
    for (int i = 0; status == STATUS_OK && i < npz.count; i++) {
        struct span name = npz.array[i].name;
        if (!is_named(&port, name))
            return error_set(err, STATUS_INVALID,
                             "it gave the field %.*s, which `adds` does not name: add it there, "
                             "with its type and axes",
                             shown(name, FIELD_NAME_MAX), name.data);
    }
    return status == STATUS_OK ? sample_take_arrays(out, npz.array, npz.count, arena, err) : status;
}

/* The content ends with a NUL that is no part of it; an earlier one ends the reason. */
static enum status refusal(struct span content, struct error *err)
{
    if (!*content.data)
        return error_set(err, STATUS_REFUSED, "it refuses without a reason");
    return error_set(err, STATUS_REFUSED, "%.*s", shown(content, REASON_MAX), content.data);
}

enum status answer_take(const struct frame *answer, const char *adds, struct arena *scratch,
                        struct sample *out, struct arena *arena, struct error *err)
{
    if (strcmp(answer->tag, "SMPL") == 0)
        return fields_take(answer->content, adds, scratch, out, arena, err);
    if (strcmp(answer->tag, "DROP") == 0)
        return STATUS_EMPTY;
    if (strcmp(answer->tag, "REFU") == 0)
        return refusal(answer->content, err);
    return error_set(err, STATUS_INVALID, "it answered \"%s\"; SMPL, DROP and REFU are known",
                     answer->tag);
}

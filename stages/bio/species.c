/* Species of UniProt names; see msa.h. */
#include "stages/bio/msa.h"

#include <string.h>

static bool is_letter_or_digit(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

/* Takes the longest run of letters and digits off the front. */
static struct span take_run(struct span *rest)
{
    struct span run = {rest->data, 0};
    while (run.size < rest->size && is_letter_or_digit(rest->data[run.size]))
        run.size++;
    rest->data += run.size, rest->size -= run.size;
    return run;
}

static bool take_char(struct span *rest, char c)
{
    if (!rest->size || *rest->data != c)
        return false;
    rest->data++, rest->size--;
    return true;
}

static bool is_number(struct span text)
{
    for (size_t i = 0; i < text.size; i++)
        if (text.data[i] < '0' || text.data[i] > '9')
            return false;
    return text.size > 0;
}

struct span species_id(struct span description)
{
    const struct span none = {"", 0};
    struct span rest = {"", 0};
    span_word(&description, &rest);
    const char *slash = rest.size ? memchr(rest.data, '/', rest.size) : NULL;
    if (slash)
        rest.size = (size_t)(slash - rest.data);
    if (!span_starts(rest, "tr|") && !span_starts(rest, "sp|"))
        return none;
    rest.data += 3, rest.size -= 3;
    struct span accession = take_run(&rest);
    if (accession.size < 6 || accession.size > 10)
        return none;
    if (take_char(&rest, '_')) { /* an isoform */
        struct span isoform = take_run(&rest);
        if (isoform.size != 1 || !is_number(isoform))
            return none;
    }
    if (!take_char(&rest, '|') || take_run(&rest).size == 0 || !take_char(&rest, '_'))
        return none;
    struct span species = take_run(&rest);
    if (species.size < 1 || species.size > 5)
        return none;
    if (take_char(&rest, '_') && !is_number(take_run(&rest)))
        return none;
    return rest.size ? none : species;
}

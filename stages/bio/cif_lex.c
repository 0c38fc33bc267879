/* See cif_lex.h. */
#include "stages/bio/cif_lex.h"

#include <string.h>

void cif_lex_open(struct cif_lex *lex, struct span content)
{
    *lex = (struct cif_lex){content.data, content.data + content.size, content.data, 0};
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\v' || c == '\f';
}

/* Where the line that begins at start ends: its newline, or the end of the text. */
static const char *line_stop(const struct cif_lex *lex, const char *start)
{
    const char *newline = memchr(start, '\n', (size_t)(lex->end - start));
    return newline ? newline : lex->end;
}

static const char *trimmed(const char *start, const char *stop)
{
    while (stop > start && is_blank(stop[-1]))
        stop--;
    return stop;
}

/* A text field: at is the ';' that opens it. Goes on behind the ';' that closes it. */
static enum status text_field(struct cif_lex *lex, struct span *token, struct error *err)
{
    int64_t opened = lex->line;
    const char *start = lex->at + 1, *stop = line_stop(lex, lex->at);
    const char *text_end = trimmed(start, stop);
    while (stop < lex->end) {
        const char *line = stop + 1;
        lex->line++;
        stop = line_stop(lex, line);
        if (line < lex->end && *line == ';') {
            *token = (struct span){start, (size_t)(text_end - start)};
            lex->at = line + 1;
            lex->line_end = trimmed(lex->at, stop);
            if (lex->at < lex->line_end && !is_blank(*lex->at))
                return error_set(err, STATUS_REFUSED,
                                 "line %lld: a blank is missing behind the ; that ends a text",
                                 (long long)lex->line);
            return STATUS_OK;
        }
        text_end = trimmed(line, stop);
    }
    return error_set(err, STATUS_REFUSED,
                     "line %lld: the text that begins here with ; does not end (truncated file?)",
                     (long long)opened);
}

/* Goes to the next line that may hold tokens: at stands on its first character, or on ';'. */
static bool line_next(struct cif_lex *lex)
{
    for (;;) {
        if (lex->line > 0) {
            lex->at = line_stop(lex, lex->line_end);
            if (lex->at >= lex->end)
                return false;
            lex->at++;
        }
        lex->line++;
        lex->line_end = trimmed(lex->at, line_stop(lex, lex->at));
        if (lex->at == lex->end)
            return false;
        if (*lex->at != '#' && lex->at < lex->line_end)
            return true;
    }
}

enum status cif_lex_next(struct cif_lex *lex, struct span *token, struct error *err)
{
    for (;;) {
        while (lex->at < lex->line_end && is_blank(*lex->at))
            lex->at++;
        if (lex->at < lex->line_end && *lex->at != '#')
            break;
        if (!line_next(lex))
            return STATUS_EMPTY;
        if (*lex->at == ';')
            return text_field(lex, token, err);
    }
    const char *start = lex->at, *end = lex->line_end;
    char quote = *start;
    if (quote == '\'' || quote == '"') {
        for (const char *at = start + 1; at < end; at++)
            if (*at == quote && (at + 1 == end || is_blank(at[1]))) {
                *token = (struct span){start + 1, (size_t)(at - start - 1)};
                lex->at = at + 1;
                return STATUS_OK;
            }
        return error_set(err, STATUS_REFUSED, "line %lld: the quote %c does not end in its line",
                         (long long)lex->line, quote);
    }
    const char *at = start + 1;
    while (at < end && !is_blank(*at))
        at++;
    *token = (struct span){start, (size_t)(at - start)};
    lex->at = at;
    return STATUS_OK;
}

void cif_lex_skip_atoms(struct cif_lex *lex)
{
    while (lex->at == lex->line_end) {
        const char *stop = line_stop(lex, lex->line_end), *line = stop + 1;
        if (stop >= lex->end || lex->end - line < 6 ||
            (memcmp(line, "ATOM ", 5) != 0 && memcmp(line, "HETATM", 6) != 0))
            return;
        lex->at = lex->line_end = line_stop(lex, line);
        lex->line++;
    }
}

/* Gathering and showing mistakes; see complaint.h. */
#include "engine/complaint.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum { LINE_SHOWN_MAX = 160 };

void complaints_open(struct complaints *complaints, struct arena *arena)
{
    complaints->arena = arena;
    complaints->count = 0;
}

void complain(struct complaints *complaints, struct place place, const char *format, ...)
{
    if (complaints->count++ >= COMPLAINTS_MAX)
        return;
    char text[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    for (char *c = text; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            *c = '?';
    complaints->item[complaints->count - 1] = (struct complaint){
        .place = place, .text = arena_text(complaints->arena, text, strlen(text))};
}

static int compare(const void *a, const void *b)
{
    const struct complaint *x = a, *y = b;
    int order = x->place.source == y->place.source
                    ? 0
                    : strcmp(x->place.source->name, y->place.source->name);
    if (order == 0)
        order = x->place.line - y->place.line;
    return order ? order : x->place.column - y->place.column;
}

/* The line, with a caret under the place; tabs and control characters shown as one blank each. */
static void show_line(const struct place *place, FILE *out)
{
    struct span rest = place->source->text, line = {"", 0};
    for (int number = 0; number < place->line; number++)
        if (!span_line(&rest, &line))
            return;
    int shown = line.size < LINE_SHOWN_MAX ? (int)line.size : LINE_SHOWN_MAX;
    if (place->column > shown + 1)
        return;
    fputs("    ", out);
    for (int i = 0; i < shown; i++) {
        unsigned char c = (unsigned char)line.data[i];
        fputc(c < 0x20 || c == 0x7f ? ' ' : c, out);
    }
    fprintf(out, "\n    %*s", place->column - 1, "");
    int width = place->width < 1 ? 1 : place->width;
    for (int i = 0; i < width && (i == 0 || place->column - 1 + i < shown); i++)
        fputc(i == 0 ? '^' : '~', out);
    fputc('\n', out);
}

void complaints_print(struct complaints *complaints, FILE *out)
{
    int kept = complaints->count < COMPLAINTS_MAX ? complaints->count : COMPLAINTS_MAX;
    qsort(complaints->item, (size_t)kept, sizeof *complaints->item, compare);
    for (int i = 0; i < kept; i++) {
        const struct complaint *complaint = &complaints->item[i];
        const struct place *place = &complaint->place;
        if (place->line > 0) {
            fprintf(out, "%s:%d:%d: error: %s\n", place->source->name, place->line, place->column,
                    complaint->text);
            show_line(place, out);
        } else {
            fprintf(out, "%s: error: %s\n", place->source->name, complaint->text);
        }
    }
    if (complaints->count > kept)
        fprintf(out, "and %d more mistakes\n", complaints->count - kept);
}

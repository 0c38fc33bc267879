/* Drawing progress; see progress.h. */
#include "engine/progress.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { TEXT_MAX = 1 << 15, WIDTH_USUAL = 120, WIDTH_MIN = 40 };

struct text {
    char data[TEXT_MAX];
    size_t size;
    int width; /* longer lines are cut */
};

__attribute__((format(printf, 2, 3))) static void put(struct text *text, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int size = vsnprintf(text->data + text->size, TEXT_MAX - text->size, format, args);
    va_end(args);
    if (size > 0)
        text->size +=
            (size_t)size < TEXT_MAX - text->size ? (size_t)size : TEXT_MAX - text->size - 1;
}

static void flush(const struct progress *progress, const struct text *text)
{
    size_t at = 0;
    while (at < text->size) {
        ssize_t wrote = write(progress->fd, text->data + at, text->size - at);
        if (wrote <= 0)
            return; /* nobody looks any more */
        at += (size_t)wrote;
    }
}

void progress_open(struct progress *progress, int fd, bool quiet)
{
    const char *kind = getenv("TERM");
    *progress = (struct progress){.fd = fd, .quiet = quiet};
    progress->terminal = isatty(fd) && kind && strcmp(kind, "dumb") != 0;
}

bool progress_due(const struct progress *progress, int64_t now_ms)
{
    return !progress->quiet && now_ms - progress->drawn_ms >=
                                   (progress->terminal ? PROGRESS_DRAW_MS : PROGRESS_LINE_MS);
}

/* Up to the first line of the old table, and everything from there on removed. */
static void put_clear(struct progress *progress, struct text *text)
{
    if (progress->lines)
        put(text, "\r\033[%dA\033[J", progress->lines);
    progress->lines = 0;
}

static int terminal_width(int fd)
{
    struct winsize size;
    if (ioctl(fd, TIOCGWINSZ, &size) || size.ws_col == 0)
        return WIDTH_USUAL;
    return size.ws_col < WIDTH_MIN ? WIDTH_MIN : size.ws_col;
}

/* Ends a line that began at start, cut to the width: a wrapped line would spoil the redrawing. */
static void end_line(struct text *text, size_t start)
{
    if (text->width && text->size - start > (size_t)text->width)
        text->size = start + (size_t)text->width;
    put(text, "\n");
}

static void put_row(struct text *text, const struct progress_row *row, int name_width)
{
    char done[48];
    if (row->total)
        snprintf(done, sizeof done, "%llu/%llu", (unsigned long long)row->done,
                 (unsigned long long)row->total);
    else
        snprintf(done, sizeof done, "%llu", (unsigned long long)row->done);
    put(text, "  %-*s x%-3d %11s %8.1f/s  queue %-4lld %s", name_width, row->name, row->workers,
        done, row->rate, (long long)row->queue, row->note);
}

static int longest_name(const struct progress_row *rows, int count)
{
    int longest = 6;
    for (int i = 0; i < count; i++)
        if ((int)strlen(rows[i].name) > longest)
            longest = (int)strlen(rows[i].name);
    return longest < 24 ? longest : 24;
}

void progress_draw(struct progress *progress, const char *title, const struct progress_row *rows,
                   int count, int64_t now_ms)
{
    static struct text text;
    if (progress->quiet)
        return;
    progress->drawn_ms = now_ms;
    text.size = 0;
    text.width = progress->terminal ? terminal_width(progress->fd) - 1 : 0;
    put_clear(progress, &text);
    size_t start = text.size;
    put(&text, "%s", title);
    end_line(&text, start);
    int width = longest_name(rows, count);
    for (int i = 0; i < count; i++) {
        start = text.size;
        put_row(&text, &rows[i], width);
        end_line(&text, start);
    }
    if (progress->terminal)
        progress->lines = count + 1;
    flush(progress, &text);
}

void progress_line(struct progress *progress, struct span line)
{
    static struct text text;
    text.size = 0;
    put_clear(progress, &text);
    put(&text, "%.*s\n", (int)(line.size < 2000 ? line.size : 2000), line.data);
    flush(progress, &text);
}

void progress_clear(struct progress *progress)
{
    static struct text text;
    text.size = 0;
    put_clear(progress, &text);
    flush(progress, &text);
}

/* Log lines; see log.h. A line is one write(), so lines of several processes do not mix. */
#include "engine/base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { LINE_BYTES_MAX = 2048 };

static struct {
    char who[64];
    enum log_level level;
    int fd;
} state = {"", LOG_INFO, 2};

void log_open(const char *who, enum log_level level, int fd)
{
    snprintf(state.who, sizeof state.who, "%s", who);
    state.level = level;
    state.fd = fd;
}

void log_line(enum log_level level, const char *format, ...)
{
    static const char *const names[] = {"debug", "info", "warn", "error"};
    if (level < state.level)
        return;
    char line[LINE_BYTES_MAX];
    struct timespec now;
    struct tm local;
    clock_gettime(CLOCK_REALTIME, &now);
    localtime_r(&now.tv_sec, &local);
    size_t size = strftime(line, sizeof line, "%Y-%m-%d %H:%M:%S", &local);
    size +=
        (size_t)snprintf(line + size, sizeof line - size, ".%03ld %s %s%s", now.tv_nsec / 1000000,
                         names[level], state.who, *state.who ? ": " : "");
    size_t start = size;
    va_list args;
    va_start(args, format);
    int text = vsnprintf(line + size, sizeof line - size - 1, format, args);
    va_end(args);
    if (text > 0)
        size += (size_t)text;
    if (size > sizeof line - 2)
        size = sizeof line - 2;
    for (size_t i = start; i < size; i++)
        if ((unsigned char)line[i] < 0x20 || line[i] == 0x7f)
            line[i] = line[i] == '\n' || line[i] == '\t' ? ' ' : '?';
    line[size++] = '\n';
    ssize_t done = write(state.fd, line, size);
    (void)done; /* there is nobody left to tell */
}

/* Spans, numbers, units and suggestions; see text.h. */
#include "engine/base/text.h"

#include "engine/base/error.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct span span_of(const char *text)
{
    return (struct span){text, text ? strlen(text) : 0};
}

bool span_equal(struct span a, struct span b)
{
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

bool span_is(struct span a, const char *text)
{
    return span_equal(a, span_of(text));
}

bool span_starts(struct span a, const char *prefix)
{
    size_t size = strlen(prefix);
    return a.size >= size && memcmp(a.data, prefix, size) == 0;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == '\f' || c == '\v';
}

struct span span_trim(struct span a)
{
    while (a.size && is_blank(a.data[0]))
        a.data++, a.size--;
    while (a.size && is_blank(a.data[a.size - 1]))
        a.size--;
    return a;
}

bool span_line(struct span *rest, struct span *line)
{
    if (rest->size == 0)
        return false;
    const char *end = memchr(rest->data, '\n', rest->size);
    size_t size = end ? (size_t)(end - rest->data) : rest->size;
    *line = (struct span){rest->data, size};
    size_t taken = end ? size + 1 : size;
    rest->data += taken;
    rest->size -= taken;
    if (line->size && line->data[line->size - 1] == '\r')
        line->size--;
    return true;
}

bool span_word(struct span *rest, struct span *word)
{
    while (rest->size && (rest->data[0] == ' ' || rest->data[0] == '\t'))
        rest->data++, rest->size--;
    size_t size = 0;
    while (size < rest->size && rest->data[size] != ' ' && rest->data[size] != '\t')
        size++;
    *word = (struct span){rest->data, size};
    rest->data += size;
    rest->size -= size;
    return size > 0;
}

bool text_int(struct span text, int64_t min, int64_t max, int64_t *value)
{
    size_t i = 0;
    bool negative = text.size && text.data[0] == '-';
    if (text.size && (text.data[0] == '-' || text.data[0] == '+'))
        i++;
    if (i == text.size)
        return false;
    int64_t result = 0;
    for (; i < text.size; i++) {
        int digit = text.data[i] - '0';
        if (digit < 0 || digit > 9)
            return false;
        if (__builtin_mul_overflow(result, 10, &result) ||
            __builtin_add_overflow(result, negative ? -digit : digit, &result))
            return false;
    }
    if (result < min || result > max)
        return false;
    *value = result;
    return true;
}

bool text_double(struct span text, double *value)
{
    char buffer[64];
    if (text.size == 0 || text.size >= sizeof buffer)
        return false;
    for (size_t i = 0; i < text.size; i++)
        if (!strchr("0123456789+-.eE", text.data[i]) || !text.data[i])
            return false;
    memcpy(buffer, text.data, text.size);
    buffer[text.size] = 0;
    char *end;
    double result = strtod(buffer, &end);
    if (*end || !isfinite(result))
        return false;
    *value = result;
    return true;
}

struct unit {
    const char *name;
    double factor;
};

/* The number in front of one of the units; both may not be missing. */
static bool text_with_unit(struct span text, const struct unit *units, double *value)
{
    text = span_trim(text);
    size_t digits = 0;
    while (digits < text.size && strchr("0123456789.", text.data[digits]) && text.data[digits])
        digits++;
    struct span number = {text.data, digits};
    struct span name = span_trim((struct span){text.data + digits, text.size - digits});
    for (; units->name; units++)
        if (span_is(name, units->name)) {
            if (!text_double(number, value))
                return false;
            *value *= units->factor;
            return true;
        }
    return false;
}

bool text_bytes(struct span text, uint64_t *bytes)
{
    static const struct unit units[] = {
        {"", 1},         {"B", 1},        {"KB", 1e3},     {"MB", 1e6},
        {"GB", 1e9},     {"TB", 1e12},    {"KiB", 0x1p10}, {"MiB", 0x1p20},
        {"GiB", 0x1p30}, {"TiB", 0x1p40}, {NULL, 0},
    };
    double value;
    if (!text_with_unit(text, units, &value) || value >= 0x1p63)
        return false;
    *bytes = (uint64_t)value;
    return true;
}

bool text_duration(struct span text, int64_t *duration_ms)
{
    static const struct unit units[] = {
        {"ms", 1}, {"s", 1e3}, {"min", 60e3}, {"m", 60e3}, {"h", 36e5}, {"d", 864e5}, {NULL, 0},
    };
    double value;
    if (!text_with_unit(text, units, &value) || value >= 0x1p62)
        return false;
    *duration_ms = (int64_t)value;
    return true;
}

char *text_show_bytes(char *buffer, size_t buffer_size, uint64_t bytes)
{
    static const char *const names[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
    double value = (double)bytes;
    size_t unit = 0;
    while (value >= 1024 && unit + 1 < sizeof names / sizeof *names)
        value /= 1024, unit++;
    snprintf(buffer, buffer_size, unit && value < 100 ? "%.1f %s" : "%.0f %s", value, names[unit]);
    return buffer;
}

char *text_show_duration(char *buffer, size_t buffer_size, double seconds)
{
    if (seconds < 0.1)
        snprintf(buffer, buffer_size, "%.3g ms", seconds * 1e3);
    else if (seconds < 120)
        snprintf(buffer, buffer_size, "%.1f s", seconds);
    else if (seconds < 7200)
        snprintf(buffer, buffer_size, "%d min %d s", (int)seconds / 60, (int)seconds % 60);
    else
        snprintf(buffer, buffer_size, "%.0f h %d min", floor(seconds / 3600),
                 (int)(fmod(seconds, 3600) / 60));
    return buffer;
}

int text_distance(struct span a, struct span b, int limit)
{
    enum { WIDTH = 64 };
    if (a.size >= WIDTH || b.size >= WIDTH)
        return limit + 1;
    int rows[3][WIDTH];
    for (int j = 0; j <= (int)b.size; j++)
        rows[0][j] = j;
    for (int i = 1; i <= (int)a.size; i++) {
        int *row = rows[i % 3], *above = rows[(i + 2) % 3], *above2 = rows[(i + 1) % 3];
        row[0] = i;
        for (int j = 1; j <= (int)b.size; j++) {
            int cost = a.data[i - 1] != b.data[j - 1];
            int best = above[j - 1] + cost;
            if (above[j] + 1 < best)
                best = above[j] + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            if (i > 1 && j > 1 && a.data[i - 1] == b.data[j - 2] &&
                a.data[i - 2] == b.data[j - 1] && above2[j - 2] + 1 < best)
                best = above2[j - 2] + 1;
            row[j] = best;
        }
    }
    int distance = rows[a.size % 3][b.size];
    return distance > limit ? limit + 1 : distance;
}

const char *text_suggest(struct span word, const char *const *candidates)
{
    const char *best = NULL;
    int limit = word.size <= 3 ? 1 : word.size <= 6 ? 2 : 3, best_distance = limit + 1;
    for (; *candidates; candidates++) {
        int distance = text_distance(word, span_of(*candidates), limit);
        if (distance < best_distance) {
            best_distance = distance;
            best = *candidates;
        }
    }
    return best;
}

/* Lines of files: the same as of a text in memory, plain and packed, whole and in part, with lines
 * longer than the buffer; and what is said of broken files. */
#include "engine/base/file.h"
#include "engine/base/lines.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

static struct arena arena;
static struct error err;
static char folder[] = "/tmp/foldmill_lines_XXXXXX";

static void begin(void)
{
    arena_open(&arena, 0);
    cr_assert(mkdtemp(folder));
}

static void end(void)
{
    char command[100];
    snprintf(command, sizeof command, "rm -r %s", folder);
    cr_assert(system(command) == 0);
    arena_close(&arena);
}

TestSuite(lines, .init = begin, .fini = end, .timeout = 120);

static const char *plain_file(const char *name, struct span text)
{
    const char *path = arena_printf(&arena, "%s/%s", folder, name);
    cr_assert(file_write_atomic(path, text, &err) == STATUS_OK, "%s", err.text);
    return path;
}

/* The text in two gzip members. */
static const char *packed_file(const char *name, struct span text)
{
    const char *path = arena_printf(&arena, "%s/%s", folder, name);
    size_t half = text.size / 2;
    for (int part = 0; part < 2; part++) {
        gzFile file = gzopen(path, part ? "ab" : "wb");
        size_t size = part ? text.size - half : half;
        cr_assert(file &&
                  gzwrite(file, text.data + (part ? half : 0), (unsigned)size) == (int)size);
        cr_assert(gzclose(file) == Z_OK);
    }
    return path;
}

/* Lines of the file are those of the text. */
static void compare(const char *path, uint64_t offset, uint64_t length, struct span text)
{
    struct lines lines, memory;
    struct span line, wanted;
    cr_assert(lines_open(&lines, path, offset, length, 1 << 30, &arena, &err) == STATUS_OK, "%s",
              err.text);
    lines_open_text(&memory, text);
    int count = 0;
    enum status status;
    while ((status = lines_next(&lines, &line, &err)) == STATUS_OK) {
        cr_assert(lines_next(&memory, &wanted, &err) == STATUS_OK, "line %d is too much", count);
        cr_assert(span_equal(line, wanted), "line %d of %zu bytes, not %zu", count, line.size,
                  wanted.size);
        count++;
    }
    cr_assert(status == STATUS_EMPTY, "%s", err.text);
    cr_assert(lines_next(&memory, &wanted, &err) == STATUS_EMPTY, "line %d is missing", count);
    lines_close(&lines);
    struct span piece, rest = text;
    cr_assert(lines_open(&lines, path, offset, length, 1 << 30, &arena, &err) == STATUS_OK);
    while ((status = lines_piece(&lines, &piece, &err)) == STATUS_OK) {
        cr_assert(piece.size && piece.size <= rest.size &&
                  memcmp(piece.data, rest.data, piece.size) == 0);
        rest.data += piece.size, rest.size -= piece.size;
    }
    cr_assert(status == STATUS_EMPTY && rest.size == 0, "%zu bytes are missing", rest.size);
    lines_close(&lines);
    while (text.size && span_line(&text, &line))
        count--;
    cr_assert(count == 0);
}

Test(lines, of_every_kind)
{
    size_t size = 0, most = 2 << 20;
    char *text = arena_alloc(&arena, most);
    /* Short, empty, with carriage returns, and some above the buffer's size. */
    for (int i = 0; size + 700000 < most; i++) {
        size_t length = i % 50 == 49 ? (size_t)(300000 + i * 1000) : (size_t)(i * 37 % 101);
        for (size_t k = 0; k < length; k++)
            text[size++] = (char)('A' + (k * 31 + (size_t)i) % 26);
        if (i % 7 == 0)
            text[size++] = '\r';
        text[size++] = '\n';
    }
    struct span all = {text, size}, none = {"", 0}, open_end = {text, size - 1};
    compare(plain_file("plain", all), 0, UINT64_MAX, all);
    compare(packed_file("packed", all), 0, UINT64_MAX, all);
    compare(plain_file("open", open_end), 0, UINT64_MAX, open_end);
    compare(plain_file("none", none), 0, UINT64_MAX, none);
    compare(plain_file("one", SPAN("x")), 0, UINT64_MAX, SPAN("x"));
    const char *path = plain_file("whole", all);
    compare(path, 1000, 5000, (struct span){text + 1000, 5000});
    compare(path, size - 3, 100, (struct span){text + size - 3, 3});
    compare(path, size + 3, 100, none);
}

Test(lines, errors_name_the_file)
{
    struct lines lines;
    struct span line;
    cr_assert(lines_open(&lines, "/nowhere/x", 0, 9, 9, &arena, &err) == STATUS_IO);
    cr_assert(strstr(err.text, "/nowhere/x"), "%s", err.text);
    cr_assert(lines_open(&lines, folder, 0, UINT64_MAX, 9, &arena, &err) == STATUS_IO);
    lines_close(&lines);
    const char *path = plain_file("large", SPAN("0123456789\n"));
    cr_assert(lines_open(&lines, path, 0, UINT64_MAX, 5, &arena, &err) == STATUS_OK);
    cr_assert(lines_next(&lines, &line, &err) == STATUS_LIMIT && strstr(err.text, path));
    lines_close(&lines);
    struct span packed;
    path = packed_file("cut.gz", SPAN("some lines\nand more of them\nand a last one\n"));
    cr_assert(file_read(path, 1 << 20, &arena, &packed, &err) == STATUS_OK);
    FILE *file = fopen(path, "r+b");
    cr_assert(file && fseek(file, 0, SEEK_END) == 0);
    long whole = ftell(file);
    cr_assert(ftruncate(fileno(file), whole - 5) == 0 && fclose(file) == 0);
    enum status status = lines_open(&lines, path, 0, UINT64_MAX, 1 << 20, &arena, &err);
    while (status == STATUS_OK)
        status = lines_next(&lines, &line, &err);
    lines_close(&lines);
    cr_assert(status == STATUS_CORRUPT && strstr(err.text, "truncated gzip"), "%s", err.text);
    path = plain_file("bad.gz", (struct span){"\x1f\x8b\x08zzzzzzzzzzzzzzzzzzzzzz", 25});
    status = lines_open(&lines, path, 0, UINT64_MAX, 1 << 20, &arena, &err);
    while (status == STATUS_OK)
        status = lines_next(&lines, &line, &err);
    lines_close(&lines);
    cr_assert(status == STATUS_CORRUPT && strstr(err.text, "broken gzip"), "%s", err.text);
}

Test(lines, no_memory_is_said)
{
    struct arena small;
    struct lines lines;
    arena_open(&small, 1000);
    const char *path = plain_file("plain", SPAN("a\nb\n"));
    cr_assert(lines_open(&lines, path, 0, UINT64_MAX, 100, &small, &err) == STATUS_LIMIT);
    lines_close(&lines);
    arena_close(&small);
}

Test(lines, an_arena_takes_back_what_was_too_much)
{
    struct arena own;
    arena_open(&own, 1 << 20);
    char *first = arena_alloc(&own, 1000), *data = arena_alloc(&own, 500000);
    size_t used = own.used_bytes;
    memset(data, 1, 100);
    arena_trim(&own, data, 500000, 100);
    cr_assert(own.used_bytes == used - (500032 - 128), "%zu of %zu", own.used_bytes, used);
    char *next = arena_alloc(&own, 10);
    cr_assert(next == data + 128, "the room is given again");
    arena_trim(&own, first, 1000, 1);
    arena_trim(&own, data, 100, 50);
    cr_assert(own.used_bytes == used - (500032 - 128) + 64, "not the last: nothing");
    arena_close(&own);
}

/* Lines that name inputs: whole files, and pieces of databases. */
#include "stages/bio/input.h"

#include "engine/base/file.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

static struct arena arena;
static struct error err;
static char folder[] = "/tmp/foldmill_input_XXXXXX";

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

TestSuite(input, .init = begin, .fini = end);

static const char *file(const char *name, struct span content)
{
    const char *path = arena_printf(&arena, "%s/%s", folder, name);
    cr_assert(file_write_atomic(path, content, &err) == STATUS_OK, "%s", err.text);
    return path;
}

static enum status get(const char *line, size_t bytes_max, struct span *name, struct span *content)
{
    return input_read(span_of(line), bytes_max, &arena, name, content, &err);
}

Test(input, a_path_is_the_whole_file)
{
    struct span name, content;
    const char *path = file("a@1+2@b.a3m", SPAN(">q\nMK\n"));
    cr_assert(get(path, 100, &name, &content) == STATUS_OK, "%s", err.text);
    cr_assert(span_is(name, path) && span_is(content, ">q\nMK\n"));
    cr_assert(get(path, 5, &name, &content) == STATUS_LIMIT);
    cr_assert(get("/nowhere.a3m", 5, &name, &content) == STATUS_IO);
    cr_assert(strstr(err.text, "/nowhere.a3m"), "%s", err.text);
    cr_assert(get("", 5, &name, &content) == STATUS_INVALID);
}

Test(input, a_piece_is_bytes_of_a_database_under_its_own_name)
{
    struct span name, content;
    const char *line, *path = file("all.db", SPAN("xx>q\nMK\nyyy"));
    cr_assert(input_piece(SPAN("uniref90_hits.a3m"), 2, 6, span_of(path), &arena, &line, &err) ==
              STATUS_OK);
    cr_assert(get(line, 100, &name, &content) == STATUS_OK, "%s", err.text);
    cr_assert(span_is(name, "uniref90_hits.a3m") && span_is(content, ">q\nMK\n"));
    cr_assert(content.data[content.size] == 0);
    cr_assert(get(line, 5, &name, &content) == STATUS_LIMIT && strstr(err.text, "uniref90"));
    cr_assert(input_piece(SPAN("t.a3m"), 8, 3, span_of(path), &arena, &line, &err) == STATUS_OK);
    cr_assert(get(line, 100, &name, &content) == STATUS_OK && span_is(content, "yyy"));
    cr_assert(input_piece(SPAN("t.a3m"), 8, 4, span_of(path), &arena, &line, &err) == STATUS_OK);
    cr_assert(get(line, 100, &name, &content) == STATUS_IO);
    cr_assert(strstr(err.text, "11 bytes") && strstr(err.text, "4 bytes at 8"), "%s", err.text);
}

Test(input, packed_pieces_are_unpacked)
{
    struct span name, content;
    Bytef packed[200];
    const char *line;
    char text[] = ">q\nMKMKMKMKMKMKMK\n";
    z_stream stream = {.next_in = (Bytef *)text,
                       .avail_in = sizeof text - 1,
                       .next_out = packed + 3,
                       .avail_out = sizeof packed - 3};
    cr_assert(deflateInit2(&stream, 9, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY) == Z_OK);
    cr_assert(deflate(&stream, Z_FINISH) == Z_STREAM_END);
    memcpy(packed, "abc", 3);
    const char *path = file("all.db", (struct span){(char *)packed, stream.total_out + 3});
    cr_assert(input_piece(SPAN("q.a3m.gz"), 3, (int64_t)stream.total_out, span_of(path), &arena,
                          &line, &err) == STATUS_OK);
    cr_assert(get(line, 100, &name, &content) == STATUS_OK, "%s", err.text);
    cr_assert(span_is(content, text));
    cr_assert(get(line, 10, &name, &content) == STATUS_LIMIT, "%s", err.text);
    cr_assert(input_piece(SPAN("q.a3m.gz"), 3, (int64_t)stream.total_out - 4, span_of(path), &arena,
                          &line, &err) == STATUS_OK);
    cr_assert(get(line, 100, &name, &content) == STATUS_CORRUPT && strstr(err.text, "q.a3m.gz"));
    deflateEnd(&stream);
}

Test(input, what_a_line_cannot_hold_is_refused)
{
    const char *line;
    struct input input;
    static const char *const names[] = {"", "a/b", "a@b", "a\nb", ".a"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        cr_assert(input_piece(span_of(names[i]), 0, 1, SPAN("/x"), &arena, &line, &err) ==
                      STATUS_INVALID,
                  "%s", names[i]);
    cr_assert(input_piece(SPAN("a\0b"), 0, 1, SPAN("/x"), &arena, &line, &err) == STATUS_INVALID);
    cr_assert(input_piece(SPAN("a"), -1, 1, SPAN("/x"), &arena, &line, &err) == STATUS_INVALID);
    cr_assert(input_piece(SPAN("a"), 0, 0, SPAN("/x"), &arena, &line, &err) == STATUS_INVALID);
    cr_assert(input_piece(SPAN("a"), 0, 1, SPAN("/x\n"), &arena, &line, &err) == STATUS_INVALID);
    cr_assert(input_parse(SPAN("a\0b"), &input, &err) == STATUS_INVALID);
    static const char *const whole[] = {"a@1@/x",    "a@1+@/x",    "a@+1@/x", "a@-1+1@/x", "a@1+1@",
                                        "/a@1+1@/x", "./a@1+1@/x", "@1+1@/x", "b/a@1+1@/x"};
    for (size_t i = 0; i < sizeof whole / sizeof *whole; i++) {
        cr_assert(input_parse(span_of(whole[i]), &input, &err) == STATUS_OK);
        cr_assert(!input.piece && span_is(input.path, whole[i]), "%s", whole[i]);
    }
    cr_assert(input_parse(SPAN("a@1+2@b@3+4@c"), &input, &err) == STATUS_OK && input.piece);
    cr_assert(span_is(input.name, "a") && input.offset == 1 && input.length == 2);
    cr_assert(span_is(input.path, "b@3+4@c"));
    char path[INPUT_PATH_MAX + 3];
    memset(path, 'x', sizeof path);
    cr_assert(input_parse((struct span){path, INPUT_PATH_MAX}, &input, &err) == STATUS_OK);
    cr_assert(input_parse((struct span){path, INPUT_PATH_MAX + 1}, &input, &err) == STATUS_INVALID);
}

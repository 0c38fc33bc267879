/* See input.h. */
#include "stages/bio/input.h"

#include "engine/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Takes what stands before the next mark off the front; false: no mark. */
static bool take(struct span *rest, char mark, struct span *part)
{
    const char *end = rest->size ? memchr(rest->data, mark, rest->size) : NULL;
    if (!end)
        return false;
    size_t size = (size_t)(end - rest->data);
    *part = (struct span){rest->data, size};
    *rest = (struct span){end + 1, rest->size - size - 1};
    return true;
}

static bool piece_parse(struct span line, struct input *input)
{
    struct span offset, length;
    return line.data[0] != '/' && line.data[0] != '.' && take(&line, '@', &input->name) &&
           take(&line, '+', &offset) && take(&line, '@', &length) && input->name.size &&
           memchr(input->name.data, '/', input->name.size) == NULL && line.size &&
           text_int(offset, 0, INT64_MAX / 2, &input->offset) &&
           text_int(length, 0, INT64_MAX / 2, &input->length) && (input->path = line, true);
}

enum status input_parse(struct span line, struct input *input, struct error *err)
{
    *input = (struct input){.name = line, .path = line};
    if (line.size == 0)
        return error_set(err, STATUS_INVALID, "an input is an empty line");
    if (memchr(line.data, 0, line.size))
        return error_set(err, STATUS_INVALID, "an input's line holds a NUL");
    if (piece_parse(line, input))
        input->piece = true;
    else
        *input = (struct input){.name = line, .path = line};
    if (input->path.size > INPUT_PATH_MAX || (input->piece && input->name.size > INPUT_NAME_MAX))
        return error_set(err, STATUS_INVALID,
                         "an input's name or path is too long: '%.*s...' (a path has at most %d "
                         "bytes, a name %d)",
                         60, line.data, INPUT_PATH_MAX, INPUT_NAME_MAX);
    return STATUS_OK;
}

enum status input_piece(struct span name, int64_t offset, int64_t length, struct span path,
                        struct arena *arena, const char **line, struct error *err)
{
    const char *wrong = NULL;
    if (name.size == 0 || name.size > INPUT_NAME_MAX)
        wrong = "a file's name has 1 to 255 bytes";
    else if (name.data[0] == '.')
        wrong = "a file's name begins with '.'";
    for (size_t i = 0; i < name.size && !wrong; i++)
        if (strchr("@/\r\n", name.data[i])) /* also NUL */
            wrong = "a file's name holds '@', '/', NUL or an end of line";
    if (!wrong && (path.size == 0 || path.size > INPUT_PATH_MAX))
        wrong = "a path has 1 to 4095 bytes";
    for (size_t i = 0; i < path.size && !wrong; i++)
        if (strchr("\r\n", path.data[i]))
            wrong = "a path holds NUL or an end of line";
    if (!wrong && (offset < 0 || length < 1 || offset > INT64_MAX / 4 || length > INT64_MAX / 4))
        wrong = "offset and length of a file in a database are bytes: 0 or more, and 1 or more";
    if (wrong)
        return error_set(err, STATUS_INVALID, "'%.*s': %s", (int)(name.size < 60 ? name.size : 60),
                         name.data, wrong);
    *line = arena_printf(arena, "%.*s@%lld+%lld@%.*s", (int)name.size, name.data, (long long)offset,
                         (long long)length, (int)path.size, path.data);
    return STATUS_OK;
}

/* size bytes at offset of an open file, and a NUL. */
static enum status range_read(int file, off_t offset, size_t size, struct arena *arena,
                              struct span *content, const char *path, struct error *err)
{
    char *bytes = arena_try(arena, size + 1, 1);
    if (!bytes)
        return error_set(err, STATUS_LIMIT, "%s: no memory for %zu bytes", path, size);
    for (size_t done = 0; done < size;) {
        ssize_t got = pread(file, bytes + done, size - done, offset + (off_t)done);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return error_set(err, STATUS_IO, "%s: %s", path,
                             got < 0 ? strerror(errno) : "became shorter while it was read");
        done += (size_t)got;
    }
    bytes[size] = 0;
    *content = (struct span){bytes, size};
    return STATUS_OK;
}

/* The piece lies within its file and the limit. */
static enum status piece_check(const struct input *input, int file, const char *path,
                               size_t bytes_max, struct error *err)
{
    struct stat info;
    if (fstat(file, &info) != 0)
        return error_set(err, STATUS_IO, "%s: %s", path, strerror(errno));
    if (input->offset + input->length > info.st_size)
        return error_set(err, STATUS_IO,
                         "%s: has %lld bytes, but %.*s is said to be %lld bytes at %lld: index "
                         "and database do not belong together, or one is incomplete",
                         path, (long long)info.st_size, (int)input->name.size, input->name.data,
                         (long long)input->length, (long long)input->offset);
    if ((uint64_t)input->length > bytes_max)
        return error_set(err, STATUS_LIMIT, "%s: %.*s has %lld bytes, the limit is %zu", path,
                         (int)input->name.size, input->name.data, (long long)input->length,
                         bytes_max);
    return STATUS_OK;
}

static enum status piece_read(const struct input *input, const char *path, size_t bytes_max,
                              struct arena *arena, struct span *content, struct error *err)
{
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return error_set(err, STATUS_IO, "%s: %s", path, strerror(errno));
    enum status status = piece_check(input, file, path, bytes_max, err);
    if (status == STATUS_OK)
        status = range_read(file, input->offset, (size_t)input->length, arena, content, path, err);
    close(file);
    if (status != STATUS_OK)
        return status;
    struct span packed = *content;
    status = file_unpack(packed, bytes_max, arena, content, err);
    if (status != STATUS_OK)
        error_prefix(err, "%s: %.*s", path, (int)input->name.size, input->name.data);
    return status;
}

enum status input_read(struct span line, size_t bytes_max, struct arena *arena, struct span *name,
                       struct span *content, struct error *err)
{
    struct input input;
    char path[INPUT_PATH_MAX + 1];
    enum status status = input_parse(line, &input, err);
    if (status != STATUS_OK)
        return status;
    memcpy(path, input.path.data, input.path.size);
    path[input.path.size] = 0;
    *name = input.name;
    return input.piece ? piece_read(&input, path, bytes_max, arena, content, err)
                       : file_read(path, bytes_max, arena, content, err);
}

enum status input_lines(struct span line, size_t bytes_max, struct arena *arena, struct span *name,
                        struct lines *lines, struct error *err)
{
    struct input input;
    lines_open_text(lines, SPAN(""));
    enum status status = input_parse(line, &input, err);
    char *path = status == STATUS_OK ? arena_try(arena, input.path.size + 1, 1) : NULL;
    if (status == STATUS_OK && !path)
        return error_set(err, STATUS_LIMIT, "no memory for a path");
    if (status != STATUS_OK)
        return status;
    memcpy(path, input.path.data, input.path.size);
    path[input.path.size] = 0;
    *name = input.name;
    uint64_t length = input.piece ? (uint64_t)input.length : UINT64_MAX;
    status = lines_open(lines, path, (uint64_t)input.offset, length, bytes_max, arena, err);
    if (status == STATUS_OK && input.piece)
        status = piece_check(&input, lines->fd, path, bytes_max, err);
    return status;
}

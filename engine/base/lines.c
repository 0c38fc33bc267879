/* Lines of plain and gzip files; see lines.h. */
/* zlib promises not to write to its input only when asked. */
#define ZLIB_CONST
#include "engine/base/lines.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

/* The buffer stays in the second-level cache, where the text is read again at once. */
enum { BUFFER_BYTES = 256 * 1024, PACKED_BYTES = 64 * 1024 };

struct lines_packed {
    z_stream stream;
    unsigned char input[PACKED_BYTES];
    bool between; /* at the start of the file or behind a whole member */
};

/* Up to size bytes of the file as it is; 0 at its end, -1 on errors. */
static ssize_t read_some(struct lines *lines, void *to, size_t size)
{
    if (size > lines->left)
        size = (size_t)lines->left;
    ssize_t got;
    do
        got = size ? read(lines->fd, to, size) : 0;
    while (got < 0 && errno == EINTR);
    if (got > 0)
        lines->left -= (uint64_t)got;
    return got;
}

static enum status io_error(const struct lines *lines, struct error *err)
{
    return error_set(err, STATUS_IO, "%s: %s", lines->path, strerror(errno));
}

/* Begins to unpack when the first bytes, which lie in the buffer, are those of gzip. */
static enum status packed_open(struct lines *lines, struct error *err)
{
    const unsigned char *first = (const unsigned char *)lines->buffer;
    if (lines->end < 2 || first[0] != 0x1f || first[1] != 0x8b) {
        lines->bytes = lines->end;
        return STATUS_OK;
    }
    struct lines_packed *packed = arena_try(lines->arena, 1, sizeof *packed);
    if (!packed)
        return error_set(err, STATUS_LIMIT, "%s: no memory to unpack", lines->path);
    memset(packed, 0, sizeof *packed);
    memcpy(packed->input, lines->buffer, lines->end);
    packed->stream.next_in = packed->input;
    packed->stream.avail_in = (uInt)lines->end;
    packed->between = true;
    if (inflateInit2(&packed->stream, 15 + 16) != Z_OK)
        return error_set(err, STATUS_LIMIT, "%s: zlib has no memory", lines->path);
    lines->end = 0;
    lines->packed = packed;
    return STATUS_OK;
}

enum status lines_open(struct lines *lines, const char *path, uint64_t offset, uint64_t length,
                       size_t bytes_max, struct arena *arena, struct error *err)
{
    struct stat info;
    *lines = (struct lines){.arena = arena, .path = path, .bytes_max = bytes_max, .left = length};
    lines->fd = open(path, O_RDONLY | O_CLOEXEC);
    if (lines->fd < 0)
        return io_error(lines, err);
    if (fstat(lines->fd, &info) == 0 && S_ISDIR(info.st_mode))
        return error_set(err, STATUS_IO, "%s: is a folder, a file is wanted", path);
    if (offset && (offset > INT64_MAX || lseek(lines->fd, (off_t)offset, SEEK_SET) < 0))
        return io_error(lines, err);
    lines->capacity = BUFFER_BYTES;
    lines->text = lines->buffer = arena_try(arena, lines->capacity, 1);
    if (!lines->buffer)
        return error_set(err, STATUS_LIMIT, "%s: no memory for a buffer", path);
    while (lines->end < 2) {
        ssize_t got = read_some(lines, lines->buffer + lines->end, 2 - lines->end);
        if (got < 0)
            return io_error(lines, err);
        if (got == 0)
            break;
        lines->end += (size_t)got;
    }
    return packed_open(lines, err);
}

void lines_open_text(struct lines *lines, struct span text)
{
    *lines = (struct lines){.text = text.data, .end = text.size, .fd = -1, .ended = true};
}

/* Unpacks some bytes to the end of the buffer. */
static enum status unpack_some(struct lines *lines, struct error *err)
{
    struct lines_packed *packed = lines->packed;
    z_stream *stream = &packed->stream;
    size_t room = lines->capacity - lines->end;
    stream->next_out = (Bytef *)lines->buffer + lines->end;
    stream->avail_out = room < UINT_MAX ? (uInt)room : UINT_MAX;
    uInt before = stream->avail_out;
    while (stream->avail_out == before) {
        if (stream->avail_in == 0) {
            ssize_t got = read_some(lines, packed->input, sizeof packed->input);
            if (got < 0)
                return io_error(lines, err);
            if (got == 0 && packed->between) {
                lines->ended = true;
                return STATUS_OK;
            }
            if (got == 0)
                return error_set(err, STATUS_CORRUPT, "%s: truncated gzip: it ends after %zu bytes",
                                 lines->path, lines->bytes);
            stream->next_in = packed->input;
            stream->avail_in = (uInt)got;
        }
        packed->between = false;
        int code = inflate(stream, Z_NO_FLUSH);
        if (code == Z_STREAM_END) { /* concatenated members are one file */
            packed->between = true;
            code = inflateReset(stream);
        }
        if (code != Z_OK && code != Z_BUF_ERROR)
            return error_set(err, STATUS_CORRUPT, "%s: broken gzip: %s", lines->path,
                             stream->msg ? stream->msg : "data error");
    }
    lines->end += before - stream->avail_out;
    lines->bytes += before - stream->avail_out;
    return STATUS_OK;
}

/* Reads more behind the unread text, which moves to the front of the buffer, a larger one if it
 * fills it. */
static enum status fill(struct lines *lines, struct error *err)
{
    size_t unread = lines->end - lines->begin;
    if (unread == lines->capacity) {
        char *larger = arena_try(lines->arena, 2 * lines->capacity, 1);
        if (!larger)
            return error_set(err, STATUS_LIMIT, "%s: no memory for a line of %zu bytes",
                             lines->path, unread);
        memcpy(larger, lines->buffer, unread);
        lines->text = lines->buffer = larger;
        lines->capacity *= 2;
    } else if (unread) {
        memmove(lines->buffer, lines->buffer + lines->begin, unread);
    }
    lines->begin = 0;
    lines->end = unread;
    if (lines->packed) {
        enum status status = unpack_some(lines, err);
        if (status != STATUS_OK)
            return status;
    } else {
        ssize_t got = read_some(lines, lines->buffer + lines->end, lines->capacity - lines->end);
        if (got < 0)
            return io_error(lines, err);
        lines->ended = got == 0;
        lines->end += (size_t)got;
        lines->bytes += (size_t)got;
    }
    if (lines->bytes > lines->bytes_max)
        return error_set(err, STATUS_LIMIT, "%s: more than %zu bytes", lines->path,
                         lines->bytes_max);
    return STATUS_OK;
}

enum status lines_next(struct lines *lines, struct span *line, struct error *err)
{
    size_t looked = 0; /* bytes of the unread text that hold no end of a line */
    for (;;) {
        const char *from = lines->text + lines->begin;
        size_t unread = lines->end - lines->begin;
        const char *newline = unread > looked ? memchr(from + looked, '\n', unread - looked) : NULL;
        if (newline || (lines->ended && unread)) {
            size_t size = newline ? (size_t)(newline - from) : unread;
            lines->begin += newline ? size + 1 : size;
            if (size && from[size - 1] == '\r')
                size--;
            *line = (struct span){from, size};
            return STATUS_OK;
        }
        if (lines->ended)
            return STATUS_EMPTY;
        looked = unread;
        enum status status = fill(lines, err);
        if (status != STATUS_OK)
            return status;
    }
}

enum status lines_piece(struct lines *lines, struct span *piece, struct error *err)
{
    while (lines->begin == lines->end) {
        enum status status = lines->ended ? STATUS_EMPTY : fill(lines, err);
        if (status != STATUS_OK)
            return status;
    }
    *piece = (struct span){lines->text + lines->begin, lines->end - lines->begin};
    lines->begin = lines->end;
    return STATUS_OK;
}

void lines_close(struct lines *lines)
{
    if (lines->packed)
        inflateEnd(&lines->packed->stream);
    if (lines->fd >= 0)
        close(lines->fd);
    *lines = (struct lines){.fd = -1, .ended = true};
}

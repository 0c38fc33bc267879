/* Rows that wait for room on the disk; see rows.h. */
#include "engine/rows.h"

#include "engine/base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum status rows_open(struct rows *rows, const char *path, bool *headed, struct error *err)
{
    *rows = (struct rows){.fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666)};
    if (rows->fd < 0)
        return error_set(err, errno == ENOSPC || errno == EDQUOT ? STATUS_FULL : STATUS_IO,
                         "%s: %s", path, strerror(errno));
    *headed = lseek(rows->fd, 0, SEEK_END) > 0;
    rows->row = open_memstream(&rows->text, &rows->text_size);
    ASSERT(rows->row);
    return STATUS_OK;
}

void rows_put(struct rows *rows, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vfprintf(rows->row, format, args);
    va_end(args);
}

static void keep(struct rows *rows, const char *text, size_t size)
{
    if (size == 0)
        return;
    if (rows->waiting_size + size > ROWS_WAITING_MAX) {
        if (rows->dropped == 0)
            log_error("a table's rows are dropped: the disk has been full for too long");
        rows->dropped += size;
        return;
    }
    if (rows->waiting_size + size > rows->waiting_room) {
        rows->waiting_room = 2 * (rows->waiting_size + size);
        rows->waiting = realloc(rows->waiting, rows->waiting_room);
        ASSERT(rows->waiting);
    }
    memcpy(rows->waiting + rows->waiting_size, text, size);
    rows->waiting_size += size;
}

bool rows_flush(struct rows *rows)
{
    size_t done = 0;
    while (done < rows->waiting_size) {
        ssize_t wrote = write(rows->fd, rows->waiting + done, rows->waiting_size - done);
        if (wrote <= 0 && errno != EINTR)
            break;
        done += wrote > 0 ? (size_t)wrote : 0;
    }
    rows->waiting_size -= done;
    if (rows->waiting_size)
        memmove(rows->waiting, rows->waiting + done, rows->waiting_size);
    return rows->waiting_size == 0;
}

void rows_end(struct rows *rows)
{
    fflush(rows->row);
    keep(rows, rows->text, rows->text_size);
    rewind(rows->row);
    rows_flush(rows);
}

void rows_close(struct rows *rows)
{
    if (!rows->row)
        return;
    if (!rows_flush(rows))
        log_error("%zu bytes of a table found no room on the disk", rows->waiting_size);
    close(rows->fd);
    fclose(rows->row);
    free(rows->text);
    free(rows->waiting);
    *rows = (struct rows){.fd = -1};
}

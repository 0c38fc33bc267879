/* A program that lives as long as its stage and answers frame by frame on its standard streams. A
 * frame is four letters that say what it is, the size of its content (8 bytes, little-endian) and
 * the content. Its standard error is this process's. */
#ifndef STAGES_BIO_COPROCESS_H
#define STAGES_BIO_COPROCESS_H

#include "engine/base/arena.h"
#include "engine/base/error.h"
#include "engine/base/text.h"

#include <stdint.h>
#include <sys/types.h>

enum { FRAME_TAG = 4, FRAME_HEAD = 12 };

struct frame {
    char tag[FRAME_TAG + 1];
    struct span content;
};

struct coprocess {
    pid_t pid; /* 0: none */
    int to, from;
};

/* Sends a frame to one descriptor and takes the answer from another, neither of which may block
 * (O_NONBLOCK). As coprocess_ask, but nothing is ended: STATUS_IO: the other side is gone. */
enum status frame_exchange(int to, int from, const struct frame *question, int64_t time_ms,
                           size_t content_max, struct arena *arena, struct frame *answer,
                           struct error *err);

/* Starts argv[0], a path; memory_bytes: of address space, 0: no limit. STATUS_MISS: there is no
 * such program; STATUS_IO. */
enum status coprocess_open(struct coprocess *coprocess, const char *const *argv,
                           uint64_t memory_bytes, struct error *err);

/* Sends a frame and takes the answer, both within time_ms (0: no limit); its content, of at most
 * content_max bytes, lies in arena. After any error the program is dead and coprocess->pid 0: half
 * an answer is never taken for the next one. STATUS_IO: it ended, with how; STATUS_LIMIT: it took
 * too long or said too much; STATUS_INVALID: what came is no frame. */
enum status coprocess_ask(struct coprocess *coprocess, const struct frame *question,
                          int64_t time_ms, size_t content_max, struct arena *arena,
                          struct frame *answer, struct error *err);

/* Closes its input, gives it grace_ms to end by itself, then ends it. */
void coprocess_close(struct coprocess *coprocess, int64_t grace_ms);

#endif

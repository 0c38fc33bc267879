/* What a program of the stage exec writes: the answers to a greeting and to a sample, through a
 * pipe. The first byte says how the rest is taken: 0..127: as it stands on the pipe; else as the
 * tag and the content of one frame of the right size, behind a good greeting, so that what lies
 * behind the frame is reached; its lowest bits choose what `adds` says. */
#include "stages/exec/answer.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { PIPE_BYTES = 1 << 16, CONTENT_MAX = 1 << 20, FRAMED = 128 };

static const char *const adds[] = {
    "doubled:i32[N] count:i32, names:u8[T]",
    "a:f32[L,3]\tb:bool[L]? c:i64",
    "x:i8[2,2]",
    "",
};

static volatile unsigned seen;

static void frame_put(char *to, size_t *size, const char *tag, const void *content, size_t bytes)
{
    memcpy(to + *size, tag, FRAME_TAG);
    for (int i = 0; i < 8; i++)
        to[*size + FRAME_TAG + (size_t)i] = (char)(bytes >> 8 * i);
    if (bytes)
        memcpy(to + *size + FRAME_HEAD, content, bytes);
    *size += FRAME_HEAD + bytes;
}

/* A descriptor that gives these bytes and then ends. */
static int pipe_of(const char *bytes, size_t size)
{
    int ends[2];
    ASSERT(pipe2(ends, O_NONBLOCK | O_CLOEXEC) == 0);
    ASSERT(size == 0 || write(ends[1], bytes, size) == (ssize_t)size);
    close(ends[1]);
    return ends[0];
}

/* What fits the port is a sample like any other: every byte of it is there. */
static void sample_check(const struct sample *sample, const struct port_table *port)
{
    struct error err;
    unsigned sum = 0;
    for (int f = 0; f < sample->field_count; f++) {
        const struct field *field = &sample->fields[f];
        const unsigned char *bytes = field->data;
        for (size_t b = 0; b < field_count(field) * kind_size(field->kind); b++)
            sum += bytes[b];
    }
    if (port_check(port, sample, &err) == STATUS_OK)
        sum += (unsigned)sample_digest(sample);
    seen = sum;
}

/* The two exchanges of a program's life, up to the first error. */
static void talk(int to, int from, const char *text, struct arena *arena)
{
    static struct sample out;
    static struct port_table port;
    struct frame question = {"HELO", SPAN(EXEC_GREETING "stage mine\nseed 1\n")}, answer;
    struct error err = {0};
    struct port wanted = answer_port(text, arena);
    ASSERT(port_open(&wanted, &port, &err) == STATUS_OK);
    enum status status = frame_exchange(to, from, &question, 0, CONTENT_MAX, arena, &answer, &err);
    if (status == STATUS_OK)
        status = answer_greeting(&answer, &err);
    memcpy(question.tag, "SMPL", FRAME_TAG);
    if (status == STATUS_OK)
        status = frame_exchange(to, from, &question, 0, CONTENT_MAX, arena, &answer, &err);
    ASSERT(status == STATUS_OK || status == STATUS_IO || status == STATUS_LIMIT ||
           status == STATUS_INVALID);
    ASSERT(status == STATUS_OK || err.text[0]);
    if (status != STATUS_OK)
        return;
    ASSERT(strlen(answer.tag) == FRAME_TAG && answer.content.size <= CONTENT_MAX);
    ASSERT(answer.content.data[answer.content.size] == 0);
    struct arena given;
    arena_open(&given, (size_t)8 << 20);
    ASSERT(sample_open(&out, SPAN("1abc_A"), &err) == STATUS_OK);
    status = answer_take(&answer, text, arena, &out, &given, &err);
    if (status == STATUS_OK)
        sample_check(&out, &port);
    else
        ASSERT(status == STATUS_EMPTY || err.text[0]);
    arena_close(&given);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char bytes[PIPE_BYTES];
    static int nowhere;
    size_t count = 0;
    if (size == 0)
        return 0;
    uint8_t how = *data++;
    size = size - 1 < PIPE_BYTES / 2 ? size - 1 : PIPE_BYTES / 2;
    if (how >= FRAMED && size >= FRAME_TAG) {
        char tag[FRAME_TAG];
        memcpy(tag, data, FRAME_TAG);
        frame_put(bytes, &count, "HELO", EXEC_GREETING, strlen(EXEC_GREETING));
        frame_put(bytes, &count, tag, data + FRAME_TAG, size - FRAME_TAG);
    } else {
        memcpy(bytes, data, size);
        count = size;
    }
    if (!nowhere)
        nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
    ASSERT(nowhere > 0);
    struct arena arena;
    arena_open(&arena, (size_t)32 << 20);
    int from = pipe_of(bytes, count);
    talk(nowhere, from, adds[how % (sizeof adds / sizeof *adds)], &arena);
    close(from);
    arena_close(&arena);
    return 0;
}

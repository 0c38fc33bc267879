/* Exec: a program of the user's own as a stage, in any language. It lives as long as the worker,
 * takes samples as .npz on its standard input and answers on its standard output, frame by frame;
 * the protocol stands in stages/README.md, an example in graphs/examples. What it makes must follow
 * from its input alone; after a change of the program its `version` makes stored records again. */
#include "engine/base/log.h"
#include "engine/programs.h"
#include "engine/sample_npz.h"
#include "engine/stage.h"
#include "stages/exec/answer.h"

#include <string.h>

enum { ARGUMENTS_MAX = 64, HELLO_MS = 60000, GRACE_MS = 2000, HELLO_BYTES_MAX = 65536 };

/* A sample as it is sent, packed and in its frame (bf16 is twice as large there), and an answer,
 * packed and unpacked: so an answer that unpacks to more than a sample may be is an error. */
#define SCRATCH_BYTES_MAX (8 * SAMPLE_BYTES_MAX)

struct exec_state {
    const char *program, *arguments, *adds, *version, *sends;
    int64_t time_ms;
    uint64_t memory_bytes;
    char path[PATH_MAX];
    const char *argv[ARGUMENTS_MAX + 2];
    struct coprocess coprocess;
    struct stage_context *context;
    struct arena scratch;
};

static struct port exec_gives(const void *memory, struct arena *arena)
{
    const struct exec_state *state = memory;
    return answer_port(state->adds, arena);
}

static enum status exec_open(void *memory, struct stage_context *context, struct error *err)
{
    struct exec_state *state = memory;
    struct span rest = span_of(state->arguments), word;
    int count = 0;
    arena_open(&state->scratch, SCRATCH_BYTES_MAX);
    state->context = context;
    enum status status = programs_find(state->program, state->path, err);
    if (status != STATUS_OK)
        return status;
    state->argv[count++] = state->path;
    while (span_word(&rest, &word)) {
        if (count > ARGUMENTS_MAX)
            return error_set(err, STATUS_INVALID, "more than %d arguments", ARGUMENTS_MAX);
        state->argv[count++] = arena_text(context->arena, word.data, word.size);
    }
    return STATUS_OK;
}

/* Starts the program and exchanges versions. */
static enum status program_start(struct exec_state *state, struct error *err)
{
    struct frame hello = {"HELO", {NULL, 0}}, answer;
    enum status status = coprocess_open(&state->coprocess, state->argv, state->memory_bytes, err);
    if (status != STATUS_OK)
        return status;
    hello.content =
        span_of(arena_printf(&state->scratch, EXEC_GREETING "stage %s\nseed %llu\n",
                             state->context->name, (unsigned long long)state->context->seed));
    status = coprocess_ask(&state->coprocess, &hello, HELLO_MS, HELLO_BYTES_MAX, &state->scratch,
                           &answer, err);
    if (status == STATUS_OK) {
        status = answer_greeting(&answer, err);
        if (status != STATUS_OK)
            coprocess_close(&state->coprocess, 0);
    }
    if (status != STATUS_OK)
        return error_prefix(err, "%s", state->program);
    log_info("%s: %s answers: %.*s", state->context->name, state->path,
             (int)strcspn(answer.content.data, "\n"), answer.content.data);
    return STATUS_OK;
}

static bool is_sent(const struct exec_state *state, const char *name)
{
    struct span rest = span_of(state->sends), word;
    if (!*state->sends)
        return true;
    while (answer_word(&rest, &word))
        if (span_is(word, name))
            return true;
    return false;
}

/* The sample's fields that are sent, and its key under "__key__". */
static enum status question_make(struct exec_state *state, const struct sample *in,
                                 struct frame *question, struct error *err)
{
    struct sample sent;
    enum status status = sample_open(&sent, span_of(in->key), err);
    for (int i = 0; i < in->field_count && status == STATUS_OK; i++)
        if (is_sent(state, in->fields[i].name))
            status = sample_put(&sent, &in->fields[i], err);
    if (status != STATUS_OK)
        return status;
    struct npz_array arrays[SAMPLE_FIELDS_MAX + 1];
    status = sample_arrays(&sent, &state->scratch, arrays, err);
    arrays[sent.field_count] = (struct npz_array){.name = SPAN("__key__"),
                                                  .kind = NPZ_U8,
                                                  .rank = 1,
                                                  .size = {strlen(in->key)},
                                                  .count = strlen(in->key),
                                                  .item_bytes = 1,
                                                  .data = in->key};
    *question = (struct frame){"SMPL", {NULL, 0}};
    return status == STATUS_OK
               ? npz_pack(arrays, sent.field_count + 1, &state->scratch, &question->content, err)
               : status;
}

static enum status exec_feed(void *memory, const struct work *work, const struct sample *in,
                             struct sample *out, struct arena *arena, struct error *err)
{
    struct exec_state *state = memory;
    struct frame question, answer;
    (void)work;
    arena_reset(&state->scratch);
    enum status status = state->coprocess.pid ? STATUS_OK : program_start(state, err);
    if (status != STATUS_OK)
        return status;
    status = question_make(state, in, &question, err);
    if (status == STATUS_OK)
        status = coprocess_ask(&state->coprocess, &question, state->time_ms, SAMPLE_BYTES_MAX,
                               &state->scratch, &answer, err);
    if (status == STATUS_OK)
        status = answer_take(&answer, state->adds, &state->scratch, out, arena, err);
    if (status == STATUS_OK || status == STATUS_EMPTY)
        return status;
    return error_prefix(err, "%s", state->program);
}

static void exec_close(void *memory)
{
    struct exec_state *state = memory;
    coprocess_close(&state->coprocess, GRACE_MS);
    arena_close(&state->scratch);
}

#define AT(member) offsetof(struct exec_state, member)

static const struct param exec_params[] = {
    {.name = "program",
     .type = PARAM_TEXT,
     .offset = AT(program),
     .help = "Name of the program, in one of the folders of `--programs`."},
    {.name = "arguments",
     .type = PARAM_TEXT,
     .fallback = "",
     .offset = AT(arguments),
     .help = "Its arguments, blanks between them; there is no shell."},
    {.name = "adds",
     .type = PARAM_TEXT,
     .offset = AT(adds),
     .help = "The fields that it adds, as ports write them: \"charge:f32[L] pairs:i32[L,2]\"."},
    {.name = "sends",
     .type = PARAM_TEXT,
     .fallback = "",
     .offset = AT(sends),
     .help = "Names of the fields that it gets; empty: all."},
    {.name = "version",
     .type = PARAM_TEXT,
     .fallback = "1",
     .offset = AT(version),
     .help = "Of the program: change it where the program makes something else than before, so "
             "that stored records are made again."},
    {.name = "time_max",
     .type = PARAM_DURATION,
     .fallback = "0ms",
     .offset = AT(time_ms),
     .free = true,
     .help = "For one sample; 0ms: no limit of its own (`timeout:` of the stage ends the worker "
             "too)."},
    {.name = "memory_max",
     .type = PARAM_BYTES,
     .fallback = "0",
     .offset = AT(memory_bytes),
     .free = true,
     .help = "Address space of the program; 0: no limit."},
    {0},
};

static const char *const nothing[] = {NULL};

const struct stage stage_exec = {
    .abi = STAGE_ABI,
    .version = 1,
    .flags = STAGE_PASS,
    .name = "exec",
    .summary = "Runs a program of your own, in any language, on every sample.",
    .state_size = sizeof(struct exec_state),
    .params = exec_params,
    .in = {nothing},
    .out = {nothing},
    .open = exec_open,
    .feed = exec_feed,
    .close = exec_close,
    .gives = exec_gives,
};

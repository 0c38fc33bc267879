/* What a joined engine tells for the run's tables; see join_state.h. What is lost on the way is
 * lost: these rows are for people. */
#include "engine/join_note.h"
#include "engine/join_state.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { READ_MAX = 32768, TELL_MAX = MESSAGE_PAYLOAD_MAX };

struct telling {
    size_t size;
    char text[TELL_MAX];
};

static void add(struct telling *telling, const struct join_note *note)
{
    if (telling->size + JOIN_NOTE_MAX <= sizeof telling->text)
        telling->size += join_note_write(note, telling->text + telling->size);
}

static void add_processes(struct join_engine *engine, struct telling *telling)
{
    for (int i = 0; i < supervise_count(engine->supervisor); i++) {
        struct child_info info = supervise_info(engine->supervisor, i);
        struct join_child *child = &engine->children[i];
        if (child->sink || info.starts == child->starts)
            continue;
        child->starts = info.starts;
        add(telling, &(struct join_note){.kind = JOIN_NOTE_PROCESS,
                                         .stage = child->stage,
                                         .index = (uint32_t)child->index,
                                         .inc = info.inc,
                                         .starts = info.starts,
                                         .pid = (uint32_t)info.pid});
    }
}

/* A row as workers write it: line, stage, seq, key, attempt, STAGE.INDEX, ms. */
static bool read_slow(const struct join_engine *engine, struct span row, struct join_note *note)
{
    const struct graph *graph = engine->job.graph;
    struct span word[7];
    int64_t seq, attempt, index, ms;
    *note = (struct join_note){.kind = JOIN_NOTE_SLOW, .stage = -1, .line = -1};
    for (int i = 0; i < 7; i++)
        if (!span_word(&row, &word[i]))
            return false;
    for (int i = 0; i < graph->line_count; i++)
        if (span_is(word[0], job_line_name(&engine->job, i)))
            note->line = i;
    for (int i = 0; i < graph->stage_count; i++)
        if (span_is(word[1], graph->stages[i].name))
            note->stage = i;
    size_t name = word[1].size + 1;
    if (note->line < 0 || note->stage < 0 || word[5].size <= name ||
        word[3].size > SAMPLE_KEY_MAX || !text_int(word[2], 0, INT64_MAX, &seq) ||
        !text_int(word[4], 0, UINT32_MAX, &attempt) || !text_int(word[6], 0, INT64_MAX, &ms) ||
        !text_int((struct span){word[5].data + name, word[5].size - name}, 0, GRAPH_WORKERS_MAX,
                  &index))
        return false;
    note->seq = (uint64_t)seq;
    note->attempt = (uint32_t)attempt;
    note->index = (uint32_t)index;
    note->ms = (uint64_t)ms;
    memcpy(note->key, word[3].data, word[3].size);
    return true;
}

/* The whole rows that have come since. */
static void add_slow(struct join_engine *engine, struct telling *telling)
{
    static char text[READ_MAX];
    char path[PATH_MAX];
    struct join_note note;
    int fd = open(rundir_file(engine->dir.path, "slow.tsv", path), O_RDONLY | O_CLOEXEC);
    ssize_t got = fd >= 0 ? pread(fd, text, sizeof text, (off_t)engine->slow_at) : -1;
    if (fd >= 0)
        close(fd);
    const char *end = got > 0 ? memrchr(text, '\n', (size_t)got) : NULL;
    if (!end)
        return;
    struct span rest = {text, (size_t)(end + 1 - text)}, row;
    engine->slow_at += (int64_t)rest.size;
    while (span_line(&rest, &row))
        if (read_slow(engine, row, &note))
            add(telling, &note);
}

void join_tell(struct join_engine *engine)
{
    static struct telling telling;
    telling.size = 0;
    add_processes(engine, &telling);
    add_slow(engine, &telling);
    if (telling.size)
        join_say(engine, MESSAGE_NOTES, telling.text, telling.size);
}

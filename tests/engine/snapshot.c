/* Snapshots: what is written is read again; what is malformed is refused; all forms have the same
 * fields. */
#include "engine/snapshot.h"

#include "engine/base/arena.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

static struct snapshot before, after;

static char *text_of(void (*write)(const struct snapshot *, FILE *), const struct snapshot *s)
{
    char *text = NULL;
    size_t size = 0;
    FILE *memory = open_memstream(&text, &size);
    cr_assert(memory, "memory");
    write(s, memory);
    fclose(memory);
    return text;
}

/* Every field of every kind gets a value of its own. */
static void fill(struct snapshot *s, int rows)
{
    int turn = 1;
    memset(s, 0, sizeof *s);
    for (int k = 0; k < snapshot_kind_count; k++) {
        const struct snapshot_kind *kind = &snapshot_kinds[k];
        int count = kind->plural ? rows : 1;
        memcpy((char *)s + kind->count, &count, sizeof count);
        for (int i = 0; i < count; i++)
            for (int f = 0; f < kind->field_count; f++, turn++) {
                const struct snapshot_field *field = &kind->fields[f];
                char *at = (char *)s + kind->rows + (size_t)i * kind->row_size + field->offset;
                int64_t whole = -turn;
                uint64_t number = UINT64_MAX - (uint64_t)turn;
                double real = turn * 0.25;
                if (field->type == SNAPSHOT_TEXT)
                    snprintf(at, field->size, "t%d \"x\" \\ a=b", turn);
                else if (field->type == SNAPSHOT_I64)
                    memcpy(at, &whole, sizeof whole);
                else if (field->type == SNAPSHOT_U64)
                    memcpy(at, &number, sizeof number);
                else
                    memcpy(at, &real, sizeof real);
            }
    }
}

Test(snapshot, what_is_written_is_read_again)
{
    struct error err;
    fill(&before, 3);
    char *text = text_of(snapshot_write, &before);
    cr_assert(snapshot_read(span_of(text), &after, &err) == STATUS_OK, "%s", err.text);
    cr_assert(memcmp(&before, &after, sizeof before) == 0, "another snapshot came back");
    free(text);
}

Test(snapshot, what_is_malformed_is_refused_and_what_is_new_skipped)
{
    struct error err;
    cr_assert(snapshot_read(SPAN("stage\tstage=a\tdone=x\n"), &after, &err) == STATUS_INVALID &&
                  strstr(err.text, "done"),
              "a word for a number: %s", err.text);
    cr_assert(snapshot_read(SPAN("stage\tstage\n"), &after, &err) == STATUS_INVALID, "no value");
    cr_assert(snapshot_read(SPAN("stage\tdone=-1\n"), &after, &err) == STATUS_INVALID, "negative");
    cr_assert(snapshot_read(SPAN("stage\tdone=\n"), &after, &err) == STATUS_INVALID, "empty");
    cr_assert(snapshot_read(SPAN("run\tgraph=a\nrun\tgraph=b\n"), &after, &err) == STATUS_LIMIT,
              "two runs");
    cr_assert(snapshot_read(SPAN("novel\tx=1\nstage\tstage=a\tnovel=7\tdone=5\n\n"), &after,
                            &err) == STATUS_OK &&
                  after.stage_count == 1 && after.stages[0].done == 5 &&
                  strcmp(after.stages[0].stage, "a") == 0,
              "a newer engine's rows are skipped: %s", err.text);
}

Test(snapshot, texts_are_cut_and_cleaned)
{
    char field[8];
    snapshot_copy(field, sizeof field,
                  "a\tb\nc\x7f"
                  "defgh");
    cr_assert(strcmp(field, "a?b?c?d") == 0, "'%s'", field);
    snapshot_copy(field, sizeof field, "");
    cr_assert(*field == 0, "empty");
}

Test(snapshot, rows_of_other_nodes_are_added_up_to_the_limit)
{
    fill(&before, 2);
    fill(&after, 2);
    snapshot_add(&before, &after);
    cr_assert(before.stage_count == 4 && before.run_count == 1, "stages of both, one run");
    cr_assert(strcmp(before.stages[2].stage, after.stages[0].stage) == 0, "in order");
    before.store_count = SNAPSHOT_STORES_MAX;
    snapshot_add(&before, &after);
    cr_assert(before.store_count == SNAPSHOT_STORES_MAX, "the limit holds");
}

Test(snapshot, the_table_adds_the_nodes_of_a_stage_and_is_cut_to_the_width)
{
    char *text = NULL;
    size_t size = 0;
    memset(&before, 0, sizeof before);
    before.run_count = 1;
    strcpy(before.run.graph, "demo");
    strcpy(before.run.state, "running");
    before.run.pid = 7;
    before.stage_count = 2;
    for (int i = 0; i < 2; i++) {
        strcpy(before.stages[i].stage, "crop");
        before.stages[i].workers = before.stages[i].wanted = 2 + i;
        before.stages[i].done = 100;
        before.stages[i].busy_seconds = 3;
        before.stages[i].wait_work_seconds = 1;
    }
    FILE *memory = open_memstream(&text, &size);
    snapshot_print(&before, 64, memory);
    fclose(memory);
    const char *row = strstr(text, "\ncrop");
    long long workers, done;
    double rate, busy;
    int queue, held;
    cr_assert(row && sscanf(row, " crop %lld %lld %lf %d %d %lf", &workers, &done, &rate, &queue,
                            &held, &busy) == 6,
              "%s", text);
    cr_assert(workers == 5 && done == 200 && busy == 75, "%s", text);
    cr_assert(!strstr(row + 1, "\ncrop"), "one row a stage");
    for (struct span rest = span_of(text), line; span_line(&rest, &line);)
        cr_assert(line.size <= 64, "%zu columns", line.size);
    free(text);
}

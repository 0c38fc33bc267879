/* A snapshot as the tables that people read: `foldmill status` and `foldmill top`. */
#include "engine/snapshot.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum { LINE_BYTES = 2048, NAME_WIDTH_MIN = 12, NAME_WIDTH_MAX = 24 };

struct table {
    FILE *out;
    int width; /* 0: lines are not cut */
    int name;  /* of the first column */
};

__attribute__((format(printf, 2, 3))) static void line(const struct table *table,
                                                       const char *format, ...)
{
    char text[LINE_BYTES];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (table->width > 0 && strlen(text) > (size_t)table->width)
        text[table->width] = 0;
    size_t size = strlen(text);
    while (size && text[size - 1] == ' ')
        size--;
    fprintf(table->out, "%.*s\n", (int)size, text);
}

static double percent(double part, double whole)
{
    return whole > 0 ? 100 * part / whole : 0;
}

static void print_head(const struct snapshot *s, const struct table *table)
{
    char time[32];
    const struct snapshot_run *run = &s->run;
    if (run->pid)
        line(table, "%s: %s for %s (process %lld)", run->graph, run->state,
             text_show_duration(time, sizeof time, run->seconds), (long long)run->pid);
    else
        line(table, "%s: %s", run->graph, run->state);
    line(table, "%s", run->path);
    if (run->metrics_port)
        line(table, "metrics: http://127.0.0.1:%lld/metrics", (long long)run->metrics_port);
    if (*run->notice)
        line(table, "%s: %s", run->state, run->notice);
    for (int i = 0; i < s->node_count; i++) {
        const struct snapshot_node *node = &s->nodes[i];
        char memory[32], room[32];
        if (!node->cpus) { /* an engine that joined tells of its workers alone */
            line(table, "node %s: %s, %lld processes", node->node, node->state,
                 (long long)node->processes);
            continue;
        }
        line(table, "node %s: %s, %lld CPUs %.0f %% busy, %lld processes, %s, %s free (%.0f %%)",
             node->node, node->state, (long long)node->cpus, 100 * node->cpu,
             (long long)node->processes, text_show_bytes(memory, sizeof memory, node->memory_bytes),
             text_show_bytes(room, sizeof room, node->disk_free_bytes),
             percent((double)node->disk_free_bytes, (double)node->disk_bytes));
    }
}

static void add_stage(struct snapshot_stage *sum, const struct snapshot_stage *row)
{
    sum->wanted += row->wanted;
    sum->workers += row->workers;
    sum->queue += row->queue;
    sum->held += row->held;
    sum->done += row->done;
    sum->refused += row->refused;
    sum->failed += row->failed;
    sum->reused += row->reused;
    sum->rate += row->rate;
    sum->busy_seconds += row->busy_seconds;
    sum->wait_work_seconds += row->wait_work_seconds;
    sum->wait_room_seconds += row->wait_room_seconds;
}

/* One line a stage: rows of all nodes added up. */
static void print_stages(const struct snapshot *s, const struct table *table)
{
    if (s->stage_count)
        line(table, "\n%-*s %8s %9s %10s %6s %6s %6s  %s", table->name, "stage", "workers", "done",
             "per s", "queue", "held", "busy", "");
    for (int i = 0; i < s->stage_count; i++) {
        struct snapshot_stage sum = s->stages[i];
        char workers[48], note[160] = "";
        int used = 0;
        bool earlier = false;
        for (int k = 0; k < i; k++)
            earlier = earlier || strcmp(s->stages[k].stage, sum.stage) == 0;
        if (earlier)
            continue;
        for (int k = i + 1; k < s->stage_count; k++)
            if (strcmp(s->stages[k].stage, sum.stage) == 0)
                add_stage(&sum, &s->stages[k]);
        if (sum.workers == sum.wanted)
            snprintf(workers, sizeof workers, "%lld", (long long)sum.workers);
        else
            snprintf(workers, sizeof workers, "%lld/%lld", (long long)sum.workers,
                     (long long)sum.wanted);
        const struct {
            uint64_t count;
            const char *name;
        } extra[] = {{sum.reused, "unchanged"}, {sum.refused, "refused"}, {sum.failed, "failed"}};
        for (int k = 0; k < 3; k++)
            if (extra[k].count)
                used += snprintf(note + used, sizeof note - (size_t)used, "%s %llu  ",
                                 extra[k].name, (unsigned long long)extra[k].count);
        double all = sum.busy_seconds + sum.wait_work_seconds + sum.wait_room_seconds;
        line(table, "%-*s %8s %9llu %10.1f %6lld %6lld %4.0f %%  %s", table->name, sum.stage,
             workers, (unsigned long long)sum.done, sum.rate, (long long)sum.queue,
             (long long)sum.held, percent(sum.busy_seconds, all), note);
    }
}

static void print_sinks(const struct snapshot *s, const struct table *table)
{
    if (s->sink_count)
        line(table, "\n%-*s %-9s %17s %10s %6s %6s %6s %10s %6s", table->name, "sink", "state",
             "done", "per s", "ready", "wanted", "busy", "waited", "aside");
    for (int i = 0; i < s->sink_count; i++) {
        const struct snapshot_sink *sink = &s->sinks[i];
        const char *home = s->node_count ? s->nodes[0].node : "";
        bool store = strcmp(sink->kind, "store") == 0;
        char name[SNAPSHOT_NAME_MAX + 24], done[64], waited[32];
        int64_t total = store ? sink->positions : sink->steps;
        int64_t count = store ? (int64_t)sink->done : sink->step;
        bool ranks = false;
        for (int k = 0; k < s->sink_count; k++)
            ranks = ranks || (k != i && strcmp(s->sinks[k].line, sink->line) == 0);
        snprintf(name, sizeof name, ranks ? "%s.%lld" : "%s", sink->line, (long long)sink->rank);
        if (total)
            snprintf(done, sizeof done, "%lld/%lld", (long long)count, (long long)total);
        else
            snprintf(done, sizeof done, "%lld", (long long)count);
        line(table, "%-*s %-9s %17s %10.2f %6lld %6lld %4.0f %% %10s %6lld%s%s", table->name, name,
             sink->state, done, sink->rate, (long long)sink->ready, (long long)sink->wanted,
             100 * sink->utilisation, text_show_duration(waited, sizeof waited, sink->wait_seconds),
             (long long)sink->quarantined, strcmp(sink->node, home) == 0 ? "" : "  on ",
             strcmp(sink->node, home) == 0 ? "" : sink->node);
        size_t used = 0;
        char text[LINE_BYTES / 2] = "";
        for (int k = 0; k < s->report_count; k++) {
            const struct snapshot_report *report = &s->reports[k];
            if (strcmp(report->line, sink->line) == 0 && report->rank == sink->rank &&
                used < sizeof text - 128)
                used += (size_t)snprintf(text + used, sizeof text - used, "  %s %.5g", report->name,
                                         report->value);
        }
        if (used)
            line(table, "%-*s%s", table->name, "", text);
    }
}

static void print_rest(const struct snapshot *s, const struct table *table)
{
    if (s->store_count)
        line(table, "\n%-*s %12s %12s", table->name, "store", "on disk", "room");
    for (int i = 0; i < s->store_count; i++) {
        const struct snapshot_store *store = &s->stores[i];
        char bytes[32], room[32];
        line(table, "%-*s %12s %12s  %s", table->name, store->store,
             text_show_bytes(bytes, sizeof bytes, store->bytes),
             text_show_bytes(room, sizeof room, store->disk_free_bytes), store->path);
    }
    if (s->run.quarantined || s->run.requeued)
        line(table, "\nset aside: %llu (foldmill requeue KEY takes one back)%s",
             (unsigned long long)s->run.quarantined,
             (uint64_t)s->aside_count < s->run.quarantined ? "; the last of them:" : "");
    for (int i = 0; i < s->aside_count; i++)
        line(table, "  %s\t%lld\t%s\t%s: %s", s->asides[i].line, (long long)s->asides[i].position,
             s->asides[i].key, s->asides[i].cause, s->asides[i].text);
}

void snapshot_print(const struct snapshot *s, int width, FILE *out)
{
    struct table table = {out, width, NAME_WIDTH_MIN};
    for (int i = 0; i < s->stage_count + s->sink_count; i++) {
        const char *name =
            i < s->stage_count ? s->stages[i].stage : s->sinks[i - s->stage_count].line;
        int size = (int)strlen(name);
        if (size > table.name)
            table.name = size < NAME_WIDTH_MAX ? size : NAME_WIDTH_MAX;
    }
    print_head(s, &table);
    print_stages(s, &table);
    print_sinks(s, &table);
    print_rest(s, &table);
}

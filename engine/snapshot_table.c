/* The fields of a snapshot: names, types, what they are as metrics, and the words that explain
 * them; see snapshot.h. */
#include "engine/snapshot.h"

#include <stddef.h>

#define FIELD(kind, member, type, use, help)                                                       \
    {                                                                                              \
#member, help, SNAPSHOT_##type, SNAPSHOT_##use, offsetof(struct snapshot_##kind, member),  \
            sizeof(((struct snapshot_##kind *)0)->member)                                          \
    }

static const struct snapshot_field run_fields[] = {
    FIELD(run, graph, TEXT, LABEL, "name of the graph"),
    FIELD(run, path, TEXT, HIDDEN, "folder of the run"),
    FIELD(run, state, TEXT, HIDDEN, "running, paused, draining or stopping"),
    FIELD(run, notice, TEXT, HIDDEN, "why it is paused"),
    FIELD(run, pid, I64, HIDDEN, "process of the engine"),
    FIELD(run, metrics_port, I64, HIDDEN, "port of these metrics on 127.0.0.1; 0: none"),
    FIELD(run, max_bad, I64, HIDDEN, "samples of a line that may be set aside"),
    FIELD(run, seconds, F64, GAUGE, "seconds since the engine started"),
    FIELD(run, deaths, U64, COUNTER, "processes that ended by themselves and were replaced"),
    FIELD(run, quarantined, U64, GAUGE, "positions set aside after three strikes, all lines"),
    FIELD(run, requeued, U64, GAUGE, "samples taken out of quarantine again"),
    FIELD(run, paused, U64, GAUGE, "1 while filling and steps wait for room on a disk"),
};

static const struct snapshot_field node_fields[] = {
    FIELD(node, node, TEXT, LABEL, "name of the node"),
    FIELD(node, state, TEXT, HIDDEN, "running or draining"),
    FIELD(node, cpus, I64, GAUGE, "CPUs that the engine may use"),
    FIELD(node, processes, I64, GAUGE, "processes that are running, the engine's own included"),
    FIELD(node, memory_bytes, U64, GAUGE, "memory that these processes have for themselves"),
    FIELD(node, disk_free_bytes, U64, GAUGE, "room on the disk of the run's folder"),
    FIELD(node, disk_bytes, U64, GAUGE, "size of the disk of the run's folder"),
    FIELD(node, cpu_seconds, F64, COUNTER, "CPU time of all processes of this engine"),
    FIELD(node, cpu, F64, GAUGE, "share of the CPUs in use, over the last seconds (0..1)"),
    FIELD(node, items, U64, GAUGE, "samples that the dispatcher has in hand"),
    FIELD(node, messages, U64, COUNTER, "messages that the dispatcher took"),
    FIELD(node, dropped, U64, COUNTER, "messages that found no peer or no room"),
};

static const struct snapshot_field stage_fields[] = {
    FIELD(stage, node, TEXT, LABEL, "name of the node"),
    FIELD(stage, stage, TEXT, LABEL, "name of the stage in the graph"),
    FIELD(stage, wanted, I64, GAUGE, "workers that it should have"),
    FIELD(stage, workers, I64, GAUGE, "workers that are running"),
    FIELD(stage, queue, I64, GAUGE, "samples that wait for a worker"),
    FIELD(stage, held, I64, GAUGE, "samples that workers have in hand"),
    FIELD(stage, done, U64, COUNTER, "samples finished"),
    FIELD(stage, refused, U64, COUNTER, "samples refused, with a reason"),
    FIELD(stage, failed, U64, COUNTER, "attempts that ended in an error"),
    FIELD(stage, reused, U64, COUNTER, "samples taken unchanged from an older record"),
    FIELD(stage, missed, U64, COUNTER, "records that were not in the store yet"),
    FIELD(stage, bytes_in, U64, COUNTER, "bytes of samples read"),
    FIELD(stage, bytes_out, U64, COUNTER, "bytes of samples made"),
    FIELD(stage, started, U64, COUNTER, "processes started for it, restarts included"),
    FIELD(stage, rate, F64, GAUGE, "samples a second, lately"),
    FIELD(stage, busy_seconds, F64, COUNTER, "time inside the stage's code, all workers"),
    FIELD(stage, wait_work_seconds, F64, COUNTER, "time without a sample, all workers"),
    FIELD(stage, wait_room_seconds, F64, COUNTER, "time without room for a result, all workers"),
};

static const struct snapshot_field edge_fields[] = {
    FIELD(edge, node, TEXT, LABEL, "name of the node"),
    FIELD(edge, line, TEXT, LABEL, "name of the line: its sink's"),
    FIELD(edge, from, TEXT, LABEL, "stage that makes the samples"),
    FIELD(edge, to, TEXT, LABEL, "stage that takes them"),
    FIELD(edge, queue, I64, GAUGE, "samples between the two stages"),
};

static const struct snapshot_field sink_fields[] = {
    FIELD(sink, node, TEXT, LABEL, "name of the node"),
    FIELD(sink, line, TEXT, LABEL, "name of the line: its sink's"),
    FIELD(sink, rank, I64, LABEL, "rank of the sink in its line"),
    FIELD(sink, kind, TEXT, HIDDEN, "steps or store"),
    FIELD(sink, state, TEXT, HIDDEN, "starting, working, paused, draining, finished or absent"),
    FIELD(sink, step, I64, GAUGE, "steps done"),
    FIELD(sink, steps, I64, GAUGE, "steps until the end; 0: not known"),
    FIELD(sink, epoch, I64, GAUGE, "epoch of the next step"),
    FIELD(sink, position, I64, GAUGE, "positions of that epoch that are done"),
    FIELD(sink, positions, I64, GAUGE, "positions of an epoch; of a store: keys"),
    FIELD(sink, ready, I64, GAUGE, "samples in hand that are ready to be used"),
    FIELD(sink, wanted, I64, GAUGE, "samples asked for and not there yet"),
    FIELD(sink, quarantined, I64, GAUGE, "positions set aside"),
    FIELD(sink, checkpoint, I64, GAUGE, "steps of the last committed checkpoint"),
    FIELD(sink, done, U64, GAUGE, "positions that are done, of all epochs"),
    FIELD(sink, samples, U64, COUNTER, "samples used or stored by this engine"),
    FIELD(sink, resent, U64, COUNTER, "requests that were sent again"),
    FIELD(sink, dropped, U64, COUNTER, "messages that nobody wanted: late, double, malformed"),
    FIELD(sink, bytes_in, U64, COUNTER, "bytes of samples received"),
    FIELD(sink, started, U64, COUNTER, "processes started for it, restarts included"),
    FIELD(sink, rate, F64, GAUGE, "steps (of a store: records) a second, lately"),
    FIELD(sink, busy_seconds, F64, COUNTER, "time spent computing or storing"),
    FIELD(sink, wait_seconds, F64, COUNTER, "time spent waiting for samples"),
    FIELD(sink, utilisation, F64, GAUGE, "share of time not waiting, over the last seconds (0..1)"),
};

static const struct snapshot_field report_fields[] = {
    FIELD(report, line, TEXT, LABEL, "name of the line: its sink's"),
    FIELD(report, rank, I64, LABEL, "rank of the sink in its line"),
    FIELD(report, name, TEXT, LABEL, "name that the stage gives it: loss, ..."),
    FIELD(report, value, F64, GAUGE, "number that a sink's stage reports by name"),
};

static const struct snapshot_field store_fields[] = {
    FIELD(store, node, TEXT, LABEL, "name of the node"),
    FIELD(store, store, TEXT, LABEL, "name of the store in the graph"),
    FIELD(store, path, TEXT, HIDDEN, "its folder"),
    FIELD(store, bytes, U64, GAUGE, "bytes that its file takes on disk"),
    FIELD(store, disk_free_bytes, U64, GAUGE, "room on its disk"),
    FIELD(store, disk_bytes, U64, GAUGE, "size of its disk"),
};

static const struct snapshot_field aside_fields[] = {
    FIELD(aside, line, TEXT, HIDDEN, "name of the line: its sink's"),
    FIELD(aside, position, I64, HIDDEN, "which position of the line"),
    FIELD(aside, key, TEXT, HIDDEN, "the sample"),
    FIELD(aside, cause, TEXT, HIDDEN, "kind of the last strike"),
    FIELD(aside, text, TEXT, HIDDEN, "how it ended, where, and the last words"),
};

#define KIND(kind, plural, max)                                                                    \
    {                                                                                              \
#kind, #plural, kind##_fields, sizeof kind##_fields / sizeof *kind##_fields, max,          \
            offsetof(struct snapshot, plural), sizeof(struct snapshot_##kind),                     \
            offsetof(struct snapshot, kind##_count)                                                \
    }

const struct snapshot_kind snapshot_kinds[] = {
    {"run", NULL, run_fields, sizeof run_fields / sizeof *run_fields, 1,
     offsetof(struct snapshot, run), sizeof(struct snapshot_run),
     offsetof(struct snapshot, run_count)},
    KIND(node, nodes, SNAPSHOT_NODES_MAX),
    KIND(stage, stages, SNAPSHOT_STAGES_MAX),
    KIND(edge, edges, SNAPSHOT_EDGES_MAX),
    KIND(sink, sinks, SNAPSHOT_SINKS_MAX),
    KIND(report, reports, SNAPSHOT_REPORTS_MAX),
    KIND(store, stores, SNAPSHOT_STORES_MAX),
    KIND(aside, asides, SNAPSHOT_ASIDES_MAX),
};

const int snapshot_kind_count = sizeof snapshot_kinds / sizeof *snapshot_kinds;

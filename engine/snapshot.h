/* What a running engine counts, as one value: rows for the run, its nodes, stages, edges, sinks,
 * stores, and what was set aside. One table of fields describes it; the text that travels over the
 * control socket, the JSON of `foldmill status --json` and the metrics for Prometheus are all made
 * from that table, so they have the same names and the same numbers. */
#ifndef FOLDMILL_SNAPSHOT_H
#define FOLDMILL_SNAPSHOT_H

#include "engine/base/error.h"
#include "engine/base/text.h"

#include <stdint.h>
#include <stdio.h>

enum {
    SNAPSHOT_NAME_MAX = 63,
    SNAPSHOT_TEXT_MAX = 255,
    SNAPSHOT_PATH_MAX = 1023,
    SNAPSHOT_NODES_MAX = 64,
    SNAPSHOT_STAGES_MAX = 512,
    SNAPSHOT_EDGES_MAX = 512,
    SNAPSHOT_SINKS_MAX = 128,
    SNAPSHOT_REPORTS_MAX = 1024,
    SNAPSHOT_STORES_MAX = 64,
    SNAPSHOT_ASIDES_MAX = 64, /* the last ones; `foldmill audit` tells all */
    SNAPSHOT_BYTES_MAX = 4 << 20,
};

struct snapshot_run {
    char graph[SNAPSHOT_NAME_MAX + 1], path[SNAPSHOT_PATH_MAX + 1];
    char state[SNAPSHOT_NAME_MAX + 1];  /* running, paused, draining, stopping */
    char notice[SNAPSHOT_TEXT_MAX + 1]; /* why it is paused; "" */
    int64_t pid, max_bad, metrics_port; /* 0: none */
    double seconds;
    uint64_t deaths, quarantined, requeued, paused;
};

struct snapshot_node {
    char node[SNAPSHOT_NAME_MAX + 1], state[SNAPSHOT_NAME_MAX + 1];
    int64_t cpus, processes;
    uint64_t memory_bytes, disk_free_bytes, disk_bytes;
    double cpu_seconds, cpu;           /* all of its processes; share of the CPUs lately */
    uint64_t items, messages, dropped; /* of the dispatcher */
};

struct snapshot_stage {
    char node[SNAPSHOT_NAME_MAX + 1], stage[SNAPSHOT_NAME_MAX + 1];
    int64_t wanted, workers, queue, held; /* workers: that are running */
    uint64_t done, refused, failed, reused, missed, bytes_in, bytes_out, started;
    double rate, busy_seconds, wait_work_seconds, wait_room_seconds;
};

/* What waits between two stages of a line. */
struct snapshot_edge {
    char node[SNAPSHOT_NAME_MAX + 1], line[SNAPSHOT_NAME_MAX + 1], from[SNAPSHOT_NAME_MAX + 1],
        to[SNAPSHOT_NAME_MAX + 1];
    int64_t queue;
};

/* A process that asks for samples: a training rank, an evaluation, a store that is being filled. */
struct snapshot_sink {
    char node[SNAPSHOT_NAME_MAX + 1], line[SNAPSHOT_NAME_MAX + 1];
    int64_t rank;
    char kind[SNAPSHOT_NAME_MAX + 1];  /* steps, store */
    char state[SNAPSHOT_NAME_MAX + 1]; /* starting, working, paused, draining, finished, absent */
    int64_t step, steps, epoch, position, positions, ready, wanted, quarantined, checkpoint;
    uint64_t done, samples, resent, dropped, bytes_in, started;
    double rate, busy_seconds, wait_seconds, utilisation; /* utilisation: share of time, lately */
};

/* A number that a sink's stage reports by name: loss, ... */
struct snapshot_report {
    char line[SNAPSHOT_NAME_MAX + 1];
    int64_t rank;
    char name[SNAPSHOT_NAME_MAX + 1];
    double value;
};

struct snapshot_store {
    char node[SNAPSHOT_NAME_MAX + 1], store[SNAPSHOT_NAME_MAX + 1], path[SNAPSHOT_PATH_MAX + 1];
    uint64_t bytes, disk_free_bytes, disk_bytes; /* bytes: that its file takes on disk */
};

struct snapshot_aside {
    char line[SNAPSHOT_NAME_MAX + 1], key[SNAPSHOT_TEXT_MAX + 1], cause[SNAPSHOT_NAME_MAX + 1],
        text[SNAPSHOT_TEXT_MAX + 1];
    int64_t position;
};

struct snapshot {
    struct snapshot_run run;
    struct snapshot_node nodes[SNAPSHOT_NODES_MAX];
    struct snapshot_stage stages[SNAPSHOT_STAGES_MAX];
    struct snapshot_edge edges[SNAPSHOT_EDGES_MAX];
    struct snapshot_sink sinks[SNAPSHOT_SINKS_MAX];
    struct snapshot_report reports[SNAPSHOT_REPORTS_MAX];
    struct snapshot_store stores[SNAPSHOT_STORES_MAX];
    struct snapshot_aside asides[SNAPSHOT_ASIDES_MAX];
    int run_count; /* 1 */
    int node_count, stage_count, edge_count, sink_count, report_count, store_count, aside_count;
};

/* ---- the table ---- */

enum snapshot_type { SNAPSHOT_TEXT, SNAPSHOT_I64, SNAPSHOT_U64, SNAPSHOT_F64 };
enum snapshot_use {
    SNAPSHOT_LABEL,   /* names the row */
    SNAPSHOT_COUNTER, /* only grows while the engine lives */
    SNAPSHOT_GAUGE,
    SNAPSHOT_HIDDEN, /* not a metric */
};

struct snapshot_field {
    const char *name, *help;
    enum snapshot_type type;
    enum snapshot_use use;
    size_t offset, size;
};

struct snapshot_kind {
    const char *name, *plural; /* "stage"; "stages", NULL: one row */
    const struct snapshot_field *fields;
    int field_count, max;
    size_t rows, row_size, count; /* offsets in struct snapshot */
};

extern const struct snapshot_kind snapshot_kinds[];
extern const int snapshot_kind_count;

/* ---- forms ---- */

/* Puts a text into a field, cut to its room, control characters replaced. */
void snapshot_copy(char *to, size_t size, const char *from);
#define SNAPSHOT_COPY(field, from) snapshot_copy((field), sizeof(field), (from))

/* Adds the rows of more to the snapshot, up to its limits: those of another node. */
void snapshot_add(struct snapshot *snapshot, const struct snapshot *more);

/* A line a row: its kind, then "name=value" for every field, tabs between. */
void snapshot_write(const struct snapshot *snapshot, FILE *out);
/* Reads that; kinds and fields that are not known are skipped, those that are missing are 0.
 * STATUS_INVALID: a line is of another form; STATUS_LIMIT: too many rows or bytes. */
enum status snapshot_read(struct span text, struct snapshot *snapshot, struct error *err);

/* {"run": {...}, "nodes": [...], ...} */
void snapshot_write_json(const struct snapshot *snapshot, FILE *out);
/* The text format 0.0.4 of Prometheus; names: engine/METRICS.md. */
void snapshot_write_metrics(const struct snapshot *snapshot, FILE *out);
/* The table that people read; width: columns of the terminal, 0: lines are not cut. */
void snapshot_print(const struct snapshot *snapshot, int width, FILE *out);

#endif

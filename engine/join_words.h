/* What an engine that joins a run and the run's head say to each other: the payloads of JOIN,
 * JOINED and of the joined engine's heartbeats. Little-endian, checked on reading. */
#ifndef FOLDMILL_JOIN_WORDS_H
#define FOLDMILL_JOIN_WORDS_H

#include "engine/graph.h"
#include "engine/message.h"
#include "engine/metrics.h"
#include "engine/network.h"

enum {
    JOIN_BUILD_MAX = 31,
    JOIN_FILES_MAX = 66, /* the graph and the lists */
    JOIN_FILE_NAME_MAX = 127,
    JOIN_PATH_MAX = 1023,
    RANK_TEXT_MAX = 400,
};

/* JOIN: who asks. */
struct join {
    uint32_t version;    /* MESSAGE_VERSION */
    uint32_t ranks;      /* places for ranks of each line that has several */
    uint64_t graph_hash; /* that it has already, from before the head started again; 0: none */
    char build[JOIN_BUILD_MAX + 1], name[NETWORK_NAME_MAX + 1];
};
enum { JOIN_BYTES_MAX = 16 + JOIN_BUILD_MAX + 1 + NETWORK_NAME_MAX + 1 };

/* One file of the run that every engine has. */
struct join_file {
    uint64_t bytes, hash;              /* XXH3-64 of its content */
    char name[JOIN_FILE_NAME_MAX + 1]; /* below the run's directory: "lists/scan.list" */
};

/* JOINED: what the run is. */
struct joined {
    uint64_t job, graph_hash;
    uint16_t hub_port;               /* of the dispatcher, at the head's address */
    uint32_t reach;                  /* positions that windows have more, as in struct network */
    char run_dir[JOIN_PATH_MAX + 1]; /* at the head, for people */
    uint32_t file_count;
    struct join_file file[JOIN_FILES_MAX];
};
enum { JOINED_BYTES_MAX = 28 + JOIN_PATH_MAX + 1 + JOIN_FILES_MAX * (16 + JOIN_FILE_NAME_MAX + 1) };

/* HB: a stage's workers at that engine, all that there ever were. */
struct join_row {
    uint16_t stage, workers; /* workers that run */
    uint16_t held, wanted;   /* wanted: workers that there should be */
    uint64_t done, refused, failed, reused, busy_ns;
};
enum { JOIN_ROW_BYTES = 48, JOIN_ROWS_BYTES_MAX = GRAPH_STAGES_MAX * JOIN_ROW_BYTES };

/* RANK, from the engine: how a rank of a sink does there. Its counters as in its page; a wait that
 * it is in counts as waited, since clocks of two hosts differ. */
enum rank_state {
    RANK_ABSENT, /* it is about to start */
    RANK_RUNS,
    RANK_FINISHED, /* all done, or drained */
    RANK_LOST,     /* it ended by a kill from outside, or since another rank did */
    RANK_FAILED,   /* by its own doing, or for a limit */
    RANK_UNABLE,   /* trying again is useless */
    RANK_STATES
};
struct rank_report {
    enum rank_state state;
    uint32_t starts;
    uint64_t counter[METRIC_COUNT];
    int64_t gauge[GAUGE_COUNT];
    char text[RANK_TEXT_MAX + 1]; /* why it ended, in words */
};
enum { RANK_REPORT_BYTES_MAX = 8 + 8 * (METRIC_COUNT + GAUGE_COUNT) + 2 + RANK_TEXT_MAX };

/* Each returns the bytes written. */
size_t join_encode(const struct join *join, unsigned char bytes[JOIN_BYTES_MAX]);
size_t joined_encode(const struct joined *joined, unsigned char bytes[JOINED_BYTES_MAX]);
size_t join_rows_encode(const struct join_row *rows, int count,
                        unsigned char bytes[JOIN_ROWS_BYTES_MAX]);
size_t rank_report_encode(const struct rank_report *report,
                          unsigned char bytes[RANK_REPORT_BYTES_MAX]);

/* STATUS_INVALID: not what its name says. A joined file's name is one of "graph.yaml" and
 * "lists/NAME", so that nothing is written elsewhere. */
enum status join_decode(struct span bytes, struct join *join, struct error *err);
enum status joined_decode(struct span bytes, struct joined *joined, struct error *err);
enum status join_rows_decode(struct span bytes, struct join_row rows[GRAPH_STAGES_MAX], int *count,
                             struct error *err);
enum status rank_report_decode(struct span bytes, struct rank_report *report, struct error *err);

#endif

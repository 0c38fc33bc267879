/* What an engine that joins a run and the run's head say to each other: the payloads of JOIN,
 * JOINED and of the joined engine's heartbeats. Little-endian, checked on reading. */
#ifndef FOLDMILL_JOIN_WORDS_H
#define FOLDMILL_JOIN_WORDS_H

#include "engine/graph.h"
#include "engine/message.h"
#include "engine/network.h"

enum {
    JOIN_BUILD_MAX = 31,
    JOIN_FILES_MAX = 66, /* the graph and the lists */
    JOIN_FILE_NAME_MAX = 127,
    JOIN_PATH_MAX = 1023,
};

/* JOIN: who asks. */
struct join {
    uint32_t version;    /* MESSAGE_VERSION */
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

/* Each returns the bytes written. */
size_t join_encode(const struct join *join, unsigned char bytes[JOIN_BYTES_MAX]);
size_t joined_encode(const struct joined *joined, unsigned char bytes[JOINED_BYTES_MAX]);
size_t join_rows_encode(const struct join_row *rows, int count,
                        unsigned char bytes[JOIN_ROWS_BYTES_MAX]);

/* STATUS_INVALID: not what its name says. A joined file's name is one of "graph.yaml" and
 * "lists/NAME", so that nothing is written elsewhere. */
enum status join_decode(struct span bytes, struct join *join, struct error *err);
enum status joined_decode(struct span bytes, struct joined *joined, struct error *err);
enum status join_rows_decode(struct span bytes, struct join_row rows[GRAPH_STAGES_MAX], int *count,
                             struct error *err);

#endif

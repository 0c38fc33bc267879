/* Inside of `foldmill run --join`: join.c opens and ends it, join_meet.c finds the head and fetches
 * what every engine needs, join_work.c starts workers and speaks for them. */
#ifndef FOLDMILL_JOIN_STATE_H
#define FOLDMILL_JOIN_STATE_H

#include "engine/agent.h"
#include "engine/job.h"
#include "engine/join.h"
#include "engine/join_words.h"
#include "engine/rendezvous.h"
#include "engine/rundir.h"
#include "engine/supervise.h"

enum {
    JOIN_TICK_MS = 50,
    JOIN_ASK_MS = 500, /* between two JOINs, and two requests for the same bytes */
    JOIN_HB_MS = 1000,
    JOIN_SILENT_MS = 5000, /* the head is away */
    JOIN_SHOW_MS = 5000,   /* between two lines for people */
    JOIN_GIVE_UP = 6,      /* ends in a row of a worker that never works */
    JOIN_END_MS = 60000,   /* for workers to finish what they have */
    JOIN_BYE_MS = 1000,
};

struct join_child {
    int stage, index; /* of a worker; -1 of a rank */
    uint64_t starts; /* as the head was told */
    char role[SUPERVISE_NAME_MAX + 1];
    bool sink; /* a rank: */
    int line, rank;
    uint32_t gen, wanted_gen; /* that it was started for last; that the head wants */
    enum rank_state state;
    char gen_text[16], place[256], text[RANK_TEXT_MAX + 1];
};

struct join_engine {
    struct join_options options;
    struct rundir dir; /* a folder for this time alone */
    struct supervisor *supervisor;
    struct rendezvous at; /* the head */
    struct network net;
    struct link *head; /* to the coordinator */
    struct job job;
    struct agent agent; /* to the dispatcher */
    struct joined joined;
    struct plan plan; /* of this engine's role */
    struct join_child children[SUPERVISE_CHILDREN_MAX];
    int wanted[GRAPH_STAGES_MAX]; /* workers, as chosen at the start or asked for since */
    int64_t slow_at; /* bytes of slow.tsv that the head was told */
    int64_t begun_ms, heard_ms, said_ms, shown_ms;
    bool working; /* a sample has been made */
    uint64_t shown_done;
    bool ending; /* this engine leaves: no ranks start */
    bool known;  /* the head has let us in */
    bool over;   /* it says that the run is over */
    bool moved;  /* the head is elsewhere now: begin anew */
    bool silent; /* told once */
    bool failed;
    char failure[ERROR_TEXT_MAX];
};

/* The first reason stays. */
void join_fail(struct join_engine *engine, const char *text);
/* Asked to go by a signal. */
bool join_is_asked(const struct join_engine *engine);

/* join_meet.c: waits for the head, asks to be let in, fetches files. STATUS_OK also when asked to
 * go meanwhile, or the run is over. */
enum status join_meet(struct join_engine *engine, struct error *err);
/* Hears the head, and says what is due. */
void join_turn(struct join_engine *engine);
void join_say(struct join_engine *engine, enum message_type type, const void *payload, size_t size);

/* join_work.c */
enum status join_start(struct join_engine *engine, struct error *err);
/* Until the run is over, or asked to go, or failed; then until the workers have ended. */
void join_work(struct join_engine *engine);
/* So many workers of a stage from now on. What cannot be is left, and logged. */
void join_scale(struct join_engine *engine, int stage, uint32_t wanted);
/* Rows for the heartbeat; returns how many. */
int join_rows(const struct join_engine *engine, struct join_row rows[GRAPH_STAGES_MAX]);
/* join_tell.c: tells the head which processes there are and what took them long. */
void join_tell(struct join_engine *engine);
/* join_ranks.c. The run's folder must be here: STATUS_MISS. */
enum status join_ranks_check(const struct join_engine *engine, struct error *err);
/* The head's RANK. */
void join_rank(struct join_engine *engine, const struct message *message);
/* Starts what is due when the process before it has ended. */
void join_ranks_turn(struct join_engine *engine);
/* Tells the head how all are. */
void join_ranks_say(struct join_engine *engine);
void join_rank_died(struct join_engine *engine, const struct death *death, const char *text);
/* Ends them all at once: the others of their lines go on without them. */
void join_ranks_end(struct join_engine *engine);
/* When all processes have ended. */
void join_ranks_sweep(const struct join_engine *engine);

void join_on_death(void *engine, const struct death *death);
void join_on_line(void *engine, const char *child, struct span line);

#endif

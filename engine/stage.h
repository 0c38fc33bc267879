/* What a stage is: the contract between the engine and stages/NAME.c, each of which ends in one
 * `const struct stage stage_NAME`. Adding a stage is adding that one file.
 *
 * A line of a graph is: a head (the list that a source made, or the records of a store), work
 * stages that map one sample to one sample in worker processes, and a sink, which runs in a
 * process of its own with the gather stage (batch) in front of it, if there is one. */
#ifndef FOLDMILL_STAGE_H
#define FOLDMILL_STAGE_H

#include "engine/base/arena.h"
#include "engine/base/error.h"
#include "engine/sample.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum { STAGE_ABI = 1 };

enum stage_flag {
    STAGE_SOURCE = 1 << 0, /* names the samples of a line: list() runs once, when a run starts */
    STAGE_SINK = 1 << 1,   /* ends a line: samples are gone when feed and commit have returned */
    STAGE_GATHER = 1 << 2, /* many samples in, one out; runs inside the sink's process */
    STAGE_STORE = 1 << 3,  /* a sink whose records are the head of other lines */
    STAGE_SINGLE = 1 << 4, /* one worker at most */
    STAGE_GPU = 1 << 5,    /* wants a device */
    STAGE_RANDOM = 1 << 6, /* draws random numbers: may not stand above a store */
    STAGE_PASS = 1 << 7,   /* its output is its input with the fields of its out port added, and no
                              others, so that records can be reused in part */
    STAGE_RANKS = 1 << 8,  /* a sink with steps that may run as several ranks (context->meet): feed
                              gets the rank's share of each batch, and NULL where that is empty */
};

/* One setting of a stage: a row of its table, ended by a row without a name. The engine parses the
 * graph's value (or the default) into the stage's state at `offset`, before open is called. */
enum param_type {
    PARAM_BOOL,     /* bool */
    PARAM_INT,      /* int64_t in [min, max] */
    PARAM_FLOAT,    /* double in [min, max] */
    PARAM_TEXT,     /* const char * */
    PARAM_CHOICE,   /* int: index into choices */
    PARAM_BYTES,    /* uint64_t in [min, max]: "512MiB" */
    PARAM_DURATION, /* int64_t ms: "30s" */
    PARAM_PATH,     /* const char *, relative ones taken from the graph's folder */
    PARAM_PATHS,    /* struct param_paths: one path or a list of paths */
};

struct param_paths {
    const char **path;
    int count;
};

struct param {
    const char *name;
    enum param_type type;
    size_t offset;              /* offsetof(struct NAME_state, member) */
    const char *fallback;       /* default as text; NULL: the graph must say it */
    double min, max;            /* both 0: no limits */
    const char *const *choices; /* ended by NULL */
    const char *help;           /* one sentence, with units */
    bool free;                  /* true: changes nothing in what is made (paths, threads, logging),
                                   so it is left out of the hash that store records carry */
};

/* Fields that a stage takes or makes: "msa:u8[N,L]"; equal capitals are equal sizes within one
 * sample, numbers are fixed, "?" at the end marks a field that may be missing. "~" behind it, at an
 * in port, marks a lazy one: it may come with its sizes alone (data NULL), and the stage takes the
 * rows that it needs by sample_rows; not for stages that pass their input on. Ended by NULL. */
struct port {
    const char *const *fields;
};

/* What a sink stage tells the engine in open: how its line is to be run. */
struct sink_terms {
    uint64_t epochs;           /* passes over the list; default 1 */
    uint64_t steps_max;        /* end after so many steps; 0: no limit */
    uint32_t recycles_max;     /* each step draws its recycling passes from 0..recycles_max */
    uint64_t checkpoint_steps; /* save after every so many steps; 0: never */
    bool ordered;              /* steps take positions in order (train, evaluate) */
    bool shuffled;             /* positions are permuted in each epoch */
    size_t meet_bytes;         /* of each rank's region in the meeting of the ranks */
};

struct meet;

/* What the engine lends a stage from open to close. */
struct stage_context {
    const char *name;        /* the stage's name in the graph */
    const char *run_dir;     /* folder of this run: logs, checkpoints, plots */
    const char *store_path;  /* of the line's head, or of the store stage; of a source: of the store
                                that its line fills; NULL if none */
    uint64_t seed;           /* the graph's seed */
    int worker;              /* number of this worker among those of the stage */
    int rank, rank_count;    /* of a sink */
    struct meet *meet;       /* of its ranks, from load on; all of them make the same steps. The
                                first of terms.meet_bytes of each region is at meet_from */
    size_t meet_from;
    uint64_t memory_bytes;   /* `memory:` of the graph for each process of the stage; 0: none */
    int64_t batch_size;      /* samples a step takes on this rank: the gather stage's size, or 1 */
    uint64_t list_count;     /* samples in the line's frozen list (sinks) */
    uint64_t list_hash;      /* XXH3-64 of the line's keys in order (sinks) */
    uint64_t recipe;         /* store sinks: hash over kind, version and settings of every stage
                                upstream; with a sample's input_digest it gives store_made */
    const char *recipe_text; /* what it stands for (recipe.h); may be NULL */
    bool replay;             /* the run only makes batches again; nothing may be written */
    struct arena *arena;     /* lives as long as the process */
    struct sink_terms terms; /* a sink fills it in open */
    /* Publishes a number of this step ("loss"), for logs, progress and metrics; names of at most
     * 31 characters, 32 of them a stage. */
    void (*report)(struct stage_context *context, const char *name, double value);
    void *engine; /* the engine's own */
};

/* Which sample is being made: everything that randomness may depend on. */
struct work {
    uint64_t seed, epoch, position;
    uint32_t recycles; /* recycling passes of the step it is for: make recycles + 1 */
    uint64_t step;     /* sinks and gather: the step in hand */
};

/* The sink's position, kept inside its checkpoint as an opaque blob. */
struct sink_position {
    uint64_t step, epoch, position; /* steps done; next epoch and position in it */
    const void *journal;            /* bytes to keep with it */
    size_t journal_size;
};

/* What `foldmill profile` asks of a stage that computes. */
struct stage_profile {
    int64_t size[26];       /* of its input, by the capital; 0 where nobody fixed it */
    int64_t length;         /* residues, instead of what the sizes say; 0: as they say */
    int64_t steps, threads; /* threads 0: as the settings say */
    int passes;
    const char *backend;    /* NULL: as the settings say */
    bool json;
    FILE *out;
};

/* Where a stage is to run, as far as it is known before anything runs. */
struct stage_room {
    int64_t size[26];      /* of its input, by the capital - 'A'; 0 where nobody fixed it */
    int ranks;             /* its processes on a node, 1 if they are not known */
    uint64_t memory_bytes; /* `memory:` of each process; 0: the graph does not say */
    uint64_t device_bytes; /* plan for a GPU of so much memory; 0: for this machine as it is */
};

/* What it will use: rows, whose sum is all, and what it may use. */
enum { STAGE_USES_MAX = 24 };
struct stage_uses {
    char remark[512];     /* a line before all; "": none */
    char title[256];      /* "93,229,082 parameters on cpu, ..." */
    uint64_t limit_bytes; /* 0: none */
    int count;
    struct stage_use {
        const char *name; /* of the row; static */
        uint64_t bytes;
        char note[128];   /* may be "" */
    } row[STAGE_USES_MAX];
};

struct source;
struct store;

struct stage {
    int abi;             /* STAGE_ABI */
    int version;         /* of what it makes: part of the keys of stored records */
    unsigned flags;      /* enum stage_flag */
    const char *name;    /* of the kind; the file's name */
    const char *summary; /* one line */
    size_t state_size;   /* bytes, zeroed by the engine before the params are filled in */
    const struct param *params;
    struct port in, out;

    /* Once a process, after the params are in *state. */
    enum status (*open)(void *state, struct stage_context *context, struct error *err);

    /* Source: calls emit for every sample (any order; the engine sorts by key) and refuse for
     * every input that cannot be used, with its reason. Fields "split" (u8[n] text) choose ports.
     */
    enum status (*list)(void *state, struct source *source, struct error *err);

    /* One sample. Work stages: in -> out, whose arrays lie in arena or are borrowed from in.
     * Gather: takes in; STATUS_OK when *out is complete, STATUS_EMPTY when more are wanted; what
     * it keeps of in it copies. Sink: consumes in; out is NULL.
     * STATUS_REFUSED refuses the sample for ever, by name, with the reason in err. */
    enum status (*feed)(void *state, const struct work *work, const struct sample *in,
                        struct sample *out, struct arena *arena, struct error *err);

    /* Gather: gives the incomplete last batch, padded with weight 0 (STATUS_EMPTY: none).
     * Sink: makes everything that was fed durable; the engine acknowledges after it returns. */
    enum status (*drain)(void *state, const struct work *work, struct sample *out,
                         struct arena *arena, struct error *err);

    /* Sink that waits for something outside (evaluate: for checkpoints): STATUS_OK to start the
     * next pass, STATUS_BUSY to be asked again later, STATUS_EMPTY when it is done. finishing: the
     * other lines have ended. NULL: passes 0..epochs-1 follow at once. */
    enum status (*next)(void *state, bool finishing, struct error *err);

    /* Sink with checkpoints: writes one atomically / loads the newest good one. load gives
     * STATUS_MISS when there is none. Journal memory is the stage's. */
    enum status (*save)(void *state, const struct sink_position *position, struct error *err);
    enum status (*load)(void *state, struct sink_position *position, struct error *err);

    /* Store sinks (STAGE_STORE): the store that open has opened for writing, so that the engine can
     * ask it what is missing (store_missing) and note what was refused on the way (store_refuse,
     * durable with the next drain). It stays the stage's. */
    struct store *(*store)(void *state);

    void (*close)(void *state);

    /* May be NULL. The out port where the settings decide it, instead of `out`; from the settings
     * alone, before open. Texts are made in arena; they are checked like those of `out`. */
    struct port (*gives)(const void *state, struct arena *arena);

    /* May be NULL. The sizes that the settings fix, by the capital of the out port: size[letter -
     * 'A']; others are left alone. */
    void (*sizes)(const void *state, int64_t size[26]);
    /* May be NULL. Says what memory each of the stage's processes will use, for `foldmill validate`
     * and the start of a run; nothing where the room does not say enough. STATUS_LIMIT: it would
     * not fit; text says what would. Rows made until then are shown. */
    enum status (*describe)(const void *state, const struct stage_room *room,
                            struct stage_uses *uses, struct error *err);
    /* May be NULL. Runs steps on made-up samples and prints where their time goes. STATUS_INVALID:
     * the options or sizes; STATUS_LIMIT: no memory for it. */
    enum status (*profile)(const void *state, const struct stage_profile *options,
                           struct error *err);
};

/* How a source hands over what it lists. */
struct source {
    /* Copies sample. STATUS_INVALID on a key that was emitted before. */
    enum status (*emit)(struct source *source, const struct sample *sample, struct error *err);
    /* Notes an input that cannot be used; never fails. */
    void (*refuse)(struct source *source, const char *name, const char *reason);
};

/* All stages of this binary, ended by NULL: made by CMake from stages/[*].c. */
extern const struct stage *const stage_registry[];

/* The stage of that kind, or NULL. */
const struct stage *stage_find(struct span name);

#endif

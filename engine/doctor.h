/* Preflight: what on this machine would stop or slow a run, each with the fix. Measuring
 * (doctor_measure.c, doctor_gpu.c) fills plain facts, judging (doctor.c) is a table of pure
 * functions over them, so that every row can be tested on any machine. An effect is tested where
 * that is possible (memory is locked, a disk is synced), not a setting. */
#ifndef FOLDMILL_DOCTOR_H
#define FOLDMILL_DOCTOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum {
    DOCTOR_PATHS_MAX = 16,
    DOCTOR_TEXT_MAX = 480, /* bytes of one finding */
    DOCTOR_NAMES_MAX = 256,
};

#define DOCTOR_UNKNOWN    UINT64_MAX /* a number that this machine does not tell */
#define DOCTOR_LOCK_BYTES ((uint64_t)64 << 20)

/* A folder that a run would write to. */
struct doctor_path {
    const char *path;
    bool store, there;
    unsigned long type; /* statfs(2) f_type */
    uint64_t free_bytes, free_inodes;
    double sync_us; /* median of 20 fdatasync of 4 KiB; negative: could not be tried */
};

/* What the run needs; zeros: nothing is known about it. */
struct doctor_needs {
    int workers;           /* processes that compute */
    uint64_t memory_bytes; /* of all of them together */
    uint64_t shm_bytes;    /* for NCCL's own segments in /dev/shm */
    uint64_t map_bytes;    /* size limit of the largest store; 0: none is set */
    int files;             /* descriptors of the engine's busiest process */
    bool gpu;              /* some stage wants a device */
};

struct doctor_facts {
    struct doctor_needs needs;
    /* Locked memory. */
    uint64_t lock_limit;
    bool lock_works, infiniband, capability, user_namespace, no_new_privs, file_capabilities;
    /* Room in memory. */
    uint64_t shm_free, memory_available, memory_limit, swap_used, oom_kills;
    /* Numbers of things. */
    uint64_t files_limit, processes_limit, pids_max, file_size_limit, address_limit;
    double cpus, bound_cpus, quota_cpus; /* of the machine; those that we are bound to (Slurm,
                                            taskset); allowed by the control group (0: no limit) */
    double steal;            /* share of time that the host took away since boot */
    int overcommit;          /* vm.overcommit_memory; -1 unknown */
    char huge_pages[32];     /* always, madvise, never */
    char governor[32];
    /* Network. */
    char host[DOCTOR_NAMES_MAX], host_address[64]; /* address "": the name does not resolve */
    bool host_loopback;
    char interfaces[DOCTOR_NAMES_MAX]; /* candidates, blanks between */
    int interface_count;
    bool interface_chosen; /* NCCL_SOCKET_IFNAME is set */
    bool clock_synchronised, clock_known;
    /* Who runs us. */
    bool slurm, first_process, core_to_pipe;
    bool slurm_final; /* this job is not started again when its node is lost */
    char nccl_settings[DOCTOR_NAMES_MAX];
    /* Devices; version numbers as the libraries give them, 0: not there. */
    int driver_version, gpu_count, gpu_error;
    char gpu_error_text[96];
    int nccl_version;
    char nccl_path[DOCTOR_NAMES_MAX];
    /* Keys of a job of many nodes; path NULL: none are used. */
    const char *keys_path;
    bool keys_bad, curve_bad;
    char keys_text[DOCTOR_NAMES_MAX], curve_text[DOCTOR_NAMES_MAX];
    struct doctor_path paths[DOCTOR_PATHS_MAX];
    int path_count;
};

struct plan;

/* Adds what a plan asks for: workers, memory, the paths of its stores. The graph must live as long
 * as facts. */
void doctor_need(struct doctor_facts *facts, const struct plan *plan);
/* Adds a folder that will be written to; more than DOCTOR_PATHS_MAX are left out. */
void doctor_add_path(struct doctor_facts *facts, const char *path, bool store);

/* The keys' part, when facts->keys_path is given; opens and closes a ZeroMQ context. */
void doctor_measure_keys(struct doctor_facts *facts);

/* Measures everything, in under 3 s; root is put in front of /proc and /sys (tests: a folder of
 * their own; else ""). facts->needs and the paths' names are given, the rest is filled. */
void doctor_measure(struct doctor_facts *facts, const char *root);
/* The devices' part: opens libcuda and libnccl if they are there. */
void doctor_measure_gpu(struct doctor_facts *facts);

enum doctor_verdict { DOCTOR_GOOD, DOCTOR_WARNING, DOCTOR_FAILURE, DOCTOR_SKIPPED };

struct doctor_finding {
    const char *name;
    enum doctor_verdict verdict;
    char text[DOCTOR_TEXT_MAX]; /* what was measured, and the fix */
};

enum { DOCTOR_FINDINGS_MAX = 64 + DOCTOR_PATHS_MAX * 3 };

/* Judges all rows; returns how many findings there are. */
int doctor_judge(const struct doctor_facts *facts, struct doctor_finding *findings);

/* As a table for people, or one JSON array; quiet leaves out what is good. Returns the worst
 * verdict (skipped counts as good). */
enum doctor_verdict doctor_print(const struct doctor_finding *findings, int count, bool json,
                                 bool quiet, FILE *out);

#endif

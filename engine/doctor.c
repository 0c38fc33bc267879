/* Judges what was measured; see doctor.h. A row says what it found in any case, and the fix where
 * something is wrong. Failures are what would stop a run; what makes it slow is a warning. */
#include "engine/doctor.h"

#include "engine/base/text.h"
#include "engine/params.h"
#include "engine/store.h"

#include <stdarg.h>
#include <string.h>

/* Numbers that rows are held against. */
enum {
    SHM_NEED_MIB = 1024, /* NCCL's segments on a node of eight ranks stay below it */
    PROCESSES_SPARE = 64,
    SYNC_FAST_US = 50, /* no disk with a cable is faster: the promise is broken somewhere */
    SYNC_SLOW_US = 100000,
    INODES_LEAST = 10000,
};

#define DISK_LEAST ((uint64_t)10 << 30)

static const uint64_t unknown = DOCTOR_UNKNOWN;

__attribute__((format(printf, 3, 4))) static enum doctor_verdict
say(char *text, enum doctor_verdict verdict, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, DOCTOR_TEXT_MAX, format, arguments);
    va_end(arguments);
    return verdict;
}

/* Bytes for people; "no limit" for what is unknown or endless. Buffers of the call's own. */
#define BYTES(value)                                                                               \
    ((value) >= (uint64_t)1 << 60 ? "no limit" : text_show_bytes((char[32]){0}, 32, (value)))

static enum doctor_verdict lock_memory(const struct doctor_facts *f, char *text)
{
    if (f->lock_works)
        return say(text, DOCTOR_GOOD, "64 MiB can be locked (limit %s)", BYTES(f->lock_limit));
    if (f->capability)
        return say(
            text, f->infiniband ? DOCTOR_FAILURE : DOCTOR_WARNING,
            "CAP_IPC_LOCK is shown, and yet 64 MiB cannot be locked (limit %s%s%s): it has "
            "no effect in a user namespace or rootless container; raise the memlock limit on "
            "the host instead",
            BYTES(f->lock_limit), f->user_namespace ? ", user namespace" : "",
            f->no_new_privs ? ", no_new_privs" : "");
    return say(
        text, f->infiniband ? DOCTOR_FAILURE : DOCTOR_WARNING,
        "only %s may be locked%s. Slurm: PropagateResourceLimitsExcept=MEMLOCK and "
        "LimitMEMLOCK=infinity for slurmd; Docker: --ulimit memlock=-1; Kubernetes: raise it "
        "in containerd's unit, or add IPC_LOCK; else `ulimit -l unlimited`",
        BYTES(f->lock_limit), f->infiniband ? ", and InfiniBand needs more: NCCL would stop" : "");
}

static enum doctor_verdict file_capabilities(const struct doctor_facts *f, char *text)
{
    if (!f->file_capabilities)
        return say(text, DOCTOR_GOOD, "the program has none");
    return say(text, DOCTOR_WARNING,
               "the program has file capabilities: LD_LIBRARY_PATH and $ORIGIN are ignored and "
               "debuggers are blocked; prefer limits (setcap -r takes them off)");
}

static enum doctor_verdict shared_memory(const struct doctor_facts *f, char *text)
{
    uint64_t need = f->needs.shm_bytes ? f->needs.shm_bytes : (uint64_t)SHM_NEED_MIB << 20;
    if (f->shm_free == unknown)
        return say(text, f->needs.gpu ? DOCTOR_FAILURE : DOCTOR_WARNING,
                   "there is no /dev/shm: NCCL needs it");
    if (f->shm_free >= need)
        return say(text, DOCTOR_GOOD, "/dev/shm has %s free", BYTES(f->shm_free));
    return say(text, f->needs.gpu ? DOCTOR_FAILURE : DOCTOR_WARNING,
               "/dev/shm has %s free, and NCCL may need %s: docker run --shm-size=16g or "
               "--ipc=host; Kubernetes: an emptyDir of medium Memory at /dev/shm",
               BYTES(f->shm_free), BYTES(need));
}

static enum doctor_verdict open_files(const struct doctor_facts *f, char *text)
{
    uint64_t need = 512 + 4 * (uint64_t)f->needs.workers;
    if (f->files_limit >= need)
        return say(text, DOCTOR_GOOD, "%llu are needed, and may be open", (unsigned long long)need);
    return say(text, DOCTOR_FAILURE,
               "only %llu files may be open, and %llu are needed: raise the hard limit "
               "(`ulimit -Hn 65536`, LimitNOFILE= in a unit)",
               (unsigned long long)f->files_limit, (unsigned long long)need);
}

static enum doctor_verdict processes(const struct doctor_facts *f, char *text)
{
    uint64_t need = PROCESSES_SPARE + 4 * (uint64_t)f->needs.workers;
    uint64_t least = f->processes_limit < f->pids_max ? f->processes_limit : f->pids_max;
    if (least >= need)
        return say(text, DOCTOR_GOOD, "there is room for %llu and more", (unsigned long long)need);
    return say(text, DOCTOR_WARNING,
               "at most %llu processes and threads may run, and %llu are wanted: raise `ulimit -u` "
               "or pids.max of the control group",
               (unsigned long long)least, (unsigned long long)need);
}

static enum doctor_verdict processors(const struct doctor_facts *f, char *text)
{
    double bound = f->bound_cpus < f->cpus ? f->bound_cpus : f->cpus;
    double have = f->quota_cpus > 0 && f->quota_cpus < bound ? f->quota_cpus : bound;
    if (f->quota_cpus > 0 && f->quota_cpus < 0.95 * bound)
        return say(text, DOCTOR_WARNING,
                   "%.0f processors are visible, but the control group allows %.1f: start %d "
                   "workers, or raise cpu.max",
                   bound, f->quota_cpus, f->quota_cpus < 1 ? 1 : (int)f->quota_cpus);
    if (bound < f->cpus && f->needs.workers > bound)
        return say(text, DOCTOR_WARNING,
                   "%d workers share the %.0f of %.0f processors that this process is bound to: "
                   "under Slurm --cpus-per-task=%d, or fewer workers",
                   f->needs.workers, bound, f->cpus,
                   f->needs.workers < f->cpus ? f->needs.workers : (int)f->cpus);
    if (f->needs.workers > 4 * have)
        return say(text, DOCTOR_WARNING,
                   "%d workers share %.0f processors: they will wait for "
                   "each other",
                   f->needs.workers, have);
    return say(text, DOCTOR_GOOD, "%.0f processors", have);
}

static enum doctor_verdict memory(const struct doctor_facts *f, char *text)
{
    uint64_t have = f->memory_available < f->memory_limit ? f->memory_available : f->memory_limit;
    if (have == unknown)
        return say(text, DOCTOR_SKIPPED, "not known on this system");
    if (f->needs.memory_bytes > have)
        return say(text, DOCTOR_WARNING,
                   "the plan may take %s, and %s are there: lower `memory:` or `workers:` of its "
                   "stages",
                   BYTES(f->needs.memory_bytes), BYTES(have));
    return say(text, DOCTOR_GOOD, "%s are there", BYTES(have));
}

static enum doctor_verdict swapping(const struct doctor_facts *f, char *text)
{
    bool killed = f->oom_kills != unknown && f->oom_kills > 0;
    bool swapped = f->swap_used != unknown && f->swap_used > (uint64_t)256 << 20;
    if (!killed && !swapped)
        return say(text, DOCTOR_GOOD, "no swap in use, nothing was killed for memory");
    return say(text, DOCTOR_WARNING,
               "%s of swap are in use, and %llu processes of this control group were killed for "
               "memory: other work on this node takes memory from the run",
               swapped ? BYTES(f->swap_used) : "0 B",
               killed ? (unsigned long long)f->oom_kills : 0);
}

static enum doctor_verdict stolen_time(const struct doctor_facts *f, char *text)
{
    return say(text, f->steal > 0.05 ? DOCTOR_WARNING : DOCTOR_GOOD,
               f->steal > 0.05
                   ? "the host took %.1f %% of the processors' time since start: timings "
                     "of this machine are not to be trusted"
                   : "%.1f %% since start",
               100 * f->steal);
}

static enum doctor_verdict limits_of_size(const struct doctor_facts *f, char *text)
{
    uint64_t map = f->needs.map_bytes;
    if (map && (f->file_size_limit < map || f->address_limit < map))
        return say(text, DOCTOR_WARNING,
                   "a store may grow to %s, but files end at %s and memory maps at %s: raise "
                   "`ulimit -f` and `ulimit -v`",
                   BYTES(map), BYTES(f->file_size_limit), BYTES(f->address_limit));
    if (f->overcommit == 2)
        return say(text, DOCTOR_WARNING,
                   "vm.overcommit_memory is 2: maps of large stores may be "
                   "refused; set it to 0 or 1");
    return say(text, DOCTOR_GOOD, "files and maps may be as large as they must");
}

static enum doctor_verdict huge_pages(const struct doctor_facts *f, char *text)
{
    if (strcmp(f->huge_pages, "always") == 0)
        return say(text, DOCTOR_WARNING,
                   "transparent huge pages are `always`: many workers take more memory than they "
                   "use; echo madvise > /sys/kernel/mm/transparent_hugepage/enabled");
    return say(text, *f->huge_pages ? DOCTOR_GOOD : DOCTOR_SKIPPED, "%s",
               *f->huge_pages ? f->huge_pages : "not known on this system");
}

static enum doctor_verdict governor(const struct doctor_facts *f, char *text)
{
    if (strcmp(f->governor, "powersave") == 0)
        return say(text, DOCTOR_WARNING,
                   "the processors' governor is powersave: `cpupower "
                   "frequency-set -g performance`");
    return say(text, *f->governor ? DOCTOR_GOOD : DOCTOR_SKIPPED, "%s",
               *f->governor ? f->governor : "this machine does not tell");
}

static enum doctor_verdict host_name(const struct doctor_facts *f, char *text)
{
    if (!*f->host_address)
        return say(text, DOCTOR_WARNING,
                   "%s has no address: other nodes will not find this one; "
                   "add it to /etc/hosts or the name service",
                   f->host);
    if (f->host_loopback)
        return say(text, DOCTOR_WARNING,
                   "%s is %s, which other nodes cannot reach: fix /etc/hosts "
                   "before a run of several nodes",
                   f->host, f->host_address);
    return say(text, DOCTOR_GOOD, "%s is %s", f->host, f->host_address);
}

static enum doctor_verdict interfaces(const struct doctor_facts *f, char *text)
{
    if (f->interface_count > 1 && !f->interface_chosen)
        return say(text, DOCTOR_WARNING,
                   "NCCL may take any of %s: say which by "
                   "NCCL_SOCKET_IFNAME==NAME",
                   f->interfaces);
    return say(text, DOCTOR_GOOD, "%s", f->interface_count ? f->interfaces : "loopback alone");
}

static enum doctor_verdict clock_state(const struct doctor_facts *f, char *text)
{
    if (!f->clock_known)
        return say(text, DOCTOR_SKIPPED, "not known on this system");
    return say(text, f->clock_synchronised ? DOCTOR_GOOD : DOCTOR_WARNING,
               f->clock_synchronised ? "synchronised"
                                     : "not synchronised: logs of several nodes will not line up "
                                       "(the engine's own timers do not care); start chrony");
}

static enum doctor_verdict scheduler(const struct doctor_facts *f, char *text)
{
    if (f->slurm && f->slurm_final)
        return say(text, DOCTOR_WARNING,
                   "Slurm will not start this job again when its node is "
                   "lost: sbatch --requeue");
    return say(text, DOCTOR_GOOD, f->slurm ? "Slurm" : "none");
}

static enum doctor_verdict first_process(const struct doctor_facts *f, char *text)
{
    if (f->first_process)
        return say(text, DOCTOR_WARNING,
                   "foldmill is process 1 here, and nobody reaps what its "
                   "children leave: docker run --init");
    if (f->core_to_pipe)
        return say(text, DOCTOR_GOOD, "not process 1; core files go to a program");
    return say(text, DOCTOR_GOOD, "not process 1");
}

static enum doctor_verdict nccl_settings(const struct doctor_facts *f, char *text)
{
    if (*f->nccl_settings)
        return say(text, DOCTOR_WARNING,
                   "%s: set by somebody; they must be the same on all ranks, "
                   "and some make NCCL slow",
                   f->nccl_settings);
    return say(text, DOCTOR_GOOD, "none");
}

static enum doctor_verdict gpu(const struct doctor_facts *f, char *text)
{
    enum doctor_verdict bad = f->needs.gpu ? DOCTOR_FAILURE : DOCTOR_SKIPPED;
    if (!f->driver_version)
        return say(text, bad, "no driver (libcuda.so.1 is not there)");
    if (f->gpu_error)
        return say(text, f->needs.gpu ? DOCTOR_FAILURE : DOCTOR_WARNING,
                   "driver for CUDA %d.%d: error %d%s%s; see nvidia-smi", f->driver_version / 1000,
                   f->driver_version % 1000 / 10, f->gpu_error, *f->gpu_error_text ? ", " : "",
                   f->gpu_error_text);
    if (f->gpu_count == 0)
        return say(text, bad, "driver for CUDA %d.%d, no device", f->driver_version / 1000,
                   f->driver_version % 1000 / 10);
    return say(text, DOCTOR_GOOD, "%d, driver for CUDA %d.%d", f->gpu_count,
               f->driver_version / 1000, f->driver_version % 1000 / 10);
}

static enum doctor_verdict nccl(const struct doctor_facts *f, char *text)
{
    if (!f->nccl_version)
        return say(text, DOCTOR_SKIPPED, "libnccl.so.2 is not there");
    int v = f->nccl_version; /* from 2.9 on: major * 10000 + minor * 100 + patch */
    return say(text, DOCTOR_GOOD, "%d.%d.%d from %s", v / 10000, v / 100 % 100, v % 100,
               f->nccl_path);
}

static enum doctor_verdict job_keys(const struct doctor_facts *f, char *text)
{
    if (!f->keys_path)
        return say(text, DOCTOR_SKIPPED, "one node needs none (--keys DIR looks at those of many)");
    if (f->keys_bad)
        return say(text, DOCTOR_FAILURE, "%s", f->keys_text);
    return say(text, DOCTOR_GOOD, "nobody else can read or change those in %s", f->keys_path);
}

static enum doctor_verdict strangers(const struct doctor_facts *f, char *text)
{
    if (!f->keys_path)
        return say(text, DOCTOR_SKIPPED, "one node opens no port");
    if (f->curve_bad)
        return say(text, DOCTOR_FAILURE, "%s", f->curve_text);
    return say(text, DOCTOR_GOOD,
               "a server let in its own key, not an unknown one, and not a peer without");
}

static const struct {
    const char *name;
    enum doctor_verdict (*judge)(const struct doctor_facts *facts, char *text);
} rows[] = {
    {"locked memory", lock_memory},
    {"file capabilities", file_capabilities},
    {"/dev/shm", shared_memory},
    {"open files", open_files},
    {"processes", processes},
    {"processors", processors},
    {"memory", memory},
    {"swap", swapping},
    {"stolen time", stolen_time},
    {"size limits", limits_of_size},
    {"huge pages", huge_pages},
    {"governor", governor},
    {"host name", host_name},
    {"interfaces", interfaces},
    {"clock", clock_state},
    {"scheduler", scheduler},
    {"first process", first_process},
    {"NCCL settings", nccl_settings},
    {"GPUs", gpu},
    {"NCCL", nccl},
    {"keys", job_keys},
    {"strangers", strangers},
};

enum { ROWS = sizeof rows / sizeof *rows };

static enum doctor_verdict path_judge(const struct doctor_facts *f, const struct doctor_path *p,
                                      char *text)
{
    const char *remote = store_remote_disk(p->type);
    const char *what = p->store ? "store" : "folder";
    if (!p->there)
        return say(text, DOCTOR_FAILURE, "%s %s: neither it nor a folder above it can be read",
                   what, p->path);
    if (p->store && remote)
        return say(text, DOCTOR_FAILURE,
                   "store %s lies on %s, where LMDB loses data: put it on a "
                   "local disk",
                   p->path, remote);
    if (f->needs.map_bytes && p->store && p->free_bytes < f->needs.map_bytes)
        return say(text, DOCTOR_WARNING, "store %s: may grow to %s, and %s are free", p->path,
                   BYTES(f->needs.map_bytes), BYTES(p->free_bytes));
    if (p->free_bytes < DISK_LEAST || p->free_inodes < INODES_LEAST)
        return say(text, DOCTOR_WARNING, "%s %s: %s and %llu files are free; make room", what,
                   p->path, BYTES(p->free_bytes), (unsigned long long)p->free_inodes);
    if (p->sync_us > SYNC_SLOW_US)
        return say(text, DOCTOR_WARNING,
                   "%s %s: fdatasync takes %.0f ms: filling a store will be "
                   "slow",
                   what, p->path, p->sync_us * 1e-3);
    if (p->sync_us >= 0 && p->sync_us < SYNC_FAST_US)
        return say(text, DOCTOR_WARNING,
                   "%s %s: fdatasync takes %.0f us, which no disk can do: after a power loss the "
                   "last records may be gone (memory file system, or a host that does not write)",
                   what, p->path, p->sync_us);
    return say(text, DOCTOR_GOOD, "%s %s: %s free, fdatasync %.1f ms", what, p->path,
               BYTES(p->free_bytes), p->sync_us * 1e-3);
}

int doctor_judge(const struct doctor_facts *facts, struct doctor_finding *findings)
{
    int count = 0;
    for (int i = 0; i < ROWS; i++, count++) {
        findings[count].name = rows[i].name;
        findings[count].verdict = rows[i].judge(facts, findings[count].text);
    }
    for (int i = 0; i < facts->path_count; i++, count++) {
        findings[count].name = "disk";
        findings[count].verdict = path_judge(facts, &facts->paths[i], findings[count].text);
    }
    return count;
}

static const char *const verdict_names[] = {"ok", "warning", "FAILURE", "skipped"};

static void print_json(const struct doctor_finding *findings, int count, FILE *out)
{
    fputs("[", out);
    for (int i = 0; i < count; i++) {
        fprintf(out, "%s\n  {\"check\": ", i ? "," : "");
        json_string(findings[i].name, out);
        fprintf(out, ", \"verdict\": \"%s\", \"text\": ",
                findings[i].verdict == DOCTOR_FAILURE ? "failure"
                                                      : verdict_names[findings[i].verdict]);
        json_string(findings[i].text, out);
        fputs("}", out);
    }
    fputs("\n]\n", out);
}

enum doctor_verdict doctor_print(const struct doctor_finding *findings, int count, bool json,
                                 bool quiet, FILE *out)
{
    enum doctor_verdict worst = DOCTOR_GOOD;
    for (int i = 0; i < count; i++) {
        enum doctor_verdict verdict = findings[i].verdict;
        if (verdict != DOCTOR_SKIPPED && verdict > worst)
            worst = verdict;
        bool good = verdict == DOCTOR_GOOD || verdict == DOCTOR_SKIPPED;
        if (!json && !(quiet && good))
            fprintf(out, "%-8s %-18s %s\n", verdict_names[verdict], findings[i].name,
                    findings[i].text);
    }
    if (json)
        print_json(findings, count, out);
    return worst;
}

/* Facts about this machine; see doctor.h. What cannot be read stays unknown, which no row takes for
 * a fault. */
#include "engine/doctor.h"

#include "engine/base/clock.h"
#include "engine/base/cpus.h"
#include "engine/base/memory.h"
#include "engine/base/text.h"

#include <dirent.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <limits.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/timex.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <arpa/inet.h>

enum { CAP_IPC_LOCK_BIT = 14, SYNCS = 20, FILE_MAX = 65536, SYNC_BYTES = 4096 };

/* The beginning of a small file of the kernel's; false: it cannot be read. */
static bool read_small(const char *root, const char *path, char *text, size_t size)
{
    char full[PATH_MAX];
    if (snprintf(full, sizeof full, "%s%s", root, path) >= (int)sizeof full)
        return false;
    int fd = open(full, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    size_t used = 0;
    for (ssize_t got; used < size - 1 && (got = read(fd, text + used, size - 1 - used)) > 0;)
        used += (size_t)got;
    close(fd);
    text[used] = 0;
    return true;
}

static uint64_t read_number(const char *root, const char *path)
{
    char text[64];
    int64_t value;
    if (!read_small(root, path, text, sizeof text) ||
        !text_int(span_trim(span_of(strtok(text, "\n") ? text : "")), 0, INT64_MAX, &value))
        return DOCTOR_UNKNOWN;
    return (uint64_t)value;
}

/* The number behind NAME in lines like "SwapTotal:   1234 kB". */
static uint64_t named_number(const char *text, const char *name, uint64_t unit)
{
    const char *at = strstr(text, name);
    return at ? strtoull(at + strlen(name), NULL, 10) * unit : DOCTOR_UNKNOWN;
}

static uint64_t limit_of(int resource, bool hard)
{
    struct rlimit limit;
    if (getrlimit((__rlimit_resource_t)resource, &limit) != 0)
        return DOCTOR_UNKNOWN;
    rlim_t value = hard ? limit.rlim_max : limit.rlim_cur;
    return value == RLIM_INFINITY ? DOCTOR_UNKNOWN : (uint64_t)value;
}

static void measure_locking(struct doctor_facts *facts, const char *root)
{
    char status[FILE_MAX];
    facts->lock_limit = limit_of(RLIMIT_MEMLOCK, false);
    void *memory =
        mmap(NULL, DOCTOR_LOCK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    facts->lock_works = memory != MAP_FAILED && mlock(memory, DOCTOR_LOCK_BYTES) == 0;
    if (memory != MAP_FAILED)
        munmap(memory, DOCTOR_LOCK_BYTES);
    char folder[PATH_MAX];
    snprintf(folder, sizeof folder, "%s/sys/class/infiniband", root);
    DIR *list = opendir(folder);
    for (struct dirent *entry; list && (entry = readdir(list));)
        facts->infiniband |= entry->d_name[0] != '.';
    if (list)
        closedir(list);
    if (read_small(root, "/proc/self/status", status, sizeof status)) {
        const char *effective = strstr(status, "CapEff:");
        facts->capability =
            effective &&
            (strtoull(effective + strlen("CapEff:"), NULL, 16) >> CAP_IPC_LOCK_BIT & 1);
        facts->no_new_privs = named_number(status, "NoNewPrivs:", 1) == 1;
    }
    /* The first user namespace maps every id onto itself. */
    char map[256];
    unsigned long inside, outside, count;
    facts->user_namespace = read_small(root, "/proc/self/uid_map", map, sizeof map) &&
                            sscanf(map, "%lu %lu %lu", &inside, &outside, &count) == 3 &&
                            !(inside == 0 && outside == 0 && count == UINT32_MAX);
    facts->file_capabilities = getauxval(AT_SECURE) != 0;
}

static void measure_memory(struct doctor_facts *facts, const char *root)
{
    char text[FILE_MAX];
    struct statvfs info;
    facts->shm_free = statvfs("/dev/shm", &info) == 0
                          ? (uint64_t)info.f_bavail * (uint64_t)info.f_frsize
                          : DOCTOR_UNKNOWN;
    facts->memory_available = facts->swap_used = facts->oom_kills = DOCTOR_UNKNOWN;
    if (read_small(root, "/proc/meminfo", text, sizeof text)) {
        facts->memory_available = named_number(text, "MemAvailable:", 1024);
        uint64_t total = named_number(text, "SwapTotal:", 1024);
        uint64_t left = named_number(text, "SwapFree:", 1024);
        if (total != DOCTOR_UNKNOWN && left != DOCTOR_UNKNOWN)
            facts->swap_used = total - left;
    }
    if (read_small(root, "/sys/fs/cgroup/memory.events", text, sizeof text))
        facts->oom_kills = named_number(text, "oom_kill ", 1);
    uint64_t most = memory_here(root);
    facts->memory_limit = most ? most : DOCTOR_UNKNOWN;
}

static void measure_numbers(struct doctor_facts *facts, const char *root)
{
    char text[FILE_MAX];
    facts->files_limit = limit_of(RLIMIT_NOFILE, true);
    facts->processes_limit = limit_of(RLIMIT_NPROC, false);
    facts->file_size_limit = limit_of(RLIMIT_FSIZE, false);
    facts->address_limit = limit_of(RLIMIT_AS, false);
    facts->pids_max = read_number(root, "/sys/fs/cgroup/pids.max");
    if (facts->pids_max == DOCTOR_UNKNOWN)
        facts->pids_max = read_number(root, "/sys/fs/cgroup/pids/pids.max");
    facts->cpus = (double)sysconf(_SC_NPROCESSORS_ONLN);
    facts->bound_cpus = cpus_bound();
    facts->quota_cpus = cpus_quota(root);
    double spent[8] = {0}, all = 0;
    if (read_small(root, "/proc/stat", text, sizeof text) &&
        sscanf(text, "cpu %lf %lf %lf %lf %lf %lf %lf %lf", &spent[0], &spent[1], &spent[2],
               &spent[3], &spent[4], &spent[5], &spent[6], &spent[7]) == 8) {
        for (int i = 0; i < 8; i++)
            all += spent[i];
        facts->steal = all > 0 ? spent[7] / all : 0;
    }
    uint64_t overcommit = read_number(root, "/proc/sys/vm/overcommit_memory");
    facts->overcommit = overcommit == DOCTOR_UNKNOWN ? -1 : (int)overcommit;
    if (read_small(root, "/sys/kernel/mm/transparent_hugepage/enabled", text, sizeof text)) {
        const char *open = strchr(text, '['), *end = open ? strchr(open, ']') : NULL;
        if (end)
            snprintf(facts->huge_pages, sizeof facts->huge_pages, "%.*s", (int)(end - open - 1),
                     open + 1);
    }
    if (read_small(root, "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", text,
                   sizeof text))
        snprintf(facts->governor, sizeof facts->governor, "%.*s", (int)strcspn(text, "\n"), text);
}

static bool starts_with_any(const char *name, const char *const *prefixes)
{
    for (; *prefixes; prefixes++)
        if (strncmp(name, *prefixes, strlen(*prefixes)) == 0)
            return true;
    return false;
}

static void measure_network(struct doctor_facts *facts)
{
    static const char *const inner[] = {"lo",  "docker", "virbr",   "veth",
                                        "cni", "cali",   "flannel", NULL};
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM}, *found = NULL;
    gethostname(facts->host, sizeof facts->host - 1);
    if (getaddrinfo(facts->host, NULL, &hints, &found) == 0 && found) {
        getnameinfo(found->ai_addr, found->ai_addrlen, facts->host_address,
                    sizeof facts->host_address, NULL, 0, NI_NUMERICHOST);
        facts->host_loopback =
            strncmp(facts->host_address, "127.", 4) == 0 || strcmp(facts->host_address, "::1") == 0;
        freeaddrinfo(found);
    }
    struct ifaddrs *list = NULL;
    if (getifaddrs(&list) == 0)
        for (struct ifaddrs *i = list; i; i = i->ifa_next) {
            bool up = (i->ifa_flags & IFF_UP) && (i->ifa_flags & IFF_RUNNING);
            size_t used = strlen(facts->interfaces);
            if (!up || !i->ifa_addr || i->ifa_addr->sa_family != AF_INET ||
                starts_with_any(i->ifa_name, inner) ||
                used + strlen(i->ifa_name) + 2 > sizeof facts->interfaces)
                continue;
            snprintf(facts->interfaces + used, sizeof facts->interfaces - used, "%s%s",
                     used ? " " : "", i->ifa_name);
            facts->interface_count++;
        }
    freeifaddrs(list);
    facts->interface_chosen = getenv("NCCL_SOCKET_IFNAME") != NULL;
    struct timex clock = {0};
    int state = adjtimex(&clock);
    facts->clock_known = state != -1;
    facts->clock_synchronised = state != -1 && !(clock.status & STA_UNSYNC);
}

/* Whether Slurm says that it would not start this job again; its environment does not tell. */
static bool slurm_is_final(void)
{
    char command[128], line[8192];
    const char *job = getenv("SLURM_JOB_ID");
    int64_t number;
    if (!job || getenv("SLURM_RESTART_COUNT") || !text_int(span_of(job), 0, UINT32_MAX, &number))
        return false;
    snprintf(command, sizeof command, "timeout 3 scontrol --oneliner show job %lld 2>/dev/null",
             (long long)number);
    FILE *answer = popen(command, "re");
    bool final = answer && fgets(line, sizeof line, answer) && strstr(line, " Requeue=0 ");
    if (answer)
        pclose(answer);
    return final;
}

static void measure_keepers(struct doctor_facts *facts, const char *root)
{
    static const char *const settings[] = {"NCCL_P2P_DISABLE", "NCCL_SHM_DISABLE",
                                           "NCCL_IB_DISABLE",  "NCCL_NET",
                                           "NCCL_ALGO",        "NCCL_PROTO"};
    char text[256];
    facts->slurm = getenv("SLURM_JOB_ID") != NULL;
    facts->slurm_final = slurm_is_final();
    facts->first_process = getpid() == 1;
    facts->core_to_pipe =
        read_small(root, "/proc/sys/kernel/core_pattern", text, sizeof text) && *text == '|';
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++) {
        size_t used = strlen(facts->nccl_settings);
        if (getenv(settings[i]))
            snprintf(facts->nccl_settings + used, sizeof facts->nccl_settings - used, "%s%s",
                     used ? " " : "", settings[i]);
    }
    size_t used = strlen(facts->nccl_settings);
    if (access("/etc/nccl.conf", R_OK) == 0)
        snprintf(facts->nccl_settings + used, sizeof facts->nccl_settings - used, "%s%s",
                 used ? " " : "", "/etc/nccl.conf");
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The median time of fdatasync in a file of the folder that has no name. */
static double sync_time(const char *folder)
{
    char block[SYNC_BYTES] = {0};
    double us[SYNCS];
    int fd = open(folder, O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600);
    if (fd < 0)
        return -1;
    int64_t began = clock_ms();
    int count = 0;
    for (; count < SYNCS && clock_ms() - began < 1000; count++) {
        int64_t from = clock_ns();
        if (pwrite(fd, block, sizeof block, (off_t)count * SYNC_BYTES) != SYNC_BYTES ||
            fdatasync(fd) != 0)
            break;
        us[count] = (double)(clock_ns() - from) * 1e-3;
    }
    close(fd);
    if (count == 0)
        return -1;
    qsort(us, (size_t)count, sizeof *us, by_value);
    return us[count / 2];
}

/* The folder, or the nearest one above it that is there. */
static void measure_path(struct doctor_path *path)
{
    char folder[PATH_MAX];
    struct statvfs info;
    struct statfs kind;
    snprintf(folder, sizeof folder, "%s", *path->path ? path->path : ".");
    while (access(folder, F_OK) != 0) {
        char *slash = strrchr(folder, '/');
        if (!slash || slash == folder) {
            snprintf(folder, sizeof folder, "%s", slash ? "/" : ".");
            break;
        }
        *slash = 0;
    }
    path->there = statvfs(folder, &info) == 0 && statfs(folder, &kind) == 0;
    path->sync_us = -1;
    if (!path->there)
        return;
    path->type = (unsigned long)kind.f_type & 0xffffffffu;
    path->free_bytes = (uint64_t)info.f_bavail * (uint64_t)info.f_frsize;
    path->free_inodes = info.f_files ? (uint64_t)info.f_favail : DOCTOR_UNKNOWN;
    path->sync_us = sync_time(folder);
}

void doctor_measure(struct doctor_facts *facts, const char *root)
{
    measure_locking(facts, root);
    measure_memory(facts, root);
    measure_numbers(facts, root);
    measure_network(facts);
    measure_keepers(facts, root);
    for (int i = 0; i < facts->path_count; i++)
        measure_path(&facts->paths[i]);
    doctor_measure_gpu(facts);
    doctor_measure_keys(facts);
}

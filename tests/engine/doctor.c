/* Preflight: every row told by facts that a test makes up, measuring on made-up /proc and /sys, and
 * the command. */
#include "engine/doctor.h"

#include "engine/keys.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static struct doctor_finding findings[DOCTOR_FINDINGS_MAX];

/* A machine on which all is well. */
static struct doctor_facts healthy(void)
{
    return (struct doctor_facts){
        .lock_limit = DOCTOR_UNKNOWN,
        .lock_works = true,
        .shm_free = (uint64_t)16 << 30,
        .memory_available = (uint64_t)64 << 30,
        .memory_limit = DOCTOR_UNKNOWN,
        .files_limit = 65536,
        .processes_limit = DOCTOR_UNKNOWN,
        .pids_max = DOCTOR_UNKNOWN,
        .file_size_limit = DOCTOR_UNKNOWN,
        .address_limit = DOCTOR_UNKNOWN,
        .cpus = 64,
        .bound_cpus = 64,
        .huge_pages = "madvise",
        .governor = "performance",
        .host = "node1",
        .host_address = "10.0.0.1",
        .interfaces = "eth0",
        .interface_count = 1,
        .clock_synchronised = true,
        .clock_known = true,
        .driver_version = 13000,
        .gpu_count = 8,
        .keys_path = "keys",
        .nccl_version = 22809,
        .nccl_path = "/lib/libnccl.so.2",
        .needs = {.workers = 16, .memory_bytes = (uint64_t)8 << 30, .gpu = true},
        .paths = {{.path = "/data",
                   .store = true,
                   .there = true,
                   .type = 0xef53,
                   .free_bytes = (uint64_t)1 << 40,
                   .free_inodes = 1 << 20,
                   .sync_us = 900}},
        .path_count = 1,
    };
}

/* The finding of that name, after judging. */
static const struct doctor_finding *finding(const struct doctor_facts *facts, const char *name)
{
    int count = doctor_judge(facts, findings);
    for (int i = 0; i < count; i++)
        if (strcmp(findings[i].name, name) == 0)
            return &findings[i];
    cr_assert(false, "no row %s", name);
    return NULL;
}

/* One fact is spoilt; the row of that name, and no other, must say so, with this word in its text.
 */
#define SPOILT(name_, verdict_, word, ...)                                                         \
    do {                                                                                           \
        struct doctor_facts f = healthy();                                                         \
        __VA_ARGS__;                                                                               \
        const struct doctor_finding *found = finding(&f, name_);                                   \
        cr_assert(found->verdict == verdict_ && strstr(found->text, word), "%s: %d, %s", name_,    \
                  (int)found->verdict, found->text);                                               \
        for (int i = 0; i < doctor_judge(&f, findings); i++)                                       \
            cr_assert(findings[i].verdict == DOCTOR_GOOD || strcmp(findings[i].name, name_) == 0,  \
                      "%s is blamed, too: %s", findings[i].name, findings[i].text);                \
    } while (0)

Test(doctor, a_healthy_machine_has_no_findings)
{
    struct doctor_facts facts = healthy();
    int count = doctor_judge(&facts, findings);
    cr_assert(count > 20);
    for (int i = 0; i < count; i++) {
        cr_assert(findings[i].verdict == DOCTOR_GOOD, "%s: %s", findings[i].name, findings[i].text);
        cr_assert(*findings[i].text, "%s says nothing", findings[i].name);
    }
}

Test(doctor, every_fault_is_told_by_its_row_with_the_fix)
{
    SPOILT("locked memory", DOCTOR_FAILURE, "PropagateResourceLimitsExcept=MEMLOCK",
           f.lock_works = false, f.lock_limit = 8 << 20, f.infiniband = true);
    SPOILT("locked memory", DOCTOR_WARNING, "8.0 MiB", f.lock_works = false,
           f.lock_limit = 8 << 20);
    SPOILT("locked memory", DOCTOR_FAILURE, "user namespace", f.lock_works = false,
           f.capability = true, f.infiniband = true, f.user_namespace = true);
    SPOILT("file capabilities", DOCTOR_WARNING, "LD_LIBRARY_PATH", f.file_capabilities = true);
    SPOILT("/dev/shm", DOCTOR_FAILURE, "--shm-size", f.shm_free = 64 << 20);
    SPOILT("/dev/shm", DOCTOR_WARNING, "--shm-size", f.shm_free = 64 << 20, f.needs.gpu = false);
    SPOILT("/dev/shm", DOCTOR_FAILURE, "no /dev/shm", f.shm_free = DOCTOR_UNKNOWN);
    SPOILT("open files", DOCTOR_FAILURE, "ulimit -Hn", f.files_limit = 256);
    SPOILT("processes", DOCTOR_WARNING, "pids.max", f.pids_max = 100);
    SPOILT("processes", DOCTOR_WARNING, "ulimit -u", f.processes_limit = 100);
    SPOILT("processors", DOCTOR_WARNING, "start 4 workers", f.quota_cpus = 4);
    SPOILT("processors", DOCTOR_WARNING, "wait for each other", f.cpus = 2);
    SPOILT("processors", DOCTOR_WARNING, "--cpus-per-task=16", f.bound_cpus = 8);
    SPOILT("memory", DOCTOR_WARNING, "8.0 GiB", f.memory_limit = (uint64_t)4 << 30);
    SPOILT("swap", DOCTOR_WARNING, "1.0 GiB of swap", f.swap_used = (uint64_t)1 << 30);
    SPOILT("swap", DOCTOR_WARNING, "3 processes", f.oom_kills = 3);
    SPOILT("stolen time", DOCTOR_WARNING, "20.0 %", f.steal = 0.2);
    SPOILT("size limits", DOCTOR_WARNING, "ulimit -f", f.needs.map_bytes = (uint64_t)9 << 30,
           f.file_size_limit = (uint64_t)1 << 30);
    SPOILT("size limits", DOCTOR_WARNING, "overcommit", f.overcommit = 2);
    SPOILT("huge pages", DOCTOR_WARNING, "madvise", strcpy(f.huge_pages, "always"));
    SPOILT("governor", DOCTOR_WARNING, "performance", strcpy(f.governor, "powersave"));
    SPOILT("host name", DOCTOR_WARNING, "/etc/hosts", f.host_address[0] = 0);
    SPOILT("host name", DOCTOR_WARNING, "127.0.1.1", f.host_loopback = true,
           strcpy(f.host_address, "127.0.1.1"));
    SPOILT("interfaces", DOCTOR_WARNING, "NCCL_SOCKET_IFNAME", f.interface_count = 2,
           strcpy(f.interfaces, "eth0 ib0"));
    SPOILT("interfaces", DOCTOR_GOOD, "eth0 ib0", f.interface_count = 2, f.interface_chosen = true,
           strcpy(f.interfaces, "eth0 ib0"));
    SPOILT("clock", DOCTOR_WARNING, "chrony", f.clock_synchronised = false);
    SPOILT("scheduler", DOCTOR_WARNING, "--requeue", f.slurm = f.slurm_final = true);
    SPOILT("first process", DOCTOR_WARNING, "--init", f.first_process = true);
    SPOILT("NCCL settings", DOCTOR_WARNING, "NCCL_P2P_DISABLE",
           strcpy(f.nccl_settings, "NCCL_P2P_DISABLE"));
    SPOILT("GPUs", DOCTOR_FAILURE, "no driver", f.driver_version = 0);
    SPOILT("GPUs", DOCTOR_FAILURE, "no device", f.gpu_count = 0);
    SPOILT("GPUs", DOCTOR_FAILURE, "error 999, unknown", f.gpu_error = 999,
           strcpy(f.gpu_error_text, "unknown"));
    SPOILT("GPUs", DOCTOR_SKIPPED, "no driver", f.driver_version = 0, f.needs.gpu = false);
    SPOILT("NCCL", DOCTOR_SKIPPED, "libnccl.so.2", f.nccl_version = 0);
    SPOILT("disk", DOCTOR_FAILURE, "NFS", f.paths[0].type = 0x6969);
    SPOILT("disk", DOCTOR_GOOD, "/data", f.paths[0].type = 0x6969, f.paths[0].store = false);
    SPOILT("disk", DOCTOR_FAILURE, "/data", f.paths[0].there = false);
    SPOILT("disk", DOCTOR_WARNING, "make room", f.paths[0].free_bytes = 1 << 20);
    SPOILT("disk", DOCTOR_WARNING, "5 files", f.paths[0].free_inodes = 5);
    SPOILT("disk", DOCTOR_WARNING, "may grow to", f.needs.map_bytes = (uint64_t)2 << 40);
    SPOILT("disk", DOCTOR_WARNING, "200 ms", f.paths[0].sync_us = 200000);
    SPOILT("disk", DOCTOR_WARNING, "power loss", f.paths[0].sync_us = 3);
}

static void file_make(const char *root, const char *path, const char *content)
{
    char full[512], command[600];
    snprintf(full, sizeof full, "%s%s", root, path);
    snprintf(command, sizeof command, "mkdir -p \"$(dirname %s)\"", full);
    cr_assert(system(command) == 0);
    FILE *file = fopen(full, "w");
    cr_assert(file && fputs(content, file) >= 0 && fclose(file) == 0, "%s", full);
}

Test(doctor, the_kernel_s_files_are_read_as_they_are)
{
    char root[] = "/tmp/foldmill_doctor_XXXXXX", command[128];
    cr_assert(mkdtemp(root));
    file_make(root, "/proc/self/status", "CapEff:\t0000000000004000\nNoNewPrivs:\t1\n");
    file_make(root, "/proc/self/uid_map", "         0       1000          1\n");
    file_make(root, "/proc/meminfo",
              "MemTotal: 4096 kB\nMemAvailable:    2048 kB\nSwapTotal:  30 kB\n"
              "SwapFree:  10 kB\n");
    file_make(root, "/proc/stat", "cpu  10 0 10 70 0 0 0 10 0 0\n");
    file_make(root, "/proc/self/cgroup", "0::/slurm/job_7\n");
    file_make(root, "/sys/fs/cgroup/cpu.max", "250000 100000\n");
    file_make(root, "/sys/fs/cgroup/slurm/job_7/memory.max", "1048576\n");
    file_make(root, "/sys/fs/cgroup/memory.events", "low 0\noom 4\noom_kill 3\n");
    file_make(root, "/sys/fs/cgroup/pids.max", "max\n");
    file_make(root, "/proc/sys/vm/overcommit_memory", "2\n");
    file_make(root, "/proc/sys/kernel/core_pattern", "|/bin/collect\n");
    file_make(root, "/sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never\n");
    file_make(root, "/sys/class/infiniband/mlx5_0/name", "x\n");
    static struct doctor_facts facts;
    doctor_add_path(&facts, root, true);
    doctor_add_path(&facts, "/tmp/not/yet/there", false);
    doctor_measure(&facts, root);
    cr_assert(facts.capability && facts.no_new_privs && facts.user_namespace && facts.infiniband);
    cr_assert(facts.memory_available == 2048 * 1024 && facts.swap_used == 20 * 1024);
    cr_assert(facts.steal > 0.099 && facts.steal < 0.101, "%g", facts.steal);
    cr_assert(facts.quota_cpus > 2.49 && facts.quota_cpus < 2.51, "%g", facts.quota_cpus);
    cr_assert(facts.memory_limit == 1048576 && facts.oom_kills == 3);
    cr_assert(facts.pids_max == DOCTOR_UNKNOWN && facts.overcommit == 2 && facts.core_to_pipe);
    cr_assert(strcmp(facts.huge_pages, "madvise") == 0, "%s", facts.huge_pages);
    cr_assert(facts.paths[0].there && facts.paths[0].free_bytes > 0);
    cr_assert(facts.paths[1].there, "the folder above a new one is looked at");
    snprintf(command, sizeof command, "rm -r %s", root);
    cr_assert(system(command) == 0);
}

Test(doctor, what_cannot_be_read_is_no_fault)
{
    static struct doctor_facts facts;
    doctor_measure(&facts, "/nowhere");
    facts.lock_works = true;
    int count = doctor_judge(&facts, findings);
    for (int i = 0; i < count; i++)
        cr_assert(findings[i].verdict != DOCTOR_FAILURE ||
                      strcmp(findings[i].name, "/dev/shm") == 0,
                  "%s: %s", findings[i].name, findings[i].text);
}

Test(doctor, the_command_prints_a_table_or_json)
{
    char output[16384];
    for (int json = 0; json < 2; json++) {
        FILE *pipe =
            popen(json ? FOLDMILL_BINARY " doctor --json | python3 -m json.tool > /dev/null"
                                         " && echo good"
                       : FOLDMILL_BINARY " doctor " FOLDMILL_SOURCE "/graphs/demo.yaml",
                  "r");
        cr_assert(pipe);
        output[fread(output, 1, sizeof output - 1, pipe)] = 0;
        int code = WEXITSTATUS(pclose(pipe));
        cr_assert(code != 127 && strstr(output, json ? "good" : "locked memory"), "%d: %s", code,
                  output);
    }
}

Test(doctor, keys_and_strangers)
{
    struct doctor_facts facts = healthy();
    char folder[] = "/tmp/foldmill-doctor-XXXXXX", command[128], keys[64];
    facts.keys_path = NULL;
    cr_assert(finding(&facts, "keys")->verdict == DOCTOR_SKIPPED, "one node");
    cr_assert(finding(&facts, "strangers")->verdict == DOCTOR_SKIPPED, "one node");
    facts.keys_path = "keys";
    facts.keys_bad = facts.curve_bad = true;
    strcpy(facts.keys_text, "mode 0644: `chmod 600 keys/head.key`");
    strcpy(facts.curve_text, "let in a peer with an unknown key");
    cr_assert(finding(&facts, "keys")->verdict == DOCTOR_FAILURE, "read by others");
    cr_assert(strstr(finding(&facts, "keys")->text, "chmod 600"), "the fix");
    cr_assert(finding(&facts, "strangers")->verdict == DOCTOR_FAILURE, "an open door");
    cr_assert(strstr(finding(&facts, "strangers")->text, "unknown key"), "what was found");
    /* For real. */
    cr_assert(mkdtemp(folder), "no folder");
    snprintf(keys, sizeof keys, "%s/keys", folder);
    struct error err;
    cr_assert(keys_make(keys, false, &err) == STATUS_OK, "%s", err.text);
    facts.keys_path = keys;
    doctor_measure_keys(&facts);
    cr_assert(finding(&facts, "keys")->verdict == DOCTOR_GOOD, "%s", facts.keys_text);
    cr_assert(finding(&facts, "strangers")->verdict == DOCTOR_GOOD, "%s", facts.curve_text);
    snprintf(command, sizeof command, "%s/worker.key", keys);
    chmod(command, 0644);
    doctor_measure_keys(&facts);
    cr_assert(finding(&facts, "keys")->verdict == DOCTOR_FAILURE, "mode 0644");
    cr_assert(strstr(finding(&facts, "keys")->text, "chmod 600"), "%s", facts.keys_text);
    snprintf(command, sizeof command, "rm -r %s", folder);
    cr_assert(system(command) == 0, "%s", command);
}

/* How many CPUs may be used, and how much memory: bound to some, and with quotas and limits of
 * control groups, of both versions. */
#include "engine/base/cpus.h"
#include "engine/base/memory.h"

#include <criterion/criterion.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static char root[] = "/tmp/foldmill_cpus_XXXXXX";

static void make(const char *path, const char *content)
{
    char command[600];
    snprintf(command, sizeof command, "mkdir -p \"$(dirname %s%s)\" && printf -- '%s' > %s%s", root,
             path, content, root, path);
    cr_assert(system(command) == 0, "%s", path);
}

static bool about(double a, double b)
{
    return a > b - 1e-6 && a < b + 1e-6;
}

Test(cpus, a_process_that_is_bound_counts_what_it_is_bound_to)
{
    cpu_set_t set;
    cr_assert(sched_getaffinity(0, sizeof set, &set) == 0);
    cr_assert(cpus_bound() == CPU_COUNT(&set), "%d", cpus_bound());
    cr_assert(cpus_here() >= 1 && cpus_here() <= CPU_COUNT(&set), "%d", cpus_here());
    size_t first = 0;
    int status;
    while (!CPU_ISSET(first, &set))
        first++;
    pid_t pid = fork();
    if (pid == 0) {
        CPU_ZERO(&set);
        CPU_SET(first, &set);
        _exit(sched_setaffinity(0, sizeof set, &set) ? 99 : cpus_here() + cpus_bound() - 1);
    }
    cr_assert(waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 1,
              "%d", status);
}

Test(cpus, memory_is_the_machines_within_its_groups_limits)
{
    char command[128];
    cr_assert(memory_here("") > 0, "this machine has some");
    cr_assert(mkdtemp(root));
    cr_assert(memory_here(root) == 0, "nothing is known");
    make("/proc/meminfo", "MemTotal:       16384 kB\nMemFree: 3 kB\n");
    cr_assert(memory_here(root) == 16 << 20, "the machine's");
    make("/proc/self/cgroup", "0::/slurm/job_7\n");
    make("/sys/fs/cgroup/slurm/job_7/memory.max", "max\n");
    cr_assert(memory_here(root) == 16 << 20, "no limit");
    make("/sys/fs/cgroup/slurm/memory.max", "4194304\n");
    cr_assert(memory_here(root) == 4 << 20, "of the group above");
    make("/proc/self/cgroup", "4:memory:/a\n2:cpu,cpuacct:/b\n");
    make("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
    cr_assert(memory_here(root) == 16 << 20, "version 1 says so where there is none");
    make("/sys/fs/cgroup/memory/a/memory.limit_in_bytes", "2097152\n");
    cr_assert(memory_here(root) == 2 << 20, "version 1");
    snprintf(command, sizeof command, "rm -r %s", root);
    cr_assert(system(command) == 0);
}

Test(cpus, the_smallest_quota_on_the_way_up_holds)
{
    char command[128];
    cr_assert(mkdtemp(root));
    cr_assert(about(cpus_quota(root), 0), "nothing is known");
    make("/proc/self/cgroup", "0::/slurm/job_7/step_0\\n");
    make("/sys/fs/cgroup/cpu.max", "max 100000\\n");
    cr_assert(about(cpus_quota(root), 0), "no quota");
    make("/sys/fs/cgroup/slurm/job_7/cpu.max", "250000 100000\\n");
    make("/sys/fs/cgroup/slurm/job_7/step_0/cpu.max", "800000 100000\\n");
    cr_assert(about(cpus_quota(root), 2.5), "%g", cpus_quota(root));
    make("/sys/fs/cgroup/slurm/cpu.max", "100000 100000\\n");
    cr_assert(about(cpus_quota(root), 1), "%g", cpus_quota(root));
    make("/sys/fs/cgroup/slurm/cpu.max", "rubbish\\n");
    cr_assert(about(cpus_quota(root), 2.5), "%g", cpus_quota(root));
    make("/proc/self/cgroup", "4:memory:/a\\n3:cpuset:/a\\n2:cpu,cpuacct:/a/b\\n");
    make("/sys/fs/cgroup/cpu/a/b/cpu.cfs_quota_us", "-1\\n");
    make("/sys/fs/cgroup/cpu/a/b/cpu.cfs_period_us", "100000\\n");
    cr_assert(about(cpus_quota(root), 0), "%g", cpus_quota(root));
    make("/sys/fs/cgroup/cpu/a/cpu.cfs_quota_us", "150000\\n");
    make("/sys/fs/cgroup/cpu/a/cpu.cfs_period_us", "50000\\n");
    cr_assert(about(cpus_quota(root), 3), "%g", cpus_quota(root));
    snprintf(command, sizeof command, "rm -r %s", root);
    cr_assert(system(command) == 0);
}

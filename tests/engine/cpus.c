/* How many CPUs may be used: bound to some, and with quotas of control groups, of both versions. */
#include "engine/base/cpus.h"

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

/* `foldmill run --join` from its options to its exit code; see join.h. */
#include "engine/join.h"

#include "engine/base/clock.h"
#include "engine/base/file.h"
#include "engine/base/log.h"
#include "engine/command.h"
#include "engine/join_state.h"
#include "engine/link_address.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#define SCRATCH "foldmill-join-"

/* ---- the folder ---- */

static int remove_one(const char *path, const struct stat *info, int type, struct FTW *at)
{
    (void)info;
    (void)type;
    (void)at;
    remove(path);
    return 0;
}

static void remove_folder(const char *path)
{
    nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static const char *scratch_base(void)
{
    const char *base = getenv("TMPDIR");
    return base && *base == '/' && access(base, W_OK | X_OK) == 0 ? base : "/tmp";
}

/* Removes what killed engines left: folders of ours whose lock nobody holds. */
static void sweep(const char *base)
{
    DIR *folder = opendir(base);
    struct dirent *entry;
    while (folder && (entry = readdir(folder))) {
        char path[PATH_MAX], lock[PATH_MAX];
        struct stat info;
        if (strncmp(entry->d_name, SCRATCH, strlen(SCRATCH)) != 0 ||
            strlen(base) + strlen(entry->d_name) > PATH_MAX - 16)
            continue;
        rundir_file(base, entry->d_name, path);
        if (lstat(path, &info) || !S_ISDIR(info.st_mode) || info.st_uid != geteuid())
            continue;
        int fd = open(rundir_file(path, "lock", lock), O_RDWR | O_CLOEXEC);
        if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0)
            remove_folder(path);
        if (fd >= 0)
            close(fd);
    }
    if (folder)
        closedir(folder);
}

static enum status open_folder(struct join_engine *engine, struct error *err)
{
    char path[PATH_MAX];
    const char *base = scratch_base();
    sweep(base);
    if (snprintf(path, sizeof path, "%s/" SCRATCH "XXXXXX", base) >= (int)sizeof path ||
        !mkdtemp(path))
        return error_set(err, STATUS_IO, "cannot make a folder in %s: %s", base, strerror(errno));
    return rundir_open(&engine->dir, "join", path, err);
}

/* ---- opening and ending ---- */

static void choose_name(struct join_engine *engine)
{
    char host[NETWORK_NAME_MAX + 1] = "";
    gethostname(host, sizeof host - 1);
    snprintf(engine->net.name, sizeof engine->net.name, "%s",
             engine->options.name ? engine->options.name
             : *host              ? host
                                  : "engine");
    if (getrandom(&engine->net.node, sizeof engine->net.node, 0) != sizeof engine->net.node ||
        engine->net.node == 0)
        engine->net.node = (uint64_t)clock_ns() | 1;
}

/* The dispatcher is where the coordinator is, at the port that the head said. */
static enum status open_hub(struct join_engine *engine, struct error *err)
{
    struct link_address address;
    enum status status = link_address_parse(engine->at.address, &address, err);
    if (status != STATUS_OK)
        return status;
    bool six = strchr(address.host, ':') != NULL;
    snprintf(engine->net.hub, sizeof engine->net.hub, "tcp://%s%s%s:%u", six ? "[" : "",
             address.host, six ? "]" : "", engine->joined.hub_port);
    engine->net.job = engine->joined.job;
    engine->net.reach = engine->joined.reach;
    status = network_write(&engine->net, engine->dir.sockets, err);
    if (status == STATUS_OK)
        status = job_load(&engine->job, engine->dir.path, engine->dir.sockets, err);
    if (status == STATUS_OK && engine->job.graph->hash != engine->joined.graph_hash)
        status = error_set(err, STATUS_INVALID,
                           "the head's graph has the hash %016llx, read here it has %016llx: "
                           "install the same foldmill everywhere",
                           (unsigned long long)engine->joined.graph_hash,
                           (unsigned long long)engine->job.graph->hash);
    engine->agent.job = engine->joined.job;
    engine->agent.node = engine->net.node;
    engine->agent.inc = engine->net.node;
    engine->agent.graph_hash = engine->joined.graph_hash;
    if (status == STATUS_OK)
        status = link_connect(&engine->agent.hub, engine->net.hub,
                              network_options(&engine->net, 1024), err);
    return status;
}

/* Meets the head and works for it. */
static enum status work(struct join_engine *engine, struct error *err)
{
    struct supervise_events events = {engine, join_on_death, NULL, join_on_line};
    choose_name(engine);
    enum status status = open_folder(engine, err);
    /* Before the first thread of ZeroMQ: threads inherit which signals are blocked. */
    if (status == STATUS_OK)
        status = supervise_open(&engine->supervisor, events, err);
    if (status == STATUS_OK)
        status = join_meet(engine, err);
    if (status != STATUS_OK || !engine->known || engine->over || engine->failed ||
        join_is_asked(engine))
        return status;
    status = join_ranks_check(engine, err);
    if (status == STATUS_OK)
        status = open_hub(engine, err);
    if (status == STATUS_OK)
        status = join_start(engine, err);
    if (status == STATUS_OK) {
        if (!engine->options.quiet)
            fprintf(stderr, "%s works for %s at %s with %d processes\n", engine->net.name,
                    engine->joined.run_dir, engine->at.address + 6,
                    supervise_count(engine->supervisor));
        join_work(engine);
    }
    return status;
}

static void end(struct join_engine *engine)
{
    supervise_close(engine->supervisor);
    join_ranks_sweep(engine);
    link_close(engine->head, 500);
    link_close(engine->agent.hub, 500);
    link_context_close();
    char path[PATH_MAX];
    memcpy(path, engine->dir.path, sizeof path);
    rundir_close(&engine->dir);
    if (*path)
        remove_folder(path);
    arena_close(&engine->job.arena);
}

int join_run(const struct join_options *options)
{
    static struct join_engine engine;
    struct error err = {0};
    int code;
    log_open("join", options->quiet ? LOG_WARN : LOG_INFO, 2);
    do {
        engine = (struct join_engine){
            .options = *options, .begun_ms = clock_ms(), .dir = {.lock = -1, .hold = -1}};
        if (!engine.options.role)
            engine.options.role = "cpu";
        enum status status = work(&engine, &err);
        if (status != STATUS_OK)
            join_fail(&engine, err.text);
        code = engine.failed ? EXIT_FAILED : EXIT_GOOD;
        if (engine.supervisor && supervise_interrupts(engine.supervisor) > 1)
            code = EXIT_STOPPED;
        if (engine.failed)
            fprintf(stderr, "foldmill run --join: %s\n", engine.failure);
        end(&engine);
    } while (engine.moved && code == EXIT_GOOD);
    return code;
}

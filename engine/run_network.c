/* Where the head of a run listens: addresses, keys, the file for its children and the rendezvous
 * for others. Part of run_nodes.h. */
#include "engine/run_nodes.h"

#include "engine/base/file.h"
#include "engine/base/log.h"
#include "engine/link_address.h"
#include "engine/rendezvous.h"
#include "engine/run_state.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

enum { LISTEN_BACKLOG = 4, RUN_MEET_PORTS = 8 };

/* A port of that address that is free now. */
static enum status free_port(struct link_address address, uint16_t *port, struct error *err)
{
    int fd;
    struct sockaddr_storage bound;
    socklen_t size = sizeof bound;
    enum status status = link_address_listen(&address, LISTEN_BACKLOG, &fd, err);
    if (status != STATUS_OK)
        return status;
    bool known = getsockname(fd, (struct sockaddr *)&bound, &size) == 0;
    if (known && bound.ss_family == AF_INET)
        *port = ntohs(((struct sockaddr_in *)(void *)&bound)->sin_port);
    else if (known)
        *port = ntohs(((struct sockaddr_in6 *)(void *)&bound)->sin6_port);
    close(fd);
    return known ? STATUS_OK : error_set(err, STATUS_IO, "no free port: %s", strerror(errno));
}

static void write_address(const struct link_address *address, uint16_t port, char *text,
                          size_t size)
{
    bool six = strchr(address->host, ':') != NULL;
    snprintf(text, size, "tcp://%s%s%s:%u", six ? "[" : "", address->host, six ? "]" : "", port);
}

/* The ports of a run that goes on are those that it had: who waits for its head finds it again. */
static uint16_t port_before(const struct run *run)
{
    char path[PATH_MAX];
    struct rendezvous before;
    struct link_address address;
    if (rendezvous_read(rundir_file(run->dir.path, "rendezvous", path), &before, NULL) !=
            STATUS_OK ||
        link_address_parse(before.address, &address, NULL) != STATUS_OK)
        return 0;
    return address.port;
}

static bool is_free(struct link_address address, uint16_t port)
{
    char text[LINK_ADDRESS_MAX];
    int fd;
    write_address(&address, port, text, sizeof text);
    if (link_address_parse(text, &address, NULL) != STATUS_OK ||
        link_address_listen(&address, LISTEN_BACKLOG, &fd, NULL) != STATUS_OK)
        return false;
    close(fd);
    return true;
}

/* The coordinator's, the dispatcher's, and behind them those where ranks of lines meet. */
static bool are_free(const struct run *run, struct link_address address, uint16_t port)
{
    int count = run->options.ranks > 0 ? 2 + RUN_MEET_PORTS : 2;
    bool free = port <= UINT16_MAX - count;
    for (int i = 0; i < count && free; i++)
        free = is_free(address, (uint16_t)(port + i));
    return free;
}

/* The coordinator's port and the dispatcher's, which is the next one. */
static enum status choose_ports(struct run *run, const struct link_address *address,
                                struct error *err)
{
    uint16_t port = address->port ? address->port : port_before(run);
    if (!address->port && port && !are_free(run, *address, port))
        port = 0;
    for (int i = 0; i < 100 && !port; i++) {
        enum status status = free_port(*address, &port, err);
        if (status != STATUS_OK)
            return status;
        if (!are_free(run, *address, port))
            port = 0;
    }
    if (!port || port == UINT16_MAX)
        return error_set(err, STATUS_IO, "no two ports in a row are free: say --listen ADDR:PORT");
    write_address(address, port, run->listen, sizeof run->listen);
    write_address(address, (uint16_t)(port + 1), run->job.net.hub, sizeof run->job.net.hub);
    run->nodes.joined.hub_port = (uint16_t)(port + 1);
    return STATUS_OK;
}

/* Keys that are given, or a set of this run's own. */
static enum status choose_keys(struct run *run, struct error *err)
{
    char path[PATH_MAX];
    const char *given = run->options.keys;
    if (run->options.insecure)
        return STATUS_OK;
    if (!given) {
        rundir_file(run->dir.path, "keys", path);
        if (access(path, F_OK) != 0) {
            enum status status = keys_make(path, false, err);
            if (status != STATUS_OK)
                return status;
        }
    } else if (!realpath(given, path)) {
        return error_set(err, STATUS_MISS, "--keys %s: %s; `foldmill keys %s` makes them", given,
                         strerror(errno), given);
    }
    snprintf(run->job.net.keys, sizeof run->job.net.keys, "%s", path);
    return STATUS_OK;
}

enum status run_nodes_plan(struct run *run, struct error *err)
{
    char text[LINK_ADDRESS_MAX];
    struct link_address address;
    const char *listen = run->options.listen;
    if (!run->options.head)
        return STATUS_OK;
    if (!listen)
        listen = run->options.insecure ? "127.0.0.1:0" : "0.0.0.0:0";
    bool no_port = !strrchr(listen, ':') || listen[strlen(listen) - 1] == ']';
    snprintf(text, sizeof text, "tcp://%s%s", listen, no_port ? ":0" : "");
    enum status status = link_address_parse(text, &address, err);
    if (status != STATUS_OK)
        return error_prefix(err, "--listen %s", listen), status;
    run->job.net.kind = NETWORK_HEAD;
    run->job.net.reach = run->options.reach;
    status = choose_keys(run, err);
    if (status == STATUS_OK)
        status = choose_ports(run, &address, err);
    if (status == STATUS_OK)
        status = network_write(&run->job.net, run->dir.sockets, err);
    return status;
}

static enum status add_file(struct run *run, const char *name, struct error *err)
{
    struct joined *joined = &run->nodes.joined;
    char path[PATH_MAX];
    unsigned char bytes[65536];
    if (joined->file_count == JOIN_FILES_MAX || strlen(name) > JOIN_FILE_NAME_MAX)
        return error_set(err, STATUS_LIMIT, "%s: a run may have %d files for others", name,
                         JOIN_FILES_MAX);
    struct join_file *file = &joined->file[joined->file_count];
    FILE *in = fopen(rundir_file(run->dir.path, name, path), "re");
    XXH3_state_t *hash = XXH3_createState();
    ASSERT(hash);
    if (!in) {
        XXH3_freeState(hash);
        return error_set(err, STATUS_IO, "cannot read %s: %s", path, strerror(errno));
    }
    XXH3_64bits_reset(hash);
    for (size_t got; (got = fread(bytes, 1, sizeof bytes, in)) > 0; file->bytes += got)
        XXH3_64bits_update(hash, bytes, got);
    file->hash = XXH3_64bits_digest(hash);
    snprintf(file->name, sizeof file->name, "%s", name);
    joined->file_count++;
    fclose(in);
    XXH3_freeState(hash);
    return STATUS_OK;
}

/* The graph and the frozen lists. */
static enum status add_files(struct run *run, struct error *err)
{
    char path[PATH_MAX];
    enum status status = add_file(run, "graph.yaml", err);
    DIR *folder = opendir(rundir_file(run->dir.path, "lists", path));
    struct dirent *entry;
    while (folder && status == STATUS_OK && (entry = readdir(folder))) {
        size_t size = strlen(entry->d_name);
        if (entry->d_name[0] == '.' || size < 6 || strcmp(entry->d_name + size - 5, ".list") != 0)
            continue;
        char name[NAME_MAX + 8];
        snprintf(name, sizeof name, "lists/%s", entry->d_name);
        status = add_file(run, name, err);
    }
    if (folder)
        closedir(folder);
    return status;
}

static enum status write_rendezvous(struct run *run, struct error *err)
{
    struct rendezvous rendezvous = {.job = run->job.id};
    struct link_address address;
    char path[PATH_MAX], host[NETWORK_NAME_MAX + 1];
    enum status status = link_address_parse(run->listen, &address, err);
    if (status != STATUS_OK)
        return status;
    bool any = strcmp(address.host, "0.0.0.0") == 0 || strcmp(address.host, "::") == 0;
    if (run->options.advertise)
        snprintf(address.host, sizeof address.host, "%.*s", LINK_HOST_MAX, run->options.advertise);
    else if (any && gethostname(host, sizeof host) == 0)
        snprintf(address.host, sizeof address.host, "%.*s", NETWORK_NAME_MAX, host);
    write_address(&address, address.port, rendezvous.address, sizeof rendezvous.address);
    snprintf(rendezvous.run, sizeof rendezvous.run, "%s", run->dir.path);
    snprintf(rendezvous.keys, sizeof rendezvous.keys, "%s", run->job.net.keys);
    if (run->job.net.keys[0]) {
        struct keys keys;
        status = keys_load(run->job.net.keys, KEY_HEAD, &keys, err);
        if (status != STATUS_OK)
            return status;
        memcpy(rendezvous.fingerprint, keys.public_key[KEY_HEAD], sizeof rendezvous.fingerprint);
        keys_wipe(&keys);
    }
    status = rendezvous_write(&rendezvous, rundir_file(run->dir.path, "rendezvous", path), err);
    if (status == STATUS_OK && !run->options.quiet)
        fprintf(stderr, "others may join: foldmill run --join %s%s%s\n", rendezvous.address + 6,
                rendezvous.keys[0] ? " --keys " : " --insecure", rendezvous.keys);
    return status;
}

void run_nodes_over(struct run *run)
{
    char path[PATH_MAX];
    struct rendezvous rendezvous;
    struct error err;
    if (run->job.net.kind != NETWORK_HEAD)
        return;
    rundir_file(run->dir.path, "rendezvous", path);
    enum status status = rendezvous_read(path, &rendezvous, &err);
    rendezvous.over = true;
    if (status == STATUS_OK)
        status = rendezvous_write(&rendezvous, path, &err);
    if (status != STATUS_OK)
        log_warn("%s", err.text);
}

enum status run_nodes_open(struct run *run, struct error *err)
{
    struct joined *joined = &run->nodes.joined;
    if (run->job.net.kind != NETWORK_HEAD)
        return STATUS_OK;
    joined->job = run->job.id;
    joined->reach = run->job.net.reach;
    joined->graph_hash = run->job.graph->hash;
    snprintf(joined->run_dir, sizeof joined->run_dir, "%.*s", JOIN_PATH_MAX, run->dir.path);
    enum status status = add_files(run, err);
    if (status == STATUS_OK)
        status =
            link_also(run->coordinator, run->listen, network_options(&run->job.net, 4096), err);
    return status == STATUS_OK ? write_rendezvous(run, err) : status;
}

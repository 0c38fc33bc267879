/* The network of an engine as a small file; see network.h. */
#include "engine/network.h"

#include "engine/base/file.h"
#include "engine/rundir.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { NETWORK_BYTES_MAX = 16384 };

static const char *const kinds[] = {"none", "head", "joined"};

enum status network_write(const struct network *net, const char *sockets, struct error *err)
{
    char text[NETWORK_BYTES_MAX], path[PATH_MAX];
    int size = snprintf(text, sizeof text,
                        "kind %s\nhub %s\ncoordinate %s\nkeys %s\nreach %u\nranks %d\n"
                        "job %016llx\nnode %016llx\nname %s\n",
                        kinds[net->kind], net->hub, net->coordinate, net->keys, net->reach,
                        net->ranks,
                        (unsigned long long)net->job, (unsigned long long)net->node, net->name);
    return file_write_atomic(rundir_file(sockets, "net", path), (struct span){text, (size_t)size},
                             err);
}

static bool take_hex(struct span word, uint64_t *number)
{
    char text[17];
    unsigned long long value;
    if (word.size != 16)
        return false;
    memcpy(text, word.data, 16);
    text[16] = 0;
    if (strspn(text, "0123456789abcdef") != 16 || sscanf(text, "%llx", &value) != 1)
        return false;
    *number = value;
    return true;
}

static bool take_text(struct span word, char *to, size_t room)
{
    if (word.size >= room || memchr(word.data, 0, word.size))
        return false;
    memcpy(to, word.data, word.size);
    to[word.size] = 0;
    return true;
}

static bool take_reach(struct span word, uint32_t *reach)
{
    int64_t value;
    bool good = text_int(word, 0, NETWORK_REACH_MAX, &value);
    *reach = good ? (uint32_t)value : 0;
    return good;
}

static bool take_ranks(struct span word, bool *ranks)
{
    *ranks = span_is(word, "1");
    return *ranks || span_is(word, "0");
}

static bool take_kind(struct span word, struct network *net)
{
    for (int i = 0; i < 3; i++)
        if (span_is(word, kinds[i])) {
            net->kind = (enum network_kind)i;
            return true;
        }
    return false;
}

enum status network_parse(struct span text, struct network *net, struct error *err)
{
    struct span line;
    *net = (struct network){.kind = NETWORK_NONE};
    while (span_line(&text, &line)) {
        struct span rest = line, word;
        if (!span_word(&rest, &word))
            continue;
        struct span value = span_trim(rest);
        bool good = span_is(word, "kind")    ? take_kind(value, net)
                    : span_is(word, "hub")   ? take_text(value, net->hub, sizeof net->hub)
                    : span_is(word, "keys")  ? take_text(value, net->keys, sizeof net->keys)
                    : span_is(word, "name")  ? take_text(value, net->name, sizeof net->name)
                    : span_is(word, "coordinate")
                        ? take_text(value, net->coordinate, sizeof net->coordinate)
                    : span_is(word, "ranks") ? take_ranks(value, &net->ranks)
                    : span_is(word, "reach") ? take_reach(value, &net->reach)
                    : span_is(word, "job")   ? take_hex(value, &net->job)
                    : span_is(word, "node")  ? take_hex(value, &net->node)
                                             : false;
        if (!good)
            return error_set(err, STATUS_INVALID, "the network file has a line \"%.*s\"",
                             (int)(line.size < 80 ? line.size : 80), line.data);
    }
    return STATUS_OK;
}

enum status network_read(const char *sockets, struct network *net, struct error *err)
{
    char path[PATH_MAX];
    struct arena arena;
    struct span text;
    *net = (struct network){.kind = NETWORK_NONE};
    if (!*sockets || access(rundir_file(sockets, "net", path), F_OK))
        return STATUS_OK;
    arena_open(&arena, 0);
    enum status status = file_read(path, NETWORK_BYTES_MAX, &arena, &text, err);
    if (status == STATUS_OK)
        status = network_parse(text, net, err);
    arena_close(&arena);
    return status;
}

enum key_role network_role(const struct network *net)
{
    return net->kind == NETWORK_HEAD ? KEY_HEAD : net->ranks ? KEY_SINK : KEY_WORKER;
}

enum status network_secure(const struct network *net, struct error *err)
{
    struct keys keys;
    if (net->kind == NETWORK_NONE || !net->keys[0])
        return STATUS_OK;
    enum status status = keys_load(net->keys, network_role(net), &keys, err);
    if (status == STATUS_OK)
        status = link_secure(&keys, err);
    keys_wipe(&keys);
    return status;
}

struct link_options network_options(const struct network *net, int queue_max)
{
    return (struct link_options){
        .queue_max = queue_max, .server = KEY_HEAD, .insecure = !net->keys[0]};
}

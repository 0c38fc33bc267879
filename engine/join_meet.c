/* Finding the head of a run and being let in; see join_state.h. */
#include "engine/join_state.h"

#include "engine/base/clock.h"
#include "engine/base/log.h"
#include "engine/link_address.h"
#include "engine/post.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

enum { FIND_MS = 200, SAY_MS = 1000 };

bool join_is_asked(const struct join_engine *engine)
{
    return supervise_interrupts(engine->supervisor) > 0;
}

void join_say(struct join_engine *engine, enum message_type type, const void *payload, size_t size)
{
    struct message message = {.type = type,
                              .peer = LINK_HUB,
                              .job = engine->joined.job,
                              .inc = engine->net.node,
                              .payload = payload,
                              .size = (uint32_t)size};
    post_send(engine->head, &message);
    engine->said_ms = clock_ms();
}

static void say_join(struct join_engine *engine)
{
    unsigned char bytes[JOIN_BYTES_MAX];
    struct join join = {.version = MESSAGE_VERSION,
                        .build = FOLDMILL_VERSION,
                        .ranks = (uint32_t)engine->options.ranks,
                        .graph_hash = engine->joined.graph_hash};
    memcpy(join.name, engine->net.name, sizeof join.name);
    join_say(engine, MESSAGE_JOIN, bytes, join_encode(&join, bytes));
}

/* ---- where the head is ---- */

static bool is_path(const char *to)
{
    return strchr(to, '/') || access(to, F_OK) == 0;
}

static enum status read_target(struct join_engine *engine, struct error *err)
{
    const char *to = engine->options.to;
    struct link_address address;
    if (is_path(to))
        return rendezvous_read(to, &engine->at, err);
    snprintf(engine->at.address, sizeof engine->at.address, "tcp://%s", to);
    if (link_address_parse(engine->at.address, &address, err) != STATUS_OK || address.port == 0)
        return error_set(err, STATUS_INVALID,
                         "--join wants HOST:PORT, or the folder of a run, found \"%s\"", to);
    return STATUS_OK;
}

/* A second for the person, then the wait is told; true while there is time left. */
static bool wait_more(struct join_engine *engine, int64_t since_ms, bool *told, const char *what)
{
    int64_t passed = clock_ms() - since_ms;
    if (!*told && passed > SAY_MS) {
        *told = true;
        log_info("waiting for the head: %s (at most %lld s; --wait)", what,
                 (long long)engine->options.wait_s);
    }
    struct link_wait waits[4];
    int count = 0;
    if (engine->head)
        waits[count++] = (struct link_wait){.link = engine->head};
    supervise_wait(engine->supervisor, waits, &count, 4);
    link_poll(waits, count, FIND_MS);
    supervise_step(engine->supervisor);
    return passed < engine->options.wait_s * 1000 && !join_is_asked(engine);
}

static enum status find_head(struct join_engine *engine, struct error *err)
{
    int64_t since = clock_ms();
    bool told = false;
    enum status status;
    while ((status = read_target(engine, err)) == STATUS_MISS &&
           wait_more(engine, since, &told, err->text))
        continue;
    if (status == STATUS_OK && engine->at.over) {
        log_info("the run in %s is over", engine->at.run);
        engine->over = true;
    }
    return join_is_asked(engine) ? STATUS_OK : status;
}

/* The keys of this engine, and that they are of the same set as the head's. */
static enum status open_network(struct join_engine *engine, struct error *err)
{
    struct network *net = &engine->net;
    const char *keys = engine->options.keys ? engine->options.keys : engine->at.keys;
    net->kind = NETWORK_JOINED;
    net->ranks = engine->options.ranks > 0;
    snprintf(net->coordinate, sizeof net->coordinate, "%s", engine->at.address);
    if (!engine->options.insecure && !*keys)
        return error_set(err, STATUS_INVALID,
                         "the network wants keys: --keys DIR, a copy of the head's folder of keys "
                         "with `public` and `%s`",
                         keys_file_name(network_role(net)));
    char path[PATH_MAX] = "";
    if (!engine->options.insecure && !realpath(keys, path))
        return error_set(err, STATUS_MISS, "--keys %s: %s", keys, strerror(errno));
    memcpy(net->keys, path, sizeof net->keys);
    if (*path && engine->at.fingerprint[0]) {
        struct keys set;
        enum status status = keys_load(path, network_role(net), &set, err);
        if (status != STATUS_OK)
            return status;
        bool same = strcmp(set.public_key[KEY_HEAD], engine->at.fingerprint) == 0;
        if (!same)
            error_set(err, STATUS_REFUSED, "the head's key is %s, %s/public says %s",
                      engine->at.fingerprint, path, set.public_key[KEY_HEAD]);
        keys_wipe(&set);
        if (!same)
            return STATUS_REFUSED;
    }
    enum status status = link_context_open(err);
    if (status == STATUS_OK)
        status = network_secure(net, err);
    if (status == STATUS_OK)
        status = link_connect(&engine->head, engine->at.address, network_options(net, 256), err);
    return status;
}

/* ---- what the head says ---- */

static void take_joined(struct join_engine *engine, const struct message *message)
{
    static struct joined joined;
    struct error err;
    if (joined_decode((struct span){message->payload, message->size}, &joined, &err) != STATUS_OK) {
        join_fail(engine, err.text);
        return;
    }
    bool first = engine->joined.job == 0;
    if (!first && (joined.job != engine->joined.job || joined.hub_port != engine->joined.hub_port))
        engine->moved = true;
    if (first)
        engine->joined = joined;
    engine->known = true;
}

static void take_message(struct join_engine *engine, const struct message *message)
{
    char text[ERROR_TEXT_MAX];
    snprintf(text, sizeof text, "%.*s", (int)(message->size < 400 ? message->size : 400),
             message->size ? (const char *)message->payload : "");
    engine->heard_ms = clock_ms();
    engine->silent = false;
    if (message->type == MESSAGE_JOINED) {
        take_joined(engine, message);
    } else if (message->type == MESSAGE_REFUSE) {
        join_fail(engine, text);
    } else if (message->type == MESSAGE_DRAIN) {
        if (!engine->over)
            log_info("%s", text);
        engine->over = true;
    } else if (message->type == MESSAGE_SCALE) {
        join_scale(engine, message->stage, message->arg);
    } else if (message->type == MESSAGE_RANK) {
        join_rank(engine, message);
    } else if (message->type == MESSAGE_CHALLENGE) {
        engine->known = false;
        say_join(engine);
    } else if (message->type == MESSAGE_BYE) {
        engine->known = false;
    }
}

/* The head may have started again in another place. */
static void look_again(struct join_engine *engine)
{
    struct rendezvous now;
    if (!is_path(engine->options.to) ||
        rendezvous_read(engine->options.to, &now, NULL) != STATUS_OK)
        return;
    if (now.over) {
        log_info("the run in %s is over", now.run);
        engine->over = true;
    } else if (strcmp(now.address, engine->at.address) != 0) {
        log_info("the head is at %s now", now.address + 6);
        engine->moved = true;
    }
}

void join_turn(struct join_engine *engine)
{
    struct link_message raw;
    struct message message;
    uint64_t bad = 0;
    while (post_receive(engine->head, &raw, &message, &bad) == STATUS_OK) {
        take_message(engine, &message);
        link_message_close(&raw);
    }
    int64_t now = clock_ms();
    if (engine->known && now - engine->said_ms >= JOIN_HB_MS) {
        static struct join_row rows[GRAPH_STAGES_MAX];
        static unsigned char bytes[JOIN_ROWS_BYTES_MAX];
        join_say(engine, MESSAGE_HB, bytes, join_rows_encode(rows, join_rows(engine, rows), bytes));
        join_tell(engine);
        join_ranks_say(engine);
    } else if (!engine->known && now - engine->said_ms >= JOIN_ASK_MS) {
        say_join(engine);
        if (now - engine->heard_ms >= SAY_MS)
            look_again(engine);
    }
    /* Nothing answers a heartbeat but a head that has forgotten us: who is silent is asked. */
    if (engine->known && now - engine->heard_ms >= JOIN_SILENT_MS / 2)
        engine->known = false;
    if (now - engine->heard_ms < JOIN_SILENT_MS)
        return;
    if (!engine->silent) {
        engine->silent = true;
        log_warn("the head at %s does not answer: waiting at most %lld s for it",
                 engine->at.address + 6, (long long)engine->options.wait_s);
    }
    if (now - engine->heard_ms >= engine->options.wait_s * 1000) {
        char text[ERROR_TEXT_MAX];
        snprintf(text, sizeof text,
                 "the head at %.240s has not answered for %lld s: its run is over, or it is down; "
                 "--wait SECONDS waits longer, --join RUN is told when a run is over",
                 engine->at.address + 6, (long long)engine->options.wait_s);
        join_fail(engine, text);
    }
}

/* ---- files ---- */

/* One request and its answer: bytes of a file from offset on. */
static enum status fetch_part(struct join_engine *engine, uint32_t number, uint64_t offset,
                              FILE *out, XXH3_state_t *hash, size_t *got, struct error *err)
{
    struct message ask = {.type = MESSAGE_FILE,
                          .peer = LINK_HUB,
                          .job = engine->joined.job,
                          .inc = engine->net.node,
                          .arg = number,
                          .seq = offset};
    int64_t asked = 0, end = clock_ms() + 4 * JOIN_SILENT_MS;
    while (clock_ms() < end && !join_is_asked(engine) && !engine->failed && !engine->over) {
        if (clock_ms() - asked >= JOIN_ASK_MS) {
            post_send(engine->head, &ask);
            asked = clock_ms();
        }
        struct link_wait waits[3] = {{.link = engine->head}};
        int count = 1;
        supervise_wait(engine->supervisor, waits, &count, 3);
        link_poll(waits, count, JOIN_TICK_MS);
        supervise_step(engine->supervisor);
        struct link_message raw;
        struct message message;
        uint64_t bad = 0;
        bool found = false;
        while (!found && post_receive(engine->head, &raw, &message, &bad) == STATUS_OK) {
            found = message.type == MESSAGE_FILE && message.arg == number && message.seq == offset;
            if (found) {
                *got = message.size;
                fwrite(message.payload, 1, message.size, out);
                XXH3_64bits_update(hash, message.payload, message.size);
            } else if (message.type != MESSAGE_FILE) {
                take_message(engine, &message);
            }
            link_message_close(&raw);
        }
        if (found)
            return STATUS_OK;
    }
    return error_set(err, STATUS_IO, "the head stopped answering");
}

static enum status fetch_file(struct join_engine *engine, uint32_t number, struct error *err)
{
    const struct join_file *file = &engine->joined.file[number];
    char path[PATH_MAX];
    FILE *out = fopen(rundir_file(engine->dir.path, file->name, path), "we");
    XXH3_state_t *hash = XXH3_createState();
    ASSERT(hash);
    XXH3_64bits_reset(hash);
    uint64_t at = 0;
    size_t got = 1;
    enum status status =
        out ? STATUS_OK : error_set(err, STATUS_IO, "cannot write %s: %s", path, strerror(errno));
    while (status == STATUS_OK && at < file->bytes && got > 0) {
        status = fetch_part(engine, number, at, out, hash, &got, err);
        at += status == STATUS_OK ? got : 0;
    }
    bool written = out && !ferror(out);
    if (out && fclose(out) != 0)
        written = false;
    if (status == STATUS_OK && !written)
        status = error_set(err, STATUS_FULL, "cannot write %s: %s", path, strerror(errno));
    if (status == STATUS_OK && (at != file->bytes || XXH3_64bits_digest(hash) != file->hash))
        status = error_set(err, STATUS_CORRUPT, "%s came with other bytes than the head announced",
                           file->name);
    XXH3_freeState(hash);
    return status;
}

enum status join_meet(struct join_engine *engine, struct error *err)
{
    enum status status = find_head(engine, err);
    if (status != STATUS_OK || join_is_asked(engine) || engine->over)
        return status;
    status = open_network(engine, err);
    int64_t since = clock_ms();
    bool told = false, more = true;
    engine->heard_ms = since;
    while (status == STATUS_OK && more && !engine->known && !engine->failed && !engine->over) {
        join_turn(engine);
        more = engine->known || engine->failed ||
               wait_more(engine, since, &told, engine->at.address + 6);
    }
    if (status == STATUS_OK && !engine->known && !engine->failed && !engine->over &&
        !join_is_asked(engine))
        status =
            error_set(err, STATUS_IO,
                      "no head answers at %s in %lld s: its run is over, it is not up, or these "
                      "are not its keys",
                      engine->at.address + 6, (long long)engine->options.wait_s);
    for (uint32_t i = 0; status == STATUS_OK && engine->known && i < engine->joined.file_count; i++)
        status = fetch_file(engine, i, err);
    return engine->over || join_is_asked(engine) ? STATUS_OK : status;
}

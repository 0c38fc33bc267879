/* What joining engines say to each other and leave on disk, in both directions, and what is
 * refused; the gateway between blocks and parts. */
#include "engine/base/clock.h"
#include "engine/base/digest.h"
#include "engine/gateway.h"
#include "engine/join_note.h"
#include "engine/join_words.h"
#include "engine/post.h"
#include "engine/rendezvous.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct error err;

static struct span span_at(const unsigned char *bytes, size_t size)
{
    return (struct span){(const char *)bytes, size};
}

Test(join, a_join_comes_back_as_it_went)
{
    struct join back, join = {.version = 3,
                              .ranks = 8,
                              .graph_hash = 77,
                              .build = "1.2.3",
                              .name = "node7"};
    unsigned char bytes[JOIN_BYTES_MAX + 1];
    size_t size = join_encode(&join, bytes);
    cr_assert(join_decode(span_at(bytes, size), &back, &err) == STATUS_OK, "%s", err.text);
    cr_assert(back.version == 3 && back.ranks == 8 && back.graph_hash == 77, "numbers");
    cr_assert(strcmp(back.build, "1.2.3") == 0 && strcmp(back.name, "node7") == 0, "texts");
    for (size_t cut = 0; cut < size; cut++)
        cr_assert(join_decode(span_at(bytes, cut), &back, NULL) == STATUS_INVALID, "cut at %zu",
                  cut);
    cr_assert(join_decode(span_at(bytes, size + 1), &back, NULL) == STATUS_INVALID, "too long");
    bytes[size - 1] = '\n';
    cr_assert(join_decode(span_at(bytes, size), &back, NULL) == STATUS_INVALID, "control letters");
}

static void write_joined(const char *name, enum status expected)
{
    static struct joined joined, back;
    static unsigned char bytes[JOINED_BYTES_MAX];
    joined = (struct joined){
        .job = 5, .graph_hash = 6, .hub_port = 7000, .reach = 128, .file_count = 2};
    strcpy(joined.run_dir, "/data/run");
    joined.file[0] = (struct join_file){10, 11, "graph.yaml"};
    joined.file[1] = (struct join_file){.bytes = 20, .hash = 21};
    snprintf(joined.file[1].name, sizeof joined.file[1].name, "%s", name);
    size_t size = joined_encode(&joined, bytes);
    enum status status = joined_decode(span_at(bytes, size), &back, NULL);
    cr_assert(status == expected, "%s: %s", name, status_name(status));
    if (status != STATUS_OK)
        return;
    cr_assert(memcmp(&joined, &back, sizeof back) == 0, "the same");
    for (size_t cut = 0; cut < size; cut++)
        cr_assert(joined_decode(span_at(bytes, cut), &back, NULL) == STATUS_INVALID, "cut at %zu",
                  cut);
}

Test(join, files_of_a_run_stay_in_its_folder)
{
    write_joined("lists/scan.list", STATUS_OK);
    static const char *const bad[] = {"lists/../../etc/x", "/etc/passwd", "lists/.x",  "lists/",
                                      "other.yaml",        "..",          "lists/a/b", ""};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        write_joined(bad[i], STATUS_INVALID);
}

Test(join, rows_of_a_heartbeat)
{
    struct join_row rows[2] = {{3, 4, 5, 6, 7, 8, 9, 10, 11},
                               {127, 1, 0, 0, 2, 0, 0, 0, UINT64_MAX}};
    static struct join_row back[GRAPH_STAGES_MAX];
    static unsigned char bytes[JOIN_ROWS_BYTES_MAX];
    int count;
    size_t size = join_rows_encode(rows, 2, bytes);
    cr_assert(join_rows_decode(span_at(bytes, size), back, &count, &err) == STATUS_OK && count == 2,
              "%s", err.text);
    cr_assert(memcmp(rows, back, sizeof rows) == 0, "the same");
    cr_assert(join_rows_decode(span_at(bytes, size - 1), back, &count, NULL) == STATUS_INVALID,
              "half a row");
    bytes[0] = 200;
    cr_assert(join_rows_decode(span_at(bytes, size), back, &count, NULL) == STATUS_INVALID,
              "a stage that no graph has");
}

Test(join, notes_name_what_the_graph_has)
{
    static const struct graph graph = {.stage_count = 4, .line_count = 2};
    static const char *const wrong[] = {
        "",
        "quick 1 2 3",
        "slow 4 0 1 1 7 60 key",
        "slow 1 0 2 1 7 60 key",
        "slow 1 0 -1 1 7 60 key",
        "slow 1 0 1 1 7 60",
        "slow 1 0 1 1 7 60 a key",
        "slow 1 0 1 1 18446744073709551616 60 key",
        "slow 1 0 1 1 7 60 k\x1b[2J",
        "process 1 0 7 1",
        "process 1 0 7 1 2 3",
        "process 1 99999999 7 1 2",
    };
    struct join_note slow = {.kind = JOIN_NOTE_SLOW,
                             .stage = 3,
                             .index = 5,
                             .line = 1,
                             .attempt = 2,
                             .seq = 123456789012,
                             .ms = 61,
                             .key = "1abc_A"};
    struct join_note process = {.kind = JOIN_NOTE_PROCESS,
                                .stage = 0,
                                .index = 1,
                                .inc = UINT64_MAX,
                                .starts = 3,
                                .pid = 42};
    struct join_note back;
    char row[JOIN_NOTE_MAX];
    size_t size = join_note_write(&slow, row);
    cr_assert(row[size - 1] == '\n', "a row");
    cr_assert(join_note_read((struct span){row, size - 1}, &graph, &back), "%s", row);
    cr_assert(memcmp(&back, &slow, sizeof back) == 0, "%s", row);
    size = join_note_write(&process, row);
    cr_assert(join_note_read((struct span){row, size - 1}, &graph, &back), "%s", row);
    cr_assert(memcmp(&back, &process, sizeof back) == 0, "%s", row);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        cr_assert(!join_note_read(span_of(wrong[i]), &graph, &back), "\"%s\"", wrong[i]);
}

Test(join, a_report_of_a_rank_comes_back_as_it_went)
{
    struct rank_report report = {.state = RANK_FAILED, .starts = 3}, back;
    static unsigned char bytes[RANK_REPORT_BYTES_MAX + 1];
    for (int i = 0; i < METRIC_COUNT; i++)
        report.counter[i] = UINT64_MAX - (uint64_t)i;
    for (int i = 0; i < GAUGE_COUNT; i++)
        report.gauge[i] = -i;
    strcpy(report.text, "killed by signal 11 in tally.3 on node7");
    size_t size = rank_report_encode(&report, bytes);
    cr_assert(rank_report_decode(span_at(bytes, size), &back, &err) == STATUS_OK, "%s", err.text);
    cr_assert(back.state == RANK_FAILED && back.starts == 3, "state");
    cr_assert(memcmp(report.counter, back.counter, sizeof back.counter) == 0 &&
                  memcmp(report.gauge, back.gauge, sizeof back.gauge) == 0,
              "numbers");
    cr_assert(strcmp(report.text, back.text) == 0, "text");
    for (size_t cut = 0; cut < size; cut++)
        cr_assert(rank_report_decode(span_at(bytes, cut), &back, NULL) == STATUS_INVALID,
                  "cut at %zu", cut);
    cr_assert(rank_report_decode(span_at(bytes, size + 1), &back, NULL) == STATUS_INVALID,
              "too long");
    bytes[0] = RANK_STATES;
    cr_assert(rank_report_decode(span_at(bytes, size), &back, NULL) == STATUS_INVALID, "a state");
}

Test(join, the_files_that_tell_where)
{
    char folder[] = "/tmp/foldmill-join-test-XXXXXX", path[PATH_MAX];
    cr_assert(mkdtemp(folder), "no folder");
    struct rendezvous at = {.address = "tcp://node:7000",
                            .run = "/data/a run",
                            .keys = "/data/a run/keys",
                            .fingerprint = "rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7",
                            .job = 0xfedcba9876543210},
                      back;
    snprintf(path, sizeof path, "%s/rendezvous", folder);
    cr_assert(rendezvous_read(folder, &back, &err) == STATUS_MISS, "not there yet");
    cr_assert(rendezvous_write(&at, path, &err) == STATUS_OK, "%s", err.text);
    for (int i = 0; i < 2; i++) {
        cr_assert(rendezvous_read(i ? path : folder, &back, &err) == STATUS_OK, "%s", err.text);
        cr_assert(strcmp(back.address, at.address) == 0 && strcmp(back.run, at.run) == 0, "texts");
        cr_assert(strcmp(back.keys, at.keys) == 0 && back.job == at.job, "keys, job");
        cr_assert(strcmp(back.fingerprint, at.fingerprint) == 0, "fingerprint");
        cr_assert(!back.over, "it runs");
    }
    at.over = true;
    cr_assert(rendezvous_write(&at, path, &err) == STATUS_OK &&
                  rendezvous_read(path, &back, &err) == STATUS_OK && back.over,
              "over: %s", err.text);
    cr_assert(rendezvous_parse(span_of("some other file\n"), &back, &err) == STATUS_INVALID,
              "another file");
    cr_assert(rendezvous_parse(span_of("foldmill 1\naddress ipc:///x\n"), &back, &err) ==
                  STATUS_INVALID,
              "no address of the network");

    struct network net = {.kind = NETWORK_JOINED,
                          .hub = "tcp://[::1]:7001",
                          .keys = "/k",
                          .reach = 300,
                          .job = 1,
                          .node = UINT64_MAX,
                          .name = "second"},
                   again;
    cr_assert(network_read(folder, &again, &err) == STATUS_OK && again.kind == NETWORK_NONE,
              "one node");
    cr_assert(network_write(&net, folder, &err) == STATUS_OK, "%s", err.text);
    cr_assert(network_read(folder, &again, &err) == STATUS_OK, "%s", err.text);
    cr_assert(again.kind == NETWORK_JOINED && again.job == 1 && again.node == UINT64_MAX,
              "numbers");
    cr_assert(strcmp(again.hub, net.hub) == 0 && strcmp(again.keys, net.keys) == 0, "texts");
    cr_assert(network_parse(span_of("kind queen\n"), &again, &err) == STATUS_INVALID, "a kind");
    cr_assert(network_parse(span_of("node 12\n"), &again, &err) == STATUS_INVALID, "a number");
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", folder);
    cr_assert(system(command) == 0, "cleaning up");
}

/* ---- the gateway ---- */

static struct lifeline life;
static struct link *hub, *far;
static struct gateway *gateway;
static char socket_path[64];

static void gateway_begin(void)
{
    struct shm_fds fds;
    char address[128];
    struct link_options options = {.queue_max = 256};
    snprintf(socket_path, sizeof socket_path, "/tmp/foldmill-gateway-%d", (int)getpid());
    snprintf(address, sizeof address, "ipc://%s", socket_path);
    cr_assert(shm_make(&fds, GATEWAY_POOL_BYTES, &err) == STATUS_OK, "%s", err.text);
    life = (struct lifeline){.socket = -1, .inc = 500};
    cr_assert(shm_pool_open(&life.pool, fds, &err) == STATUS_OK, "%s", err.text);
    struct shm_view *view;
    cr_assert(shm_view_open(&view, fds, &err) == STATUS_OK, "%s", err.text);
    life.views[0].inc = 500; /* as the agent would have given it */
    life.views[0].view = view;
    cr_assert(link_context_open(&err) == STATUS_OK, "%s", err.text);
    cr_assert(link_listen(&hub, address, options, &err) == STATUS_OK, "%s", err.text);
    cr_assert(link_connect(&far, address, options, &err) == STATUS_OK, "%s", err.text);
    gateway = gateway_open(&life, hub);
}

static void gateway_end(void)
{
    gateway_close(gateway);
    link_close(far, 0);
    link_close(hub, 0);
    link_context_close();
    unlink(socket_path);
}

/* The next message that the dispatcher would be given; type NONE: none came. */
static struct message next(void)
{
    static struct link_message raw;
    static unsigned char payload[MESSAGE_PAYLOAD_MAX];
    struct message message = {.type = MESSAGE_NONE};
    for (int64_t end = clock_ms() + 500; clock_ms() < end; usleep(1000))
        if (gateway_receive(gateway, clock_ms(), &raw, &message) == STATUS_OK) {
            memcpy(payload, message.payload, message.size);
            message.payload = payload;
            link_message_close(&raw);
            return message;
        }
    return (struct message){.type = MESSAGE_NONE};
}

static void say(struct message message)
{
    message.peer = LINK_HUB;
    for (int64_t end = clock_ms() + 2000; post_send(far, &message) != STATUS_OK; usleep(1000))
        cr_assert(clock_ms() < end, "it goes out");
}

static void say_hello(uint64_t inc, uint64_t node)
{
    struct hello hello = {.role = PEER_WORKER, .version = MESSAGE_VERSION, .node = node};
    unsigned char bytes[HELLO_BYTES_MAX];
    uint32_t size = (uint32_t)hello_encode(&hello, bytes);
    say((struct message){.type = MESSAGE_HELLO, .inc = inc, .payload = bytes, .size = size});
}

enum { BIG = 700000 };

Test(join, payloads_come_in_parts_into_blocks_and_go_out_again)
{
    gateway_begin();
    static unsigned char big[BIG];
    for (int i = 0; i < BIG; i++)
        big[i] = (unsigned char)(i * 7 + i / 255);
    say_hello(9, 77);
    struct message hello = next();
    cr_assert(hello.type == MESSAGE_HELLO && gateway_count(gateway).workers == 1, "it is known");

    struct outgoing *out = outgoing_open((size_t)1 << 24);
    struct message result = {.type = MESSAGE_OUT, .inc = 9, .seq = 4, .gen = 1, .attempt = 1};
    cr_assert(outgoing_add(out, &result, (struct parcel_source){big, BIG, NULL, NULL},
                           clock_ms()) == STATUS_OK,
              "queued");
    struct parcel_way way = post_way(far);
    outgoing_send(out, &way, clock_ms());
    struct message whole = next();
    cr_assert(whole.type == MESSAGE_OUT && whole.flags == MESSAGE_BLOCK && whole.seq == 4, "whole");
    struct shm_descriptor at = shm_descriptor_decode(whole.payload);
    cr_assert(at.inc == 500 && at.bytes == BIG && at.digest == digest_bytes(big, BIG), "a block");
    cr_assert(gateway_count(gateway).in == 1, "counted");

    /* The same block as work for that worker. */
    struct message work = whole;
    work.type = MESSAGE_WORK;
    work.peer = hello.peer;
    cr_assert(gateway_send(gateway, clock_ms(), &work), "it is sent");
    struct parcels *in = parcels_open((size_t)1 << 24, NULL);
    struct parcel got = {0};
    for (int64_t end = clock_ms() + 2000; !got.block.data && clock_ms() < end; usleep(1000)) {
        struct link_message raw;
        struct message message;
        uint64_t bad = 0;
        gateway_turn(gateway, clock_ms());
        while (!got.block.data &&
               post_receive_parcel(far, in, clock_ms(), &raw, &message, &got, &bad) == STATUS_OK)
            link_message_close(&raw);
    }
    cr_assert(got.block.data && got.block.bytes == BIG, "it came");
    cr_assert(got.message.type == MESSAGE_WORK && got.message.flags == 0, "as bytes");
    cr_assert(memcmp(got.block.data, big, BIG) == 0, "the same");
    struct shm_block again;
    cr_assert(shm_pool_take(life.pool, BIG, &again) == STATUS_OK && again.offset == at.offset,
              "its block came back");
    parcel_free(in, &got);
    parcels_close(in);
    outgoing_close(out);
    gateway_end();
}

Test(join, from_elsewhere_nobody_names_memory_of_this_node)
{
    gateway_begin();
    unsigned char descriptor[SHM_DESCRIPTOR_BYTES] = {0};
    say_hello(9, 77);
    cr_assert(next().type == MESSAGE_HELLO, "known");
    say((struct message){.type = MESSAGE_OUT,
                         .inc = 9,
                         .flags = MESSAGE_BLOCK,
                         .payload = descriptor,
                         .size = sizeof descriptor});
    say_hello(9, 0); /* now it says that it is one of ours */
    say((struct message){.type = MESSAGE_HB, .inc = 9});
    cr_assert(next().type == MESSAGE_HB, "only that went through");
    cr_assert(gateway_count(gateway).malformed == 2, "two were not");
    say((struct message){.type = MESSAGE_BYE, .inc = 9});
    cr_assert(next().type == MESSAGE_BYE && gateway_count(gateway).workers == 0, "gone");
    gateway_end();
}

Test(join, another_version_is_refused_with_both)
{
    gateway_begin();
    unsigned char header[MESSAGE_HEADER_BYTES];
    struct message join = {.type = MESSAGE_JOIN, .inc = 9};
    struct link_message raw;
    message_encode_as(&join, 99, header);
    for (int64_t end = clock_ms() + 2000;
         link_send(far, LINK_HUB, header, sizeof header, "", 0) != STATUS_OK; usleep(1000))
        cr_assert(clock_ms() < end, "it goes out");
    cr_assert(next().type == MESSAGE_NONE, "nobody acts on it");
    cr_assert(link_receive(far, &raw) == STATUS_OK, "it is answered");
    char text[300];
    snprintf(text, sizeof text, "%.*s", (int)raw.payload_size, (const char *)raw.payload);
    cr_assert(strstr(text, "you speak 99") && strstr(text, "protocol version 2"), "both: %s", text);
    link_message_close(&raw);
    gateway_end();
}

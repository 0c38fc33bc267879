/* Metrics over HTTP: the format, the names that are documented, and who is refused. */
#include "engine/http.h"

#include "engine/control.h"
#include "engine/snapshot.h"
#include "tests/engine/process.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <sys/socket.h>

static const char graph_text[] = "graph: watched\n"
                                 "seed: 11\n"
                                 "stages:\n"
                                 "  count:\n"
                                 "    with: {count: 300}\n"
                                 "  echo:\n"
                                 "    in: count\n"
                                 "    workers: 2\n"
                                 "    memory: 512MiB\n"
                                 "    with: {bytes: 6000, sleep_us: 2000}\n"
                                 "  store:\n"
                                 "    in: echo\n"
                                 "    with: {path: \"{run}/store\"}\n"
                                 "  jitter:\n"
                                 "    in: store\n"
                                 "    memory: 512MiB\n"
                                 "  bundle:\n"
                                 "    in: jitter\n"
                                 "    with: {size: 4}\n"
                                 "  tally:\n"
                                 "    in: bundle\n"
                                 "    with: {epochs: 200, recycles: 1, checkpoint_every: 20}\n";

enum { NAMES_MAX = 256, SERIES_MAX = 1024 };

static struct arena arena;
static char answer[1 << 20];

/* ---- a parser of the text format, strict ---- */

struct family {
    char name[128];
    bool counter;
    int samples;
};

static struct family families[NAMES_MAX];
static int family_count;
static char series[SERIES_MAX][512];
static int series_count;

static size_t name_size(const char *text, bool colon)
{
    size_t size = 0;
    while (isalpha((unsigned char)text[size]) || text[size] == '_' ||
           (colon && text[size] == ':') || (size && isdigit((unsigned char)text[size])))
        size++;
    return size;
}

/* {a="b",c="d"}; the end of it. */
static const char *parse_labels(const char *at)
{
    if (*at != '{')
        return at;
    do {
        size_t size = name_size(++at, false);
        cr_assert(size > 0 && at[size] == '=' && at[size + 1] == '"', "a label: %s", at);
        for (at += size + 2; *at != '"'; at++) {
            cr_assert(*at && *at != '\n', "a label's end");
            if (*at == '\\')
                cr_assert(strchr("\\\"n", *++at), "an escape");
        }
        at++;
    } while (*at == ',');
    cr_assert(*at == '}', "labels end with }: %s", at);
    return at + 1;
}

static void parse_sample(const char *line)
{
    struct family *family = &families[family_count - 1];
    size_t size = name_size(line, true);
    cr_assert(family_count && size == strlen(family->name) &&
                  strncmp(line, family->name, size) == 0,
              "a sample of another family: %s", line);
    const char *end = parse_labels(line + size);
    double value;
    cr_assert(*end == ' ' && text_double(span_of(end + 1), &value), "a value: %s", line);
    cr_assert(!family->counter || value >= 0, "a counter below 0: %s", line);
    cr_assert(series_count < SERIES_MAX, "too many series");
    snprintf(series[series_count], sizeof *series, "%.*s", (int)(end - line), line);
    for (int i = 0; i < series_count; i++)
        cr_assert(strcmp(series[i], series[series_count]) != 0, "twice: %s", series[i]);
    series_count++;
    family->samples++;
}

static void parse(const char *text)
{
    struct span rest = span_of(text), span;
    char line[2048], name[128], type[16];
    family_count = series_count = 0;
    cr_assert(rest.size && text[rest.size - 1] == '\n', "the last line ends");
    while (span_line(&rest, &span)) {
        snprintf(line, sizeof line, "%.*s", (int)span.size, span.data);
        if (sscanf(line, "# HELP %127s %15s", name, type) == 2) {
            for (int i = 0; i < family_count; i++)
                cr_assert(strcmp(families[i].name, name) != 0, "two families %s", name);
            cr_assert(family_count < NAMES_MAX, "too many families");
            snprintf(families[family_count++].name, sizeof name, "%s", name);
        } else if (sscanf(line, "# TYPE %127s %15s", name, type) == 2) {
            struct family *family = &families[family_count - 1];
            family->counter = strcmp(type, "counter") == 0;
            size_t size = strlen(name);
            bool total = size > 6 && strcmp(name + size - 6, "_total") == 0;
            cr_assert(strcmp(family->name, name) == 0 && family->samples == 0, "TYPE %s", name);
            cr_assert(family->counter || strcmp(type, "gauge") == 0, "type %s", type);
            cr_assert(total == family->counter, "%s is a %s", name, type);
        } else {
            parse_sample(line);
        }
    }
}

static double value_of(const char *text, const char *sample)
{
    char line[512];
    double value = -1;
    snprintf(line, sizeof line, "\n%s ", sample);
    const char *at = strstr(text, line);
    cr_assert(at, "%s is not there:\n%s", sample, text);
    struct span rest = span_of(at + strlen(line)), span;
    span_line(&rest, &span);
    cr_assert(text_double(span, &value), "a number");
    return value;
}

/* ---- requests ---- */

/* Sends bytes, gives the status code; the whole answer is in `answer`. */
static int request(int64_t port, const char *bytes)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), code = 0;
    cr_assert(connect(fd, (const struct sockaddr *)&address, sizeof address) == 0, "connect");
    cr_assert(send(fd, bytes, strlen(bytes), MSG_NOSIGNAL) == (ssize_t)strlen(bytes), "send");
    size_t size = 0;
    for (ssize_t got; (got = recv(fd, answer + size, sizeof answer - 1 - size, 0)) > 0;)
        size += (size_t)got;
    answer[size] = 0;
    close(fd);
    cr_assert(sscanf(answer, "HTTP/1.%*d %d", &code) == 1, "no answer: %s", answer);
    return code;
}

static const char *get_metrics(int64_t port)
{
    cr_assert(
        request(port, "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n") ==
            200,
        "%s", answer);
    const char *body = strstr(answer, "\r\n\r\n");
    cr_assert(body && strstr(answer, "Content-Type: text/plain; version=0.0.4"), "%s", answer);
    return body + 4;
}

static int64_t port_of(const char *run)
{
    static struct snapshot snapshot;
    struct span text;
    struct error err = {0};
    const char *word = "status";
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s", process_path(run));
    enum status status = STATUS_MISS;
    for (int64_t end = clock_ms() + 20000; status == STATUS_MISS && clock_ms() < end; usleep(20000))
        status = control_ask(path, &word, 1, &arena, &text, &err);
    cr_assert(status == STATUS_OK && snapshot_read(text, &snapshot, &err) == STATUS_OK, "%s",
              err.text);
    return snapshot.run.metrics_port;
}

static void refuse_strangers(int64_t port)
{
    static const struct {
        int code;
        const char *bytes;
    } cases[] = {
        {403, "GET /metrics HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n"},
        {403,
         "GET /metrics HTTP/1.1\r\nHost: localhost.evil.example:80\r\nConnection: close\r\n\r\n"},
        {403, "GET /metrics HTTP/1.0\r\n\r\n"},
        {404, "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"},
        {404, "GET /metrics/../x HTTP/1.1\r\nHost: 127.0.0.1:9\r\nConnection: close\r\n\r\n"},
        {405, "POST /metrics HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n"
              "Connection: close\r\n\r\n"},
        {405, "DELETE /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"},
        {200, "HEAD /metrics HTTP/1.1\r\nHost: [::1]:1\r\nConnection: close\r\n\r\n"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int code = request(port, cases[i].bytes);
        cr_assert(code == cases[i].code, "%d for %s", code, cases[i].bytes);
        cr_assert(strstr(answer, "X-Content-Type-Options: nosniff"), "%s", answer);
    }
    cr_assert(!strstr(answer, "foldmill_"), "HEAD has no body");
}

/* ---- who listens ---- */

/* Adds up the TCP sockets of the process that listen: all, and those that others can reach. */
static void count_listeners(pid_t pid, int *all, int *reachable)
{
    static const char *const tables[] = {"tcp", "tcp6"};
    char path[64], link[64], line[512];
    for (int table = 0; table < 2; table++) {
        snprintf(path, sizeof path, "/proc/%d/net/%s", (int)pid, tables[table]);
        FILE *file = fopen(path, "re");
        while (file && fgets(line, sizeof line, file)) {
            unsigned long inode;
            char address[64];
            unsigned state;
            if (sscanf(line, " %*d: %63[^:]:%*x %*s %x %*s %*s %*s %*s %*s %lu", address, &state,
                       &inode) != 3 ||
                state != 0x0a)
                continue;
            for (int fd = 0; fd < 256; fd++) {
                char wanted[32];
                snprintf(path, sizeof path, "/proc/%d/fd/%d", (int)pid, fd);
                snprintf(wanted, sizeof wanted, "socket:[%lu]", inode);
                ssize_t size = readlink(path, link, sizeof link - 1);
                if (size < 0 || (size_t)size != strlen(wanted) ||
                    strncmp(link, wanted, (size_t)size))
                    continue;
                *all += 1;
                *reachable += strcmp(address, "0100007F") != 0;
            }
        }
        if (file)
            fclose(file);
    }
}

static void check_listeners(pid_t pid, int wanted)
{
    pid_t all[16] = {pid};
    int count = 1 + process_children(pid, "work", all + 1, 15), listen = 0, reachable = 0;
    cr_assert(count >= 5, "%d processes", count);
    for (int i = 0; i < count; i++)
        count_listeners(all[i], &listen, &reachable);
    cr_assert(listen == wanted && reachable == 0, "%d sockets listen, %d of them to others", listen,
              reachable);
}

/* ---- tests ---- */

Test(http, nothing_listens_unless_asked, .timeout = 120)
{
    char path[PATH_MAX];
    process_begin();
    process_graph("g", graph_text);
    snprintf(path, sizeof path, "%s", process_path("a"));
    const char *args[] = {"run", process_path("g"), "--run", path, "--quiet", NULL};
    pid_t pid = process_start(args);
    cr_assert(port_of("a") == 0, "no port");
    check_listeners(pid, 0);
    cr_assert(kill(pid, SIGTERM) == 0 && process_wait(pid, 60) == 0, "drained");
    process_end();
}

Test(http, what_an_engine_says_is_well_formed_and_grows, .timeout = 120)
{
    char path[PATH_MAX], sample[256];
    process_begin();
    process_graph("g", graph_text);
    snprintf(path, sizeof path, "%s", process_path("a"));
    const char *args[] = {"run",     process_path("g"), "--run", path,
                          "--quiet", "--metrics",       "0",     NULL};
    pid_t pid = process_start(args);
    int64_t port = port_of("a");
    cr_assert(port > 0, "a port was chosen");
    char node[64] = "";
    gethostname(node, sizeof node - 1);
    snprintf(sample, sizeof sample,
             "foldmill_sink_wait_seconds_total{node=\"%s\",line=\"tally\","
             "rank=\"0\"}",
             node);
    double before = value_of(get_metrics(port), sample), after = before;
    for (int64_t end = clock_ms() + 20000; after < before + 0.05 && clock_ms() < end;
         usleep(50000)) {
        double now = value_of(get_metrics(port), sample);
        cr_assert(now >= after, "a counter went back: %f, %f", after, now);
        after = now;
    }
    cr_assert(after >= before + 0.05, "the trainer's wait does not grow: %f, %f", before, after);
    const char *text = get_metrics(port);
    parse(text);
    for (int i = 0; i < family_count; i++)
        cr_assert(families[i].samples > 0 || strcmp(families[i].name, "foldmill_report_value") == 0,
                  "%s has no samples", families[i].name);
    snprintf(sample, sizeof sample, "foldmill_stage_workers{node=\"%s\",stage=\"echo\"}", node);
    cr_assert(value_of(text, sample) == 2, "workers");
    snprintf(sample, sizeof sample,
             "foldmill_edge_queue{node=\"%s\",line=\"tally\",from=\"jitter\",to=\"tally\"}", node);
    cr_assert(value_of(text, sample) >= 0, "an edge");
    snprintf(sample, sizeof sample, "foldmill_store_bytes{node=\"%s\",store=\"store\"}", node);
    cr_assert(value_of(text, sample) > 4096, "a store");
    snprintf(sample, sizeof sample,
             "foldmill_sink_utilisation{node=\"%s\",line=\"store\",rank=\"0\"}", node);
    cr_assert(value_of(text, sample) <= 1, "a share");
    refuse_strangers(port);
    check_listeners(pid, 1);
    snprintf(sample, sizeof sample, "%lld", (long long)port);
    const char *again[] = {"run",     process_path("g"), "--run", process_path("b"),
                           "--quiet", "--metrics",       sample,  NULL};
    cr_assert(process_run(again, 60) == 1, "the port is taken");
    struct span out = process_read("out");
    cr_assert(strstr(out.data, "cannot listen on port"), "%s", out.data);
    cr_assert(kill(pid, SIGTERM) == 0 && process_wait(pid, 60) == 0, "drained");
    process_end();
}

/* True when the words of the page hold the name in backquotes. */
static bool is_documented(const char *page, const char *name)
{
    char quoted[160];
    snprintf(quoted, sizeof quoted, "| `%.127s` |", name);
    return strstr(page, quoted);
}

Test(http, every_name_is_documented_and_every_documented_name_is_there)
{
    static struct snapshot snapshot;
    struct span page;
    struct error err;
    char *text = NULL;
    size_t size = 0;
    cr_assert(file_read(FOLDMILL_SOURCE "/engine/METRICS.md", 1 << 20, &arena, &page, &err) ==
                  STATUS_OK,
              "%s", err.text);
    FILE *memory = open_memstream(&text, &size);
    snapshot_write_metrics(&snapshot, memory);
    fclose(memory);
    parse(text);
    cr_assert(family_count > 50, "%d names", family_count);
    for (int i = 0; i < family_count; i++)
        cr_assert(is_documented(page.data, families[i].name), "%s is not documented",
                  families[i].name);
    int documented = 0;
    for (const char *at = page.data; (at = strstr(at, "| `foldmill_")) != NULL; at++) {
        char name[128] = "";
        bool there = false;
        sscanf(at, "| `%127[a-z_]`", name);
        for (int i = 0; i < family_count; i++)
            there = there || strcmp(families[i].name, name) == 0;
        cr_assert(there, "%s is documented, and no metric", name);
        documented++;
    }
    cr_assert(documented == family_count, "%d documented, %d there", documented, family_count);
    free(text);
}

Test(http, alerts_name_metrics_that_there_are)
{
    static const char *const files[] = {"prometheus.yml", "prometheus-rules.yml"};
    struct span page, text;
    struct error err;
    int names = 0;
    cr_assert(file_read(FOLDMILL_SOURCE "/engine/METRICS.md", 1 << 20, &arena, &page, &err) ==
                  STATUS_OK,
              "%s", err.text);
    for (int i = 0; i < 2; i++) {
        char path[PATH_MAX];
        snprintf(path, sizeof path, "%s/deploy/%s", FOLDMILL_SOURCE, files[i]);
        cr_assert(file_read(path, 1 << 20, &arena, &text, &err) == STATUS_OK, "%s", err.text);
        for (const char *at = text.data; (at = strstr(at, "foldmill_")) != NULL; at++) {
            char name[128];
            snprintf(name, sizeof name, "%.*s", (int)name_size(at, false), at);
            cr_assert(is_documented(page.data, name), "%s: no metric %s", files[i], name);
            names++;
        }
    }
    cr_assert(names >= 8, "%d names", names);
}

Test(http, labels_from_outside_are_escaped)
{
    static struct snapshot snapshot;
    char *text = NULL;
    size_t size = 0;
    snapshot.node_count = 1;
    strcpy(snapshot.nodes[0].node, "a\"b\\c\nd\xff");
    FILE *memory = open_memstream(&text, &size);
    snapshot_write_metrics(&snapshot, memory);
    fclose(memory);
    parse(text);
    cr_assert(strstr(text, "{node=\"a\\\"b\\\\c?d?\"} 0\n"), "%s", text);
    free(text);
}

Test(http, which_hosts_are_loopback)
{
    static const char *const good[] = {"localhost",   "LOCALHOST:9090", "127.0.0.1",
                                       "127.0.0.1:1", "[::1]",          "[::1]:65535"};
    static const char *const bad[] = {NULL,
                                      "",
                                      "localhost:",
                                      "localhost:80x",
                                      "localhostx",
                                      "localhost.",
                                      "127.0.0.1.nip.io",
                                      "127.0.0.2",
                                      "localhost:123456",
                                      "::1",
                                      "a@localhost"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        cr_assert(http_is_loopback(good[i]), "%s", good[i]);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        cr_assert(!http_is_loopback(bad[i]), "%s", bad[i] ? bad[i] : "no Host");
}

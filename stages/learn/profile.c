/* Runs training steps under measurement and prints where time, operations and bytes go; see
 * profile.h. All figures are of one step, the mean of those that were run. */
#include "stages/learn/profile.h"

#include "engine/base/clock.h"
#include "kernels/net/made.h"
#include "kernels/profile.h"

#include <string.h>

enum { LABEL_BYTES = 96 };

struct measured {
    const struct profile *profile;
    const struct stage_profile *options;
    double seconds;        /* of all steps */
};

static enum status step_run(struct net *net, const struct net_input *input,
                            const struct adam_config *adam, int64_t step, struct error *err)
{
    struct net_loss loss;
    net_gradient_clear(net);
    enum status status = net_forward(net, input, &loss, err);
    if (status != STATUS_OK)
        return status;
    net_backward(net);
    net_update(net, adam, 1, step);
    return STATUS_OK;
}

static void label_print(FILE *out, const struct measured *m, const char *label, bool first)
{
    if (m->options->json)
        fprintf(out, "%s\n    {\"name\": \"%s\"", first ? "" : ",", label);
    else
        fprintf(out, "%-40s", label);
}

/* A row: figures of one step. */
static void sums_print(FILE *out, const struct measured *m, const struct profile_sum sum[2])
{
    struct profile_sum both = sum[0];
    double steps = (double)m->options->steps;
    profile_add(&both, &sum[1]);
    double seconds = both.seconds > 0 ? both.seconds : 1e-12;
    const struct {
        const char *name;
        double value;
        int width, digits;
    } figure[] = {{"calls", (double)both.calls / steps, 7, 0},
                  {"forward_ms", 1e3 * sum[0].seconds / steps, 10, 2},
                  {"backward_ms", 1e3 * sum[1].seconds / steps, 10, 2},
                  {"share", 100 * both.seconds / m->seconds, 7, 1},
                  {"forward_gflop", 1e-9 * sum[0].flops / steps, 9, 2},
                  {"backward_gflop", 1e-9 * sum[1].flops / steps, 9, 2},
                  {"gb", 1e-9 * both.bytes / steps, 8, 3},
                  {"gflop_per_s", 1e-9 * both.flops / seconds, 8, 1},
                  {"gb_per_s", 1e-9 * both.bytes / seconds, 7, 1},
                  {"roofline", 100 * both.floor / seconds, 7, 1}};
    for (size_t i = 0; i < sizeof figure / sizeof *figure; i++) {
        if (m->options->json)
            fprintf(out, ", \"%s\": %.9g", figure[i].name, figure[i].value);
        else
            fprintf(out, " %*.*f", figure[i].width, figure[i].digits, figure[i].value);
    }
    fputs(m->options->json ? "}" : "\n", out);
}

static void head_print(FILE *out, const struct measured *m, const char *what)
{
    if (m->options->json) {
        fprintf(out, ",\n  \"%ss\": [", what);
        return;
    }
    fprintf(out, "\n%-40s %7s %10s %10s %7s %9s %9s %8s %8s %7s %7s\n", what, "calls", "fwd ms",
            "bwd ms", "% time", "fwd GFLOP", "bwd GFLOP", "GB", "GFLOP/s", "GB/s", "% roof");
}

static void modules_print(FILE *out, struct measured *m)
{
    struct profile_sum all[2] = {0}, rest[2] = {0};
    head_print(out, m, "module");
    for (int i = 0; i < m->profile->count; i++) {
        const struct profile_scope *row = &m->profile->row[i];
        struct profile_sum sum[2] = {0};
        char label[LABEL_BYTES];
        for (int op = 0; op < OP_COUNT; op++)
            for (int back = 0; back < 2; back++)
                profile_add(&sum[back], &row->op[op][back]);
        for (int back = 0; back < 2; back++)
            profile_add(&all[back], &sum[back]);
        snprintf(label, sizeof label, "%s%s%s", row->scope.part ? row->scope.part : "network",
                 row->scope.module ? ": " : "", row->scope.module ? row->scope.module : "");
        label_print(out, m, label, i == 0);
        sums_print(out, m, sum);
    }
    rest[0].seconds = m->seconds - all[0].seconds - all[1].seconds;
    label_print(out, m, "other (inputs, losses read, host)", m->profile->count == 0);
    sums_print(out, m, rest);
    if (m->options->json)
        fputs("\n  ]", out);
    all[0].seconds += rest[0].seconds;
    if (!m->options->json) {
        label_print(out, m, "step", false);
        sums_print(out, m, all);
    }
}

static void ops_print(FILE *out, struct measured *m)
{
    bool first = true;
    head_print(out, m, "op");
    for (int op = 0; op < OP_COUNT; op++) {
        struct profile_sum sum[2] = {0};
        for (int i = 0; i < m->profile->count; i++)
            for (int back = 0; back < 2; back++)
                profile_add(&sum[back], &m->profile->row[i].op[op][back]);
        if (sum[0].calls + sum[1].calls == 0)
            continue;
        label_print(out, m, op_describe((enum op)op)->name, first);
        sums_print(out, m, sum);
        first = false;
    }
    if (m->options->json)
        fputs("\n  ]", out);
}

static void report(const struct net *net, const struct backend *backend, struct measured *m)
{
    FILE *out = m->options->out;
    const struct net_config *c = net_config(net);
    const struct profile_peaks *peaks = &m->profile->peaks;
    double step_ms = 1e3 * m->seconds / (double)m->options->steps;
    if (m->options->json)
        fprintf(out,
                "{\n  \"device\": \"%s\", \"peak_gflop_per_s\": %.9g, \"peak_gb_per_s\": %.9g,\n"
                "  \"length\": %lld, \"clusters\": %lld, \"extra\": %lld, \"templates\": %lld, "
                "\"blocks\": %lld, \"steps\": %lld, \"passes\": %d, \"step_ms\": %.9g",
                backend->device, 1e-9 * peaks->flops, 1e-9 * peaks->bytes, (long long)c->length,
                (long long)c->clusters, (long long)c->extra, (long long)c->templates,
                (long long)c->blocks, (long long)m->options->steps, m->options->passes, step_ms);
    else
        fprintf(out,
                "%s: products %.1f GFLOP/s, memory %.1f GB/s, measured just now\n"
                "%lld residues, %lld MSA rows, %lld extra rows, %lld templates; %lld blocks; a "
                "step of %d pass%s takes %.1f ms (mean of %lld)\n",
                backend->device, 1e-9 * peaks->flops, 1e-9 * peaks->bytes, (long long)c->length,
                (long long)(c->clusters + c->templates), (long long)c->extra,
                (long long)c->templates, (long long)c->blocks, m->options->passes,
                m->options->passes == 1 ? "" : "es", step_ms, (long long)m->options->steps);
    modules_print(out, m);
    ops_print(out, m);
    fputs(m->options->json ? "\n}\n" : "", out);
}

static enum status steps_run(const struct net_config *config, struct backend *backend,
                             const struct adam_config *adam, const struct stage_profile *options,
                             struct error *err)
{
    struct net *net;
    struct arena arena;
    enum status status = net_open(config, backend, &net, err);
    if (status != STATUS_OK)
        return status;
    arena_open(&arena, 0);
    struct net_input input = net_input_made(config, options->passes, &arena);
    status = step_run(net, &input, adam, 1, err); /* caches and threads are warm after it */
    struct profile *profile = profile_open(backend, profile_measure(backend));
    int64_t begin = clock_ns();
    for (int64_t i = 0; i < options->steps && status == STATUS_OK; i++)
        status = step_run(net, &input, adam, i + 2, err);
    struct measured m = {.profile = profile,
                         .options = options,
                         .seconds = (double)(clock_ns() - begin) * 1e-9};
    if (status == STATUS_OK)
        report(net, backend, &m);
    profile_close(backend);
    net_close(net);
    arena_close(&arena);
    return status;
}

enum status network_profile(const struct network_settings *settings,
                            const struct adam_config *adam, const struct stage_profile *options,
                            struct error *err)
{
    int64_t fixed = options->size['K' - 'A'];
    struct network_sizes sizes = {.length = options->length ? options->length : fixed,
                                  .clusters = options->size['M' - 'A'],
                                  .extra = options->size['E' - 'A'],
                                  .templates = options->size['T' - 'A']};
    if (sizes.length == 0 || sizes.clusters == 0)
        return error_set(err, STATUS_INVALID,
                         "its line fixes no number of residues and rows; wanted a crop stage "
                         "in it");
    struct net_config config = network_config(settings, &sizes, 0);
    struct backend *backend;
    int64_t threads = options->threads ? options->threads : settings->threads;
    enum status status = options->backend
                             ? network_backend_named(options->backend, threads, &backend, err)
                             : network_backend(settings->backend, threads, 0, &backend, err);
    if (status != STATUS_OK)
        return status;
    if (options->passes > 1 && !config.recycling)
        status = error_set(err, STATUS_INVALID, "the network does not recycle: --recycles is not "
                                                "for it");
    if (status == STATUS_OK)
        status = steps_run(&config, backend, adam, options, err);
    backend->close(backend);
    return status;
}

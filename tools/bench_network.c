/* One Evoformer block of the published sizes on the cpu backend, forward and backward, beside the
 * same block in PyTorch (tools/bench_network.py): first the same numbers for the same weights, then
 * times, the two in turns in one run, and the part of the speed of matrix products, measured in the
 * same run, that the block reaches. A measurement for people, never a test.
 *
 *   bench_network [crop...]     default: 64 128 256 */
#include "engine/base/clock.h"
#include "engine/base/rng.h"
#include "kernels/blas.h"
#include "kernels/net/modules.h"
#include "kernels/profile.h"

#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ROWS = 128, CHECK_LENGTH = 16, CHECK_ROWS = 8, ROUNDS_MAX = 9, PATH_BYTES = 256 };

static const struct block_sizes sizes = {.c_m = 256,
                                         .c_z = 128,
                                         .heads = 8,
                                         .head_dims = 32,
                                         .outer_hidden = 32,
                                         .triangle_hidden = 128,
                                         .pair_heads = 4,
                                         .pair_head_dims = 32,
                                         .transition_factor = 4,
                                         .columns = COLUMNS_FULL};

/* A block with weights, and one size of its inputs. */
struct rig {
    struct backend *backend;
    struct params params;
    struct block block;
    struct tape tape;
    char *weights, *gradients;
    int64_t length, rows;
    struct tape_stream m, z, first_m, first_z;
    struct masks masks;
    struct block_context context;
};

struct peer {
    FILE *to, *from;
    pid_t pid;
};

static char folder[] = "/tmp/bench_network_XXXXXX";

static void block_forward(struct rig *r)
{
    struct tape *t = &r->tape;
    enum tensor_kind real = r->backend->real;
    tape_reset(t, true);
    r->first_m = r->m = tape_stream_open(t, r->rows, r->length, sizes.c_m);
    r->first_z = r->z = tape_stream_open(t, r->length, r->length, sizes.c_z);
    r->masks.msa = tape_constant(t, real, 2, r->rows, r->length, 1, 1);
    r->masks.pair = tape_constant(t, real, 2, r->length, r->length, 1, 1);
    struct tensor mask[2] = {r->masks.msa, r->masks.pair};
    for (int i = 0; i < 2; i++)
        tape_fill(t, (struct op_fill){.y = tensor_flat(mask[i]), .value = 1});
    r->masks.msa_columns = mask_turn(t, r->masks.msa);
    r->masks.pair_columns = mask_turn(t, r->masks.pair);
    r->masks.outer_norm = tape_constant(t, real, 2, r->length, r->length, 1, 1);
    tape_mask_norm(
        t, (struct op_mask_norm){.mask = r->masks.msa, .y = r->masks.outer_norm, .eps = 1e-3});
    r->context = (struct block_context){&r->block, &r->masks};
    block_run(t, &r->context, &r->m, &r->z);
}

static struct tape_size block_plan(struct rig *r)
{
    tape_open_plan(&r->tape, r->backend);
    block_forward(r);
    tape_seed(&r->tape, r->m.now, NULL);
    tape_seed(&r->tape, r->z.now, NULL);
    tape_back(&r->tape);
    struct tape_size size = tape_peak(&r->tape);
    tape_close(&r->tape);
    return size;
}

static void rig_open(struct rig *r, int threads, int64_t length, int64_t rows, const float *weights)
{
    struct error err;
    *r = (struct rig){.backend = cpu_backend_open(threads), .length = length, .rows = rows};
    params_open(&r->params);
    r->block = block_declare(&r->params, "", &sizes, 0);
    struct tape_size size = block_plan(r);
    size_t bytes = (size_t)r->params.size * sizeof(float);
    r->weights = r->backend->alloc(r->backend, bytes);
    r->gradients = r->backend->alloc(r->backend, bytes);
    ASSERT(r->weights && r->gradients);
    memcpy(r->weights, weights, bytes);
    if (tape_open(&r->tape, r->backend, size, r->weights, r->gradients, &err) != STATUS_OK) {
        fprintf(stderr, "%s\n", err.text);
        exit(1);
    }
}

static void rig_close(struct rig *r)
{
    tape_close(&r->tape);
    r->backend->release(r->backend, r->weights);
    r->backend->release(r->backend, r->gradients);
    r->backend->close(r->backend);
    params_close(&r->params);
}

static size_t m_count(const struct rig *r)
{
    return (size_t)(r->rows * r->length * sizes.c_m);
}

static size_t z_count(const struct rig *r)
{
    return (size_t)(r->length * r->length * sizes.c_z);
}

/* One step from x = m, z and their upstream gradients; seconds of forward and backward. outputs:
 * NULL, or takes m and z. */
static void rig_step(struct rig *r, const float *x, double seconds[2], float *outputs)
{
    size_t m = m_count(r), z = z_count(r);
    tape_reset(&r->tape, true);
    struct tape_stream first = tape_stream_open(&r->tape, r->rows, r->length, sizes.c_m);
    memcpy(first.now.data, x, m * sizeof *x);
    first = tape_stream_open(&r->tape, r->length, r->length, sizes.c_z);
    memcpy(first.now.data, x + m, z * sizeof *x);
    int64_t begin = clock_ns();
    block_forward(r); /* takes the same places again */
    int64_t middle = clock_ns();
    if (outputs) { /* backward gives their memory back */
        memcpy(outputs, r->m.now.data, m * sizeof *outputs);
        memcpy(outputs + m, r->z.now.data, z * sizeof *outputs);
    }
    tape_seed(&r->tape, r->m.now, x + m + z);
    tape_seed(&r->tape, r->z.now, x + 2 * m + z);
    tape_back(&r->tape);
    int64_t end = clock_ns();
    seconds[0] = (double)(middle - begin) * 1e-9;
    seconds[1] = (double)(end - middle) * 1e-9;
}

/* A file in the folder of this run. */
static const char *file_path(const char *name)
{
    static char path[PATH_BYTES];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static void file_put(const char *path, const float *x, size_t count)
{
    FILE *file = fopen(path, "wb");
    if (!file || fwrite(x, sizeof *x, count, file) != count || fclose(file) != 0) {
        fprintf(stderr, "%s: cannot be written\n", path);
        exit(1);
    }
}

/* The environment that serves PyTorch best here; see README.md of kernels for OpenBLAS. */
static void peer_environment(int threads)
{
    char text[16];
    snprintf(text, sizeof text, "%d", threads);
    setenv("OMP_NUM_THREADS", text, 1);
    setenv("OPENBLAS_NUM_THREADS", text, 1);
    setenv("OMP_WAIT_POLICY", "PASSIVE", 1);
    setenv("MALLOC_MMAP_MAX_", "0", 1);
    setenv("MALLOC_TRIM_THRESHOLD_", "20000000000", 1);
    setenv("MALLOC_TOP_PAD_", "268435456", 1);
}

static void peer_exec(int threads, int count, int in[2], int out[2])
{
    char word[6][16];
    const int64_t number[6] = {threads, sizes.c_m, sizes.c_z, sizes.heads, sizes.pair_heads, count};
    for (int i = 0; i < 6; i++)
        snprintf(word[i], sizeof word[i], "%lld", (long long)number[i]);
    dup2(in[0], STDIN_FILENO);
    dup2(out[1], STDOUT_FILENO);
    peer_environment(threads);
    execl("/usr/bin/python3", "python3", "tools/bench_network.py", file_path("weights"), word[0],
          word[1], word[2], word[3], word[4], word[5], (char *)NULL);
    _exit(127);
}

static struct peer peer_open(const struct params *params, int threads)
{
    int in[2], out[2];
    ASSERT(pipe2(in, O_CLOEXEC) == 0 && pipe2(out, O_CLOEXEC) == 0);
    struct peer peer = {.pid = fork()};
    ASSERT(peer.pid >= 0);
    if (peer.pid == 0)
        peer_exec(threads, params->count, in, out);
    close(in[0]), close(out[1]);
    peer.to = fdopen(in[1], "w"), peer.from = fdopen(out[0], "r");
    for (int i = 0; i < params->count; i++) {
        const struct parameter *p = &params->item[i];
        fprintf(peer.to, "%s %lld %lld %lld\n", p->name, (long long)p->offset, (long long)p->dim[0],
                (long long)(p->rank > 1 ? p->dim[1] : 0));
    }
    return peer;
}

static void peer_close(struct peer *peer)
{
    fclose(peer->to), fclose(peer->from);
    waitpid(peer->pid, NULL, 0);
}

/* False: PyTorch is not there, or failed. */
static bool peer_step(struct peer *peer, const char *command, const struct rig *r,
                      double seconds[2])
{
    fprintf(peer->to, "%s %lld %lld %s\n", command, (long long)r->length, (long long)r->rows,
            file_path("inputs"));
    fflush(peer->to);
    char line[128];
    return fgets(line, sizeof line, peer->from) &&
           sscanf(line, "%lf %lf", &seconds[0], &seconds[1]) == 2;
}

/* Normal numbers; upstream gradients like them. */
static float *inputs_make(const struct rig *r)
{
    size_t count = 2 * (m_count(r) + z_count(r));
    struct rng rng = rng_open(3, 0, 0, "bench", 0);
    float *x = malloc(count * sizeof *x);
    ASSERT(x);
    for (size_t i = 0; i < count; i++)
        x[i] = rng_normal(&rng);
    file_put(file_path("inputs"), x, count);
    return x;
}

/* rms of the difference over rms. */
static double difference(const float *got, const float *wanted, size_t count)
{
    double error = 0, square = 0;
    for (size_t i = 0; i < count; i++) {
        double d = (double)got[i] - (double)wanted[i];
        error += d * d, square += (double)wanted[i] * (double)wanted[i];
    }
    return sqrt(error / square);
}

/* Outputs and gradients of a small size beside those of the peer; false: there is no peer. */
static bool values_check(const float *weights, struct peer *peer)
{
    struct rig r;
    double seconds[2];
    rig_open(&r, 1, CHECK_LENGTH, CHECK_ROWS, weights);
    float *x = inputs_make(&r);
    size_t m = m_count(&r), z = z_count(&r), count = 2 * (m + z);
    bool there = peer_step(peer, "check", &r, seconds);
    if (there) {
        float *theirs = malloc(count * sizeof *theirs), *outputs = malloc(count * sizeof *outputs);
        FILE *file = fopen(file_path("inputs"), "rb");
        ASSERT(theirs && outputs && file && fread(theirs, sizeof *theirs, count, file) == count);
        fclose(file);
        rig_step(&r, x, seconds, outputs);
        struct tensor dm = tape_gradient(&r.tape, r.first_m.now);
        struct tensor dz = tape_gradient(&r.tape, r.first_z.now);
        const float *ours[4] = {outputs, outputs + m, dm.data, dz.data};
        static const char *const name[4] = {"m", "z", "its gradient of m", "of z"};
        const size_t counts[4] = {m, z, m, z};
        printf("values at crop %d, %d rows: rms difference / rms", CHECK_LENGTH, CHECK_ROWS);
        for (size_t i = 0, at = 0; i < 4; at += counts[i++])
            printf("%s %s %.1e", i ? "," : "", name[i],
                   difference(ours[i], theirs + at, counts[i]));
        printf("\n");
        free(theirs);
        free(outputs);
    }
    free(x);
    rig_close(&r);
    return there;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *x, int count)
{
    qsort(x, (size_t)count, sizeof *x, by_size);
    return count % 2 ? x[count / 2] : (x[count / 2 - 1] + x[count / 2]) / 2;
}

/* Operations of a step, forward and backward, counted by a measured one. */
static void flops_count(struct rig *r, const float *x, double flops[2])
{
    double seconds[2];
    struct profile *p = profile_open(r->backend, (struct profile_peaks){1, 1});
    rig_step(r, x, seconds, NULL);
    flops[0] = flops[1] = 0;
    for (int i = 0; i < p->count; i++)
        for (int op = 0; op < OP_COUNT; op++)
            for (int back = 0; back < 2; back++)
                flops[back] += p->row[i].op[op][back].flops;
    profile_close(r->backend);
}

static void crop_bench(const float *weights, struct peer *peer, int64_t length, int threads)
{
    static const char *const pass[2] = {"forward", "backward"};
    struct rig r;
    double ours[2][ROUNDS_MAX], theirs[2][ROUNDS_MAX], ratio[2][ROUNDS_MAX], flops[2], s[2];
    int rounds = length <= 64 ? ROUNDS_MAX : length <= 128 ? 5 : 3;
    rig_open(&r, threads, length, ROWS, weights);
    float *x = inputs_make(&r);
    flops_count(&r, x, flops);
    double peak = profile_measure(r.backend).flops;
    for (int i = 0; i < rounds; i++) {
        rig_step(&r, x, s, NULL);
        ours[0][i] = s[0], ours[1][i] = s[1];
        if (peer && !peer_step(peer, "run", &r, s)) {
            fprintf(stderr, "PyTorch has ended\n");
            exit(1);
        }
        for (int k = 0; k < 2; k++)
            theirs[k][i] = s[k], ratio[k][i] = s[k] / ours[k][i];
    }
    double again = profile_measure(r.backend).flops;
    peak = again > peak ? again : peak;
    for (int k = 0; k < 2; k++) {
        double mine = median(ours[k], rounds);
        printf("%4lld %7d  %-8s %8.1f %9.1f %8.1f %6.1f", (long long)length, threads, pass[k],
               flops[k] * 1e-9, 1e3 * mine, flops[k] / mine * 1e-9, 100 * flops[k] / mine / peak);
        if (peer) {
            double other = median(theirs[k], rounds), middle = median(ratio[k], rounds);
            printf(" %9.1f %6.2f  %.2f to %.2f", 1e3 * other, middle, ratio[k][0],
                   ratio[k][rounds - 1]);
        }
        printf("\n");
        fflush(stdout);
    }
    free(x);
    rig_close(&r);
}

/* Both peers get the kernels that are right for this processor, whatever the environment says; the
 * program starts itself again for that. */
static void kernels_choose(char **argv)
{
    const char *wanted = blas_coretype_wanted(), *set = getenv("OPENBLAS_CORETYPE");
    if (!wanted || blas_check() || (set && strcmp(set, wanted) == 0))
        return;
    setenv("OPENBLAS_CORETYPE", wanted, 1);
    execv("/proc/self/exe", argv);
}

static float *weights_make(void)
{
    struct params params;
    params_open(&params);
    block_declare(&params, "", &sizes, 0);
    size_t count = (size_t)params.size;
    struct rng rng = rng_open(7, 0, 0, "bench", 0);
    float *weights = calloc(count, sizeof *weights);
    ASSERT(weights);
    params_init(&params, 1, weights);
    for (size_t i = 0; i < count; i++)
        weights[i] += 0.02f * rng_normal(&rng); /* none is zero */
    file_put(file_path("weights"), weights, count);
    params_close(&params);
    return weights;
}

int main(int argc, char **argv)
{
    static const char *const usual[] = {"64", "128", "256"};
    kernels_choose(argv);
    signal(SIGPIPE, SIG_IGN);
    ASSERT(mkdtemp(folder));
    struct params params;
    params_open(&params);
    block_declare(&params, "", &sizes, 0);
    float *weights = weights_make();
    struct peer peer[2];
    for (int i = 0; i < 2; i++)
        peer[i] = peer_open(&params, i + 1);
    printf("one Evoformer block, %d MSA rows, OpenBLAS kernels %s for both\n", ROWS, blas_core());
    bool there = values_check(weights, &peer[0]);
    if (!there)
        printf("there is no PyTorch (Debian: python3-torch) to compare with\n");
    printf("%4s %7s  %-8s %8s %9s %8s %6s %9s %6s  %s\n", "crop", "threads", "pass", "GFLOP",
           "ours ms", "GFLOP/s", "% peak", "torch ms", "ratio", "spread");
    int crops = argc > 1 ? argc - 1 : 3;
    for (int c = 0; c < crops; c++)
        for (int i = 0; i < 2; i++)
            crop_bench(weights, there ? &peer[i] : NULL, atoll(argc > 1 ? argv[c + 1] : usual[c]),
                       i + 1);
    for (int i = 0; i < 2; i++)
        peer_close(&peer[i]);
    unlink(file_path("inputs"));
    unlink(file_path("weights"));
    rmdir(folder);
    params_close(&params);
    free(weights);
    return 0;
}

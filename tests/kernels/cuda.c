/* The CUDA backend without a device: what the shared object exports and how it says that there is
 * no device; and its kernels on the host (tests/kernels/cuda_host), every op against the cpu
 * backend. With a device, tests/kernels/ops.c compares the real one. */
#include "tests/kernels/op_compare.h"

#include <dlfcn.h>
#include <unistd.h>

enum { PATH_LENGTH_MAX = 4096 };

typedef enum status open_function(int device, struct backend **backend, struct error *err);

static const struct backend_abi abi_here = BACKEND_ABI_HERE;

/* The path of a file of the build folder. */
static const char *built(const char *name)
{
    static char path[PATH_LENGTH_MAX];
    const char *binary = FOLDMILL_BINARY;
    int folder = (int)(strrchr(binary, '/') - binary);
    cr_assert(snprintf(path, sizeof path, "%.*s/%s", folder, binary, name) < PATH_LENGTH_MAX,
              "path too long");
    return path;
}

/* Loads an object of the build folder; skips the test where it was not built. */
static void *object_load(const char *name, const char *needs)
{
    const char *path = built(name);
    if (access(path, R_OK) != 0)
        cr_skip("%s was not built: %s", name, needs);
    void *object = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    cr_assert(object != NULL, "%s: %s", path, dlerror());
    return object;
}

static void *cuda_load(void)
{
    return object_load("libfoldmill_cuda.so", "it needs nvcc, and no sanitizer");
}

static open_function *open_of(void *object)
{
    void *symbol = dlsym(object, "foldmill_cuda_open");
    open_function *open;
    cr_assert(symbol != NULL, "no foldmill_cuda_open");
    memcpy(&open, &symbol, sizeof open);
    return open;
}

static void *host_object;

/* The kernels on the host, by the same door as the device. */
static struct backend *host_open(void)
{
    struct backend *backend;
    struct error err = {0};
    host_object = object_load("tests/libfoldmill_cuda_host.so", "it needs a C++ compiler");
    enum status status = open_of(host_object)(0, &backend, &err);
    cr_assert(status == STATUS_OK, "%s", err.text);
    return backend;
}

/* In which order the emulation runs threads and blocks. */
static void host_order(int reversed)
{
    void (*set)(int);
    void *symbol = dlsym(host_object, "cuda_host_order");
    cr_assert(symbol != NULL, "no cuda_host_order");
    memcpy(&set, &symbol, sizeof set);
    set(reversed);
}

static void abi_check(void *object)
{
    const struct backend_abi *abi = dlsym(object, "foldmill_cuda_abi");
    cr_assert(abi != NULL, "no foldmill_cuda_abi");
    cr_assert(abi->abi == BACKEND_ABI, "abi %u", abi->abi);
    cr_assert(abi->tensor_bytes == abi_here.tensor_bytes, "tensor: %u", abi->tensor_bytes);
    cr_assert(abi->ops_bytes == abi_here.ops_bytes, "ops: %u", abi->ops_bytes);
    cr_assert(abi->backend_bytes == abi_here.backend_bytes, "backend: %u", abi->backend_bytes);
    cr_assert(strcmp(abi->ops_text, abi_here.ops_text) == 0, "the rows differ");
}

Test(cuda, the_shared_object_is_of_this_build)
{
    abi_check(cuda_load());
}

Test(cuda, the_shared_object_exports_two_symbols)
{
    cuda_load();
    char command[PATH_LENGTH_MAX + 64], line[256];
    snprintf(command, sizeof command, "nm -D --defined-only '%s'", built("libfoldmill_cuda.so"));
    FILE *symbols = popen(command, "r");
    cr_assert(symbols != NULL, "nm cannot be started");
    int count = 0;
    while (fgets(line, sizeof line, symbols)) {
        const char *name = strrchr(line, ' ');
        cr_assert(name && (strcmp(name, " foldmill_cuda_abi\n") == 0 ||
                           strcmp(name, " foldmill_cuda_open\n") == 0),
                  "it also exports: %s", line);
        count++;
    }
    cr_assert(pclose(symbols) == 0, "nm failed");
    cr_assert(count == 2, "%d symbols", count);
}

Test(cuda, without_a_device_opening_says_so)
{
    void *object = cuda_load();
    if (backend_cuda_present())
        cr_skip("there is a CUDA device");
    struct backend unset, *backend = &unset;
    struct error err = {0};
    enum status status = open_of(object)(0, &backend, &err);
    cr_assert(status == STATUS_MISS, "status %s", status_name(status));
    cr_assert(backend == NULL, "a backend was given");
    cr_assert(strncmp(err.text, "no CUDA device: ", 16) == 0, "text: %s", err.text);
    cr_assert(open_of(object)(0, &backend, NULL) == STATUS_MISS, "without an error struct");
}

Test(cuda_host, opens_like_the_shared_object)
{
    struct backend *b = host_open(), *none;
    struct error err = {0};
    abi_check(host_object);
    cr_assert(open_of(host_object)(1, &none, &err) == STATUS_MISS, "device 1 of 1");
    cr_assert(strcmp(err.text, "no CUDA device 1: 1 visible, numbered from 0") == 0, "%s",
              err.text);
    cr_assert(strcmp(b->device, "host emulation, 17 GB") == 0, "%s", b->device);
    cr_assert(b->alloc(b, (size_t)1 << 50) == NULL, "a petabyte was given");
    unsigned char bytes[3] = {1, 2, 3}, *memory = b->alloc(b, sizeof bytes);
    b->copy_out(b, bytes, memory, sizeof bytes);
    cr_assert(bytes[0] == 0 && bytes[1] == 0 && bytes[2] == 0, "memory is not zeroed");
    b->release(b, memory);
    b->release(b, NULL);
    b->close(b);
}

Test(cuda_host, every_op_agrees_with_the_cpu, .timeout = 300)
{
    struct backend *x = host_open(), *y = cpu_backend_open_double(2);
    ops_compare(x, y, 3e-6, 70, 12);
    x->close(x);
    y->close(y);
}

/* Gradients that are added to: prefill + gradient. */
Test(cuda_host, gradients_are_added_where_asked, .timeout = 120)
{
    struct backend *b = host_open();
    const double prefill = 3;
    for (int op = 0; op < OP_COUNT; op++) {
        if (!op_describe((enum op)op)->back)
            continue;
        struct op_case c = op_case_make((enum op)op, 7, 9);
        struct op_run run;
        struct op_bound added, args;
        op_run_make(b, &c, &run);
        op_case_bind(b, &c, false, false, 0, &args);
        op_case_bind(b, &c, true, true, prefill, &added);
        c.info->run(b, args.args);
        c.info->back(b, args.args, added.args);
        for (int f = 0; f < c.info->field_count; f++) {
            enum op_field_kind kind = c.info->field[f].kind;
            if (!c.present[f] || (kind != OP_FIELD_IN && kind != OP_FIELD_OPT))
                continue;
            double *plain = op_case_read(b, &c, f, &run.gradients);
            double *sum = op_case_read(b, &c, f, &added);
            for (int64_t i = 0; i < op_case_count(&c, f); i++)
                cr_assert(fabs(sum[i] - plain[i] - prefill) <= 1e-5 * (prefill + fabs(plain[i])),
                          "%s: d %s[%lld]: %g, added %g", c.info->name, c.info->field[f].name,
                          (long long)i, plain[i], sum[i]);
            free(plain);
            free(sum);
        }
        op_case_release(b, &args);
        op_case_release(b, &added);
        op_run_release(&c, &run);
        op_case_free(&c);
    }
    b->close(b);
}

/* Threads and blocks run first to last, then last to first: the same bits, or some thread reads
 * what another writes without a barrier between. */
Test(cuda_host, the_order_of_threads_does_not_matter, .timeout = 300)
{
    struct backend *b = host_open();
    for (int op = 0; op < OP_COUNT; op++)
        for (uint64_t seed = 200; seed < 206; seed++) {
            struct op_case c = op_case_make((enum op)op, seed, seed & 1 ? 50 : 12);
            struct op_run forth, back;
            host_order(0);
            op_run_make(b, &c, &forth);
            host_order(1);
            op_run_make(b, &c, &back);
            op_run_compare(&c, &forth, &back, 0);
            op_run_release(&c, &forth);
            op_run_release(&c, &back);
            op_case_free(&c);
        }
    b->close(b);
}

/* Scratch grows in the first step and stays. */
Test(cuda_host, scratch_settles, .timeout = 120)
{
    struct backend *b = host_open();
    size_t after[3];
    for (int step = 0; step < 3; step++) {
        for (int op = 0; op < OP_COUNT; op++) {
            struct op_case c = op_case_make((enum op)op, 11, 40);
            struct op_run run;
            op_run_make(b, &c, &run);
            op_run_release(&c, &run);
            op_case_free(&c);
        }
        after[step] = b->scratch_bytes(b);
    }
    cr_assert(after[0] > 0 && after[1] == after[0] && after[2] == after[0], "%zu, %zu, %zu bytes",
              after[0], after[1], after[2]);
    b->close(b);
}

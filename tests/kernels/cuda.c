/* The CUDA backend without a device: what the shared object exports and how it says that there is
 * no device; and its kernels on the host (tests/kernels/cuda_host): every op, and the network,
 * against the cpu backend. With a device, the network here and the ops in tests/kernels/ops.c are
 * compared on the real one. */
#include "tests/kernels/op_compare.h"
#include "tests/kernels/sample.h"

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

Test(cuda, the_shared_object_exports_three_symbols)
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
                           strcmp(name, " foldmill_cuda_count\n") == 0 ||
                           strcmp(name, " foldmill_cuda_open\n") == 0),
                  "it also exports: %s", line);
        count++;
    }
    cr_assert(pclose(symbols) == 0, "nm failed");
    cr_assert(count == 3, "%d symbols", count);
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

Test(cuda_host, views_agree_with_dense_tensors, .timeout = 300)
{
    struct backend *x = host_open(), *y = cpu_backend_open_double(2);
    ops_compare_views(x, y, 3e-6, 50, 12);
    x->close(x);
    y->close(y);
}

/* Sizes at which more than one block, chunk or group of rows takes part in a sum. */
Test(cuda_host, large_sizes_agree_with_the_cpu, .timeout = 300)
{
    static const struct {
        enum op op;
        const char *sizes;
    } large[] = {
        {OP_layer_norm, "N=16500 C=5"},
        {OP_linear, "N=16500 I=3 O=4"},
        {OP_sum_squares, "N=50000"},
        {OP_xent, "N=700 K=40"},
        {OP_attention, "B=2 Q=70 K=130 H=2 D=128"},
        {OP_attention, "B=3 Q=130 K=5 H=3 D=33"},
        {OP_outer_mean, "S=2 L=80 C=30 O=3"},
        {OP_residual, "A=40 B=21 C=5"},
        {OP_embed_pair, "L=90 C=17"},
        {OP_spread, "A=300 N=7"},
    };
    struct backend *x = host_open(), *y = cpu_backend_open_double(2);
    for (size_t i = 0; i < sizeof large / sizeof *large; i++) {
        struct op_case c = op_case_make_sized(large[i].op, i, 10, large[i].sizes);
        struct op_run rx, ry;
        op_run_make(x, &c, &rx);
        op_run_make(y, &c, &ry);
        op_run_compare(&rx, &ry, 3e-6);
        op_run_release(&rx);
        op_run_release(&ry);
        op_case_free(&c);
    }
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
        op_run_release(&run);
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
            op_run_compare(&forth, &back, 0);
            op_run_release(&forth);
            op_run_release(&back);
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
            op_run_release(&run);
            op_case_free(&c);
        }
        after[step] = b->scratch_bytes(b);
    }
    cr_assert(after[0] > 0 && after[1] == after[0] && after[2] == after[0], "%zu, %zu, %zu bytes",
              after[0], after[1], after[2]);
    b->close(b);
}

/* y may be x, and g.x may be g.y. */
Test(cuda_host, residual_works_in_place)
{
    struct backend *b = host_open();
    struct op_case c = op_case_make_sized(OP_residual, 5, 4, "A=3 B=4 C=5");
    struct op_run apart;
    op_run_make(b, &c, &apart);
    struct op_bound args, gradients;
    op_case_bind(b, &c, false, false, 0, &args);
    op_case_bind(b, &c, true, false, 0, &gradients);
    struct op_residual *a = (struct op_residual *)(void *)args.args;
    struct op_residual *g = (struct op_residual *)(void *)gradients.args;
    a->y.data = a->x.data;
    g->x.data = g->y.data;
    b->ops.residual(b, a);
    b->ops.residual_back(b, a, g);
    const struct op_residual *other = (const struct op_residual *)(const void *)apart.args.args;
    const struct op_residual *up = (const struct op_residual *)(const void *)apart.gradients.args;
    cr_assert(memcmp(a->x.data, other->y.data, 60 * sizeof(float)) == 0, "forward");
    cr_assert(memcmp(g->u.data, up->u.data, 60 * sizeof(float)) == 0, "gradient of u");
    cr_assert(memcmp(g->y.data, up->y.data, 60 * sizeof(float)) == 0, "the upstream gradient");
    op_case_release(b, &args);
    op_case_release(b, &gradients);
    op_run_release(&apart);
    op_case_free(&c);
    b->close(b);
}

/* Rows of weight 0 leave neither loss nor gradient, whatever is in them. */
Test(cuda_host, unused_rows_of_xent_may_hold_anything)
{
    struct backend *b = host_open();
    float logits[2][3] = {{1, 2, 3}, {NAN, INFINITY, 0}}, weights[2] = {2, 0};
    float one = 1, loss, gradient[2][3];
    int32_t targets[2] = {1, -9};
    struct op_xent a = {0}, g = {0};
    a.x = tensor_make(b->alloc(b, sizeof logits), TENSOR_F32, 2, 2, 3, 1, 1);
    a.target = tensor_make(b->alloc(b, sizeof targets), TENSOR_I32, 1, 2, 1, 1, 1);
    a.weight = tensor_make(b->alloc(b, sizeof weights), TENSOR_F32, 1, 2, 1, 1, 1);
    a.loss = tensor_make(b->alloc(b, sizeof loss), TENSOR_F32, 1, 1, 1, 1, 1);
    a.lse = tensor_make(b->alloc(b, sizeof weights), TENSOR_F32, 1, 2, 1, 1, 1);
    g.x = tensor_make(b->alloc(b, sizeof logits), TENSOR_F32, 2, 2, 3, 1, 1);
    g.loss = tensor_make(b->alloc(b, sizeof one), TENSOR_F32, 1, 1, 1, 1, 1);
    b->copy_in(b, a.x.data, logits, sizeof logits);
    b->copy_in(b, a.target.data, targets, sizeof targets);
    b->copy_in(b, a.weight.data, weights, sizeof weights);
    b->copy_in(b, g.loss.data, &one, sizeof one);
    b->ops.xent(b, &a);
    b->ops.xent_back(b, &a, &g);
    b->copy_out(b, &loss, a.loss.data, sizeof loss);
    b->copy_out(b, gradient, g.x.data, sizeof gradient);
    double lse = log(exp(1) + exp(2) + exp(3));
    cr_assert(fabs((double)loss - 2 * (lse - 2)) < 1e-6, "loss %g", (double)loss);
    cr_assert(fabs((double)gradient[0][1] - 2 * (exp(2 - lse) - 1)) < 1e-6, "at the target");
    cr_assert(fabs((double)gradient[0][2] - 2 * exp(3 - lse)) < 1e-6, "beside the target");
    for (int k = 0; k < 3; k++)
        cr_assert(fpclassify(gradient[1][k]) == FP_ZERO, "row of weight 0, class %d", k);
    void *memory[] = {a.x.data,   a.target.data, a.weight.data, a.loss.data,
                      a.lse.data, g.x.data,      g.loss.data};
    for (size_t i = 0; i < sizeof memory / sizeof *memory; i++)
        b->release(b, memory[i]);
    b->close(b);
}

/* What a few steps on one sample after another leave. */
struct trained {
    double loss;
    float *gradient; /* of the first step */
    size_t count;
};

static struct trained train(struct backend *b, struct arena *arena, int steps)
{
    struct net_config config = net_config_default();
    config.length = 9, config.clusters = 5, config.c_m = 12, config.c_z = 10, config.blocks = 2;
    config.heads = 2, config.head_dims = 4, config.outer_hidden = 3, config.triangle_hidden = 6;
    config.column_attention = 1, config.pair_heads = 2, config.pair_head_dims = 3;
    config.keep_blocks = 1;
    struct adam_config adam = adam_config_default();
    struct trained trained = {0};
    struct net *net;
    struct error err = {0};
    cr_assert(net_open(&config, b, &net, &err) == STATUS_OK, "%s", err.text);
    weights_shake(arena, net, 0.1f);
    trained.count = (size_t)net_params(net)->size;
    trained.gradient = arena_zero(arena, trained.count, sizeof *trained.gradient);
    for (int step = 1; step <= steps; step++) {
        struct net_input input = sample_make(arena, &config, (uint64_t)step, 2);
        struct net_loss loss;
        net_gradient_clear(net);
        cr_assert(net_forward(net, &input, &loss, &err) == STATUS_OK, "%s", err.text);
        net_backward(net);
        if (step == 1)
            net_read(net, NET_GRADIENTS, trained.gradient);
        cr_assert(!net_update(net, &adam, 1, step).skipped, "step %d", step);
        trained.loss = loss.total;
    }
    net_close(net);
    return trained;
}

/* Gradients and losses of a few steps on x are those on y, within float32. */
static void training_compare(const struct trained *x, const struct trained *y)
{
    double error = 0, square = 0;
    for (size_t i = 0; i < y->count; i++) {
        double wanted = (double)y->gradient[i], d = (double)x->gradient[i] - wanted;
        error += d * d;
        square += wanted * wanted;
    }
    cr_assert(square > 0 && sqrt(error) <= 1e-5 * sqrt(square), "gradients: error %.3g of %.3g",
              sqrt(error), sqrt(square));
    cr_assert(fabs(x->loss - y->loss) <= 1e-4 * y->loss, "losses %.8g, %.8g", x->loss, y->loss);
}

/* The same bits in both. */
static void training_same(const struct trained *x, const struct trained *y)
{
    cr_assert(memcmp(&x->loss, &y->loss, sizeof(double)) == 0, "losses %.17g, %.17g", x->loss,
              y->loss);
    cr_assert(memcmp(x->gradient, y->gradient, y->count * sizeof(float)) == 0, "gradients differ");
}

/* What is counted without a device is what the same functions then take on it. */
Test(cuda_host, scratch_is_as_planned, .timeout = 300)
{
    enum status (*count)(struct backend **, struct error *);
    struct backend *x = host_open(), *counting;
    void *symbol = dlsym(host_object, "foldmill_cuda_count");
    struct error err = {0};
    cr_assert(symbol != NULL, "no foldmill_cuda_count");
    memcpy(&count, &symbol, sizeof count);
    cr_assert(count(&counting, &err) == STATUS_OK, "%s", err.text);
    struct net_config config = net_config_default();
    config.length = 6, config.clusters = 500, config.c_m = 12, config.c_z = 8, config.blocks = 1;
    config.heads = 3, config.head_dims = 32, config.outer_hidden = 3, config.triangle_hidden = 6;
    struct net_plan plan;
    struct net *net;
    cr_assert(net_plan(&config, counting, &plan, &err) == STATUS_OK, "%s", err.text);
    size_t empty = x->scratch_bytes(x);
    cr_assert(net_open(&config, x, &net, &err) == STATUS_OK, "%s", err.text);
    cr_assert(x->scratch_bytes(x) == plan.scratch_bytes, "%zu taken, %zu planned",
              x->scratch_bytes(x), plan.scratch_bytes);
    cr_assert(plan.scratch_bytes > empty + ((size_t)1 << 20), "more than the smallest chunk");
    cr_assert(x->room_bytes(x) == (size_t)3 << 30, "what the device says");
    net_close(net);
    counting->close(counting);
    x->close(x);
}

/* Forward, dropout, one block kept and one run again, backward, Adam: as on the cpu, and the same
 * bits whichever way the threads run. */
Test(cuda_host, the_network_trains_as_on_the_cpu, .timeout = 300)
{
    struct backend *x = host_open(), *y = cpu_backend_open_double(2);
    struct arena arena;
    arena_open(&arena, 0);
    struct trained on_host = train(x, &arena, 3), on_cpu = train(y, &arena, 3);
    host_order(1);
    struct trained reversed = train(x, &arena, 3);
    training_compare(&on_host, &on_cpu);
    training_same(&on_host, &reversed);
    x->close(x);
    y->close(y);
    arena_close(&arena);
}

/* The same on a device: as on the cpu, and the same bits again. */
Test(cuda, the_network_trains_as_on_the_cpu, .timeout = 300)
{
    struct backend *x, *y;
    struct error err = {0};
    if (backend_open("cuda", 0, &x, &err) != STATUS_OK)
        cr_skip("no CUDA backend: %s", err.text);
    y = cpu_backend_open_double(2);
    struct arena arena;
    arena_open(&arena, 0);
    struct trained once = train(x, &arena, 3), again = train(x, &arena, 3);
    struct trained on_cpu = train(y, &arena, 3);
    training_compare(&once, &on_cpu);
    training_same(&once, &again);
    x->close(x);
    y->close(y);
    arena_close(&arena);
}

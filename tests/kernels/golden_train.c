/* The network with all its losses against the reference's small model: every loss, every gradient,
 * and five steps of Adam, by way of the interface that the trainer uses. */
#include "tests/kernels/tiny_train.h"

static struct net *net_take(struct golden *g, struct backend *b)
{
    struct net_config c = tiny();
    struct net *net;
    struct error err = {0};
    cr_assert(net_open(&c, b, &net, &err) == STATUS_OK, "%s", err.text);
    const struct params *params = net_params(net);
    cr_assert(params->count == 429, "%d parameters, wanted 429", params->count);
    float *w = arena_zero(&g->arena, (size_t)params->size, sizeof *w);
    for (int i = 0; i < params->count; i++) {
        const struct parameter *p = &params->item[i];
        char key[128];
        snprintf(key, sizeof key, "p.%s", p->name);
        const double *from = golden_values(g, key, NULL);
        for (int64_t n = 0; n < p->count; n++)
            w[p->offset + n] = (float)from[n];
    }
    net_write(net, NET_WEIGHTS, w);
    net_write(net, NET_EMA, w);
    return net;
}

static void check_value(struct golden *g, const char *key, double got, double limit)
{
    double wanted = *golden_values(g, key, NULL);
    cr_assert(fabs(got - wanted) <= limit * fmax(1, fabs(wanted)), "%s %s: %.8g, wanted %.8g",
              g->name, key, got, wanted);
}

/* rms error / rms of a buffer's parameters against PREFIX.name, each within the limit; those of
 * almost no gradient against the whole norm. */
static void check_parameters(struct golden *g, struct net *net, enum net_buffer which,
                             const char *prefix, double limit, double norm)
{
    const struct params *params = net_params(net);
    float *x = arena_zero(&g->arena, (size_t)params->size, sizeof *x);
    net_read(net, which, x);
    for (int i = 0; i < params->count; i++) {
        const struct parameter *p = &params->item[i];
        char key[128];
        double error = 0, square = 0;
        snprintf(key, sizeof key, "%s.%s", prefix, p->name);
        const double *wanted = golden_values(g, key, NULL);
        for (int64_t n = 0; n < p->count; n++) {
            double d = (double)x[p->offset + n] - wanted[n];
            error += d * d, square += wanted[n] * wanted[n];
        }
        cr_assert(sqrt(error) <= limit * sqrt(square) + 1e-6 * norm,
                  "%s %s: error %.3g of %.3g", g->name, key, sqrt(error), sqrt(square));
    }
}

static void losses_case(struct golden *g, struct backend *b, int passes)
{
    struct net *net = net_take(g, b);
    struct net_input in = input_take(g, passes);
    struct net_loss loss;
    struct error err = {0};
    double limit = b->real == TENSOR_F64 ? 2e-6 : 2e-5;
    net_gradient_clear(net);
    cr_assert(net_forward(net, &in, &loss, &err) == STATUS_OK, "%s", err.text);
    check_value(g, "loss.distogram", loss.distogram, limit);
    check_value(g, "loss.masked_msa", loss.masked_msa, limit);
    check_value(g, "loss.fape", loss.fape, limit);
    check_value(g, "loss.supervised_chi", loss.chi, limit);
    check_value(g, "loss.plddt_loss", loss.plddt, limit);
    check_value(g, "loss.experimentally_resolved", loss.resolved, limit);
    check_value(g, "loss.violation", loss.violation, limit);
    check_value(g, "loss.unscaled_loss", loss.total, limit);
    check_value(g, "loss.loss", loss.total * in.weight, limit);
    net_backward(net);
    check_parameters(g, net, NET_GRADIENTS, "gp", 1e-4, *golden_values(g, "gnorm", NULL));
    net_close(net);
}

static void run_case(const char *name, int passes,
                     void (*run)(struct golden *g, struct backend *b, int passes))
{
    struct golden g;
    golden_open(&g, name);
    struct backend *backend[2] = {cpu_backend_open_double(2), golden_backend(2)};
    for (int i = 0; i < 2; i++) {
        run(&g, backend[i], passes);
        backend[i]->close(backend[i]);
    }
    golden_close(&g);
}

Test(golden_train, losses_and_gradients_of_one_pass)
{
    run_case("tiny_model_r0", 1, losses_case);
}

Test(golden_train, losses_and_gradients_of_three_passes_with_padding)
{
    run_case("tiny_model_r2_pad", 3, losses_case);
}

/* Every parameter of a buffer against PREFIX.name, within 1e-4 or the reference's own error. The
 * targets of the lDDT head are bins: where places differ in their last bits, one falls into the
 * next bin, which is 1.75e-4 of the head's last linear. */
static void check_trained(struct golden *g, struct net *net, enum net_buffer which,
                          const char *prefix, const char *where)
{
    const struct params *params = net_params(net);
    float *x = arena_zero(&g->arena, (size_t)params->size, sizeof *x);
    net_read(net, which, x);
    for (int i = 0; i < params->count; i++) {
        const struct parameter *p = &params->item[i];
        char key[128];
        double *got = arena_zero(&g->arena, (size_t)p->count, sizeof *got);
        snprintf(key, sizeof key, "%s.%s", prefix, p->name);
        for (int64_t n = 0; n < p->count; n++)
            got[n] = (double)x[p->offset + n];
        bool binned = strcmp(p->name, "aux_heads.plddt.linear_3.weight") == 0;
        golden_check_within(g, key, got, p->count, where, binned ? 2e-4 : 1e-4);
    }
}

/* Five steps: lr 1e-3, betas 0.9 and 0.999, eps 1e-5, clip 0.1, moving average 0.999. They amplify
 * every rounding (errors of the reference's own float32 run reach 3e-3 of the last norm), which is
 * why curve and weights are compared with that error too. */
static void steps_case(struct golden *g, struct backend *b, int passes)
{
    enum { STEPS = 5 };
    struct net *net = net_take(g, b);
    struct net_input in = input_take(g, passes);
    struct adam_config adam = adam_config_default();
    struct error err = {0};
    double curve[2 * STEPS];
    adam.rate = 1e-3, adam.b1 = 0.9, adam.b2 = 0.999, adam.eps = 1e-5;
    adam.clip = 0.1, adam.ema_decay = 0.999, adam.ema_fixed = true;
    for (int step = 1; step <= STEPS; step++) {
        struct net_loss loss;
        net_gradient_clear(net);
        cr_assert(net_forward(net, &in, &loss, &err) == STATUS_OK, "%s", err.text);
        net_backward(net);
        struct adam_result result = net_update(net, &adam, 1, step);
        curve[2 * step - 2] = loss.total * in.weight;
        curve[2 * step - 1] = result.norm;
    }
    const char *where = b->real == TENSOR_F64 ? "double" : "float";
    golden_check_within(g, "curve", curve, 2 * STEPS, where, 1e-4);
    check_trained(g, net, NET_WEIGHTS, "pN", where);
    check_trained(g, net, NET_EMA, "emaN", where);
    net_close(net);
}

Test(golden_train, five_steps)
{
    run_case("tiny_model_train5", 2, steps_case);
}

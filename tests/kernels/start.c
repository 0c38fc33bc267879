/* Starting weights: names of others become ours, numbers of other kinds become floats, what does
 * not fit is told all at once; the reference's own parameters, read by name, give its losses. */
#include "kernels/net/start.h"

#include "engine/base/file.h"
#include "kernels/net/names.h"
#include "tests/kernels/tiny_train.h"

#include <unistd.h>

Test(start, names_of_older_files_become_ours)
{
    static const struct name_rule rows[] = {
        {"evoformer.blocks.47.core.tri_mul_out.linear_a_p.weight",
         "evoformer.blocks.47.pair_stack.tri_mul_out.linear_a_p.weight"},
        {"evoformer.blocks.3.tri_att_end.mha.linear_q.weight",
         "evoformer.blocks.3.pair_stack.tri_att_end.mha.linear_q.weight"},
        {"evoformer.blocks.3.core.msa_transition.linear_1.bias",
         "evoformer.blocks.3.msa_transition.linear_1.bias"},
        {"extra_msa_stack.stack.blocks.0.core.pair_transition.linear_2.weight",
         "extra_msa_stack.blocks.0.pair_stack.pair_transition.linear_2.weight"},
        {"module.model.template_angle_embedder.linear_1.weight",
         "template_embedder.template_single_embedder.linear_1.weight"},
        {"model.template_pair_stack.blocks.1.tri_mul_in.linear_z.bias",
         "template_embedder.template_pair_stack.blocks.1.tri_mul_in.linear_z.bias"},
        {"template_pointwise_att.mha.linear_o.bias",
         "template_embedder.template_pointwise_att.mha.linear_o.bias"},
        {"structure_module.ipa.linear_kv_points.weight",
         "structure_module.ipa.linear_kv_points.linear.weight"},
        {"structure_module.ipa.linear_q.weight", "structure_module.ipa.linear_q.weight"},
        {"evoformer.blocks.x.core.a", "evoformer.blocks.x.core.a"},
        {"", ""}};
    char ours[128];
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        cr_assert(name_translate(rows[i].found, ours, sizeof ours), "%s", rows[i].found);
        cr_assert(strcmp(ours, rows[i].ours) == 0, "%s: %s, wanted %s", rows[i].found, ours,
                  rows[i].ours);
        char again[128];
        cr_assert(name_translate(ours, again, sizeof again) && strcmp(ours, again) == 0,
                  "our own name %s became %s", ours, again);
    }
    char long_name[200];
    memset(long_name, 'a', sizeof long_name);
    long_name[sizeof long_name - 1] = 0;
    cr_assert(!name_translate(long_name, ours, sizeof ours), "no room");
}

Test(start, half_numbers_become_floats)
{
    /* by the definitions: sign, exponent, fraction */
    const uint16_t half[] = {0x0000, 0x3c00, 0xc000, 0x7bff, 0x0400, 0x0001, 0x3555, 0xfc00};
    const float of_half[] = {0, 1, -2, 65504, 0x1p-14f, 0x1p-24f, 0x1.554p-2f, -INFINITY};
    const uint16_t brain[] = {0x3f80, 0xc040, 0x0080, 0x7f80, 0x3eab};
    const float of_brain[] = {1, -3, 0x1p-126f, INFINITY, 0x1.56p-2f};
    float got[8];
    struct safetensor t = {.kind = SAFETENSOR_F16, .rank = 1, .dim = {8}, .data = half,
                           .bytes = sizeof half};
    safetensors_floats(&t, got, 8);
    for (int i = 0; i < 8; i++)
        cr_assert(got[i] == of_half[i], "half %04x: %a", half[i], (double)got[i]);
    t = (struct safetensor){.kind = SAFETENSOR_BF16, .rank = 1, .dim = {5}, .data = brain,
                            .bytes = sizeof brain};
    safetensors_floats(&t, got, 5);
    for (int i = 0; i < 5; i++)
        cr_assert(got[i] == of_brain[i], "bf16 %04x: %a", brain[i], (double)got[i]);
}

/* Three parameters, and a file of tensors for them. */
enum { A_WEIGHT, A_BIAS, B_WEIGHT, COUNT };
static const float numbers[6] = {1, 2, 3, 4, 5, 6};

static void params_make(struct params *p)
{
    params_open(p);
    params_add(p, "first", "linear_a.weight", 2, 3, INIT_ZERO, false);
    params_add(p, "first", "linear_a.bias", 2, 0, INIT_ZERO, false);
    params_add(p, "second", "linear_b.weight", 3, 2, INIT_ZERO, false);
}

static struct safetensor tensor_of(const char *name, uint64_t rows, uint64_t columns)
{
    return (struct safetensor){.name = name,
                               .rank = columns ? 2 : 1,
                               .dim = {rows, columns},
                               .data = numbers,
                               .bytes = (size_t)(rows * (columns ? columns : 1)) * sizeof *numbers};
}

Test(start, everything_that_is_wrong_is_told_at_once)
{
    struct params p;
    struct error err = {0};
    struct safetensor bad[] = {tensor_of("first.linear_a.weights", 2, 3),
                               tensor_of("second.linear_b.weight", 2, 3),
                               tensor_of("first.linear_a.bias", 2, 0),
                               tensor_of("model.first.linear_a.bias", 2, 0)};
    struct safetensors file = {.tensor = bad, .count = 4};
    params_make(&p);
    cr_assert(start_take(&p, &file, NULL, &err) == STATUS_INVALID, "it does not fit");
    const char *const parts[] = {
        "1 missing: first.linear_a.weight (is it first.linear_a.weights?)",
        "1 of another shape: second.linear_b.weight is [2,3], wanted [3,2] (out,in: turn it)",
        "1 there twice: model.first.linear_a.bias", "1 in surplus: first.linear_a.weights"};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        cr_assert(strstr(err.text, parts[i]) != NULL, "\"%s\" has no \"%s\"", err.text, parts[i]);
    bad[1].kind = SAFETENSOR_OTHER;
    cr_assert(start_take(&p, &file, NULL, &err) == STATUS_INVALID, "another kind");
    cr_assert(strstr(err.text, "not of f32, bf16 or f16: second.linear_b.weight"), "%s", err.text);
    params_close(&p);
}

Test(start, numbers_go_where_their_names_are)
{
    struct params p;
    struct error err = {0};
    float values[64];
    struct safetensor good[] = {tensor_of("model.second.linear_b.weight", 3, 2),
                                tensor_of("first.linear_a.bias", 2, 0),
                                tensor_of("first.linear_a.weight", 2, 3)};
    struct safetensors file = {.tensor = good, .count = 3};
    params_make(&p);
    cr_assert(p.size <= 64, "size");
    cr_assert(start_take(&p, &file, values, &err) == STATUS_OK, "%s", err.text);
    for (int i = 0; i < COUNT; i++)
        for (int64_t n = 0; n < p.item[i].count; n++)
            cr_assert(values[p.item[i].offset + n] == numbers[n], "%s", p.item[i].name);
    params_close(&p);
}

/* The case's parameters as a file, every third with an older name, as OpenFold's programs wrote. */
static void file_make(struct golden *g, const char *path, enum safetensor_kind kind)
{
    struct safetensors file = {0};
    struct error err = {0};
    file.tensor = arena_zero(&g->arena, 1024, sizeof *file.tensor);
    for (int i = 0; i < g->npz.count; i++) {
        const struct npz_array *a = &g->npz.array[i];
        const char *at;
        if (!span_starts(a->name, "p."))
            continue;
        const char *key = arena_text(&g->arena, a->name.data, a->name.size);
        const double *from = golden_values(g, key, NULL);
        float *to = arena_zero(&g->arena, a->count, sizeof *to);
        for (uint64_t n = 0; n < a->count; n++) {
            to[n] = (float)from[n];
            if (kind == SAFETENSOR_BF16) /* the upper half of each float, one after another */
                memcpy((char *)to + 2 * n, (const char *)&(float){(float)from[n]} + 2, 2);
        }
        char *name = arena_printf(&g->arena, "model.%s", key + 2);
        if ((at = strstr(name, "blocks.0.pair_stack.")))
            name = arena_printf(&g->arena, "%.*sblocks.0.core.%s", (int)(at - name), name,
                                at + sizeof "blocks.0.pair_stack." - 1);
        if ((at = strstr(name, "template_embedder.")))
            name = arena_printf(&g->arena, "model.%s", at + sizeof "template_embedder." - 1);
        struct safetensor *t = &file.tensor[file.count++];
        *t = (struct safetensor){.name = name, .kind = kind, .rank = a->rank, .data = to,
                                 .bytes = a->count * (kind == SAFETENSOR_F32 ? 4 : 2)};
        for (int axis = 0; axis < a->rank; axis++)
            t->dim[axis] = a->size[axis];
    }
    cr_assert(safetensors_write(&file, path, &err) == STATUS_OK, "%s", err.text);
}

/* Losses of the case, and the distance to it allowed: bf16 has 8 bits. */
static void started_case(struct golden *g, enum safetensor_kind kind, double limit)
{
    char path[] = "/tmp/foldmill-start-XXXXXX";
    struct backend *b = cpu_backend_open(2);
    struct net_config config = tiny();
    struct net *net;
    struct net_loss loss;
    struct error err = {0};
    cr_assert(close(mkstemp(path)) == 0, "mkstemp");
    file_make(g, path, kind);
    cr_assert(net_start_check(&config, path, &err) == STATUS_OK, "%s", err.text);
    cr_assert(net_open(&config, b, &net, &err) == STATUS_OK, "%s", err.text);
    cr_assert(net_start(net, path, &err) == STATUS_OK, "%s", err.text);
    cr_assert(strstr(net_started(net), " xxh3_64 ") != NULL, "%s", net_started(net));
    struct net_input in = input_take(g, 1);
    for (int averaged = 0; averaged < 2; averaged++) {
        cr_assert(net_predict(net, &in, averaged, NULL, &loss, &err) == STATUS_OK, "%s", err.text);
        double wanted = *golden_values(g, "loss.unscaled_loss", NULL);
        cr_assert(fabs(loss.total - wanted) < limit * fabs(wanted), "loss %.8g, wanted %.8g",
                  loss.total, wanted);
    }
    config.c_m = 48, config.aligned_error = true;
    cr_assert(net_start_check(&config, path, &err) == STATUS_INVALID, "another network");
    cr_assert(strstr(err.text, "2 missing: aux_heads.tm.linear.weight") &&
                  strstr(err.text, "of another shape"), "%s", err.text);
    net_close(net);
    b->close(b);
    unlink(path);
}

Test(start, the_reference_gives_its_losses)
{
    struct golden g;
    golden_open(&g, "tiny_model_r0");
    started_case(&g, SAFETENSOR_F32, 2e-5);
    started_case(&g, SAFETENSOR_BF16, 2e-2);
    golden_close(&g);
}

/* A checkpoint gives its moving average; the run that starts from it says so in its own. */
Test(start, a_checkpoint_of_another_run)
{
    char folder[] = "/tmp/foldmill-start-XXXXXX", path[256], command[300];
    struct backend *b = cpu_backend_open(1);
    struct net_config config = net_config_default();
    struct net *first, *second;
    struct error err = {0};
    struct arena arena;
    struct checkpoint c;
    arena_open(&arena, 0);
    config.length = 8, config.clusters = 4, config.c_m = 16, config.c_z = 8, config.blocks = 1;
    cr_assert(mkdtemp(folder) != NULL, "mkdtemp");
    cr_assert(net_open(&config, b, &first, &err) == STATUS_OK, "%s", err.text);
    size_t count = (size_t)net_params(first)->size;
    float *average = arena_zero(&arena, count, sizeof *average);
    float *got = arena_zero(&arena, count, sizeof *got);
    net_read(first, NET_WEIGHTS, average);
    for (size_t i = 0; i < count; i++)
        average[i] *= 0.5f;
    net_write(first, NET_EMA, average);
    cr_assert(net_save(first, folder, 7, SPAN("state"), &err) == STATUS_OK, "%s", err.text);
    checkpoint_path(folder, 7, path, sizeof path);
    config.seed = 99;
    cr_assert(net_open(&config, b, &second, &err) == STATUS_OK, "%s", err.text);
    cr_assert(net_start(second, path, &err) == STATUS_OK, "%s", err.text);
    for (int which = NET_WEIGHTS; which <= NET_EMA; which++) {
        net_read(second, which, got);
        for (size_t i = 0; i < count && which != NET_GRADIENTS; i++)
            cr_assert(got[i] == (which == NET_WEIGHTS || which == NET_EMA ? average[i] : 0),
                      "buffer %d, number %zu", which, i);
    }
    cr_assert(net_save(second, folder, 9, SPAN("state"), &err) == STATUS_OK, "%s", err.text);
    cr_assert(checkpoint_read_newest(folder, &arena, &c, &err) == STATUS_OK, "%s", err.text);
    cr_assert(c.start && strstr(c.start, "step-000000000007.safetensors xxh3_64 "), "%s", c.start);
    cr_assert(net_load(first, &c, &err) == STATUS_OK && strcmp(net_started(first), c.start) == 0,
              "the note stays over a resume");
    net_close(first);
    net_close(second);
    b->close(b);
    arena_close(&arena);
    snprintf(command, sizeof command, "rm -rf %s", folder);
    cr_assert(system(command) == 0, "%s", command);
}

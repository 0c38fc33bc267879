/* Stages run through their ports: what passes, what is refused, and steps with holes in them. */
#include "engine/runner.h"
#include "engine/step.h"

#include <criterion/criterion.h>
#include <string.h>

static int opened, closed, gathered;

static enum status on_open(void *state, struct stage_context *context, struct error *err)
{
    (void)state, (void)context, (void)err;
    opened++;
    return STATUS_OK;
}

static void on_close(void *state)
{
    (void)state;
    closed++;
}

/* Adds "twice"; a negative number breaks its own port, 7 changes the key, 8 refuses. */
static enum status twice(void *state, const struct work *work, const struct sample *in,
                         struct sample *out, struct arena *arena, struct error *err)
{
    (void)state, (void)work;
    int32_t n = *(const int32_t *)sample_find(in, "n")->data;
    if (n == 8)
        return error_set(err, STATUS_REFUSED, "eight");
    sample_open(out, n == 7 ? SPAN("other") : span_of(in->key), err);
    if (n >= 0)
        sample_add_i32(out, arena, "twice", 2 * n);
    return STATUS_OK;
}

/* Complete after three samples. */
static enum status three(void *state, const struct work *work, const struct sample *in,
                         struct sample *out, struct arena *arena, struct error *err)
{
    (void)state, (void)work;
    if (++gathered < 3)
        return STATUS_EMPTY;
    gathered = 0;
    sample_open(out, span_of(in->key), err);
    sample_add_i32(out, arena, "twice", 3);
    return STATUS_OK;
}

static enum status three_drain(void *state, const struct work *work, struct sample *out,
                               struct arena *arena, struct error *err)
{
    (void)state, (void)work;
    int count = gathered;
    gathered = 0;
    if (count == 0)
        return STATUS_EMPTY;
    sample_open(out, SPAN("rest"), err);
    sample_add_i32(out, arena, "twice", count);
    return STATUS_OK;
}

static const char *const in_rows[] = {"n:i32", NULL}, *const out_rows[] = {"twice:i32", NULL};

static const struct stage stage_twice = {.abi = STAGE_ABI,
                                         .flags = STAGE_PASS,
                                         .name = "twice",
                                         .in = {in_rows},
                                         .out = {out_rows},
                                         .open = on_open,
                                         .feed = twice,
                                         .close = on_close};
static const struct stage stage_three = {.abi = STAGE_ABI,
                                         .flags = STAGE_GATHER,
                                         .name = "three",
                                         .in = {in_rows},
                                         .out = {out_rows},
                                         .feed = three,
                                         .drain = three_drain};

static struct arena arena;

static struct sample make(int32_t n)
{
    struct sample sample;
    sample_open(&sample, SPAN("key"), NULL);
    sample_add_i32(&sample, &arena, "n", n);
    return sample;
}

Test(runner, ports_are_checked_on_both_sides)
{
    struct runner runner;
    struct error err;
    struct work work = {0};
    arena_open(&arena, 0);
    struct sample out, in = make(5), empty;
    cr_assert(runner_open(&runner, &stage_twice, NULL, NULL, &err) == STATUS_OK, "opens");
    cr_assert(runner_feed(&runner, &work, &in, &out, &arena, &err) == STATUS_OK, "%s", err.text);
    cr_assert(*(int32_t *)sample_find(&out, "twice")->data == 10, "its own field");
    cr_assert(*(int32_t *)sample_find(&out, "n")->data == 5, "and what came in");
    sample_open(&empty, SPAN("key"), NULL);
    cr_assert(runner_feed(&runner, &work, &empty, &out, &arena, &err) == STATUS_INVALID, "in port");
    in = make(-1);
    cr_assert(runner_feed(&runner, &work, &in, &out, &arena, &err) == STATUS_INVALID &&
                  strstr(err.text, "its own port"),
              "out port: %s", err.text);
    in = make(7);
    cr_assert(runner_feed(&runner, &work, &in, &out, &arena, &err) == STATUS_INVALID &&
                  strstr(err.text, "other"),
              "another key: %s", err.text);
    in = make(8);
    cr_assert(runner_feed(&runner, &work, &in, &out, &arena, &err) == STATUS_REFUSED, "refused");
    runner_close(&runner);
    runner_close(&runner);
    cr_assert(opened == 1 && closed == 1, "closed once");
    arena_close(&arena);
}

Test(runner, steps_with_holes)
{
    struct runner gather;
    struct error err;
    struct work work = {0};
    uint64_t full, again, swapped, hole;
    arena_open(&arena, 0);
    struct sample out, a = make(1), b = make(2), c = make(3);
    cr_assert(runner_open(&gather, &stage_three, NULL, NULL, &err) == STATUS_OK, "opens");
    const struct sample *all[] = {&a, &b, &c}, *other[] = {&b, &a, &c}, *two[] = {&a, NULL, &c};
    const struct sample *none[] = {NULL, NULL, NULL}, *four[] = {&a, &b, &c, &a};
    cr_assert(step_make(&gather, &work, all, 3, &out, &full, &arena, &err) == STATUS_OK, "full");
    cr_assert(strcmp(out.key, "key") == 0, "by feed");
    cr_assert(step_make(&gather, &work, all, 3, &out, &again, &arena, &err) == STATUS_OK, "again");
    cr_assert(step_make(&gather, &work, other, 3, &out, &swapped, &arena, &err) == STATUS_OK, "b");
    cr_assert(full == again && full != swapped, "the digest knows the order");
    cr_assert(step_make(&gather, &work, two, 3, &out, &hole, &arena, &err) == STATUS_OK, "a hole");
    cr_assert(strcmp(out.key, "rest") == 0 && hole != full, "by drain");
    cr_assert(step_make(&gather, &work, none, 3, &out, &hole, &arena, &err) == STATUS_EMPTY,
              "none");
    cr_assert(step_make(&gather, &work, four, 4, &out, &hole, &arena, &err) == STATUS_INVALID &&
                  strstr(err.text, "before its last"),
              "a batch that is complete too early");
    cr_assert(step_make(NULL, &work, all, 1, &out, &hole, &arena, &err) == STATUS_OK &&
                  *(int32_t *)sample_find(&out, "n")->data == 1,
              "without a gather stage the sample is the batch");
    runner_close(&gather);
    arena_close(&arena);
}

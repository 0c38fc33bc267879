/* The trainer on several ranks, which are forked processes: four with a sample each learn what one
 * with four does; what is no number on one rank harms none; a bit that differs is found, and its
 * rank named. */
#include "kernels/checkpoint.h"
#include "stages/learn/replicas.h"
#include "stages/learn/saved.h"
#include "tests/stages/crops.h"

#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

extern const struct stage stage_batch, stage_crop, stage_train;

enum { RANKS = 4, STEPS = 3, WELL = 0, ENDED_BADLY = 1, TOLD = 2 };

static char folder[64];
static struct arena arena;
static struct sample made[STEPS][RANKS]; /* crops */
static struct error err;

static void begin(void)
{
    static struct stage_context context = {.name = "crop", .rank_count = 1};
    strcpy(folder, "/tmp/foldmill-replicas-XXXXXX");
    cr_assert(mkdtemp(folder), "no folder");
    arena_open(&arena, 0);
    void *crop = stage_state(&stage_crop, "{length: 16, clusters: 4, extra: 4}", &context, &arena);
    for (int step = 0; step < STEPS; step++)
        for (int i = 0; i < RANKS; i++) {
            struct sample chain;
            struct work work = {.seed = 1, .position = (uint64_t)(step * RANKS + i)};
            chain_make(&chain, &arena, i == 2 ? "third" : "other", (uint64_t)(step * RANKS + i),
                       30, 40, 0);
            stage_feed(&stage_crop, crop, &work, &chain, &made[step][i], &arena);
        }
}

static void end(void)
{
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", folder);
    cr_assert(system(command) == 0, "cleaning up");
    arena_close(&arena);
}

TestSuite(replicas, .init = begin, .fini = end, .timeout = 120);

/* A template whose coordinates are no numbers: no loss of the sample is one then. */
static void poison(struct sample *sample)
{
    const struct field *xyz = sample_find(sample, "template_all_atom_positions");
    const struct field *mask = sample_find(sample, "template_all_atom_mask");
    *(int32_t *)field_data(sample, "template_count") = 1;
    memset(mask->data, 1, field_bytes(mask));
    for (size_t i = 0; i < field_bytes(xyz) / sizeof(float); i++)
        ((float *)xyz->data)[i] = NAN;
}

/* The share of a rank as one sample; NULL: it has none. */
static const struct sample *gather(void *batch, int step, int from, int count, struct sample *out)
{
    struct work work = {.step = (uint64_t)step};
    enum status status = STATUS_EMPTY;
    for (int i = from; i < from + count; i++)
        if (made[step][i].field_count)
            status = stage_batch.feed(batch, &work, &made[step][i], out, &arena, &err);
    if (status == STATUS_EMPTY)
        status = stage_batch.drain(batch, &work, out, &arena, &err);
    return status == STATUS_OK ? out : NULL;
}

static void report(struct stage_context *context, const char *name, double value)
{
    (void)context, (void)name, (void)value;
}

/* Settings of train beside those of its network. */
static const char *settings = "";

/* A rank's life: all steps, then a checkpoint of its own in FOLDER/NAME.RANK. */
static int learn(const char *name, int rank, int ranks)
{
    char path[128], dir[160];
    snprintf(path, sizeof path, "%s/meet", folder);
    snprintf(dir, sizeof dir, "%s/%s.%d", folder, name, rank);
    struct stage_context context = {.name = "train",
                                    .run_dir = dir,
                                    .seed = 3,
                                    .rank = rank,
                                    .rank_count = ranks,
                                    .batch_size = RANKS / ranks,
                                    .report = report};
    char size[32], text[400];
    snprintf(size, sizeof size, "size: %d", RANKS / ranks);
    snprintf(text, sizeof text,
             "{blocks: 1, c_m: 8, c_z: 8, epsilon: 1e-2, backend: cpu, threads: 1, "
             "template_blocks: 1, template_c: 8, template_heads: 1, template_head_dims: 8%s}",
             settings);
    void *batch = stage_state(&stage_batch, size, &context, &arena);
    void *train = stage_state(&stage_train, text, &context, &arena);
    if (mkdir(dir, 0777) || meet_open(path, 9, rank, ranks, context.terms.meet_bytes, 20000,
                                      &context.meet, &err) != STATUS_OK)
        return ENDED_BADLY;
    for (int step = 0; step < STEPS; step++) {
        struct sample share;
        struct work work = {.step = (uint64_t)step};
        const struct sample *in =
            gather(batch, step, rank * RANKS / ranks, RANKS / ranks, &share);
        if (stage_train.feed(train, &work, in, NULL, &arena, &err) != STATUS_OK) {
            fprintf(stderr, "rank %d: %s\n", rank, err.text);
            return ENDED_BADLY;
        }
    }
    struct sink_position position = {.step = STEPS};
    return stage_train.save(train, &position, &err) == STATUS_OK ? WELL : ENDED_BADLY;
}

static void learn_all(const char *name, int ranks)
{
    pid_t pid[RANKS];
    for (int rank = 0; rank < ranks; rank++)
        if ((pid[rank] = fork()) == 0)
            _exit(learn(name, rank, ranks));
    for (int rank = 0; rank < ranks; rank++) {
        int state = 0;
        cr_assert(waitpid(pid[rank], &state, 0) == pid[rank] && WIFEXITED(state) &&
                      WEXITSTATUS(state) == WELL,
                  "%s: rank %d ended with %d", name, rank, state);
    }
}

static struct checkpoint read_model(const char *name, int rank)
{
    char path[160];
    struct checkpoint c;
    snprintf(path, sizeof path, "%s/%s.%d/checkpoints", folder, name, rank);
    cr_assert(checkpoint_read_newest(path, &arena, &c, &err) == STATUS_OK, "%s", err.text);
    return c;
}

/* The largest difference between two models' tensors. */
static double difference(const struct checkpoint *a, const struct checkpoint *b)
{
    double largest = 0;
    cr_assert(a->count == b->count && a->count > 10, "%d tensors", a->count);
    for (int t = 0; t < a->count; t++) {
        const float *x = a->tensor[t].data, *y = b->tensor[t].data;
        for (int64_t i = 0; i < (int64_t)(a->tensor[t].bytes / sizeof *x); i++) {
            double d = fabs((double)x[i] - (double)y[i]);
            cr_assert(isfinite(d), "%s is not finite", a->tensor[t].name);
            largest = d > largest ? d : largest;
        }
    }
    return largest;
}

static void same_on_all_ranks(const char *name, int ranks)
{
    struct checkpoint first = read_model(name, 0);
    for (int rank = 1; rank < ranks; rank++) {
        struct checkpoint other = read_model(name, rank);
        cr_assert(difference(&first, &other) == 0, "%s: rank %d", name, rank);
    }
}

Test(replicas, four_ranks_learn_what_one_does)
{
    learn_all("one", 1);
    learn_all("two", 2);
    learn_all("four", 4);
    same_on_all_ranks("two", 2);
    same_on_all_ranks("four", 4);
    struct checkpoint one = read_model("one", 0), two = read_model("two", 0);
    struct checkpoint four = read_model("four", 0);
    double d2 = difference(&one, &two), d4 = difference(&one, &four);
    cr_assert(d2 < 2e-6 && d4 < 2e-6, "largest difference %g with 2 ranks, %g with 4", d2, d4);
    learn_all("again", 4);
    struct checkpoint again = read_model("again", 0);
    cr_assert(difference(&four, &again) == 0, "another time, other bits");
}

/* Each sample's gradient is cut to a norm far below what it has (some 5), so that all are cut. */
Test(replicas, clipping_each_sample_is_the_same_on_any_number_of_ranks)
{
    settings = ", clip: 0.05, clip_per: sample";
    made[1][1].field_count = 0;
    learn_all("one", 1);
    learn_all("two", 2);
    learn_all("four", 4);
    same_on_all_ranks("four", 4);
    struct checkpoint one = read_model("one", 0), two = read_model("two", 0);
    struct checkpoint four = read_model("four", 0);
    double d2 = difference(&one, &two), d4 = difference(&one, &four);
    cr_assert(d2 < 2e-6 && d4 < 2e-6, "largest difference %g with 2 ranks, %g with 4", d2, d4);
    settings = ", clip: 0.05";
    learn_all("step", 1);
    struct checkpoint step = read_model("step", 0);
    cr_assert(difference(&one, &step) > 1e-5, "clipping the step gives other weights");
}

/* Rank 2 has no number in step 1 and nothing at all in steps 0 and 2: it adds zeros, and the others
 * go on, as one rank with all of it does. */
Test(replicas, what_is_no_number_or_not_there_adds_nothing)
{
    char path[160], row[128] = "";
    made[0][2].field_count = 0;
    poison(&made[1][2]);
    made[2][2].field_count = 0;
    learn_all("one", 1);
    learn_all("four", 4);
    same_on_all_ranks("four", 4);
    struct checkpoint one = read_model("one", 0), four = read_model("four", 0);
    cr_assert(difference(&one, &four) < 2e-6, "%g", difference(&one, &four));
    cr_assert(four.updates == STEPS, "every step had an update");
    snprintf(path, sizeof path, "%s/four.2/train.nonfinite.tsv", folder);
    FILE *file = fopen(path, "r");
    cr_assert(file && fgets(row, sizeof row, file), "%s", path);
    cr_assert(strcmp(row, "1\t2\tthird\tloss\n") == 0, "%s", row);
    fclose(file);
}

/* A step that has no number anywhere changes nothing, on no rank. */
Test(replicas, a_step_without_numbers_is_skipped_by_all)
{
    for (int i = 0; i < RANKS; i++)
        poison(&made[1][i]);
    learn_all("four", 4);
    same_on_all_ranks("four", 4);
    struct checkpoint four = read_model("four", 0);
    cr_assert(four.updates == STEPS - 1, "%llu updates", (unsigned long long)four.updates);
}

/* A rank of three whose gradient is no number: all see it in the sum. Then one bit of a weight. */
static int differ(int rank, int flipped)
{
    char path[128];
    struct meet *meet;
    struct net *net;
    struct net_config config = net_config_default();
    config.length = 8, config.clusters = 4, config.blocks = 1, config.c_m = config.c_z = 8;
    struct backend *backend = cpu_backend_open(1);
    snprintf(path, sizeof path, "%s/meet", folder);
    if (meet_open(path, 9, rank, 3, COMM_REGION_BYTES, 20000, &meet, &err) != STATUS_OK ||
        net_open(&config, backend, &net, &err) != STATUS_OK)
        return ENDED_BADLY;
    struct comm *comm = comm_open(meet, 0, COMM_REGION_BYTES);
    struct step_sums sums = {.weight = 1};
    struct adam_config adam = adam_config_default();
    float *values = calloc((size_t)net_params(net)->size, sizeof *values);
    net_gradient_clear(net);
    if (rank == flipped) {
        values[3] = NAN;
        net_write(net, NET_GRADIENTS, values);
    }
    if (replicas_sum(comm, net, &sums, &err) != STATUS_OK ||
        !net_update(net, &adam, sums.weight, 1).skipped ||
        replicas_check(comm, net, 0, &err) != STATUS_OK)
        return ENDED_BADLY;
    if (rank == flipped) {
        net_read(net, NET_WEIGHTS, values);
        ((uint32_t *)(void *)values)[net_params(net)->size / 2] ^= 1u;
        net_write(net, NET_WEIGHTS, values);
    }
    char named[64];
    snprintf(named, sizeof named, "weights of rank %d are not", flipped);
    enum status status = replicas_check(comm, net, 100, &err);
    return status == STATUS_BUSY && strstr(err.text, named) ? TOLD : ENDED_BADLY;
}

Test(replicas, a_flipped_bit_is_found_and_its_rank_named)
{
    for (int flipped = 0; flipped < 3; flipped++) {
        pid_t pid[3];
        for (int rank = 0; rank < 3; rank++)
            if ((pid[rank] = fork()) == 0)
                _exit(differ(rank, flipped));
        for (int rank = 0; rank < 3; rank++) {
            int state = 0;
            cr_assert(waitpid(pid[rank], &state, 0) == pid[rank] && WIFEXITED(state) &&
                          WEXITSTATUS(state) == TOLD,
                      "rank %d, with rank %d flipped: %d", rank, flipped, state);
        }
    }
}

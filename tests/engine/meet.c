/* Members of a meeting on one and on several hosts: barriers, the same bytes everywhere, and a
 * failure that all hear of, whoever ends and however. */
#include "tests/engine/meet_rig.h"

#include "engine/base/rng.h"

enum { STEPS = 1000, RANKS = 6, CELL = 64, CELLS = 256, WRITES = 10, BYTES = CELL * CELLS };

/* What stands in a cell of a region, and where it may be read: on two hosts, or on all. */
struct cell {
    unsigned char value;
    int writer, to; /* writer -1: it is not written in this step */
};

struct model {
    struct cell cell[RANKS][CELLS];
};

/* The writes of a step, which all members draw alike: nobody writes what another does. */
static void plan_draw(const struct rig *rig, int step, struct model *plan)
{
    struct rng rng = rng_open(77, (uint64_t)step, 0, "meet", 0);
    memset(plan, -1, sizeof *plan);
    for (uint32_t i = rng_below(&rng, WRITES); i > 0; i--) {
        struct cell cell = {.writer = (int)rng_below(&rng, (uint32_t)rig->ranks)};
        struct cell *row = plan->cell[rng_below(&rng, (uint32_t)rig->ranks)];
        uint32_t first = rng_below(&rng, CELLS), many = 1 + rng_below(&rng, CELLS / 3);
        cell.to = (int)rng_below(&rng, 2 * (uint32_t)rig->ranks) - rig->ranks;
        cell.to = cell.to < 0 ? MEET_ALL : cell.to;
        cell.value = (unsigned char)rng_u32(&rng);
        for (uint32_t c = first; c < first + many && c < CELLS; c++)
            if (row[c].writer < 0)
                row[c] = cell;
    }
}

/* Writes this member's part; what is written in runs is said in runs. */
static void plan_do(const struct rig *rig, struct meet *meet, const struct model *plan)
{
    int rank = meet_rank(meet);
    for (int r = 0; r < rig->ranks; r++) {
        unsigned char *region = meet_region(meet, r);
        for (size_t c = 0; c < CELLS; c++) {
            const struct cell *cell = &plan->cell[r][c];
            if (cell->writer != rank)
                continue;
            memset(region + c * CELL, cell->value, CELL);
            meet_wrote(meet, r, c * CELL, CELL, cell->to);
        }
    }
}

static void model_add(struct model *model, const struct model *plan)
{
    for (int r = 0; r < RANKS; r++)
        for (int c = 0; c < CELLS; c++)
            if (plan->cell[r][c].writer >= 0)
                model->cell[r][c] = plan->cell[r][c];
}

/* Cells that nobody writes in the step that has begun, and that were sent here. */
static bool model_is_right(const struct rig *rig, struct meet *meet, const struct model *model,
                           const struct model *next)
{
    const int *host_of = rig->place.host_of;
    int here = host_of[meet_rank(meet)];
    for (int r = 0; r < rig->ranks; r++)
        for (size_t c = 0; c < CELLS; c++) {
            const struct cell *cell = &model->cell[r][c];
            const unsigned char *found = (unsigned char *)meet_region(meet, r) + c * CELL;
            bool readable = cell->writer < 0 || cell->to == MEET_ALL || host_of[cell->to] == here ||
                            host_of[cell->writer] == here;
            unsigned char wanted = cell->writer < 0 ? 0 : cell->value;
            if (readable && next->cell[r][c].writer < 0 &&
                (found[0] != wanted || memcmp(found, found + 1, CELL - 1) != 0))
                return false;
        }
    return true;
}

static int random_life(struct rig *rig, int rank)
{
    static struct model model, plan, next;
    struct meet *meet;
    struct error err = {0};
    memset(&model, -1, sizeof model);
    enum status status = rig_meet(rig, rank, &meet, &err);
    plan_draw(rig, 0, &plan);
    for (int step = 0; step < STEPS && status == STATUS_OK; step++) {
        plan_do(rig, meet, &plan);
        status = meet_wait(meet, NULL, NULL, &err);
        rig->at[rank] = step;
        model_add(&model, &plan);
        plan_draw(rig, step + 1, &next);
        if (status == STATUS_OK && !model_is_right(rig, meet, &model, &next)) {
            snprintf(rig->text[rank], sizeof rig->text[rank], "other bytes in step %d", step);
            return 2;
        }
        plan = next;
    }
    memcpy(rig->text[rank], err.text, sizeof err.text);
    if (status == STATUS_OK)
        rig_leave(meet);
    return status != STATUS_OK;
}

static void random_steps(const char *hosts)
{
    struct rig *rig = rig_open(hosts, BYTES);
    rig_start(rig, random_life);
    rig_all_end_well(rig);
    rig_close(rig);
}

Test(meet, random_steps_on_one_host, .timeout = 120)
{
    random_steps("0000");
}

Test(meet, random_steps_on_two_hosts, .timeout = 120)
{
    random_steps("0011");
}

Test(meet, random_steps_on_three_hosts_mixed, .timeout = 120)
{
    random_steps("012201");
}

/* ---- much at once, and nothing ---- */

enum { BIG = 9 << 20 };

static int big_life(struct rig *rig, int rank)
{
    struct meet *meet;
    struct error err = {0};
    enum status status = rig_meet(rig, rank, &meet, &err);
    for (int step = 1; step <= 4 && status == STATUS_OK; step++) {
        uint64_t *own = meet_region(meet, rank);
        for (size_t i = 0; i < BIG / sizeof *own; i++)
            own[i] = i * 31 + (uint64_t)(step * 7 + rank);
        meet_wrote(meet, rank, 0, BIG, MEET_ALL);
        status = meet_wait(meet, NULL, NULL, &err);
        for (int r = 0; r < rig->ranks && status == STATUS_OK; r++) {
            const uint64_t *found = meet_region(meet, r);
            for (size_t i = 0; i < BIG / sizeof *found; i++)
                if (found[i] != i * 31 + (uint64_t)(step * 7 + r))
                    return 2;
        }
        if (status == STATUS_OK)
            status = meet_wait(meet, NULL, NULL, &err);
    }
    memcpy(rig->text[rank], err.text, sizeof err.text);
    if (status == STATUS_OK)
        rig_leave(meet);
    return status != STATUS_OK;
}

/* More than all queues hold: those who send wait, and nobody for ever. */
Test(meet, more_than_fits_into_queues, .timeout = 120)
{
    struct rig *rig = rig_open("012", BIG);
    rig_start(rig, big_life);
    rig_all_end_well(rig);
    rig_close(rig);
}

/* ---- failures ---- */

enum { FAILED = 7 };

/* Meets for ever, until it fails; says how it failed, and when. */
static int failing_life(struct rig *rig, int rank)
{
    struct meet *meet;
    struct error err = {0};
    if (rig_meet(rig, rank, &meet, &err) != STATUS_OK) {
        memcpy(rig->text[rank], err.text, sizeof err.text);
        return 1;
    }
    while (meet_wait(meet, NULL, NULL, &err) == STATUS_OK) {
        rig->at[rank]++;
        meet_wrote(meet, rank, 0, CELL, MEET_ALL);
        usleep(200);
    }
    rig->at[rank] = -clock_ms();
    memcpy(rig->text[rank], err.text, sizeof err.text);
    return FAILED; /* without closing: the process ends like one that was given up */
}

/* The others fail within limit_ms and name it. */
static void others_fail(struct rig *rig, uint64_t hit, int64_t since, int64_t limit_ms,
                        const char *names, const char *also)
{
    for (int rank = 0; rank < rig->ranks; rank++) {
        if (hit >> rank & 1)
            continue;
        int code = rig_code(rig, rank);
        cr_assert(code == FAILED, "rank %d ended with %d: %s", rank, code, rig->text[rank]);
        int64_t took = -rig->at[rank] - since;
        cr_assert(took <= limit_ms, "rank %d took %lld ms: %s", rank, (long long)took,
                  rig->text[rank]);
        cr_assert(strstr(rig->text[rank], names) || (also && strstr(rig->text[rank], also)),
                  "rank %d says: %s", rank, rig->text[rank]);
    }
}

/* hit: bits of members that get the signal in the middle of the meeting. */
static void signal_members(const char *hosts, uint64_t hit, int number, int64_t limit_ms,
                           const char *names, const char *also)
{
    struct rig *rig = rig_open(hosts, BYTES);
    rig_start(rig, failing_life);
    rig_await(rig, 20);
    int64_t since = clock_ms();
    for (int rank = 0; rank < rig->ranks; rank++)
        if (hit >> rank & 1)
            kill(rig->pid[rank], number);
    others_fail(rig, hit, since, limit_ms, names, also);
    for (int rank = 0; rank < rig->ranks; rank++)
        if (hit >> rank & 1) {
            kill(rig->pid[rank], SIGKILL);
            rig_code(rig, rank);
        }
    rig_close(rig);
}

Test(meet, a_killed_member_is_named_on_all_hosts, .timeout = 60)
{
    signal_members("0011", 1 << 3, SIGKILL, 4000, "rank 3", NULL);
}

Test(meet, a_killed_member_beside_the_hub_is_named, .timeout = 60)
{
    signal_members("0011", 1 << 1, SIGKILL, 4000, "rank 1", NULL);
}

/* Rank 2 is the bridge of its host, whose other member may say that its neighbour has exited. */
Test(meet, a_killed_bridge_is_named_with_its_host, .timeout = 60)
{
    signal_members("0011", 1 << 2, SIGKILL, 4000, "rank(s) 2, 3", "rank 2");
}

Test(meet, a_killed_host_is_named, .timeout = 60)
{
    signal_members("01122", 3 << 1, SIGKILL, 4000, "rank(s) 1, 2", NULL);
}

Test(meet, the_killed_hub_is_named, .timeout = 60)
{
    signal_members("00112", 1, SIGKILL, 4000, "rank(s) 0, 1", "rank 0");
}

Test(meet, the_killed_host_of_the_hub_is_named, .timeout = 60)
{
    signal_members("00112", 3, SIGKILL, 4000, "rank(s) 0, 1", NULL);
}

Test(meet, a_stopped_host_is_named, .timeout = 60)
{
    signal_members("0112", 3 << 1, SIGSTOP, 10000, "rank(s) 1, 2", NULL);
}

Test(meet, the_stopped_hub_is_named, .timeout = 60)
{
    signal_members("0012", 3, SIGSTOP, 10000, "rank(s) 0, 1", NULL);
}

/* ---- stalls that heal ---- */

static int counting_life(struct rig *rig, int rank)
{
    struct meet *meet;
    struct error err = {0};
    enum status status = rig_meet(rig, rank, &meet, &err);
    for (int step = 0; step < 300 && status == STATUS_OK; step++) {
        uint64_t *own = meet_region(meet, rank);
        *own += (uint64_t)rank + 1;
        meet_wrote(meet, rank, 0, sizeof *own, MEET_ALL);
        status = meet_wait(meet, NULL, NULL, &err);
        for (int r = 0; r < rig->ranks && status == STATUS_OK; r++)
            if (*(uint64_t *)meet_region(meet, r) != (uint64_t)(r + 1) * (uint64_t)(step + 1))
                return 2;
        if (status == STATUS_OK)
            status = meet_wait(meet, NULL, NULL, &err);
        rig->at[rank] = step;
        usleep(1000);
    }
    memcpy(rig->text[rank], err.text, sizeof err.text);
    if (status == STATUS_OK)
        rig_leave(meet);
    return status != STATUS_OK;
}

Test(meet, a_host_that_stalls_for_three_seconds_goes_on, .timeout = 60)
{
    struct rig *rig = rig_open("0112", BYTES);
    rig_start(rig, counting_life);
    rig_await(rig, 20);
    kill(rig->pid[1], SIGSTOP);
    kill(rig->pid[2], SIGSTOP);
    usleep(3000 * 1000);
    kill(rig->pid[2], SIGCONT);
    kill(rig->pid[1], SIGCONT);
    rig_all_end_well(rig);
    rig_close(rig);
}

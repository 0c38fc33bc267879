/* The figures of a run, against tables small enough to compute by hand; and what progress writes.
 */
#include "engine/progress.h"
#include "engine/summary.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static bool near(double a, double b)
{
    return a - b < 1e-9 && b - a < 1e-9;
}

Test(summary, steps_by_hand)
{
    static char table[4096] = "step\tepoch\tdigest\twaited_s\tcomputed_s\tloss\n";
    /* Epoch 0: 4 steps, epoch 1: 12 steps, epoch 2: 1 step. */
    for (int i = 0; i < 17; i++) {
        int epoch = i < 4 ? 0 : i < 16 ? 1 : 2;
        double waited = i == 0 ? 5 : epoch == 1 && i < 14 ? 0.2 : 0.1;
        size_t used = strlen(table);
        snprintf(table + used, sizeof table - used, "%d\t%d\tabc\t%g\t1\t2.5\n", i, epoch, waited);
    }
    struct step_figures figures;
    struct error err;
    cr_assert(summary_steps(span_of(table), &figures, &err) == STATUS_OK, "%s", err.text);
    cr_assert(figures.steps == 17 && figures.epochs == 3, "counts");
    cr_assert(near(figures.computed, 17) && near(figures.waited, 5 + 10 * 0.2 + 6 * 0.1), "sums");
    cr_assert(figures.second_epoch_steps == 10 && near(figures.second_epoch_start, 0.2), "second");
    cr_assert(near(figures.elsewhere, 0.1), "elsewhere leaves the first step of all out");
    cr_assert(near(figures.epoch_start, (5 + 0.2 + 0.1) / 3), "epoch starts");
    cr_assert(near(figures.per_epoch, (9.3 + 14.2) / 2), "whole epochs: %g", figures.per_epoch);
    cr_assert(near(summary_mean(span_of(table), "loss"), 2.5), "a column's mean");
    cr_assert(summary_mean(span_of(table), "none") < 0, "no such column");
}

Test(summary, broken_tables)
{
    struct step_figures figures;
    struct error err;
    cr_assert(summary_steps(span_of(""), &figures, &err) == STATUS_OK && figures.steps == 0,
              "empty");
    cr_assert(summary_steps(span_of("step\tepoch\n"), &figures, &err) == STATUS_CORRUPT &&
                  strstr(err.text, "waited_s"),
              "a column that is not there");
    cr_assert(summary_steps(span_of("step\tepoch\twaited_s\tcomputed_s\n1\t0\tx\t1\n"), &figures,
                            &err) == STATUS_CORRUPT &&
                  strstr(err.text, "line 2"),
              "a word for a number");
    cr_assert(summary_steps(span_of("step\tepoch\twaited_s\tcomputed_s\n1\t0\n"), &figures, &err) ==
                  STATUS_CORRUPT,
              "a short row");
}

Test(progress, plain_lines_where_there_is_no_terminal)
{
    int ends[2];
    cr_assert(pipe(ends) == 0, "pipe");
    struct progress progress;
    struct progress_row rows[2] = {{"parse", 4, 120, 424, 12.34, 3, "waiting for work"},
                                   {"train", 1, 7, 0, 1.5, 0, "loss 2.1"}};
    progress_open(&progress, ends[1], false);
    cr_assert(!progress.terminal && progress_due(&progress, PROGRESS_LINE_MS), "due");
    progress_draw(&progress, "title", rows, 2, PROGRESS_LINE_MS);
    cr_assert(!progress_due(&progress, PROGRESS_LINE_MS + 100), "not again at once");
    progress_line(&progress, SPAN("a line"));
    char got[1024] = "";
    ssize_t size = read(ends[0], got, sizeof got - 1);
    cr_assert(size > 0 && strstr(got, "title\n") && strstr(got, "120/424") &&
                  strstr(got, "x4 ") && strstr(got, "a line\n"),
              "%s", got);
    cr_assert(!strchr(got, '\033'), "no escape codes");
}

Test(progress, quiet_shows_lines_alone)
{
    int ends[2];
    cr_assert(pipe(ends) == 0, "pipe");
    struct progress progress;
    progress_open(&progress, ends[1], true);
    cr_assert(!progress_due(&progress, 1000000), "never due");
    progress_draw(&progress, "title", NULL, 0, 1);
    progress_line(&progress, SPAN("bad news"));
    char got[64] = "";
    cr_assert(read(ends[0], got, sizeof got - 1) == 9 && strcmp(got, "bad news\n") == 0, "%s", got);
}

Test(progress, a_terminal_is_redrawn_in_place)
{
    int ends[2];
    cr_assert(pipe(ends) == 0, "pipe");
    struct progress progress;
    struct progress_row row = {"parse", 1, 1, 2, 1, 0, ""};
    progress_open(&progress, ends[1], false);
    progress.terminal = true; /* a pipe that is taken for one */
    progress_draw(&progress, "title", &row, 1, 1000);
    progress_draw(&progress, "title", &row, 1, 2000);
    progress_clear(&progress);
    char got[2048] = "";
    cr_assert(read(ends[0], got, sizeof got - 1) > 0, "drawn");
    cr_assert(strstr(got, "\r\033[2A\033[Jtitle"), "two lines up, then again");
    cr_assert(strlen(got) > 8 && strcmp(got + strlen(got) - 8, "\r\033[2A\033[J") == 0, "cleared");
}

/* Figures of a run; see summary.h. */
#include "engine/summary.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum { COLUMNS_MAX = 64 };

/* Splits a line at its tabs; returns how many parts there are. */
static int split(struct span line, struct span parts[COLUMNS_MAX])
{
    int count = 0;
    while (count < COLUMNS_MAX) {
        const char *tab = memchr(line.data, '\t', line.size);
        size_t size = tab ? (size_t)(tab - line.data) : line.size;
        parts[count++] = (struct span){line.data, size};
        if (!tab)
            break;
        line = (struct span){tab + 1, line.size - size - 1};
    }
    return count;
}

static int find_column(const struct span *parts, int count, const char *name)
{
    for (int i = 0; i < count; i++)
        if (span_is(parts[i], name))
            return i;
    return -1;
}

struct row {
    int64_t step, epoch;
    double waited, computed;
};

static const char *const step_columns[] = {"step", "epoch", "waited_s", "computed_s"};

static bool read_row(struct span line, const int column[4], struct row *row)
{
    struct span parts[COLUMNS_MAX];
    int count = split(line, parts);
    for (int i = 0; i < 4; i++)
        if (column[i] >= count)
            return false;
    return text_int(parts[column[0]], 0, INT64_MAX, &row->step) &&
           text_int(parts[column[1]], 0, SUMMARY_EPOCHS_MAX, &row->epoch) &&
           text_double(parts[column[2]], &row->waited) &&
           text_double(parts[column[3]], &row->computed);
}

/* Sums while the rows go by; the last epoch counts as whole when no other came after it. */
struct sums {
    struct row last;
    uint64_t in_epoch, elsewhere_count, whole;
    double elsewhere, second, starts, epoch_time, whole_time;
};

static void add_row(struct step_figures *figures, struct sums *sums, const struct row *row)
{
    bool first = figures->steps == 0 || row->epoch != sums->last.epoch;
    if (first && figures->steps) {
        sums->whole++;
        sums->whole_time += sums->epoch_time;
        sums->epoch_time = 0;
    }
    sums->in_epoch = first ? 0 : sums->in_epoch + 1;
    if (first) {
        figures->epochs++;
        sums->starts += row->waited;
    }
    if (figures->epochs == 2 && sums->in_epoch < SUMMARY_FIRST_STEPS) {
        sums->second += row->waited;
        figures->second_epoch_steps++;
    } else if (figures->steps) {
        sums->elsewhere += row->waited;
        sums->elsewhere_count++;
    }
    sums->epoch_time += row->waited + row->computed;
    figures->computed += row->computed;
    figures->waited += row->waited;
    figures->steps++;
    sums->last = *row;
}

enum status summary_steps(struct span table, struct step_figures *figures, struct error *err)
{
    struct span line, parts[COLUMNS_MAX];
    struct sums sums = {0};
    int column[4] = {0};
    *figures = (struct step_figures){0};
    if (!span_line(&table, &line))
        return STATUS_OK;
    int count = split(line, parts);
    for (int i = 0; i < 4; i++) {
        column[i] = find_column(parts, count, step_columns[i]);
        if (column[i] < 0)
            return error_set(err, STATUS_CORRUPT, "no column \"%s\" in a table of steps",
                             step_columns[i]);
    }
    for (int number = 2; span_line(&table, &line); number++) {
        struct row row;
        if (!read_row(line, column, &row))
            return error_set(err, STATUS_CORRUPT,
                             "line %d of a table of steps has no numbers "
                             "where they should be",
                             number);
        add_row(figures, &sums, &row);
    }
    if (figures->steps == 0)
        return STATUS_OK;
    figures->per_step = (figures->computed + figures->waited) / (double)figures->steps;
    figures->per_epoch = sums.whole ? sums.whole_time / (double)sums.whole : sums.epoch_time;
    figures->epoch_start = sums.starts / (double)figures->epochs;
    if (figures->second_epoch_steps)
        figures->second_epoch_start = sums.second / (double)figures->second_epoch_steps;
    if (sums.elsewhere_count)
        figures->elsewhere = sums.elsewhere / (double)sums.elsewhere_count;
    return STATUS_OK;
}

double summary_mean(struct span table, const char *name)
{
    struct span line, parts[COLUMNS_MAX];
    double sum = 0, value;
    int64_t rows = 0;
    if (!span_line(&table, &line))
        return -1;
    int column = find_column(parts, split(line, parts), name);
    while (column >= 0 && span_line(&table, &line))
        if (split(line, parts) > column && text_double(parts[column], &value)) {
            sum += value;
            rows++;
        }
    return rows ? sum / (double)rows : -1;
}

char *summary_text(struct arena *arena, const char *sink, const struct step_figures *figures)
{
    double total = figures->computed + figures->waited;
    char second[128] = "there was no second epoch";
    if (figures->second_epoch_steps)
        snprintf(second, sizeof second, "%.4f s, elsewhere %.4f s", figures->second_epoch_start,
                 figures->elsewhere);
    return arena_printf(arena,
                        "%s\n"
                        "  utilisation (computing, not waiting) %10.1f %%\n"
                        "  iterations                           %10llu\n"
                        "  epochs begun                         %10llu\n"
                        "  seconds per iteration                %10.4f\n"
                        "  minutes per epoch                    %10.3f\n"
                        "  waiting at the start of an epoch     %10.4f s\n"
                        "  mean wait, steps 1-%d of epoch 2      %s\n"
                        "  total hours                          %10.4f\n",
                        sink, total > 0 ? 100 * figures->computed / total : 0.0,
                        (unsigned long long)figures->steps, (unsigned long long)figures->epochs,
                        figures->per_step, figures->per_epoch / 60, figures->epoch_start,
                        SUMMARY_FIRST_STEPS, second, total / 3600);
}

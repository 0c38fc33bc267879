/* Draws distance maps, traces and losses; see picture.h. */
#include "stages/learn/picture.h"

#include "engine/base/file.h"
#include "engine/base/log.h"
#include "engine/plot.h"
#include "stages/bio/separation.h"
#include "stages/learn/fold_score.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PATH_ROOM = PATH_MAX, SCRIPT_ROOM = 3 * PATH_MAX };

/* Expected distance of a pair under the predicted bins. */
static float expected_distance(const float *logits)
{
    double sum = 0, mean = 0, largest = (double)logits[0];
    for (int b = 1; b < NET_DISTOGRAM_BINS; b++)
        largest = fmax(largest, (double)logits[b]);
    for (int b = 0; b < NET_DISTOGRAM_BINS; b++) {
        double p = exp((double)logits[b] - largest);
        sum += p;
        mean += p * (double)distance_of_bin(b);
    }
    return (float)(mean / sum);
}

/* Opens RUN/plots/NAME.tsv; folder and path: PATH_ROOM bytes. */
static enum status table_open(const char *run_dir, const char *name, char *folder, char *path,
                              FILE **table, struct error *err)
{
    *table = NULL;
    if (snprintf(folder, PATH_ROOM, "%s/plots", run_dir) >= PATH_ROOM ||
        snprintf(path, PATH_ROOM, "%s/plots/%s.tsv", run_dir, name) >= PATH_ROOM)
        return error_set(err, STATUS_LIMIT, "the name of the run's folder is too long");
    enum status status = file_make_dirs(folder, err);
    if (status == STATUS_OK && !(*table = fopen(path, "w")))
        status = error_set(err, STATUS_IO, "%s: %s", path, strerror(errno));
    return status;
}

/* The table is there without gnuplot. */
static enum status draw(FILE *table, const char *folder, const char *path, const char *name,
                        const char *script, struct error *err)
{
    if (table && fclose(table) != 0)
        return error_set(err, STATUS_IO, "%s: %s", path, strerror(errno));
    struct error found;
    enum status status = plot_make(folder, name, script, &found);
    if (status != STATUS_OK && status != STATUS_MISS) /* a picture is worth no failure */
        log_warn("%s", found.text);
    return STATUS_OK;
}

enum status picture_map(const char *run_dir, const char *key, int64_t length,
                        const struct net_input *input, const float *logits, struct error *err)
{
    char folder[PATH_ROOM], path[PATH_ROOM], name[NAME_MAX], script[SCRIPT_ROOM];
    FILE *table;
    snprintf(name, sizeof name, "map_%s", key);
    enum status status = table_open(run_dir, name, folder, path, &table, err);
    if (status != STATUS_OK)
        return status;
    for (int64_t i = 0; i < length; i++) {
        for (int64_t j = 0; j < length; j++) {
            double x[3], distance = (double)NAN;
            for (int axis = 0; axis < 3; axis++)
                x[axis] = (double)input->pseudo_beta[3 * i + axis] -
                          (double)input->pseudo_beta[3 * j + axis];
            bool known = input->pseudo_beta_mask[i] > 0 && input->pseudo_beta_mask[j] > 0;
            if (i > j && known)
                distance = fmin(sqrt(x[0] * x[0] + x[1] * x[1] + x[2] * x[2]), 22);
            if (i < j && input->seq_mask[i] > 0 && input->seq_mask[j] > 0)
                distance =
                    (double)expected_distance(logits + (i * length + j) * NET_DISTOGRAM_BINS);
            fprintf(table, "%lld\t%lld\t%.2f\n", (long long)i, (long long)j, distance);
        }
        fputc('\n', table);
    }
    snprintf(script, sizeof script,
             "set title 'held-out %s: distances (Angstrom), true below the diagonal, predicted "
             "above' noenhanced\nset size square\nunset key\nset cbrange [2:22]\n"
             "set palette rgbformulae 22,13,-31 negative\nset xrange [-0.5:%lld.5]\n"
             "set yrange [%lld.5:-0.5]\nset xlabel 'residue'\n"
             "plot '%s' using 2:1:3 with image\n",
             key, (long long)length - 1, (long long)length - 1, path);
    return draw(table, folder, path, name, script, err);
}

enum status picture_trace(const char *run_dir, const char *key, int64_t length,
                          const struct net_input *input, const float *ca, struct error *err)
{
    char folder[PATH_ROOM], path[PATH_ROOM], name[NAME_MAX], script[SCRIPT_ROOM];
    const float *truth = input->truth.ca, *mask = input->truth.ca_mask;
    FILE *table;
    float *moved = malloc((size_t)length * 3 * sizeof *moved);
    ASSERT(moved);
    if (!fold_superpose(length, ca, truth, mask, moved)) { /* nothing is known of it */
        free(moved);
        return STATUS_OK;
    }
    snprintf(name, sizeof name, "trace_%s", key);
    enum status status = table_open(run_dir, name, folder, path, &table, err);
    for (int64_t i = 0; i < length && status == STATUS_OK; i++) {
        if (input->seq_mask[i] <= 0)
            continue;
        fprintf(table, "%d", input->residue_index[i] + 1);
        for (int axis = 0; axis < 3; axis++) /* gnuplot breaks the line where the truth is not */
            fprintf(table, "\t%.3f",
                    mask[i] > 0 ? (double)truth[3 * i + axis] : (double)NAN);
        for (int axis = 0; axis < 3; axis++)
            fprintf(table, "\t%.3f", (double)moved[3 * i + axis]);
        fputc('\n', table);
    }
    free(moved);
    if (status != STATUS_OK)
        return status;
    snprintf(script, sizeof script,
             "set multiplot layout 1,2 title 'held-out %s: CA traces superposed (Angstrom)' "
             "noenhanced\nset size ratio -1\nset key below\nset datafile missing 'nan'\n"
             "set xlabel 'x'\nset ylabel 'y'\n"
             "plot '%s' using 2:3 with lines lw 2 title 'true', "
             "'' using 5:6 with lines lw 2 title 'predicted'\n"
             "set xlabel 'x'\nset ylabel 'z'\n"
             "plot '%s' using 2:4 with lines lw 2 title 'true', "
             "'' using 5:7 with lines lw 2 title 'predicted'\nunset multiplot\n",
             key, path, path);
    return draw(table, folder, path, name, script, err);
}

enum status picture_losses(const char *run_dir, const char *name, const char *table,
                           const struct picture_bounds *bounds, struct error *err)
{
    char folder[PATH_ROOM], script[SCRIPT_ROOM], lddt[PATH_ROOM + 300] = "";
    char entropy[200] = "";
    bool folds = isfinite(bounds->nearest);
    if (isfinite(bounds->entropy))
        snprintf(entropy, sizeof entropy, ", %f lw 2 dt 3 title 'entropy of the column profiles'",
                 bounds->entropy);
    if (snprintf(folder, sizeof folder, "%s/plots", run_dir) >= PATH_ROOM)
        return error_set(err, STATUS_LIMIT, "the name of the run's folder is too long");
    if (folds)
        snprintf(lddt, sizeof lddt,
                 "set title 'lDDT-CA'\n"
                 "plot '%s' using 1:7 skip 1 with linespoints lw 2 title 'network', "
                 "%f lw 2 dt 2 title 'nearest training chain, copied'\n",
                 table, bounds->nearest);
    snprintf(script, sizeof script,
             "set multiplot layout 1,%d title 'held-out losses by checkpoint'\n"
             "set xlabel 'step'\nset key below vertical\nset title 'distogram'\n"
             "plot '%s' using 1:2 skip 1 with linespoints lw 2 title 'network', "
             "%f lw 2 dt 2 title 'sequence separation alone'\n"
             "set title 'masked MSA'\n"
             "plot '%s' using 1:3 skip 1 with linespoints lw 2 title 'network', "
             "%f lw 2 dt 2 title 'start, ln 23'%s\n"
             "%sunset multiplot\n",
             folds ? 3 : 2, table, bounds->separation, table, log(NET_MSA_CLASSES),
             entropy, lddt);
    return draw(NULL, folder, "", name, script, err);
}

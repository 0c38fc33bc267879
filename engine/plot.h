/* Pictures for people: gnuplot makes a PNG from a script and the tables in a run's directory. The
 * script stays beside the picture, so that it can be edited and run again. */
#ifndef FOLDMILL_PLOT_H
#define FOLDMILL_PLOT_H

#include "engine/base/error.h"
#include "engine/base/text.h"

/* Writes FOLDER/NAME.gnuplot (script after a header that sets terminal, output FOLDER/NAME.png and
 * tab-separated input) and runs gnuplot on it. STATUS_MISS: gnuplot is not installed; STATUS_IO:
 * it failed, with its first line of complaint. A run that hangs is ended after 60 s. */
enum status plot_make(const char *folder, const char *name, const char *script, struct error *err);

/* plots/SINK.png from RUN/SINK.tsv: what its stage reports, and seconds waited and computed, by
 * step. */
enum status plot_steps(const char *run_dir, const char *sink, struct error *err);

/* plots/utilisation.png from RUN/metrics.tsv: share of the CPUs, and of the sink's time that it
 * computed, over the run. */
enum status plot_utilisation(const char *run_dir, const char *sink, struct error *err);

#endif

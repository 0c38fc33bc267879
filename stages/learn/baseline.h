/* What the training chains of a store say without any network: distances by sequence separation,
 * and places by the nearest chain. Evaluation stands beside them. */
#ifndef STAGES_LEARN_BASELINE_H
#define STAGES_LEARN_BASELINE_H

#include "engine/base/error.h"
#include "stages/bio/separation.h"
#include "stages/learn/nearest.h"

#include <stdbool.h>

struct baseline {
    struct separation separation; /* fitted on the training chains */
    struct nearest nearest;       /* these chains */
    double entropy;               /* of the held-out chains' column profiles; NAN: not known */
    bool known;                   /* there were training chains */
};

/* Reads all chains of the store; what stays lies in process. */
enum status baseline_fit(struct baseline *baseline, const char *store_path, struct arena *process,
                         struct error *err);

#endif

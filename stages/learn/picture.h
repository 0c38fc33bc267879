/* Pictures of what was learnt, in RUN/plots: tables, and gnuplot's drawings of them where it is
 * installed. */
#ifndef STAGES_LEARN_PICTURE_H
#define STAGES_LEARN_PICTURE_H

#include "kernels/net/net.h"

/* map_KEY: true distances below the diagonal, expected ones of logits[L,L,64] above. */
enum status picture_map(const char *run_dir, const char *key, int64_t length,
                        const struct net_input *input, const float *logits, struct error *err);

/* trace_KEY: the CA trace of a prediction ca[L,3], laid on the true one where that is known, from
 * two sides. */
enum status picture_trace(const char *run_dir, const char *key, int64_t length,
                          const struct net_input *input, const float *ca, struct error *err);

/* NAME: held-out losses by checkpoint out of table, beside what they are compared with; and lDDT-CA
 * beside that of copied neighbours (NAN: there are no structures). */
struct picture_bounds {
    double separation, entropy, nearest;
};
enum status picture_losses(const char *run_dir, const char *name, const char *table,
                           const struct picture_bounds *bounds, struct error *err);

#endif

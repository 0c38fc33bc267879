/* `foldmill profile` of a stage that trains: some steps on a made-up sample, measured by module and
 * by op (kernels/profile.h), as tables or as JSON. */
#ifndef STAGES_LEARN_PROFILE_H
#define STAGES_LEARN_PROFILE_H

#include "stages/learn/network.h"

/* Runs options->steps training steps of the network of these settings and prints. STATUS_INVALID:
 * the configuration or the options; STATUS_LIMIT: no memory for it. */
enum status network_profile(const struct network_settings *settings,
                            const struct adam_config *adam, const struct stage_profile *options,
                            struct error *err);

#endif

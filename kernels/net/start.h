/* Starting weights out of a safetensors file: of a checkpoint of another run (its moving average),
 * or of anyone's program that names parameters as OpenFold does or did (names.h). */
#ifndef FOLDMILL_KERNELS_NET_START_H
#define FOLDMILL_KERNELS_NET_START_H

#include "kernels/net/net.h"
#include "kernels/net/params.h"

/* The numbers of all parameters into values[params->size]; NULL: only checks. Tensors are f32, bf16
 * or f16; those of linear layers are [out,in], vectors have one axis. STATUS_INVALID: tensors are
 * missing, in surplus, there twice or of another shape or kind: one text counts and names them,
 * with the nearest name of what is missing for what is in surplus; the log has them all. */
enum status start_take(const struct params *params, const struct safetensors *from, float *values,
                       struct error *err);

/* Whether the file holds the weights of a network of this configuration. STATUS_IO, STATUS_CORRUPT,
 * or as start_take; texts begin with the path. */
enum status net_start_check(const struct net_config *config, const char *path, struct error *err);

/* Weights and moving average become those of the file, moments zero, updates 0. The network's
 * checkpoints then note the file's name and digest under "start". Errors as above leave the network
 * as it was. */
enum status net_start(struct net *net, const char *path, struct error *err);

/* That note; empty: the weights came from the seed. */
const char *net_started(const struct net *net);

#endif

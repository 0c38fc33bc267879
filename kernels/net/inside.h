/* What the files of the network share, and nobody else sees. */
#ifndef FOLDMILL_KERNELS_NET_INSIDE_H
#define FOLDMILL_KERNELS_NET_INSIDE_H

#include "kernels/net/net.h"

enum { BUFFERS = 5 };

/* The tensors of one pass. */
struct pass {
    struct model_pass model;
    bool losses;
    struct tensor distogram_bin, distogram_weight, msa_class, msa_weight;
    struct tensor loss[2]; /* distogram, masked MSA */
};

struct net {
    struct net_config config;
    struct backend *backend;
    struct params params;
    struct model model;
    struct tape tape;
    struct recycled carried; /* what the pass before left; memory outside the tape */
    char *buffer[BUFFERS], *norm;
    struct pass pass;        /* the last one: what backward goes back through */
    double weight;           /* of the last recorded pass's sample */
    int64_t updates;
    void *host; /* staging for uploads: the largest input */
    size_t host_bytes;
};

/* pass.c: places for features and, with losses, for targets; then all ops, forward; then the
 * gradients of weight * total loss. */
struct pass pass_open(struct net *net, bool losses);
void pass_run(struct net *net, struct pass *p);
void pass_back(struct net *net, const struct pass *p, double weight);

/* input.c: host floats into a real tensor's memory, and back. */
void net_upload(struct net *net, void *to, const float *values, size_t count);
void net_download(struct net *net, float *values, const void *from, size_t count);

/* Features of pass `number` and masks, and the targets where p has losses, into p's tensors. */
enum status net_upload_input(struct net *net, const struct pass *p, const struct net_input *in,
                             int number, struct error *err);

#endif

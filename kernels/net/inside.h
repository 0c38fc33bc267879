/* What the files of the network share, and nobody else sees. */
#ifndef FOLDMILL_KERNELS_NET_INSIDE_H
#define FOLDMILL_KERNELS_NET_INSIDE_H

#include "kernels/net/modules.h"
#include "kernels/net/net.h"

/* Parameters and modules: what a configuration says, without memory for numbers. */
struct model {
    struct params params;
    struct embed embed;
    struct block block[NET_BLOCKS_MAX];
    struct heads heads;
};

enum { BUFFERS = 5 };

struct net {
    struct net_config config;
    struct backend *backend;
    struct model model;
    struct block_context context[NET_BLOCKS_MAX];
    struct masks masks;
    struct tape tape;
    char *buffer[BUFFERS], *norm;
    struct tensor loss[2]; /* of the last recorded pass: distogram, masked MSA */
    double weight;         /* of the last recorded pass's sample */
    int64_t updates;
    void *host; /* staging for uploads: the largest input */
    size_t host_bytes;
};

/* The tensors of one pass. */
struct pass {
    struct tensor target, index, msa, distogram_bin, distogram_weight, msa_class, msa_weight;
    struct tensor logits, loss[2];
    bool losses;
};

/* Host floats into a real tensor's memory, and back. */
void net_upload(struct net *net, void *to, const float *values, size_t count);
void net_download(struct net *net, float *values, const void *from, size_t count);

/* The sample's features and masks, and its targets where p has losses, into p's tensors. */
enum status net_upload_input(struct net *net, const struct pass *p, const struct net_input *in,
                             struct error *err);

#endif

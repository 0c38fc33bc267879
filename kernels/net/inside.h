/* What the files of the network share, and nobody else sees. */
#ifndef FOLDMILL_KERNELS_NET_INSIDE_H
#define FOLDMILL_KERNELS_NET_INSIDE_H

#include "kernels/net/fold_loss.h"
#include "kernels/net/net.h"
#include "kernels/net/residue.h"

enum { BUFFERS = 5 };

/* The tensors of one pass. */
struct pass {
    struct model_pass model;
    bool losses;
    struct tensor distogram_bin, distogram_weight, msa_class, msa_weight;
    struct tensor distogram, masked_msa; /* losses [1] */
    struct fold_truth truth;             /* with a structure module */
    struct fold_losses fold;
    double atoms;                        /* that the residues have: violations are a mean of them */
};

struct net {
    struct net_config config;
    struct backend *backend;
    struct params params;
    struct model model;
    struct tape tape;
    struct residue_facts residues;
    struct residue_bounds bounds;
    struct recycled carried; /* what the pass before left; memory outside the tape */
    char *buffer[BUFFERS], *norm;
    char *sample; /* gradients of one sample, where it is clipped alone; else NULL */
    struct pass pass;        /* the last one: what backward goes back through */
    double weight;           /* of the last recorded pass's sample */
    int64_t updates;
    char started[SAFETENSORS_NAME_MAX]; /* see net_started */
    void *host; /* staging for uploads: the largest input */
    size_t host_bytes;
};

/* plan.c: the parameters of net->config; where passes leave what the next one needs (data are set
 * where there is memory), and its bytes; what the tape will need, from a planning tape on
 * net->backend; elements of the largest array that travels between host and backend. plan: NULL, or
 * takes bytes and operations by part. */
void net_parameters_open(struct net *net);
size_t net_carried_shape(struct net *net);
struct tape_size net_plan_tape(struct net *net, struct net_plan *plan);
size_t net_staging_count(const struct net *net);

/* pass.c: places for features and, with losses, for targets; then all ops, forward (in: NULL while
 * planning or warming up); then the gradients of weight * total loss. */
struct pass pass_open(struct net *net, bool losses);
void pass_run(struct net *net, struct pass *p, const struct net_input *in);
void pass_back(struct net *net, const struct pass *p, double weight);

/* input.c: host floats into a real tensor's memory, and back. */
void net_upload(struct net *net, void *to, const float *values, size_t count);
void net_download(struct net *net, float *values, const void *from, size_t count);

/* Features of pass `number` and masks, and the targets where p has losses, into p's tensors. */
enum status net_upload_input(struct net *net, struct pass *p, const struct net_input *in,
                             int number, struct error *err);
void net_upload_integers(struct net *net, const struct tensor *to, const int32_t *values);

/* input_fold.c: what the structure module reads; what its losses compare with; and, once atoms are
 * predicted, what confidence should have been. */
enum status net_upload_fold(struct net *net, struct pass *p, const struct net_input *in,
                            struct error *err);
void net_upload_truth(struct net *net, struct pass *p, const struct net_input *in);
void net_upload_confidence(struct net *net, const struct pass *p, const struct net_input *in);

#endif

/* The network: embedder, Evoformer blocks, heads and losses over one tape. This is what the
 * trainer uses. All memory is one allocation each for weights, gradients, two moments, moving
 * average and activations, sized from the configuration alone before the first step. */
#ifndef FOLDMILL_KERNELS_NET_NET_H
#define FOLDMILL_KERNELS_NET_NET_H

#include "kernels/adam.h"
#include "kernels/checkpoint.h"
#include "kernels/net/params.h"

enum { NET_DISTOGRAM_BINS = 64, NET_MSA_CLASSES = 23, NET_BLOCKS_MAX = 96 };

/* Sizes are fixed for the life of a network; shorter samples are padded and masked. */
struct net_config {
    int64_t length;   /* L: residues of a crop */
    int64_t clusters; /* S: MSA rows */
    int64_t c_m, c_z; /* channels of the MSA and of the pair representation */
    int64_t blocks;
    int64_t heads, head_dims;    /* of MSA row attention */
    int64_t column_attention;    /* 1: with MSA column attention in every block; 0: without */
    int64_t pair_heads, pair_head_dims; /* of triangle attention; 0 heads: without it */
    int64_t outer_hidden;        /* of the outer product mean */
    int64_t triangle_hidden;     /* of triangle multiplication */
    int64_t transition_factor;   /* hidden / channels of the transitions */
    int64_t keep_blocks;         /* how many blocks keep their activations for backward, the others
                                    run again (same bits, less memory, more time); -1: all */
    double dropout_msa, dropout_pair;
    double weight_distogram, weight_masked_msa; /* of the losses */
    uint64_t seed;               /* of the first weights and of dropout */
};

/* Crop 64, 32 clusters, c_m 64, c_z 64, 4 blocks, 4 heads; AF2's dropout (0.15, 0.25) and loss
 * weights (0.3, 2.0). */
struct net_config net_config_default(void);

/* STATUS_INVALID names the size that is out of range. */
enum status net_config_check(const struct net_config *config, struct error *err);

/* What a network will use, in bytes of the backend; from shapes alone, no device is touched. */
struct net_plan {
    int64_t parameters;      /* numbers */
    size_t weights_bytes;    /* of each of weights, gradients, two moments, moving average */
    size_t activations_bytes;
    size_t total_bytes;      /* 5 x weights + activations; the ops' scratch comes on top */
};
enum status net_plan(const struct net_config *config, struct net_plan *plan, struct error *err);

/* One sample, on the host, padded to L and S; borrowed for the call. */
struct net_input {
    const float *target_feat;      /* [L,22] */
    const int32_t *residue_index;  /* [L] */
    const float *seq_mask;         /* [L]; 0 on padding */
    const float *msa_feat;         /* [S,L,49] */
    const float *msa_mask;         /* [S,L]; 0 on padding */
    const int32_t *true_msa;       /* [S,L], classes 0..22; used for losses: may be NULL */
    const float *bert_mask;        /* [S,L]; 1 where the masked-MSA loss looks; or NULL */
    const float *pseudo_beta;      /* [L,3], Angstrom; or NULL */
    const float *pseudo_beta_mask; /* [L]; or NULL */
    uint64_t position;             /* of the sample in the run: keys dropout with the seed */
    double weight;                 /* of the sample in the step's mean; > 0 */
};

struct net_loss {
    double distogram, masked_msa; /* unweighted means over what the masks allow */
    double total;                 /* weighted sum */
};

struct net;

/* Opens a network on the backend, which it borrows, with weights from the seed, and runs one step
 * on zeros so that the backend's scratch has its size too. STATUS_INVALID: the configuration;
 * STATUS_LIMIT: not enough memory on the device. */
enum status net_open(const struct net_config *config, struct backend *backend, struct net **net,
                     struct error *err);
void net_close(struct net *net);

const struct net_config *net_config(const struct net *net);
const struct params *net_params(const struct net *net);
struct adam_buffers net_buffers(const struct net *net);

/* Gradients become zero: at the start of every step. */
void net_gradient_clear(struct net *net);

/* Forward with dropout, losses, and what backward needs is kept. true_msa, bert_mask, pseudo_beta
 * and its mask must be given. STATUS_INVALID: a class or a number of the input is out of range
 * (text names it); losses that are not finite are handed back as they are. */
enum status net_forward(struct net *net, const struct net_input *input, struct net_loss *loss,
                        struct error *err);

/* Adds the gradients of weight * total of the last net_forward to the gradient buffer. */
void net_backward(struct net *net);

/* Forward without dropout and without keeping anything. averaged: with the moving average of the
 * weights instead of the weights. logits[L,L,64] may be NULL; loss may be NULL (then no targets are
 * needed). */
enum status net_predict(struct net *net, const struct net_input *input, bool averaged,
                        float *logits, struct net_loss *loss, struct error *err);

/* The step's update, after any number of forward/backward pairs (and the ranks' all-reduce of the
 * gradient buffer): see adam_step. */
struct adam_result net_update(struct net *net, const struct adam_config *config, double count,
                              int64_t step);

/* Number of updates made (skipped ones not counted): belongs into checkpoints. */
int64_t net_updates(const struct net *net);
void net_set_updates(struct net *net, int64_t updates);

/* Writes weights, moments, moving average, the number of updates and the caller's state as the
 * checkpoint of this step: see checkpoint_write. */
enum status net_save(struct net *net, const char *folder, uint64_t step, struct span state,
                     struct error *err);

/* Takes all that from a checkpoint that was read; STATUS_INVALID (another network's) leaves the
 * network as it was. */
enum status net_load(struct net *net, const struct checkpoint *c, struct error *err);

/* Moves a whole flat buffer between backend and host, as floats; size of net_params. */
enum net_buffer { NET_WEIGHTS, NET_GRADIENTS, NET_MOMENT1, NET_MOMENT2, NET_EMA };
void net_read(struct net *net, enum net_buffer which, float *values);
void net_write(struct net *net, enum net_buffer which, const float *values);

#endif

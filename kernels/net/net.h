/* The network and its losses over one tape, for samples of one size and any number of passes. This
 * is what the trainer uses. All memory is one allocation each for weights, gradients, two moments,
 * moving average and activations, sized from the configuration alone before the first step. */
#ifndef FOLDMILL_KERNELS_NET_NET_H
#define FOLDMILL_KERNELS_NET_NET_H

#include "kernels/adam.h"
#include "kernels/checkpoint.h"
#include "kernels/net/config.h"

enum { NET_DISTOGRAM_BINS = 64, NET_MSA_CLASSES = 23, NET_PASSES_MAX = 4 };

/* What a network will use, in bytes of the backend; from shapes alone, no device is touched. */
struct net_plan {
    int64_t parameters;            /* numbers */
    size_t weights_bytes;          /* of each of weights, gradients, two moments, moving average */
    size_t part_bytes[MODEL_PARTS]; /* of the tape where it is longest; their sum is all of it */
    size_t carried_bytes;          /* what a pass leaves for the next one */
    size_t activations_bytes;      /* parts and carried */
    size_t scratch_bytes;          /* of the ops; 0 without a backend that counts */
    size_t total_bytes;            /* 5 x weights, activations, scratch, and one number */
    size_t host_bytes;             /* beside all that, of the host: tables of the tape, staging */
    int keep_blocks, keep_extra;   /* how many blocks keep their activations */
    double part_flops[MODEL_PARTS]; /* of one forward pass's matrix products */
};

/* counting: a backend that counts (kernels/backend.h), or NULL for a plan without scratch. */
enum status net_plan(const struct net_config *config, struct backend *counting,
                     struct net_plan *plan, struct error *err);

/* What the whole of a network may use. */
struct net_room {
    size_t limit_bytes; /* 0: no limit */
    bool host;          /* it is the host's memory: host_bytes counts too */
    bool clip;          /* net_clip_open will take one buffer more */
};

/* Bytes that count towards the room's limit. */
size_t net_room_need(const struct net_plan *plan, const struct net_room *room);

/* The same within a room. Where keep_blocks or keep_extra are -1 they become as many as fit, first
 * of the stack whose blocks save more operations for each byte that they keep; numbers given stay.
 * Without a limit -1 becomes all. STATUS_LIMIT: it does not fit; plan is what is needed at least,
 * and the text says what would fit. */
enum status net_plan_fit(struct net_config *config, struct backend *counting,
                         const struct net_room *room, struct net_plan *plan, struct error *err);

/* The features of one recycling pass. */
struct net_pass {
    const float *msa_feat;        /* [S,L,49] */
    const float *msa_mask;        /* [S,L]; 0 on padding */
    const int32_t *extra_msa;     /* [E,L], classes 0..22; this and the next three: where E > 0 */
    const float *extra_has_deletion, *extra_deletion; /* [E,L] */
    const float *extra_mask;      /* [E,L]; 0 on padding */
};

/* Templates: where T > 0. */
struct net_templates {
    const int32_t *type;          /* [T,L], 0..21 */
    const float *beta, *beta_mask;         /* pseudo beta [T,L,3], Angstrom, and [T,L] */
    const float *backbone, *backbone_mask; /* N, CA, C [T,L,3,3]; [T,L]: 1 where all are known */
    const float *angle, *other_angle;      /* torsions [T,L,7,2] (sine, cosine), and alternative */
    const float *angle_mask;      /* [T,L,7] */
    const float *mask;            /* [T] */
};

/* What is known of the structure: where the network has a structure module, for losses. Frames are
 * 4 x 4 matrices; "other" is by the other names of symmetric atoms. */
struct net_truth {
    const float *backbone, *backbone_mask;      /* [L,4,4], [L] */
    const float *groups, *other_groups;         /* [L,8,4,4] */
    const float *groups_mask;                   /* [L,8] */
    const float *atoms, *other_atoms;           /* [L,14,3], Angstrom */
    const float *atoms_mask, *other_atoms_mask; /* [L,14] */
    const float *ambiguous;                     /* [L,14] */
    const float *exists;                        /* [L,14]: by residue type */
    const float *ca;                            /* [L,3], Angstrom */
    const float *ca_mask;                       /* [L] */
    const float *resolved, *resolvable;         /* [L,37]: known; there by residue type */
    const float *chi, *chi_mask;                /* [L,4,2] (sine, cosine), [L,4] */
    double resolution;                          /* Angstrom; 0: not known */
    double clamped;                             /* 1: backbone errors are clamped, else 0 */
};

/* One sample, on the host, padded to L, S, E and T; borrowed for the call. */
struct net_input {
    const float *target_feat;      /* [L,22] */
    const int32_t *residue_index;  /* [L] */
    const float *seq_mask;         /* [L]; 0 on padding */
    const int32_t *aatype;         /* [L], 0..20; where the network has a structure module */
    struct net_templates templates;
    int passes;                    /* 1 to NET_PASSES_MAX; 1 where the network does not recycle */
    struct net_pass pass[NET_PASSES_MAX];
    const int32_t *true_msa;       /* [S,L], classes 0..22, of the last pass; used for losses: may
                                      be NULL */
    const float *bert_mask;        /* [S,L]; 1 where the masked-MSA loss looks; or NULL */
    const float *pseudo_beta;      /* [L,3], Angstrom; or NULL */
    const float *pseudo_beta_mask; /* [L]; or NULL */
    struct net_truth truth;
    uint64_t position;             /* of the sample in the run: keys dropout with the seed */
    double weight;                 /* of the sample in the step's mean; > 0 */
};

/* The losses: LOSS(name), each with a weight_name in the configuration. */
#define NET_LOSSES(LOSS)                                                                           \
    LOSS(distogram) LOSS(masked_msa)                                                               \
    LOSS(fape) LOSS(chi) LOSS(plddt) LOSS(resolved) LOSS(violation) LOSS(aligned_error)

/* Unweighted means over what the masks allow; from fape on 0 without a structure module. */
struct net_loss {
#define NET_LOSS_MEMBER(name) double name;
    NET_LOSSES(NET_LOSS_MEMBER)
#undef NET_LOSS_MEMBER
    double backbone; /* the backbone's FAPE: fape is the mean of it and the side chains' */
    double total;    /* weighted sum */
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

/* All passes with dropout, losses of the last one, and what its backward needs is kept. true_msa,
 * bert_mask, pseudo_beta and its mask must be given. STATUS_INVALID: a class or a number of the
 * input is out of range (text names it); losses that are not finite are handed back as they are. */
enum status net_forward(struct net *net, const struct net_input *input, struct net_loss *loss,
                        struct error *err);

/* Adds the gradients of weight * total of the last net_forward to the gradient buffer. */
void net_backward(struct net *net);

/* For clipping sample by sample, before the first step: a sample's gradients get a buffer of their
 * own, as large as the weights. STATUS_LIMIT: no memory for it. */
enum status net_clip_open(struct net *net, struct error *err);

/* As net_backward, after net_clip_open: the gradients of weight * total of the last net_forward are
 * scaled so that their global norm is at most clip (> 0), then added (AF2 suppl. 1.11.3). Gives
 * that norm before clipping; where it is not finite nothing is added. */
double net_backward_clipped(struct net *net, double clip);

/* What may be wanted of a prediction; NULL: not. atoms and plddt with a structure module alone. */
struct net_prediction {
    float *logits; /* of the distogram, [L,L,64] */
    float *atoms;  /* [L,14,3], Angstrom */
    float *plddt;  /* [L], 0..100 */
};

/* Forward without dropout and without keeping anything. averaged: with the moving average of the
 * weights instead of the weights. wanted and loss may be NULL (without a loss no targets are
 * needed). */
enum status net_predict(struct net *net, const struct net_input *input, bool averaged,
                        const struct net_prediction *wanted, struct net_loss *loss,
                        struct error *err);

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

/* Of that, count floats from number `from` on. */
void net_read_part(struct net *net, enum net_buffer which, size_t from, size_t count,
                   float *values);
void net_write(struct net *net, enum net_buffer which, const float *values);

#endif

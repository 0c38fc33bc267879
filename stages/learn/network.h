/* What train and evaluate share: the network's settings as rows of their tables, the backend, and
 * the way from a batch of compact samples to the network's inputs. */
#ifndef STAGES_LEARN_NETWORK_H
#define STAGES_LEARN_NETWORK_H

#include "engine/stage.h"
#include "kernels/backend.h"
#include "kernels/net/net.h"

/* The network's sizes and the device, as the graph gives them. */
enum { NETWORK_AUTO, NETWORK_CPU, NETWORK_CUDA };

struct network_settings {
    int backend; /* index into network_backends */
    int64_t threads, blocks, c_m, c_z, heads, head_dims, outer_hidden, triangle_hidden,
        transition_factor, keep_blocks;
    bool column_attention;
    int64_t pair_heads, pair_head_dims;
    double dropout_msa, dropout_pair, weight_distogram, weight_masked_msa;
};

extern const char *const network_backends[];

/* The rows of these settings, to be put into a stage's table; base: offset of the struct. */
#define NETWORK_PARAMS(state, member)                                                              \
    {.name = "backend", .type = PARAM_CHOICE, .fallback = "auto", .choices = network_backends,     \
     .offset = offsetof(state, member.backend), .free = true,                                      \
     .help = "Where the network computes: cuda where there is a device, else cpu."},               \
    {.name = "threads", .type = PARAM_INT, .fallback = "0", .min = 0, .max = 1024, .free = true,   \
     .offset = offsetof(state, member.threads),                                                    \
     .help = "Threads of the cpu backend; 0: one for each core. Results do not depend on it."},    \
    {.name = "blocks", .type = PARAM_INT, .fallback = "4", .min = 0, .max = NET_BLOCKS_MAX,        \
     .offset = offsetof(state, member.blocks), .help = "Evoformer blocks."},                       \
    {.name = "c_m", .type = PARAM_INT, .fallback = "64", .min = 1, .max = 4096,                    \
     .offset = offsetof(state, member.c_m), .help = "Channels of the MSA representation."},        \
    {.name = "c_z", .type = PARAM_INT, .fallback = "64", .min = 1, .max = 4096,                    \
     .offset = offsetof(state, member.c_z), .help = "Channels of the pair representation."},       \
    {.name = "heads", .type = PARAM_INT, .fallback = "4", .min = 1, .max = 256,                    \
     .offset = offsetof(state, member.heads), .help = "Heads of the MSA row attention."},          \
    {.name = "head_dims", .type = PARAM_INT, .fallback = "16", .min = 1, .max = 1024,              \
     .offset = offsetof(state, member.head_dims), .help = "Channels of each of these heads."},     \
    {.name = "column_attention", .type = PARAM_BOOL, .fallback = "false",                          \
     .offset = offsetof(state, member.column_attention),                                           \
     .help = "Whether blocks attend along the columns of the MSA, as AlphaFold 2's do."},          \
    {.name = "pair_heads", .type = PARAM_INT, .fallback = "0", .min = 0, .max = 256,               \
     .offset = offsetof(state, member.pair_heads),                                                 \
     .help = "Heads of the triangle attentions, 4 in AlphaFold 2; 0: blocks without them."},       \
    {.name = "pair_head_dims", .type = PARAM_INT, .fallback = "16", .min = 1, .max = 1024,         \
     .offset = offsetof(state, member.pair_head_dims),                                             \
     .help = "Channels of each of these heads."},                                                  \
    {.name = "outer_hidden", .type = PARAM_INT, .fallback = "16", .min = 1, .max = 256,            \
     .offset = offsetof(state, member.outer_hidden),                                               \
     .help = "Hidden channels of the outer product mean."},                                        \
    {.name = "triangle_hidden", .type = PARAM_INT, .fallback = "32", .min = 1, .max = 1024,        \
     .offset = offsetof(state, member.triangle_hidden),                                            \
     .help = "Hidden channels of the triangle multiplications."},                                  \
    {.name = "transition_factor", .type = PARAM_INT, .fallback = "2", .min = 1, .max = 16,         \
     .offset = offsetof(state, member.transition_factor),                                          \
     .help = "Hidden channels of the transitions, as a multiple of their channels."},              \
    {.name = "keep_blocks", .type = PARAM_INT, .fallback = "-1", .min = -1, .max = NET_BLOCKS_MAX, \
     .offset = offsetof(state, member.keep_blocks), .free = true,                                  \
     .help = "Blocks that keep their activations for the backward pass; the others run again: "    \
             "less memory, more time, the same bits. -1: all."},                                   \
    {.name = "dropout_msa", .type = PARAM_FLOAT, .fallback = "0.15", .min = 0, .max = 0.99,        \
     .offset = offsetof(state, member.dropout_msa), .help = "Dropout rate in MSA modules."},       \
    {.name = "dropout_pair", .type = PARAM_FLOAT, .fallback = "0.25", .min = 0, .max = 0.99,       \
     .offset = offsetof(state, member.dropout_pair), .help = "Dropout rate in pair modules."},     \
    {.name = "weight_distogram", .type = PARAM_FLOAT, .fallback = "0.3", .min = 0, .max = 1000,    \
     .offset = offsetof(state, member.weight_distogram),                                           \
     .help = "Weight of the distogram loss."},                                                     \
    {.name = "weight_masked_msa", .type = PARAM_FLOAT, .fallback = "2", .min = 0, .max = 1000,     \
     .offset = offsetof(state, member.weight_masked_msa),                                          \
     .help = "Weight of the masked-MSA loss."}

/* The configuration for crops of length residues and clusters rows. */
struct net_config network_config(const struct network_settings *settings, int64_t length,
                                 int64_t clusters, uint64_t seed);

/* What both take: the in port of their batches. */
extern const char *const network_fields[];

/* Opens the backend of that number; threads: of the cpu, 0 for one each core. */
enum status network_backend(int backend, int64_t threads, struct backend **out, struct error *err);

/* Crop length and cluster rows of a batch, and its number of samples. */
enum status network_batch_sizes(const struct sample *batch, int64_t *samples, int64_t *length,
                                int64_t *clusters, struct error *err);

/* Expands sample number b of a batch, last recycling pass, into the network's input; arrays lie in
 * arena. input->weight is the batch's weight for it (0: padding). */
enum status network_input(const struct sample *batch, int64_t b, struct arena *arena,
                          struct net_input *input, struct error *err);


#endif

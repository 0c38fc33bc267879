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
    int64_t threads;
    struct net_config net; /* but for the sizes that batches give, and the seed */
};

extern const char *const network_backends[];

/* The rows of these settings for the table of the stage that has them, in its struct train_state's
 * member `network`. */
#define NETWORK_AT(member) offsetof(struct train_state, network.member)
#define NETWORK_PARAMS                                                                             \
    {.name = "backend", .type = PARAM_CHOICE, .fallback = "auto", .choices = network_backends,     \
     .offset = NETWORK_AT(backend), .free = true,                                                  \
     .help = "Where the network computes: cuda where there is a device, else cpu."},               \
    {.name = "threads", .type = PARAM_INT, .fallback = "0", .min = 0, .max = 1024, .free = true,   \
     .offset = NETWORK_AT(threads),                                                                \
     .help = "Threads of the cpu backend; 0: one for each core. Results do not depend on it."},    \
    NET_SIZES(NETWORK_SIZE) NET_FLAGS(NETWORK_FLAG) NET_PLAN_SIZES(NETWORK_PLAN_SIZE)              \
    NET_NUMBERS(NETWORK_NUMBER)

/* Rows of the tables of kernels/net/config.h. */
#define NETWORK_SIZE_ROW(size, value, least, most, text, is_free)                                  \
    {.name = #size, .type = PARAM_INT, .fallback = #value, .min = least, .max = most,              \
     .offset = NETWORK_AT(net.size), .free = is_free, .help = text},
#define NETWORK_SIZE(size, value, least, most, text)                                               \
    NETWORK_SIZE_ROW(size, value, least, most, text, false)
#define NETWORK_PLAN_SIZE(size, value, least, most, text)                                          \
    NETWORK_SIZE_ROW(size, value, least, most, text, true)
#define NETWORK_FLAG(flag, value, text)                                                            \
    {.name = #flag, .type = PARAM_BOOL, .fallback = #value, .offset = NETWORK_AT(net.flag),        \
     .help = text},
#define NETWORK_NUMBER(number, value, least, most, text)                                           \
    {.name = #number, .type = PARAM_FLOAT, .fallback = #value, .min = least, .max = most,          \
     .offset = NETWORK_AT(net.number), .help = text},

/* Sizes of a batch: samples, and L, S, E and T of each. */
struct network_sizes {
    int64_t samples, length, clusters, extra, templates;
};
enum status network_batch_sizes(const struct sample *batch, struct network_sizes *sizes,
                                struct error *err);

/* The configuration for batches of these sizes. */
struct net_config network_config(const struct network_settings *settings,
                                 const struct network_sizes *sizes, uint64_t seed);

/* STATUS_INVALID: the batch is not what the network was planned for. `what` is that: "held-out
 * crops" or so. */
enum status network_fits(const struct net_config *config, const struct network_sizes *sizes,
                         const char *what, struct error *err);

/* What both take: the in port of their batches. */
extern const char *const network_fields[];

/* Opens the backend of that number; threads: of the cpu, 0 for one each core; device: its number
 * among several. */
enum status network_backend(int backend, int64_t threads, int device, struct backend **out,
                            struct error *err);

/* The same by its name; STATUS_INVALID: there is none of that name. */
enum status network_backend_named(const char *name, int64_t threads, struct backend **out,
                                  struct error *err);

/* Expands sample number b of a batch into what this network takes of it; arrays lie in arena.
 * input->weight is the batch's weight for it (0: padding). */
enum status network_input(const struct net_config *config, const struct sample *batch, int64_t b,
                          struct arena *arena, struct net_input *input, struct error *err);

#endif

/* The network as a whole (AF2 suppl. algorithm 2): trunk, structure module and heads. One pass of
 * it is model_run; what a pass leaves for the next one is taken by model_recycle. Parts whose sizes
 * are 0 are left out, with their parameters. */
#ifndef FOLDMILL_KERNELS_NET_MODEL_H
#define FOLDMILL_KERNELS_NET_MODEL_H

#include "kernels/net/head_structure.h"
#include "kernels/net/structure.h"
#include "kernels/net/trunk.h"

struct model_sizes {
    struct trunk_sizes trunk;
    struct structure_sizes structure; /* 0 iterations: none, and none of the heads behind it */
    int64_t plddt_hidden;
    bool aligned_error; /* with the head of the TM score */
};

/* The published network: 93,229,082 parameters; with the TM head 93,237,338. */
struct model_sizes model_sizes_published(void);

struct model {
    struct model_sizes sizes;
    struct trunk trunk;
    struct heads heads;
    struct structure_net structure;
    struct plddt_head plddt;
    struct layer resolved, aligned;
};
void model_declare(struct params *p, const struct model_sizes *sizes, struct model *model);

/* One pass. L residues, S clusters. */
struct model_pass {
    struct trunk_pass trunk; /* what goes in; masks are made by the run */
    struct tensor aatype;    /* i32[L], 0..20 */
    struct tensor seq_mask;  /* [L] */
    struct tensor beta_atom; /* i32[L]: which of 14 atoms is the pseudo beta, by residue type */
    struct residue_tables tables;
    /* What comes out. */
    struct tape_stream m, z, s;
    struct structure_out structure;
    struct tensor distogram, masked_msa; /* logits [L,L,64], [S*L,23] */
    struct tensor plddt, resolved;       /* logits [L,50], [L,37] */
    struct tensor aligned;               /* logits [L*L,64] */
};

/* Embedders, stacks and the structure module; the pass must live until backward. */
void model_run(struct tape *t, const struct model *model, struct model_pass *pass);

/* All heads of that pass. Their ops are in no module: results keep their memory until backward has
 * come to the structure module. Before any loss is seeded, tape_seed_value(t, pass->m.now, 0). */
void model_heads_run(struct tape *t, const struct model *model, struct model_pass *pass);

/* What the next pass needs of this one, copied to tensors of the caller outside the tape. */
void model_recycle(struct tape *t, const struct model_pass *pass, const struct recycled *to);

#endif

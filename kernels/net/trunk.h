/* The trunk of AlphaFold 2 (algorithm 2 of its supplement, lines 5 to 18): from features and what
 * the pass before left to the MSA, pair and single representations. The four parts run one after
 * another; trunk_run runs them all. */
#ifndef FOLDMILL_KERNELS_NET_TRUNK_H
#define FOLDMILL_KERNELS_NET_TRUNK_H

#include "kernels/net/modules.h"

enum { TRUNK_BLOCKS_MAX = 96, TRUNK_EXTRA_MAX = 16, TRUNK_TEMPLATES_MAX = 8 };

/* The parts whose memory a planning tape tells apart, as its zones. MODEL_BACK: what the backward
 * pass takes at a time: gradients, and a block that runs again. */
enum model_part {
    MODEL_BACK = TAPE_ZONE_BACK,
    MODEL_FEATURES, /* inputs and targets */
    MODEL_EMBED,    /* of the input and of what is recycled; m and z themselves */
    MODEL_TEMPLATES,
    MODEL_EXTRA,
    MODEL_EVOFORMER,
    MODEL_STRUCTURE,
    MODEL_HEADS, /* and losses */
    MODEL_PARTS
};

struct trunk_sizes {
    struct block_sizes main, extra; /* c_z of both is the same */
    struct block_sizes template;    /* of the template pair stack: c_z and the pair's sizes */
    int64_t c_s;                    /* 0: no single representation */
    bool recycling;                 /* with the recycling embedder, which the first pass runs too */
    int blocks, extra_blocks, template_blocks; /* 0: without, and without their embedders */
    int64_t template_heads, template_head_dims; /* of pointwise attention */
    int keep_blocks, keep_extra; /* how many keep their activations, the last ones; -1: all */
};

/* The published network: 93 million parameters with its structure module and heads. */
struct trunk_sizes trunk_sizes_published(void);

struct trunk {
    struct trunk_sizes sizes;
    struct embed embed;
    struct recycle recycle;
    struct template_single template_single;
    struct layer template_pair;
    struct template_stack template_stack;
    struct template_attention template_attention;
    struct layer extra_embed, single;
    struct block extra[TRUNK_EXTRA_MAX], block[TRUNK_BLOCKS_MAX];
};
void trunk_declare(struct params *p, const struct trunk_sizes *sizes, struct trunk *trunk);

/* One pass: features and masks, all constants, and places for what must live until backward. L
 * residues, S clusters, T templates (0: none), E extra rows. */
struct trunk_pass {
    struct tensor target;   /* [L,22] */
    struct tensor index;    /* i32[L] */
    struct tensor msa;      /* [S,L,49] */
    struct tensor msa_mask; /* [S+T,L]: of template rows, whether the residue has its third angle */
    struct tensor pair_mask;                     /* [L,L] */
    struct tensor extra_msa;                     /* i32[E,L], 0..22 */
    struct tensor extra_has, extra_deletion;     /* [E,L] */
    struct tensor extra_mask;                    /* [E,L] */
    int templates;
    struct template_atoms atoms[TRUNK_TEMPLATES_MAX];
    struct tensor template_angles;               /* [T,L,57] */
    struct tensor template_mask;                 /* [T] */
    struct tensor template_any;                  /* [1]: 0 where no template is there */
    struct recycled before;
    struct masks masks, extra_masks;             /* made by trunk_embed_run */
    struct block_context context[TRUNK_BLOCKS_MAX], extra_context[TRUNK_EXTRA_MAX];
};

/* Input and recycling embedders. m gets T more rows, which trunk_templates_run writes. */
void trunk_embed_run(struct tape *t, const struct trunk *trunk, struct trunk_pass *pass,
                     struct tape_stream *m, struct tape_stream *z);
/* Template rows of m, and what templates tell z. Nothing without templates. */
void trunk_templates_run(struct tape *t, const struct trunk *trunk, struct trunk_pass *pass,
                         struct tape_stream *m, struct tape_stream *z);
/* Extra MSA stack: changes z alone. */
void trunk_extra_run(struct tape *t, const struct trunk *trunk, struct trunk_pass *pass,
                     struct tape_stream *z);
/* Evoformer block number i. */
void trunk_block_run(struct tape *t, const struct trunk *trunk, struct trunk_pass *pass, int i,
                     struct tape_stream *m, struct tape_stream *z);

/* All of them, and the single representation s[1,L,c_s] (c_s 0: none). The pass must live until
 * backward, which starts with tape_seed_value(t, m->now, 0): s and the heads read only some rows
 * of m. */
void trunk_run(struct tape *t, const struct trunk *trunk, struct trunk_pass *pass,
               struct tape_stream *m, struct tape_stream *z, struct tape_stream *s);

#endif

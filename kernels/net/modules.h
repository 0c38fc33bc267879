/* The modules of the network. Each has a struct of its sizes and parameters, a function that
 * declares the parameters under a prefix (names as in the reference implementation), and a
 * function that runs it on a tape, updating a stream in place (residual and dropout included).
 * m is the MSA representation [S,L,c_m], z the pair representation [L,L,c_z]. Algorithm numbers
 * are those of the supplement of Jumper et al. 2021 (AF2). */
#ifndef FOLDMILL_KERNELS_NET_MODULES_H
#define FOLDMILL_KERNELS_NET_MODULES_H

#include "kernels/net/tape.h"

enum { TARGET_FEATURES = 22, MSA_FEATURES = 49, DISTOGRAM_BINS = 64, MSA_CLASSES = 23 };
enum { RECYCLE_BINS = 15, EXTRA_FEATURES = 25 };
enum {
    TEMPLATE_TYPES = 22,
    TEMPLATE_BINS = 39,
    TEMPLATE_PAIR_FEATURES = 88,
    TEMPLATE_ANGLE_FEATURES = 57,
    TEMPLATE_BLOCKS_MAX = 8
};

#define OUTER_NORM_EPS 1e-3

/* weight and bias of a layer norm or a linear. */
struct layer {
    struct weight w, b;
};

struct layer layer_norm_declare(struct params *p, const char *prefix, const char *name,
                                int64_t channels);
/* w[out,in] and b[out]; b starts at zero. */
struct layer linear_declare(struct params *p, const char *prefix, const char *name, int64_t out,
                            int64_t in, enum param_init init);

/* LN(x) over the last axis, as rows [N,C]. x of any strides that tensor_rows takes. */
struct tensor layer_norm_run(struct tape *t, struct layer norm, struct tensor x);

/* y[N,O] = x[N,I] w^T + b. */
struct tensor linear_run(struct tape *t, struct layer linear, struct tensor x);

/* stream = stream + x w^T + b, x being [A*B,I] rows. */
void linear_add_run(struct tape *t, struct layer linear, struct tensor x, struct tape_stream *s);

/* stream = stream + drop(u), u being [A*B,C] rows. shared, site: see the op residual. */
void residual_run(struct tape *t, struct tape_stream *s, struct tensor u, double rate, int shared,
                  int site);

/* Which masks the modules see; data NULL: all ones. */
struct masks {
    struct tensor msa;          /* [S,L] */
    struct tensor msa_columns;  /* [L,S]: its transpose, see mask_turn */
    struct tensor pair;         /* [L,L] */
    struct tensor pair_columns; /* its transpose */
    struct tensor outer_norm;   /* [L,L], from mask_norm */
};

/* The transpose of mask[A,B]. */
struct tensor mask_turn(struct tape *t, struct tensor mask);

/* Input embedder with relative positions (algorithms 3, 4). */
struct embed {
    int64_t c_m, c_z;
    struct layer z_i, z_j, tf_m, msa_m, relpos;
};
struct embed embed_declare(struct params *p, const char *prefix, int64_t c_m, int64_t c_z);
/* target[L,22], index i32[L], msa[S,L,49] -> the first versions of both streams; m has `more` rows
 * after its clusters, for the caller to write. */
void embed_run(struct tape *t, const struct embed *e, struct tensor target, struct tensor index,
               struct tensor msa, int64_t more, struct tape_stream *m, struct tape_stream *z);

/* What the gated attentions share: projections, gate and output. */
struct gated_attention {
    int64_t heads, dims;
    struct weight qkvg, gate_bias;
    struct layer out;
};
/* Parameters PREFIX.mha.*. */
struct gated_attention gated_attention_declare(struct params *p, const char *prefix,
                                               int64_t channels, int64_t heads, int64_t dims);
/* x[rows*L,C], normalised -> gated values [rows*L,H*D], before the output linear. Attends inside
 * each row, or each column; mask[rows,L], columns: [L,rows]; bias[H,Q,Q] or data NULL. */
struct tensor gated_attention_run(struct tape *t, const struct gated_attention *a, struct tensor x,
                                  int64_t rows, bool columns, struct tensor mask,
                                  struct tensor bias);

/* MSA row attention with pair bias (algorithm 7). */
struct row_attention {
    double dropout;
    int site;
    struct layer norm_m, norm_z;
    struct weight bias;
    struct gated_attention core;
};
struct row_attention row_attention_declare(struct params *p, const char *prefix, int64_t c_m,
                                           int64_t c_z, int64_t heads, int64_t dims);
void row_attention_run(struct tape *t, const struct row_attention *a, const struct masks *masks,
                       struct tape_stream *m, const struct tape_stream *z);

/* MSA column attention (algorithm 8). */
struct column_attention {
    struct layer norm;
    struct gated_attention core;
};
struct column_attention column_attention_declare(struct params *p, const char *prefix, int64_t c_m,
                                                 int64_t heads, int64_t dims);
void column_attention_run(struct tape *t, const struct column_attention *a,
                          const struct masks *masks, struct tape_stream *m);

/* Global column attention of the extra MSA stack (algorithm 19). */
struct global_attention {
    int64_t heads, dims;
    struct layer norm, gate, out;
    struct weight query, key_value;
};
struct global_attention global_attention_declare(struct params *p, const char *prefix, int64_t c_m,
                                                 int64_t heads, int64_t dims);
void global_attention_run(struct tape *t, const struct global_attention *a,
                          const struct masks *masks, struct tape_stream *m);

/* Triangle attention around the starting or the ending node (algorithms 13, 14). */
struct triangle_attention {
    bool ending;
    double dropout;
    int site;
    struct layer norm;
    struct weight bias;
    struct gated_attention core;
};
struct triangle_attention triangle_attention_declare(struct params *p, const char *prefix,
                                                     int64_t c_z, int64_t heads, int64_t dims,
                                                     bool ending);
void triangle_attention_run(struct tape *t, const struct triangle_attention *a,
                            const struct masks *masks, struct tape_stream *z);

/* LN, linear to factor * c, relu, linear back (algorithms 9, 15). Not masked. */
struct transition {
    const char *module; /* which one, for those who measure */
    struct layer norm, up, down;
};
struct transition transition_declare(struct params *p, const char *prefix, int64_t channels,
                                     int64_t factor);
void transition_run(struct tape *t, const struct transition *a, struct tape_stream *s);

/* Outer product mean (algorithm 10). */
struct outer_product {
    int64_t hidden;
    struct layer norm, ab, out;
};
struct outer_product outer_product_declare(struct params *p, const char *prefix, int64_t c_m,
                                           int64_t c_z, int64_t hidden);
void outer_product_run(struct tape *t, const struct outer_product *a, const struct masks *masks,
                       const struct tape_stream *m, struct tape_stream *z);

/* Triangle multiplication (algorithms 11, 12). */
struct triangle {
    int64_t hidden;
    bool incoming;
    double dropout;
    int site;
    struct layer norm_in, norm_out, project, out;
};
struct triangle triangle_declare(struct params *p, const char *prefix, int64_t c_z, int64_t hidden,
                                 bool incoming);
void triangle_run(struct tape *t, const struct triangle *a, const struct masks *masks,
                  struct tape_stream *z);

/* How an MSA block attends along columns. */
enum columns { COLUMNS_NONE, COLUMNS_FULL, COLUMNS_GLOBAL };

/* Sizes of one block of the MSA and the pair representation. */
struct block_sizes {
    int64_t c_m, c_z, heads, head_dims, outer_hidden, triangle_hidden, transition_factor;
    enum columns columns;
    int64_t pair_heads, pair_head_dims; /* of triangle attention; 0 heads: without it */
    double dropout_msa, dropout_pair;
};

/* What a block does to the pair representation alone. */
struct pair_block {
    bool attention, first; /* with triangle attention; before triangle multiplication */
    struct triangle triangle_out, triangle_in;
    struct triangle_attention start, end;
    struct transition transition;
};
/* site: of the block's first dropout; it uses four. */
struct pair_block pair_block_declare(struct params *p, const char *prefix,
                                     const struct block_sizes *sizes, bool attention_first,
                                     int site);
void pair_block_run(struct tape *t, const struct pair_block *b, const struct masks *masks,
                    struct tape_stream *z);

/* One block (algorithms 6, 18): row attention, column attention, MSA transition, outer product
 * mean, triangle multiplication outgoing and incoming, triangle attention starting and ending, pair
 * transition. */
struct block {
    struct row_attention row;
    enum columns columns;
    struct column_attention column;
    struct global_attention global;
    struct transition msa_transition;
    struct outer_product outer;
    struct pair_block pair;
};
/* number: keys the block's dropout; another for every block of the network. */
struct block block_declare(struct params *p, const char *prefix, const struct block_sizes *sizes,
                           int number);

/* What block_run, a tape_block_run, gets as its context. */
struct block_context {
    const struct block *block;
    const struct masks *masks;
};
void block_run(struct tape *t, void *context, struct tape_stream *m, struct tape_stream *z);

/* Recycling embedder (algorithm 32). */
struct recycle {
    struct layer bins, norm_m, norm_z;
};
struct recycle recycle_declare(struct params *p, const char *prefix, int64_t c_m, int64_t c_z);
/* What the pass before left; zeros in the first pass. Constants: no gradient. */
struct recycled {
    struct tensor m;    /* [L,c_m]: first row of the MSA representation */
    struct tensor z;    /* [L,L,c_z] */
    struct tensor beta; /* [L,3]: pseudo beta atoms, Angstrom */
};
/* Adds to the first row of m, in place, and to z. */
void recycle_run(struct tape *t, const struct recycle *r, const struct recycled *before,
                 struct tape_stream *m, struct tape_stream *z);

/* Extra MSA: msa[E,L] classes 0..22, has_deletion[E,L], deletion[E,L] -> features[E*L,25]. */
struct tensor extra_features_run(struct tape *t, struct tensor msa, struct tensor has_deletion,
                                 struct tensor deletion);
/* features[rows*L,25] -> the stream's first version. */
void extra_embed_run(struct tape *t, struct layer linear, struct tensor features, int64_t rows,
                     struct tape_stream *m);

/* The single representation (algorithm 6, line 12): m[0] -> s[1,L,c_s]. The gradient of m must have
 * been started as a whole (tape_seed_value) when nothing else reads all of it. */
void single_run(struct tape *t, struct layer linear, const struct tape_stream *m,
                struct tape_stream *s);

/* Features of torsion angles, on the host: type[n] 0..21, angles and other_angles[n,7,2],
 * mask[n,7] -> y[n,57], n over templates and residues (suppl. 1.7.1). */
void template_angle_features(int64_t count, const int32_t *type, const float *angles,
                             const float *other_angles, const float *mask, float *y);

/* One template's atoms: type i32[L], beta[L,3] and its mask [L], backbone[L,9] (N, CA, C), mask[L]:
 * 1 where all three are known. */
struct template_atoms {
    struct tensor type, beta, beta_mask, backbone, mask;
};
/* -> features[L,L,88]. unit: with directions; AlphaFold 2's monomer network has zeros there. */
struct tensor template_pair_features_run(struct tape *t, const struct template_atoms *a,
                                         bool unit);

/* Template torsion angles as rows of the MSA (algorithm 2, line 8). */
struct template_single {
    struct layer in, out;
};
struct template_single template_single_declare(struct params *p, const char *prefix, int64_t c_m);
/* angles[T,L,57] -> y[T,L,c_m], the rows of the MSA's first version that follow its clusters. */
void template_single_run(struct tape *t, const struct template_single *s, struct tensor angles,
                         struct tensor y);

/* Template pair stack (algorithm 16). */
struct template_stack {
    int blocks;
    struct pair_block block[TEMPLATE_BLOCKS_MAX];
    struct layer norm;
};
/* sizes->c_z is the templates' own number of channels. site: of the first dropout; four a block and
 * template. */
struct template_stack template_stack_declare(struct params *p, const char *prefix,
                                             const struct block_sizes *sizes, int blocks, int site);
/* Template `number`: pair[L,L,c_t] -> y[L*L,c_t]. */
void template_stack_run(struct tape *t, const struct template_stack *s, const struct masks *masks,
                        int number, struct tape_stream *pair, struct tensor y);

/* Template pointwise attention (algorithm 17). */
struct template_attention {
    int64_t heads, dims;
    struct weight query, key_value;
    struct layer out;
};
struct template_attention template_attention_declare(struct params *p, const char *prefix,
                                                     int64_t c_t, int64_t c_z, int64_t heads,
                                                     int64_t dims);
/* Adds to z what templates[T,L*L,c_t] say. mask[T]; any[1]: 0 where no template is there, then
 * nothing is added. */
void template_attention_run(struct tape *t, const struct template_attention *a,
                            struct tensor templates, struct tensor mask, struct tensor any,
                            struct tape_stream *z);

/* Heads (suppl. 1.9.8, 1.9.9). */
struct heads {
    struct layer distogram, masked_msa;
};
struct heads heads_declare(struct params *p, const char *prefix, int64_t c_m, int64_t c_z);
/* z -> logits[L,L,64], symmetric in i and j. */
struct tensor distogram_run(struct tape *t, const struct heads *h, const struct tape_stream *z);
/* m -> logits[S*L,23]. */
struct tensor masked_msa_run(struct tape *t, const struct heads *h, const struct tape_stream *m);

/* Sum of weighted cross entropies of logits[N,K]: a tensor [1]. */
struct tensor loss_run(struct tape *t, struct tensor logits, struct tensor target,
                       struct tensor weight);

#endif

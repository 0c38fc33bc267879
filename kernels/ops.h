/* The op table: one row an op, forward and backward. The rows make the argument structs
 * (struct op_linear), the members of struct ops, the cpu prototypes, the description of
 * each (op_describe), the tape's calls (kernels/net/tape.h), and one case each of the generic
 * parity test (backend against backend) and gradient test (against central differences). Adding an
 * op is one row here and a file in kernels/cpu and kernels/cuda. Valid C++: CUDA reads it.
 *
 * A field is F(KIND, name, "sizes"): capitals are sizes that must agree inside the row, numbers
 * are themselves; a star, see Strides. Kinds:
 *   IN   real input with a gradient            OPT  the same, may be absent (data NULL)
 *   VAL  real input without a gradient         MASK real input without a gradient, may be absent
 *   IDX  i32 input, "N < K": values 0..K-1     (absent mask = all ones)
 *   OUT  real result with an upstream gradient AUX  real result kept for backward only
 *   IO   real, updated in place                INT/NUM/KEY  a number: int, double, uint64;
 *                                              the text is the range that tests draw from
 * "H,D with gate": the optional field may be given only together with the field gate.
 *
 * Forward: NAME(backend, &a) writes all OUT and AUX fields.
 * Backward: NAME_back(backend, &a, &g): in g (the same struct type) IN and OPT fields are the
 * gradients to write - skipped where data is NULL, added to where .add is set, replaced otherwise -
 * and OUT fields are the upstream gradients. g's other fields are not read. A gradient has the
 * sizes of its tensor but may have other strides. Results never overlap inputs, except where a
 * row says so. Every op sums in an order that depends on shapes alone: results are the same bits
 * whatever the number of threads.
 *
 * Strides: a tensor and its gradient are dense, or, where the sizes end with a star, possibly a
 * range of columns of a wider dense tensor (the last axis contiguous); attention's and outer_mean's
 * starred tensors may also have their first two axes exchanged. A row says where more is allowed.
 * Axes of size 0 are not used. */
#ifndef FOLDMILL_KERNELS_OPS_H
#define FOLDMILL_KERNELS_OPS_H

#include "kernels/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

#define LAYER_NORM_EPS 1e-5
#define IPA_NORM_EPS   1e-8
#define FAPE_EPS       1e-4
enum { RELPOS_MAX = 32, RELPOS_BINS = 65 };

/* clang-format off */
#define OPS(DIFF, PLAIN, F) \
    /* y[n,o] = res[n,o] + scale[n] * (sum_i x[n,i] w[o,i] + b[o]). g.y is not changed. */ \
    DIFF(linear, F(IN, x, "N,I*") F(IN, w, "O,I") F(OPT, b, "O") F(MASK, scale, "N") \
        F(OPT, res, "N,O*") F(OUT, y, "N,O*")) \
    /* y = max(0, x w^T + b). Backward masks g.y in place by (y > 0): g.y is destroyed. */ \
    DIFF(linear_relu, F(IN, x, "N,I*") F(IN, w, "O,I") F(IN, b, "O") F(OUT, y, "N,O*")) \
    /* y[n,:] = (x[n,:] - mean) * rstd * w + b, biased variance, eps LAYER_NORM_EPS; \
       stat[n] = mean, rstd. x and g.x may have any strides (channel-first: [1, N]). */ \
    DIFF(layer_norm, F(IN, x, "N,C*") F(IN, w, "C") F(IN, b, "C") F(OUT, y, "N,C*") \
        F(AUX, stat, "N,2")) \
    /* Attention core. p[b,h,q,:] = softmax over k of (q . k / sqrt(D) + bias[h,q,k]) where \
       mask[b,k] > 0 (p = 0 elsewhere; y = 0 where every key is masked); \
       y[b,q,h,:] = sigmoid(gate[b,q,h,:] + gate_bias[h,:]) * sum_k p v (gate absent: factor 1). \
       lse[b,h,q] = log of the softmax's sum including its maximum; -inf where all is masked. \
       q k v gate y: the last two axes are contiguous together. The first two may have any \
       strides: columns of an MSA or a pair tensor are attended without a transpose. */ \
    DIFF(attention, F(IN, q, "B,Q,H,D*") F(IN, k, "B,K,H,D*") F(IN, v, "B,K,H,D*") \
        F(MASK, mask, "B,K") F(OPT, bias, "H,Q,K") F(OPT, gate, "B,Q,H,D*") \
        F(OPT, gate_bias, "H,D with gate") F(OUT, y, "B,Q,H,D*") F(AUX, lse, "B,H,Q")) \
    /* y[n,c] = sigmoid(g[n,c]) * p[n,c] * mask[n]. y and g.y may have any strides. */ \
    DIFF(gate, F(IN, p, "N,C*") F(IN, g, "N,C*") F(MASK, mask, "N") F(OUT, y, "N,C*")) \
    /* y[b] = a[b] times b[b], matrices; of each matrix one of the two strides is 1, so that \
       transposes are views (triangle multiplication: B = channels). */ \
    DIFF(matmul, F(IN, a, "B,M,K*") F(IN, b, "B,K,N*") F(OUT, y, "B,M,N*")) \
    /* Outer product mean with its projection, the [L,L,C,C] product never stored: \
       y[i,j,o] = res[i,j,o] + scale[i,j] * (bias[o] + sum_ce w[o,c,e] sum_s a[s,i,c] b[s,j,e]). \
       */ \
    DIFF(outer_mean, F(IN, a, "S,L,C*") F(IN, b, "S,L,C*") F(IN, w, "O,C,C") F(IN, bias, "O") \
        F(MASK, scale, "L,L") F(OPT, res, "L,L,O") F(OUT, y, "L,L,O")) \
    /* y[i,j] = 1 / (eps + sum_s mask[s,i] mask[s,j]). */ \
    PLAIN(mask_norm, F(VAL, mask, "S,L") F(OUT, y, "L,L") F(NUM, eps, "0.001,0.1")) \
    /* y = x + drop(u). The factor is 0 or 1 / (1 - rate), the same for all indices of the axis \
       `shared` (0 or 1; -1: every element its own). Element e of the remaining axes, row-major, \
       is dropped when (w >> 8) * 2^-24 < rate, w = word e % 4 of philox(counter = {e / 4, site, \
       position low, position high}, key = {seed low, seed high}). rate 0: y = x + u. \
       y may be x; g.x may be g.y (then it is left as it is). */ \
    DIFF(residual, F(IN, x, "A,B,C") F(IN, u, "A,B,C") F(OUT, y, "A,B,C") \
        F(NUM, rate, "0,0.5") F(INT, shared, "-1,1") F(INT, site, "0,1000") F(KEY, seed, "") \
        F(KEY, position, "")) \
    /* y[l,c] = sum_s mask[s,l] x[s,l,c] / (eps + sum_s mask[s,l]). */ \
    DIFF(mask_mean, F(IN, x, "S,L,C") F(MASK, mask, "S,L") F(OUT, y, "L,C") \
        F(NUM, eps, "0.001,0.1")) \
    /* y[i,j,k] = mask[i] mask[j] where the squared distance of x[i] and x[j] lies between the \
       squares of edges k and k + 1, else 0; the K edges go from first to last in equal steps, the \
       end of the last bin is at 1e8 (AF2 suppl. algorithm 32). */ \
    PLAIN(distance_bins, F(VAL, x, "L,3") F(MASK, mask, "L") F(OUT, y, "L,L,K*") \
        F(NUM, first, "0.1,0.3") F(NUM, last, "0.5,1.5")) \
    /* What a template says of residues i and j, but for the distance, times mask[i] mask[j]: \
       beta_i beta_j, one of 22 types of j, the same of i, the direction of CA_j in the frame of \
       N CA C of i (0 where unit is 0), 1 (AF2 suppl. 1.7.1). backbone[l] = N, CA, C. */ \
    PLAIN(template_pair, F(IDX, type, "L < 22") F(VAL, beta, "L") F(VAL, backbone, "L,9") \
        F(VAL, mask, "L") F(OUT, y, "L,L,49*") F(INT, unit, "0,1")) \
    /* y[n] = one of 23 classes, has_deletion, deletion: an extra MSA's features (AF2 suppl. \
       algorithm 2, line 13). */ \
    PLAIN(extra_features, F(IDX, msa, "N < 23") F(VAL, has_deletion, "N") F(VAL, deletion, "N") \
        F(OUT, y, "N,25")) \
    /* y[a,n] = t[n]. */ \
    DIFF(spread, F(IN, t, "N") F(OUT, y, "A,N*")) \
    /* z[i,j,:] = left[i,:] + right[j,:] + w[:,bin] + b, bin = clamp(index[i] - index[j], +-32) \
       + 32 (AF2 suppl. algorithms 3-5). */ \
    DIFF(embed_pair, F(IN, left, "L,C") F(IN, right, "L,C") F(IN, w, "C,65") F(IN, b, "C") \
        F(IDX, index, "L < 90") F(OUT, z, "L,L,C")) \
    /* loss[0] = sum_n weight[n] * (lse[n] - x[n,target[n]]), lse = log sum_k exp x[n,k]; rows \
       with weight 0 are not read beyond lse. */ \
    DIFF(xent, F(IN, x, "N,K*") F(IDX, target, "N < K") F(VAL, weight, "N") F(OUT, loss, "1") \
        F(AUX, lse, "N")) \
    /* y = x, both with any strides: transposes, and [N,H] -> [H,N] for pair biases. */ \
    DIFF(copy, F(IN, x, "A,B,C,D*") F(OUT, y, "A,B,C,D*")) \
    /* y = max(0, x). */ \
    DIFF(relu, F(IN, x, "N") F(OUT, y, "N")) \
    /* y[n,:] = x[n,:] / sqrt(max(eps, sum x[n,:]^2)). */ \
    DIFF(normalize, F(IN, x, "N,C*") F(OUT, y, "N,C*") F(NUM, eps, "0.00000001,0.0001")) \
    /* Backbone update (AF2 suppl. algorithm 23). Quaternions (w,x,y,z), rotations row-major: \
       new_quat = unit(quat + quat (0, update[0:3])), new_rot its rotation, \
       new_trans = trans + rotation(quat) update[3:6]. */ \
    DIFF(frame_update, F(IN, quat, "N,4*") F(IN, trans, "N,3*") F(IN, update, "N,6*") \
        F(OUT, new_quat, "N,4*") F(OUT, new_rot, "N,9*") F(OUT, new_trans, "N,3*")) \
    /* Invariant point attention (AF2 suppl. algorithm 22) before its last linear; C, P, V, Z any. \
       Points are [x y z] in the residue's frame. p[h,i,j]: softmax over j, mask[j] > 0, of \
       q . k / sqrt(3 C) + bias / sqrt(3) - softplus(head[h]) sqrt(2 / (27 P)) / 2 * sum_p \
       |qp - kp|^2 in global coordinates; o = p v; point = p vp, in i's frame, and its length; \
       pair = p z. */ \
    DIFF(ipa, F(IN, q, "N,H,C*") F(IN, k, "N,H,C*") F(IN, v, "N,H,C*") F(IN, qp, "N,3,H,P*") \
        F(IN, kp, "N,3,H,P*") F(IN, vp, "N,3,H,V*") F(IN, rot, "N,9*") F(IN, trans, "N,3*") \
        F(IN, bias, "N,N,H*") F(IN, z, "N,N,Z*") F(IN, head, "H") F(MASK, mask, "N") \
        F(OUT, o, "N,H,C*") F(OUT, point, "N,4,H,V*") F(OUT, pair, "N,H,Z*") F(AUX, p, "H,N,N")) \
    /* Eight frames and fourteen atoms of each residue (AF2 suppl. algorithm 24). Frames are a \
       rotation (9) and a translation (3). angle: (sine, cosine) of groups 1..7; base: the frames \
       of each residue type at torsion 0, 5..7 against the one before; place: atoms in that of \
       their group; atoms that do not exist are 0. Translations and results in Angstrom; trans is \
       in units of `unit` Angstrom. */ \
    DIFF(atoms, F(IN, rot, "N,9*") F(IN, trans, "N,3*") F(IN, angle, "N,7,2*") \
        F(IDX, aatype, "N < 21") F(VAL, base, "21,8,12") F(IDX, group, "21,14 < 8") \
        F(VAL, place, "21,14,3") F(MASK, exists, "21,14") F(OUT, frame, "N,8,12*") \
        F(OUT, atom, "N,14,3*") F(NUM, unit, "0.5,2")) \
    /* y[n,:] = x[n,index[n],:]. */ \
    PLAIN(pick, F(VAL, x, "N,A,C*") F(IDX, index, "N < A") F(OUT, y, "N,C*")) \
    /* Frame aligned point error (algorithm 28). e = |R^T unit (x - t) - R'^T (x' - t')| \
       (eps FAPE_EPS under the root); loss = mean over b, masked frames and masked points of \
       (clamped min(e, clamp) + (1 - clamped) e) / length. part: each frame's sum. */ \
    DIFF(fape, F(IN, rot, "B,F,9*") F(IN, trans, "B,F,3*") F(IN, point, "B,P,3*") \
        F(VAL, true_rot, "F,9*") F(VAL, true_trans, "F,3*") F(VAL, true_point, "P,3*") \
        F(MASK, frame_mask, "F") F(MASK, point_mask, "P") F(OUT, loss, "1") F(AUX, part, "B,F") \
        F(NUM, unit, "0.5,2") F(NUM, length, "1,10") F(NUM, clamp, "1,10") \
        F(NUM, clamped, "0,1")) \
    /* Torsions (AF2 suppl. algorithm 27). part[n] = sum over b of: for k < 4, chi_weight[n,k] \
       times the square of the distance of angle[b,n,3+k] to truth[n,k] or to other[n,k], \
       whichever is nearer; norm_weight[n] * sum over all seven of | |raw| - 1 |. */ \
    DIFF(chi, F(IN, angle, "B,N,7,2*") F(IN, raw, "B,N,7,2*") F(VAL, truth, "N,4,2") \
        F(VAL, other, "N,4,2") F(VAL, chi_weight, "N,4") F(VAL, norm_weight, "N") \
        F(OUT, part, "N")) \
    /* y[n] = weight[n] * (log(1 + exp x[n]) - target[n] x[n]): cross entropy with sigmoid x. */ \
    DIFF(binary_xent, F(IN, x, "N") F(VAL, target, "N") F(VAL, weight, "N") F(OUT, y, "N")) \
    /* y[n] = 1 where the other names of residue n's ambiguous atoms fit atom better, else 0: \
       compared are distances to all atoms that are not ambiguous (AF2 suppl. algorithm 26). */ \
    PLAIN(rename, F(VAL, atom, "N,14,3*") F(VAL, truth, "N,14,3") F(VAL, other, "N,14,3") \
        F(VAL, exists, "N,14") F(VAL, ambiguous, "N,14") F(OUT, y, "N")) \
    /* y[n,:] = choice[n] > 0 ? b[n,:] : a[n,:]. */ \
    PLAIN(choose, F(VAL, choice, "N") F(VAL, a, "N,C") F(VAL, b, "N,C") F(OUT, y, "N,C")) \
    /* How far atoms are from what chemistry allows (AF2 suppl. 1.9.11), atom[n] being 14 of \
       a residue. bond[n] = weight[n] * max(0, |x - true| - tolerance * deviation) of the bond \
       C-N to residue n + 1 and of the cosines of the angles CA-C-N and C-N-CA. between[n,a]: \
       overlap, beyond 1.5 A, of the radii of atom a and of every atom of other residues; \
       within[n,a]: how far its distances to the residue's other atoms b are outside \
       lower..upper of (a, b) and of (b, a). weight of residue N - 1 is not read. */ \
    DIFF(violation, F(IN, atom, "N,14,3*") F(VAL, exists, "N,14") F(VAL, weight, "N,3") \
        F(IDX, index, "N < 90") F(IDX, aatype, "N < 21") F(VAL, radius, "21,14") \
        F(VAL, lower, "21,14,14") F(VAL, upper, "21,14,14") F(OUT, bond, "N,3") \
        F(OUT, between, "N,14") F(OUT, within, "N,14")) \
    /* y = value. */ \
    PLAIN(fill, F(OUT, y, "N") F(NUM, value, "-1,1")) \
    /* y = y + scale x. */ \
    PLAIN(add_scaled, F(VAL, x, "N") F(IO, y, "N") F(NUM, scale, "-1,1")) \
    /* y[0] = sum of x squared, summed in double; not finite when x is not. */ \
    PLAIN(sum_squares, F(VAL, x, "N") F(OUT, y, "1")) \
    /* One step of Adam (Kingma and Ba 2015) and of the moving average of the weights: \
       t = grad * scale; m = b1 m + (1-b1) t; v = b2 v + (1-b2) t^2; \
       w -= rate * (m / fix1) / (sqrt(v / fix2) + eps); ema = decay ema + (1-decay) w. \
       fix1 = 1 - b1^step, fix2 = 1 - b2^step. */ \
    PLAIN(adam, F(VAL, grad, "N") F(IO, w, "N") F(IO, m, "N") F(IO, v, "N") F(IO, ema, "N") \
        F(NUM, scale, "0.5,1") F(NUM, rate, "0.001,0.1") F(NUM, b1, "0.5,0.9") \
        F(NUM, b2, "0.9,0.99") F(NUM, fix1, "0.1,1") F(NUM, fix2, "0.1,1") \
        F(NUM, eps, "0.00001,0.01") F(NUM, decay, "0.9,0.999"))
/* clang-format on */

/* The products of the rows above that have some: W(op, field, work), in floating-point operations
 * (a multiplication and an addition are two) by the sizes of the row. A result's work is done
 * forward, a gradient's where it is asked for, and that of an AUX field in every backward. A row
 * of OPS without one moves bytes and computes in passing. */
#define OPS_WORK(W)                                                                                \
    W(linear, y, "2NIO") W(linear, x, "2NIO") W(linear, w, "2NIO")                                 \
    W(linear_relu, y, "2NIO") W(linear_relu, x, "2NIO") W(linear_relu, w, "2NIO")                  \
    W(attention, y, "4BHQKD") W(attention, lse, "4BHQKD") W(attention, q, "2BHQKD")                \
    W(attention, k, "2BHQKD") W(attention, v, "2BHQKD")                                            \
    W(matmul, y, "2BMNK") W(matmul, a, "2BMNK") W(matmul, b, "2BMNK")                              \
    W(outer_mean, y, "2SLLCC+2LLCCO") W(outer_mean, a, "2SLLCC+2LLCCO")                            \
    W(outer_mean, b, "2SLLCC") W(outer_mean, w, "2SLLCC+2LLCCO")                                   \
    W(ipa, o, "4HNNC+6HNNP+6HNNV+2HNNZ") W(ipa, p, "8HNNC+12HNNP+12HNNV+4HNNZ")

/* The rows whose backward reads upstream gradients alone, none of the op's inputs. */
#define OPS_ADDING(A) A(residual) A(copy) A(spread) A(embed_pair)

/* struct op_NAME: the arguments. */
#define OP_MEMBER(kind, name, spec) OP_MEMBER_##kind(name)
#define OP_MEMBER_IN(name)          struct tensor name;
#define OP_MEMBER_OPT(name)         struct tensor name;
#define OP_MEMBER_VAL(name)         struct tensor name;
#define OP_MEMBER_MASK(name)        struct tensor name;
#define OP_MEMBER_IDX(name)         struct tensor name;
#define OP_MEMBER_OUT(name)         struct tensor name;
#define OP_MEMBER_AUX(name)         struct tensor name;
#define OP_MEMBER_IO(name)          struct tensor name;
#define OP_MEMBER_INT(name)         int name;
#define OP_MEMBER_NUM(name)         double name;
#define OP_MEMBER_KEY(name)         uint64_t name;
#define OP_STRUCT(name, fields)                                                                    \
    struct op_##name {                                                                             \
        fields                                                                                     \
    };
OPS(OP_STRUCT, OP_STRUCT, OP_MEMBER)
#undef OP_STRUCT

/* The functions of a backend, filled by it. */
struct backend;
#define OP_NO_FIELD(kind, name, spec)
#define OP_POINTER_PLAIN(name, fields) void (*name)(struct backend *, const struct op_##name *);
#define OP_POINTER_DIFF(name, fields)                                                              \
    OP_POINTER_PLAIN(name, fields)                                                                 \
    void (*name##_back)(struct backend *, const struct op_##name *, const struct op_##name *);
struct ops {
    OPS(OP_POINTER_DIFF, OP_POINTER_PLAIN, OP_NO_FIELD)
};

/* OP_linear, ...: numbers of the rows. */
#define OP_NUMBER(name, fields) OP_##name,
enum op { OPS(OP_NUMBER, OP_NUMBER, OP_NO_FIELD) OP_COUNT };
#undef OP_NUMBER

/* The rows as one text: two builds agree on all ops when their texts are equal. */
#define OP_FIELD_TEXT(kind, name, spec) " " #kind " " #name " " spec ";"
#define OP_ROW_TEXT(name, fields)       #name ":" fields "\n"
#define OPS_TEXT                        OPS(OP_ROW_TEXT, OP_ROW_TEXT, OP_FIELD_TEXT)

/* What the rows say, for generic tests and for the tape. */
enum op_field_kind {
    OP_FIELD_IN,
    OP_FIELD_OPT,
    OP_FIELD_VAL,
    OP_FIELD_MASK,
    OP_FIELD_IDX,
    OP_FIELD_OUT,
    OP_FIELD_AUX,
    OP_FIELD_IO,
    OP_FIELD_INT,
    OP_FIELD_NUM,
    OP_FIELD_KEY
};

enum { OP_FIELDS_MAX = 16 }; /* in one row */

struct op_field {
    enum op_field_kind kind;
    const char *name, *spec;
    size_t offset; /* inside struct op_NAME */
};

struct op_info {
    const char *name;
    size_t args_bytes; /* sizeof(struct op_NAME) */
    int field_count;
    const struct op_field *field;
    void (*run)(struct backend *backend, const void *args);
    void (*back)(struct backend *backend, const void *args, const void *gradients); /* or NULL */
};

/* What the row says; op < OP_COUNT. */
const struct op_info *op_describe(enum op op);

/* Floating-point operations of the op's products (OPS_WORK), and the bytes of all tensors that it
 * reads and writes, each once: forward, or of its backward where gradients are given. */
double op_flops(enum op op, const void *args, const void *gradients);
double op_bytes(enum op op, const void *args, const void *gradients);

/* The field of this kind is a struct tensor (not a number). */
static inline bool op_field_is_tensor(enum op_field_kind kind)
{
    return kind != OP_FIELD_INT && kind != OP_FIELD_NUM && kind != OP_FIELD_KEY;
}

#ifdef __cplusplus
}
#endif
#endif

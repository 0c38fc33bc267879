/* The structure module (AF2 suppl. algorithms 20-24): from the single and the pair representation
 * to frames, torsions and atoms, in iterations that share their weights. Frames are rotations
 * [N,9] (row-major) and translations [N,3] in units of STRUCTURE_UNIT Angstrom. */
#ifndef FOLDMILL_KERNELS_NET_STRUCTURE_H
#define FOLDMILL_KERNELS_NET_STRUCTURE_H

#include "kernels/net/modules.h"

#define STRUCTURE_UNIT 10.0
#define ANGLE_EPS      1e-8

enum { STRUCTURE_ITERATIONS_MAX = 8, ANGLE_LAYERS_MAX = 4, TORSION_COUNT = 7 };

struct structure_sizes {
    int64_t c_s, c_z, heads, dims, query_points, value_points, angle_channels;
    int angle_layers, iterations;
    double dropout; /* 0.1 in the paper */
};

/* Invariant point attention: its parameters. */
struct point_attention {
    struct weight head;
    struct layer q, kv, q_points, kv_points, bias, out;
};
struct point_attention point_attention_declare(struct params *p, const char *prefix,
                                               const struct structure_sizes *sizes);
/* s[N,c_s], z[N,N,c_z], rot[N,9], trans[N,3], mask[N] or absent -> the update of s, [N,c_s]. */
struct tensor point_attention_run(struct tape *t, const struct point_attention *a,
                                  const struct structure_sizes *sizes, struct tensor s,
                                  struct tensor z, struct tensor rot, struct tensor trans,
                                  struct tensor mask);

/* s + three linears of it, normalised. */
struct structure_transition {
    struct layer linear[3], norm;
    int site;
};
struct structure_transition structure_transition_declare(struct params *p, const char *prefix,
                                                         int64_t c_s);
/* site: of the dropout, which differs between iterations. */
struct tensor structure_transition_run(struct tape *t, const struct structure_transition *a,
                                       struct tensor s, double dropout, int site);

/* Torsions from the single representation and the first one. */
struct angle_net {
    int layers;
    struct layer in, initial, layer[ANGLE_LAYERS_MAX][2], out;
};
struct angle_net angle_net_declare(struct params *p, const char *prefix,
                                   const struct structure_sizes *sizes);
/* s[N,c_s], initial[N,c_s] -> raw[N,7,2] and, of unit length, angle[N,7,2] (sine, cosine). */
void angle_net_run(struct tape *t, const struct angle_net *a, struct tensor s,
                   struct tensor initial, struct tensor raw, struct tensor angle);

/* Facts by residue type, which the caller gives: see the op atoms. */
struct residue_tables {
    struct tensor base, group, place, exists;
};

struct structure_net {
    struct structure_sizes sizes;
    struct layer norm_s, norm_z, in, norm_ipa, update;
    struct point_attention ipa;
    struct structure_transition transition;
    struct angle_net angles;
    int site;
    bool every; /* frames, atoms and single of every iteration, not of the last alone */
};
struct structure_net structure_net_declare(struct params *p, const char *prefix,
                                           const struct structure_sizes *sizes);

/* What comes out of I iterations; K is I where the module says `every`, else 1: the last. */
struct structure_out {
    struct tensor rot, trans;  /* [I,N,9], [I,N,3] */
    struct tensor quat;        /* [I,N,4] */
    struct tensor raw, angle;  /* [I,N,7,2] */
    struct tensor frame, atom; /* [K,N,8,12], [K,N,14,3], Angstrom */
    struct tensor single;      /* [K,N,c_s] */
};
/* s[N,c_s] (its gradient must have a place: a stream, or made in the pass before), z the stream,
 * aatype i32[N], mask[N] or absent. The rotation's gradient stops between iterations. */
struct structure_out structure_net_run(struct tape *t, const struct structure_net *a,
                                       struct tensor s, const struct tape_stream *z,
                                       struct tensor aatype, struct tensor mask,
                                       const struct residue_tables *tables);

#endif

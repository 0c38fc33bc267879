/* The walk over the hits of a chain (data path, section 5.3): which are worth a look, in which
 * order, and what they give, until all are made that training or evaluation could ever take. */
#ifndef STAGES_BIO_TEMPLATE_WALK_H
#define STAGES_BIO_TEMPLATE_WALK_H

#include "stages/bio/template.h"

enum { TEMPLATE_DATE_BYTES = 10 }; /* "YYYY-MM-DD", which compare as texts */

/* Where structures come from. */
struct template_library {
    void *user;
    /* The structure of an entry, all chains with coordinates; it lives until the next call.
     * STATUS_REFUSED: it is not there, or unusable, with the reason. */
    enum status (*open)(void *user, const char *entry, const struct structure **structure,
                        struct error *err);
    /* May be NULL. The entry that stands in place of an obsolete one, or NULL. */
    const char *(*replacement)(void *user, const char *entry);
    /* May be NULL. The release date of an entry, known without opening it; empty: unknown. What it
     * knows must not change what the walk gives but by sparing it structures: see template_walk. */
    struct span (*date)(void *user, const char *entry);
};

struct template_settings {
    bool reference;        /* as the reference pipeline: see template_wish */
    int shuffled, hits;    /* hits that training permutes (20); templates a sample takes (4) */
    struct span date_max;  /* later structures are refused; empty: none are */
    const char *own_entry; /* lower case; hits in it are refused; "" or NULL: none are */
    struct template_aligner aligner;
};

struct template_candidate {
    struct template_features features;
    float sum_probs;
    char *name; /* ENTRY_CHAIN */
};

struct template_list {
    struct template_candidate *candidate; /* in the order of the walk */
    int count;
    int shuffled; /* of them, from the front: among the hits that training permutes */
    int hits;     /* in the file */
    int refused;  /* of those looked at */
    char *report; /* a line for each hit that was refused: its name, a tab, why */
};

/* Walks the hits of one file. The first `shuffled` that pass the filter are all made; those behind
 * them in order, until `hits` different strings are there. A hit that is too young is none of the
 * first ones, whoever knows its date, the library or its structure; as the reference, only where
 * the library knows it. STATUS_LIMIT: no memory; errors of
 * single hits stand in the report. */
enum status template_walk(const struct hhr *hhr, struct span query,
                          const struct template_settings *settings,
                          const struct template_library *library, struct arena *arena,
                          struct template_list *list, struct error *err);

#endif

/* The table of parameters and how they start; see params.h. */
#include "kernels/net/params.h"

#include "engine/base/rng.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ALIGN = 16 }; /* floats: one cache line */

void params_open(struct params *p)
{
    *p = (struct params){0};
}

void params_close(struct params *p)
{
    free(p->item);
    *p = (struct params){0};
}

struct weight params_add(struct params *p, const char *prefix, const char *name, int64_t rows,
                         int64_t columns, enum param_init init, bool joined)
{
    ASSERT_INT(p->count, <, PARAMS_MAX);
    if (p->count == p->room) {
        int room = p->room ? 2 * p->room : 128;
        struct parameter *grown = realloc(p->item, (size_t)room * sizeof *grown);
        ASSERT(grown);
        p->item = grown, p->room = room;
    }
    struct parameter *item = &p->item[p->count];
    int length = snprintf(item->name, sizeof item->name, "%s%s%s", prefix, *prefix ? "." : "",
                          name);
    ASSERT(length > 0 && (size_t)length < sizeof item->name);
    ASSERT(!params_find(p, item->name));
    ASSERT(rows > 0 && columns >= 0);
    if (!joined)
        p->size = (p->size + ALIGN - 1) / ALIGN * ALIGN;
    item->offset = p->size;
    item->rank = columns ? 2 : 1;
    item->dim[0] = rows;
    item->dim[1] = columns ? columns : 1;
    item->count = rows * item->dim[1];
    item->init = init;
    p->size += item->count;
    p->count++;
    return (struct weight){item->offset, item->rank, {item->dim[0], item->dim[1]}};
}

const struct parameter *params_find(const struct params *p, const char *name)
{
    for (int i = 0; i < p->count; i++)
        if (strcmp(p->item[i].name, name) == 0)
            return &p->item[i];
    return NULL;
}

/* A normal number, drawn again until it lies within 2 sigma. */
static float cut_normal(struct rng *rng)
{
    float x;
    do
        x = rng_normal(rng);
    while (x < -2 || x > 2);
    return x;
}

static void fill(const struct parameter *item, uint64_t seed, float *values)
{
    const double cut_sigma = 0.87962566103423978; /* of a normal cut at 2 sigma */
    struct rng rng = rng_open(seed, 0, 0, item->name, 0);
    double fan_in = (double)item->dim[1], fan_out = (double)item->dim[0];
    float lecun = (float)(sqrt(1 / fan_in) / cut_sigma), relu = (float)(sqrt(2.0) * (double)lecun);
    float bound = (float)sqrt(6 / (fan_in + fan_out)), normal = (float)sqrt(1 / fan_in);
    for (int64_t i = 0; i < item->count; i++) {
        switch (item->init) {
        case INIT_ZERO:
            values[i] = 0;
            break;
        case INIT_ONE:
            values[i] = 1;
            break;
        case INIT_LECUN:
            values[i] = lecun * cut_normal(&rng);
            break;
        case INIT_RELU:
            values[i] = relu * cut_normal(&rng);
            break;
        case INIT_GLOROT:
            values[i] = bound * (2 * rng_uniform(&rng) - 1);
            break;
        case INIT_POINT:
            values[i] = 0.541324854612918f;
            break;
        case INIT_NORMAL:
            values[i] = normal * rng_normal(&rng);
            break;
        }
    }
}

void params_init(const struct params *p, uint64_t seed, float *values)
{
    memset(values, 0, (size_t)p->size * sizeof *values);
    for (int i = 0; i < p->count; i++)
        fill(&p->item[i], seed, values + p->item[i].offset);
}

struct weight weight_join(struct weight first, int64_t rows, int64_t columns)
{
    return (struct weight){first.offset, columns ? 2 : 1, {rows, columns ? columns : 1}};
}

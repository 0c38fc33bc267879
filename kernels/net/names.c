/* The table of names; see names.h. */
#include "kernels/net/names.h"

#include "kernels/net/params.h"

#include <stdio.h>
#include <string.h>

#define EVOFORMER "evoformer.blocks.#."
#define EXTRA     "extra_msa_stack.blocks.#."
#define TEMPLATE  "template_embedder."
#define IPA       "structure_module.ipa."

const struct name_rule name_rules[] = {
    /* what wraps a model that is trained */
    {"module.", ""},
    {"model.", ""},
    /* the pair part of a block lay in the block itself, for a while in "core" */
    {"extra_msa_stack.stack.", "extra_msa_stack."},
    {EVOFORMER "core.", EVOFORMER},
    {EXTRA "core.", EXTRA},
    {EVOFORMER "tri_", EVOFORMER "pair_stack.tri_"},
    {EVOFORMER "pair_transition.", EVOFORMER "pair_stack.pair_transition."},
    {EXTRA "tri_", EXTRA "pair_stack.tri_"},
    {EXTRA "pair_transition.", EXTRA "pair_stack.pair_transition."},
    /* the parts of the template embedder stood alone */
    {"template_angle_embedder.", TEMPLATE "template_single_embedder."},
    {"template_single_embedder.", TEMPLATE "template_single_embedder."},
    {"template_pair_embedder.", TEMPLATE "template_pair_embedder."},
    {"template_pair_stack.", TEMPLATE "template_pair_stack."},
    {"template_pointwise_att.", TEMPLATE "template_pointwise_att."},
    /* points were a plain linear */
    {IPA "linear_q_points.weight", IPA "linear_q_points.linear.weight"},
    {IPA "linear_q_points.bias", IPA "linear_q_points.linear.bias"},
    {IPA "linear_kv_points.weight", IPA "linear_kv_points.linear.weight"},
    {IPA "linear_kv_points.bias", IPA "linear_kv_points.linear.bias"},
    {NULL, NULL}};

enum { NUMBER_MAX = 8 }; /* digits of a block's number, with the NUL */

/* How much of name the rule covers, 0: it does not begin so; the digits of # into number. */
static size_t covers(const char *found, const char *name, char number[NUMBER_MAX])
{
    const char *at = name;
    number[0] = 0;
    for (; *found; found++) {
        if (*found != '#') {
            if (*at++ != *found)
                return 0;
            continue;
        }
        size_t digits = strspn(at, "0123456789");
        if (digits == 0 || digits >= NUMBER_MAX)
            return 0;
        memcpy(number, at, digits);
        number[digits] = 0;
        at += digits;
    }
    return (size_t)(at - name);
}

static bool apply(const struct name_rule *rule, const char *name, char *to, size_t to_bytes)
{
    char number[NUMBER_MAX];
    size_t covered = covers(rule->found, name, number);
    const char *place = strchr(rule->ours, '#');
    int length = 0;
    if (covered == 0)
        length = snprintf(to, to_bytes, "%s", name);
    else if (place)
        length = snprintf(to, to_bytes, "%.*s%s%s%s", (int)(place - rule->ours), rule->ours, number,
                          place + 1, name + covered);
    else
        length = snprintf(to, to_bytes, "%s%s", rule->ours, name + covered);
    return length >= 0 && (size_t)length < to_bytes;
}

bool name_translate(const char *name, char *ours, size_t ours_bytes)
{
    char now[4 * PARAM_NAME_MAX], next[sizeof now];
    if (strlen(name) >= sizeof now)
        return false;
    snprintf(now, sizeof now, "%s", name);
    for (const struct name_rule *rule = name_rules; rule->found; rule++) {
        if (!apply(rule, now, next, sizeof next))
            return false;
        memcpy(now, next, sizeof now);
    }
    int length = snprintf(ours, ours_bytes, "%s", now);
    return length >= 0 && (size_t)length < ours_bytes;
}

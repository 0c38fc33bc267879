/* What an op computes and moves, from its row in kernels/ops.h and the sizes of its tensors: for
 * plans and measurements. */
#include "kernels/ops.h"

#include <string.h>

enum { LETTERS = 26 };

struct work {
    enum op op;
    const char *field, *formula;
};

#define WORK_ROW(op, field, formula) {OP_##op, #field, formula},
static const struct work rows[] = {OPS_WORK(WORK_ROW)};

static struct tensor tensor_of(const struct op_field *field, const void *args)
{
    struct tensor t = {0};
    if (args && op_field_is_tensor(field->kind))
        memcpy(&t, (const char *)args + field->offset, sizeof t);
    return t;
}

/* The sizes of the row's letters, from the tensors that are there. */
static void sizes_read(const struct op_info *info, const void *args, int64_t size[LETTERS])
{
    for (int f = 0; f < info->field_count; f++) {
        struct tensor t = tensor_of(&info->field[f], args);
        const char *at = info->field[f].spec;
        for (int axis = 0; t.data && axis < t.rank && *at; axis++) {
            if (*at >= 'A' && *at <= 'Z')
                size[*at - 'A'] = t.dim[axis];
            at += strcspn(at, ",");
            at += *at == ',';
        }
    }
}

/* A sum of products of numbers and letters: "2SLLCC+2LLCCO". */
static double formula_value(const char *at, const int64_t size[LETTERS])
{
    double sum = 0, term = 1;
    while (*at) {
        if (*at >= '0' && *at <= '9') {
            double number = 0;
            for (; *at >= '0' && *at <= '9'; at++)
                number = 10 * number + (*at - '0');
            term *= number;
            continue;
        }
        if (*at == '+')
            sum += term, term = 1;
        else
            term *= (double)size[*at - 'A'];
        at++;
    }
    return sum + term;
}

double op_flops(enum op op, const void *args, const void *gradients)
{
    const struct op_info *info = op_describe(op);
    int64_t size[LETTERS] = {0};
    double sum = 0;
    sizes_read(info, args, size);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (rows[i].op != op)
            continue;
        int f = 0;
        while (strcmp(info->field[f].name, rows[i].field) != 0)
            ASSERT_INT(++f, <, info->field_count);
        const struct op_field *field = &info->field[f];
        bool done = field->kind == OP_FIELD_OUT   ? !gradients
                    : field->kind == OP_FIELD_AUX ? gradients != NULL
                                                  : tensor_of(field, gradients).data != NULL;
        if (done)
            sum += formula_value(rows[i].formula, size);
    }
    return sum;
}

static double bytes_of(const struct tensor *t)
{
    return t->data ? (double)tensor_count(t) * (double)tensor_kind_bytes(t->kind) : 0;
}

#define ADDING_ROW(op) || of == OP_##op
static bool is_adding(enum op of)
{
    return false OPS_ADDING(ADDING_ROW);
}

double op_bytes(enum op op, const void *args, const void *gradients)
{
    const struct op_info *info = op_describe(op);
    double sum = 0;
    for (int f = 0; f < info->field_count; f++) {
        const struct op_field *field = &info->field[f];
        struct tensor t = tensor_of(field, args), g = tensor_of(field, gradients);
        if (field->kind == OP_FIELD_OUT)
            sum += bytes_of(gradients ? &g : &t);
        else if (field->kind == OP_FIELD_IO)
            sum += 2 * bytes_of(&t);
        else if (!gradients || !is_adding(op))
            sum += bytes_of(&t);
        if (gradients && field->kind != OP_FIELD_OUT)
            sum += bytes_of(&g) * (g.add ? 2 : 1);
    }
    return sum;
}

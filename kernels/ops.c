/* The op table as data: made from the rows of kernels/ops.h. */
#include "kernels/ops.h"

#include "kernels/backend.h"

#define CALL_PLAIN(name, fields)                                                                   \
    static void run_##name(struct backend *backend, const void *args)                              \
    {                                                                                              \
        backend->ops.name(backend, (const struct op_##name *)args);                                \
    }
#define CALL_DIFF(name, fields)                                                                    \
    CALL_PLAIN(name, fields)                                                                       \
    static void back_##name(struct backend *backend, const void *args, const void *gradients)      \
    {                                                                                              \
        backend->ops.name##_back(backend, (const struct op_##name *)args,                          \
                                 (const struct op_##name *)gradients);                             \
    }
OPS(CALL_DIFF, CALL_PLAIN, OP_NO_FIELD)

/* `row` is a local type in each case, so that the field macro can name the row's struct. */
#define FIELD(kind_, name_, spec_) {OP_FIELD_##kind_, #name_, spec_, offsetof(row, name_)},
#define DESCRIBE(name_, back_, ...)                                                                \
    case OP_##name_: {                                                                             \
        typedef struct op_##name_ row;                                                             \
        static const struct op_field field[] = {__VA_ARGS__};                                      \
        static const struct op_info info = {#name_, sizeof(row), sizeof field / sizeof *field,     \
                                            field, run_##name_, back_};                            \
        return &info;                                                                              \
    }
#define DESCRIBE_DIFF(name, fields) DESCRIBE(name, back_##name, fields)
#define DESCRIBE_PLAIN(name, fields) DESCRIBE(name, NULL, fields)

const struct op_info *op_describe(enum op op)
{
    switch (op) {
        OPS(DESCRIBE_DIFF, DESCRIBE_PLAIN, FIELD)
    case OP_COUNT:
        break;
    }
    assert_fail(__FILE__, __LINE__, "no op has the number %d", (int)op);
}

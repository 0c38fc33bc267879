/* Products of strided matrices: cuBLAS is column-major, so that a row-major matrix is to it the
 * transposed one; y = a c is computed as y^T = c^T a^T where y is row-major. */
#include "kernels/cuda/gemm.cuh"

/* How a matrix [rows, columns] lies in memory; leading: elements from row to row, or from column
 * to column. */
struct layout {
    bool row_major;
    int leading;
};

static int checked_int(int64_t value)
{
    ASSERT_INT(value, <=, INT32_MAX);
    return (int)value;
}

static struct layout layout_of(const struct tensor *t)
{
    int64_t rows = t->dim[1], columns = t->dim[2], down = t->stride[1], right = t->stride[2];
    struct layout layout;
    if ((right == 1 || columns == 1) && (down >= columns || rows == 1)) {
        layout.row_major = true;
        layout.leading = checked_int(rows == 1 ? columns : down);
    } else {
        ASSERT((down == 1 || rows == 1) && (right >= rows || columns == 1));
        layout.row_major = false;
        layout.leading = checked_int(columns == 1 ? rows : right);
    }
    return layout;
}

void gemm(struct device *device, struct tensor a, struct tensor c, struct tensor y, bool add)
{
    ASSERT(a.dim[0] == y.dim[0] && c.dim[0] == y.dim[0]);
    ASSERT(a.dim[1] == y.dim[1] && a.dim[2] == c.dim[1] && c.dim[2] == y.dim[2]);
    struct layout to = layout_of(&y);
    if (!to.row_major) {
        gemm(device, transposed(c), transposed(a), transposed(y), add);
        return;
    }
    struct layout left = layout_of(&a), right = layout_of(&c);
    cublasOperation_t left_as = left.row_major ? CUBLAS_OP_N : CUBLAS_OP_T;
    cublasOperation_t right_as = right.row_major ? CUBLAS_OP_N : CUBLAS_OP_T;
    int m = checked_int(y.dim[1]), n = checked_int(y.dim[2]), k = checked_int(a.dim[2]);
    int batch = checked_int(y.dim[0]);
    const float one = 1.0f, beta = add ? 1.0f : 0.0f;
    if (device->counting)
        return;
    const float *from_a = (const float *)a.data, *from_c = (const float *)c.data;
    if (batch == 1)
        BLAS_OK(cublasSgemm(device->blas, right_as, left_as, n, m, k, &one, from_c, right.leading,
                            from_a, left.leading, &beta, (float *)y.data, to.leading));
    else
        BLAS_OK(cublasSgemmStridedBatched(device->blas, right_as, left_as, n, m, k, &one, from_c,
                                          right.leading, c.stride[0], from_a, left.leading,
                                          a.stride[0], &beta, (float *)y.data, to.leading,
                                          y.stride[0], batch));
}

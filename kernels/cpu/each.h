/* Runs the item functions of kernels/each on the cpu, items shared by the threads. */
#ifndef KERNELS_CPU_EACH_H
#define KERNELS_CPU_EACH_H

#include "kernels/cpu/cpu.h"

#define EACH_FN static inline
#ifdef CPU_DOUBLE
#define real_sqrt sqrt
#define real_exp  exp
#define real_log  log
#else
#define real_sqrt sqrtf
#define real_exp  expf
#define real_log  logf
#endif

#include "kernels/each/each.h"

/* function(call, i) for i < count; cost: operations of one item, roughly. */
#define EACH(backend, count, cost, function, call)                                                 \
    do {                                                                                           \
        int64_t each_count = (count);                                                              \
        int each_threads = each_count * (cost) > CPU_SMALL ? cpu_threads(backend) : 1;             \
        _Pragma("omp parallel for num_threads(each_threads) schedule(static)")                    \
        for (int64_t each_i = 0; each_i < each_count; each_i++)                                    \
            function(call, each_i);                                                                \
    } while (0)

#endif

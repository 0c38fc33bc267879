/* Blocks of a grid one after another; the threads of a block as fibers on one thread of the host.
 * A barrier that some threads of the block can never reach aborts. */
#include "cuda_runtime.h"

#include "engine/base/error.h"

#include <sys/mman.h>
#include <ucontext.h>

dim3 threadIdx, blockIdx;

enum { WARP_LANES = 32, THREADS_MAX = 1024, STACK_BYTES = 256 << 10 };
enum fiber_state { READY, AT_WARP, AT_BLOCK, ENDED };

struct fiber {
    ucontext_t context;
    enum fiber_state state;
    uint64_t slot; /* what a shuffle passes */
};

static struct fiber fibers[THREADS_MAX];
static ucontext_t scheduler;
static char *stacks;
static unsigned current, count;
static const std::function<void()> *running;
static bool backwards;

/* 1: blocks and threads run from the last to the first; results must be the same bits. */
extern "C" __attribute__((visibility("default"))) void cuda_host_order(int reversed)
{
    backwards = reversed != 0;
}

static void fiber_main(void)
{
    (*running)();
    fibers[current].state = ENDED;
    swapcontext(&fibers[current].context, &scheduler);
}

static void fiber_wait(enum fiber_state state)
{
    struct fiber *fiber = &fibers[current];
    fiber->state = state;
    swapcontext(&fiber->context, &scheduler);
}

void __syncthreads(void)
{
    fiber_wait(AT_BLOCK);
}

void host_warp_wait(void)
{
    fiber_wait(AT_WARP);
}

void *host_lane_slot(int lane_xor)
{
    unsigned other = current ^ (unsigned)lane_xor;
    ASSERT_INT(other, <, count);
    return &fibers[other].slot;
}

/* Threads first..end-1 that wait at `state` go on when all of them have come; ended ones count as
 * come for a block (as on a device), but a warp's exchange needs all lanes. */
static unsigned release(unsigned first, unsigned end, enum fiber_state state, bool all)
{
    unsigned waiting = 0, ended = 0;
    for (unsigned i = first; i < end; i++) {
        waiting += fibers[i].state == state;
        ended += fibers[i].state == ENDED;
    }
    if (!waiting || waiting + (all ? 0 : ended) < end - first)
        return 0;
    for (unsigned i = first; i < end; i++)
        if (fibers[i].state == state)
            fibers[i].state = READY;
    return waiting;
}

static void block_start(dim3 block, unsigned thread)
{
    struct fiber *fiber = &fibers[thread];
    fiber->state = READY;
    ASSERT(getcontext(&fiber->context) == 0);
    fiber->context.uc_stack.ss_sp = stacks + (size_t)thread * STACK_BYTES;
    fiber->context.uc_stack.ss_size = STACK_BYTES;
    fiber->context.uc_link = NULL;
    makecontext(&fiber->context, fiber_main, 0);
    (void)block;
}

static void block_run(dim3 block)
{
    for (unsigned i = 0; i < count; i++)
        block_start(block, i);
    for (unsigned ended = 0; ended < count;) {
        unsigned moved = 0;
        for (unsigned i = 0; i < count; i++) {
            current = backwards ? count - 1 - i : i;
            if (fibers[current].state != READY)
                continue;
            threadIdx = dim3(current % block.x, current / block.x % block.y,
                             current / block.x / block.y);
            swapcontext(&scheduler, &fibers[current].context);
            ended += fibers[current].state == ENDED;
            moved++;
        }
        for (unsigned first = 0; first < count; first += WARP_LANES) {
            unsigned end = first + WARP_LANES < count ? first + WARP_LANES : count;
            moved += release(first, end, AT_WARP, true);
        }
        moved += release(0, count, AT_BLOCK, false);
        if (!moved)
            assert_fail(__FILE__, __LINE__, "block %u,%u,%u waits at a barrier for ever",
                        blockIdx.x, blockIdx.y, blockIdx.z);
    }
}

cudaError_t host_grid(dim3 grid, dim3 block, const std::function<void()> &body)
{
    uint64_t blocks = (uint64_t)grid.x * grid.y * grid.z;
    count = block.x * block.y * block.z;
    if (blocks == 0 || count == 0 || count > THREADS_MAX || grid.x > INT32_MAX ||
        grid.y > 65535 || grid.z > 65535)
        return cudaErrorInvalidConfiguration;
    if (!stacks) {
        void *memory = mmap(NULL, (size_t)THREADS_MAX * STACK_BYTES, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        ASSERT(memory != MAP_FAILED);
        stacks = (char *)memory;
    }
    running = &body;
    for (uint64_t i = 0; i < blocks; i++) {
        uint64_t number = backwards ? blocks - 1 - i : i;
        blockIdx = dim3((unsigned)(number % grid.x), (unsigned)(number / grid.x % grid.y),
                        (unsigned)(number / grid.x / grid.y));
        block_run(block);
    }
    return cudaSuccess;
}

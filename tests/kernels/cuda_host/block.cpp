/* Blocks of a grid one after another, on one thread of the host. A fiber runs the threads of a
 * block in turn until one of them waits; that thread keeps the fiber, and another one goes on with
 * the rest: kernels without barriers need no switches. A barrier that some threads of the block
 * can never reach aborts. */
#include "cuda_runtime.h"

#include "engine/base/error.h"

#include <sys/mman.h>
#include <ucontext.h>

dim3 threadIdx, blockIdx;

enum { WARP_LANES = 32, THREADS_MAX = 1024, STACK_BYTES = 256 << 10 };
enum thread_state { READY, AT_WARP, AT_BLOCK, ENDED };

struct thread {
    enum thread_state state;
    unsigned fiber;   /* that holds its stack, while it waits */
    uint64_t slot[2]; /* what a shuffle passes; */
    unsigned turn;    /* through this one next */
};

static struct thread threads[THREADS_MAX];
static ucontext_t fibers[THREADS_MAX], scheduler;
static unsigned idle[THREADS_MAX], idle_count, fiber_count; /* fibers with nothing to run */
static char *stacks;
static unsigned current, count, started; /* the running thread; of the block: all, begun */
static unsigned current_fiber;
static dim3 shape;
static const std::function<void()> *running;
static bool backwards;

/* 1: blocks and threads run from the last to the first; results must be the same bits. */
extern "C" __attribute__((visibility("default"))) void cuda_host_order(int reversed)
{
    backwards = reversed != 0;
}

/* Makes a thread the running one. */
static void thread_enter(unsigned thread)
{
    current = thread;
    threadIdx = dim3(thread % shape.x, thread / shape.x % shape.y, thread / shape.x / shape.y);
}

static void fiber_main(void)
{
    for (;;) {
        while (started < count) {
            thread_enter(backwards ? count - 1 - started : started);
            started++;
            threads[current].turn = 0;
            (*running)();
            threads[current].state = ENDED;
        }
        idle[idle_count++] = current_fiber;
        swapcontext(&fibers[current_fiber], &scheduler);
    }
}

static void fiber_resume(unsigned fiber)
{
    current_fiber = fiber;
    swapcontext(&scheduler, &fibers[fiber]);
}

static unsigned fiber_take(void)
{
    if (idle_count > 0)
        return idle[--idle_count];
    ASSERT_INT(fiber_count, <, THREADS_MAX);
    ucontext_t *fiber = &fibers[fiber_count];
    ASSERT(getcontext(fiber) == 0);
    fiber->uc_stack.ss_sp = stacks + (size_t)fiber_count * STACK_BYTES;
    fiber->uc_stack.ss_size = STACK_BYTES;
    fiber->uc_link = NULL;
    makecontext(fiber, fiber_main, 0);
    return fiber_count++;
}

static void thread_wait(enum thread_state state)
{
    threads[current].state = state;
    threads[current].fiber = current_fiber;
    swapcontext(&fibers[current_fiber], &scheduler);
}

void __syncthreads(void)
{
    thread_wait(AT_BLOCK);
}

void *host_lane_slot(void)
{
    return &threads[current].slot[threads[current].turn];
}

const void *host_warp_exchange(int lane_xor)
{
    thread_wait(AT_WARP);
    unsigned other = current ^ (unsigned)lane_xor, turn = threads[current].turn;
    ASSERT_INT(other, <, count);
    threads[current].turn = 1 - turn;
    return &threads[other].slot[turn];
}

/* Threads first..end-1 that wait at `state` go on when all of them have come; ended ones count as
 * come for a block (as on a device), but a warp's exchange needs all lanes. */
static unsigned release(unsigned first, unsigned end, enum thread_state state, bool all)
{
    unsigned waiting = 0, ended = 0;
    for (unsigned i = first; i < end; i++) {
        waiting += threads[i].state == state;
        ended += threads[i].state == ENDED;
    }
    if (!waiting || waiting + (all ? 0 : ended) < end - first)
        return 0;
    for (unsigned i = first; i < end; i++)
        if (threads[i].state == state)
            threads[i].state = READY;
    return waiting;
}

static void block_run(void)
{
    started = 0;
    while (started < count)
        fiber_resume(fiber_take());
    for (;;) {
        unsigned moved = 0, ended = 0;
        for (unsigned first = 0; first < count; first += WARP_LANES) {
            unsigned end = first + WARP_LANES < count ? first + WARP_LANES : count;
            moved += release(first, end, AT_WARP, true);
        }
        moved += release(0, count, AT_BLOCK, false);
        for (unsigned i = 0; i < count; i++)
            ended += threads[i].state == ENDED;
        if (ended == count)
            return;
        if (!moved)
            assert_fail(__FILE__, __LINE__, "block %u,%u,%u waits at a barrier for ever",
                        blockIdx.x, blockIdx.y, blockIdx.z);
        for (unsigned i = 0; i < count; i++) {
            unsigned thread = backwards ? count - 1 - i : i;
            if (threads[thread].state != READY)
                continue;
            thread_enter(thread);
            fiber_resume(threads[thread].fiber);
        }
    }
}

cudaError_t host_grid(dim3 grid, dim3 block, const std::function<void()> &body)
{
    uint64_t blocks = (uint64_t)grid.x * grid.y * grid.z;
    count = block.x * block.y * block.z;
    if (blocks == 0 || count == 0 || count > THREADS_MAX || grid.x > INT32_MAX || grid.y > 65535 ||
        grid.z > 65535)
        return cudaErrorInvalidConfiguration;
    if (!stacks) {
        void *memory = mmap(NULL, (size_t)THREADS_MAX * STACK_BYTES, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        ASSERT(memory != MAP_FAILED);
        stacks = (char *)memory;
    }
    running = &body;
    shape = block;
    for (uint64_t i = 0; i < blocks; i++) {
        uint64_t number = backwards ? blocks - 1 - i : i;
        blockIdx = dim3((unsigned)(number % grid.x), (unsigned)(number / grid.x % grid.y),
                        (unsigned)(number / grid.x / grid.y));
        block_run();
    }
    return cudaSuccess;
}

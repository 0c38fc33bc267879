/* Pages of counters in shared memory; see metrics.h. */
#include "engine/metrics.h"

#include "engine/base/clock.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum status page_map(int fd, struct page **page, struct error *err)
{
    void *memory = mmap(NULL, sizeof **page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    *page = memory == MAP_FAILED ? NULL : memory;
    if (!*page)
        return error_set(err, STATUS_IO, "cannot map a page of counters: %s", strerror(errno));
    return STATUS_OK;
}

enum status page_make(int *fd, struct page **page, struct error *err)
{
    *fd = memfd_create("foldmill-page", MFD_CLOEXEC);
    if (*fd < 0 || ftruncate(*fd, sizeof **page))
        return error_set(err, STATUS_IO, "cannot make a page of counters: %s", strerror(errno));
    enum status status = page_map(*fd, page, err);
    if (status != STATUS_OK) {
        close(*fd);
        *fd = -1;
    }
    return status;
}

void page_unmap(struct page *page)
{
    if (page)
        munmap(page, sizeof *page);
}

void black_box_enter(struct page *page, uint32_t line, uint32_t stage, uint64_t seq, uint32_t gen,
                     uint32_t attempt, const char *key)
{
    struct black_box *box = &page->box;
    box->line = line;
    box->stage = stage;
    box->seq = seq;
    box->gen = gen;
    box->attempt = attempt;
    box->since_ns = clock_ns();
    snprintf(box->key, sizeof box->key, "%s", key);
    atomic_store_explicit(&box->executing, 1, memory_order_release);
}

void black_box_leave(struct page *page)
{
    atomic_store_explicit(&page->box.executing, 0, memory_order_release);
}

static uint64_t double_bits(double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

void report_set(struct page *page, const char *name, double value)
{
    uint32_t count = atomic_load_explicit(&page->report_count, memory_order_relaxed);
    for (uint32_t i = 0; i < count; i++)
        if (strcmp(page->report[i].name, name) == 0) {
            atomic_store_explicit(&page->report[i].bits, double_bits(value), memory_order_relaxed);
            return;
        }
    if (count == METRICS_REPORTS_MAX)
        return;
    snprintf(page->report[count].name, sizeof page->report[count].name, "%s", name);
    atomic_store_explicit(&page->report[count].bits, double_bits(value), memory_order_relaxed);
    atomic_store_explicit(&page->report_count, count + 1, memory_order_release);
}

bool report_get(const struct page *page, const char *name, double *value)
{
    uint32_t count = atomic_load_explicit(&page->report_count, memory_order_acquire);
    for (uint32_t i = 0; i < count && i < METRICS_REPORTS_MAX; i++)
        if (strcmp(page->report[i].name, name) == 0) {
            uint64_t bits = atomic_load_explicit(&page->report[i].bits, memory_order_relaxed);
            memcpy(value, &bits, sizeof *value);
            return true;
        }
    return false;
}

/* A chain of blocks, each at least twice as large as the one before; see arena.h. */
#include "engine/base/arena.h"

#include "engine/base/error.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK_BYTES_MIN = 64 * 1024 };

struct arena_block {
    struct arena_block *next;
    size_t size, used;
    _Alignas(ARENA_ALIGN) unsigned char data[];
};

void arena_open(struct arena *arena, size_t bytes_max)
{
    *arena = (struct arena){.bytes_max = bytes_max};
}

void arena_close(struct arena *arena)
{
    struct arena_block *block = arena->first;
    while (block) {
        struct arena_block *next = block->next;
        free(block);
        block = next;
    }
    *arena = (struct arena){.bytes_max = arena->bytes_max};
}

void arena_reset(struct arena *arena)
{
    for (struct arena_block *block = arena->first; block; block = block->next)
        block->used = 0;
    arena->current = arena->first;
    arena->used_bytes = 0;
}

void arena_release(struct arena *arena, size_t keep_bytes)
{
    struct arena_block **at = &arena->first;
    size_t kept = 0;
    for (; *at && (*at)->size <= keep_bytes - kept; at = &(*at)->next)
        kept += (*at)->size;
    while (*at) {
        struct arena_block *block = *at;
        *at = block->next;
        free(block);
    }
    arena_reset(arena);
}

/* Moves to a block with room for size bytes, a new one if need be; NULL when there is no memory. */
static struct arena_block *block_with_room(struct arena *arena, size_t size)
{
    struct arena_block *block = arena->current;
    while (block && block->size - block->used < size) {
        if (!block->next)
            break;
        block = block->next;
        block->used = 0;
    }
    if (block && block->size - block->used >= size)
        return arena->current = block;
    size_t grown = block ? 2 * block->size : BLOCK_BYTES_MIN;
    size_t data_bytes = size > grown ? size : grown;
    if (data_bytes > SIZE_MAX - sizeof(struct arena_block) - ARENA_ALIGN)
        return NULL;
    size_t bytes =
        (sizeof(struct arena_block) + data_bytes + ARENA_ALIGN - 1) & ~(size_t)(ARENA_ALIGN - 1);
    struct arena_block *fresh = aligned_alloc(ARENA_ALIGN, bytes);
    if (!fresh)
        return NULL;
    fresh->next = NULL;
    fresh->size = data_bytes;
    fresh->used = 0;
    if (block)
        block->next = fresh;
    else
        arena->first = fresh;
    return arena->current = fresh;
}

/* What a thing of size bytes takes. */
static size_t rounded(size_t size)
{
    size = (size + ARENA_ALIGN - 1) & ~(size_t)(ARENA_ALIGN - 1);
    return size ? size : ARENA_ALIGN;
}

static void *take(struct arena *arena, size_t size)
{
    if (size > SIZE_MAX - ARENA_ALIGN)
        return NULL;
    size = rounded(size);
    if (arena->bytes_max &&
        (size > arena->bytes_max || arena->used_bytes > arena->bytes_max - size))
        return NULL;
    struct arena_block *block = block_with_room(arena, size);
    if (!block)
        return NULL;
    void *data = block->data + block->used;
    block->used += size;
    arena->used_bytes += size;
    if (arena->used_bytes > arena->peak_bytes)
        arena->peak_bytes = arena->used_bytes;
    return data;
}

void *arena_alloc(struct arena *arena, size_t size)
{
    void *data = take(arena, size);
    if (!data)
        assert_fail(__FILE__, __LINE__, "out of memory: %zu bytes wanted, %zu in use, limit %zu",
                    size, arena->used_bytes, arena->bytes_max);
    return data;
}

void *arena_zero(struct arena *arena, size_t count, size_t size)
{
    size_t bytes;
    ASSERT(!__builtin_mul_overflow(count, size, &bytes));
    return memset(arena_alloc(arena, bytes), 0, bytes);
}

void *arena_try(struct arena *arena, size_t count, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes))
        return NULL;
    return take(arena, bytes);
}

void arena_trim(struct arena *arena, const void *data, size_t taken, size_t size)
{
    struct arena_block *block = arena->current;
    ASSERT_INT(size, <=, taken);
    size_t back = rounded(taken) - rounded(size);
    if (!block || block->data + block->used != (const unsigned char *)data + rounded(taken))
        return;
    block->used -= back;
    arena->used_bytes -= back;
}

char *arena_text(struct arena *arena, const char *text, size_t size)
{
    char *copy = arena_alloc(arena, size + 1);
    if (size) /* an empty text may have no address */
        memcpy(copy, text, size);
    copy[size] = 0;
    return copy;
}

char *arena_printf(struct arena *arena, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int size = vsnprintf(NULL, 0, format, args);
    va_end(args);
    ASSERT_INT(size, >=, 0);
    char *text = arena_alloc(arena, (size_t)size + 1);
    vsnprintf(text, (size_t)size + 1, format, again);
    va_end(again);
    return text;
}

struct arena_mark arena_mark(const struct arena *arena)
{
    return (struct arena_mark){.block = arena->current,
                               .block_used = arena->current ? arena->current->used : 0,
                               .used_bytes = arena->used_bytes};
}

void arena_rewind(struct arena *arena, struct arena_mark mark)
{
    struct arena_block *block = mark.block ? mark.block->next : arena->first;
    for (; block; block = block->next)
        block->used = 0;
    arena->current = mark.block ? mark.block : arena->first;
    if (mark.block)
        mark.block->used = mark.block_used;
    arena->used_bytes = mark.used_bytes;
}

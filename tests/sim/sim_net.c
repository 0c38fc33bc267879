/* Time, chance and the network of the simulator; see sim.h. */
#include "tests/sim/sim.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct world world;
sigjmp_buf broken_jump;

uint32_t random_u32(void)
{
    uint64_t z = world.random += 0x9E3779B97F4A7C15u;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return (uint32_t)(z >> 32 ^ z);
}

bool chance(uint32_t per_mille)
{
    return random_u32() % 1000 < per_mille;
}

void broken(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(world.why, sizeof world.why, format, args);
    va_end(args);
    siglongjmp(broken_jump, 1);
}

void event_push(int64_t delay_ms, enum event_type type, enum actor actor, uint64_t value)
{
    if (world.heap_count == world.heap_max) {
        world.heap_max = world.heap_max ? 2 * world.heap_max : 4096;
        world.heap = realloc(world.heap, world.heap_max * sizeof *world.heap);
        ASSERT(world.heap);
    }
    uint64_t order = (uint64_t)(world.now + delay_ms) << 32 | world.event_number++;
    uint32_t i = world.heap_count++;
    for (; i > 0 && world.heap[(i - 1) / 2].order > order; i = (i - 1) / 2)
        world.heap[i] = world.heap[(i - 1) / 2];
    world.heap[i] = (struct event){order, type, actor, value};
}

bool event_pop(struct event *event)
{
    if (world.heap_count == 0)
        return false;
    *event = world.heap[0];
    struct event last = world.heap[--world.heap_count];
    uint32_t i = 0;
    for (;;) {
        uint32_t child = 2 * i + 1;
        if (child >= world.heap_count)
            break;
        child +=
            child + 1 < world.heap_count && world.heap[child + 1].order < world.heap[child].order;
        if (world.heap[child].order >= last.order)
            break;
        world.heap[i] = world.heap[child];
        i = child;
    }
    world.heap[i] = last;
    world.now = (int64_t)(event->order >> 32);
    return true;
}

struct parcel *parcel_of(uint64_t value)
{
    return &world.parcels[value];
}

void parcel_release(uint64_t value)
{
    world.parcels[value].next = world.parcel_free;
    world.parcel_free = (uint32_t)value;
}

static uint64_t parcel_make(const struct message *message)
{
    uint32_t at = world.parcel_free;
    if (at != UINT32_MAX) {
        world.parcel_free = world.parcels[at].next;
    } else {
        if (world.parcel_count == world.parcel_max) {
            world.parcel_max = world.parcel_max ? 2 * world.parcel_max : 1024;
            world.parcels = realloc(world.parcels, world.parcel_max * sizeof *world.parcels);
            ASSERT(world.parcels);
        }
        at = world.parcel_count++;
    }
    struct parcel *parcel = &world.parcels[at];
    ASSERT_INT(message->size, <=, PAYLOAD_MAX);
    parcel->message = *message;
    if (message->size)
        memcpy(parcel->payload, message->payload, message->size);
    return at;
}

void net_send(enum actor from, const struct message *message)
{
    struct message copy = *message;
    enum actor to = (enum actor)message->peer;
    copy.peer = from;
    bool lossy = world.now < TIME_FAULTS;
    if (lossy && (world.cut[from] || world.cut[to] || chance(20))) {
        world.stats.lost++;
        return;
    }
    if (lossy && chance(20)) {
        world.stats.doubled++;
        event_push(1 + random_u32() % 400, EVENT_MESSAGE, to, parcel_make(&copy));
    }
    int64_t delay = 1 + random_u32() % 8;
    if (chance(30) && world.now < TIME_FAULTS)
        delay = random_u32() % 600;
    event_push(delay, EVENT_MESSAGE, to, parcel_make(&copy));
}

void net_delay(enum actor from, const struct message *message, int64_t delay_ms)
{
    struct message copy = *message;
    copy.peer = from;
    event_push(delay_ms, EVENT_MESSAGE, (enum actor)message->peer, parcel_make(&copy));
}

void key_write(uint64_t index, char *key)
{
    key[0] = 'k';
    key[1] = (char)('a' + index / 16);
    key[2] = (char)('a' + index % 16);
}

uint64_t key_read(const void *key, size_t size)
{
    const char *text = key;
    uint64_t index = size == 3 ? (uint64_t)(text[1] - 'a') * 16 + (uint64_t)(text[2] - 'a') : KEYS;
    if (index >= KEYS)
        broken("a key of %zu bytes that nobody has written", size);
    return index;
}

uint64_t value_of(uint64_t seq, uint32_t line, uint32_t gen)
{
    uint64_t z =
        seq * 2654435761u ^ (uint64_t)world.graph_of[line][gen] * 40503u ^ (uint64_t)line << 40;
    return z ^ z >> 15;
}

/* The wire form of messages and of the payloads that the protocol reads; see message.h.
 *
 * Header, little-endian: 0 magic u32, 4 version u16, 6 type u16, 8 job u64, 16 gen u32, 20
 * attempt u32, 24 seq u64, 32 inc u64, 40 stage u16, 42 flags u16, 44 payload size u32, 48 arg
 * u32, 52 offset u32, 56 XXH3-64 of the payload, 64 line u16, 66 zero u16, 68 low half of
 * XXH3-64 of bytes 0..67. */
#include "engine/message.h"

#include "engine/bytes.h"

#include <string.h>
#include <xxhash.h>

enum { CHECKED_BYTES = 68 };

const char *cause_name(enum cause cause)
{
    static const char *const names[CAUSES] = {"lost",    "error",  "crash",
                                              "timeout", "memory", "refused"};
    return (unsigned)cause < CAUSES ? names[cause] : "unknown";
}

const char *message_type_name(enum message_type type)
{
    static const char *const names[MESSAGE_TYPES] = {
        "NONE",    "HELLO",  "WELCOME", "REFUSE", "CHALLENGE", "REQ",     "WORK", "OUT",  "ERR",
        "REFUSED", "MISS",   "LOST",    "DATA",   "FAIL",      "FREE",    "HB",   "DIED", "DIEDOK",
        "URGENT",  "COMMIT", "QPROP",   "QOK",    "START",     "STARTED", "CKPT", "CKOK", "DRAIN",
        "BYE",     "JOIN",   "JOINED",  "FILE",   "SCALE",     "NOTES",   "RANK",
    };
    return (unsigned)type < MESSAGE_TYPES ? names[type] : "unknown";
}

bool message_same_item(const struct message *a, const struct message *b)
{
    return a->seq == b->seq && a->line == b->line && a->gen == b->gen && a->attempt == b->attempt;
}

static bool may_worker_say(enum message_type type)
{
    static const bool may[MESSAGE_TYPES] = {
        [MESSAGE_HELLO] = true,   [MESSAGE_OUT] = true,  [MESSAGE_ERR] = true,
        [MESSAGE_REFUSED] = true, [MESSAGE_MISS] = true, [MESSAGE_LOST] = true,
        [MESSAGE_HB] = true,      [MESSAGE_DIED] = true, [MESSAGE_BYE] = true,
        [MESSAGE_JOIN] = true,    [MESSAGE_FILE] = true, [MESSAGE_NOTES] = true,
    };
    return may[type];
}

bool message_allowed(const struct message *message, enum key_role role)
{
    struct hello hello;
    if (role != KEY_WORKER)
        return true;
    if (message->type != MESSAGE_HELLO)
        return may_worker_say(message->type) &&
               !(message->type == MESSAGE_BYE && message->flags & MESSAGE_FINAL);
    struct span payload = {message->payload, message->size};
    return hello_decode(payload, &hello, NULL) == STATUS_OK && hello.role != PEER_SINK;
}

/* What the checksum of a payload covers: of a part, what stands in front of its bytes. */
static size_t checked_bytes(unsigned flags, size_t payload_size)
{
    return flags & MESSAGE_PART && payload_size > MESSAGE_PART_CHECKED ? MESSAGE_PART_CHECKED
                                                                       : payload_size;
}

bool message_foreign_hello(const void *header, size_t header_size, uint16_t *version)
{
    const unsigned char *bytes = header;
    if (header_size < 8 || get_u32(bytes) != MESSAGE_MAGIC ||
        (get_u16(bytes + 6) != MESSAGE_HELLO && get_u16(bytes + 6) != MESSAGE_JOIN))
        return false;
    *version = get_u16(bytes + 4);
    return *version != MESSAGE_VERSION;
}

void message_encode(const struct message *message, unsigned char header[MESSAGE_HEADER_BYTES])
{
    message_encode_as(message, MESSAGE_VERSION, header);
}

void message_encode_as(const struct message *message, uint16_t version,
                       unsigned char header[MESSAGE_HEADER_BYTES])
{
    ASSERT(message->type > MESSAGE_NONE && message->type < MESSAGE_TYPES);
    ASSERT_INT(message->size, <=, MESSAGE_PAYLOAD_MAX);
    ASSERT_INT(message->flags, <=, MESSAGE_FLAGS);
    ASSERT(message->payload || message->size == 0);
    put_u32(header, MESSAGE_MAGIC);
    put_u16(header + 4, version);
    put_u16(header + 6, (uint16_t)message->type);
    put_u64(header + 8, message->job);
    put_u32(header + 16, message->gen);
    put_u32(header + 20, message->attempt);
    put_u64(header + 24, message->seq);
    put_u64(header + 32, message->inc);
    put_u16(header + 40, message->stage);
    put_u16(header + 42, message->flags);
    put_u32(header + 44, message->size);
    put_u32(header + 48, message->arg);
    put_u32(header + 52, message->offset);
    put_u64(header + 56,
            XXH3_64bits(message->payload, checked_bytes(message->flags, message->size)));
    put_u16(header + 64, message->line);
    put_u16(header + 66, 0);
    put_u32(header + 68, (uint32_t)XXH3_64bits(header, CHECKED_BYTES));
}

enum status message_decode(const void *header, size_t header_size, const void *payload,
                           size_t payload_size, struct message *message, struct error *err)
{
    const unsigned char *bytes = header;
    if (header_size < 8 || get_u32(bytes) != MESSAGE_MAGIC)
        return error_set(err, STATUS_INVALID, "not a message of this protocol (%zu bytes)",
                         header_size);
    if (get_u16(bytes + 4) != MESSAGE_VERSION)
        return error_set(err, STATUS_INVALID,
                         "protocol version %u, wanted %d: install the same foldmill everywhere",
                         get_u16(bytes + 4), MESSAGE_VERSION);
    if (header_size != MESSAGE_HEADER_BYTES)
        return error_set(err, STATUS_INVALID, "a header of %zu bytes, wanted %d", header_size,
                         MESSAGE_HEADER_BYTES);
    if (get_u32(bytes + 68) != (uint32_t)XXH3_64bits(bytes, CHECKED_BYTES))
        return error_set(err, STATUS_CORRUPT, "the header's checksum is wrong");
    unsigned type = get_u16(bytes + 6), flags = get_u16(bytes + 42), pad = get_u16(bytes + 66);
    if (type == MESSAGE_NONE || type >= MESSAGE_TYPES || flags > MESSAGE_FLAGS || pad != 0)
        return error_set(err, STATUS_INVALID, "message type %u, flags %u, pad %u are not known",
                         type, flags, pad);
    if (payload_size > MESSAGE_PAYLOAD_MAX || get_u32(bytes + 44) != payload_size)
        return error_set(err, STATUS_INVALID, "a payload of %zu bytes where %u were announced",
                         payload_size, get_u32(bytes + 44));
    if (get_u64(bytes + 56) != XXH3_64bits(payload, checked_bytes(flags, payload_size)))
        return error_set(err, STATUS_CORRUPT, "the payload's checksum is wrong");
    *message = (struct message){
        .type = (enum message_type)type,
        .job = get_u64(bytes + 8),
        .gen = get_u32(bytes + 16),
        .attempt = get_u32(bytes + 20),
        .seq = get_u64(bytes + 24),
        .inc = get_u64(bytes + 32),
        .stage = get_u16(bytes + 40),
        .flags = (uint16_t)flags,
        .size = (uint32_t)payload_size,
        .arg = get_u32(bytes + 48),
        .offset = get_u32(bytes + 52),
        .line = get_u16(bytes + 64),
        .payload = payload,
    };
    return STATUS_OK;
}

static const unsigned char *raw(struct span bytes)
{
    return (const unsigned char *)bytes.data;
}

static enum status size_wrong(struct error *err, const char *what, size_t found)
{
    return error_set(err, STATUS_INVALID, "%s of %zu bytes does not fit its contents", what, found);
}

static void held_put(unsigned char *to, const struct held *held)
{
    put_u64(to, held->seq);
    put_u32(to + 8, held->gen);
    put_u32(to + 12, held->attempt);
}

size_t held_encode(const struct held *held, uint32_t count,
                   unsigned char bytes[MESSAGE_HELD_MAX * HELD_BYTES])
{
    ASSERT_INT(count, <=, MESSAGE_HELD_MAX);
    for (uint32_t i = 0; i < count; i++)
        held_put(bytes + i * HELD_BYTES, &held[i]);
    return (size_t)count * HELD_BYTES;
}

static struct held held_at(const unsigned char *bytes)
{
    return (struct held){get_u64(bytes), get_u32(bytes + 8), get_u32(bytes + 12)};
}

enum status held_decode(struct span bytes, struct held held[MESSAGE_HELD_MAX], uint32_t *count,
                        struct error *err)
{
    if (bytes.size % HELD_BYTES || bytes.size / HELD_BYTES > MESSAGE_HELD_MAX)
        return size_wrong(err, "a held list", bytes.size);
    *count = (uint32_t)(bytes.size / HELD_BYTES);
    for (uint32_t i = 0; i < *count; i++)
        held[i] = held_at(raw(bytes) + i * HELD_BYTES);
    return STATUS_OK;
}

size_t hello_encode(const struct hello *hello, unsigned char bytes[HELLO_BYTES_MAX])
{
    put_u32(bytes, (uint32_t)hello->role);
    put_u32(bytes + 4, hello->version);
    put_u32(bytes + 8, hello->index);
    put_u32(bytes + 12, 0);
    put_u64(bytes + 16, hello->graph_hash);
    put_u64(bytes + 24, hello->node);
    return 32 + held_encode(hello->held, hello->held_count, bytes + 32);
}

enum status hello_decode(struct span bytes, struct hello *hello, struct error *err)
{
    if (bytes.size < 32)
        return size_wrong(err, "HELLO", bytes.size);
    uint32_t role = get_u32(raw(bytes));
    if (role < PEER_WORKER || role > PEER_AGENT)
        return error_set(err, STATUS_INVALID, "HELLO in role %u, which is not known", role);
    hello->role = (enum peer_role)role;
    hello->version = get_u32(raw(bytes) + 4);
    hello->index = get_u32(raw(bytes) + 8);
    hello->graph_hash = get_u64(raw(bytes) + 16);
    hello->node = get_u64(raw(bytes) + 24);
    return held_decode((struct span){bytes.data + 32, bytes.size - 32}, hello->held,
                       &hello->held_count, err);
}

/* A text of at most limit bytes, cut without a NUL; returns its size. */
static size_t text_put(unsigned char *to, const char *text, size_t limit)
{
    size_t size = strnlen(text, limit);
    memcpy(to, text, size);
    return size;
}

/* Texts from outside are for people: control characters become '?'. */
static void text_get(char *to, const unsigned char *from, size_t size)
{
    for (size_t i = 0; i < size; i++)
        to[i] = from[i] < ' ' || from[i] == 127 ? '?' : (char)from[i];
    to[size] = 0;
}

size_t died_encode(const struct died *died, unsigned char bytes[DIED_BYTES_MAX])
{
    put_u16(bytes, (uint16_t)died->cause);
    put_u16(bytes + 2, died->executing);
    put_u16(bytes + 4, died->line);
    put_u16(bytes + 6, died->stage);
    held_put(bytes + 8, &died->item);
    return 24 + text_put(bytes + 24, died->text, sizeof died->text - 1);
}

enum status died_decode(struct span bytes, struct died *died, struct error *err)
{
    if (bytes.size < 24 || bytes.size - 24 >= sizeof died->text)
        return size_wrong(err, "DIED", bytes.size);
    uint16_t cause = get_u16(raw(bytes));
    if (cause >= CAUSE_REFUSED || get_u16(raw(bytes) + 2) > 1)
        return error_set(err, STATUS_INVALID, "DIED for cause %u, which is not known", cause);
    died->cause = (enum cause)cause;
    died->executing = get_u16(raw(bytes) + 2) == 1;
    died->line = get_u16(raw(bytes) + 4);
    died->stage = get_u16(raw(bytes) + 6);
    died->item = held_at(raw(bytes) + 8);
    text_get(died->text, raw(bytes) + 24, bytes.size - 24);
    return STATUS_OK;
}

size_t aside_encode(const struct aside *aside, unsigned char bytes[ASIDE_BYTES_MAX])
{
    put_u64(bytes, aside->index);
    size_t key = text_put(bytes + 12, aside->key, MESSAGE_KEY_MAX);
    size_t text = text_put(bytes + 12 + key, aside->text, sizeof aside->text - 1);
    put_u32(bytes + 8, (uint32_t)key);
    return 12 + key + text;
}

enum status aside_decode(struct span bytes, struct aside *aside, struct error *err)
{
    if (bytes.size < 12 || bytes.size > ASIDE_BYTES_MAX)
        return size_wrong(err, "a proposal", bytes.size);
    size_t key = get_u32(raw(bytes) + 8);
    if (key > MESSAGE_KEY_MAX || key > bytes.size - 12 ||
        bytes.size - 12 - key >= sizeof aside->text)
        return size_wrong(err, "a proposal", bytes.size);
    aside->index = get_u64(raw(bytes));
    text_get(aside->key, raw(bytes) + 12, key);
    text_get(aside->text, raw(bytes) + 12 + key, bytes.size - 12 - key);
    return STATUS_OK;
}

size_t start_encode(const struct start *start, unsigned char bytes[START_BYTES])
{
    put_u64(bytes, start->config_hash);
    put_u64(bytes + 8, start->list_hash);
    put_u64(bytes + 16, start->positions);
    return START_BYTES;
}

enum status start_decode(struct span bytes, struct start *start, struct error *err)
{
    if (bytes.size != START_BYTES)
        return size_wrong(err, "START", bytes.size);
    *start = (struct start){get_u64(raw(bytes)), get_u64(raw(bytes) + 8), get_u64(raw(bytes) + 16)};
    return STATUS_OK;
}

void started_encode(const struct started *started, unsigned char bytes[STARTED_BYTES])
{
    put_u64(bytes, started->step);
    put_u64(bytes + 8, started->digest);
    put_u32(bytes + 16, started->row_count);
    put_u32(bytes + 20, 0);
}

void ledger_row_encode(struct ledger_row row, unsigned char bytes[LEDGER_ROW_BYTES])
{
    put_u64(bytes, row.seq);
    put_u64(bytes + 8, row.index);
}

enum status started_decode(struct span bytes, struct started *started, struct error *err)
{
    if (bytes.size < STARTED_BYTES || bytes.size > STARTED_BYTES_MAX)
        return size_wrong(err, "STARTED", bytes.size);
    started->step = get_u64(raw(bytes));
    started->digest = get_u64(raw(bytes) + 8);
    started->row_count = get_u32(raw(bytes) + 16);
    if ((bytes.size - STARTED_BYTES) % LEDGER_ROW_BYTES ||
        started->row_count != (bytes.size - STARTED_BYTES) / LEDGER_ROW_BYTES)
        return size_wrong(err, "STARTED", bytes.size);
    return STATUS_OK;
}

struct ledger_row started_row(struct span bytes, uint32_t row)
{
    const unsigned char *at = raw(bytes) + STARTED_BYTES + (size_t)row * LEDGER_ROW_BYTES;
    return (struct ledger_row){get_u64(at), get_u64(at + 8)};
}

void ckpt_encode(uint64_t digest, unsigned char bytes[CKPT_BYTES])
{
    put_u64(bytes, digest);
}

enum status ckpt_decode(struct span bytes, uint64_t *digest, struct error *err)
{
    if (bytes.size != CKPT_BYTES)
        return size_wrong(err, "CKPT", bytes.size);
    *digest = get_u64(raw(bytes));
    return STATUS_OK;
}

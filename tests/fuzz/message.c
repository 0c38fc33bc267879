/* Fuzzes the wire form of messages: 72 bytes of header, then the payload; once as they are, and
 * once with checksums that fit, so that what stands behind them is reached. Payloads that the
 * protocol reads go through every reader, and what is accepted must come back equal. */
#include "engine/bytes.h"
#include "engine/message.h"

#include <string.h>
#include <xxhash.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_payloads(struct span bytes)
{
    struct hello hello;
    struct held held[MESSAGE_HELD_MAX];
    struct died died;
    struct aside aside;
    struct start start;
    struct started started;
    uint32_t count;
    uint64_t digest;
    unsigned char out[HELLO_BYTES_MAX];
    if (hello_decode(bytes, &hello, NULL) == STATUS_OK)
        ASSERT(hello_encode(&hello, out) == bytes.size);
    if (held_decode(bytes, held, &count, NULL) == STATUS_OK)
        ASSERT(held_encode(held, count, out) == bytes.size &&
               memcmp(out, bytes.data, bytes.size) == 0);
    if (died_decode(bytes, &died, NULL) == STATUS_OK)
        ASSERT(died_encode(&died, out) <= bytes.size);
    if (aside_decode(bytes, &aside, NULL) == STATUS_OK)
        ASSERT(aside_encode(&aside, out) <= bytes.size);
    if (start_decode(bytes, &start, NULL) == STATUS_OK)
        ASSERT(start_encode(&start, out) == bytes.size);
    if (ckpt_decode(bytes, &digest, NULL) == STATUS_OK)
        ASSERT(bytes.size == CKPT_BYTES);
    if (started_decode(bytes, &started, NULL) == STATUS_OK && started.row_count)
        ASSERT(started_row(bytes, started.row_count - 1).seq ==
               get_u64((const unsigned char *)bytes.data + bytes.size - LEDGER_ROW_BYTES));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct message message;
    size_t head = size < MESSAGE_HEADER_BYTES ? size : MESSAGE_HEADER_BYTES;
    const uint8_t *payload = data + head;
    size_t payload_size = size - head;
    message_decode(data, head, payload, payload_size, &message, NULL);
    read_payloads((struct span){(const char *)data, size});
    read_payloads((struct span){(const char *)payload, payload_size});
    if (head < MESSAGE_HEADER_BYTES)
        return 0;
    unsigned char header[MESSAGE_HEADER_BYTES], again[MESSAGE_HEADER_BYTES];
    memcpy(header, data, sizeof header);
    put_u32(header, MESSAGE_MAGIC);
    put_u16(header + 4, MESSAGE_VERSION);
    put_u32(header + 44, (uint32_t)payload_size);
    size_t checked = payload_size;
    if (get_u16(header + 42) & MESSAGE_PART && checked > MESSAGE_PART_CHECKED)
        checked = MESSAGE_PART_CHECKED;
    put_u64(header + 56, XXH3_64bits(payload, checked));
    put_u32(header + 68, (uint32_t)XXH3_64bits(header, 68));
    if (message_decode(header, sizeof header, payload, payload_size, &message, NULL) == STATUS_OK) {
        message_encode(&message, again);
        ASSERT(memcmp(header, again, sizeof header) == 0);
    }
    return 0;
}

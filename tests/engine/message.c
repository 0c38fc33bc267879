/* engine/message: the wire form, and payloads that the protocol reads. */
#include "engine/message.h"

#include "engine/bytes.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

static const struct message sample = {.type = MESSAGE_WORK,
                                      .peer = 9,
                                      .job = 0x1122334455667788,
                                      .seq = 77,
                                      .inc = 0xfedcba9876543210,
                                      .gen = 3,
                                      .attempt = 4,
                                      .line = 2,
                                      .stage = 1,
                                      .flags = MESSAGE_BLOCK | MESSAGE_SOLO,
                                      .arg = 5,
                                      .offset = 6,
                                      .size = 5,
                                      .payload = "hello"};

Test(message, comes_back_as_it_went)
{
    unsigned char header[MESSAGE_HEADER_BYTES];
    struct message back;
    struct error err;
    message_encode(&sample, header);
    cr_assert(message_decode(header, sizeof header, "hello", 5, &back, &err) == STATUS_OK, "%s",
              err.text);
    cr_assert(back.type == sample.type && back.job == sample.job && back.seq == 77);
    cr_assert(back.inc == sample.inc && back.gen == 3 && back.attempt == 4 && back.line == 2);
    cr_assert(back.stage == 1 && back.flags == sample.flags && back.arg == 5 && back.offset == 6);
    cr_assert(back.size == 5 && memcmp(back.payload, "hello", 5) == 0);
    cr_assert(back.peer == 0, "the peer is no part of the wire form");
    cr_assert(message_same_item(&back, &sample));
}

Test(message, layout_is_fixed)
{
    unsigned char header[MESSAGE_HEADER_BYTES];
    message_encode(&sample, header);
    cr_assert(memcmp(header, "FDML", 4) == 0 && header[4] == MESSAGE_VERSION && header[5] == 0);
    cr_assert(header[6] == MESSAGE_WORK && header[8] == 0x88 && header[15] == 0x11);
    cr_assert(header[16] == 3 && header[20] == 4 && header[24] == 77 && header[32] == 0x10);
    cr_assert(header[40] == 1 && header[42] == 5 && header[44] == 5 && header[48] == 5);
    cr_assert(header[52] == 6 && header[64] == 2 && header[66] == 0);
}

Test(message, every_flipped_bit_is_found)
{
    unsigned char header[MESSAGE_HEADER_BYTES];
    char payload[5];
    struct message back;
    for (unsigned bit = 0; bit < 8 * (MESSAGE_HEADER_BYTES + 5); bit++) {
        message_encode(&sample, header);
        memcpy(payload, "hello", 5);
        if (bit / 8 < MESSAGE_HEADER_BYTES)
            header[bit / 8] ^= (unsigned char)(1 << bit % 8);
        else
            payload[bit / 8 - MESSAGE_HEADER_BYTES] ^= (char)(1 << bit % 8);
        cr_assert(message_decode(header, sizeof header, payload, 5, &back, NULL) != STATUS_OK,
                  "bit %u", bit);
    }
}

Test(message, malformed_frames_are_refused_with_a_reason)
{
    unsigned char header[MESSAGE_HEADER_BYTES];
    struct message back;
    struct error err;
    message_encode(&sample, header);
    cr_assert(message_decode(header, 71, "hello", 5, &back, &err) == STATUS_INVALID);
    cr_assert(message_decode(header, 0, "hello", 5, &back, &err) == STATUS_INVALID);
    cr_assert(message_decode(header, 72, "hell", 4, &back, &err) == STATUS_INVALID);
    put_u16(header + 4, 9);
    cr_assert(message_decode(header, 72, "hello", 5, &back, &err) == STATUS_INVALID);
    cr_assert(strstr(err.text, "version 9") && strstr(err.text, "wanted 2"), "%s", err.text);
    /* Right checksums around a type and flags that do not exist. */
    message_encode(&sample, header);
    put_u16(header + 6, MESSAGE_TYPES);
    put_u32(header + 68, (uint32_t)XXH3_64bits(header, 68));
    cr_assert(message_decode(header, 72, "hello", 5, &back, &err) == STATUS_INVALID);
    message_encode(&sample, header);
    put_u16(header + 42, MESSAGE_FLAGS + 1);
    put_u32(header + 68, (uint32_t)XXH3_64bits(header, 68));
    cr_assert(message_decode(header, 72, "hello", 5, &back, &err) == STATUS_INVALID);
}

Test(message, hello_and_held_lists)
{
    struct hello hello = {.role = PEER_WORKER,
                          .version = 1,
                          .index = 7,
                          .graph_hash = 99,
                          .held_count = MESSAGE_HELD_MAX};
    for (uint32_t i = 0; i < MESSAGE_HELD_MAX; i++)
        hello.held[i] = (struct held){1000 + i, i, 2 * i};
    unsigned char bytes[HELLO_BYTES_MAX];
    size_t size = hello_encode(&hello, bytes);
    struct hello back;
    struct error err;
    cr_assert(size == HELLO_BYTES_MAX);
    cr_assert(hello_decode((struct span){(char *)bytes, size}, &back, &err) == STATUS_OK);
    cr_assert(back.role == PEER_WORKER && back.index == 7 && back.graph_hash == 99);
    cr_assert(back.held_count == MESSAGE_HELD_MAX && back.held[63].seq == 1063 &&
              back.held[63].attempt == 126);
    cr_assert(hello_decode((struct span){(char *)bytes, size - 1}, &back, &err) == STATUS_INVALID);
    cr_assert(hello_decode((struct span){(char *)bytes, 23}, &back, &err) == STATUS_INVALID);
    put_u32(bytes, 4);
    cr_assert(hello_decode((struct span){(char *)bytes, size}, &back, &err) == STATUS_INVALID);
}

Test(message, died_and_proposals_keep_their_texts_harmless)
{
    struct died died = {.cause = CAUSE_TIMEOUT,
                        .executing = true,
                        .line = 3,
                        .stage = 2,
                        .item = {5, 6, 7},
                        .text = "took\nmore than 30s"},
                died_back;
    unsigned char bytes[ASIDE_BYTES_MAX];
    size_t size = died_encode(&died, bytes);
    struct error err;
    cr_assert(died_decode((struct span){(char *)bytes, size}, &died_back, &err) == STATUS_OK);
    cr_assert(died_back.cause == CAUSE_TIMEOUT && died_back.executing && died_back.item.gen == 6);
    cr_assert(strcmp(died_back.text, "took?more than 30s") == 0, "%s", died_back.text);
    put_u16(bytes, CAUSE_REFUSED);
    cr_assert(died_decode((struct span){(char *)bytes, size}, &died_back, &err) == STATUS_INVALID);

    struct aside aside = {.index = 12, .key = "1abc_A", .text = "killed by signal 11"}, aside_back;
    size = aside_encode(&aside, bytes);
    cr_assert(aside_decode((struct span){(char *)bytes, size}, &aside_back, &err) == STATUS_OK);
    cr_assert(aside_back.index == 12 && strcmp(aside_back.key, "1abc_A") == 0);
    cr_assert(strcmp(aside_back.text, "killed by signal 11") == 0);
    put_u32(bytes + 8, 300);
    cr_assert(aside_decode((struct span){(char *)bytes, size}, &aside_back, &err) ==
              STATUS_INVALID);
}

Test(message, started_carries_the_ledger)
{
    unsigned char bytes[STARTED_BYTES + 2 * LEDGER_ROW_BYTES];
    struct started started = {.step = 40, .digest = 9, .row_count = 2}, back;
    struct error err;
    started_encode(&started, bytes);
    ledger_row_encode((struct ledger_row){100, 7}, bytes + STARTED_BYTES);
    ledger_row_encode((struct ledger_row){200, 8}, bytes + STARTED_BYTES + LEDGER_ROW_BYTES);
    struct span span = {(char *)bytes, sizeof bytes};
    cr_assert(started_decode(span, &back, &err) == STATUS_OK && back.step == 40);
    cr_assert(started_row(span, 1).seq == 200 && started_row(span, 1).index == 8);
    span.size -= LEDGER_ROW_BYTES;
    cr_assert(started_decode(span, &back, &err) == STATUS_INVALID, "fewer rows than announced");
}

Test(message, names)
{
    for (int type = MESSAGE_NONE; type < MESSAGE_TYPES; type++)
        cr_assert(message_type_name((enum message_type)type) != NULL, "type %d", type);
    cr_assert(strcmp(message_type_name(MESSAGE_BYE), "BYE") == 0);
    cr_assert(strcmp(message_type_name(MESSAGE_HB), "HB") == 0);
    cr_assert(strcmp(message_type_name(MESSAGE_QPROP), "QPROP") == 0);
    cr_assert(strcmp(cause_name(CAUSE_REFUSED), "refused") == 0);
}

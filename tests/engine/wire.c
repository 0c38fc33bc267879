/* Frames: what goes in comes out; what is changed on the way is noticed, whatever it is. */
#include "engine/base/digest.h"
#include "engine/wire.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

static uint64_t random_state = 0x9e3779b97f4a7c15u;

static uint64_t random_next(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

/* A sample with every kind and rank, zero sizes among them; seed picks sizes and contents. */
static void sample_make(struct sample *sample, struct arena *arena, uint64_t seed, int field_count)
{
    char key[32], name[FIELD_NAME_MAX + 1];
    random_state = seed * 0x2545f4914f6cdd1du + 88172645463325252u;
    snprintf(key, sizeof key, "1abc_%llu", (unsigned long long)seed);
    cr_assert(sample_open(sample, span_of(key), NULL) == STATUS_OK);
    for (int i = 0; i < field_count; i++) {
        enum kind kind = (enum kind)((unsigned)i % KIND_COUNT);
        int rank = i % (SAMPLE_RANK_MAX + 1);
        int64_t size[SAMPLE_RANK_MAX];
        for (int d = 0; d < rank; d++)
            size[d] = (int64_t)(random_next() % (rank > 3 ? 4 : 40));
        snprintf(name, sizeof name, "field_%d.%s", i, kind_name(kind));
        unsigned char *data = sample_add(sample, arena, name, kind, rank, size);
        size_t bytes = field_bytes(&sample->fields[i]);
        uint64_t noise = random_next() % 3; /* constant, few values, noise: packs or not */
        for (size_t b = 0; b < bytes; b++)
            data[b] = kind == KIND_BOOL ? (unsigned char)(random_next() % 2)
                      : noise == 0      ? 7
                      : noise == 1      ? (unsigned char)(random_next() % 3)
                                        : (unsigned char)random_next();
    }
}

static struct span encode(const struct sample *sample, struct arena *arena)
{
    struct error err;
    struct span frame;
    cr_assert(wire_pack(sample, WIRE_RAW, arena, &frame, &err) == STATUS_OK, "%s", err.text);
    cr_assert(frame.size == wire_size(sample), "wire_size knows the bytes ahead");
    return frame;
}

/* On links a digest of all bytes is checked before a frame is read: arrays have no checksums. */
Test(wire, frames_of_links_are_read_where_their_bytes_were_checked)
{
    struct arena arena;
    struct error err;
    arena_open(&arena, 0);
    for (uint64_t seed = 0; seed < 100; seed++) {
        struct sample sample, back;
        struct wire_view view;
        sample_make(&sample, &arena, seed, (int)(seed % (SAMPLE_FIELDS_MAX + 1)));
        size_t bytes = 0, size = wire_size(&sample);
        char *buffer = arena_alloc(&arena, size);
        struct span frame = {buffer, size}, file = encode(&sample, &arena);
        uint64_t digest = 0;
        cr_assert(wire_encode(&sample, buffer, size, &bytes, &digest, &err) == STATUS_OK);
        cr_assert(bytes == size && digest == digest_bytes(buffer, size), "seed %d", (int)seed);
        cr_assert(wire_decode(frame, &wire_on_link, &arena, &back, &err) == STATUS_OK,
                  "%s", err.text);
        cr_assert(sample_digest(&back) == sample_digest(&sample), "seed %d", (int)seed);
        cr_assert(wire_peek(frame, &view, &err) == STATUS_OK && view.bare);
        cr_assert(wire_decode(frame, NULL, &arena, &back, &err) == STATUS_CORRUPT &&
                      strstr(err.text, "no checksums") && back.field_count == 0, "%s", err.text);
        cr_assert(wire_decode(file, &wire_on_link, &arena, &back, &err) == STATUS_OK,
                  "a file's too");
        ((char *)(uintptr_t)file.data)[file.size - 64] ^= 1; /* whose checksums count everywhere */
        cr_assert(view.field_count == 0 || wire_decode(file, &wire_on_link, &arena, &back, &err) ==
                                               STATUS_CORRUPT);
        for (size_t bit = 0; bit < (WIRE_PREFIX_BYTES + WIRE_ROW_BYTES * 2) * 8 && bit < size * 8;
             bit++) {
            buffer[bit / 8] = (char)(buffer[bit / 8] ^ (1 << bit % 8));
            cr_assert(wire_decode(frame, &wire_on_link, &arena, &back, &err) != STATUS_OK,
                      "bit %zu of the head", bit);
            buffer[bit / 8] = (char)(buffer[bit / 8] ^ (1 << bit % 8));
        }
        arena_reset(&arena);
    }
    arena_close(&arena);
}

Test(wire, round_trips_every_kind_and_rank)
{
    struct arena arena;
    struct error err;
    arena_open(&arena, 0);
    for (uint64_t seed = 0; seed < 300; seed++) {
        struct sample sample, back;
        struct span frame, frame_again;
        sample_make(&sample, &arena, seed, (int)(seed % (SAMPLE_FIELDS_MAX + 1)));
        frame = encode(&sample, &arena);
        cr_assert(wire_decode(frame, NULL, &arena, &back, &err) == STATUS_OK, "%s", err.text);
        cr_assert(sample_digest(&back) == sample_digest(&sample), "seed %d", (int)seed);
        frame_again = encode(&back, &arena);
        cr_assert(wire_digest(frame) == wire_digest(frame_again), "same sample, same bytes");
        for (int codec = WIRE_RAW; codec <= WIRE_LZ4HC; codec++) {
            struct span packed;
            cr_assert(wire_pack(&sample, (enum wire_codec)codec, &arena, &packed, &err) ==
                          STATUS_OK, "%s", err.text);
            cr_assert(packed.size <= frame.size, "packing never makes a frame longer");
            cr_assert(wire_decode(packed, &(struct wire_options){.copy = true}, &arena, &back,
                                  &err) == STATUS_OK, "%s", err.text);
            cr_assert(sample_digest(&back) == sample_digest(&sample), "seed %d", (int)seed);
        }
        arena_reset(&arena);
    }
    arena_close(&arena);
}

Test(wire, arrays_start_on_64_bytes_and_are_borrowed_where_they_do)
{
    struct arena arena;
    struct error err;
    struct sample sample, back;
    arena_open(&arena, 0);
    sample_make(&sample, &arena, 3, 20);
    struct span frame = encode(&sample, &arena);
    cr_assert(wire_decode(frame, NULL, &arena, &back, &err) == STATUS_OK);
    for (int i = 0; i < back.field_count; i++) {
        const char *data = back.fields[i].data;
        cr_assert((uintptr_t)data % 64 == 0);
        cr_assert(data >= frame.data && data <= frame.data + frame.size, "borrowed");
    }
    char *crooked = (char *)arena_alloc(&arena, frame.size + 1) + 1;
    memcpy(crooked, frame.data, frame.size);
    struct span moved = {crooked, frame.size};
    cr_assert(wire_decode(moved, NULL, &arena, &back, &err) == STATUS_OK, "%s", err.text);
    for (int i = 0; i < back.field_count; i++)
        cr_assert((uintptr_t)back.fields[i].data % 64 == 0, "copied to an aligned place");
    cr_assert(wire_decode(frame, &(struct wire_options){.copy = true}, &arena, &back, &err) ==
              STATUS_OK);
    for (int i = 0; i < back.field_count; i++) {
        const char *data = back.fields[i].data;
        cr_assert(data + field_bytes(&back.fields[i]) <= frame.data ||
                      data >= frame.data + frame.size, "nothing points into the frame");
    }
    arena_close(&arena);
}

Test(wire, readers_choose_fields_and_check_the_key)
{
    struct arena arena;
    struct error err;
    struct sample sample, back;
    arena_open(&arena, 0);
    sample_make(&sample, &arena, 5, 20);
    struct span frame = encode(&sample, &arena);
    const char *const fields[] = {"field_5.f32", "field_9.u8", "absent", NULL};
    cr_assert(wire_decode(frame, &(struct wire_options){.fields = fields, .key = "1abc_5"}, &arena,
                          &back, &err) == STATUS_OK, "%s", err.text);
    cr_assert(back.field_count == 2 && strcmp(back.fields[1].name, "field_9.u8") == 0);
    cr_assert(memcmp(back.fields[1].data, sample.fields[9].data,
                     field_bytes(&back.fields[1])) == 0);
    cr_assert(wire_decode(frame, &(struct wire_options){.key = "1abc_6"}, &arena, &back, &err) ==
              STATUS_CORRUPT);
    cr_assert(strstr(err.text, "1abc_6") && strstr(err.text, "1abc_5"), "%s", err.text);
    arena_close(&arena);
}

Test(wire, packs_what_packs_and_leaves_the_rest)
{
    struct arena arena;
    struct error err;
    struct sample sample;
    struct wire_view view;
    struct span frame;
    arena_open(&arena, 0);
    cr_assert(sample_open(&sample, SPAN("k"), &err) == STATUS_OK);
    memset(sample_add_1(&sample, &arena, "same", KIND_U8, 100000), 3, 100000);
    unsigned char *noise = sample_add_1(&sample, &arena, "noise", KIND_U8, 100000);
    for (int i = 0; i < 100000; i++)
        noise[i] = (unsigned char)random_next();
    sample_add_1(&sample, &arena, "short", KIND_U8, 100);
    cr_assert(wire_pack(&sample, WIRE_LZ4, &arena, &frame, &err) == STATUS_OK);
    cr_assert(wire_peek(frame, &view, &err) == STATUS_OK, "%s", err.text);
    cr_assert(view.fields[0].codec == WIRE_LZ4 && view.fields[0].stored_bytes < 1000);
    cr_assert(view.fields[1].codec == WIRE_RAW && view.fields[1].stored_bytes == 100000);
    cr_assert(view.fields[2].codec == WIRE_RAW && view.raw_bytes == 200100);
    arena_close(&arena);
}

/* Every single changed bit of a frame is noticed, and so is every shorter or longer frame. */
Test(wire, notices_every_flipped_bit_and_every_truncation)
{
    struct arena arena, reading;
    struct error err;
    struct sample sample, back;
    struct span frames[2];
    long tried = 0;
    arena_open(&arena, 0);
    arena_open(&reading, 0);
    sample_make(&sample, &arena, 11, 30);
    frames[0] = encode(&sample, &arena);
    cr_assert(wire_pack(&sample, WIRE_LZ4, &arena, &frames[1], &err) == STATUS_OK);
    for (int f = 0; f < 2; f++) {
        size_t step = frames[f].size * 8 / 20000 + 1;
        char *bad = arena_alloc(&arena, frames[f].size);
        memcpy(bad, frames[f].data, frames[f].size);
        for (size_t bit = 0; bit < frames[f].size * 8; bit += bit < 4096 * 8 ? 1 : step, tried++) {
            bad[bit / 8] = (char)(bad[bit / 8] ^ (1 << bit % 8));
            arena_reset(&reading);
            enum status status = wire_decode((struct span){bad, frames[f].size}, NULL, &reading,
                                             &back, &err);
            cr_assert(status != STATUS_OK, "bit %zu of frame %d", bit, f);
            cr_assert(back.field_count == 0, "a refused frame gives no fields");
            bad[bit / 8] = (char)(bad[bit / 8] ^ (1 << bit % 8));
        }
        for (size_t size = 0; size < frames[f].size; size++) {
            char *cut = malloc(size ? size : 1); /* its own block: a sanitizer sees each overrun */
            cr_assert(cut);
            memcpy(cut, bad, size);
            cr_assert(wire_decode((struct span){cut, size}, NULL, &reading, &back, &err) !=
                      STATUS_OK, "cut to %zu", size);
            free(cut);
        }
    }
    cr_assert(tried > 60000);
    arena_close(&arena);
    arena_close(&reading);
}

Test(wire, refuses_other_versions_by_name)
{
    struct arena arena;
    struct error err;
    struct sample sample, back;
    arena_open(&arena, 0);
    sample_make(&sample, &arena, 1, 3);
    struct span frame = encode(&sample, &arena);
    char *other = arena_alloc(&arena, frame.size);
    memcpy(other, frame.data, frame.size);
    other[4] = 9;
    cr_assert(wire_decode((struct span){other, frame.size}, NULL, &arena, &back, &err) ==
              STATUS_INVALID);
    cr_assert(strstr(err.text, "version 9") && strstr(err.text, "version 1"), "%s", err.text);
    cr_assert(wire_decode(SPAN("{\"not\": \"a frame, but long enough\"}"), NULL, &arena, &back,
                          &err) == STATUS_INVALID);
    cr_assert(strstr(err.text, "no foldmill frame"), "%s", err.text);
    arena_close(&arena);
}

/* Puts right checksums on a frame that was changed on purpose. */
static void seal(char *frame)
{
    uint16_t fields;
    uint32_t header;
    memcpy(&fields, frame + 6, 2);
    memcpy(&header, frame + 16, 4);
    size_t head = (size_t)fields * WIRE_ROW_BYTES + header;
    char *text = malloc(24 + head);
    cr_assert(text);
    memcpy(text, frame, 24);
    memcpy(text + 24, frame + 32, head);
    uint64_t checksum = XXH3_64bits(text, 24 + head);
    memcpy(frame + 24, &checksum, 8);
    free(text);
}

/* Frames with good checksums and impossible contents: a hostile writer. */
Test(wire, believes_no_size_even_with_a_good_checksum)
{
    struct arena arena, reading;
    struct error err;
    struct sample sample, back;
    struct span packed;
    arena_open(&arena, 0);
    arena_open(&reading, (size_t)64 << 20);
    cr_assert(sample_open(&sample, SPAN("k"), &err) == STATUS_OK);
    memset(sample_add_1(&sample, &arena, "bomb", KIND_U8, 65536), 0, 65536);
    cr_assert(wire_pack(&sample, WIRE_LZ4, &arena, &packed, &err) == STATUS_OK);
    char *bad = arena_alloc(&arena, packed.size);
    /* Header: 92 a1 'k' 91 93 a4 "bomb" a2 "u8" 91 ce 00 01 00 00 */
    memcpy(bad, packed.data, packed.size);
    char *size = memmem(bad, packed.size, "\x91\xce\x00\x01\x00\x00", 6);
    cr_assert(size, "where the size stands");
    size[2] = 0x3f; /* nearly a gigabyte out of some 300 bytes */
    seal(bad);
    cr_assert(wire_decode((struct span){bad, packed.size}, NULL, &reading, &back, &err) ==
              STATUS_CORRUPT, "%s", err.text);
    cr_assert(reading.peak_bytes == 0, "refused before memory was taken");
    size[2] = 0, size[3] = 1, size[5] = 1; /* one byte more than the block holds */
    seal(bad);
    cr_assert(wire_decode((struct span){bad, packed.size}, NULL, &reading, &back, &err) ==
              STATUS_CORRUPT && strstr(err.text, "LZ4"), "%s", err.text);
    uint64_t stored = UINT64_MAX - 8;
    memcpy(bad + 32, &stored, 8);
    seal(bad);
    cr_assert(wire_decode((struct span){bad, packed.size}, NULL, &reading, &back, &err) ==
              STATUS_CORRUPT, "%s", err.text);

    cr_assert(sample_open(&sample, SPAN("k"), &err) == STATUS_OK);
    *(unsigned char *)sample_add_1(&sample, &arena, "mask", KIND_BOOL, 1) = 2;
    packed = encode(&sample, &arena);
    cr_assert(wire_decode(packed, NULL, &reading, &back, &err) == STATUS_INVALID);
    cr_assert(strstr(err.text, "mask: a bool"), "%s", err.text);
    arena_close(&arena);
    arena_close(&reading);
}

Test(wire, scans_msgpack_before_it_is_unpacked)
{
    struct error err;
    unsigned char bomb[155];
    for (int i = 0; i < 31; i++)
        memcpy(bomb + 5 * i, "\xdd\x01\x00\x00\x00", 5);
    cr_assert(wire_scan_msgpack(bomb, sizeof bomb, 32, 1000, &err) == STATUS_INVALID);
    cr_assert(strstr(err.text, "claims 16777216 objects"), "%s", err.text);
    cr_assert(wire_scan_msgpack("\x92\x01\xa3key", 6, 4, 10, &err) == STATUS_OK, "%s", err.text);
    cr_assert(wire_scan_msgpack("\x92\x01\xa3ke", 5, 4, 10, &err) == STATUS_INVALID);
    cr_assert(wire_scan_msgpack("\x92\x01\xa3keyy", 7, 4, 10, &err) == STATUS_INVALID);
    cr_assert(wire_scan_msgpack("\x91\x91\x91\x01", 4, 2, 10, &err) == STATUS_INVALID);
    cr_assert(wire_scan_msgpack("\x91\x91\x91\x01", 4, 3, 10, &err) == STATUS_OK);
    cr_assert(wire_scan_msgpack("\x93\x01\x02\x03", 4, 3, 3, &err) == STATUS_INVALID);
    cr_assert(wire_scan_msgpack("\x81\xa1k\xcd\x01\x00", 6, 3, 9, &err) == STATUS_OK);
    cr_assert(wire_scan_msgpack("", 0, 3, 9, &err) == STATUS_INVALID);
    cr_assert(wire_scan_msgpack("\xc1", 1, 3, 9, &err) == STATUS_INVALID);
}

Test(wire, small_buffers_and_streams)
{
    struct arena arena;
    struct error err;
    struct sample sample;
    size_t bytes = 0;
    arena_open(&arena, 0);
    sample_make(&sample, &arena, 2, 4);
    struct span frame = encode(&sample, &arena);
    char *buffer = arena_alloc(&arena, frame.size);
    uint64_t digest;
    cr_assert(wire_encode(&sample, buffer, frame.size - 1, &bytes, &digest, &err) == STATUS_FULL);
    cr_assert(wire_frame_bytes((struct span){frame.data, 31}, &bytes, &err) == STATUS_EMPTY);
    cr_assert(wire_frame_bytes((struct span){frame.data, 32}, &bytes, &err) == STATUS_OK);
    cr_assert(bytes == frame.size);
    struct arena small;
    arena_open(&small, 16);
    struct span packed;
    cr_assert(wire_pack(&sample, WIRE_LZ4, &small, &packed, &err) == STATUS_LIMIT);
    arena_close(&small);
    arena_close(&arena);
}

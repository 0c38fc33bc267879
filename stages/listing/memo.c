/* The file: a header (magic, version, program, numbers, checksums), then entries one after another:
 *   u8 what, u8 reads, u16 size of the key, u64[4] stamp, key, then by what it is
 *   structure: content, f32 resolution, u8 size of date, date, u32 chains, and for each
 *              u16 size of name, name, u32 length, letters, NUL
 *   refused:   u8 status, u16 size of reason, reason
 *   input:     content
 * content: hash[16], u64 bytes */
#include "stages/listing/memo.h"

#include "engine/base/file.h"
#include "engine/bytes.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

enum { FORMAT = 1, FIXED = 36, HASH = 16, CONTENT = 24, SETTLED_MS = 2000 };
enum { WHAT_STRUCTURE = 1, WHAT_REFUSED, WHAT_INPUT };
enum { BY_PATH, BY_LINE };

static const char magic[8] = "FOLDSCAN";

#define PROGRAM_BYTES_MAX ((size_t)1 << 30)

/* ---- stamps ---- */

static int64_t nanoseconds(struct timespec time)
{
    return (int64_t)((uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec);
}

bool stamp_take(const char *path, struct stamp *stamp)
{
    struct stat info;
    if (stat(path, &info) != 0 || !S_ISREG(info.st_mode))
        return false;
    *stamp = (struct stamp){(uint64_t)info.st_size, (uint64_t)info.st_ino,
                            nanoseconds(info.st_mtim), nanoseconds(info.st_ctim)};
    return true;
}

static void stamp_put(unsigned char *to, const struct stamp *stamp)
{
    put_u64(to, stamp->size);
    put_u64(to + 8, stamp->inode);
    put_u64(to + 16, (uint64_t)stamp->changed_ns);
    put_u64(to + 24, (uint64_t)stamp->touched_ns);
}

/* A file that changed this recently could change again within one tick of the clock. */
static bool is_settled(const struct memo *memo, const struct stamp *stamp)
{
    return stamp->changed_ns < memo->begun_ns - (int64_t)SETTLED_MS * 1000000;
}

/* ---- bytes of an entry ---- */

/* What is left of an entry; `short_of`: more was asked for than there is. */
struct cursor {
    const char *at;
    size_t left;
    bool short_of;
};

static const char *take(struct cursor *cursor, size_t size)
{
    static const char nothing[CONTENT];
    if (cursor->short_of || size > cursor->left) {
        cursor->short_of = true;
        return nothing;
    }
    const char *taken = cursor->at;
    cursor->at += size;
    cursor->left -= size;
    return taken;
}

static const unsigned char *take_bytes(struct cursor *cursor, size_t size)
{
    return (const unsigned char *)take(cursor, size);
}

/* A text behind its size in u16. */
static struct span take_text(struct cursor *cursor)
{
    size_t size = get_u16(take_bytes(cursor, 2));
    const char *text = take(cursor, size);
    return (struct span){text, cursor->short_of ? 0 : size};
}

static struct memo_content take_content(struct cursor *cursor)
{
    XXH128_canonical_t canonical;
    const char *from = take(cursor, CONTENT);
    memcpy(canonical.digest, from, HASH);
    return (struct memo_content){XXH128_hashFromCanonical(&canonical),
                                 get_u64((const unsigned char *)from + HASH)};
}

/* ---- reading ---- */

/* Reads a structure entry behind its key; with scratch NULL it only checks. */
static bool structure_take(struct cursor *cursor, int what, struct arena *scratch,
                           struct memo_structure *found)
{
    *found = (struct memo_structure){.refusal = {.status = STATUS_OK}};
    if (what == WHAT_REFUSED) {
        unsigned status = *take_bytes(cursor, 1);
        struct span reason = take_text(cursor);
        if (cursor->short_of || (status != STATUS_REFUSED && status != STATUS_CORRUPT))
            return false;
        error_set(&found->refusal, (enum status)status, "%.*s", (int)reason.size, reason.data);
        return true;
    }
    struct structure *structure = &found->structure;
    found->content = take_content(cursor);
    uint32_t bits = get_u32(take_bytes(cursor, 4));
    memcpy(&structure->resolution, &bits, sizeof bits);
    size_t date = *take_bytes(cursor, 1);
    structure->release_date = (struct span){take(cursor, date), date};
    uint32_t chains = get_u32(take_bytes(cursor, 4));
    if (cursor->short_of || chains > cursor->left / 7) /* the least that a chain takes */
        return false;
    if (scratch)
        structure->chain = arena_zero(scratch, chains, sizeof *structure->chain);
    structure->chain_count = (int)chains;
    for (uint32_t c = 0; c < chains; c++) {
        struct span name = take_text(cursor);
        uint32_t length = get_u32(take_bytes(cursor, 4));
        const char *letters = take(cursor, (size_t)length + 1);
        if (cursor->short_of || length > STRUCTURE_LENGTH_MAX || letters[length])
            return false;
        if (scratch)
            structure->chain[c] =
                (struct structure_chain){.name = name, .length = (int)length, .sequence = letters};
    }
    return true;
}

/* Takes the next entry off the payload and notes where it is; false: it is none. */
static bool entry_index(struct memo *memo, struct cursor *payload)
{
    const char *begin = payload->at;
    const unsigned char *fixed = take_bytes(payload, FIXED);
    if (payload->short_of)
        return false;
    int what = fixed[0], by = what == WHAT_INPUT ? BY_LINE : BY_PATH;
    size_t key_size = get_u16(fixed + 2);
    struct span key = {take(payload, key_size), key_size};
    struct memo_structure checked;
    bool fresh;
    if (what == WHAT_INPUT)
        take(payload, CONTENT);
    else if ((what != WHAT_STRUCTURE && what != WHAT_REFUSED) ||
             !structure_take(payload, what, NULL, &checked))
        return false;
    if (payload->short_of)
        return false;
    int number = names_add(&memo->known[by], key, &fresh);
    if (number < 0 || !fresh)
        return false;
    memo->entry[by] = array_grow(memo->arena, memo->entry[by], number, &memo->entry_room[by],
                                 sizeof *memo->entry[by]);
    if (!memo->entry[by])
        return false;
    memo->entry[by][number] = (struct span){begin, (size_t)(payload->at - begin)};
    return true;
}

static void forget(struct memo *memo)
{
    for (int by = 0; by < 2; by++) {
        names_open(&memo->known[by], memo->arena);
        memo->entry[by] = NULL;
        memo->entry_room[by] = 0;
    }
    memo->entries = 0;
}

void memo_header(const struct memo *memo, uint64_t entries, struct span payload,
                 unsigned char header[MEMO_HEADER_BYTES])
{
    memcpy(header, magic, sizeof magic);
    put_u64(header + 8, (uint64_t)FORMAT ^ memo->program);
    put_u64(header + 16, entries);
    put_u64(header + 24, payload.size);
    put_u64(header + 32, XXH3_64bits(payload.data, payload.size));
    put_u64(header + 40, XXH3_64bits(header, 40));
}

enum status memo_load_bytes(struct memo *memo, struct span bytes, struct error *err)
{
    unsigned char header[MEMO_HEADER_BYTES];
    const unsigned char *from = (const unsigned char *)bytes.data;
    if (bytes.size < MEMO_HEADER_BYTES || memcmp(from, magic, sizeof magic) != 0 ||
        get_u64(from + 40) != XXH3_64bits(from, 40))
        return error_set(err, STATUS_CORRUPT, "its header is damaged");
    if (get_u64(from + 8) != ((uint64_t)FORMAT ^ memo->program))
        return error_set(err, STATUS_INVALID, "another version of the program made it");
    struct span payload = {bytes.data + MEMO_HEADER_BYTES, bytes.size - MEMO_HEADER_BYTES};
    uint64_t entries = get_u64(from + 16), count = 0;
    memo_header(memo, entries, payload, header);
    if (memcmp(header, from, MEMO_HEADER_BYTES) != 0)
        return error_set(err, STATUS_CORRUPT, "its checksum does not fit");
    struct cursor cursor = {payload.data, payload.size, false};
    while (cursor.left && entry_index(memo, &cursor))
        count++;
    if (cursor.left || count != entries) {
        forget(memo);
        return error_set(err, STATUS_CORRUPT, "entry %llu is none", (unsigned long long)count);
    }
    memo->entries = entries;
    return STATUS_OK;
}

enum status memo_load(struct memo *memo, const char *path, struct error *err)
{
    struct span bytes;
    struct stamp stamp;
    if (!stamp_take(path, &stamp))
        return error_set(err, STATUS_MISS, "%s is not there", path);
    if (!memo->program)
        return error_set(err, STATUS_INVALID, "%s: /proc/self/exe does not tell who made it", path);
    enum status status = file_read(path, MEMO_BYTES_MAX, memo->arena, &bytes, err);
    if (status != STATUS_OK)
        return status;
    status = memo_load_bytes(memo, bytes, err);
    return status == STATUS_OK ? status : error_prefix(err, "%s", path);
}

/* ---- finding ---- */

/* Notes that the entry of this key goes into the next file, once; false: it does already. */
static bool keep_once(struct memo *memo, int by, struct span key)
{
    bool fresh;
    return names_add(&memo->kept[by], key, &fresh) >= 0 && fresh;
}

/* The entry of a key whose stamp is this one, behind its key; it goes into the next file. */
static bool find(struct memo *memo, int by, struct span key, const struct stamp *stamp,
                 unsigned reads, int *what, struct cursor *cursor)
{
    unsigned char wanted[FIXED];
    int number = names_find(&memo->known[by], key);
    if (number < 0 || !is_settled(memo, stamp))
        return false;
    struct span entry = memo->entry[by][number];
    *cursor = (struct cursor){entry.data, entry.size, false};
    const unsigned char *fixed = take_bytes(cursor, FIXED);
    *what = fixed[0];
    stamp_put(wanted + 4, stamp);
    if (fixed[1] != reads || memcmp(fixed + 4, wanted + 4, FIXED - 4) != 0)
        return false;
    key.data = take(cursor, key.size);
    if (keep_once(memo, by, key)) {
        memo->found++;
        memo->failed |= fwrite(entry.data, 1, entry.size, memo->next) != entry.size;
    }
    return true;
}

bool memo_find_structure(struct memo *memo, const char *path, const struct stamp *stamp,
                         unsigned reads, struct arena *scratch, struct memo_structure *found)
{
    struct cursor cursor;
    int what;
    if (!find(memo, BY_PATH, span_of(path), stamp, reads, &what, &cursor))
        return false;
    ASSERT(structure_take(&cursor, what, scratch, found)); /* memo_load checked it */
    return true;
}

bool memo_find_input(struct memo *memo, struct span line, const struct stamp *stamp,
                     struct memo_content *content)
{
    struct cursor cursor;
    int what;
    if (!find(memo, BY_LINE, line, stamp, 0, &what, &cursor))
        return false;
    *content = take_content(&cursor);
    return true;
}

/* ---- keeping ---- */

static void put(struct memo *memo, const void *bytes, size_t size)
{
    memo->failed |= size && fwrite(bytes, 1, size, memo->next) != size;
}

static void put_number(struct memo *memo, uint64_t value, size_t bytes)
{
    unsigned char number[8];
    put_u64(number, value);
    put(memo, number, bytes);
}

static void put_content(struct memo *memo, const struct memo_content *content)
{
    XXH128_canonical_t canonical;
    XXH128_canonicalFromHash(&canonical, content->hash);
    put(memo, canonical.digest, HASH);
    put_number(memo, content->bytes, 8);
}

/* Begins an entry; false: it is not kept. */
static bool put_begin(struct memo *memo, int by, int what, unsigned reads, struct span key,
                      const struct stamp *stamp)
{
    unsigned char fixed[FIXED] = {(unsigned char)what, (unsigned char)reads};
    if (names_find(&memo->kept[by], key) >= 0)
        return false;
    memo->missed++;
    if (key.size > UINT16_MAX || !is_settled(memo, stamp) || !keep_once(memo, by, key))
        return false;
    put_u16(fixed + 2, (uint16_t)key.size);
    stamp_put(fixed + 4, stamp);
    put(memo, fixed, FIXED);
    put(memo, key.data, key.size);
    return true;
}

/* Lengths that the entry's numbers can hold. */
static bool is_plain(const struct structure *structure)
{
    bool plain = structure->release_date.size <= UINT8_MAX;
    for (int c = 0; c < structure->chain_count; c++)
        plain &= structure->chain[c].name.size <= UINT16_MAX;
    return plain;
}

void memo_keep_structure(struct memo *memo, const char *path, const struct stamp *stamp,
                         unsigned reads, const struct memo_structure *made)
{
    const struct structure *structure = &made->structure;
    struct span key = span_of(path);
    enum status refused = made->refusal.status;
    uint32_t bits;
    if (refused != STATUS_OK) {
        /* Other failures may pass: a file that could not be opened, no memory. */
        if ((refused != STATUS_REFUSED && refused != STATUS_CORRUPT) ||
            !put_begin(memo, BY_PATH, WHAT_REFUSED, reads, key, stamp))
            return;
        size_t size = strlen(made->refusal.text);
        put_number(memo, refused, 1);
        put_number(memo, size, 2);
        put(memo, made->refusal.text, size);
        return;
    }
    if (!is_plain(structure) || !put_begin(memo, BY_PATH, WHAT_STRUCTURE, reads, key, stamp))
        return;
    put_content(memo, &made->content);
    memcpy(&bits, &structure->resolution, sizeof bits);
    put_number(memo, bits, 4);
    put_number(memo, structure->release_date.size, 1);
    put(memo, structure->release_date.data, structure->release_date.size);
    put_number(memo, (uint64_t)structure->chain_count, 4);
    for (int c = 0; c < structure->chain_count; c++) {
        const struct structure_chain *chain = &structure->chain[c];
        put_number(memo, chain->name.size, 2);
        put(memo, chain->name.data, chain->name.size);
        put_number(memo, (uint64_t)chain->length, 4);
        put(memo, chain->sequence, (size_t)chain->length);
        put_number(memo, 0, 1);
    }
}

void memo_keep_input(struct memo *memo, struct span line, const struct stamp *stamp,
                     const struct memo_content *content)
{
    if (put_begin(memo, BY_LINE, WHAT_INPUT, 0, line, stamp))
        put_content(memo, content);
}

/* ---- from run to run ---- */

/* Hash of this program's file, 0 if it cannot be read; computed once. */
static uint64_t program_hash(void)
{
    static uint64_t hash;
    struct span program;
    struct error err;
    struct arena arena;
    arena_open(&arena, 0);
    if (!hash &&
        file_read("/proc/self/exe", PROGRAM_BYTES_MAX, &arena, &program, &err) == STATUS_OK)
        hash = XXH3_64bits(program.data, program.size);
    arena_close(&arena);
    return hash;
}

void memo_open(struct memo *memo, struct arena *arena)
{
    struct timespec now;
    unsigned char empty[MEMO_HEADER_BYTES] = {0};
    clock_gettime(CLOCK_REALTIME, &now);
    *memo = (struct memo){.arena = arena, .program = program_hash(), .begun_ns = nanoseconds(now)};
    forget(memo);
    for (int by = 0; by < 2; by++)
        names_open(&memo->kept[by], arena);
    memo->next = open_memstream(&memo->next_text, &memo->next_size);
    ASSERT(memo->next);
    put(memo, empty, sizeof empty);
}

void memo_close(struct memo *memo)
{
    if (memo->next)
        fclose(memo->next);
    free(memo->next_text);
    *memo = (struct memo){0};
}

enum status memo_save(struct memo *memo, const char *path, struct error *err)
{
    char folder[PATH_MAX];
    const char *slash = strrchr(path, '/');
    memo->failed |= fclose(memo->next) != 0;
    memo->next = NULL;
    if (memo->missed == 0 && memo->found == memo->entries)
        return STATUS_OK;
    if (memo->failed || memo->next_size > MEMO_BYTES_MAX)
        return error_set(err, STATUS_LIMIT,
                         "%s: it would have %zu bytes; no memory, or more than %zu", path,
                         memo->next_size, MEMO_BYTES_MAX);
    if (slash && slash != path) {
        snprintf(folder, sizeof folder, "%.*s", (int)(slash - path), path);
        enum status status = file_make_dirs(folder, err);
        if (status != STATUS_OK)
            return status;
    }
    struct span payload = {memo->next_text + MEMO_HEADER_BYTES,
                           memo->next_size - MEMO_HEADER_BYTES};
    memo_header(memo, (uint64_t)memo->kept[BY_PATH].count + (uint64_t)memo->kept[BY_LINE].count,
                payload, (unsigned char *)memo->next_text);
    return file_write_atomic(path, (struct span){memo->next_text, memo->next_size}, err);
}

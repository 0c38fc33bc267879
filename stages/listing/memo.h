/* What scan learned of each input file, kept in a file between runs, so that a listing of files
 * that have not changed costs little more than a stat for each. Nothing is taken from it unless the
 * file has the same path, size, inode and times as when it was read, and the program is the same:
 * the list is what it would be without. */
#ifndef STAGES_LISTING_MEMO_H
#define STAGES_LISTING_MEMO_H

#include "stages/bio/names.h"
#include "stages/bio/structure.h"

#include <stdbool.h>
#include <stdio.h>
#include <xxhash.h>

/* A larger file is not written, and not read. */
#define MEMO_BYTES_MAX ((size_t)2 << 30)

enum { MEMO_HEADER_BYTES = 48 };

/* What tells that a file is as it was. */
struct stamp {
    uint64_t size, inode;
    int64_t changed_ns; /* its content, by its own word (mtime) */
    int64_t touched_ns; /* its content or names or owner, by the kernel's (ctime) */
};

/* False: there is no regular file. */
bool stamp_take(const char *path, struct stamp *stamp);

/* Bytes, unpacked, by their hash; the number says what they may cost. */
struct memo_content {
    XXH128_hash_t hash;
    uint64_t bytes;
};

/* What one structure file gave: its chains without coordinates, or why it is refused. */
struct memo_structure {
    struct memo_content content;
    struct structure structure;
    struct error refusal; /* STATUS_OK: there is none */
};

struct memo {
    struct arena *arena;
    uint64_t program;      /* hash of this program: another one may read files otherwise */
    int64_t begun_ns;      /* files that changed just before may change again unseen */
    struct names known[2]; /* structures by path, inputs by line */
    struct span *entry[2]; /* [known.count] bytes, checked */
    int entry_room[2];
    struct names kept[2]; /* what the next file will hold */
    FILE *next;
    char *next_text;
    size_t next_size;
    uint64_t entries, found, missed; /* in the file; of them taken; read because not in it */
    bool failed;                     /* no memory for the next file */
};

/* Empty; everything it hands out lies in arena. */
void memo_open(struct memo *memo, struct arena *arena);
void memo_close(struct memo *memo);

/* Takes in what an earlier run kept at path. STATUS_MISS: there is no file; STATUS_INVALID: another
 * program made it; STATUS_CORRUPT: it is damaged; STATUS_IO, STATUS_LIMIT. After all of these the
 * memo is empty, and works. */
enum status memo_load(struct memo *memo, const char *path, struct error *err);

/* The same of bytes, which must stay. */
enum status memo_load_bytes(struct memo *memo, struct span bytes, struct error *err);

/* A file's header in front of its payload, for memo_save. */
void memo_header(const struct memo *memo, uint64_t entries, struct span payload,
                 unsigned char header[MEMO_HEADER_BYTES]);

/* What the structure file at path gave, read in the way `reads` (any number below 256), if it is
 * still the one that `stamp` tells. Arrays lie in scratch, texts in the memo. */
bool memo_find_structure(struct memo *memo, const char *path, const struct stamp *stamp,
                         unsigned reads, struct arena *scratch, struct memo_structure *found);

/* Keeps it for the next run, unless the file changed a moment ago; path must stay. */
void memo_keep_structure(struct memo *memo, const char *path, const struct stamp *stamp,
                         unsigned reads, const struct memo_structure *made);

/* The content of an input (a line of stages/bio/input.h, which must stay) whose file has this
 * stamp. */
bool memo_find_input(struct memo *memo, struct span line, const struct stamp *stamp,
                     struct memo_content *content);
void memo_keep_input(struct memo *memo, struct span line, const struct stamp *stamp,
                     const struct memo_content *content);

/* Replaces the file at path, making its folder, by what was found and kept since memo_open; does
 * nothing when that is what the file holds. Call once. STATUS as file_write_atomic; STATUS_LIMIT:
 * more than MEMO_BYTES_MAX. */
enum status memo_save(struct memo *memo, const char *path, struct error *err);

#endif

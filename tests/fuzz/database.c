/* Any bytes as the index of an alignment database: read or refused with a line, never a crash; all
 * pieces that it gives lie in their files. */
#include "stages/listing/database.h"

#include "stages/bio/input.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { DATABASE_BYTES = 100 };

static char folder[] = "/tmp/foldmill_fuzz_XXXXXX", index_path[64], database_path[64];

static void clean(void)
{
    unlink(index_path);
    unlink(database_path);
    rmdir(folder);
}

static void begin(void)
{
    char bytes[DATABASE_BYTES] = {0};
    ASSERT(mkdtemp(folder) && atexit(clean) == 0);
    snprintf(index_path, sizeof index_path, "%s/index", folder);
    snprintf(database_path, sizeof database_path, "%s/x.db", folder);
    FILE *file = fopen(database_path, "w");
    ASSERT(file && fwrite(bytes, 1, sizeof bytes, file) == sizeof bytes && fclose(file) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena;
    struct database database;
    struct error err;
    if (!*index_path)
        begin();
    FILE *file = fopen(index_path, "w");
    ASSERT(file && fwrite(data, 1, size, file) == size && fclose(file) == 0);
    arena_open(&arena, 0);
    database_open(&database, &arena);
    enum status status = database_read(&database, index_path, &err);
    ASSERT(status == STATUS_OK || status == STATUS_INVALID);
    for (int c = 0; status == STATUS_OK && c < database.chains.count; c++) {
        const char *line[DATABASE_CHAIN_FILES_MAX];
        struct span name[DATABASE_CHAIN_FILES_MAX], key = database.chains.name[c];
        char *text = arena_text(&arena, key.data, key.size);
        int count = database_find(&database, text, &arena, line, name);
        for (int i = 0; i < count; i++) {
            struct input input;
            ASSERT(input_parse(span_of(line[i]), &input, &err) == STATUS_OK && input.piece);
            ASSERT(input.offset >= 0 && input.length > 0);
            ASSERT(input.offset + input.length <= DATABASE_BYTES);
        }
    }
    arena_close(&arena);
    return 0;
}

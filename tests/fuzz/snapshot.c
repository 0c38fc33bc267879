/* Fuzz: the text of a snapshot. What is read is written, and read again as the same. */
#include "engine/snapshot.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct snapshot snapshot, again;
    struct error err;
    char *text = NULL, *twice = NULL;
    size_t text_size = 0, twice_size = 0;
    if (snapshot_read((struct span){(const char *)data, size}, &snapshot, &err) != STATUS_OK)
        return 0;
    FILE *memory = open_memstream(&text, &text_size);
    snapshot_write(&snapshot, memory);
    fclose(memory);
    ASSERT(snapshot_read((struct span){text, text_size}, &again, &err) == STATUS_OK);
    memory = open_memstream(&twice, &twice_size);
    snapshot_write(&again, memory);
    snapshot_write_json(&again, memory);
    snapshot_write_metrics(&again, memory);
    snapshot_print(&again, 80, memory);
    fclose(memory);
    ASSERT(twice_size >= text_size && memcmp(text, twice, text_size) == 0);
    free(text);
    free(twice);
    return 0;
}

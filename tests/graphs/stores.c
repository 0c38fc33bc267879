/* Runs that fill and read stores of real structures: killed, full, held by another, damaged. */
#include "engine/base/file.h"
#include "engine/store.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void need_structures(void)
{
    if (access("/usr/share/doc/theseus/examples/ldh", R_OK) != 0)
        cr_skip("package theseus-examples is not installed");
}

__attribute__((format(printf, 1, 2))) static int shell(const char *format, ...)
{
    char command[2000];
    va_list args;
    va_start(args, format);
    vsnprintf(command, sizeof command, format, args);
    va_end(args);
    return system(command);
}

Test(stores, verify_and_go_on_after_kills_and_full_disks, .timeout = 300)
{
    char folder[] = "/tmp/foldmill_stores_XXXXXX", held[100];
    struct store *store;
    struct error err;
    need_structures();
    cr_assert(mkdtemp(folder));
    snprintf(held, sizeof held, "%s/held", folder);
    cr_assert(store_open_writer(held, NULL, &store, &err) == STATUS_OK, "%s", err.text);
    int code = shell("bash %s/tests/graphs/stores.sh %s %s %s %d", FOLDMILL_SOURCE, FOLDMILL_BINARY,
                     FOLDMILL_SOURCE, folder, (int)getpid());
    store_close(store);
    cr_assert(shell("rm -rf %s", folder) == 0);
    cr_assert(code == 0, "stores.sh says why");
}

/* Changes one bit in the middle of the record of key. */
static void damage(const char *store, const char *key, struct arena *arena)
{
    char file[200];
    struct span content;
    struct error err;
    snprintf(file, sizeof file, "%s/data.mdb", store);
    cr_assert(file_read(file, 1 << 30, arena, &content, &err) == STATUS_OK, "%s", err.text);
    const char *at = content.data, *end = content.data + content.size;
    while ((at = memmem(at, (size_t)(end - at), "FMR\x1a", 4)) != NULL) {
        uint64_t bytes = UINT64_MAX;
        if (end - at >= RECORD_PREFIX_BYTES)
            memcpy(&bytes, at + 8, sizeof bytes); /* record_bytes */
        if (bytes <= (size_t)(end - at) &&
            memmem(at, bytes < 4096 ? bytes : 4096, key, strlen(key))) {
            char bad = (char)(at[bytes / 2] ^ 1);
            int fd = open(file, O_WRONLY);
            cr_assert(fd >= 0 && pwrite(fd, &bad, 1, at - content.data + (off_t)(bytes / 2)) == 1);
            close(fd);
            return;
        }
        at += 4;
    }
    cr_assert(false, "%s is in the file", key);
}

Test(stores, training_skips_a_damaged_record_by_name, .timeout = 120)
{
    char folder[] = "/tmp/foldmill_damaged_XXXXXX", store[100];
    struct arena arena;
    need_structures();
    arena_open(&arena, 0);
    cr_assert(mkdtemp(folder));
    snprintf(store, sizeof store, "%s/store", folder);
    cr_assert(shell("%s run %s/graphs/features.yaml --run %s/fill --quiet --set store.path=%s "
                    "> %s/out 2>&1", FOLDMILL_BINARY, FOLDMILL_SOURCE, folder, store, folder) == 0);
    damage(store, "1a0l_A", &arena);
    cr_assert(shell("%s store verify %s > %s/out; test $? = 1 && grep -q '^bad  1a0l_A: ' %s/out",
                    FOLDMILL_BINARY, store, folder, folder) == 0, "verify names it");
    cr_assert(shell("%s run %s/graphs/train.yaml --run %s/train --quiet --set store.path=%s "
                    "--set train.steps=96 --set train.blocks=1 --set train.c_m=16 "
                    "--set train.c_z=8 --set batch.size=4 --set crop.length=32 "
                    "--set crop_held_out.length=32 --set evaluate.maps=1 > %s/out 2>&1",
                    FOLDMILL_BINARY, FOLDMILL_SOURCE, folder, store, folder) == 0,
              "training goes on");
    cr_assert(shell("grep -q '1a0l_A.*damaged record' %s/train/refused.tsv", folder) == 0,
              "and lists the record");
    cr_assert(shell("%s run %s/graphs/features.yaml --run %s/again --quiet --set store.path=%s "
                    "> %s/out 2>&1 && grep -q '423 of 424 are stored already' %s/again/log.txt && "
                    "%s store verify %s > %s/out", FOLDMILL_BINARY, FOLDMILL_SOURCE, folder, store,
                    folder, folder, FOLDMILL_BINARY, store, folder) == 0,
              "what was bad is made again");
    cr_assert(shell("%s run %s/graphs/features.yaml --run %s/none --quiet --set store.path=%s "
                    "> %s/out 2>&1 && grep -q '424 of 424 are stored already' %s/none/log.txt && "
                    "test ! -e %s/DAMAGED", FOLDMILL_BINARY, FOLDMILL_SOURCE, folder, store, folder,
                    folder, store) == 0, "once");
    cr_assert(shell("rm -rf %s", folder) == 0);
    arena_close(&arena);
}

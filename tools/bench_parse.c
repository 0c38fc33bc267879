/* Speed of the structure readers on the example files: MB/s of text and atoms/s, one thread, the
 * file already in memory and unpacked. Beside it what must be done at least: reading every byte. */
#include "engine/base/clock.h"
#include "engine/base/file.h"
#include "stages/bio/structure_read.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FILES_MAX = 1000, ROUNDS = 5 };

struct text {
    struct span content;
};

struct set {
    const char *name, *folder, *suffix;
    struct text text[FILES_MAX];
    int count;
    size_t bytes;
};

static void load(struct set *set, struct arena *arena)
{
    DIR *folder = opendir(set->folder);
    if (!folder)
        return;
    for (struct dirent *entry; (entry = readdir(folder)) != NULL && set->count < FILES_MAX;) {
        char path[512];
        struct span content;
        if (!strstr(entry->d_name, set->suffix))
            continue;
        snprintf(path, sizeof path, "%s/%s", set->folder, entry->d_name);
        if (file_read(path, STRUCTURE_BYTES_MAX, arena, &content, NULL) != STATUS_OK)
            continue;
        set->text[set->count++].content = content;
        set->bytes += content.size;
    }
    closedir(folder);
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Sum of all bytes: the floor. */
static double touch(const struct set *set)
{
    int64_t begin = clock_ns();
    uint64_t sum = 0;
    for (int i = 0; i < set->count; i++)
        for (size_t b = 0; b < set->text[i].content.size; b++)
            sum += (unsigned char)set->text[i].content.data[b];
    volatile uint64_t kept = sum;
    (void)kept;
    return (double)(clock_ns() - begin) * 1e-9;
}

static double parse(const struct set *set, struct arena *arena, int64_t *atoms, int *refused)
{
    int64_t begin = clock_ns();
    *atoms = 0;
    *refused = 0;
    for (int i = 0; i < set->count; i++) {
        struct structure structure;
        struct structure_wish wish = {.coordinates = true};
        struct error err;
        arena_reset(arena);
        if (structure_read(set->text[i].content, PDB_EXPERIMENTAL, &wish, arena, &structure,
                           &err) == STATUS_OK)
            *atoms += structure.atom_count;
        else
            ++*refused;
    }
    return (double)(clock_ns() - begin) * 1e-9;
}

int main(int argc, char **argv)
{
    if (argc > 1) {
        puts("usage: bench_parse   (needs the packages theseus-examples and python-biopython-doc)");
        return strcmp(argv[1], "--help") != 0;
    }
    static struct set sets[] = {
        {.name = "PDB", .folder = "/usr/share/doc/theseus/examples/ldh", .suffix = ".pdb"},
        {.name = "mmCIF",
         .folder = "/usr/share/doc/python-biopython-doc/Tests/PDB",
         .suffix = ".cif"},
    };
    struct arena texts, arena;
    arena_open(&texts, 0);
    arena_open(&arena, 0);
    printf("%-8s %6s %8s %10s %12s %14s %10s\n", "format", "files", "MB", "MB/s", "atoms/s",
           "x reading", "refused");
    for (size_t s = 0; s < sizeof sets / sizeof *sets; s++) {
        double seconds[ROUNDS], floor[ROUNDS];
        int64_t atoms = 0;
        int refused = 0;
        load(&sets[s], &texts);
        if (sets[s].count == 0) {
            printf("%-8s no files in %s\n", sets[s].name, sets[s].folder);
            continue;
        }
        for (int round = 0; round < ROUNDS; round++) {
            floor[round] = touch(&sets[s]);
            seconds[round] = parse(&sets[s], &arena, &atoms, &refused);
        }
        qsort(seconds, ROUNDS, sizeof *seconds, by_value);
        qsort(floor, ROUNDS, sizeof *floor, by_value);
        double median = seconds[ROUNDS / 2];
        printf("%-8s %6d %8.1f %10.0f %12.3g %14.1f %10d\n", sets[s].name, sets[s].count,
               (double)sets[s].bytes / 1e6, (double)sets[s].bytes / 1e6 / median,
               (double)atoms / median, median / floor[ROUNDS / 2], refused);
    }
    arena_close(&texts);
    arena_close(&arena);
    return 0;
}

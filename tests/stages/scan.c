/* Scan and parse on the example structures of Debian's package theseus-examples, and on folders
 * made here: keys, pairs of structures and alignments, what is refused, and the held-out split. */
#include "engine/stage.h"

#include "tests/stages/crops.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LISTED_MAX = 1000 };

#define EXAMPLES "/usr/share/doc/theseus/examples"

/* The state with its defaults, for these structures. */
static void *state_make(const char *const *structures, int count, struct arena *arena)
{
    static struct stage_context context = {.name = "scan"};
    const char *text = "{structures: [";
    for (int i = 0; i < count; i++)
        text = arena_printf(arena, "%s%s\"%s\"", text, i ? ", " : "", structures[i]);
    return stage_state(stage_find(SPAN("scan")), arena_printf(arena, "%s]}", text), &context,
                       arena);
}

static struct listing {
    struct source source;
    struct arena arena;
    struct sample sample[LISTED_MAX];
    int count, refused;
    char reason[LISTED_MAX][300];
} listing;

static enum status take(struct source *source, const struct sample *sample, struct error *err)
{
    (void)source, (void)err;
    cr_assert(listing.count < LISTED_MAX);
    struct sample *kept = &listing.sample[listing.count++];
    *kept = *sample;
    for (int i = 0; i < kept->field_count; i++) {
        size_t bytes = field_bytes(&kept->fields[i]);
        kept->fields[i].data =
            memcpy(arena_alloc(&listing.arena, bytes), kept->fields[i].data, bytes);
    }
    return STATUS_OK;
}

static void note(struct source *source, const char *name, const char *reason)
{
    (void)source;
    snprintf(listing.reason[listing.refused++ % LISTED_MAX], 300, "%s: %s", name, reason);
}

static enum status list(const char *const *structures, int count, struct error *err)
{
    listing.source = (struct source){.emit = take, .refuse = note};
    arena_open(&listing.arena, 0);
    void *state = state_make(structures, count, &listing.arena);
    return stage_find(SPAN("scan"))->list(state, &listing.source, err);
}

Test(scan, the_example_structures_are_listed_and_split, .timeout = 120)
{
    static const char *const folders[] = {EXAMPLES "/ldh", EXAMPLES "/trypsins",
                                          EXAMPLES "/cytochromes"};
    struct error err;
    if (access(EXAMPLES "/ldh", R_OK) != 0)
        cr_skip("package theseus-examples is not installed");
    cr_assert(list(folders, 3, &err) == STATUS_OK, "%s", err.text);
    cr_assert(listing.count >= 400, "%d listed, %d refused: %s", listing.count, listing.refused,
              listing.reason[0]);
    int held_out = 0, families = 0;
    for (int i = 0; i < listing.count; i++) {
        const struct sample *sample = &listing.sample[i];
        held_out += span_is(sample_text(sample, "split"), "held_out");
        families +=
            sample_text(sample, "alignment").size > 0 && sample_text(sample, "row").size > 0;
        cr_assert(sample_text(sample, "input_digest").size == 32);
        for (int j = 0; j < i; j++) {
            cr_assert(strcmp(sample->key, listing.sample[j].key) != 0);
            bool same =
                span_equal(sample_text(sample, "split"), sample_text(&listing.sample[j], "split"));
            cr_assert(same || !span_equal(sample_text(sample, "entry"),
                                          sample_text(&listing.sample[j], "entry")));
        }
    }
    cr_assert(families == listing.count, "every chain has its family's alignment");
    cr_assert(held_out * 20 >= listing.count && held_out * 20 <= 3 * listing.count,
              "%d of %d are held out", held_out, listing.count);
    printf("%d listed, %d refused, %d held out\n", listing.count, listing.refused, held_out);
}

Test(scan, unusable_files_are_refused_by_name_and_the_rest_goes_on)
{
    char folder[] = "/tmp/foldmill_scan_XXXXXX", command[600];
    struct error err;
    if (access(EXAMPLES "/ldh", R_OK) != 0)
        cr_skip("package theseus-examples is not installed");
    cr_assert(mkdtemp(folder));
    snprintf(command, sizeof command,
             "cd %s && cp " EXAMPLES "/ldh/1bdm_A.pdb.gz . && : > empty.pdb && "
             "head -c 5000 /dev/urandom > noise.cif && head -c 3000 1bdm_A.pdb.gz > cut.pdb.gz && "
             "echo readme > README && mkdir sub.pdb",
             folder);
    cr_assert(system(command) == 0);
    const char *const folders[] = {folder};
    cr_assert(list(folders, 1, &err) == STATUS_OK, "%s", err.text);
    cr_assert(listing.count == 1 && strcmp(listing.sample[0].key, "1bdm_A") == 0);
    cr_assert(listing.refused == 3, "%d refused", listing.refused);
    for (int i = 0; i < 3; i++)
        cr_assert(strstr(listing.reason[i], folder), "names the file: %s", listing.reason[i]);
    snprintf(command, sizeof command, "rm -r %s/*", folder);
    cr_assert(system(command) == 0);
    listing.count = listing.refused = 0;
    cr_assert(list(folders, 1, &err) == STATUS_INVALID, "an empty folder");
    cr_assert(strstr(err.text, "holds no structure files"), "%s", err.text);
    const char *const missing[] = {"/nowhere/at/all"};
    cr_assert(list(missing, 1, &err) == STATUS_IO && strstr(err.text, "/nowhere/at/all"));
    rmdir(folder);
}

/* Real chains walk from files to features: scan, parse and msa on the example structures of
 * Debian's packages theseus-examples and python-biopython-doc. Every refused chain has its reason.
 */
#include "engine/stage.h"
#include "stages/bio/residue.h"
#include "tests/stages/crops.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LISTED_MAX = 1000 };

#define THESEUS   "/usr/share/doc/theseus/examples/"
#define BIOPYTHON "/usr/share/doc/python-biopython-doc/Tests/PDB"

static struct source source;
static struct arena list_arena;
static struct sample listed[LISTED_MAX];
static int count, refused;

/* A stage's state with its defaults, opened; scan's with these structures. */
static void *state_make(const struct stage *stage, const char **structures, int structure_count)
{
    static struct stage_context context = {.name = "test"};
    const char *text = "";
    for (int i = 0; i < structure_count && stage->list; i++)
        text = arena_printf(&list_arena, "%s%s\"%s\"", text, i ? ", " : "structures: [",
                            structures[i]);
    if (*text)
        text = arena_printf(&list_arena, "%s]", text);
    return stage_state(stage, text, &context, &list_arena);
}

static enum status take(struct source *from, const struct sample *sample, struct error *err)
{
    (void)from, (void)err;
    cr_assert(count < LISTED_MAX);
    struct sample *kept = &listed[count++];
    *kept = *sample;
    for (int i = 0; i < kept->field_count; i++) {
        size_t bytes = field_bytes(&kept->fields[i]);
        kept->fields[i].data = memcpy(arena_alloc(&list_arena, bytes), kept->fields[i].data, bytes);
    }
    return STATUS_OK;
}

static void note(struct source *from, const char *name, const char *reason)
{
    (void)from;
    refused++;
    printf("refused %s: %s\n", name, reason);
}

/* One stage that passes its input on. */
static enum status pass(const struct stage *stage, void *state, const struct sample *in,
                        struct sample *out, struct arena *arena, struct error *err)
{
    struct work work = {0};
    *out = *in;
    out->field_count = 0;
    enum status status = stage->feed(state, &work, in, out, arena, err);
    for (int i = 0; status == STATUS_OK && i < in->field_count; i++)
        if (!sample_find(out, in->fields[i].name))
            cr_assert(sample_put(out, &in->fields[i], err) == STATUS_OK, "%s", err->text);
    return status;
}

/* What must hold for every chain's features. */
static void features_check(const struct sample *sample)
{
    const struct field *aatype, *mask, *msa, *start, *profile;
    struct error err;
    cr_assert(sample_need(sample, "aatype", KIND_U8, 1, &aatype, &err) == STATUS_OK);
    cr_assert(sample_need(sample, "all_atom_mask", KIND_U8, 2, &mask, &err) == STATUS_OK);
    cr_assert(sample_need(sample, "msa", KIND_U8, 2, &msa, &err) == STATUS_OK);
    cr_assert(sample_need(sample, "deletion_start", KIND_I32, 1, &start, &err) == STATUS_OK);
    cr_assert(sample_need(sample, "hhblits_profile", KIND_I32, 2, &profile, &err) == STATUS_OK);
    int64_t rows = msa->size[0], length = msa->size[1], sum = 0;
    cr_assert(length == aatype->size[0] && start->size[0] == rows + 1);
    cr_assert(memcmp(msa->data, aatype->data, (size_t)length) == 0, "%s: row 0 is not the chain",
              sample->key);
    for (int64_t i = 0; i < length * SYMBOL_COUNT; i++)
        sum += ((const int32_t *)profile->data)[i];
    cr_assert(sum == rows * length, "%s: profile", sample->key);
    for (int64_t i = 0; i < length; i++)
        cr_assert(((const uint8_t *)mask->data)[i * ATOM37 + ATOM_CA], "%s: residue %d has no CA",
                  sample->key, (int)i);
}

/* Lists folders and takes every chain through parse and msa; returns how many pass. */
static int walk(const char **folders, int folder_count, bool check)
{
    const struct stage *scan = stage_find(SPAN("scan")), *parse = stage_find(SPAN("parse")),
                       *msa = stage_find(SPAN("msa"));
    struct error err;
    struct arena arena;
    int passed = 0;
    arena_open(&list_arena, 0);
    arena_open(&arena, 0);
    source = (struct source){.emit = take, .refuse = note};
    void *parse_state = state_make(parse, folders, folder_count);
    void *msa_state = state_make(msa, folders, folder_count);
    cr_assert(scan->list(state_make(scan, folders, folder_count), &source, &err) == STATUS_OK, "%s",
              err.text);
    for (int i = 0; i < count; i++) {
        struct sample parsed, made;
        arena_reset(&arena);
        enum status status = pass(parse, parse_state, &listed[i], &parsed, &arena, &err);
        if (status == STATUS_OK)
            status = pass(msa, msa_state, &parsed, &made, &arena, &err);
        if (status != STATUS_OK) {
            cr_assert(status == STATUS_REFUSED && err.text[0], "%s", listed[i].key);
            note(&source, listed[i].key, err.text);
            continue;
        }
        passed++;
        if (check)
            features_check(&made);
    }
    parse->close(parse_state);
    msa->close(msa_state);
    arena_close(&arena);
    return passed;
}

Test(chains, families_pass_whole, .timeout = 120)
{
    static const char *folders[] = {THESEUS "ldh", THESEUS "trypsins", THESEUS "cytochromes"};
    if (access(THESEUS "ldh", R_OK) != 0)
        cr_skip("package theseus-examples is not installed");
    int passed = walk(folders, 3, true);
    cr_assert(passed + refused == 424, "%d passed, %d refused", passed, refused);
    cr_assert(passed >= 400, "only %d of 424 pass", passed);
    printf("%d of 424 chains pass\n", passed);
}

Test(chains, mmcif_examples_pass_or_say_why, .timeout = 120)
{
    static const char *files[] = {
        BIOPYTHON "/1A7G.cif.gz",         BIOPYTHON "/1A8O.cif.gz",        BIOPYTHON "/1AS5.cif.gz",
        BIOPYTHON "/1LCD.cif.gz",         BIOPYTHON "/2BEG.cif.gz",        BIOPYTHON "/2OFG.cif.gz",
        BIOPYTHON "/2XHE.cif.gz",         BIOPYTHON "/3JQH.cif.gz",        BIOPYTHON "/4CUP.cif.gz",
        BIOPYTHON "/4ZHL.cif.gz",         BIOPYTHON "/6WQA.cif.gz",        BIOPYTHON "/7CFN.cif.gz",
        BIOPYTHON "/7CFN_aligned.cif.gz", BIOPYTHON "/a_structure.cif.gz",
    };
    if (access(files[0], R_OK) != 0)
        cr_skip("package python-biopython-doc is not installed");
    int passed = walk(files, 14, false);
    printf("%d chains of 14 mmCIF files pass, %d refused\n", passed, refused);
    /* Four files are no whole mmCIF: without sequences, author numbers, or data_. */
    cr_assert(passed == 16 && refused == 4, "%d passed, %d refused", passed, refused);
}

/* Frames, torsions and atom14 against the reference pipeline's features (equal, but for the signs
 * of zeros), and on a few atoms whose geometry is plain. */
#include "tests/stages/features.h"
#include "stages/bio/geometry.h"
#include "stages/bio/residue.h"

#include <dirent.h>
#include <math.h>

enum { LENGTH_MAX = 1024 };

static struct arena arena;

static struct results {
    float beta[LENGTH_MAX * 3], beta_mask[LENGTH_MAX];
    float exists14[LENGTH_MAX * 14], exists37[LENGTH_MAX * 37];
    int64_t to37[LENGTH_MAX * 14], to14[LENGTH_MAX * 37];
    float positions[LENGTH_MAX * 42], alt_positions[LENGTH_MAX * 42];
    float exists[LENGTH_MAX * 14], alt_exists[LENGTH_MAX * 14], ambiguous[LENGTH_MAX * 14];
    float frames[LENGTH_MAX * 128], alt_frames[LENGTH_MAX * 128];
    float group_there[LENGTH_MAX * 8], group_exists[LENGTH_MAX * 8],
        group_ambiguous[LENGTH_MAX * 8];
    float sin_cos[LENGTH_MAX * 14], alt[LENGTH_MAX * 14], torsion_mask[LENGTH_MAX * 7];
    float chi[LENGTH_MAX * 8], chi_mask[LENGTH_MAX * 4];
    float backbone[LENGTH_MAX * 16], backbone_mask[LENGTH_MAX];
} results;

static void results_make(const struct geometry_chain *chain)
{
    struct results *r = &results;
    geometry_pseudo_beta(chain, r->beta, r->beta_mask);
    geometry_atom_maps(chain, r->exists14, r->to37, r->to14, r->exists37);
    geometry_atom14(chain, &(struct geometry_atom14){r->positions, r->alt_positions, r->exists,
                                                     r->alt_exists, r->ambiguous});
    geometry_frames(chain, &(struct geometry_frames){r->frames, r->alt_frames, r->group_there,
                                                     r->group_exists, r->group_ambiguous});
    geometry_torsions(chain, r->sin_cos, r->alt, r->torsion_mask);
    for (int i = 0; i < chain->count; i++) {
        memcpy(r->chi + 8 * i, r->sin_cos + 14 * i + 6, 8 * sizeof(float));
        memcpy(r->chi_mask + 4 * i, r->torsion_mask + 7 * i + 3, 4 * sizeof(float));
        memcpy(r->backbone + 16 * i, r->frames + 128 * i, 16 * sizeof(float));
        r->backbone_mask[i] = r->group_there[8 * i];
    }
}

/* values[count, width] are the golden array's first rows; its other rows, the padding, are 0. */
static void compare(const char *file, const struct npz *npz, const char *name, const float *values,
                    int count, uint64_t width)
{
    const struct npz_array *array = golden_array(npz, name, NPZ_F32);
    cr_assert(array->count % width == 0 && array->count >= (uint64_t)count * width);
    for (uint64_t i = 0; i < array->count; i++) {
        float ours = i < (uint64_t)count * width ? values[i] : 0;
        cr_assert(golden_f32(array, i) == ours, "%s %s: residue %d, element %d: %.9g, wanted %.9g",
                  file, name, (int)(i / width), (int)(i % width), (double)ours,
                  (double)golden_f32(array, i));
    }
}

static void compare_i64(const char *file, const struct npz *npz, const char *name,
                        const int64_t *values, int count, uint64_t width)
{
    const struct npz_array *array = golden_array(npz, name, NPZ_I64);
    for (uint64_t i = 0; i < (uint64_t)count * width; i++) {
        int64_t wanted;
        memcpy(&wanted, (const char *)array->data + 8 * i, 8);
        cr_assert(wanted == values[i], "%s %s: residue %d", file, name, (int)(i / width));
    }
}

/* The chain of a raw file. */
static int chain_open(const struct npz *raw, struct geometry_chain *chain)
{
    const struct npz_array *aatype = golden_array(raw, "aatype", NPZ_I32);
    const struct npz_array *positions = golden_array(raw, "all_atom_positions", NPZ_F32);
    const struct npz_array *mask = golden_array(raw, "all_atom_mask", NPZ_F32);
    int length = (int)aatype->size[0];
    uint8_t *types = arena_zero(&arena, (size_t)length, 1);
    uint8_t *bytes = arena_zero(&arena, mask->count, 1);
    float *copy = arena_zero(&arena, positions->count, 4);
    for (int i = 0; i < length; i++)
        for (int type = 0; type < RESTYPE_COUNT; type++)
            if (golden_i32(aatype, (uint64_t)(i * RESTYPE_COUNT + type)))
                types[i] = (uint8_t)type;
    for (uint64_t i = 0; i < mask->count; i++)
        bytes[i] = golden_f32(mask, i) != 0;
    memcpy(copy, positions->data, positions->count * 4);
    *chain = (struct geometry_chain){
        .aatype = types, .positions = copy, .mask = bytes, .count = length};
    return length;
}

static void file_compare(const char *file)
{
    struct npz done = golden_npz(&arena, arena_printf(&arena, "processed/%s", file));
    struct span name = {file, strlen(file) - 4}; /* without ".npz" */
    if (name.size > 8 && memcmp(name.data + name.size - 8, "__crop64", 8) == 0)
        name.size -= 8;
    struct npz raw =
        golden_npz(&arena, arena_printf(&arena, "raw/%.*s.npz", (int)name.size, name.data));
    if (!npz_find(&raw, "all_atom_positions"))
        return; /* a sequence without a structure */
    struct geometry_chain chain;
    int length = chain_open(&raw, &chain);
    int size = golden_i32(golden_array(&done, "__crop_size", NPZ_I32), 0);
    int start = golden_i32(golden_array(&done, "__crop_start", NPZ_I32), 0);
    chain.count = size < length ? size : length;
    if (start > length - chain.count)
        start = length - chain.count;
    chain.aatype += start;
    chain.positions += start * 111;
    chain.mask += start * 37;
    if (start > 0) {
        chain.previous_positions = chain.positions - 111;
        chain.previous_mask = chain.mask - 37;
    }
    results_make(&chain);
    const struct results *r = &results;
    int n = chain.count;
    compare(file, &done, "pseudo_beta", r->beta, n, 3);
    compare(file, &done, "pseudo_beta_mask", r->beta_mask, n, 1);
    compare(file, &done, "atom14_atom_exists", r->exists14, n, 14);
    compare(file, &done, "atom37_atom_exists", r->exists37, n, 37);
    compare_i64(file, &done, "residx_atom14_to_atom37", r->to37, n, 14);
    compare_i64(file, &done, "residx_atom37_to_atom14", r->to14, n, 37);
    compare(file, &done, "atom14_gt_positions", r->positions, n, 42);
    compare(file, &done, "atom14_gt_exists", r->exists, n, 14);
    compare(file, &done, "atom14_alt_gt_positions", r->alt_positions, n, 42);
    compare(file, &done, "atom14_alt_gt_exists", r->alt_exists, n, 14);
    compare(file, &done, "atom14_atom_is_ambiguous", r->ambiguous, n, 14);
    compare(file, &done, "rigidgroups_gt_frames", r->frames, n, 128);
    compare(file, &done, "rigidgroups_alt_gt_frames", r->alt_frames, n, 128);
    compare(file, &done, "rigidgroups_gt_exists", r->group_there, n, 8);
    compare(file, &done, "rigidgroups_group_exists", r->group_exists, n, 8);
    compare(file, &done, "rigidgroups_group_is_ambiguous", r->group_ambiguous, n, 8);
    compare(file, &done, "backbone_rigid_tensor", r->backbone, n, 16);
    compare(file, &done, "backbone_rigid_mask", r->backbone_mask, n, 1);
    compare(file, &done, "chi_angles_sin_cos", r->chi, n, 8);
    compare(file, &done, "chi_mask", r->chi_mask, n, 4);
}

Test(geometry, features_equal_the_reference, .timeout = 240)
{
    struct dirent **entry = NULL;
    arena_open(&arena, 0);
    int files = scandir(arena_printf(&arena, "%s/features/processed", golden_root()), &entry, NULL,
                        alphasort);
    int compared = 0;
    for (int i = 0; i < files; i++) {
        arena_reset(&arena);
        if (entry[i]->d_name[0] != '.') {
            file_compare(entry[i]->d_name);
            compared++;
        }
        free(entry[i]);
    }
    free(entry);
    cr_assert(compared >= 40, "%d", compared);
    arena_close(&arena);
}

/* Templates hold all seven torsions, on coordinates of their own. */
Test(geometry, template_torsions_equal_the_reference, .timeout = 120)
{
    static const char *const names[] = {"2q2k_A__real__hhr", "5kc1_C__synth2500__hhr",
                                        "2crb_A__synth300__hhr"};
    arena_open(&arena, 0);
    for (int c = 0; c < 3; c++) {
        struct npz done = golden_npz(&arena, arena_printf(&arena, "processed/%s.npz", names[c]));
        const struct npz_array *types = golden_array(&done, "template_aatype", NPZ_I64);
        const struct npz_array *places =
            golden_array(&done, "template_all_atom_positions", NPZ_F32);
        const struct npz_array *masks = golden_array(&done, "template_all_atom_mask", NPZ_F32);
        const struct npz_array *wanted =
            golden_array(&done, "template_torsion_angles_sin_cos", NPZ_F32);
        const struct npz_array *wanted_mask =
            golden_array(&done, "template_torsion_angles_mask", NPZ_F32);
        const struct npz_array *rows = golden_array(&done, "template_mask", NPZ_F32);
        int size = (int)types->size[1];
        int length = (int)golden_array(&done, "seq_mask", NPZ_F32)->count;
        while (length &&
               golden_f32(golden_array(&done, "seq_mask", NPZ_F32), (uint64_t)length - 1) == 0)
            length--;
        for (int t = 0; t < (int)types->size[0]; t++) {
            if (golden_f32(rows, (uint64_t)t) == 0)
                continue;
            uint8_t *aatype = arena_zero(&arena, (size_t)size, 1);
            uint8_t *mask = arena_zero(&arena, (size_t)size * 37, 1);
            float *positions = arena_zero(&arena, (size_t)size * 111, 4);
            memcpy(positions, (const char *)places->data + (size_t)t * (size_t)size * 444,
                   (size_t)size * 444);
            for (int i = 0; i < size; i++) {
                int64_t type;
                memcpy(&type, (const char *)types->data + 8 * (t * size + i), 8);
                aatype[i] = (uint8_t)(type > RESTYPE_X ? RESTYPE_X : type);
            }
            for (int i = 0; i < size * 37; i++)
                mask[i] = golden_f32(masks, (uint64_t)(t * size * 37 + i)) != 0;
            geometry_torsions(&(struct geometry_chain){.aatype = aatype, .positions = positions,
                                                       .mask = mask, .count = length},
                              results.sin_cos, results.alt, results.torsion_mask);
            for (int i = 0; i < length * 14; i++)
                cr_assert(golden_f32(wanted, (uint64_t)(t * size * 14 + i)) == results.sin_cos[i],
                          "%s template %d residue %d", names[c], t, i / 14);
            for (int i = 0; i < length * 7; i++)
                cr_assert(golden_f32(wanted_mask, (uint64_t)(t * size * 7 + i)) ==
                          results.torsion_mask[i]);
        }
    }
    arena_close(&arena);
}

Test(geometry, plain_atoms)
{
    /* An alanine: CA at the origin, C on the x axis, N in the xy plane above it. */
    uint8_t aatype[1] = {0}, mask[37] = {1, 1, 1, 1, 1};
    float positions[111] = {0, 2, 0, 0, 0, 0, 3, 0, 0, 0, 0, 4, 3, 0, 5};
    struct geometry_chain chain = {
        .aatype = aatype, .positions = positions, .mask = mask, .count = 1};
    results_make(&chain);
    cr_assert(results.beta[2] == 4 && results.beta_mask[0] == 1);
    static const float backbone[16] = {1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1};
    for (int k = 0; k < 16; k++)
        cr_assert(fabsf(results.backbone[k] - backbone[k]) < 1e-6F, "element %d: %f", k,
                  (double)results.backbone[k]);
    cr_assert(results.torsion_mask[0] == 0 && results.torsion_mask[1] == 0, "no residue before");
    cr_assert(results.torsion_mask[2] == 1 && results.torsion_mask[3] == 0, "psi, but no chi");
    /* Seen along CA-C, N points to y and O to z: a right angle. */
    cr_assert(fabsf(fabsf(results.sin_cos[4]) - 1) < 1e-6F && fabsf(results.sin_cos[5]) < 1e-6F);
    aatype[0] = RESTYPE_GLY;
    results_make(&chain);
    cr_assert(results.beta[2] == 0, "glycine has its CA instead");
    cr_assert(results.exists[3] == 1 && results.positions[3 * 3 + 2] == 5 && results.exists[4] == 0,
              "the fourth atom of glycine is O; it has no CB");
    aatype[0] = RESTYPE_X;
    results_make(&chain);
    cr_assert(results.exists14[0] == 0 && results.exists[0] == 0 && results.beta_mask[0] == 1);
}

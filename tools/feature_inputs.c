/* Inputs of the bench of the data path; see feature_inputs.h. */
#include "tools/feature_inputs.h"

#include "engine/base/file.h"
#include "engine/base/rng.h"
#include "engine/params.h"
#include "stages/bio/residue.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TEMPLATES = 4 };

#define FILE_MAX ((size_t)1 << 30)

struct bench_folder bench_inputs(const char *folder, struct arena *arena)
{
    const char *golden = getenv("FOLDMILL_GOLDEN");
    return (struct bench_folder){golden && *golden ? golden : NULL, folder, arena};
}

/* A text that grows. */
struct text {
    char *data;
    size_t size, room;
};

__attribute__((format(printf, 2, 3))) static void add(struct text *text, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    ASSERT_INT(text->size, <, text->room);
    text->size += (size_t)vsnprintf(text->data + text->size, text->room - text->size, format, args);
    va_end(args);
}

static const char letters[] = "ARNDCQEGHILKMFPSTWYV";
static const char codes[20][4] = {"ALA", "ARG", "ASN", "ASP", "CYS", "GLN", "GLU",
                                  "GLY", "HIS", "ILE", "LEU", "LYS", "MET", "PHE",
                                  "PRO", "SER", "THR", "TRP", "TYR", "VAL"};

/* Place of the k-th atom of residue i: a helix, in steps of 0.001. */
static float place(int i, int k, int axis)
{
    double turn = 1.745 * i + 0.6 * k, value = axis == 2 ? 1.5 * i + 0.3 * k : 3.4 + 0.9 * k;
    value *= axis == 0 ? cos(turn) : axis == 1 ? sin(turn) : 1;
    return (float)(round(value * 1e3) * 1e-3);
}

static struct span mmcif_make(struct arena *arena, int residues, int models)
{
    struct text text = {.room = (size_t)residues * (size_t)models * 1400 + 65536};
    text.data = arena_alloc(arena, text.room);
    add(&text, "data_1TST\n_entry.id 1TST\n_exptl.method 'X-RAY DIFFRACTION'\n"
               "_refine.ls_d_res_high 1.9\nloop_\n_pdbx_audit_revision_history.ordinal\n"
               "_pdbx_audit_revision_history.revision_date\n1 2001-02-03\nloop_\n"
               "_entity_poly_seq.entity_id\n_entity_poly_seq.num\n_entity_poly_seq.mon_id\n");
    for (int i = 0; i < residues; i++)
        add(&text, "1 %d %s\n", i + 1, codes[i * 7 % 20]);
    add(&text, "loop_\n_chem_comp.id\n_chem_comp.type\n");
    for (int c = 0; c < 20; c++)
        add(&text, "%s 'L-peptide linking'\n", codes[c]);
    add(&text, "loop_\n_struct_asym.id\n_struct_asym.entity_id\nA 1\nloop_\n"
               "_atom_site.group_PDB\n_atom_site.id\n_atom_site.type_symbol\n"
               "_atom_site.label_atom_id\n_atom_site.label_alt_id\n_atom_site.label_comp_id\n"
               "_atom_site.label_asym_id\n_atom_site.label_entity_id\n_atom_site.label_seq_id\n"
               "_atom_site.pdbx_PDB_ins_code\n_atom_site.Cartn_x\n_atom_site.Cartn_y\n"
               "_atom_site.Cartn_z\n_atom_site.occupancy\n_atom_site.B_iso_or_equiv\n"
               "_atom_site.pdbx_formal_charge\n_atom_site.auth_seq_id\n_atom_site.auth_comp_id\n"
               "_atom_site.auth_asym_id\n_atom_site.auth_atom_id\n"
               "_atom_site.pdbx_PDB_model_num\n");
    int serial = 0;
    for (int model = 1; model <= models; model++)
        for (int i = 0; i < residues; i++) {
            int type = i * 7 % 20;
            for (int k = 0; k < atom14_count[type]; k++) {
                const char *atom = atom37_names[atom14_to_atom37[type][k]];
                int width = (int)strnlen(atom, sizeof atom37_names[0]);
                add(&text,
                    "ATOM %d %c %.*s . %s A 1 %d ? %.3f %.3f %.3f 1.00 %.2f ? %d %s A %.*s %d\n",
                    ++serial, *atom, width, atom, codes[type], i + 1, (double)place(i, k, 0),
                    (double)place(i, k, 1), (double)place(i, k, 2), 10 + 0.1 * (i % 100), i + 1,
                    codes[type], width, atom, model);
            }
        }
    add(&text, "#\n");
    return (struct span){text.data, text.size};
}

struct span input_mmcif(const struct bench_folder *inputs, const char *name, int residues,
                        int models)
{
    struct span content;
    struct error err;
    if (!inputs->golden)
        return mmcif_make(inputs->arena, residues, models);
    char *path =
        arena_printf(inputs->arena, "%s/features/inputs/mmcif/%s.cif", inputs->golden, name);
    if (file_read(path, FILE_MAX, inputs->arena, &content, &err) == STATUS_OK)
        return content;
    fprintf(stderr, "%s\n", err.text);
    exit(1);
}

/* Letters of a row: those of an earlier row, four in five, or new, or gaps at both ends. */
static void row_make(struct rng *rng, const char *parent, char *row, int length)
{
    int first = (int)rng_below(rng, (uint32_t)length / 3 + 1);
    int last = length - (int)rng_below(rng, (uint32_t)length / 3 + 1);
    for (int j = 0; j < length; j++) {
        uint32_t u = rng_below(rng, 100);
        bool outside = parent && (j < first || j >= last);
        row[j] = parent && u < 80 ? parent[j] : letters[rng_below(rng, 20)];
        row[j] = outside || (parent && u >= 98) ? '-' : row[j];
    }
}

/* Every 60th column has an insertion of some letters before it; of the first row none. */
static void row_write(struct text *text, const char *row, int number, int length, struct rng *rng)
{
    add(text, ">%s%d\n", number ? "row" : "query", number);
    for (int j = 0; j < length; j += 60) {
        int piece = length - j < 60 ? length - j : 60;
        add(text, "%.*s%.*s", number ? (int)rng_below(rng, 6) : 0, "acdefg", piece, row + j);
    }
    add(text, "\n");
}

static struct span alignment_make(const struct bench_folder *inputs, const char *name,
                                  bool stockholm, int rows, int length, struct span *query)
{
    enum { BLOCK = 200 };
    struct arena *arena = inputs->arena;
    struct rng rng = rng_open(1, 0, 0, "alignment", 0);
    size_t width = (size_t)length;
    char *all = arena_alloc(arena, (size_t)rows * width);
    struct text text = {.room = (size_t)rows * (width + width / 60 * 8 + 64 * (width / BLOCK + 2))};
    text.data = arena_alloc(arena, text.room + 100);
    for (int n = 0; n < rows; n++) {
        const char *parent = n ? all + rng_below(&rng, (uint32_t)n) * width : NULL;
        row_make(&rng, parent, all + (size_t)n * width, length);
    }
    if (stockholm)
        add(&text, "# STOCKHOLM 1.0\n\n");
    for (int n = 0; n < rows && !stockholm; n++)
        row_write(&text, all + (size_t)n * width, n, length, &rng);
    for (int j = 0; j < length && stockholm; j += BLOCK)
        for (int n = 0; n < rows; n++)
            add(&text, "%s%d          %.*s\n", n ? "row" : "query", n,
                length - j < BLOCK ? length - j : BLOCK, all + (size_t)n * width + j);
    if (stockholm)
        add(&text, "//\n");
    *query = (struct span){all, width};
    char *path = arena_printf(arena, "%s/%s.%s", inputs->folder, name, stockholm ? "sto" : "a3m");
    struct error err;
    if (file_write_atomic(path, (struct span){text.data, text.size}, &err) != STATUS_OK) {
        fprintf(stderr, "%s\n", err.text);
        exit(1);
    }
    return span_of(path);
}

/* The letters of the first row of an A3M file. */
static struct span first_row(const char *path, struct arena *arena)
{
    struct span content, line = {0};
    struct error err;
    if (file_read(path, FILE_MAX, arena, &content, &err) != STATUS_OK) {
        fprintf(stderr, "%s\n", err.text);
        exit(1);
    }
    while (span_line(&content, &line) && (line.size == 0 || *line.data == '>'))
        ;
    return line;
}

struct span input_alignment(const struct bench_folder *inputs, const char *name, const char *suffix,
                            int rows, int length, struct span *query)
{
    bool stockholm = suffix && strcmp(suffix, ".sto") == 0;
    if (!inputs->golden)
        return alignment_make(inputs, name, stockholm, rows, length, query);
    char *folder = arena_printf(inputs->arena, "%s/features/inputs/align/%s", inputs->golden, name);
    char *a3m = arena_printf(inputs->arena, "%s/bfd_uniref_hits.a3m", folder);
    char *sto = arena_printf(inputs->arena, "%s/mgnify_hits.sto", folder);
    *query = first_row(a3m, inputs->arena);
    return span_of(stockholm                 ? sto
                   : suffix || rows >= 10000 ? a3m
                                             : arena_printf(inputs->arena, "%s\n%s", a3m, sto));
}

size_t input_bytes(struct span paths)
{
    size_t bytes = 0;
    struct span line;
    while (span_line(&paths, &line)) {
        struct arena arena;
        struct span content = {0};
        arena_open(&arena, 0);
        if (file_read(arena_text(&arena, line.data, line.size), FILE_MAX, &arena, &content, NULL) ==
            STATUS_OK)
            bytes += content.size;
        arena_close(&arena);
    }
    return bytes;
}

void input_chain(struct sample *sample, struct span query, struct arena *arena)
{
    struct error err;
    int length = (int)query.size;
    ASSERT(sample_open(sample, SPAN("1tst_A"), &err) == STATUS_OK);
    uint8_t *aatype = sample_add_1(sample, arena, "aatype", KIND_U8, length);
    int32_t *index = sample_add_1(sample, arena, "residue_index", KIND_I32, length);
    float *positions =
        sample_add_3(sample, arena, "all_atom_positions", KIND_F32, length, ATOM37, 3);
    uint8_t *mask = sample_add_2(sample, arena, "all_atom_mask", KIND_U8, length, ATOM37);
    for (int i = 0; i < length; i++) {
        const char *letter = strchr(letters, query.data[i]);
        aatype[i] = letter && *letter ? (uint8_t)(letter - letters) : 20;
        index[i] = i;
        for (int k = 0; k < atom14_count[aatype[i]]; k++) {
            int at = i * ATOM37 + atom14_to_atom37[aatype[i]][k];
            mask[at] = 1;
            for (int axis = 0; axis < 3; axis++)
                positions[at * 3 + axis] = place(i, k, axis);
        }
    }
    sample_add_text(sample, arena, "sequence", query);
    sample_add_f32(sample, arena, "resolution", 1.9f);
    sample_add_f32(sample, arena, "is_distillation", 0);
    sample_add_text(sample, arena, "release_date", SPAN("2001-02-03"));
    sample_add_text(sample, arena, "domain_name", SPAN("1tst_A"));
    sample_add_text(sample, arena, "split", SPAN("train"));
}

void input_templates(struct sample *sample, struct span query, struct arena *arena)
{
    int length = (int)query.size;
    size_t atoms = (size_t)length * ATOM37;
    char *sequence = sample_add_2(sample, arena, "template_sequence", KIND_U8, TEMPLATES, length);
    const int64_t size[4] = {TEMPLATES, length, ATOM37, 3};
    float *positions = sample_add(sample, arena, "template_all_atom_positions", KIND_F32, 4, size);
    uint8_t *mask =
        sample_add_3(sample, arena, "template_all_atom_mask", KIND_U8, TEMPLATES, length, ATOM37);
    float *probability = sample_add_1(sample, arena, "template_sum_probs", KIND_F32, TEMPLATES);
    const float *own = sample_find(sample, "all_atom_positions")->data;
    const uint8_t *own_mask = sample_find(sample, "all_atom_mask")->data;
    for (int t = 0; t < TEMPLATES; t++) {
        probability[t] = 100.5f - (float)t;
        for (int i = 0; i < length; i++) {
            bool here = (i + t) % 3 != 0;
            size_t at = (size_t)t * atoms + (size_t)i * ATOM37;
            sequence[t * length + i] = here ? query.data[i] : '-';
            for (size_t a = 0; here && a < ATOM37; a++) {
                mask[at + a] = own_mask[(size_t)i * ATOM37 + a];
                for (size_t axis = 0; axis < 3 && mask[at + a]; axis++)
                    positions[(at + a) * 3 + axis] =
                        own[((size_t)i * ATOM37 + a) * 3 + axis] + 0.037f * (float)(i % 9 + t);
            }
        }
    }
    sample_add_text(sample, arena, "template_domain_names",
                    SPAN("1aaa_A\n1bbb_A\n1ccc_A\n1ddd_A\n"));
    sample_add_i32(sample, arena, "template_shuffled", TEMPLATES);
}

void *stage_make(const struct stage *stage, const char *settings, struct arena *arena)
{
    struct complaints complaints;
    struct error err;
    struct stage_context *context = arena_zero(arena, 1, sizeof *context);
    struct source_text *text = arena_zero(arena, 1, sizeof *text);
    const struct param_roots roots = {.graph = "/"};
    *context = (struct stage_context){.name = stage->name, .arena = arena};
    *text = (struct source_text){.name = "bench", .text = span_of(settings)};
    complaints_open(&complaints, arena);
    char *state = arena_zero(arena, 1, stage->state_size);
    struct yaml_node *node = *settings ? yaml_parse(text, arena, &complaints) : NULL;
    params_fill(stage->params, state, node, &roots, (struct place){text, 1, 1, 1}, arena,
                &complaints);
    ASSERT(complaints.count == 0 && stage->open(state, context, &err) == STATUS_OK);
    return state;
}

#!/usr/bin/env bash
# usage: add_stage.sh SOURCE
# Adds a stage to a copy of the sources - one file - builds that, and uses the stage in a graph: it must
# be found, described, checked, in the schema, and do its work, without any other file being touched.
set -eu
source=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/tree"
for part in CMakeLists.txt engine stages kernels tests tools; do
    cp -r "$source/$part" "$work/tree/"
done

cat > "$work/tree/stages/count_letter.c" <<'C'
/* Counts one letter of the sequence. */
#include "engine/stage.h"

struct count_letter_state {
    const char *letter;
};

static enum status count_letter_feed(void *state, const struct work *work, const struct sample *in,
                                     struct sample *out, struct arena *arena, struct error *err)
{
    (void)work, (void)err;
    struct span sequence = sample_text(in, "sequence");
    int32_t count = 0;
    for (size_t i = 0; i < sequence.size; i++)
        count += sequence.data[i] == ((struct count_letter_state *)state)->letter[0];
    sample_add_i32(out, arena, "letters", count);
    return STATUS_OK;
}

static const struct param count_letter_params[] = {
    {.name = "letter", .type = PARAM_TEXT, .fallback = "A",
     .offset = offsetof(struct count_letter_state, letter), .help = "The letter that is counted."},
    {.name = NULL},
};
static const char *const count_letter_in[] = {"sequence:u8[L]", NULL};
static const char *const count_letter_out[] = {"letters:i32", NULL};

const struct stage stage_count_letter = {
    .abi = STAGE_ABI,
    .version = 1,
    .flags = STAGE_PASS,
    .name = "count_letter",
    .summary = "Counts one letter of the sequence.",
    .state_size = sizeof(struct count_letter_state),
    .params = count_letter_params,
    .in = {count_letter_in},
    .out = {count_letter_out},
    .feed = count_letter_feed,
};
C

cd "$work"
if ! { cmake -S tree -B build -G Ninja -DCMAKE_BUILD_TYPE=Debug -DFOLDMILL_CUDA=OFF &&
    cmake --build build --target foldmill; } > build.log 2>&1; then
    tail -n 20 build.log
    exit 1
fi
mkdir structures
residue() { # residue NUMBER NAME: a backbone, 3.8 Angstrom behind the last
    local x=$((38 * $1)) serial=$((3 * $1))
    printf 'ATOM  %5d  N   %s A%4d    %8.3f%8.3f%8.3f  1.00 10.00           N\n' $serial "$2" "$1" ${x}e-1 0 0
    printf 'ATOM  %5d  CA  %s A%4d    %8.3f%8.3f%8.3f  1.00 10.00           C\n' $((serial + 1)) "$2" "$1" $((x + 14))e-1 0 0
    printf 'ATOM  %5d  C   %s A%4d    %8.3f%8.3f%8.3f  1.00 10.00           C\n' $((serial + 2)) "$2" "$1" $((x + 25))e-1 0 0
}
for number in 1 2 3 4 5 6 7; do
    residue $number "$([ $((number % 3)) = 0 ] && echo GLY || echo LEU)"
done > structures/1abc_A.pdb
cat > graph.yaml <<'G'
graph: letters
stages:
  scan: {with: {structures: structures}}
  parse: {in: scan}
  count_letter: {in: parse, with: {letter: L}}
  store: {in: count_letter, with: {path: "{run}/features"}}
G
env=(env -i PATH="$PATH" HOME="$work" TMPDIR="${TMPDIR:-/tmp}")
"${env[@]}" build/foldmill stages count_letter | grep -q 'The letter that is counted.'
"${env[@]}" build/foldmill schema | grep -q '"count_letter"'
"${env[@]}" build/foldmill run graph.yaml --run run --quiet || { cat run/log.txt; exit 1; }
"${env[@]}" build/foldmill store show run/features 1abc_A letters > shown
grep -q '\b5\b' shown || { cat shown run/refused.tsv; echo "5 letters L were expected"; exit 1; }

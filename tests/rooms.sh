#!/usr/bin/env bash
# Who may include whom, and how long files and lines may be (see the rooms in README.md). Prints what
# breaks the rules; exit 1 when anything does.
set -u
cd "$(dirname "$0")/.." || exit 2
found=0

say() {
    printf '%s\n' "$1"
    found=1
}

# forbid WHERE PATTERN WHY: no file of these may include what the pattern names.
forbid() {
    local hits
    # shellcheck disable=SC2086 # WHERE is a list of globs
    hits=$(git ls-files -- $1 | grep -E '\.(c|h|cu|cuh)$' |
        xargs -r grep -nE "^#include \"($2)" /dev/null)
    [ -z "$hits" ] || say "$3:
$hits"
}

forbid 'engine/base' '(engine/[a-z_]+\.h|engine/command|stages|kernels|tests)' 'engine/base stands alone'
forbid 'engine' '(stages|kernels|tests)/' 'engine knows no biology and no mathematics'
forbid 'kernels' '(engine/[a-z_]+\.h|engine/command|stages|tests)' 'kernels use engine/base alone'
forbid 'stages/bio' '(engine/[a-z_]+\.h|engine/command|kernels|stages/[a-z_]+\.h|stages/learn|stages/listing|stages/exec)' \
    'stages/bio are pure functions over engine/base'
forbid 'engine stages tools tests kernels/*.c kernels/*.h kernels/cpu kernels/net' 'kernels/cuda/' \
    'nobody includes kernels/cuda'

# Of the stages only those that learn may use kernels.
hits=$(git ls-files -- stages | grep -E '\.(c|h)$' | grep -vE '^stages/(train|evaluate)\.c$|^stages/learn/' |
    xargs -r grep -nE '^#include "kernels/' /dev/null)
[ -z "$hits" ] || say "only train, evaluate and stages/learn use kernels:
$hits"

# Includes are written from the root.
# (The stand-in for CUDA's headers includes itself as those do.)
hits=$(git ls-files | grep -E '\.(c|h|cu|cuh)$' | grep -v '^tests/kernels/cuda_host/' |
    xargs -r grep -nE '^#include "' /dev/null |
    grep -vE '#include "(engine|stages|kernels|tests|tools)/')
[ -z "$hits" ] || say "includes are written from the root of the tree:
$hits"

# Timers and order know the clock alone that only goes forward. The wall clock names runs and stands in
# the log; scan's memo compares it with times of files, which are the wall clock's too.
hits=$(git ls-files -- engine stages kernels tools | grep -E '\.(c|h|cu|cuh)$' |
    grep -vE '^engine/(rundir|base/log)\.c$|^stages/listing/memo\.c$' |
    xargs -r grep -nE '\bCLOCK_REALTIME\b|[^_[:alnum:]>.]time\(|\bgettimeofday\(' /dev/null)
[ -z "$hits" ] || say "the wall clock is no timer:
$hits"

# One global symbol a stage, named after its file.
for file in $(git ls-files -- 'stages/*.c' | grep -v '/.*/'); do
    name=$(basename "$file" .c)
    grep -q "^const struct stage stage_$name = {" "$file" || say "$file: exports no stage_$name"
done

long=$(git ls-files | grep -E '\.(c|h|cu|cuh)$' | xargs -r wc -l | awk '$2 != "total" && $1 > 500 {print $2 ": " $1 " lines"}')
[ -z "$long" ] || say "files of more than 500 lines:
$long"
wide=$(git ls-files | grep -E '\.(c|h|cu|cuh)$' | xargs -r awk 'length($0) > 100 {print FILENAME ":" FNR ": " length($0) " columns"}')
[ -z "$wide" ] || say "lines of more than 100 columns:
$wide"

exit $found

#!/usr/bin/env bash
# Trains on a few real structures with 1, 2 and 4 ranks: the same batches, on 4 ranks the same bytes at
# the end whether ranks were killed on the way or not, and a run goes on with another number of ranks.
# usage: ranks.sh FOLDMILL FOLDER
set -u
foldmill=$1 folder=$2
cat > "$folder/small.yaml" << 'GRAPH'
graph: small
seed: 1
stages:
  scan:
    with:
      structures:
        - /usr/share/doc/theseus/examples/cytochromes
        - /usr/share/doc/python-biopython-doc/Tests/PDB/1A8O.cif.gz
        - /usr/share/doc/python-biopython-doc/Tests/PDB/1LCD.cif.gz
        - /usr/share/doc/python-biopython-doc/Tests/PDB/2BEG.cif.gz
  parse: {in: scan}
  msa: {in: parse}
  store: {in: msa, with: {path: "{run}/features"}}
  crop: {in: store.train, with: {length: 24, clusters: 8, extra: 8}}
  batch: {in: crop, with: {size: 4}}
  train:
    in: batch
    with: {epochs: 1000, steps: 150, checkpoint_steps: 25, blocks: 1, c_m: 16, c_z: 16, epsilon: 1e-3}
GRAPH
# run NAME RANKS [OPTION...]
run() {
    local name=$1 ranks=$2
    shift 2
    "$foldmill" run "$folder/small.yaml" --run "$folder/$name" --set train.ranks="$ranks" --quiet "$@"
}
digests() { cut -f1-3 "$folder/$1/train.tsv"; }
newest() { ls "$folder/$1/checkpoints" | tail -n 1; }
fail() { echo "$1"; exit 1; }

run one 1 || fail "one rank"
run four 4 || fail "four ranks"
run again 4 || fail "four ranks, again"
run fire 4 &
engine=$!
shots=0
while kill -0 $engine 2> /dev/null; do
    sleep 0.7
    pid=$(awk -F'\t' '$1 ~ /^train[.]/ {last[$1] = $3} END {for (n in last) print last[n]}' \
        "$folder/fire/processes.tsv" 2> /dev/null | sort -R | head -n 1)
    [ -n "$pid" ] && [ $shots -lt 6 ] && kill -KILL "$pid" 2> /dev/null && shots=$((shots + 1))
done
wait $engine || fail "the run whose ranks were killed"
[ $shots -ge 1 ] || fail "no rank was killed"
"$foldmill" run "$folder/small.yaml" --run "$folder/many" --set train.ranks=4 --quiet &
engine=$!
until grep -q '^2[0-9]' "$folder/many/train.tsv" 2> /dev/null; do
    kill -0 $engine 2> /dev/null || break
    sleep 0.02
done
kill -TERM $engine 2> /dev/null
wait $engine || fail "a run that was told to stop"
"$foldmill" run "$folder/small.yaml" --resume "$folder/many" --set train.ranks=2 --quiet ||
    fail "the same run on two ranks"

[ "$(digests one | wc -l)" -eq 151 ] || fail "one rank logged $(digests one | wc -l) rows"
for name in four again fire many; do
    [ "$(digests one)" = "$(digests $name)" ] || fail "$name made other batches than one rank"
    "$foldmill" audit "$folder/$name" --replay 2 > "$folder/audit" || { cat "$folder/audit"; exit 1; }
done
for name in again fire; do
    cmp "$folder/four/checkpoints/$(newest four)" "$folder/$name/checkpoints/$(newest $name)" ||
        fail "$name ended with other weights than four ranks"
done
echo "the same batches with 1, 2 and 4 ranks, and the same weights on 4 after $shots kills"

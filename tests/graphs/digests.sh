#!/usr/bin/env bash
# Runs the demo's graph, cut short, on the real example structures: with one worker a stage, with four,
# and with one of the workers killed again and again. All must log the same batches, and the store must
# verify. usage: digests.sh FOLDMILL SOURCE FOLDER DEMO_HITS
set -u
foldmill=$1 source=$2 folder=$3 hits=$4
"$hits" "$folder/made" /usr/share/doc/theseus/examples/{ldh,trypsins} > "$folder/hits" || exit 1
short=(--set "scan.alignments=[$folder/made/hits]" --set "templates.structures=$folder/made/structures"
    --set train.steps=24 --set train.blocks=1 --set train.checkpoint_steps=12 --set evaluate.maps=1
    --set batch.size=4 --quiet)

digests() { cut -f1-3 "$folder/$1/train.tsv"; }

"$foldmill" run "$source/graphs/demo.yaml" --run "$folder/one" "${short[@]}" \
    --set parse.workers=1 --set msa.workers=1 --set templates.workers=1 || exit 1
"$foldmill" run "$source/graphs/demo.yaml" --run "$folder/four" "${short[@]}" \
    --set parse.workers=4 --set msa.workers=4 --set templates.workers=4 --set crop.workers=4 || exit 1

"$foldmill" run "$source/graphs/demo.yaml" --run "$folder/fire" "${short[@]}" \
    --set crop.workers=2 &
run=$!
shots=0
while kill -0 $run 2> /dev/null; do
    sleep 0.4
    # Rows: process, inc, pid, start. A worker is called STAGE.NUMBER; the newest of a name is alive.
    pid=$(awk -F'\t' '$1 ~ /^(parse|msa|templates|crop)[.]/ {last[$1] = $3} END {for (n in last) print last[n]}' \
        "$folder/fire/processes.tsv" 2> /dev/null | sort -R --random-source=<(yes) | head -n 1)
    [ -n "$pid" ] && kill -KILL "$pid" 2> /dev/null && shots=$((shots + 1))
done
wait $run || { echo "the run under fire failed"; exit 1; }
[ $shots -ge 3 ] || { echo "only $shots workers were killed"; exit 1; }

[ "$(digests one | wc -l)" -eq 25 ] || { echo "the first run logged $(digests one | wc -l) rows"; exit 1; }
[ "$(digests one)" = "$(digests four)" ] || { echo "four workers made other batches than one"; exit 1; }
[ "$(digests one)" = "$(digests fire)" ] || { echo "a run with $shots kills made other batches"; exit 1; }
for name in one four fire; do
    "$foldmill" store verify "$folder/$name/features" > "$folder/verify" || { cat "$folder/verify"; exit 1; }
    grep -q '^440 records are good, 0 refusals, 0 bad' "$folder/verify" || { cat "$folder/verify"; exit 1; }
done
"$foldmill" replay "$folder/fire" --step 17 > "$folder/replay" || { cat "$folder/replay"; exit 1; }
grep -q "$(digests one | awk '$1 == 17 {print $3}')" "$folder/replay" || { echo "replay differs"; exit 1; }
echo "the same batches with 1 and 4 workers and after $shots kills"

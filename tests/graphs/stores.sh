#!/usr/bin/env bash
# Fills stores from the real example structures while everything goes wrong: all processes killed at
# random moments, a store that may not grow, a store that another process is writing. What is stored
# verifies each time, and the next run goes on from there.
# usage: stores.sh FOLDMILL SOURCE FOLDER PID, where process PID is writing to FOLDER/held
set -u
foldmill=$1 source=$2 folder=$3 writer=$4

fill() { # fill NAME STORE [OPTION...]: a run of its own into FOLDER/STORE; its words go to NAME.out
    local name=$1 store=$2
    shift 2
    "$foldmill" run "$source/graphs/features.yaml" --run "$folder/$name" --quiet \
        --set store.path="$folder/$store" "$@" > "$folder/$name.out" 2>&1
}

fail() { # fail TEXT FILE
    echo "$1"
    cat "$2"
    exit 1
}

verify() { # verify STORE: prints how many records are good
    "$foldmill" store verify "$folder/$1" > "$folder/verify" 2>&1 || fail "$1 is damaged" "$folder/verify"
    sed -n 's/^\([0-9]*\) records are good.*/\1/p' "$folder/verify"
}

cut_short=0
for round in 1 2 3 4 5 6; do
    rm -rf "$folder/killed"
    fill "kill$round" killed --set parse.workers=1 --set msa.workers=1 &
    run=$!
    size=$((RANDOM % 20 * 1000000 + 100000)) # of some 26 MB
    while kill -0 $run 2> /dev/null; do
        [ "$(stat -c %s "$folder/killed/data.mdb" 2> /dev/null || echo 0)" -ge $size ] && break
        sleep 0.01
    done
    # Rows: process, inc, pid, start. `run` is the shell that waits; its child is the engine.
    pids=$(awk -F'\t' '$3 + 0 > 1 {print $3}' "$folder/kill$round/processes.tsv" 2> /dev/null)
    kill -KILL $(ps -o pid= --ppid $run) $pids 2> /dev/null
    wait $run 2> /dev/null
    [ -e "$folder/killed/data.mdb" ] || continue
    "$foldmill" store ls "$folder/killed" > /dev/null 2>&1 || continue # killed before its first commit
    count=$(verify killed) || exit 1
    [ "$count" -lt 424 ] && cut_short=$((cut_short + 1))
done
[ $cut_short -gt 0 ] || { echo "no fill was cut short"; exit 1; }
fill whole killed || fail "the run after the kills failed" "$folder/whole.out"
[ "$(verify killed)" = 424 ] || fail "not all was stored after the kills" "$folder/verify"
"$foldmill" store ls "$folder/killed" --tsv | cut -f1,7 > "$folder/made_killed"

fill limit small --set store.size_max=4MiB && fail "a store grew beyond its limit" "$folder/limit.out"
grep -q 'raise `size_max`' "$folder/limit.out" || fail "the limit is not told" "$folder/limit.out"
count=$(verify small) || exit 1
[ "$count" -gt 0 ] && [ "$count" -lt 424 ] || fail "a store of 4 MiB holds $count" "$folder/verify"
fill more small || fail "the run with room failed" "$folder/more.out"
[ "$(verify small)" = 424 ] || fail "not all was stored with room" "$folder/verify"
grep -q "$count of 424 are stored already" "$folder/more/log.txt" ||
    fail "$count records were made again" "$folder/more/log.txt"
"$foldmill" store ls "$folder/small" --tsv | cut -f1,7 > "$folder/made_small"
cmp "$folder/made_killed" "$folder/made_small" || exit 1

# A changed setting of msa: its records are made again, but no structure is read again.
fill redo small --set msa.rows_max=50 || fail "the run with fewer rows failed" "$folder/redo.out"
[ "$(verify small)" = 424 ] || fail "not all was stored with fewer rows" "$folder/verify"
grep -Eq 'not parse again: +424$' "$folder/redo/summary.txt" ||
    fail "structures were read again" "$folder/redo/summary.txt"
grep -q 'not msa again' "$folder/redo/summary.txt" && fail "msa was not run" "$folder/redo/summary.txt"
fill afresh afresh --set msa.rows_max=50 || fail "the run from nothing failed" "$folder/afresh.out"
for store in small afresh; do
    "$foldmill" store export "$folder/$store" --all "$folder/out_$store" > /dev/null || exit 1
done
diff -rq "$folder/out_small" "$folder/out_afresh" || exit 1
key=$("$foldmill" store ls "$folder/small" --tsv | sed -n '2s/\t.*//p')
"$foldmill" store explain "$folder/small" "$key" --run "$folder/redo" > "$folder/explain" ||
    fail "what has just been made is not explained" "$folder/explain"
"$foldmill" store explain "$folder/small" "$key" --graph "$source/graphs/features.yaml" > "$folder/explain" &&
    fail "a changed setting is not told" "$folder/explain"
grep -q '^  msa.rows_max was 50, is ' "$folder/explain" &&
    grep -q '^a run of this graph makes it again from msa on$' "$folder/explain" ||
    fail "a changed setting is not explained" "$folder/explain"
fill again small --set msa.rows_max=50 || fail "the run with nothing to do failed" "$folder/again.out"
grep -q '424 of 424 are stored already' "$folder/again/log.txt" ||
    fail "records were made again" "$folder/again/log.txt"

fill second held && fail "a store has two writers" "$folder/second.out"
grep -q "process $writer on host .* is writing to it" "$folder/second.out" ||
    fail "the writer is not named" "$folder/second.out"
echo "$cut_short fills were cut short"

#!/bin/sh
# The scorer as a device has it: a fresh venv with serving/ and its base dependencies alone, by hash, and no network
# while it scores. Its answers must be, byte for byte, those of the project's own environment.
#
#   .ci/edge_only.sh BUNDLE_DIR
set -eu

[ $# -eq 1 ] || { echo "usage: .ci/edge_only.sh BUNDLE_DIR" >&2; exit 2; }
[ -d "$1" ] || { echo "$1: no such folder; expected a bundle" >&2; exit 2; }
bundle=$(cd "$1" && pwd)
cd "$(dirname "$0")/.."
python=$PWD/.venv/bin/python
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

echo "edge-only: installing serving/ alone"
"$python" -m pip wheel --quiet --disable-pip-version-check --no-deps --no-build-isolation --wheel-dir "$work" ./serving
"$python" -m venv "$work/venv"
edge=$work/venv/bin
"$edge/python" -m pip install --quiet --disable-pip-version-check --require-hashes -r serving/requirements.lock
"$edge/python" -m pip install --quiet --disable-pip-version-check --no-deps --no-index "$work"/threat_scorer-*.whl
"$edge/python" -m pip check --disable-pip-version-check

if unshare -rn true 2>/dev/null; then
    offline="unshare -rn"
else
    offline=""
    echo "edge-only: WARNING: unshare -rn is not permitted here: the network was NOT taken away" >&2
fi

# nothing of our environment but a home of its own, to see what is left there
mkdir "$work/home"
on_device() { (cd "$work/home" && exec $offline env -i HOME="$work/home" "$@"); }

on_device "$edge/threat-scorer" info --bundle "$bundle"
"$python" - "$bundle" "$work" <<'PYTHON'
"""Write 500 records for each model: values in range, optional inputs missing now and then."""
import json, random, sys
from pathlib import Path
from threat_scorer import Scorer

bundle, work = sys.argv[1:]
for name, contract in Scorer.load(bundle).contracts.items():
    draw = random.Random(7)
    with Path(work, f"{name}.jsonl").open("w") as file:
        for number in range(500):
            record = {i.name: draw.uniform(i.low, i.high) for i in contract.inputs if i.required or draw.random() < 0.7}
            print(json.dumps({"id": f"r{number}", **record}), file=file)
PYTHON

for records in "$work"/*.jsonl; do
    model=$(basename "$records" .jsonl)
    on_device "$edge/threat-scorer" score --bundle "$bundle" --model "$model" < "$records" > "$work/edge.out"
    "$python" -m threat_scorer.cli score --bundle "$bundle" --model "$model" < "$records" > "$work/main.out" 2>/dev/null
    cmp "$work/edge.out" "$work/main.out"
    echo "edge-only: $model: $(wc -l < "$work/edge.out") scores, the same as in the project's environment"
done

left=$(find "$work/home" -type f)
[ -z "$left" ] || { echo "edge-only: scoring left files in the home folder: $left" >&2; exit 1; }
echo "edge-only: passed${offline:+, without a network}"

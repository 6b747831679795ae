#!/usr/bin/env bash
# Figures of recurrent interface networks on one GPU, in at most nine minutes.
#
#     benchmarks/rin/gpu.sh OUT [CIFAR.zip]
#
# Writes OUT/training.json (steps a second, share of peak, memory), OUT/sampling.json (captured graph
# against eager) and, given CIFAR-10 as a zip with a folder for each class, six minutes of training
# with a grid of samples in OUT/cifar10. TINY=1 runs all of it with tiny sizes, on a CPU too.
set -euo pipefail
cd "$(dirname "$0")/../.."
out=${1:?give a folder for the results}
data=${2:-}
python=${PYTHON:-python}
tiny=()
[ -z "${TINY:-}" ] || tiny=(--tiny)
mkdir -p "$out"
export PYTHONPATH="src:.${PYTHONPATH:+:$PYTHONPATH}"
timeout 100 "$python" -m benchmarks.rin.gpu training --json "$out/training.json" "${tiny[@]}" || true
timeout 45 "$python" -m benchmarks.rin.gpu sampling --json "$out/sampling.json" "${tiny[@]}" || true
if [ -n "$data" ]; then
    timeout -s TERM 375 "$python" -m benchmarks.rin.gpu cifar10 --data "$data" --out "$out" "${tiny[@]}"
fi

#!/bin/bash
# The dense walk at full width on one GPU, in at most nine minutes.
#   bash benchmarks/crw/gpu.sh pack VIDEOS...   packs frames.npz (under 60 MiB), where the videos are
#   bash benchmarks/crw/gpu.sh train OUT        trains, where the GPU is; goes on if it was stopped
set -eu
cd "$(dirname "$0")/../.."
export PYTHONPATH="$PWD/src:$PWD${PYTHONPATH:+:$PYTHONPATH}"
python=${PYTHON:-python3}
command=$1
shift
case $command in
pack) exec "$python" -m benchmarks.crw.gpu pack "$@" ;;
train)
    # SIGTERM makes the run save itself; the same command takes it up again.
    exec timeout --signal=TERM 520 "$python" -m benchmarks.crw.gpu train "$@" \
        --set fit.num_workers=8 fit.save_every=500 fit.steps=4000 fit.progress=false
    ;;
*)
    echo "usage: gpu.sh pack VIDEOS... | train OUT" >&2
    exit 2
    ;;
esac

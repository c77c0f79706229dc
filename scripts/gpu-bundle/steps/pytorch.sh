#!/usr/bin/env bash
# The products of bench_cuda beside PyTorch's on the same card. PyTorch sees its own libraries, not the bundle's.
python=$(command -v python3) || { echo "no python3 here"; exit 77; }
export BUNDLE_LIBRARY_PATH=$LD_LIBRARY_PATH LD_LIBRARY_PATH=${MACHINE_LIBRARY_PATH-}
"$python" -c 'import torch' 2>/dev/null || { echo "no PyTorch here"; exit 77; }
exec "$python" "$BUNDLE/steps/pytorch.py"

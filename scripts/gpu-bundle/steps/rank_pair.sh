#!/usr/bin/env bash
# Two ranks by hand, with nothing but the bundle: Open MPI starts, ranks meet, evidence is written and can be read.
set -euo pipefail
mpirun --oversubscribe --bind-to none -np 2 lockstep-rank --plan "$BUNDLE/plans/smoke.toml" --set site.A.slots=1 \
  --set site.B.slots=1 --out .
lockstep show ./*/run.h5

#!/bin/sh
set -eu
checkpoint=${1:?checkpoint}
exec vllm serve "$checkpoint" --tensor-parallel-size 2 --dtype bfloat16 --max-model-len 4096 --max-num-seqs 16 --max-num-batched-tokens 8192 --kv-cache-dtype fp8

#!/bin/sh
set -eu
exec vllm serve "${1:?folder of the checkpoint}" --tensor-parallel-size 2 --data-parallel-size 1 --pipeline-parallel-size 1 --dtype bfloat16 --max-model-len 4096 --max-num-seqs 16 --kv-cache-dtype fp8

#!/bin/sh
set -eu
exec python -m sglang.launch_server --model-path "${1:?folder of the checkpoint}" --tp-size 2 --pp-size 1 --dtype bfloat16 --context-length 4096 --max-running-requests 16 --kv-cache-dtype fp8_e4m3

#!/bin/sh
set -eu
checkpoint=${1:?checkpoint}
exec python -m sglang.launch_server --model-path "$checkpoint" --tp-size 2 --dtype bfloat16 --context-length 4096 --max-running-requests 16 --chunked-prefill-size 8192 --mem-fraction-static 0.814 --kv-cache-dtype fp8_e4m3

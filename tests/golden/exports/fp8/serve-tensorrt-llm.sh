#!/bin/sh
set -eu
checkpoint=${1:?checkpoint}
exec trtllm-serve "$checkpoint" --tp_size 2 --max_seq_len 4096 --max_batch_size 16 --max_num_tokens 8192 --extra_llm_api_options "$(dirname -- "$0")/trtllm_options.yaml"

#!/bin/sh
set -eu
exec trtllm-serve "${1:?folder of the checkpoint}" --tp_size 2 --pp_size 1 --max_seq_len 4096 --max_batch_size 16 --extra_llm_api_options "$(dirname -- "$0")/trtllm_options.yaml"

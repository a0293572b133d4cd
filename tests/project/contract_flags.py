"""Commands' flags and functions' keywords as they are published, copied here in full.

Literal, not derived from the code: scripts of users contain them. Held by test_published_flags.
"""


def words(text: str) -> list[str]:
    """The words of a list that is written over several lines."""
    return text.split()


def as_flags(defaults: dict[str, object]) -> set[str]:
    """The flags of keywords."""
    return {"--" + name.replace("_", "-") for name in defaults}


WORKLOAD_FLAGS = words("""
--workload --prefix-hit --prefix-hit-rate --slots
""")
QUESTION_FLAGS = (
    *WORKLOAD_FLAGS,
    *words("""
--devices --tp --dp --pp --ep --context --isl --osl --batch --concurrency --objective --ttft-ms
--tpot-ms --e2e-ms
--memory-bytes --kv --engine --scenario --hardware-dir --no-learned
"""),
)
SURFACE_FLAGS = words("""
--json --report --quiet --timings
""")
TRUST_FLAGS = {"--trust-remote-code"}
FOLDER_FLAGS = {"--out", "--force"}
"""Where the files of an answer go."""
PAGE_FLAGS = {"--interactive", "--grid", "--resume"}
DEPLOYMENT_DEFAULTS: dict[str, object] = {
    "host": None,
    "host_sockets": None,
    "host_memory_bytes": None,
    "reuse": None,
    "kv_offload": "none",
    "kv_offload_bytes": None,
    "speculation": None,
    "draft_tokens": None,
    "acceptance": None,
}
"""What plans and estimates are asked about a whole deployment, with the default of each."""
POOL_DEFAULTS: dict[str, object] = {
    "mode": "auto",
    "prefill_device": None,
    "transfer_bytes_per_s": None,
}
"""What plans alone are asked about one."""
POOL_FLAGS = as_flags(POOL_DEFAULTS)
DEPLOYMENT_FLAGS = as_flags(DEPLOYMENT_DEFAULTS)
PLAN_FLAGS = {
    *TRUST_FLAGS,
    *QUESTION_FLAGS,
    *SURFACE_FLAGS,
    *PAGE_FLAGS,
    *DEPLOYMENT_FLAGS,
    *POOL_FLAGS,
    *FOLDER_FLAGS,
    "--max-loss",
    "--file-bytes",
    "--schemes",
    "--profile",
    "--imatrix",
    "--untie",
    "--drop-policies",
    "--anchor",
    "--exact",
    "--price",
    "--rate",
    *words("--min-gain --new-weights --allow-unmeasured"),
}
ESTIMATE_FLAGS = {
    *QUESTION_FLAGS,
    *SURFACE_FLAGS,
    *DEPLOYMENT_FLAGS,
    "--imatrix",
    *words("--scheme --plan --profile --anchor --price"),
    *words("--chunk-tokens --requests --same-lengths"),
}
OTHER_FLAGS = {
    "--template",
    *words("--expand --rate --percentile --router --max-devices"),
    "--simulate",
}
FIT_FLAGS = {"--use", "--engine", "--top", "--json"}
TRAIN_FLAGS = {
    "--json",
    "--quiet",
    *words("""
--devices --tp --pp --dp --ep --cp --etp --virtual-stages --recipe --mode --lora-rank
--first-stage-layers --last-stage-layers
--lora-targets --fp32-gradients --zero --sequence-parallel --recompute --seq --micro-batch
--global-batch --attention --dropout --loss-scale --memory-bytes --hardware-dir
"""),
}
NUMERICS_FLAGS = set(
    words("""
--module --schemes --rules --recipes --units --tokens --outputs --seed --svg --list-units --json
""")
)
EXPERTS_FLAGS = {
    "--json",
    "--quiet",
    *words("""
--batch --skew --popularity --requests --correlation --ep --redundant --memory-bytes --host-bytes
--link --host-cpu --sockets --context --hardware-dir
"""),
}
MEMORY_FLAGS = {
    "--json",
    "--quiet",
    "--workload",
    "--slots",
    *words("""
--devices --tp --dp --pp --ep --context --isl --osl --batch --scheme --plan --kv --engine
--checkpoint
--memory-bytes --with-mtp --with-vision --hardware-dir --gpu-memory-utilization
--mem-fraction-static --kv-cache-free-gpu-mem-fraction --max-model-len --max-num-batched-tokens
--max-num-seqs --block-size --kv-cache-dtype --kv-cache-memory-bytes --max-total-tokens --ctx-size
--context-length --chunked-prefill-size --max-running-requests --page-size
--max-seq-len --max-num-tokens --max-batch-size --tokens-per-block
--ubatch-size --parallel --cache-type-k --cache-type-v --mla --swa-full --moe-backend --lora
--draft
"""),
}
VALIDATE_FLAGS = {"--data", "--only", "--rows", "--plot", "--json", "--quiet"}
CALIBRATE_FLAGS = set(
    words("""
--output --device --only --few --model --source --date --force --hardware-dir --json --quiet
""")
)
MEASURE_FLAGS = set(words("--output --quick --only --engine-dir --force --json --quiet"))
LEARN_FLAGS = set(
    words("""
--model --device --engine --scheme --kv --tp --isl --osl --concurrency --no-keep --list --forget
--hardware-dir --json --quiet
""")
)
EXPLAIN_FLAGS = (
    PLAN_FLAGS
    - DEPLOYMENT_FLAGS
    - PAGE_FLAGS
    - FOLDER_FLAGS
    - TRUST_FLAGS
    - {"--report", "--anchor", "--assumptions", "--rate"}
) | {"--module", "--scheme", "--plan", "--solves"}
SERVE_FLAGS = {
    "--json",
    "--quiet",
    "--timings",
    *WORKLOAD_FLAGS,
    *words("""
--concurrency --scheme --plan --devices --tp --dp --pp --ep --context --isl --osl --memory-bytes
--kv --engine --requests --draft-tokens --acceptance --draft-layers --chunk-tokens
--stream-interval --scheduler --host-us --host-us-per-sequence --graphs --overlap
--prefill-workers --decode-workers --transfer-bytes-per-s --cache-tokens --anchor --hardware-dir
--no-learned
"""),
}
REPLAY_FLAGS = {
    "--json",
    "--quiet",
    "--timings",
    *WORKLOAD_FLAGS,
    *words("""
--rate --trace --stages --scheme --plan --arrivals --count --seed --lengths --router --slots-max
--chunk-tokens --ttft-ms --tpot-ms --e2e-ms --devices --tp --dp --pp --ep --context --isl --osl
--memory-bytes --kv --engine --hardware-dir --no-learned --csv --report
--prefill-workers --decode-workers --transfer-bytes-per-s
"""),
}
EXPORT_FLAGS = set(
    words("""--to --model --device --engine --expand --deploy --force --hardware-dir
--trust-remote-code --quiet""")
)
IMPORT_FLAGS = set(WORKLOAD_FLAGS) | set(
    words("""
--device --devices --tp --dp --pp --ep --context --isl --osl --batch --concurrency --kv --engine
--force
--hardware-dir --quiet
""")
)
FRONTIER_FLAGS = {
    "--json",
    "--quiet",
    "--timings",
    "--svg",
    *WORKLOAD_FLAGS,
    *words("""
--points --map --devices --tp --dp --pp --ep --context --isl --osl --batch --concurrency --ttft-ms
--tpot-ms --e2e-ms
--memory-bytes --schemes --kv --engine --profile --untie --drop-policies --hardware-dir
--no-learned
"""),
}
DIFF_FLAGS = {"--json", "--quiet", "--fail-if"}
CLAIMS_FLAGS = {"--json", "--only", "--markdown"}
FORMATS_FLAGS = {"--json", "--device", "--hardware-dir"}
PROFILE_FLAGS = {
    "--json",
    "--quiet",
    "--timings",
    *words("""
--tier --output --schemes --workers --cluster --seed --inputs --routing --scores --tokens --text
--probe --quick --static-scales --smoothquant --imatrix
"""),
}
SWEEP_FLAGS = {
    "--json",
    "--quiet",
    "--timings",
    "--report",
    *words("""
--output --workers --cluster --resume --force --price --hardware-dir --no-learned
"""),
}
COMPARE_FLAGS = set(QUESTION_FLAGS) | set(
    words("""
--max-loss --schemes --price --json --csv --report --all --quiet --timings
""")
)
FLEET_FLAGS = set(
    words("--hardware-dir --no-learned --csv --report --workers --json --quiet --timings")
)
VERIFY_FLAGS = set(
    words("""--engine --output --engine-dir --python --also --text --model --device
--prompt-tokens --output-tokens --threads --repeats --chunks --kl-context --step-seconds
--learn-from --profile --imatrix --hardware-dir --json --quiet --base --depths --quick""")
)
ENGINE_FLAGS = set(words("--engine-dir --json"))
MAKE_FLAGS = set(
    words("""--output --engine-dir --python --imatrix --model --max-loss --file-bytes --dry-run
--force --json --quiet""")
)
SENSITIVITY_FLAGS = set(words("--names --exclude --plot --json"))
REPORT_FLAGS = {*PAGE_FLAGS, "--hardware-dir", "--quiet"}

RULE = ("exact", "min_gain", "new_weights", "allow_unmeasured")
"""Keywords of what a plan must bring, which a priced one needs not."""
PLAN_DEFAULTS = {
    "devices": None,
    "tp": None,
    "dp": None,
    "pp": None,
    "ep": None,
    "context": None,
    "isl": None,
    "osl": None,
    "batch": None,
    "concurrency": None,
    "workload": None,
    "prefix_hit_rate": None,
    "slots": None,
    "objective": "throughput",
    "price": None,
    "ttft_seconds": None,
    "tpot_seconds": None,
    "e2e_seconds": None,
    "max_loss": None,
    "schemes": None,
    "kv": "auto",
    "memory_bytes": None,
    "file_bytes": None,
    "engine": "auto",
    "scenario": None,
    "profile": None,
    "imatrix": None,
    "untie": False,
    "drop_policies": None,
    "exact": False,
    "min_gain": None,
    "new_weights": None,
    "allow_unmeasured": False,
    "anchor": None,
    "hardware_dir": None,
    "no_learned": False,
    "rate": None,
    **DEPLOYMENT_DEFAULTS,
    **POOL_DEFAULTS,
}
ESTIMATE_DEFAULTS = {
    **{
        k: v
        for k, v in PLAN_DEFAULTS.items()
        if k
        not in (
            "max_loss",
            "file_bytes",
            "schemes",
            "untie",
            "drop_policies",
            "rate",
            *RULE,
            *POOL_DEFAULTS,
        )
    },
    "chunk_tokens": None,
    "requests": None,
    "same_lengths": False,
    "scheme": None,
    "plan": None,
    "kv": "bf16",
}

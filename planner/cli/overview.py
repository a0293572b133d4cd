"""What ``plan`` and ``plan --help`` say: commands by task, an example each, three to start with."""

from __future__ import annotations

SECTIONS: tuple[tuple[str, dict[str, str]], ...] = (
    (
        "Decide",
        {
            "plan": "what to serve MODEL with on DEVICE (the default command)",
            "fit": "models and published files that suit this machine, or DEVICE",
            "estimate": "memory, speed and loss of one scheme or plan file",
            "compare": "formats, devices and models side by side",
            "capacity": "devices for a request rate within percentile limits",
            "replay": "requests as they come through a deployment's scheduler",
            "fleet": "several models on the devices that you have",
            "frontier": "Pareto-optimal plans in loss, throughput and memory",
            "sweep": "many questions at once, as a table",
            "diff": "compare two plan files; gates for continuous integration",
        },
    ),
    (
        "Look inside",
        {
            "explain": "why a plan is what it is, and what would change it",
            "serve": "TPOT, TTFT and throughput at a concurrency",
            "memory": "does it fit: bytes by part, also as an engine counts them",
            "inventory": "parameters and bytes of a model, tensor by tensor",
        },
    ),
    (
        "Measure",
        {
            "profile": "quality loss of every format in each layer of a checkpoint",
            "engine": "engines on this machine, and what installs them",
            "measure": "time this machine's kernels, for the device `host`",
            "verify": "run a plan with a real engine, predicted beside measured",
            "learn": "results of your benchmarks, for later predictions",
        },
    ),
    (
        "Hand over",
        {
            "export": "a plan as an engine's configuration, or as manifests",
            "import": "an engine's configuration as a plan",
            "make": "a plan's GGUF file, by llama.cpp's programs",
            "report": "a page or Markdown from a plan file",
        },
    ),
    (
        "More",
        {
            "list": "models, devices, formats, engines, workloads, scenarios",
            "lab": "validate, calibrate, sensitivity, numerics, experts, train, …",
            "help": "a command with all its options",
            "completion": "shell completion for bash, zsh or fish",
        },
    ),
)

FIRST = (
    (
        "plan deepseek-v3 h100-sxm --context 131072",
        "what to serve, on how many devices, how fast, at what quality",
    ),
    (
        "plan estimate llama-3.1-8b l40s --scheme fp8-tensor",
        "memory, speed and loss of one scheme",
    ),
    ("plan llama-3.1-8b jetson-agx-orin-64gb --report plan.html", "a page to share"),
)
"""Three examples for somebody who typed ``plan`` alone, with what each answers."""

EXAMPLES: dict[str, tuple[str, ...]] = {
    "plan": (
        "plan deepseek-v3 h100-sxm --context 131072",
        "plan qwen3-235b-a22b b200-sxm --tpot-ms 20 --engine vllm",
        "plan llama-3.1-70b h100-sxm --out deployment",
        "plan deepseek-v3 rtx-4090 --host epyc-9575f",
        "plan deepseek-v3 h200-sxm --devices 32 --mode disaggregated",
        "plan ./my-model/config.json ./my-device.toml --json",
    ),
    "estimate": (
        "plan estimate llama-3.1-70b h100-sxm --scheme int8-w8a8 --devices 4",
        "plan estimate --plan plan.json",
    ),
    "fit": ("plan fit", "plan fit rtx-4090 --use coding"),
    "compare": (
        "plan compare deepseek-v3 h100-sxm,h200-sxm,b200-sxm",
        "plan compare llama-3.1-8b,qwen3-8b l40s --price 1.9 --csv table.csv",
    ),
    "capacity": (
        "plan capacity llama-3.1-70b h100-sxm --rate 20/s --ttft-ms 1000 --tpot-ms 50 "
        "--workload chat",
        "plan capacity qwen3-8b l40s --rate 300/min --ttft-ms 800 --tpot-ms 40 "
        "--percentile 99 --price 1.2",
    ),
    "replay": (
        "plan replay llama-3.1-8b h100-sxm --engine vllm --rate 5/s --lengths sharegpt "
        "--ttft-ms 1000 --tpot-ms 50",
        "plan replay --plan plan.json --trace conversation_trace.jsonl --report replay.html",
    ),
    "fleet": ("plan fleet scenarios/fleets/five-models.toml --report fleet.html",),
    "frontier": ("plan frontier qwen2.5-0.5b l40s --devices 1 --points 12 --map",),
    "sweep": (
        "plan sweep questions.toml -o answers.csv --workers 2",
        "plan sweep scenarios/sweeps/twenty-models.toml -o costs.csv --report costs.html",
    ),
    "diff": ("plan diff before.json after.json --fail-if 'tpot>+5%'",),
    "explain": (
        "plan explain deepseek-v3 h100-sxm --devices 16 --tpot-ms 60",
        "plan explain llama-3.1-8b h100-sxm --module mlp-down --scheme fp8-tensor",
    ),
    "serve": ("plan serve llama-3.1-70b h100-sxm --tp 4 --devices 4 --concurrency 64",),
    "memory": (
        "plan memory deepseek-v3 h200-sxm --tp 8 --context 32768",
        "plan memory llama-3.1-8b l40s --engine vllm --max-num-seqs 64",
    ),
    "experts": (
        "plan lab experts deepseek-v3 --batch 32",
        "plan lab experts qwen3-30b-a3b l40s --batch 8 --skew 1",
    ),
    "sensitivity": (
        "plan lab sensitivity deepseek-v3",
        "plan lab sensitivity llama-3.1-8b --names gguf --json",
    ),
    "numerics": (
        "plan lab numerics llama-3.1-8b --module attention-out --schemes fp8-tensor,int8-w8a8",
    ),
    "train": ("plan lab train llama-3.1-8b h100-sxm --devices 8 --zero 3 --seq 4096",),
    "profile": (
        "plan profile ./checkpoint -o mine.profile.json",
        "plan profile ./checkpoint --quick",
        "plan profile ./checkpoint --tier T2 --text prose.txt",
    ),
    "measure": (
        "plan measure --quick -o measured",
        "plan measure --only bandwidth,gemm --engine-dir llama.cpp/build",
    ),
    "engine": ("plan engine", "plan engine llama.cpp", "plan engine vllm --json"),
    "make": (
        "plan make plan.json base.gguf -o mine.gguf --engine-dir llama.cpp/build",
        "plan make plan.json ./checkpoint -o mine.gguf --dry-run",
        "plan make base.gguf rtx-4090 -o mine.gguf --imatrix imatrix.gguf",
    ),
    "verify": (
        "plan verify plan.json base.gguf --engine llama.cpp --engine-dir llama.cpp/build",
        "plan verify Qwen3-8B-Q4_K_M.gguf --depths 4096,16384 --quick",
        "plan verify plan.json ./model --engine vllm --python ./vllm/bin/python",
    ),
    "learn": (
        "plan learn result.json --device h100-sxm --engine vllm@0.19",
        "plan learn bench.json --model llama-3.1-8b --device host --scheme q4_k_m",
        "plan learn --list",
    ),
    "calibrate": ("plan lab calibrate measured/ --device h100-sxm -o h100-mine.toml",),
    "validate": ("plan lab validate --only op_gemm", "plan lab validate --data measured/ --json"),
    "claims": ("plan lab claims --only 3,13b,23",),
    "report": ("plan report plan.json -o plan.html --lang zh",),
    "export": ("plan export plan.json out", "plan export plan.json out --deploy kubernetes"),
    "import": (
        "plan import out/quantization_config.json llama-3.1-8b --device h100-sxm -o back.json",
    ),
    "schema": ("plan lab schema",),
    "models": ("plan list models",),
    "devices": ("plan list devices", "plan list devices xeon-6980p"),
    "formats": ("plan list formats", "plan list formats --device h100-sxm"),
    "scenarios": ("plan list scenarios", "plan --scenario orin-int8"),
    "inventory": ("plan inventory deepseek-v3", "plan inventory deepseek-v3 --json --expand"),
    "completion": ('eval "$(plan completion bash)"',),
}


def first_steps() -> str:
    """What ``plan`` alone prints; ends with a newline."""
    lines = ["What should you deploy: formats, engine and layout for a model on your devices?", ""]
    for command, answer in FIRST:
        lines += [f"  {command}", f"      {answer}"]
    return (
        "\n".join(
            [
                *lines,
                "",
                "`plan --help` lists the commands, `plan list` the models, devices and formats.",
            ]
        )
        + "\n"
    )


def epilog(command: str) -> str | None:
    """The examples of a command, kept as they are; None where there is none."""
    examples = EXAMPLES.get(command)
    if examples is None:
        return None
    title = "Example" if len(examples) == 1 else "Examples"
    return "\b\n" + "\n".join([f"{title}:", *(f"  {line}" for line in examples)])

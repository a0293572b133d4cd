"""Programs that answer as llama.cpp's do, from recorded output: shell scripts in a folder.

``quantised`` is the file that its quantiser "makes", whatever it is asked for. Each call is a line
of ``calls`` in the folder.
"""

from pathlib import Path

RECORDED = Path(__file__).resolve().parents[1] / "lab" / "verifying" / "recorded"
VERSION = "version: 0.5.0-dev (build 1, commit 0c1e570)"

QUANTIZE = """
case "$*" in *--help*) cat "{recorded}/types.txt"; exit 1;; esac
for word; do last=$previous; previous=$word; case "$word" in *.gguf) out=$word;; esac; done
cp "{quantised}" "$out"
"""
BENCH = """
case "$*" in *--version*) echo "{version}" >&2; exit 0;; esac
p=0; n=0; d=0
while [ $# -gt 0 ]; do
  case "$1" in -p) p=$2;; -n) n=$2;; -d) d=$2;; esac
  shift
done
cat "{recorded}/load.txt" >&2
echo '[{{"n_prompt": '$p', "n_gen": '$n', "n_depth": '$d', "n_threads": 1,'
echo '  "cpu_info": "AMD EPYC", "samples_ns": [640000000, 655000000, 648000000]}}]'
"""
PERPLEXITY = """
while [ $# -gt 0 ]; do
  case "$1" in --kl-divergence-base) base=$2;; --kl-divergence) compare=1;; esac
  shift
done
if [ -z "${{compare:-}}" ]; then echo answers > "$base"; exit 0; fi
[ -f "$base" ] || exit 3
cat "{recorded}/loss.txt"
"""
SCRIPTS = {"llama-quantize": QUANTIZE, "llama-bench": BENCH, "llama-perplexity": PERPLEXITY}


def fake_llama(folder: Path, quantised: Path, **instead: str) -> Path:
    """The folder of the programs; ``instead`` replaces a program's script (``bench="exit 1"``)."""
    folder.mkdir(exist_ok=True)
    for name, script in SCRIPTS.items():
        body = instead.get(name.removeprefix("llama-"))
        if body is None:
            body = script.format(recorded=RECORDED, quantised=quantised, version=VERSION)
        path = folder / name
        head = f'#!/bin/sh\nset -u\nprevious=\necho "{name} $*" >> "{folder}/calls"\n'
        path.write_text(f"{head}{body}\n", encoding="utf-8")
        path.chmod(0o755)
    return folder


def calls(folder: Path, program: str) -> int:
    """How often a program was started, its version and help apart."""
    lines = (folder / "calls").read_text(encoding="utf-8").splitlines()
    return sum(
        line.startswith(program) and "--version" not in line and "--help" not in line
        for line in lines
    )

"""File trees of made-up machines, as /proc and /sys show them."""

from __future__ import annotations

from pathlib import Path

EPYC_FLAGS = "fpu sse2 fma avx avx2 avx512f avx512_bf16 avx512_vnni hypervisor"
LAPTOP_FLAGS = "fpu sse2 fma avx avx2 f16c"
GRAVITON_FLAGS = "fp asimd asimddp asimdhp sve bf16 i8mm"


def write(root: Path, name: str, text: str) -> None:
    """A file below ``root``."""
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def cpu(
    root: Path,
    number: int,
    *,
    siblings: str,
    caches: dict[int, tuple[str, str]],
    package: str = "0",
) -> None:
    """/sys of one hardware thread; ``caches``: level → (size, CPUs that share it)."""
    base = f"sys/devices/system/cpu/cpu{number}"
    write(root, f"{base}/topology/thread_siblings_list", siblings + "\n")
    write(root, f"{base}/topology/physical_package_id", package + "\n")
    for place, (level, (size, shared)) in enumerate(caches.items()):
        write(root, f"{base}/cache/index{place}/level", f"{level}\n")
        write(root, f"{base}/cache/index{place}/size", f"{size}\n")
        write(root, f"{base}/cache/index{place}/type", "Unified\n")
        write(root, f"{base}/cache/index{place}/shared_cpu_list", f"{shared}\n")


def memory(root: Path, total_kib: int, available_kib: int) -> None:
    """/proc/meminfo."""
    write(
        root,
        "proc/meminfo",
        f"MemTotal:       {total_kib} kB\nMemFree:  1 kB\nMemAvailable:   {available_kib} kB\n",
    )


def epyc(root: Path) -> Path:
    """Two cores of a Zen 4 server in a virtual machine that states its base clock."""
    write(
        root,
        "proc/cpuinfo",
        "".join(
            f"processor\t: {n}\nvendor_id\t: AuthenticAMD\ncpu family\t: 25\nmodel\t\t: 17\n"
            f"model name\t: AMD EPYC\ncpu MHz\t\t: 2596.140\nflags\t\t: {EPYC_FLAGS}\n\n"
            for n in range(2)
        ),
    )
    for n in range(2):
        cpu(root, n, siblings=str(n), caches={2: ("1024K", str(n)), 3: ("32768K", "0-1")})
    write(root, "sys/devices/system/node/node0/cpulist", "0-1\n")
    memory(root, 24684096, 23519060)
    return root


def laptop(root: Path) -> Path:
    """Four cores with two threads each, AVX2 alone, a clock from cpufreq."""
    write(
        root,
        "proc/cpuinfo",
        "".join(
            f"processor : {n}\nvendor_id : GenuineIntel\ncpu family : 6\nmodel : 142\n"
            f"model name : Intel(R) Core(TM) i7-8565U CPU @ 1.80GHz\nflags : {LAPTOP_FLAGS}\n\n"
            for n in range(8)
        ),
    )
    for n in range(8):
        cpu(root, n, siblings=f"{n % 4},{n % 4 + 4}", caches={3: ("8192K", "0-7")})
    write(root, "sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq", "4600000\n")
    write(root, "sys/devices/system/cpu/cpu0/cpufreq/base_frequency", "1800000\n")
    memory(root, 16 << 20, 8 << 20)
    return root


def graviton(root: Path) -> Path:
    """Four Neoverse V2 cores that state no clock."""
    write(
        root,
        "proc/cpuinfo",
        "".join(
            f"processor\t: {n}\nBogoMIPS\t: 2000.00\nFeatures\t: {GRAVITON_FLAGS}\n"
            "CPU implementer\t: 0x41\nCPU part\t: 0xd4f\n\n"
            for n in range(4)
        ),
    )
    for n in range(4):
        cpu(root, n, siblings=str(n), caches={3: ("36864K", "0-3")})
    memory(root, 16 << 20, 15 << 20)
    return root

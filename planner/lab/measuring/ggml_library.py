"""ggml's own kernels by ctypes: products and attention of an installed llama.cpp's libraries.

Graphs are computed as llama.cpp computes them: weights in the buffer type that its loader takes
(repacked where the CPU has kernels for it), activations in FP32, one thread pool. Only the public
C interface is used (ggml.h, ggml-backend.h, ggml-cpu.h), so that versions may differ.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping
from ctypes import c_bool, c_char_p, c_float, c_int, c_int64, c_size_t, c_void_p
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from planner.base.errors import DataError, InputError
from planner.lab.measuring.request import PartRequest

Array = NDArray[np.float32]
F32, F16 = "f32", "f16"
_TYPES = """
f32 f16 q4_0 q4_1 - - q5_0 q5_1 q8_0 q8_1 q2_k q3_k q4_k q5_k q6_k q8_k iq2_xxs iq2_xs
iq3_xxs iq1_s iq4_nl iq3_s iq2_s iq4_xs i8 i16 i32 i64 f64 iq1_m bf16 - - - tq1_0 tq2_0 - -
- mxfp4 nvfp4 q1_0 q2_0
"""
TYPES = tuple(_TYPES.split())
"""The types of ggml by number (enum ggml_type of ggml.h): numbers stay, ``-`` was removed."""
_POOL_BYTES = 8192
"""More than ggml_threadpool_params takes in any version (512 flags and five numbers)."""
_SPLIT = 8
"""Rows that are quantised for a matrix; the others repeat them, as times do not depend on values.
"""
PROBE_TOKENS = 512
"""Tokens for which llama.cpp's loader asks whether a buffer type multiplies a weight."""

_SIGNATURES: Mapping[str, tuple[Any, tuple[Any, ...]]] = {
    "ggml_type_name": (c_void_p, (c_int,)),
    "ggml_blck_size": (c_int64, (c_int,)),
    "ggml_row_size": (c_size_t, (c_int, c_int64)),
    "ggml_version": (c_char_p, ()),
    "ggml_commit": (c_char_p, ()),
    "ggml_tensor_overhead": (c_size_t, ()),
    "ggml_graph_overhead_custom": (c_size_t, (c_size_t, c_bool)),
    "ggml_free": (None, (c_void_p,)),
    "ggml_new_tensor_2d": (c_void_p, (c_void_p, c_int, c_int64, c_int64)),
    "ggml_new_tensor_3d": (c_void_p, (c_void_p, c_int, c_int64, c_int64, c_int64)),
    "ggml_new_tensor_4d": (c_void_p, (c_void_p, c_int, c_int64, c_int64, c_int64, c_int64)),
    "ggml_mul_mat": (c_void_p, (c_void_p, c_void_p, c_void_p)),
    "ggml_flash_attn_ext": (c_void_p, (c_void_p,) * 5 + (c_float,) * 3),
    "ggml_new_graph_custom": (c_void_p, (c_void_p, c_size_t, c_bool)),
    "ggml_build_forward_expand": (None, (c_void_p, c_void_p)),
    "ggml_quantize_chunk": (
        c_size_t,
        (c_int, c_void_p, c_void_p, c_int64, c_int64, c_int64, c_void_p),
    ),
    "ggml_nbytes": (c_size_t, (c_void_p,)),
    "ggml_backend_buft_name": (c_char_p, (c_void_p,)),
    "ggml_backend_buft_alloc_buffer": (c_void_p, (c_void_p, c_size_t)),
    "ggml_backend_buft_get_alloc_size": (c_size_t, (c_void_p, c_void_p)),
    "ggml_backend_buft_get_alignment": (c_size_t, (c_void_p,)),
    "ggml_backend_buffer_free": (None, (c_void_p,)),
    "ggml_backend_buffer_get_base": (c_void_p, (c_void_p,)),
    "ggml_backend_buffer_clear": (None, (c_void_p, ctypes.c_uint8)),
    "ggml_backend_tensor_alloc": (c_int, (c_void_p, c_void_p, c_void_p)),
    "ggml_backend_tensor_set": (None, (c_void_p, c_void_p, c_size_t, c_size_t)),
    "ggml_backend_get_default_buffer_type": (c_void_p, (c_void_p,)),
    "ggml_backend_reg_dev_get": (c_void_p, (c_void_p, c_size_t)),
    "ggml_backend_reg_get_proc_address": (c_void_p, (c_void_p, c_char_p)),
    "ggml_backend_dev_supports_op": (c_bool, (c_void_p, c_void_p)),
    "ggml_backend_graph_compute": (c_int, (c_void_p, c_void_p)),
    "ggml_log_set": (None, (c_void_p, c_void_p)),
    "ggml_threadpool_params_init": (None, (c_void_p, c_int)),
}
_CPU_SIGNATURES: Mapping[str, tuple[Any, tuple[Any, ...]]] = {
    "ggml_backend_cpu_init": (c_void_p, ()),
    "ggml_backend_cpu_reg": (c_void_p, ()),
    "ggml_backend_cpu_set_n_threads": (None, (c_void_p, c_int)),
    "ggml_backend_cpu_set_threadpool": (None, (c_void_p, c_void_p)),
    "ggml_threadpool_new": (c_void_p, (c_void_p,)),
    "ggml_get_type_traits_cpu": (c_void_p, (c_int,)),
}
FEATURES = (
    "avx2", "avx512", "avx512_vnni", "avx512_bf16", "avx_vnni", "amx_int8", "f16c", "fma", "neon",
    "dotprod", "matmul_int8", "sve", "sme", "llamafile",
)  # fmt: skip


class _InitParams(ctypes.Structure):
    """``ggml_init_params``."""

    _fields_ = (("mem_size", c_size_t), ("mem_buffer", c_void_p), ("no_alloc", c_bool))


class _Symbol(ctypes.Structure):
    """``Dl_info`` of dladdr(3)."""

    _fields_ = (
        ("file", c_char_p),
        ("file_base", c_void_p),
        ("name", c_char_p),
        ("address", c_void_p),
    )


class _CpuTraits(ctypes.Structure):
    """``ggml_type_traits_cpu``."""

    _fields_ = (
        ("from_float", c_void_p),
        ("vec_dot", c_void_p),
        ("vec_dot_type", c_int),
        ("nrows", c_int64),
    )


class GgmlLibrary:
    """The CPU back end of one build of ggml with ``threads`` threads.

    ``types`` are the lower-case names of its types by number, ``version`` its own words.

    Raises:
        DataError: the libraries cannot be loaded, or lack a function that is needed.
    """

    def __init__(self, base: Path, cpu: Path, threads: int) -> None:
        self.threads, self.path = threads, cpu
        try:
            # The CPU library finds this one by the symbols that are already loaded.
            self.base: Any = ctypes.CDLL(str(base), mode=ctypes.RTLD_GLOBAL)
            self.cpu: Any = ctypes.CDLL(str(cpu), mode=ctypes.RTLD_GLOBAL)
            _declare(self.base, _SIGNATURES)
            _declare(self.cpu, _CPU_SIGNATURES)
        except (OSError, AttributeError) as error:
            raise DataError(
                f"{cpu}: cannot be used: {error}",
                hint="name the folder of another build: --engine-dir, or PLAN_LLAMA_CPP",
            ) from None
        self.base.ggml_init.restype = c_void_p
        self.base.ggml_init.argtypes = (_InitParams,)
        self._quiet = ctypes.CFUNCTYPE(None, c_int, c_char_p, c_void_p)(lambda *_: None)
        self.base.ggml_log_set(self._quiet, None)
        self.types = self._types()
        self.number = {name: n for n, name in self.types.items()}
        self._backend = self.cpu.ggml_backend_cpu_init()
        self.cpu.ggml_backend_cpu_set_n_threads(self._backend, threads)
        self._start_threads()
        self._device = self.base.ggml_backend_reg_dev_get(self.cpu.ggml_backend_cpu_reg(), 0)

    @property
    def version(self) -> str:
        """``ggml 0.15.2 0c1e570`` or what the build says of itself."""
        parts = (self.base.ggml_version(), self.base.ggml_commit())
        return " ".join(p.decode("utf-8", "replace") for p in parts if p)

    @property
    def features(self) -> tuple[str, ...]:
        """Instruction sets that this build uses and this CPU has, of FEATURES."""
        present = []
        for name in FEATURES:
            function = getattr(self.cpu, f"ggml_cpu_has_{name}", None)
            if function is not None and function():
                present.append(name)
        return tuple(present)

    def row_bytes(self, kind: str, columns: int) -> int:
        """Bytes of a row of ``columns`` elements."""
        return int(self.base.ggml_row_size(self.number[kind], columns))

    def block(self, kind: str) -> int:
        """Elements of a block."""
        return int(self.base.ggml_blck_size(self.number[kind]))

    def quantised(self, kind: str, values: Array) -> bytes:
        """``values`` [rows, columns] in blocks, by ggml's own quantiser; every importance is 1."""
        values = np.ascontiguousarray(values, dtype=np.float32)
        rows, columns = values.shape
        out = ctypes.create_string_buffer(rows * self.row_bytes(kind, columns))
        ones = np.ones(columns, dtype=np.float32)
        self.base.ggml_quantize_chunk(
            self.number[kind], values.ctypes.data, out, 0, rows, columns, ones.ctypes.data
        )
        return out.raw

    def narrower(self, kind: str) -> Callable[[int, int, int], None]:
        """``from_float`` of a type: (address of FP32, address of blocks, elements).

        Raises:
            InputError: a type to which ggml narrows no activations.
        """
        address = self._traits(kind).from_float
        if not address:
            raise InputError(f"ggml narrows no activations to {kind}", hint="leave it out")
        return ctypes.CFUNCTYPE(None, c_void_p, c_void_p, c_int64)(address)

    def graph(self) -> Graph:
        """An empty graph of this library."""
        return Graph(self)

    def weight_buffers(self) -> list[int]:
        """Buffer types in the order in which llama.cpp's loader tries them for weights."""
        address = self.base.ggml_backend_reg_get_proc_address(
            self.cpu.ggml_backend_cpu_reg(), b"ggml_backend_dev_get_extra_bufts"
        )
        buffers: list[int] = []
        if address:
            extra = ctypes.CFUNCTYPE(ctypes.POINTER(c_void_p), c_void_p)(address)(self._device)
            place = 0
            while extra and extra[place]:
                buffers.append(int(extra[place]))
                place += 1
        return [*buffers, self.plain_buffers()]

    def plain_buffers(self) -> int:
        """The buffer type of memory without a layout of its own."""
        return int(self.base.ggml_backend_get_default_buffer_type(self._backend))

    def supports(self, node: int) -> bool:
        """Whether the CPU back end computes ``node`` with the buffers that its inputs are in."""
        return bool(self.base.ggml_backend_dev_supports_op(self._device, node))

    def compute(self, graph: int) -> None:
        """Run a built graph once.

        Raises:
            DataError: the graph ended with an error.
        """
        status = self.base.ggml_backend_graph_compute(self._backend, graph)
        if status != 0:
            raise DataError(
                f"{self.path}: a graph ended with status {status}",
                hint="try another build of llama.cpp",
            )

    def _traits(self, kind: str) -> _CpuTraits:
        pointer = self.cpu.ggml_get_type_traits_cpu(self.number[kind])
        return _CpuTraits.from_address(pointer)

    def _types(self) -> dict[int, str]:
        """Types that this build has. It does not check numbers, so that one it is too old for gives
        what lies behind its table: an address is read only where the library is."""
        numbers = {}
        for number, name in enumerate(TYPES):
            if name == "-":
                continue
            address = self.base.ggml_type_name(number)
            if (
                not address
                or not _inside(address, self.path)
                or ctypes.string_at(address).decode("ascii", "replace").lower() != name
            ):
                break
            numbers[number] = name
        return numbers

    def _start_threads(self) -> None:
        """One pool for all graphs: without, each would start threads of its own."""
        params = ctypes.create_string_buffer(_POOL_BYTES)
        self.base.ggml_threadpool_params_init(params, self.threads)
        self.cpu.ggml_backend_cpu_set_threadpool(
            self._backend, self.cpu.ggml_threadpool_new(params)
        )


class Graph:
    """Tensors and nodes of one computation; a context manager that frees them."""

    def __init__(self, library: GgmlLibrary, nodes: int = 4096) -> None:
        self._ggml, base = library, library.base
        size = 4 * nodes * base.ggml_tensor_overhead() + base.ggml_graph_overhead_custom(
            nodes, False
        )
        self._context = base.ggml_init(_InitParams(size, None, True))
        self._graph = base.ggml_new_graph_custom(self._context, nodes, False)
        self._buffers: list[int] = []

    def __enter__(self) -> Graph:
        return self

    def __exit__(self, *_: object) -> None:
        for buffer in self._buffers:
            self._ggml.base.ggml_backend_buffer_free(buffer)
        self._ggml.base.ggml_free(self._context)

    def tensor(self, kind: str, *shape: int, data: bytes = b"") -> int:
        """A tensor of up to four axes (the innermost first) in plain memory: ``data``, then
        zeros."""
        made = self._new(kind, *shape)
        self._place(made, self._ggml.plain_buffers(), clear=True)
        if data:
            self._ggml.base.ggml_backend_tensor_set(made, data, 0, len(data))
        return made

    def weight(self, kind: str, outputs: int, inputs: int, data: bytes | None = None) -> int:
        """A matrix as llama.cpp's loader would place it; ``data`` are its blocks, row by row."""
        buffers = self._ggml.weight_buffers()
        made = self._new(kind, inputs, outputs)
        chosen = next(
            (b for b in buffers[:-1] if self._multiplied(kind, outputs, inputs, b)), buffers[-1]
        )
        self._place(made, chosen, clear=False)
        if data is None:
            data = repeated_rows(self._ggml, kind, outputs, inputs)
        self._ggml.base.ggml_backend_tensor_set(made, data, 0, len(data))
        return made

    def product(self, weight: int, activations: int) -> int:
        """Add activations × weight to the graph; the node holds FP32 [tokens, outputs]."""
        return self._node(self._ggml.base.ggml_mul_mat(self._context, weight, activations))

    def attention(self, query: int, keys: int, values: int, mask: int, scale: float) -> int:
        """Add fused attention to the graph; the node holds FP32 [queries, heads, width]."""
        return self._node(
            self._ggml.base.ggml_flash_attn_ext(
                self._context, query, keys, values, mask, scale, 0.0, 0.0
            )
        )

    def run(self) -> None:
        """Compute every node once."""
        self._ggml.compute(self._graph)

    def _node(self, made: int) -> int:
        self._place(made, self._ggml.plain_buffers(), clear=False)
        self._ggml.base.ggml_build_forward_expand(self._graph, made)
        return made

    def _new(self, kind: str, *shape: int) -> int:
        number, base = self._ggml.number[kind], self._ggml.base
        maker = getattr(base, f"ggml_new_tensor_{max(len(shape), 2)}d")
        wide = shape if len(shape) > 1 else (*shape, 1)
        return int(maker(self._context, number, *wide))

    def _place(self, tensor: int, buffers: int, *, clear: bool) -> None:
        base = self._ggml.base
        size = base.ggml_backend_buft_get_alloc_size(buffers, tensor)
        buffer = base.ggml_backend_buft_alloc_buffer(buffers, size)
        if not buffer:
            raise DataError(f"ggml: no memory for {size:,} bytes", hint="close other programs")
        self._buffers.append(buffer)
        if clear:
            base.ggml_backend_buffer_clear(buffer, 0)
        base.ggml_backend_tensor_alloc(buffer, tensor, base.ggml_backend_buffer_get_base(buffer))

    def _multiplied(self, kind: str, outputs: int, inputs: int, buffers: int) -> bool:
        """Whether the CPU multiplies such a weight from ``buffers``, as the loader asks."""
        base = self._ggml.base
        weight = self._new(kind, inputs, outputs)
        self._place(weight, buffers, clear=False)
        tokens = self._new(F32, inputs, PROBE_TOKENS)
        return self._ggml.supports(base.ggml_mul_mat(self._context, weight, tokens))


def repeated_rows(library: GgmlLibrary, kind: str, outputs: int, inputs: int) -> bytes:
    """Blocks of a matrix whose rows repeat a few random ones."""
    few = np.random.default_rng(0).standard_normal((min(_SPLIT, outputs), inputs), dtype=np.float32)
    blocks = library.quantised(kind, few)
    row = len(blocks) // len(few)
    return (blocks * -(-outputs // len(few)))[: outputs * row]


def _inside(address: int, library: Path) -> bool:
    """Whether ``address`` lies in a library of the folder of ``library``, by dladdr."""
    process: Any = ctypes.CDLL(None)
    info = _Symbol()
    process.dladdr.argtypes = (c_void_p, c_void_p)
    if not process.dladdr(address, ctypes.byref(info)) or not info.file:
        return False
    return Path(info.file.decode("utf-8", "replace")).resolve().parent == library.resolve().parent


def _declare(library: Any, signatures: Mapping[str, tuple[Any, tuple[Any, ...]]]) -> None:
    for name, (result, arguments) in signatures.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments


@cache
def load(base: Path, cpu: Path, threads: int) -> GgmlLibrary:
    """The library, loaded once a process."""
    return GgmlLibrary(base, cpu, threads)


def opened(request: PartRequest) -> tuple[GgmlLibrary, str]:
    """(the library, its name as software in tables)."""
    library = load(Path(request.libraries["base"]), Path(request.libraries["cpu"]), request.threads)
    return library, f"llama.cpp {library.version}"

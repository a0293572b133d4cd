"""What a simulation of schedulers holds between two passes: tables of numbers, a row a thing.

The kernel (:mod:`cache`, :mod:`decoding`, :mod:`admission`, :mod:`slots`, :mod:`passes`,
:mod:`events`) is plain Python over these tables, which are lists where it runs as it stands and
arrays where numba compiled it: it reads and writes single numbers only, so that both do the same.

Units are attention ranks: rank ``k`` of replica ``j`` is unit j·ranks + k. Each has lanes, passes
that may be in flight at once: one, or as many as an engine fills pipeline stages with.
"""

from __future__ import annotations

from typing import NamedTuple

Ints = list[int]
Floats = list[float]
IntRows = list[Ints]
FloatRows = list[Floats]

# Columns of ``requests``.
INPUT, OUTPUT, KNOWN, ELIGIBLE, NEXT = 0, 1, 2, 3, 4
"""Prompt and answer [tokens], tokens of the prompt that are cached whatever the engine does, the
pass from which on the scheduler sees it, and who waits behind it."""
LENGTH, READ, OWN, SHARED, MADE = 5, 6, 7, 8, 9
"""Tokens to read before the next is made, those that are computed or cached, blocks of its own,
leading nodes of the prefix cache that it uses, and answer tokens made."""
OFFSET, FINISH, SEND, ADMITTED, PREEMPTED, HIT = 10, 11, 12, 13, 14, 15
"""While it decodes: cached tokens less the lane's count of tokens, that count at its end and when
its first tokens are sent; order of admission, preemptions, prompt tokens found in the cache."""
PHASE, NODES, NODE_COUNT, RUN, SLOT, REJECTED = 16, 17, 18, 19, 20, 21
"""What it is doing, where its nodes begin in ``ids`` and how many they are, blocks of its own that
lie in the list of what may be evicted, its slot, and whether it was refused."""
FROM, LATER = 22, 23
"""What was read of it before its part of the pass under way; whose prompt ended with its own."""
REQUEST_COLUMNS = 24
WAITING, READING, DECODING, DONE = 1, 2, 3, 4
"""Phases; 0 for one that has not come yet."""

# Columns of ``times`` [s].
SCHEDULED, FIRST, LAST = 0, 1, 2

# Columns of ``units``.
HEAD, TAIL, QUEUED, QUEUED_TOKENS, HELD, PROMISED, LISTED = 0, 1, 2, 3, 4, 5, 6
"""First and last that wait, how many and of how many prompt tokens; blocks in use, those that
running requests are promised, and cached ones that may be evicted."""
OLDEST, NEWEST, PARTIAL, SERVED, UNREAD, FULL, REMAINING = 7, 8, 9, 10, 11, 12, 13
"""Ends of the list of what may be evicted, the request whose prompt is read in part, requests that
run, those whose prompts are not read yet, whether admission found no room since one last ended, and
the sum of counts at which those that decode end."""
PARTIAL_LANE, LEAVING, LEAVING_LAST, READ_LAST, UNIT_COLUMNS = 14, 15, 16, 17, 18
"""The lane that read the last part of it; first and last of those whose answers are complete, and
first of those whose prompts are read, which the scheduler was not told yet."""

# Columns of ``lanes``.
BATCH, STEPS, COUNT, OFFSETS, EVENTS, ENDED, TOKENS, DECODES = 0, 1, 2, 3, 4, 5, 6, 7
"""Sequences that decode, decode steps and tokens of a sequence they made, sum of offsets, entries
of the heap, prompts that end in the pass under way, prompt tokens in it, whether it decodes."""
LANE_COLUMNS = 8

# Columns of ``clocks`` [a replica].
FREE = 0
"""When the slowest stage can begin another pass [s]; after it, the end of each lane's pass (or the
moment at which it may begin one), inf for a lane that has nothing to do."""

# Columns of ``begun`` [a replica].
PASSES = 0
"""Passes begun; after it, for each lane whether a pass is in flight."""

# Places of ``marks``.
ARRIVED, SERVED_ALL, RECORDED, TURN, ADMISSIONS, REFUSED, BEGAN = 0, 1, 2, 3, 4, 5, 6
MARKS = 7

# Places of ``limits``.
ENGINE, BUDGET, MOST, BLOCKS, BLOCK, CHUNKED, MIXED, CACHING = 0, 1, 2, 3, 4, 5, 6, 7
WEIGHT, NODE_TOKENS, LOOKAHEAD, LPM, RANKS, REPLICAS, LANES, ROUTER = 8, 9, 10, 11, 12, 13, 14, 15
AHEAD, INTERVAL, HOLD, BALANCE, SUCCESSIVE, CONTEXT, SIZE, FULL_PROMPT = (
    16, 17, 18, 19, 20, 21, 22, 23,
)  # fmt: skip
BALANCED, LIMITS = 24, 25
BY_BLOCKS, BY_TOKENS, NO_EVICTION, BY_SLOTS = 0, 1, 2, 3
"""Engines: vLLM, SGLang, TensorRT-LLM, llama.cpp."""
LEAST, IN_TURN, DRAWN = 0, 1, 2

# Places of ``seconds``.
HOST, HOST_EACH, EXPOSED_EACH, OVERLAPPED, FACTOR, FLOOR, CAPTURED, HANDLING = (
    0,
    1,
    2,
    3,
    4,
    5,
    6,
    7,
)
ACCEPTED, SLOWEST, RESERVE, HOLD_SHARE, SECONDS = 8, 9, 10, 11, 12

# Columns of ``amounts`` and ``counts``: a row a pass.
BEGIN, LASTED, SHARE = 0, 1, 2
DECODED, PROMPTED, WAITED = 0, 1, 2


class State(NamedTuple):
    """Tables of the kernel: numbers of a row by the columns above, -1 for nobody.

    ``requests`` [N, columns], ``times`` [N, 3] and ``arrivals`` [N] seconds; ``places`` [N] units
    of a drawn router; ``ids`` nodes of all prompts; ``units``, ``lanes``, ``clocks``, ``begun``,
    ``marks``, ``limits``, ``seconds`` as above. ``ratios`` [units] share of answers that admission
    counts on. ``keys`` and ``codes`` [lanes, room] heaps of counts of tokens at which something
    happens, and of what; ``residues`` [lanes, block] sequences by offset modulo a block; ``ended``
    [lanes, most]; ``behind`` [lanes] seconds that chunks take behind what is cached.
    ``uses``, ``before``, ``after`` [units, nodes + requests] of the prefix cache; ``slots`` [units,
    slots, 3] request, last request and cached tokens of it, ``idle`` [units, slots] since when.
    Costs: ``lengths`` [K], ``decode`` [B, K], ``chunk`` [T], ``mixed``, ``everywhere`` [T, B],
    ``computed`` [C], ``deeper`` [T, C], batches in whole sequences. Passes: ``amounts``, ``counts``
    [room, 3].
    """

    requests: IntRows
    times: FloatRows
    arrivals: Floats
    places: Ints
    ids: Ints
    units: IntRows
    lanes: IntRows
    clocks: FloatRows
    begun: IntRows
    marks: Ints
    limits: Ints
    seconds: Floats
    ratios: Floats
    keys: IntRows
    codes: IntRows
    residues: IntRows
    ended: IntRows
    behind: Floats
    uses: IntRows
    before: IntRows
    after: IntRows
    slots: list[IntRows]
    idle: IntRows
    lengths: Floats
    decode: FloatRows
    chunk: Floats
    mixed: FloatRows
    everywhere: FloatRows
    computed: Floats
    deeper: FloatRows
    amounts: FloatRows
    counts: IntRows

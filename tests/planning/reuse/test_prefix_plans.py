"""Plans whose hit rate follows from the room for prefixes."""

import pytest

import planner
from planner.base.errors import InputError, UnsupportedError
from planner.planning.plan.record import Plan
from planner.reuse import hit_rate, parse_reuse
from planner.workloads import NamedWorkload, load_workload

HOST = 64 << 30


def asked(**more: object) -> Plan:
    given: dict[str, object] = {
        "devices": 1,
        "workload": "chat",
        "engine": "vllm",
        "reuse": "auto",
        "schemes": ["fp8-channel"],
    }
    return planner.plan("llama-3.1-8b", "l40s", **{**given, **more})  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def kept() -> Plan:
    return asked()


@pytest.fixture(scope="module")
def offloaded() -> Plan:
    return asked(kv_offload="host", kv_offload_bytes=HOST)


def test_the_hit_rate_is_the_one_that_room_and_pace_lead_to(kept: Plan) -> None:
    found, work = kept.prefix_cache, kept.workload
    reuse = load_workload("chat").reuse
    assert found is not None
    assert reuse is not None
    rate = work.batch / (kept.performance.tpot_seconds.value * work.osl)
    memory = kept.memory_per_device
    free = memory.usable_bytes - memory.total_bytes
    assert found.requests_per_second == pytest.approx(rate, rel=0.01)
    assert found.capacity_tokens == pytest.approx(
        free / kept.kv_cache.bytes_per_token_per_device, abs=1
    )
    law = hit_rate(reuse, found.capacity_tokens, rate, isl=work.isl, osl=work.osl)
    assert work.prefix_hit_rate == found.hit_rate == pytest.approx(law, abs=0.01)
    assert 0 < found.hit_rate < found.reuse.ideal_hit_rate
    assert found.tier == "device"
    assert found.load_seconds == 0
    assert found.offload is None


def test_every_cache_format_shows_its_worth(kept: Plan) -> None:
    found = kept.prefix_cache
    assert found is not None
    rows = {row.kv: row for row in found.by_cache}
    assert {"bf16", "fp8"} <= set(rows)
    used = {u.kv_layout for u in kept.units if u.kv_layout}
    assert used == {found.by_cache[0].kv}
    best = found.by_cache[0]
    assert best.hit_rate == pytest.approx(found.hit_rate, abs=0.01)
    assert best.output_tokens_per_second == pytest.approx(
        kept.performance.output_tokens_per_second.value, rel=0.02
    )
    rates = [row.output_tokens_per_second for row in found.by_cache]
    assert rates == sorted(rates, reverse=True)
    row = rows["bf16"]
    pinned = asked(kv="bf16")
    assert pinned.prefix_cache is not None
    assert [one.kv for one in pinned.prefix_cache.by_cache] == ["bf16"]
    assert pinned.performance.output_tokens_per_second.value == pytest.approx(
        row.output_tokens_per_second, rel=0.03
    )


def test_another_batch_is_no_better(kept: Plan) -> None:
    rate = kept.performance.output_tokens_per_second.value
    other = asked(batch=round(kept.workload.batch * 0.8), kv="int8-token")
    assert other.performance.output_tokens_per_second.value <= rate * 1.02


def test_host_memory_keeps_more(kept: Plan, offloaded: Plan) -> None:
    found, before = offloaded.prefix_cache, kept.prefix_cache
    assert found is not None
    assert before is not None
    tier = found.offload
    assert tier is not None
    assert tier.loads
    assert found.tier == tier.tier == "host"
    assert found.hit_rate > before.hit_rate
    assert found.hit_rate == pytest.approx(found.device_hit_rate + tier.hit_rate, abs=0.01)
    assert found.load_seconds == tier.load_seconds < tier.compute_seconds
    assert tier.bytes_per_device == HOST
    first = offloaded.performance.ttft_seconds
    assert first.low <= first.value <= first.high
    assert first.low > found.load_seconds
    assert (
        offloaded.performance.output_tokens_per_second.value
        > kept.performance.output_tokens_per_second.value
    )


def test_a_plan_file_holds_it(offloaded: Plan) -> None:
    assert planner.read_plan(offloaded.to_dict()) == offloaded


def test_nothing_of_it_is_in_a_plan_that_does_not_ask() -> None:
    plan = asked(reuse=None)
    assert plan.prefix_cache is None
    assert "prefix_cache" not in plan.to_dict()
    assert plan == asked(reuse="none")


def test_a_rate_that_is_given_overrides() -> None:
    assert asked(prefix_hit_rate=0.3) == asked(prefix_hit_rate=0.3, reuse=None)


def test_the_answer_tells_it(offloaded: Plan) -> None:
    text = " ".join(str(offloaded).split())
    assert "Prefix cache " in text
    assert " of a prompt is cached " in text
    assert ". KV " in text
    assert "host memory (64.00 GiB a device): +" in text
    keys = {note.key: note for note in offloaded.assumptions}
    assert "arXiv" in keys["prefix reuse"].reason


def test_a_workload_of_ones_own_and_a_reuse_by_name() -> None:
    named = asked(workload=None, isl=2000, osl=300, reuse="chat", kv="fp8", batch=8)
    assert named.prefix_cache is not None
    assert named.prefix_cache.reuse.workload == "chat"
    reuse = parse_reuse(
        "x",
        "mine",
        {
            "source": "log",
            "class": [
                {"name": "turns", "share": 0.5, "unit": "seconds", "median": 0.001, "p90": 0.002}
            ],
        },
    )
    mine = asked(
        workload=NamedWorkload("mine", "t", "s", isl=2000, osl=300, reuse=reuse), kv="fp8", batch=8
    )
    assert mine.prefix_cache is not None
    assert mine.prefix_cache.hit_rate == pytest.approx(0.5, abs=1e-3)


@pytest.mark.parametrize(
    ("given", "wrong"),
    [
        ({"workload": None}, "no workload is named"),
        ({"workload": "long"}, "workload long has no [reuse]"),
        ({"reuse": "batch"}, "batch has no [reuse]"),
        ({"reuse": None, "kv_offload_bytes": 5}, "without kv-offload"),
        ({"kv_offload": "host"}, "is not known"),
        ({"kv_offload": "tape", "kv_offload_bytes": 5}, "kv-offload = 'tape'"),
        ({"kv_offload": "host", "kv_offload_bytes": 5, "reuse": "none"}, "reuse none"),
        (
            {"kv_offload": "host", "kv_offload_bytes": 5, "prefix_hit_rate": 0.3},
            "exclude each other",
        ),
    ],
)
def test_bad_input(given: dict[str, object], wrong: str) -> None:
    with pytest.raises(InputError) as told:
        asked(**given)
    assert wrong in str(told.value)
    assert told.value.hint


@pytest.mark.parametrize(
    ("engine", "given"),
    [
        ("pytorch", {}),
        ("llama.cpp", {}),
        ("vllm@0.11", {"kv_offload": "host"}),
        ("tensorrt-llm", {"kv_offload": "nvme"}),
    ],
)
def test_engines_without_it(engine: str, given: dict[str, object]) -> None:
    if given:
        given = {**given, "kv_offload_bytes": HOST}
    given = {**given, "schemes": None}
    with pytest.raises(UnsupportedError) as told:
        asked(engine=engine, **given)
    assert "keeps no prefixes" in str(told.value)
    assert told.value.hint


@pytest.mark.exhaustive
def test_a_price_has_its_own_hits(kept: Plan) -> None:
    one = planner.estimate("llama-3.1-8b", "l40s", plan=kept, engine="vllm", reuse="chat")
    assert one.prefix_cache is not None
    assert kept.prefix_cache is not None
    assert one.workload.batch == kept.workload.batch
    assert one.prefix_cache.hit_rate == pytest.approx(kept.prefix_cache.hit_rate, abs=0.005)
    same = planner.estimate(plan=kept, engine="vllm", reuse="auto")
    assert same.prefix_cache == one.prefix_cache
    uniform = planner.estimate(
        "llama-3.1-8b",
        "l40s",
        devices=1,
        scheme="fp8-channel",
        workload="chat",
        reuse="auto",
        engine="vllm",
    )
    assert uniform.prefix_cache is not None
    assert [row.kv for row in uniform.prefix_cache.by_cache] == ["bf16"]
    with pytest.raises(UnsupportedError, match="keeps no prefixes"):
        planner.estimate(
            "llama-3.1-8b", "l40s", devices=1, workload="chat", reuse="auto", engine="llama.cpp"
        )

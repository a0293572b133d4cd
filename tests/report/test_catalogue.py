"""Listings fit 80 columns, say what the records say, and carry no control codes off a terminal."""

import json
from collections.abc import Callable

import pytest

import planner
from planner.formats.elements import ELEMENTS
from planner.formats.format_data import formats_dict
from planner.formats.kv import KV_LAYOUTS
from planner.formats.schemes import SCHEMES
from planner.hardware.catalog import device_ids, list_devices
from planner.hardware.device_data import device_dict
from planner.hardware.profile import DeviceProfile
from planner.models.catalog import model_ids
from planner.planning.question.scenarios import load_scenario, scenario_ids
from planner.report.render.results import shown
from planner.report.render.terminal import text_of_view
from planner.report.view.device import device_view, show
from planner.report.view.formats import formats_view
from planner.report.view.lists import devices_view, models_view, scenarios_view


def device_page(device: DeviceProfile) -> str:
    return text_of_view(device_view(device, "en"))


LISTINGS: dict[str, Callable[[], str]] = {
    "devices": lambda: text_of_view(devices_view(list_devices([]), "en")),
    "models": lambda: text_of_view(
        models_view([planner.inventory(name) for name in model_ids()], "en")
    ),
    "formats": lambda: text_of_view(formats_view("en")),
    "scenarios": lambda: text_of_view(
        scenarios_view([load_scenario(name) for name in scenario_ids()], "en")
    ),
    **{
        f"inventory {name}": lambda name=name: shown(planner.inventory(name), "en")  # type: ignore[misc]
        for name in model_ids()
    },
    **{
        f"device {name}": lambda name=name: device_page(planner.load_device(name))  # type: ignore[misc]
        for name in device_ids()
    },
}


@pytest.fixture(autouse=True)
def eighty_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)


@pytest.fixture(params=device_ids())
def device(request: pytest.FixtureRequest) -> DeviceProfile:
    return planner.load_device(request.param)


@pytest.mark.sample(24)
@pytest.mark.parametrize("name", LISTINGS)
def test_fits_eighty_columns_as_plain_text(name: str) -> None:
    text = LISTINGS[name]()
    assert text.endswith("\n")
    assert not text.endswith("\n\n")
    assert "\x1b" not in text
    assert "…" not in text
    assert max(len(line) for line in text.splitlines()) <= 80
    assert all(line == line.rstrip() for line in text.splitlines())


def test_columns_of_the_environment_are_honoured(monkeypatch: pytest.MonkeyPatch) -> None:
    narrow = LISTINGS["device h100-sxm"]()
    monkeypatch.setenv("COLUMNS", "110")
    wide = LISTINGS["device h100-sxm"]()
    assert 80 < max(len(line) for line in wide.splitlines()) <= 110
    assert "".join(wide.split()) == "".join(narrow.split())


def test_devices_are_listed_one_a_line_with_their_dense_rates() -> None:
    lines = {line.split()[0]: line.split() for line in LISTINGS["devices"]().splitlines()}
    assert set(device_ids()) <= set(lines)
    assert lines["h100-sxm"] == [
        "h100-sxm",
        "79.2",
        "3,350",
        "989",
        "1,979",
        "1,979",
        "-",
        "released",
    ]
    assert lines["jetson-agx-orin-64gb"][3:7] == ["43", "-", "85", "-"]
    assert lines["rubin-r200"][-1] == "preliminary"


@pytest.mark.sample(9)
def test_a_page_shows_every_figure_with_its_kind_source_and_date(device: DeviceProfile) -> None:
    lines = device_page(device).splitlines()
    figures = [
        device.label_bytes,
        device.capacity_bytes,
        device.usable_fraction,
        device.bandwidth_bytes_per_s,
        *[r.dense for r in device.rates.values()],
        *[r.sparse for r in device.rates.values() if r.sparse],
        *device.conversion.values(),
    ]
    for figure in figures:
        tail = [show(figure.value, figure.unit).split()[0], figure.kind, figure.source, figure.date]
        assert any(all(part in line.split() for part in tail) for line in lines), tail


@pytest.mark.sample(9)
def test_a_page_gives_reasons_notes_cautions_and_sources(device: DeviceProfile) -> None:
    words = "".join(device_page(device).split())
    texts = [
        *device.cautions,
        *device.unsupported.values(),
        *[s.title for s in device.sources],
        *[s.key for s in device.sources],
        device.capacity_bytes.note,
        device.sha256,
    ]
    for text in texts:
        assert "".join(text.split()) in words, text


def test_device_data_is_json_in_si_units_with_whole_bytes(device: DeviceProfile) -> None:
    data = device_dict(device)
    assert json.loads(json.dumps(data, allow_nan=False)) == data
    assert isinstance(data["capacity_bytes"]["value"], int)
    assert data["capacity_bytes"]["value"] == device.capacity_bytes.value
    assert {(r["unit"], r["format"]) for r in data["rates"]} == set(device.rates)
    assert set(data["achieved"]) == set(device.achieved)
    assert "path" not in data


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (989.4e12, "FLOP/s", "989.4 TFLOP/s"),
        (1978.9e12, "OP/s", "1,978.9 TOP/s"),
        (3.35e12, "B/s", "3.35 TB/s"),
        (204.8e9, "B/s", "204.8 GB/s"),
        (80_000_000_000, "B", "80 GB"),
        (65_927_747_993, "B", "61.40 GiB"),
        (0.9, "1", "0.9"),
        (6.4e-6, "s", "6.4 µs"),
        (886.67e9, "elements/s", "886.67 G elem/s"),
        (700, "W", "700 W"),
    ],
)
def test_figures_carry_their_unit(value: float, unit: str, text: str) -> None:
    assert show(value, unit) == text


def test_formats_are_complete_in_both_forms() -> None:
    data = formats_dict()
    assert [e["id"] for e in data["elements"]] == list(ELEMENTS)
    assert [s["id"] for s in data["schemes"]] == list(SCHEMES)
    assert [k["id"] for k in data["kv_layouts"]] == list(KV_LAYOUTS)
    assert json.dumps(data, allow_nan=False)
    first = {line.split()[0] for line in text_of_view(formats_view("en")).splitlines() if line}
    assert first >= set(ELEMENTS) | set(SCHEMES) | set(KV_LAYOUTS)


def test_published_sizes_of_schemes_and_cache_records() -> None:
    data = formats_dict()
    bits = {s["id"]: (s["weight_bits"], s["activation_bits"]) for s in data["schemes"]}
    assert bits["nvfp4"] == (4.5, 4.5)
    assert bits["mxfp4-w4a8"] == (4.25, 8.25)
    assert bits["ggml-q4_k"] == (4.5, 9.125)
    sizes = {k["id"]: k["bytes_per_token"] for k in data["kv_layouts"]}
    assert sizes["bf16"] == {"kv-k": 256, "kv-v": 256, "kv-latent": 1152}
    assert sizes["fp8-ds-mla"] == {"kv-latent": 656}
    assert sizes["int4-channel"].keys() == {"kv-k"}


def test_inventory_adds_up_to_the_checkpoint() -> None:
    counts = planner.inventory("deepseek-v3")
    text = shown(counts, "en")
    assert "671,026,419,200" in text
    assert "688,574,839,360 B" in text
    rows = [line.split() for line in text.splitlines() if " main " in line or " mtp " in line]
    tensors = sum(
        int(next(w for w in row[3 if "scales" not in row else 4 :]).replace(",", ""))
        for row in rows
    )
    assert tensors == counts.tensor_count

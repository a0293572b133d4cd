"""One chart of each kind, with what is hard: long names, no interval, nothing that runs."""

from planner.report.charts.records import (
    Bar,
    BarGroup,
    DotPlot,
    DotRow,
    GroupedBars,
    HeatCell,
    HeatMap,
    Panels,
    rows_in_words,
)

RATE = "output tokens/s per device"
ROWS = (
    DotRow("fp8-block, as released", 1418.0, 1180.0, 1702.0, "recommended"),
    DotRow(
        "best uniform: fp8-block with fp8-e4m3 cache",
        1435.0,
        1195.0,
        1722.0,
        "uniform",
        "needs new weights",
    ),
    DotRow("exact optimum <7 formats> & more", 1466.0, 1190.0, 1790.0, "optimum"),
    DotRow("bf16", 611.0, None, None, "released"),
    DotRow("四比特权重与八比特缓存", 1502.0, 1001.0, 1999.0, "other"),
)
DOTS = DotPlot("Alternatives", RATE, ROWS, rows_in_words(ROWS))
FEW = (
    DotRow("fp8-block", 203.0, 180.0, 240.0, "recommended"),
    DotRow("bf16", 99.0, None, None, "other"),
)
PANELS = Panels(
    "Schemes on devices", (DOTS, DotPlot("l40s × 8", RATE, FEW, "")), rows_in_words(FEW)
)
MAP = HeatMap(
    "Price",
    ("llama-3.1-8b", "a model with a very long name indeed"),
    ("h100-sxm", "jetson-agx-orin", "mi300x"),
    (
        (
            HeatCell(0.05, "0.05"),
            HeatCell(None, "no engine", "nothing serves it"),
            HeatCell(0.4, "0.40"),
        ),
        (
            HeatCell(3.0, "3.00"),
            HeatCell(None, "does not fit", "needs <671> GiB"),
            HeatCell(0.9, "0.90"),
        ),
    ),
    "USD per million output tokens",
    "prices",
    better="low",
)
BARS = GroupedBars(
    "Rates",
    RATE,
    (
        BarGroup(
            "llama-3.1-8b",
            (Bar("h100-sxm", 900.0, 700.0, 1100.0), Bar("mi300x", 1200.0, 800.0, 1900.0)),
        ),
        BarGroup(
            "deepseek-v3",
            (
                Bar("h100-sxm", None, None, None, "does not fit: 671 GiB"),
                Bar("mi300x", 300.0, 250.0, 360.0),
            ),
        ),
    ),
    "rates of devices",
)

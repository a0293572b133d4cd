"""Tables in notebook cells are rounded; the frames behind them are exact."""

import re

import numpy as np
import pandas as pd

from planner.report.render.notebook import rounded_table


def cells(frame: pd.DataFrame) -> list[str]:
    return re.findall(r"<td>(.*?)</td>", rounded_table(frame))


def test_bytes_seconds_and_numbers_to_three_digits() -> None:
    frame = pd.DataFrame(
        [
            {
                "name": "a",
                "weight_bytes": 8_030_261_248,
                "tpot_seconds_low": 0.0123456,
                "loss": 0.00123456,
                "output_tokens_per_second": 13262.397,
                "count": 1234567,
                "fits": True,
                "empty": np.nan,
            }
        ]
    )
    before = frame.copy()
    assert cells(frame) == [
        "a",
        "7.48 GiB",
        "12.3 ms",
        "0.00123",
        "13,262",
        "1,234,567",
        "True",
        "–",
    ]
    pd.testing.assert_frame_equal(frame, before)


def test_heads_are_words_and_what_is_missing_is_a_dash() -> None:
    table = rounded_table(pd.DataFrame({"tpot_seconds": [0.5, np.nan], "kv_cache": ["fp8", "<b>"]}))
    assert "<th>tpot seconds</th>" in table
    assert "<td>500 ms</td>" in table
    assert "<td>–</td>" in table
    assert "&lt;b&gt;" in table

"""Tables on a narrow terminal."""

from planner.report.columns import paragraphs


def test_a_number_that_leads_a_paragraph_has_its_heading() -> None:
    heads = ("loss", "tok/s", "kv")
    assert paragraphs([heads, ("0.00112", "846.1", "fp8"), ("optimum", "9", "-")], 40) == [
        "loss 0.00112",
        "  tok/s 846.1, kv fp8",
        "optimum",
        "  tok/s 9",
    ]

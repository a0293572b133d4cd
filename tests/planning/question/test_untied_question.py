"""Layers are decided one by one where that is asked."""

import pytest

from tests.support import theory


@pytest.mark.parametrize("untie", [True, False])
def test_layers_are_untied_where_no_profile_says_what_each_loses(untie: bool) -> None:
    question = theory.ask("qwen2.5-0.5b", "l40s", devices=1, untie=untie).questions()[0]
    assert question.profile is None
    assert question.untie is untie

"""Every own family beside the installed transformers: ten drawn configurations of each type."""

import warnings

import pytest

from evaluation.meta.explained import REASONS
from evaluation.meta.perturb import draws
from planner.models.families import FAMILY_OF

pytestmark = pytest.mark.oracle


@pytest.fixture(scope="module")
def library():
    torch = pytest.importorskip("torch", reason="torch is not installed ([hf] extra)")
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    from evaluation.meta.own import defaults, references, releases

    transformers.logging.set_verbosity_error()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch, transformers, references(releases(), defaults(transformers))


@pytest.mark.parametrize("kind", sorted(FAMILY_OF))
def test_drawn_configurations_have_the_tensors_and_caches_that_reasons_predict(kind, library):
    from evaluation.meta.own import compare_own

    torch, transformers, references = library
    if kind not in references:
        pytest.skip(f"neither a release nor this transformers has {kind}")
    built = 0
    for number, config in draws(references[kind]):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = compare_own(kind, str(number), config, torch, transformers)
        built += not found.unbuilt
        assert not found.unexplained, (number, found)
        assert kind in REASONS or not found.differences, (number, found.differences)
    if not built:
        pytest.skip(f"this transformers builds no {kind}: {found.unbuilt}")

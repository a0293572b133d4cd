"""What T0 expects of the units of an imported profile: the scale of scores that have none."""

from planner.lab.profiling.assemble import reference_for
from planner.models.catalog import resolve_model
from planner.quality.prior import load_prior
from planner.quality.profile import CACHE_KINDS, Profile
from planner.quality.profile_units import expected_loss
from planner.quality.sensitivity.predict import sensitivities


def t0_level(found: Profile, scheme: str) -> float:
    """Nats that T0 expects of ``scheme`` on every linear of the profile."""
    spec = resolve_model(found.model.id)
    keys = [(u.kind, u.layer) for u in found.units if u.kind not in CACHE_KINDS]
    prior = load_prior()
    return expected_loss(sensitivities(spec), prior, reference_for(spec, prior), keys, scheme)

"""The one rule by which simulated sites are dropped: FEFF converged to nonsense, or no oxide."""

import numpy as np

from training.sources.site import Site

__all__ = ["RULE", "unphysical"]

LOWEST, HIGHEST = -0.02, 2.8
LAST_POINTS = 10
LAST_LOW, LAST_HIGH = 0.75, 1.25
OXYGEN_WITHIN = 2.75
FEWEST_OXYGENS = 2
SPIKE_OXYGENS = 5
SPIKE_BEGINS = 8.0
SPIKE_WIDTH = 5.0
SPIKE_FALL = 1.3
NEAREST = 0.6

RULE = (
    f"mu leaves [{LOWEST}, {HIGHEST}]; the mean of its last {LAST_POINTS} points leaves "
    f"[{LAST_LOW}, {LAST_HIGH}]; fewer than {FEWEST_OXYGENS} oxygens lie within "
    f"{OXYGEN_WITHIN} Å; with {SPIKE_OXYGENS} or more, mu falls by more than {SPIKE_FALL} in the "
    f"{SPIKE_WIDTH:g} eV after its highest point of the first {SPIKE_BEGINS:g} eV; two atoms lie "
    f"within {NEAREST} Å"
)
"""In words, for cards. Where there is no structure the spectrum alone decides."""


def unphysical(site: Site) -> str:
    """Why a site is dropped, in a few words; empty where it is kept."""
    energy, mu = site.energy, site.mu
    if mu.min() < LOWEST or mu.max() > HIGHEST:
        return f"mu leaves [{LOWEST}, {HIGHEST}]"
    if not LAST_LOW <= mu[-LAST_POINTS:].mean() <= LAST_HIGH:
        return f"mu ends outside [{LAST_LOW}, {LAST_HIGH}]"
    if not site.symbols:
        return ""
    distance = np.linalg.norm(site.xyz, axis=1)
    oxygen = np.array([symbol == "O" for symbol in site.symbols])
    oxygens = int(np.sum(oxygen[1:] & (distance[1:] <= OXYGEN_WITHIN)))
    if oxygens < FEWEST_OXYGENS:
        return f"fewer than {FEWEST_OXYGENS} oxygens"
    pairs = np.linalg.norm(site.xyz[:, None] - site.xyz[None], axis=2)
    if pairs[np.triu_indices(len(pairs), 1)].min() < NEAREST:
        return "atoms nearly touch"
    if oxygens >= SPIKE_OXYGENS:
        top = int(np.argmax(mu[energy < energy[0] + SPIKE_BEGINS]))
        after = (energy >= energy[top]) & (energy <= energy[top] + SPIKE_WIDTH)
        if mu[top] - mu[after].min() > SPIKE_FALL:
            return "edge collapsed into a spike"
    return ""

"""The one rule by which simulated sites are dropped.

FEFF converged to nonsense, it is no oxide, or the geometry contradicts the valence.

References
----------
I. D. Brown and D. Altermatt, Acta Cryst. B41, 244 (1985): bond valences, and `R0` of common ions.
N. E. Brese and M. O'Keeffe, Acta Cryst. B47, 192 (1991): Ti(III), Cr(II), Mn(VII).
R. M. Wood et al., Inorg. Chem. 39, 2065 (2000): Cr(V).
O. C. Gagné and F. C. Hawthorne, Acta Cryst. B71, 562 (2015): Ni(IV), there with B = 0.335 Å.
I. D. Brown, accumulated table of bond valence parameters (bvparm, International Union of
Crystallography, 2016): V(II), Co(IV), Cu(I), Cu(III), marked unchecked.
"""

from dataclasses import dataclass

import numpy as np

from training.descriptors import ANIONS, FIRST_SHELL
from training.simulated.sources.site import Site

__all__ = ["MISLABELLED", "R0", "RULE", "Dropped", "mislabelled", "unphysical", "valence_sum"]

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

BONDS_WITHIN = 3.0
"""Oxygens count as bonded to here, Å: beyond the long bonds of Cu(II)."""

OTHER_LIGANDS = ANIONS - {"O"} | {"C"}
"""With one of these in the first shell the oxygens do not hold the whole valence."""

SOFTNESS = 0.37
"""B of the bond valence exp((R0 - r) / B), Å."""

R0 = {
    "Ti": {2: 1.734, 3: 1.791, 4: 1.815},
    "V": {2: 1.700, 3: 1.743, 4: 1.784, 5: 1.803},
    "Cr": {2: 1.730, 3: 1.724, 4: 1.765, 5: 1.760, 6: 1.794},
    "Mn": {2: 1.790, 3: 1.760, 4: 1.753, 7: 1.790},
    "Fe": {2: 1.734, 3: 1.759, 4: 1.780},
    "Co": {2: 1.692, 3: 1.664, 4: 1.720},
    "Ni": {2: 1.654, 3: 1.700, 4: 1.734},
    "Cu": {1: 1.610, 2: 1.679, 3: 1.739},
}
"""Length of a metal-oxygen bond of valence 1 by element and valence, Å.

Ti(II) and Fe(IV) are in no table named above: they are what the substituted sites of data/
were scaled by. Fe(IV) agrees with SrFeO3, six oxygens at 1.925 Å. Cr(IV), Co(III) and Ni(III)
are smaller than tabulated (1.81, 1.70, 1.75), which gave bonds 0.04 to 0.07 Å longer than those
of CrO2, LiCoO2, ZnCo2O4 and LaNiO3.
"""

MISFIT = 0.8
"""How far a bond valence sum may lie from the valence.

There is no gap in the tail: labels beyond doubt reach 0.77 (Na2CrO4; LaNiO3 0.66, CrO2 0.64),
and montroseite VOOH, filed as VO2 without its hydrogens, has 0.82.
"""

SHARE = 0.5
"""The same as a share of the valence, which is the less for Cu(I) alone.

Its misfits thin out at 0.5; the second hump, about 0.8, is square planes and octahedra of Cu(II).
"""

MISLABELLED = f"bond valences miss the valence by more than {MISFIT} or {SHARE:.0%} of it"

RULE = (
    f"mu leaves [{LOWEST}, {HIGHEST}]; the mean of its last {LAST_POINTS} points leaves "
    f"[{LAST_LOW}, {LAST_HIGH}]; fewer than {FEWEST_OXYGENS} oxygens lie within "
    f"{OXYGEN_WITHIN} Å; with {SPIKE_OXYGENS} or more, mu falls by more than {SPIKE_FALL} in the "
    f"{SPIKE_WIDTH:g} eV after its highest point of the first {SPIKE_BEGINS:g} eV; two atoms lie "
    f"within {NEAREST} Å; in the relaxed geometry of a native site, the bond valences of the "
    f"oxygens within {BONDS_WITHIN:g} Å miss the valence by more than {MISFIT} or {SHARE:.0%} of it"
)
"""In words, for cards. Where there is no structure the spectrum alone decides."""


@dataclass(frozen=True)
class Dropped:
    """What a source gives in place of a site that falls with another: the same reason counts."""

    element: str
    reason: str


def unphysical(site: Site) -> str:
    """Say why a site is dropped, in a few words; empty where it is kept."""
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
    return MISLABELLED if mislabelled(site) else ""


def mislabelled(site: Site) -> bool:
    """Tell whether a native geometry contradicts its valence; False where that is unknown.

    The others cannot tell: rattling by 0.1 Å scatters the sum by 0.3, and a substituted
    site was scaled until its sum was the valence.
    """
    if not site.native:
        return False
    misfit = abs(valence_sum(site) - site.oxidation_state)
    return bool(misfit > min(MISFIT, SHARE * site.oxidation_state))


def valence_sum(site: Site) -> float:
    """Sum of the absorber's bond valences to oxygens, by the R0 of its labelled valence.

    Between two valences of `R0` that is interpolated. NaN outside them, where the valence
    or the structure is unknown, and where the first shell holds another ligand.
    """
    known = R0.get(site.element)
    if not known or not site.symbols:
        return float("nan")
    symbols, distance = np.array(site.symbols), np.linalg.norm(site.xyz, axis=1)
    if not OTHER_LIGANDS.isdisjoint(symbols[distance <= FIRST_SHELL]):
        return float("nan")
    r0 = np.interp(site.oxidation_state, list(known), list(known.values()), np.nan, np.nan)
    bonds = distance[(symbols == "O") & (distance <= BONDS_WITHIN)]
    return float(np.exp((r0 - bonds) / SOFTNESS).sum())

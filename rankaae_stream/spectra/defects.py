"""Flag what is wrong with a measurement itself: noise, a thin sample, coarse steps, an element."""

import numpy as np

from rankaae_stream.report import Flag
from rankaae_stream.spectrum import Channel, Edge, Floats

__all__ = [
    "coarse_flag",
    "damped_beside",
    "noisy_flag",
    "over_absorption_flag",
    "small_step_flag",
    "wrong_element_flag",
]

NOISY = 0.01
"""Noise of a point, in edge steps, beyond which a spectrum is flagged: 172 measured spectra of
oxides, metals and others stay below 0.0064."""
SMALL_STEP = 0.05
"""Edge step in transmission below which a sample is thin: the thinnest of 98 standards has 0.06."""
COARSE = 2.5
"""Step at the edge beyond which the valence suffers, eV: 58 standards thinned out to 2, 3, 4 and
6 eV change by 0.06, 0.11, 0.16 and 0.34 in one case of twenty; measured ones have up to 2.03."""
DAMPED = 0.08
"""Share of the squared absorption that fluorescence lacks beside transmission, beyond which it is
damped: a white line of 1.5 stands at 1.45 then."""
EXPLAINS = 0.5
"""Share of the two channels' squared difference that the damping has to explain."""
EDGE = (-5.0, 30.0)
"""Where `COARSE` is looked at, eV from the edge."""


def noisy_flag(share: float) -> Flag | None:
    """Flag a spectrum whose points scatter, by the noise of a point in edge steps."""
    if not share > NOISY:
        return None
    return Flag(
        "noisy",
        "info",
        share,
        "1",
        f"a point scatters by {share:.1%} of the edge step, good scans by less than {NOISY:.0%}; "
        f"count {(share / NOISY) ** 2:.1f} times as long, or add scans",
    )


def small_step_flag(channel: Channel, edge_step: float) -> Flag | None:
    """Flag a sample in transmission that absorbs too little at its edge."""
    if channel != "transmission" or edge_step >= SMALL_STEP:
        return None
    return Flag(
        "small_edge_step",
        "info",
        edge_step,
        "1",
        f"mu rises by {edge_step:.3f} at the edge, a good sample by 0.3 to 1.5: offsets and "
        "harmonics matter more than in others; take more sample, or fluorescence",
    )


def coarse_flag(energy: Floats, e0: float, gap: tuple[float, float] | None) -> Flag | None:
    """Flag wide steps at the edge, or a gap (start, end) in the flat part before it, all in eV."""
    start, stop = energy.searchsorted(e0 + EDGE[0]), energy.searchsorted(e0 + EDGE[1], "right")
    near = energy[start:stop]
    widest = float(np.max(near[1:] - near[:-1])) if near.size > 1 else 0.0
    if widest > COARSE:
        return Flag(
            "coarse_steps",
            "warning",
            widest,
            "eV",
            f"the steps at the edge are up to {widest:.1f} eV wide, {COARSE} eV at most keep the "
            "pre-edge and the white line; scan the edge in steps of 0.5 eV",
        )
    if gap is None:
        return None
    width = gap[1] - gap[0]
    return Flag(
        "coarse_steps",
        "info",
        width,
        "eV",
        f"there is no point from {gap[0]:.1f} to {gap[1]:.1f} eV; mu is flat there, and a straight "
        "line stands instead; begin the fine steps 15 eV before the edge",
    )


def wrong_element_flag(stated: Edge, found: Edge) -> Flag:
    """Flag a scan whose mu rises at another edge than the stated one."""
    return Flag(
        "wrong_element",
        "warning",
        found.e0,
        "eV",
        f"{stated} is stated ({stated.e0:.0f} eV), but mu rises at the {found} edge "
        f"({found.e0:.0f} eV); correct the element",
    )


def damped_beside(fluorescence: Floats, transmission: Floats) -> float | None:
    """Return the rest's absorption, in edge steps, that explains what fluorescence lacks.

    Parameters
    ----------
    fluorescence, transmission : (g,) arrays
        Flattened, of one scan, on one axis.

    Returns
    -------
    float or None
        None where the two differ by less, or in another way.

    Notes
    -----
    With m the transmission and a the rest, fluorescence is ``(1 + a) m / (a + m)``: what it lacks
    is in proportion to 1 / a.

    Examples
    --------
    >>> m = np.array([0.0, 0.3, 1.0, 1.6, 1.2, 0.9, 1.05])
    >>> damped_beside(3.0 * m / (2.0 + m), m)
    2.0
    >>> damped_beside(m, m) is None
    True
    """
    column = transmission * (1.0 - fluorescence)
    lacks = fluorescence - transmission
    share = float(column @ lacks) / float(column @ column)
    left = lacks - share * column
    if share < DAMPED or float(left @ left) > (1.0 - EXPLAINS) * float(lacks @ lacks):
        return None
    return round(1.0 / share, 6)


def over_absorption_flag(rest: float, seen: str, *, sure: bool) -> Flag:
    """Flag fluorescence that the sample's own absorption damped.

    Parameters
    ----------
    rest : float
        Absorption of all but the edge, edge steps; the smaller, the stronger is the damping.
    seen : str
        What shows it.
    sure : bool
        Whether a transmission of the same scan shows it.
    """
    fix = "use the transmission" if sure else "measure in transmission"
    return Flag(
        "over_absorption",
        "warning" if sure else "info",
        rest,
        "1",
        f"{seen}: the sample seems to absorb its own fluorescence, which damps white line and "
        f"pre-edge (all else absorbs {rest:.1f} edge steps); {fix}, or dilute it, and take the "
        "valence for uncertain",
    )

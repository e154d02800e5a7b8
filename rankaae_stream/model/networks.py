"""Run a model's encoder and decoder in ONNX Runtime."""

from collections.abc import Mapping
from typing import cast

import numpy as np
import onnxruntime
from numpy.typing import ArrayLike, NDArray

from rankaae_stream.errors import ModelError
from rankaae_stream.model.card import ModelCard
from rankaae_stream.model.maps import invert_map
from rankaae_stream.model.runtime import Device, choose, open_network, used_by
from rankaae_stream.spectrum import Floats

__all__ = ["GRAPHS", "PARTIAL", "Model"]

GRAPHS: tuple[str, ...] = ("encoder.onnx", "decoder.onnx", "domain.onnx")
"""The networks of a model folder: two of the edge, and the classifier of all edges."""


PARTIAL = "partial.onnx"
"""The network that answers a part of a spectrum; a model may do without."""


class Model:
    """A trained RankAAE for one edge.

    Parameters
    ----------
    card : ModelCard
    graphs : mapping
        By file name, as in `GRAPHS`: the ONNX files, already checked against the card.
    device : {"auto", "cpu", "cuda"}
        See `runtime.choose`.

    Raises
    ------
    ModelError
        For ``cuda`` where it cannot run.
    """

    def __init__(self, card: ModelCard, graphs: Mapping[str, bytes], device: str = "auto") -> None:
        self.card = card
        encoder, decoder, domain = (graphs[name] for name in GRAPHS)
        self._asked, cpu = choose(device), Device(cuda=False)
        self._encoder = open_network(encoder, self._asked)
        self._decoder = open_network(decoder, self._asked)
        if device == "cuda" and not self.device.cuda:
            raise ModelError(
                f"device = 'cuda' is configured but CUDA does not run {card.name}; ONNX Runtime's "
                "messages say why; set device = 'auto'"
            )
        self._domain = open_network(domain, cpu)
        self._partial = None
        if card.partial is not None:
            self._partial = open_network(graphs[PARTIAL], cpu)

    @property
    def device(self) -> Device:
        """Where encoder and decoder run now; the small networks always run on the CPU."""
        encoder, decoder = (used_by(one, self._asked) for one in (self._encoder, self._decoder))
        return decoder if encoder.cuda else encoder

    def encode(self, flat: NDArray[np.floating]) -> NDArray[np.float32]:
        """Encode spectra (n, grid) to latents (members, n, latent)."""
        return _run(self._encoder, "flat", flat)

    def decode(self, latent: NDArray[np.floating]) -> NDArray[np.float32]:
        """Decode latents (members, n, latent) to spectra (members, n, grid)."""
        return _run(self._decoder, "latent", latent)

    def judge(self, aligned: NDArray[np.floating]) -> NDArray[np.float32]:
        """Return logits (n, kinds) of edge-aligned spectra (n, a); see `domain.edge_aligned`."""
        return _run(self._domain, "aligned", aligned, alike=16)

    def answer_parts(self, parts: NDArray[np.floating]) -> NDArray[np.float32]:
        """Answer parts of spectra, as `spectra.partial.prepared` returns them.

        Parameters
        ----------
        parts : (n, 2 g) array

        Returns
        -------
        (n, 2, 2 k + 1) array
            What the complete spectra will be answered, and the scale of the error: for each
            output of the card, for the logarithm of the model's own half-width of each, and for
            the logarithm of the odds of no oxide.

        Raises
        ------
        ValueError
            Where the card has no `partial`.
        """
        if self._partial is None:
            raise ValueError(f"{self.card.name} answers complete spectra only")
        return _run(self._partial, "part", parts, alike=1)

    def what_if(
        self, name: str, values: ArrayLike, at: NDArray[np.floating] | None = None
    ) -> Floats:
        """Return the spectra that the model expects for other values of one descriptor.

        The other latents stay as they are.

        Parameters
        ----------
        name : str
            Of one of the card's outputs, such as ``oxidation_state``.
        values : (v,) array
            Of the descriptor, in its unit.
        at : (members, latent) or (members, 1, latent) array, optional
            The latents to start from, as `encode` returns them for one measured spectrum.
            By default 0, the middle of the training data.

        Returns
        -------
        (v, grid) array
            Flattened spectra on the model's grid: the mean of the members' curves.

        Raises
        ------
        ValueError
            When the model has no such descriptor, `at` has another shape, or a value lies
            outside the range of all members' maps by more than `error_constant`.

        Notes
        -----
        Each member's latent of this descriptor is set to where the member's own map gives
        the value, as near to `at` as possible (`invert_map`). So for a spectrum whose members
        all estimate the value already, the decoder's reconstruction is returned. Where a
        member's map does not reach the value, its latent is set to the end of the map.

        Examples
        --------
        >>> from rankaae_stream.loading import default_analysis
        >>> model = default_analysis().models["Fe K"]
        >>> ferrous, ferric = model.what_if("oxidation_state", [2.0, 3.0])
        >>> energy = model.card.grid.relative()
        >>> bool(energy[ferric > 0.5][0] - energy[ferrous > 0.5][0] > 1.0)
        True
        """
        output = next((out for out in self.card.outputs if out.name == name), None)
        if output is None:
            known = ", ".join(out.name for out in self.card.outputs)
            raise ValueError(f"{self.card.name} has no descriptor {name!r}; it has {known}")
        members, latents = self.card.members, self.card.latent
        start = np.zeros((members, latents)) if at is None else np.asarray(at, dtype=float)
        if start.shape not in {(members, latents), (members, 1, latents)}:
            raise ValueError(
                f"at has shape {start.shape}, needs ({members}, {latents}): the latents of one "
                "spectrum, encode(flat[None])"
            )
        wanted = np.asarray(values, dtype=float)
        low = min(fitted.value[0] for fitted in output.maps)
        high = max(fitted.value[-1] for fitted in output.maps)
        margin = output.error_constant
        beyond = wanted[~((wanted >= low - margin) & (wanted <= high + margin))]
        if beyond.size:
            raise ValueError(
                f"{name} = {beyond[0]:g} lies outside the range of {self.card.name}, "
                f"{low:.4g} to {high:.4g} {output.unit}"
            )
        latent = np.repeat(start.reshape(members, 1, latents), wanted.size, axis=1)
        for m, fitted in enumerate(output.maps):
            latent[m, :, output.latent] = invert_map(fitted, wanted, latent[m, :, output.latent])
        return self.decode(latent).mean(axis=0, dtype=float)


def _run(
    session: onnxruntime.InferenceSession, name: str, values: NDArray[np.floating], alike: int = 2
) -> NDArray[np.float32]:
    """Run a network on rows (..., n, x), which its output has as (..., n, y), too.

    Rows of 0 make them a multiple of `alike`. One row alone, and in the classifier those beyond
    a multiple of 16, are computed by other instructions than the rest; a spectrum's numbers
    must not depend on its company.
    """
    *first, rows, last = values.shape
    more = -rows % alike
    given = np.zeros((*first, rows + more, last), np.float32)
    given[..., :rows, :] = values
    found = cast("NDArray[np.float32]", session.run(None, {name: given})[0])
    return found[..., :rows, :] if more else found

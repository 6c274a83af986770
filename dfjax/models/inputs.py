"""What a network is given, and what it does with one example, in numbers."""

import dataclasses
from typing import Any, NamedTuple

import jax
from jaxtyping import Array, Bool, Float


class Features(NamedTuple):
    """A frozen encoder's features of captions, and which of them are no padding (at least one of each caption)."""

    features: Float[Array, "batch tokens channels"]
    mask: Bool[Array, "batch tokens"]


@dataclasses.dataclass(frozen=True)
class NetworkInputs:
    """The arrays of one example.

    Attributes:
      shape: height, width, channels of what is noised.
      caption: shapes of its condition, as ``ShapeDtypeStruct``: token ids [tokens], int32, where 0 is padding, or
        :class:`Features` of [tokens, channels] and [tokens].
      vocab_size: ids are below it; 0 where there are none.
    """

    shape: tuple[int, int, int]
    caption: Any
    vocab_size: int = 0

    @property
    def text_tokens(self) -> int:
        return jax.tree.leaves(self.caption)[0].shape[0]

    @property
    def features(self) -> int:
        """Channels of the caption's features; 0 where it is token ids."""
        return self.caption.features.shape[-1] if isinstance(self.caption, Features) else 0


@dataclasses.dataclass(frozen=True)
class Work:
    """What a network does with one example: how it may be split, which attention kernel takes it, and what it costs.

    Attributes:
      text, image: tokens. heads: of attention, of ``head_width`` channels each.
      apart: the two kinds of token are split over devices each by itself, not as one sequence.
      attention: width * tokens^2, summed over the layers.
    """

    text: int
    image: int
    heads: int
    head_width: int
    attention: int
    apart: bool = False

    @property
    def tokens(self) -> int:
        return self.text + self.image

    def met(self, tokens: str | None) -> int:
        """How many tokens meet a parameter with this word of ``parameters.TOKENS``; none without one."""
        counts = {"one": 1, "text": self.text, "image": self.image, "all": self.tokens}
        return counts[tokens] if tokens else 0


def work(model: Any, inputs: NetworkInputs, *, text_depth: int = 0, apart: bool = False) -> Work:
    """The work of a transformer over text and patches together, behind a tower of ``text_depth`` layers over the text.

    Args:
      model: has width, depth, heads and patch, as the config's ``model`` section.
    """
    text, (height, width, _) = inputs.text_tokens, inputs.shape
    image = (height // model.patch) * (width // model.patch)
    attention = model.width * (model.depth * (text + image) ** 2 + text_depth * text**2)
    return Work(text, image, model.heads, model.width // model.heads, attention, apart)

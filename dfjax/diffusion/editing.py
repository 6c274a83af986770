"""Editing pictures, with any sampler: what it starts from, and what its denoiser is."""

from jaxtyping import Array, Float

from dfjax.diffusion.samplers import Denoise

Images = Float[Array, "batch height width channels"]
Masks = Float[Array, "batch height width 1"]
Scalar = Float[Array, ""] | float


def noised(picture: Images, noise: Images, alpha: Scalar, sigma: Scalar) -> Images:
    """alpha x + sigma eps: image-to-image starts here, at the first level of a shortened grid (arXiv 2108.01073).

    Where alpha = 0 (strength 1 under zero terminal SNR) nothing of the picture is left.
    """
    return alpha * picture + sigma * noise


def inpaint(denoise: Denoise, known: Images, mask: Masks) -> Denoise:
    """A denoiser that knows the picture outside the mask: x <- mask x + (1 - mask) known.

    Each solver step is exact where the estimate does not change (see ``tables``). So outside the mask the state is
    alpha x + sigma eps at each level, in agreement with what is drawn inside, and the known picture at the end:
    RePaint's replacement (arXiv 2201.09865, equation 8) without a hook in the sampler, many-step ones included.

    Args:
      known: pictures in [-1, 1]. mask: 1 where the picture is drawn anew, 0 where it is kept; between, mixed.
    """

    def denoised(z: Images, t: Float[Array, ""]) -> Images:
        return known + mask * (denoise(z, t) - known)

    return denoised

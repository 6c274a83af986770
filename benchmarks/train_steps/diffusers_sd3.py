"""diffusers' SD3Transformer2DModel in PyTorch, with the work of dfjax's step around it.

Flow matching of random latents, clipping, AdamW and an average of the weights, each by PyTorch's fused or batched form.
"""

import sys

import child

# It is not needed here, and one that was built for another PyTorch cannot be imported.
sys.modules["torchvision"] = None  # type: ignore[assignment]

import diffusers  # noqa: E402
import torch  # noqa: E402
from torch.optim import swa_utils  # noqa: E402


def rows(sizes: child.Sizes) -> list[tuple[str, int, int]]:
    """Which tokens meet a layer; see ``child.matrices``."""
    text, image = sizes.text_tokens, sizes.tokens
    return [
        ("norm", 1, 6),
        ("timestep_embedder.linear_1", 1, 4),
        ("text_embedder.linear_1", 1, 4),
        ("time_text_embed", 1, 6),
        ("context_embedder", text, 4),
        ("pos_embed", image, 4),
        (".add_", text, 6),
        ("to_add_out", text, 6),
        ("ff_context", text, 6),
        ("", image, 6),
    ]


def make(sizes: child.Sizes, form: str) -> child.Work:
    """``form``: eager or compiled."""
    torch.manual_seed(0)
    # On a CPU torch.compile needs a C++ compiler; it finds its own number of threads, one for each core.
    network = diffusers.SD3Transformer2DModel(
        sample_size=sizes.side,
        patch_size=child.PATCH,
        in_channels=child.LATENT,
        out_channels=child.LATENT,
        num_layers=sizes.depth,
        num_attention_heads=sizes.heads,
        attention_head_dim=sizes.width // sizes.heads,
        joint_attention_dim=child.FEATURES,
        caption_projection_dim=sizes.width,
        pooled_projection_dim=child.FEATURES,
        pos_embed_max_size=sizes.side // child.PATCH,
    )
    parameters = list(network.parameters())
    averages = [parameter.detach().clone() for parameter in parameters]
    average = swa_utils.get_ema_multi_avg_fn(0.999)
    optimizer = torch.optim.AdamW(parameters, lr=1e-4, weight_decay=0.0, fused=True)
    forward = torch.compile(network) if form == "compiled" else network
    latents = torch.randn(sizes.batch, child.LATENT, sizes.side, sizes.side)
    features = torch.randn(sizes.batch, sizes.text_tokens, child.FEATURES)

    def run(steps: int) -> None:
        for _ in range(steps):
            t = torch.sigmoid(torch.randn(sizes.batch))
            noise, level = torch.randn_like(latents), t[:, None, None, None]
            noised = torch.lerp(latents, noise, level)
            velocity = forward(noised, features, features.mean(1), 1000 * t, return_dict=False)[0]
            torch.nn.functional.mse_loss(velocity, noise - latents).backward()
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()
            optimizer.zero_grad()
            average(averages, parameters, None)

    layers = {
        name: module.weight.numel()
        for name, module in network.named_modules()
        if isinstance(module, torch.nn.Linear | torch.nn.Conv2d)
    }
    tokens = sizes.tokens + sizes.text_tokens
    flops = sizes.batch * (child.matrices(layers, rows(sizes)) + child.attention(sizes, tokens))
    versions = f"torch {torch.__version__}, diffusers {diffusers.__version__}"
    return child.Work(run, flops, sum(parameter.numel() for parameter in parameters), versions)


if __name__ == "__main__":
    child.serve(make)

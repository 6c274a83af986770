"""torchvision, also where its compiled part is of another PyTorch: importing it then asks for operators not there."""

import sys

import pytest

# What is declared is taken back when its library goes.
_KEPT: list = []


def make_importable() -> None:
    """Declare the operators that torchvision asks for, if it needs that. Skips the test where there is none."""
    torch = pytest.importorskip("torch", reason="parity tests need PyTorch: pip install 'dfjax[parity]'")
    try:
        pytest.importorskip("torchvision", reason="this reference needs torchvision: pip install 'dfjax[parity]'")
    except RuntimeError:
        for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
            del sys.modules[name]
        library = torch.library.Library("torchvision", "DEF")
        for operator in ("nms", "qnms"):
            library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _KEPT.append(library)

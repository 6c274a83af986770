"""The control of the evaluation: pictures with the captions of others."""

import numpy as np

from benchmarks import shuffle_captions


def test_every_picture_moves_within_its_category_and_none_is_lost():
    pictures = {(f"{number} fruit", "noto"): (f"f{number}", np.full(1, number)) for number in range(20)}
    pictures |= {(f"{number} bird", "noto"): (f"b{number}", np.full(1, number)) for number in range(5)}
    pictures["flag", "noto"] = ("z", np.zeros(1))
    categories = {emoji: emoji[0] for emoji, _ in pictures.values()}
    moved = shuffle_captions.shuffled(pictures, categories)
    assert moved.keys() == pictures.keys()
    assert sorted(emoji for emoji, _ in moved.values()) == sorted(emoji for emoji, _ in pictures.values())
    for pair, (emoji, _) in moved.items():
        assert categories[emoji] == categories[pictures[pair][0]]
        assert (emoji == pictures[pair][0]) == (emoji == "z")

"""A record as it is stored: an encoded picture and what is known about it."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Record:
    """One picture with its caption.

    Attributes:
      id: names the record for people and ledgers, stable for one build of a data set: "emoji_captions/train[17]".
      image: the encoded picture, PNG or JPEG.
      text: the caption, or the name of the class.
      is_label: whether ``text`` is the name of a class.
      concept, style, object: parts of the caption, where the data set has them: "red apple", "noto", "apple".
      category: a group of concepts, where the data set has them: "Food & Drink".
      recolourable: whether the picture has enough colour to be shown in another hue.
    """

    id: str
    image: bytes
    text: str
    is_label: bool = False
    concept: str = ""
    style: str = ""
    object: str = ""
    category: str = ""
    recolourable: bool = False

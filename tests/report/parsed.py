"""The page as a browser's parser sees it."""

import html.parser
import json
from typing import Any

_VOID = {"meta", "input", "wbr", "br", "img"}


class Page(html.parser.HTMLParser):
    """Start tags in order, texts by the tags they are in, and the data of the script."""

    def __init__(self, page: str):
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self._open: list[str] = []
        self.texts: list[tuple[str, str]] = []
        self.feed(page)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in _VOID:
            self._open.append(tag)

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        if self._open:
            self.texts.append((self._open[-1], data))

    def text(self, tag: str = "") -> str:
        """All that is said, or what is said in elements ``tag``."""
        inside = [data for name, data in self.texts if (name == tag if tag else name not in ("script", "style"))]
        return " ".join(inside)

    @property
    def data(self) -> dict[str, Any]:
        """What the script draws."""
        return json.loads(next(data for name, data in self.texts if name == "script"))

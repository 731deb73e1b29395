"""Text in, ids with character offsets out: normalisation, vocabularies, windows over long texts."""

from litebert.text.encoding import Encoding
from litebert.text.tokenizer import AlbertTokenizer
from litebert.text.windows import Window, windows

__all__ = ["AlbertTokenizer", "Encoding", "Window", "windows"]

"""Search in one's own texts: an index of vectors and words on disk or on a server, asked by meaning, by words or both."""

from litebert.search.build import Built, build_index
from litebert.search.faq import Reply
from litebert.search.index import Hit, Index
from litebert.search.models import TextEmbedder
from litebert.search.rerank import reranker

__all__ = ["Built", "Hit", "Index", "Reply", "TextEmbedder", "build_index", "reranker"]

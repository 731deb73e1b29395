"""LangChain's OpenAI embeddings and Cohere reranker against a server; with and without its own tokenizer, whose ids are refused."""

import os
import sys
from importlib.metadata import version

from langchain_openai import OpenAIEmbeddings

address, model = sys.argv[1], "litebert-small-en-embed"
given = {"base_url": f"{address}/v1", "api_key": "any", "model": model, "max_retries": 0}
embeddings = OpenAIEmbeddings(check_embedding_ctx_length=False, **given)
found = embeddings.embed_documents(["a dog", "the moon"])
assert [len(vector) for vector in found] == [384, 384]
assert all(abs(a - b) < 1e-2 for a, b in zip(embeddings.embed_query("a dog"), found[0], strict=True))
assert len(embeddings.embed_documents([f"text {i}" for i in range(1200)])) == 1200  # in chunks of 1000
assert len(OpenAIEmbeddings(check_embedding_ctx_length=False, dimensions=64, **given).embed_query("a dog")) == 64

# By default it sends the ids of OpenAI's tokenizer. Its table is fetched from the web, so a stand-in with such ids takes its place.
import tiktoken  # noqa: E402


class StandIn:
    name = "stand-in"

    def encode(self, text, **_):
        return [100_000 + len(word) for word in text.split()]

    encode_ordinary = encode


tiktoken.encoding_for_model = tiktoken.get_encoding = lambda *_: StandIn()
try:
    OpenAIEmbeddings(**given).embed_documents(["a dog"])
except Exception as error:
    assert "check_embedding_ctx_length=False" in str(error), error
else:
    raise AssertionError("ids of another vocabulary were embedded")

try:
    from langchain_cohere import CohereRerank
    from langchain_core.documents import Document
except ImportError:
    print("langchain_cohere is not here", file=sys.stderr)
else:
    os.environ["COHERE_API_KEY"] = "any"
    ranker = CohereRerank(base_url=address, model="ranker", top_n=1)
    (best,) = ranker.compress_documents([Document("the moon"), Document("a dog")], "pets")
    assert 0 <= best.metadata["relevance_score"] <= 1
print("ok", version("langchain-openai"))

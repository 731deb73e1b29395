"""The cohere package against a server: rerank of both versions, embed with every type, errors by class."""

import sys

import cohere
from cohere.errors import BadRequestError, NotFoundError

address = sys.argv[1]
client = cohere.ClientV2(api_key="any", base_url=address)
documents = ["the moon is far", "a dog barks at night", "rain falls"]

ranked = client.rerank(model="ranker", query="pets", documents=documents, top_n=2)
assert len(ranked.results) == 2 and ranked.results[0].relevance_score >= ranked.results[1].relevance_score
older = cohere.Client(api_key="any", base_url=address).rerank(
    model="ranker", query="pets", documents=documents, return_documents=True
)
assert older.results[0].document.text == documents[older.results[0].index]
assert older.results[0].index == ranked.results[0].index

kinds = ["float", "int8", "uint8", "binary", "ubinary", "base64"]
found = client.embed(
    model="litebert-small-en-embed", input_type="search_document", texts=["a dog", "the moon"], embedding_types=kinds, truncate="END",
)  # fmt: skip
of = found.embeddings
assert [len(row) for row in of.float_] == [384, 384] and [len(row) for row in of.ubinary] == [48, 48]
for plain, int8, uint8, binary, ubinary in zip(of.float_, of.int8, of.uint8, of.binary, of.ubinary, strict=True):
    assert all(abs(small - 127 * value) < 0.6 for small, value in zip(int8, plain, strict=True))
    assert uint8 == [small + 128 for small in int8] and binary == [byte - 128 for byte in ubinary]
    assert ubinary[0] == sum(128 >> i for i in range(8) if plain[i] > 0)
assert isinstance(of.base64[0], str)
short = client.embed(
    model="litebert-small-en-embed",
    input_type="search_query",
    texts=["a dog"],
    embedding_types=["float"],
    output_dimension=64,
)
assert len(short.embeddings.float_[0]) == 64

for kind, call in (
    (NotFoundError, lambda: client.rerank(model="nobody", query="q", documents=["a"])),
    (BadRequestError, lambda: client.rerank(model="ranker", query="q", documents=[])),
):
    try:
        call()
    except kind as error:
        assert error.body["message"], error
    else:
        raise AssertionError(kind)
print("ok", cohere.__version__)

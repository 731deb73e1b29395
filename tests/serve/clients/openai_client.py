"""The openai package against a server: embeddings in both forms, dimensions, models, errors by class, the key."""

import sys
from math import isclose

import openai

address, model = sys.argv[1], "litebert-small-en-embed"
client = openai.OpenAI(base_url=f"{address}/v1", api_key="any", max_retries=0)

packed = client.embeddings.create(model=model, input=["a dog", "the moon"])  # asks for base64 by itself
plain = client.embeddings.create(model=model, input=["a dog", "the moon"], encoding_format="float")
assert [row.index for row in packed.data] == [0, 1] and packed.model == model and packed.usage.prompt_tokens > 4
for one, other in zip(packed.data, plain.data, strict=True):
    assert len(one.embedding) == 384 and all(
        map(lambda a, b: isclose(a, b, abs_tol=1e-2), one.embedding, other.embedding)
    )
assert len(client.embeddings.create(model=model, input="a dog", dimensions=64).data[0].embedding) == 64
assert model in [one.id for one in client.models.list()] and client.models.retrieve(model).id == model

for kind, arguments in (
    (openai.BadRequestError, {"model": model, "input": "a", "dimensions": 100_000}),
    (openai.BadRequestError, {"model": model, "input": [[100_256, 31]]}),
    (openai.NotFoundError, {"model": "nobody", "input": "a"}),
):
    try:
        client.embeddings.create(**arguments)
    except kind as error:
        assert error.body["message"] and error.body["type"] and error.request_id, error.body
    else:
        raise AssertionError(arguments)
print("ok", openai.__version__)

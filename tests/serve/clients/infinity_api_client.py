"""infinity's generated client against a server, under /infinity."""

import sys
from importlib.metadata import version

from infinity_client import Client
from infinity_client.api.default import classify, embeddings, health, models, rerank
from infinity_client.models import ClassifyInput, RerankInput
from infinity_client.models import OpenAIEmbeddingInputText as EmbeddingInput

client = Client(base_url=f"{sys.argv[1]}/infinity")
assert health.sync(client=client) is not None
assert models.sync(client=client).data
found = embeddings.sync(
    client=client, body=EmbeddingInput(input_=["a dog", "the moon"], model="litebert-small-en-embed")
)
assert len(found.data) == 2 and len(found.data[0].embedding) == 384
ranked = rerank.sync(
    client=client, body=RerankInput(query="pets", documents=["a dog", "rain"], model="ranker", return_documents=True)
)
assert len(ranked.results) == 2 and ranked.results[0].document in ("a dog", "rain")
labels = classify.sync(client=client, body=ClassifyInput(input_=["good"], model="mood"))
assert len(labels.data[0]) == 3
print("ok", version("infinity_client"))

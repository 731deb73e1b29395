"""LlamaIndex's classes for Text Embeddings Inference, and its Jina reranker, against a server."""

import sys
from importlib.metadata import version

import numpy as np
from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode
from llama_index.embeddings.text_embeddings_inference import TextEmbeddingsInference
from llama_index.postprocessor.tei_rerank import TextEmbeddingInference

address = sys.argv[1]
embeddings = TextEmbeddingsInference(model_name="litebert-small-en-embed", base_url=address, timeout=60)
batch = np.array(embeddings.get_text_embedding_batch([f"text number {i}" for i in range(25)]))
assert batch.shape == (25, 384)
assert np.allclose(embeddings.get_text_embedding("text number 3"), batch[3], atol=2e-2)
assert len(embeddings.get_query_embedding("a dog")) == 384

nodes = [NodeWithScore(node=TextNode(text=text), score=0.0) for text in ("the moon", "a dog", "rain")]
ranked = TextEmbeddingInference(base_url=address, top_n=2, model_name="ranker").postprocess_nodes(
    nodes, QueryBundle("pets")
)
assert len(ranked) == 2 and ranked[0].score >= ranked[1].score

try:
    from llama_index.postprocessor.jinaai_rerank import JinaRerank
except ImportError:
    print("JinaRerank is not here", file=sys.stderr)
else:
    jina = JinaRerank(base_url=f"{address}/v1", api_key="any", model="ranker", top_n=2)
    again = jina.postprocess_nodes(nodes, QueryBundle("pets"))
    assert [one.node.text for one in again] == [one.node.text for one in ranked]
    try:
        JinaRerank(base_url=f"{address}/v1", api_key="any", model="nobody").postprocess_nodes(
            nodes, QueryBundle("pets")
        )
    except RuntimeError as error:
        assert "nobody" in str(error), error
    else:
        raise AssertionError("a model that is not there ranked")
print("ok", version("llama-index-embeddings-text-embeddings-inference"))

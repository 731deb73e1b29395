"""What people write: FastAPI around transformers, one request after the other. A peer for ``peers.py``.

python benchmarks/serve/plain_server.py MODEL_FOLDER PORT WINDOW [PROCESSES]

Several processes share the port and the processors.
"""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import torch
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel
from transformers import AutoModel, AutoTokenizer

state: dict[str, object] = {}


@asynccontextmanager
async def loaded(_app: FastAPI) -> AsyncIterator[None]:
    folder = os.environ["PLAIN_FOLDER"]
    state["tokenizer"], state["model"] = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()
    state["window"] = int(os.environ["PLAIN_WINDOW"])
    torch.set_num_threads(max(torch.get_num_threads() // int(os.environ["PLAIN_PROCESSES"]), 1))
    yield


app = FastAPI(lifespan=loaded)


class Body(BaseModel):
    input: str | list[str]


@app.post("/embeddings")
def embeddings(body: Body) -> dict:
    texts = [body.input] if isinstance(body.input, str) else body.input
    tokenizer, model = state["tokenizer"], state["model"]
    batch = tokenizer(texts, padding=True, truncation=True, max_length=state["window"], return_tensors="pt")
    with torch.inference_mode():
        states = model(**batch).last_hidden_state
    mask = batch["attention_mask"][..., None]
    vectors = torch.nn.functional.normalize((states * mask).sum(1) / mask.sum(1), dim=-1)
    return {"data": [{"index": i, "embedding": vector} for i, vector in enumerate(vectors.tolist())]}


if __name__ == "__main__":
    folder, port, window, *processes = sys.argv[1:]
    count = int(processes[0]) if processes else 1
    os.environ |= {"PLAIN_FOLDER": folder, "PLAIN_WINDOW": window, "PLAIN_PROCESSES": str(count)}
    where = str(Path(__file__).parent)
    uvicorn.run("plain_server:app", app_dir=where, host="127.0.0.1", port=int(port), log_level="error", workers=count)

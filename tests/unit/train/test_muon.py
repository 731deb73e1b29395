"""Muon: orthogonal updates for the block's matrices, torch's AdamW for the rest."""

import copy

import pytest
import torch

from litebert.config import AlbertConfig
from litebert.model.heads import AlbertForPreTraining
from litebert.train.muon import MOMENTUM, Muon, orthogonalised
from litebert.train.optimizers import make_optimizer, parameter_groups, set_learning_rate

SHAPES = [(16, 16), (32, 32), (96, 24), (24, 96), (64, 48), (128, 512), (512, 128), (1, 8), (8, 1)]


def random_matrix(shape, seed, spread=1.0):
    """A random matrix whose singular values lie evenly between ``1 - spread`` and 1, none at zero."""
    generator = torch.Generator().manual_seed(seed)
    u, _, v = torch.linalg.svd(torch.randn(shape, generator=generator), full_matrices=False)
    return u @ torch.diag(torch.linspace(1, 1 - spread, min(shape))) @ v


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("scale", [1e-4, 1.0, 1e3])
def test_singular_values_come_near_one(shape, scale):
    for seed in range(3):
        found = orthogonalised(random_matrix(shape, seed, spread=0.8) * scale)
        values = torch.linalg.svdvals(found)
        assert values.min() > 0.6 and values.max() < 1.3


@pytest.mark.parametrize("shape", [(96, 24), (24, 96), (64, 48), (128, 512)])
def test_singular_values_of_gaussian_matrices(shape):
    for seed in range(3):
        values = torch.linalg.svdvals(orthogonalised(torch.randn(shape, generator=torch.Generator().manual_seed(seed))))
        assert values.min() > 0.6 and values.max() < 1.3


def test_directions_are_kept():
    """The nearest semi-orthogonal matrix is U V', not any orthogonal one."""
    m = random_matrix((32, 64), 1, spread=0.5)
    u, _, v = torch.linalg.svd(m, full_matrices=False)
    inside = u.T @ orthogonalised(m) @ v.T
    assert torch.diagonal(inside).min() > 0.6
    assert (inside - torch.diag(torch.diagonal(inside))).abs().max() < 0.05


def test_zero_stays_zero_and_dtype_is_kept():
    assert not orthogonalised(torch.zeros(4, 6)).any()
    assert orthogonalised(torch.ones(4, 6)).dtype == torch.float32


# --- Steps ----------------------------------------------------------------------------------------------------------------


def group(parameters, **changes):
    return {"params": parameters, "weight_decay": 0.0, "matrix": True, "parts": 1, "lr": 0.02, **changes}


def optimizer(*groups):
    return Muon(list(groups), betas=(0.9, 0.99), epsilon=1e-8)


def matrix(shape, seed):
    return torch.nn.Parameter(torch.randn(shape, generator=torch.Generator().manual_seed(seed)))


@pytest.mark.parametrize(("shape", "scale"), [((24, 96), 1.0), ((96, 24), 2.0)])
def test_three_steps_by_hand(shape, scale):
    """Nesterov momentum, decoupled decay, and the factor sqrt(rows / columns) of tall matrices."""
    p = matrix(shape, 0)
    expected, momentum = p.detach().clone(), torch.zeros(shape)
    muon = optimizer(group([p], weight_decay=0.1))
    for step in range(3):
        gradient = torch.randn(shape, generator=torch.Generator().manual_seed(10 + step))
        p.grad = gradient.clone()
        muon.step()
        assert torch.equal(p.grad, gradient), "the gradient is left as it is"
        momentum = MOMENTUM * momentum + (1 - MOMENTUM) * gradient
        update = orthogonalised(MOMENTUM * momentum + (1 - MOMENTUM) * gradient)
        expected = expected * (1 - 0.02 * 0.1) - 0.02 * scale * update
        torch.testing.assert_close(p.detach(), expected, rtol=1e-2, atol=1e-3)  # bfloat16 rounds the products
    assert (p.detach() - expected).norm() < 0.02 * (3 * 0.02 * update.norm())


def test_queries_keys_and_values_are_three_matrices():
    fused = matrix((96, 32), 1)
    apart = [torch.nn.Parameter(part.detach().clone()) for part in fused.chunk(3)]
    gradient = (
        torch.randn(96, 32, generator=torch.Generator().manual_seed(2))
        * torch.tensor([1.0, 100.0, 0.01]).repeat_interleave(32)[:, None]
    )
    fused.grad = gradient
    for p, g in zip(apart, gradient.chunk(3), strict=True):
        p.grad = g.clone()
    before = fused.detach().clone()
    optimizer(group([fused], parts=3)).step()
    optimizer(group(apart)).step()
    assert torch.equal(fused.detach(), torch.cat([p.detach() for p in apart]))
    norms = [float(part.norm()) for part in (fused.detach() - before).chunk(3)]
    assert max(norms) < 1.2 * min(norms), "a loud part does not drown the others"

    whole = torch.nn.Parameter(before.clone())  # the mutation: one matrix
    whole.grad = gradient
    optimizer(group([whole], parts=1)).step()
    assert not torch.allclose(whole, fused, atol=1e-3)


def test_the_rest_is_torchs_adamw():
    ours, theirs = [matrix((7, 5), 1), matrix((9,), 2)], [matrix((7, 5), 1), matrix((9,), 2)]
    muon = optimizer(group(ours[:1], matrix=False, weight_decay=0.1, lr=0.01), group(ours[1:], matrix=False, lr=0.003))
    adamw = torch.optim.AdamW(
        [{"params": theirs[:1], "weight_decay": 0.1, "lr": 0.01}, {"params": theirs[1:], "weight_decay": 0.0, "lr": 0.003}],
        betas=(0.9, 0.99), eps=1e-8, fused=True,
    )  # fmt: skip
    for step in range(10):
        for a, b in zip(ours, theirs, strict=True):
            a.grad = torch.randn(a.shape, generator=torch.Generator().manual_seed(step))
            b.grad = a.grad.clone()
        muon.step()
        adamw.step()
        assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


def test_parameters_without_a_gradient_stay():
    p, q = matrix((4, 4), 1), matrix((4,), 2)
    before = p.detach().clone(), q.detach().clone()
    optimizer(group([p], weight_decay=0.5), group([q], matrix=False, weight_decay=0.5)).step()
    assert torch.equal(p, before[0]) and torch.equal(q, before[1])


# --- On a model -----------------------------------------------------------------------------------------------------------


def network():
    torch.manual_seed(0)
    config = AlbertConfig(
        vocab_size=50, embedding_size=8, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=16, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
    )  # fmt: skip
    return AlbertForPreTraining(config, attention="eager")


def made(model):
    groups = parameter_groups(model, weight_decay=0.01, matrix_factor=7.0)
    return make_optimizer("muon", groups, betas=(0.9, 0.99), epsilon=1e-8), groups


def train(model, muon, steps, rate=1e-3):
    for step in steps:
        ids = torch.randint(5, 50, (4, 12), generator=torch.Generator().manual_seed(step))
        muon.zero_grad()
        model(ids, labels=ids, sentence_order_label=torch.tensor([0, 1, 0, 1])).loss.backward()
        set_learning_rate(muon, rate)
        muon.step()


def test_only_the_blocks_matrices_are_muons():
    muon, groups = made(network())
    names = {name: g for g in groups for name in g["names"]}
    block = {n.rsplit(".", 2)[-2] + "." + n.rsplit(".", 2)[-1]: g for n, g in names.items() if g["matrix"]}
    assert set(block) == {"qkv.weight", "output.weight", "widen.weight", "narrow.weight"}
    assert {n: g["parts"] for n, g in block.items()} == {
        "qkv.weight": 3,
        "output.weight": 1,
        "widen.weight": 1,
        "narrow.weight": 1,
    }
    assert sum(len(g["params"]) for g in groups) == len(list(network().parameters()))
    set_learning_rate(muon, 1e-3)
    assert {(g["matrix"], round(g["lr"], 9)) for g in muon.param_groups} == {(True, 7e-3), (False, 1e-3)}


def test_state_goes_on_exactly(tmp_path):
    """Written to a file and read with weights only, as a checkpoint is."""
    model = network()
    muon, _ = made(model)
    train(model, muon, range(4))
    torch.save({"model": model.state_dict(), "optimizer": muon.state_dict()}, tmp_path / "state.pt")
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    other = network()
    resumed, _ = made(other)
    other.load_state_dict(state["model"])
    resumed.load_state_dict(state["optimizer"])
    first = copy.deepcopy(muon.state_dict()["state"])
    assert all(torch.equal(first[k][n], v) for k, s in resumed.state_dict()["state"].items() for n, v in s.items())
    train(model, muon, range(4, 8))
    train(other, resumed, range(4, 8))
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), other.parameters(), strict=True))


def test_it_learns():
    model = network()
    muon, _ = made(model)
    ids = torch.randint(5, 50, (4, 12), generator=torch.Generator().manual_seed(0))
    before = float(model(ids, labels=ids).loss.detach())
    train(model, muon, [0] * 40, rate=1e-2)
    assert float(model(ids, labels=ids).loss.detach()) < 0.7 * before

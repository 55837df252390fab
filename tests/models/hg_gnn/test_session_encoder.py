"""Eq. (9)-(18) against the formulas written out item by item."""

import math
from typing import Any

import torch
from torch import Tensor

from segue.data.batches import Prefixes
from segue.models.hg_gnn.session_encoder import PersonalisedSessionEncoder, masked_softmax

D, LENGTH = 5, 4


def literal(encoder: PersonalisedSessionEncoder, p: Tensor, q: Tensor, items: list[int]) -> Tensor:
    """S_u of one prefix, oldest item first, as the paper writes it."""
    l = len(items)  # noqa: E741
    position = encoder.position.weight
    p_prime = [encoder.w_c.weight @ torch.cat([p[v], position[l - 1 - i]]) for i, v in enumerate(items)]  # (9)
    mean = sum(p_prime) / l  # (10)
    epsilon = torch.stack(
        [
            encoder.v_0.weight[0] @ torch.sigmoid(encoder.w_0.weight @ x + encoder.w_1.weight @ mean + encoder.w_1.bias)
            for x in p_prime
        ]
    )  # (12)
    alpha = epsilon.softmax(0)  # (11)
    current = sum(a * x for a, x in zip(alpha, p_prime, strict=True))  # (13)
    e = torch.stack(
        [
            encoder.v_1.weight[0] @ torch.sigmoid(encoder.w_2.weight @ p[v] + encoder.w_3.weight @ q + encoder.w_2.bias)
            for v in items
        ]
    )  # (15)
    gamma = e.softmax(0)  # (14)
    general = sum(g * p[v] for g, v in zip(gamma, items, strict=True))  # (16)
    gate = torch.sigmoid(encoder.w_s.weight @ torch.cat([current, general]))  # (17)
    return gate * current + (1 - gate) * general  # (18)


def read(encoder: PersonalisedSessionEncoder, p: Tensor, q: Tensor, prefixes: list[list[int]]) -> Tensor:
    width = max(map(len, prefixes))
    items = torch.tensor([x + [0] * (width - len(x)) for x in prefixes])
    lengths = torch.tensor([len(x) for x in prefixes])
    reversed_position = lengths[:, None] - 1 - torch.arange(width)
    mask = reversed_position >= 0
    return encoder(p, q, items, Prefixes(items, mask, reversed_position.clamp(min=0))).session


def encoder(**switches: Any) -> PersonalisedSessionEncoder:
    torch.manual_seed(3)
    chosen = {"current": True, "general": True, "user": True, **switches}
    return PersonalisedSessionEncoder(D, LENGTH, **chosen).double()


def test_equals_the_equations_written_out() -> None:
    model, p, q = encoder(), torch.randn(6, D).double(), torch.randn(3, D).double()
    prefixes = [[1, 2, 1], [5], [0, 3, 3, 4]]
    expected = torch.stack([literal(model, p, q[i], x) for i, x in enumerate(prefixes)])
    torch.testing.assert_close(read(model, p, q, prefixes), expected, rtol=1e-12, atol=1e-12)


def test_the_last_item_is_the_last_click_and_order_matters() -> None:
    model, p, q = encoder(), torch.randn(6, D).double(), torch.randn(1, D).double()
    assert not torch.allclose(read(model, p, q, [[1, 2]]), read(model, p, q, [[2, 1]]))


def test_ablations_of_table_4() -> None:
    p, q = torch.randn(6, D).double(), torch.randn(1, D).double()
    both = encoder()
    prefixes = Prefixes(torch.tensor([[1, 2]]), torch.ones(1, 2, dtype=torch.bool), torch.tensor([[1, 0]]))
    reading = both(p, q, prefixes.items, prefixes)
    for name, part in [("general", reading.current), ("current", reading.general)]:
        one = encoder(**{name: False})
        one.load_state_dict(both.state_dict(), strict=False)
        torch.testing.assert_close(one(p, q, prefixes.items, prefixes).session, part)


def test_with_one_item_the_user_changes_nothing() -> None:
    """A property of the paper's equations: the attention weight of a single item is 1 whoever asks."""
    model, p = encoder(), torch.randn(6, D).double()
    one, other = torch.randn(1, D).double(), torch.randn(1, D).double()
    torch.testing.assert_close(read(model, p, one, [[4]]), read(model, p, other, [[4]]))
    assert not torch.allclose(read(model, p, one, [[4, 2]]), read(model, p, other, [[4, 2]]))


def test_an_empty_prefix_reads_as_zero() -> None:
    model = encoder()
    nothing = Prefixes(
        torch.zeros(1, 1, dtype=torch.int64), torch.zeros(1, 1, dtype=torch.bool), torch.zeros(1, 1).long()
    )
    reading = model(torch.randn(2, D).double(), torch.randn(1, D).double(), nothing.items, nothing)
    assert torch.equal(reading.session, torch.zeros(1, D).double())


def test_raw_weights_are_the_logits_themselves() -> None:
    """With v = 0 every raw weight is 0 where a softmax would share 1; padded cells weigh nothing."""
    p, q = torch.randn(6, D).double(), torch.randn(2, D).double()
    soft, raw = encoder(), encoder(attention="raw")
    raw.load_state_dict(soft.state_dict())
    items, lengths = torch.tensor([[1, 2, 3], [4, 0, 0]]), torch.tensor([3, 1])
    reversed_position = lengths[:, None] - 1 - torch.arange(3)
    prefixes = Prefixes(items, reversed_position >= 0, reversed_position.clamp(min=0))
    reading, of_soft = (model(p, q, items, prefixes) for model in (raw, soft))
    for found, wanted in ((reading.alpha, of_soft.alpha), (reading.gamma, of_soft.gamma)):
        torch.testing.assert_close(masked_softmax(found, prefixes.mask), wanted, rtol=1e-12, atol=1e-12)
        assert found[1, 1:].tolist() == [0.0, 0.0]
    with torch.no_grad():
        raw.v_0.weight.zero_()
        raw.v_1.weight.zero_()
    assert not raw(p, q, items, prefixes).session.any()


def test_a_scalar_gate_is_one_number_with_a_bias() -> None:
    p, q = torch.randn(6, D).double(), torch.randn(1, D).double()
    model = encoder(gate="scalar")
    prefixes = Prefixes(torch.tensor([[1, 2]]), torch.ones(1, 2, dtype=torch.bool), torch.tensor([[1, 0]]))
    with torch.no_grad():
        model.w_s.weight.zero_()
        model.w_s.bias.fill_(math.log(3))
    reading = model(p, q, prefixes.items, prefixes)
    torch.testing.assert_close(reading.gate, torch.full((1, D), 0.75).double())
    torch.testing.assert_close(reading.session, 0.75 * reading.current + 0.25 * reading.general)


def test_with_tanh_the_sums_are_over_the_items_themselves() -> None:
    """With one item and a softmax both preferences are that item, whatever the tanh layers say."""
    p, q = torch.randn(6, D).double(), torch.randn(1, D).double()
    model = encoder(hidden="tanh")
    torch.testing.assert_close(read(model, p, q, [[4]])[0], p[4])
    literal_alpha = []
    for place, item in enumerate([1, 2]):
        inside = torch.tanh(model.w_c.weight @ torch.cat([p[item], model.position.weight[1 - place]]))
        hidden = model.w_0.weight @ inside + model.w_1.weight @ ((p[1] + p[2]) / 2) + model.w_1.bias
        literal_alpha.append(model.v_0.weight[0] @ torch.sigmoid(hidden))
    literal_gamma = [
        model.v_1.weight[0]
        @ torch.sigmoid(
            model.w_2.weight @ torch.tanh(model.w_g.weight @ p[item]) + model.w_2.bias + model.w_3.weight @ q[0]
        )
        for item in (1, 2)
    ]
    prefixes = Prefixes(torch.tensor([[1, 2]]), torch.ones(1, 2, dtype=torch.bool), torch.tensor([[1, 0]]))
    reading = model(p, q, prefixes.items, prefixes)
    torch.testing.assert_close(reading.alpha[0], torch.stack(literal_alpha).softmax(0), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(reading.gamma[0], torch.stack(literal_gamma).softmax(0), rtol=1e-12, atol=1e-12)


def test_masked_softmax_sums_to_one_or_zero() -> None:
    mask = torch.tensor([[True, True, False], [False, False, False]])
    weights = masked_softmax(torch.tensor([[1000.0, 1000.0, 9e9], [1.0, 2.0, 3.0]]), mask)
    assert weights.tolist() == [[0.5, 0.5, 0.0], [0.0, 0.0, 0.0]]

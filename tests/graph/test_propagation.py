"""Eq. (4): the mean over neighbours, its gradient, and the memory it takes (T16)."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_graphs import random_tables
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten

from segue.graph.hetero import HeteroGraph
from segue.graph.propagation import Csr, csr_rows, neighbour_mean

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]


@pytest.fixture(params=DEVICES)
def device(request):
    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    return request.param


def dense(csr):
    """The row-normalised matrix A_r of eq. (4), built entry by entry."""
    matrix = torch.zeros(csr.n_rows, csr.n_columns, dtype=torch.float64)
    for row in range(csr.n_rows):
        for position in range(int(csr.offsets[row]), int(csr.offsets[row + 1])):
            matrix[row, csr.indices[position]] += 1 / int(csr.offsets[row + 1] - csr.offsets[row])
    return matrix


def csr_of(rows, n_columns):
    lengths = torch.tensor([0] + [len(row) for row in rows])
    return Csr(lengths.cumsum(0), torch.tensor([c for row in rows for c in row], dtype=torch.int64), n_columns)


lists = st.lists(st.lists(st.integers(0, 5), max_size=6, unique=True), min_size=1, max_size=8)


@settings(max_examples=50)
@given(rows=lists)
def test_mean_equals_the_dense_product_and_rows_sum_to_one_or_zero(rows):
    csr = csr_of(rows, 6)
    table = torch.randn(6, 3, dtype=torch.float64)
    torch.testing.assert_close(neighbour_mean(table, csr), dense(csr) @ table)
    sums = neighbour_mean(torch.eye(6, dtype=torch.float64), csr).sum(1)
    torch.testing.assert_close(sums, torch.tensor([1.0 if row else 0.0 for row in rows], dtype=torch.float64))


def test_every_relation_of_a_real_graph_has_rows_that_sum_to_one_or_zero():
    graph = HeteroGraph.from_edges(random_tables())
    assert len(graph.csr) == 9
    for csr in graph.csr.values():
        sums = neighbour_mean(torch.ones(csr.n_columns, 1, dtype=torch.float64), csr).squeeze(1)
        torch.testing.assert_close(sums, (csr.offsets.diff() > 0).double())


@pytest.mark.parametrize("rows", [[[0, 2, 5], [], [1], [5, 4, 3, 2]], [[], []]])
def test_gradient(rows, device):
    csr = csr_of(rows, 6).to(device)
    table = torch.randn(6, 4, dtype=torch.float64, device=device, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: neighbour_mean(x, csr), (table,))


def test_single_precision_agrees_with_double(device):
    csr = HeteroGraph.from_edges(random_tables()).csr["interact"].to(device)
    table = torch.randn(csr.n_columns, 16, dtype=torch.float64, device=device, requires_grad=True)
    single = table.detach().float().requires_grad_()
    upstream = torch.randn(csr.n_rows, 16, dtype=torch.float64, device=device)
    for x, gradient in ((table, upstream), (single, upstream.float())):
        neighbour_mean(x, csr).backward(gradient)
    torch.testing.assert_close(single.grad.double(), table.grad, rtol=1e-5, atol=1e-6)


def test_a_relation_from_nobody_gives_zeros():
    silent = Csr(torch.zeros(4, dtype=torch.int64), torch.empty(0, dtype=torch.int64), 0)
    table = torch.empty(0, 5, requires_grad=True)
    mean = neighbour_mean(table, silent)
    assert torch.equal(mean, torch.zeros(3, 5))
    mean.sum().backward()
    assert table.grad.shape == (0, 5)


class LargestTensor(TorchDispatchMode):
    """Remembers the most numbers that any one operator produced."""

    def __init__(self):
        super().__init__()
        self.most = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        produced = function(*args, **(kwargs or {}))
        sizes = [leaf.numel() for leaf in tree_flatten(produced)[0] if isinstance(leaf, torch.Tensor)]
        self.most = max([self.most, *sizes])
        return produced


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_no_tensor_has_a_row_for_every_edge(dtype, device):
    random = np.random.default_rng(0)
    pairs = torch.from_numpy(random.integers(0, 40, (2, 2000)))
    csr = Csr.from_pairs(pairs[0], pairs[1], 40, 40).to(device)
    table = torch.randn(40, 8, dtype=dtype, device=device, requires_grad=True)
    assert csr.n_edges > 1000
    with LargestTensor() as seen:
        neighbour_mean(table, csr).square().sum().backward()
    assert 40 * 8 <= seen.most < csr.n_edges * 2
    with LargestTensor() as seen:
        table.detach()[csr.indices]
    assert seen.most == csr.n_edges * 8, "the probe must see a message per edge"


def test_the_backward_pass_is_the_same_on_every_run():
    csr = HeteroGraph.from_edges(random_tables()).csr["interacted_by"]
    table = torch.randn(csr.n_columns, 8)
    gradients = []
    for threads in (1, 2, 2):
        torch.set_num_threads(threads)
        x = table.clone().requires_grad_()
        neighbour_mean(x, csr).sin().sum().backward()
        gradients.append(x.grad)
    assert torch.equal(gradients[0], gradients[1])
    assert torch.equal(gradients[1], gradients[2])


@settings(max_examples=50)
@given(rows=lists, chosen=st.lists(st.integers(0, 100), max_size=6))
def test_csr_rows_expands_the_chosen_rows_in_order(rows, chosen):
    chosen = [number % len(rows) for number in chosen]
    csr = csr_of(rows, 6)
    positions, owner = csr_rows(csr.offsets, torch.tensor(chosen, dtype=torch.int64))
    assert csr.indices[positions].tolist() == [c for number in chosen for c in rows[number]]
    assert owner.tolist() == [place for place, number in enumerate(chosen) for _ in rows[number]]
    selected = csr.select(torch.tensor(chosen, dtype=torch.int64))
    torch.testing.assert_close(dense(selected), dense(csr)[chosen])


@settings(max_examples=50)
@given(rows=lists)
def test_transposed_swaps_rows_and_columns(rows):
    transposed = csr_of(rows, 6).transposed
    back = [transposed.indices[a:b].tolist() for a, b in zip(transposed.offsets, transposed.offsets[1:], strict=False)]
    assert back == [[r for r, row in enumerate(rows) if c in row] for c in range(6)]


def test_from_pairs_counts_a_repeated_pair_once():
    csr = Csr.from_pairs(torch.tensor([2, 0, 2, 2]), torch.tensor([1, 3, 1, 0]), 4, 5)
    assert csr.offsets.tolist() == [0, 1, 1, 3, 3]
    assert csr.indices.tolist() == [3, 0, 1]


def test_from_pairs_keeps_parallel_edges_when_asked():
    csr = Csr.from_pairs(torch.tensor([2, 0, 2, 2]), torch.tensor([1, 3, 1, 0]), 4, 5, parallel=True)
    assert csr.offsets.tolist() == [0, 1, 1, 4, 4]
    assert csr.indices.tolist() == [3, 0, 1, 1]

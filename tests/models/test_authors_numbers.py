"""Numbers that the authors' own networks give, with weights and sessions that are written out here.

Each program ran unchanged under torch 2.13 on a CPU, in float64 where it asks for float32. Its parameters, sorted by
name, were set by a formula: the one at place k, read row by row, holds sin(0.7 n + k) / 2 at place n. Here the same
numbers go to Segue's parameters.

- SR-GNN: github.com/CRIPAC-DIG/SR-GNN at e21cfa4, pytorch_code/{model,utils}.py, forward with two steps.
- GCE-GNN: github.com/CCIIPLab/GCE-GNN at 2125753, {model,aggregator,utils}.py, forward in evaluation mode with two hops
  and the three most frequent neighbours per item, ties by the smaller id, counted as in their build_graph.py.
- GRU4Rec: github.com/hidasib/GRU4Rec_PyTorch_Official at d1fc311, gru4rec_pytorch.py, two epochs of `fit` with
  batch_size=2, learning_rate=0.05, momentum=0.3, n_sample=0; logq=1 with the cross entropy, bpreg=1 and elu_param=0.5
  with BPR-max.

NARM, H-RNN and A-PGNN run under Theano and TensorFlow 1. Their formulas, above all that of the GRU with the reset gate
before the product, are written out in plain loops in test_narm.py, test_hrnn.py, a_pgnn/ and nn/test_recurrent.py.
"""

from __future__ import annotations

import pytest
import torch
import worlds
from torch import Tensor, nn

from segue import models
from segue.contract.encoder import SessionEncoder
from segue.models.gce_gnn.model import GCEGNN
from segue.models.sr_gnn import SRGNN
from segue.training.optimizers import optimizer_of

# Items are numbered from 0 here, from 1 there, where row 0 of every table is padding.
PREFIXES = [[0], [0, 1], [2, 0, 2], [3, 1, 4, 1, 3]]


def made(place: int, *shape: int) -> Tensor:
    """The parameter at this place of the sorted names."""
    numbers = torch.arange(torch.Size(shape).numel(), dtype=torch.float64)
    return (torch.sin(0.7 * numbers + place) / 2).view(shape)


def put(values: dict[nn.Parameter, Tensor]) -> None:
    for parameter, value in values.items():
        parameter.data.copy_(value)


def scores_of_prefixes(model: SessionEncoder) -> Tensor:
    model.double().eval()
    return torch.cat([worlds.scores_of(model, worlds.request_of(model, prefix)) for prefix in PREFIXES])


def test_sr_gnn() -> None:
    options = {"name": "sr_gnn", "preset": "official", "dim": 3, "steps": 2}
    model = worlds.fitted({"model": options}, worlds.corpus_of([[[0, 1, 2, 3, 4]]]))
    assert isinstance(model, SRGNN)
    assert model.propagation is not None
    model.double()
    step, attention = model.propagation, model.attention
    put(
        {
            model.embedding.weight: made(0, 6, 3)[1:],
            step.gru.bias_hh: made(1, 9),
            step.bias: torch.cat([made(2, 3), made(4, 3)]),
            step.gru.bias_ih: made(3, 9),
            step.incoming.bias: made(7, 3),
            step.incoming.weight: made(8, 3, 3),
            step.outgoing.bias: made(9, 3),
            step.outgoing.weight: made(10, 3, 3),
            step.gru.weight_hh: made(11, 9, 3),
            step.gru.weight_ih: made(12, 9, 6),
            attention.of_last.bias: made(13, 3),
            attention.of_last.weight: made(14, 3, 3),
            attention.query.weight: made(15, 1, 3),
            attention.transform.bias: made(16, 3),
            attention.transform.weight: made(17, 3, 6),
            attention.of_each.bias: made(18, 3),
            attention.of_each.weight: made(19, 3, 3),
        }
    )
    wanted = [
        [0.113070465367, 0.396110242235, -0.513019890936, 0.121881944807, 0.389956640822],
        [-0.006809346255, 0.392200471325, -0.389192414086, 0.000764077057, 0.388420931434],
        [0.087106074946, 0.376681247147, -0.467438195542, 0.095287457174, 0.371227192399],
        [-0.117869573208, 0.408377213112, -0.294465717287, -0.111057472492, 0.406599582035],
    ]
    torch.testing.assert_close(scores_of_prefixes(model), torch.tensor(wanted, dtype=torch.float64), rtol=0, atol=1e-11)


def test_gce_gnn() -> None:
    sessions = [[0, 1, 2, 1], [3, 1, 4], [2, 0, 3, 3, 4]]
    options = {"name": "gce_gnn", "preset": "official", "dim": 3, "hops": 2, "neighbours": 3}
    model = worlds.fitted({"model": options}, worlds.corpus_of([sessions]))
    assert isinstance(model, GCEGNN)
    assert (model.neighbours + 1).tolist() == [[2, 3, 4], [1, 2, 3], [1, 2, 4], [5, 1, 3], [4, 1, 2]]
    assert model.counts.tolist() == [[2, 2, 2], [2, 2, 2], [2, 2, 2], [3, 2, 2], [3, 1, 1]]
    model.double()
    values = {model.embedding.weight: made(8, 6, 3)[1:]}
    for number, hop in enumerate(model.hops):
        first = 4 * number
        values |= {
            hop.project.weight: made(first + 1, 4, 3)[:3].t(),
            hop.of_weight: made(first + 1, 4, 3)[3],
            hop.query: made(first + 2, 3),
            hop.transform.weight: made(first + 3, 6, 3).t(),
        }
    readout, local = model.readout, model.local
    values |= {
        readout.of_each.bias: made(9, 3),
        readout.of_each.weight: made(10, 3, 3),
        readout.of_mean.weight: made(11, 3, 3),
        local.of_relation: torch.stack([made(13 + relation, 3) for relation in range(4)]),
        readout.position.weight: made(18, 200, 3)[:20],
        readout.placed.weight: made(19, 6, 3).roll(3, 0).t(),  # there the position comes first
        readout.query: made(20, 3),
    }
    put(values)
    wanted = [
        [0.309538548668, -0.124066881705, -0.184269184791, 0.310122041983, -0.128858624901],
        [0.190850862882, 0.016654574842, -0.207666857347, 0.193025033131, 0.012770985215],
        [0.19927261374, -0.215598457247, 0.018415468858, 0.197004501813, -0.217329379515],
        [0.136653839146, 0.254255788947, -0.39337392839, 0.14293080185, 0.249057811307],
    ]
    torch.testing.assert_close(scores_of_prefixes(model), torch.tensor(wanted, dtype=torch.float64), rtol=0, atol=1e-11)


GRU4REC = {
    "official": {
        "bias": [
            -0.017422351283, 0.165678720106, 0.510147216277, 0.336314643419, 0.218378146556, -0.014991588288,
        ],
        "gru.bias_hh_l0": [
            0.334165259857, 0.357104187334, 0.240681813048, -0.020263673024, -0.214948790331, -0.491792290223,
            -0.273963802724, -0.175843982655, -0.050366014681,
        ],
        "gru.bias_ih_l0": [
            0.368078480865, 0.074961722225, -0.224820328241, -0.450192559773, -0.407102149278, -0.355797394175,
            0.121661230053, 0.323859773643, 0.253026336161,
        ],
        "gru.weight_hh_l0": [
            -0.027913330695, -0.186308640174, -0.402806548525, -0.425107557305, -0.274012520005, 0.03895011383,
            0.446582180033, 0.449857957971, 0.324909350162, -0.062542350251, -0.17526082862, -0.332797504276,
            -0.527383458435, -0.172083563266, 0.170147488278, 0.499001135028, 0.390840183743, 0.290041366928,
            0.15215641534, -0.347699707538, -0.52300035148, -0.352317845874, -0.309431889298, 0.021548451945,
            0.508972622135, 0.402586738351, 0.237891539596,
        ],
        "gru.weight_ih_l0": [
            -0.489788399205, -0.372641339, -0.224340232482, -0.037128286494, 0.341832500296, 0.563727786388,
            0.508549862736, 0.335949250245, -0.058769925327, -0.529915497078, -0.718745870702, -0.529621666344,
            -0.127353946083, 0.233770064098, 0.536542577919, 0.528996259605, 0.106451272236, -0.255652520332,
            -0.279383156006, -0.698359728852, -0.58738799668, 0.032860882664, 0.235349953348, 0.295271480447,
            0.532192498859, 0.475727812441, 0.030328476153,
        ],
        "embedding.weight": [
            -0.485112494789, -0.21344456952, -0.019066884794, 0.431663973562, 0.246437887935, 0.268134510214,
            -0.002198980848, -0.420215399954, -0.529187507103, -0.691051424921, -0.265260564701, -0.01724592846,
            0.479358964505, 0.741413301179, 0.591086498564, 0.154913958112, -0.229488667244, -0.404600631192,
        ],
    },
    "official_bpr_max": {
        "bias": [
            -0.071889739609, 0.175200062155, 0.402240501674, 0.336040278239, 0.094862714358, -0.017008564126,
        ],
        "gru.bias_hh_l0": [
            0.427445615484, 0.465759795147, 0.203567121786, 0.083461801258, -0.224856314753, -0.505063946401,
            -0.437964546863, -0.231905849578, 0.027825186609,
        ],
        "gru.bias_ih_l0": [
            0.461358836493, 0.183617330038, -0.261935019503, -0.346467085491, -0.417009673699, -0.369069050354,
            -0.037726225819, 0.253723736995, 0.345842424228,
        ],
        "gru.weight_hh_l0": [
            -0.013485973115, -0.200060432996, -0.433221265073, -0.399197228841, -0.257004811355, 0.0100794288,
            0.477125620503, 0.427001969684, 0.295762913233, -0.057429700572, -0.14279432104, -0.326593107832,
            -0.336285355104, -0.295216147681, -0.032678658688, 0.535401337278, 0.354487432571, 0.199974530084,
            0.109136719525, -0.318585358095, -0.50747655113, -0.423760794007, -0.246953747887, 0.102509629738,
            0.465381290582, 0.455829353968, 0.328314406124,
        ],
        "gru.weight_ih_l0": [
            -0.593227559374, -0.543570595938, -0.28665669064, -0.203902761023, 0.24346193122, 0.581614336714,
            0.61324667165, 0.394976716332, -0.067609031114, -0.374205149643, -0.505596169662, -0.441374625036,
            -0.092018779319, 0.148025042567, 0.374177674372, 0.429582402807, 0.121397638706, -0.181208903262,
            -0.184198772567, -0.479800377891, -0.508079734691, 0.09830946693, 0.322542150537, 0.341256056412,
            0.622597172928, 0.405096453818, -0.109188399401,
        ],
        "embedding.weight": [
            -0.488792700678, -0.421992634567, -0.083628631308, 0.458197718665, 0.281835923672, 0.266372481332,
            0.145410194687, -0.410450076775, -0.605660410363, -0.631199214543, -0.261405671107, -0.097769909309,
            0.568632785732, 0.557595005814, 0.408361359806, -0.033614912208, -0.243502394676, -0.355955962601,
        ],
    },
}  # fmt: skip


@pytest.mark.parametrize("preset", GRU4REC)
def test_gru4rec_after_two_epochs_with_momentum(preset: str) -> None:
    """Four sessions of three items on two slots; the first step of each session starts from a state of zeros."""
    corpus = worlds.corpus_of([[[0, 1, 2]], [[3, 4, 0]], [[2, 5, 1]], [[4, 3, 5]]])
    settings = {
        "model": {"name": "gru4rec", "preset": preset, "dim": 3, "n_sample": 0},
        "training": {"momentum": 0.3, "learning_rate": 0.05},
    }
    model = worlds.fitted(settings, corpus)
    assert isinstance(model, SessionEncoder)
    model.double()
    named = dict(model.named_parameters())
    places = {"bias": 0, "gru.bias_hh_l0": 1, "gru.bias_ih_l0": 2, "gru.weight_hh_l0": 3, "gru.weight_ih_l0": 4}
    places["embedding.weight"] = 5
    put({named[name]: made(place, *named[name].shape) for name, place in places.items()})
    own = optimizer_of(model.parameter_groups(), models.with_preset(settings).training)
    worlds.train(model, corpus, epochs=2, batch_events=2, optimizer=own)
    for name, wanted in GRU4REC[preset].items():
        found = named[name].detach().flatten()
        torch.testing.assert_close(found, torch.tensor(wanted, dtype=torch.float64), rtol=0, atol=1e-10, msg=name)

"""The text of reports, word for word, and the JSON contract of ``graphdebug explain``."""

from __future__ import annotations

import importlib.util
import json
import sys

import pytest
import torch
from click.testing import CliRunner

import graphdebug
from graphdebug.cli import main

CNN = """\
import torch
import torch.nn.functional as F
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 8, 3, padding=1)
        self.conv2 = nn.Conv2d(8, 64, 3, padding=1)
        self.fc = nn.Linear(3136, 10)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        x = x.{flatten}
        return self.fc(x)

net = Net()
for size in {sizes}:
    images = torch.rand(9, 1, size, size)
    F.cross_entropy(net(images), torch.zeros(9, dtype=torch.long))
"""


HOW = (
    "  how: rand 9x1x100x100 -> conv1 9x8x100x100 -> max_pool2d 9x8x50x50 -> conv2 9x64x50x50 -> "
    "max_pool2d 9x64x25x25 -> {op} 9x40000"
)
TRY = (
    "  try: feed 1x28x28 inputs (sides 28 to 31 fit) or declare it for 40000 features or pool adaptively "
    "to 7x7 before the flatten"
)


def explained(folder, monkeypatch, text):
    """The note of a program that fails, and its log in the folder it was started in."""
    monkeypatch.chdir(folder)
    (folder / "net.py").write_text(text)
    spec = importlib.util.spec_from_file_location("net", folder / "net.py")
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "net", module)
    torch.manual_seed(0)
    with pytest.raises((RuntimeError, ValueError)) as caught, graphdebug.record("run.jsonl"):
        spec.loader.exec_module(module)
    return caught.value.__notes__[-1]


def test_a_layer_for_another_image(tmp_path, monkeypatch):
    text = explained(tmp_path, monkeypatch, CNN.format(flatten="flatten(1)", sizes=[100]))
    *lines, record = text.splitlines()
    assert record.startswith("  full record: graphdebug view run.jsonl --seq ")
    assert lines == [
        "graphdebug: shape mismatch in linear, born at net.py:10, shows at net.py:16 (forward, step 0)",
        "    10 |  self.fc = nn.Linear(3136, 10)",
        "                    ~~~~~~~~~~~~~~~~~~~",
        "    16 |  return self.fc(x)",
        "                 ~~~~~~~~~~",
        "  x       9x40000      <- flatten, net.py:15",
        "  weight  10x3136      <- parameter fc.weight, net.py:10",
        "  fc takes 3136 = 64x7x7 features; it was given 40000 = 64x25x25",
        HOW.format(op="flatten"),
        "  or: net.py:15 (the flatten); net.py:20 (the input 9x1x100x100)",
        TRY,
    ]


def test_an_image_of_another_size_than_before(tmp_path, monkeypatch):
    text = explained(tmp_path, monkeypatch, CNN.format(flatten="flatten(1)", sizes=[28, 100]))
    lines = text.splitlines()
    assert lines[0] == (
        "graphdebug: shape mismatch in linear, born at net.py:20, shows at net.py:16 (forward, step 0)"
    )
    assert (
        "  last good call: step 0, there it was 9x3136; the first to differ is the input, 9x1x28x28 then"
        in lines
    )


def test_a_fold_that_fails_in_the_loss(tmp_path, monkeypatch):
    text = explained(tmp_path, monkeypatch, CNN.format(flatten="view(-1, 3136)", sizes=[56]))
    head, *lines = text.splitlines()
    assert head == (
        "graphdebug: the batch was folded into other rows by view, born at net.py:15, shows at net.py:21 "
        "(forward, step 0)"
    )
    assert lines[:5] == [
        "    15 |  x = x.view(-1, 3136)",
        "              ~~~~~~~~~~~~~~~~",
        "    21 |  F.cross_entropy(net(images), torch.zeros(9, dtype=torch.long))",
        "  view 9x64x14x14 -> 36x3136: 9 samples became 36 rows",
        "  one sample is 12544 = 64x14x14 elements, one row 3136: each sample was cut into several rows",
    ]


def test_a_logarithm_of_zero(tmp_path):
    x = torch.tensor([0.0, 1.0, 2.0])
    with graphdebug.record() as run:
        torch.log(x).sum().item()
    lines = run.findings[0].text.splitlines()
    assert lines[0].startswith("graphdebug: log is not finite, at ")
    assert lines[3:] == [
        "  input  (3,) <- argument x",
        "  log gave -inf in 1 of 3 elements, of finite inputs",
        "  log(0) is -inf",
        "  try: keep its input above 0: log(max(x, eps)) or log_softmax, or a loss on logits",
    ]


def test_the_json_has_all_keys_and_the_same_words_as_the_note(tmp_path, monkeypatch):
    text = explained(tmp_path, monkeypatch, CNN.format(flatten="flatten(1)", sizes=[100]))
    done = CliRunner().invoke(main, ["explain", "run.jsonl", "--json"])
    assert done.exit_code == 0
    (finding,) = json.loads(done.output)["findings"]
    assert set(finding) == {
        "kind", "site", "text", "candidates", "operands", "evidence", "confidence", "fits",
    }  # fmt: skip
    assert finding["text"] == text
    assert (finding["kind"], finding["site"]["line"], finding["fits"]) == ("shape_mismatch", 10, [9, 1, 28, 28])
    assert [one["role"] for one in finding["candidates"]][:1] == ["declaration"]


def test_a_clean_run_has_an_empty_list_of_findings(tmp_path):
    with graphdebug.record(tmp_path / "run.jsonl"):
        torch.ones(2).sum()
    done = CliRunner().invoke(main, ["explain", str(tmp_path / "run.jsonl"), "--json"])
    assert json.loads(done.output) == {"findings": []}
    done = CliRunner().invoke(main, ["explain", str(tmp_path / "run.jsonl")])
    assert done.output == f"graphdebug: nothing wrong was found in {tmp_path / 'run.jsonl'}\n"


def test_where_nothing_is_found_in_training_the_level_that_tells_more_is_named(tmp_path):
    weight = torch.ones(2, requires_grad=True)
    optimizer = torch.optim.SGD([weight], lr=0.1)
    with graphdebug.record(tmp_path / "run.jsonl"):
        weight.pow(2).sum().backward()
        optimizer.step()
    done = CliRunner().invoke(main, ["explain", str(tmp_path / "run.jsonl")])
    assert done.output.splitlines()[-1].endswith("recorded with the level stats")

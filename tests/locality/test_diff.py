"""Two recorded runs of real programs, and the first node in which they differ."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from torch import nn

import graphdebug
from graphdebug.cli import main
from graphdebug.diagnosis.runs.alignment import align
from graphdebug.diagnosis.runs.comparison import Tolerance, compare


class Net(nn.Module):
    def __init__(self, scale: float = 1.0, dtype: torch.dtype = torch.float32):
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3)
        self.fc = nn.Linear(4, 2, dtype=dtype)
        self.scale, self.dtype = scale, dtype

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.conv(x)).mean((2, 3))
        return self.fc(self.scaled(x).to(self.dtype))

    def scaled(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.scale


class Edited(Net):
    """The same network after an edit: `scaled` stands on another line and takes a detour."""

    def scaled(self, x: torch.Tensor) -> torch.Tensor:
        return x.clone() * self.scale


def recorded(path: Path, net_class: type[Net] = Net, size: int = 8, steps: int = 2, **options: object) -> Path:
    torch.manual_seed(0)
    net = net_class(**options)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    with graphdebug.record(path, level="stats"):
        for step in range(steps):
            torch.manual_seed(step)
            loss = net(torch.rand(2, 1, size, size)).sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return path


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    return recorded(tmp_path_factory.mktemp("diff") / "base.jsonl")


def diff(*args: object) -> tuple[int, str]:
    done = CliRunner().invoke(main, ["diff", *map(str, args)])
    return done.exit_code, done.output


def test_the_same_program_run_twice_has_no_difference(base, tmp_path):
    code, said = diff(base, recorded(tmp_path / "again.jsonl"))
    assert code == 0
    aligned = int(said.removeprefix("no difference in ").split()[0])
    assert said == f"no difference in {aligned} aligned nodes of 2 steps\n"
    assert 0.7 * len(graphdebug.load(base).nodes) < aligned


def test_more_steps_in_one_run_are_no_difference(base, tmp_path):
    assert diff(base, recorded(tmp_path / "longer.jsonl", steps=4))[0] == 0


def test_another_input_size_is_named_at_the_input(base, tmp_path):
    other = recorded(tmp_path / "large.jsonl", size=10)
    found = compare(graphdebug.load(base), graphdebug.load(other)).difference
    assert found is not None
    assert (found.what, found.a.function) == ("shape", "rand")
    assert (found.found_a, found.found_b) == ("2x1x8x8", "2x1x10x10")
    code, said = diff(base, other)
    width, line = max(len(str(base)), len(str(other))), found.a.site.line
    where = f"(forward aten::rand at test_diff.py:{line}, step 0, seq {found.a.seq})"
    assert code == 1
    assert said.splitlines()[:4] == [
        "first difference: shape of rand; 0 nodes before it agree",
        f"  {base!s:<{width}}  2x1x8x8  {where}",
        f"  {other!s:<{width}}  2x1x10x10  {where}",
        "  all its recorded inputs agree: it was born here",
    ]


def test_a_value_beyond_tolerance_is_named_at_the_op_that_made_it(base, tmp_path):
    other = recorded(tmp_path / "scaled.jsonl", scale=1.001)
    found = compare(graphdebug.load(base), graphdebug.load(other)).difference
    assert found is not None
    assert (found.what, found.a.function, found.inputs) == ("value", "mul", ())
    assert found.a.site is not None
    assert Path(found.a.site.file).name == "test_diff.py"
    assert diff(base, other, "--rtol", "0.1", "--atol", "0.1")[0] == 0


def test_a_non_finite_value_in_one_run_is_named_where_it_is_born(base, tmp_path):
    other = recorded(tmp_path / "inf.jsonl", scale=float("inf"))
    found = compare(graphdebug.load(base), graphdebug.load(other)).difference
    assert found is not None
    assert (found.what, found.b.function) == ("finite", "mul")


def test_another_dtype_is_named(base, tmp_path):
    other = recorded(tmp_path / "double.jsonl", dtype=torch.float64)
    found = compare(graphdebug.load(base), graphdebug.load(other)).difference
    assert found is not None
    assert found.what == "dtype"


def test_nodes_are_aligned_across_an_edit_of_the_file(base, tmp_path):
    a, b = graphdebug.load(base), graphdebug.load(recorded(tmp_path / "edited.jsonl", Edited))
    pairs = align(a.step(0).nodes, b.step(0).nodes)
    assert [two.function for one, two in pairs if one is None and two is not None][:1] == ["clone"]
    assert not [one for one, two in pairs if two is None]
    assert all(one.function == two.function for one, two in pairs if one and two)
    assert compare(a, b).same
    code, said = diff(base, tmp_path / "edited.jsonl")
    assert code == 0
    assert "only in" in said


def test_runs_with_nothing_in_common_are_not_called_equal(base, tmp_path):
    with graphdebug.record(tmp_path / "other.jsonl"):
        torch.linalg.inv(torch.eye(3))
    code, said = diff(base, tmp_path / "other.jsonl")
    assert code == 1
    other = tmp_path / "other.jsonl"
    assert said == f"{base} and {other} have no node in common: are they runs of the same program?\n"


def test_the_json_names_both_nodes(base, tmp_path):
    code, said = diff(base, recorded(tmp_path / "scaled.jsonl", scale=2.0), "--json")
    found = json.loads(said)
    assert (code, found["same"], found["difference"]["what"]) == (1, False, "value")
    assert found["difference"]["a"]["site"]["line"] == found["difference"]["b"]["site"]["line"]


def test_nodes_that_are_to_be_ignored_are_left_out_of_both(base, tmp_path):
    other = recorded(tmp_path / "scaled.jsonl", scale=2.0)
    found = compare(graphdebug.load(base), graphdebug.load(other)).difference
    assert found is not None
    assert (found.a.function, found.a.site.line) == ("mul", Net.scaled.__code__.co_firstlineno + 1)
    line = f"test_diff.py:{found.a.site.line}"
    after = compare(graphdebug.load(base), graphdebug.load(other), ignore=[line]).difference
    assert after is not None
    assert (after.what, after.a.function) == ("value", "linear")  # the next that has it
    code, said = diff(base, other, "--ignore", line)
    assert code == 1
    assert said.startswith("first difference: value of linear")
    assert diff(base, other, "--ignore", "*")[1].endswith("are they runs of the same program?\n")


def test_random_draws_of_two_frameworks_are_no_difference(tmp_path):
    tf = pytest.importorskip("tensorflow", reason="the CI job of torch alone has no TensorFlow")

    def drawn(path, draw, compute):
        with graphdebug.record(path, level="stats"):
            compute(draw([4, 6]))
        return graphdebug.load(path)

    def in_tensorflow(_drawn):
        return tf.tanh(tf.matmul(tf.ones([4, 6]), tf.ones([6, 2])))

    def in_torch(_drawn):
        return torch.tanh(torch.ones(4, 6) @ torch.ones(6, 2))

    one = drawn(tmp_path / "torch.jsonl", torch.rand, in_torch)
    assert compare(one, drawn(tmp_path / "tf.jsonl", tf.random.uniform, in_tensorflow)).same
    assert not compare(one, drawn(tmp_path / "again.jsonl", torch.rand, in_torch)).same


def test_a_log_that_is_not_there_exits_with_2(base):
    code, said = diff(base, "nowhere.jsonl")
    assert code == 2
    assert said.startswith("graphdebug: there is no log at nowhere.jsonl")


@pytest.mark.parametrize(
    ("a", "b", "dtype", "equal"),
    [
        (1.0, 1.0 + 1e-7, "float32", True),
        (1.0, 1.001, "float32", False),
        (1.0, 1.001, "bfloat16", True),
        (float("nan"), float("nan"), "float32", True),
        (float("inf"), float("-inf"), "float32", False),
    ],
)
def test_tolerances_are_those_of_the_dtype(a, b, dtype, equal):
    assert Tolerance().allows(a, b, abs(b), dtype) is equal


def test_the_same_network_is_aligned_across_frameworks(tmp_path):
    tf = pytest.importorskip("tensorflow", reason="the CI job of torch alone has no TensorFlow")

    def in_torch(size: int) -> None:
        net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(36, 5))
        net(torch.rand(2, 1, size, size))

    def in_session(path: Path, size: int) -> None:
        images = torch.rand(2, size, size, 1).numpy()
        with tf.Graph().as_default(), tf.compat.v1.Session() as sess:
            x = tf.compat.v1.placeholder(tf.float32, [None, None, None, 1])
            kernel = tf.compat.v1.get_variable("k", [3, 3, 1, 4])
            maps = tf.nn.max_pool2d(tf.nn.relu(tf.nn.conv2d(x, kernel, 1, "VALID")), 2, 2, "VALID")
            scores = tf.matmul(tf.reshape(maps, [-1, 36]), tf.compat.v1.get_variable("w", [36, 5]))
            sess.run(tf.compat.v1.global_variables_initializer())
            with graphdebug.record(path):
                sess.run(scores, {x: images})

    with graphdebug.record(tmp_path / "torch.jsonl"):
        in_torch(8)
    in_session(tmp_path / "tf1.jsonl", 8)
    in_session(tmp_path / "fold.jsonl", 14)
    with_torch = graphdebug.load(tmp_path / "torch.jsonl")
    same = compare(with_torch, graphdebug.load(tmp_path / "tf1.jsonl"))
    assert same.same
    assert same.aligned >= 5  # conv, relu, pool, flatten, linear
    other = compare(with_torch, graphdebug.load(tmp_path / "fold.jsonl")).difference
    assert other is not None
    assert (other.what, other.a.function, other.b.function) == ("shape", "conv2d", "conv2d")
    assert (other.found_a, other.found_b) == ("2x4x6x6", "2x12x12x4")


PROGRAM = """\
import torch
from torch import nn

torch.manual_seed({seed})


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3)
{declared}        self.fc = nn.Linear(4, 2)

    def forward(self, x):
        x = torch.relu(self.conv(x))
{called}        return self.fc(x.mean((2, 3)))


net = Net()
optimizer = torch.optim.SGD(net.parameters(), lr={lr})
for step in range({steps}):
    torch.manual_seed(100 + step)
    loss = net(torch.rand(2, 1, 8, 8)).square().mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
"""
PLAIN = {"seed": 0, "declared": "", "called": "", "lr": 0.1, "steps": 3}


def ran(folder: Path, name: str, **changes: object) -> Path:
    """The log of one version of the program, run by itself as a user does."""
    place = folder / name
    place.mkdir()
    (place / "train.py").write_text(PROGRAM.format(**PLAIN | changes))
    command = [str(Path(sys.executable).with_name("graphdebug")), "run", "--level", "stats", "train.py"]
    subprocess.run(command, cwd=place, check=True, capture_output=True)
    return place / "train.graphdebug.jsonl"


def test_versions_of_one_program(tmp_path):
    """Each version is a process of its own; what differs first is what was edited, and no more."""
    base = ran(tmp_path, "base")
    inserted = {"declared": "        self.norm = nn.BatchNorm2d(4)\n", "called": "        x = self.norm(x)\n"}
    silent = {"declared": "        self.note = 'a line more'\n\n", "called": "        # a comment\n\n"}
    versions = {
        "longer": {"steps": 5},
        "lines": silent,
        "layer": inserted,
        "rate": {"lr": 0.2},
        "seed": {"seed": 1},
    }
    results = {name: compare(graphdebug.load(base), graphdebug.load(ran(tmp_path, name, **change)))
               for name, change in versions.items()}  # fmt: skip
    assert results["longer"].same
    assert results["longer"].steps == 3
    assert results["lines"].same
    assert not results["lines"].only_a
    assert not results["lines"].only_b

    layer = results["layer"]
    assert {one.function for one in layer.only_b if one.phase == "forward"} >= {"batch_norm"}
    assert layer.difference is not None
    assert (layer.difference.what, layer.difference.a.function) == ("value", "mean")  # the first after it

    rate = results["rate"].difference
    assert rate is not None
    assert (rate.what, rate.a.phase, rate.a.step) == ("value", "optimizer", 0)

    seed = results["seed"].difference
    assert seed is not None
    assert (seed.what, seed.a.function, seed.a.family) == ("value", "uniform", "random")
    assert seed.found_a.split()[0] == seed.found_b.split()[0] == "min"


def seeded(path: Path, step) -> Path:
    """The log of two steps on the same data."""
    torch.manual_seed(0)
    data = [torch.rand(4, 6) for _ in range(2)]
    with graphdebug.record(path, level="stats") as run:
        for x in data:
            step(x)
            run.step()
    return path


def two_layers(dtype: torch.dtype = torch.float32) -> nn.Module:
    torch.manual_seed(3)
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3)).to(dtype)


def test_a_compiled_run_is_aligned_with_the_eager_one(tmp_path):
    def trained(net):
        def step(x):
            net.zero_grad()
            net(x).square().mean().backward()

        return step

    eager = graphdebug.load(seeded(tmp_path / "eager.jsonl", trained(two_layers())))
    compiled = trained(torch.compile(two_layers(), backend="aot_eager"))
    same = compare(eager, graphdebug.load(seeded(tmp_path / "compiled.jsonl", compiled)))
    assert same.same
    assert same.aligned >= 12
    other = two_layers()
    with torch.no_grad():
        other[2].weight[0, 0] += 0.5
    different = trained(torch.compile(other, backend="aot_eager"))
    found = compare(eager, graphdebug.load(seeded(tmp_path / "other.jsonl", different))).difference
    assert found is not None
    assert (found.what, found.a.function, found.a.module, found.b.mode) == ("value", "linear", "2", "compiled")


def test_half_precision_is_a_dtype_that_differs_or_is_compared_as_coarsely_as_it_is(tmp_path):
    def evaluated(net, dtype):
        return lambda x: net(x.to(dtype)).tanh()

    whole = seeded(tmp_path / "float32.jsonl", evaluated(two_layers(), torch.float32))
    half = seeded(tmp_path / "bfloat16.jsonl", evaluated(two_layers(torch.bfloat16), torch.bfloat16))
    found = compare(graphdebug.load(whole), graphdebug.load(half)).difference
    assert found is not None
    assert (found.what, found.found_a, found.found_b) == ("dtype", "float32", "bfloat16")
    code, said = diff(whole, half, "--across-dtypes")
    assert (code, said.startswith("no difference in ")) == (0, True), said
    wrong = two_layers(torch.bfloat16)
    with torch.no_grad():
        wrong[0].bias[:] = 2
    other = seeded(tmp_path / "wrong.jsonl", evaluated(wrong, torch.bfloat16))
    code, said = diff(whole, other, "--across-dtypes")
    assert code == 1
    assert said.startswith("first difference: value of linear")


def test_the_same_weights_give_no_difference_across_frameworks(tmp_path):
    tf = pytest.importorskip("tensorflow", reason="the CI job of torch alone has no TensorFlow")
    net = two_layers()
    kernels = [tf.Variable(net[at].weight.detach().numpy().T) for at in (0, 2)]
    biases = [tf.Variable(net[at].bias.detach().numpy()) for at in (0, 2)]

    def in_tensorflow(x, kernels=kernels):
        hidden = tf.tanh(tf.matmul(x.numpy(), kernels[0]) + biases[0])
        return tf.matmul(hidden, kernels[1]) + biases[1]

    torch_log = seeded(tmp_path / "torch.jsonl", net)
    code, said = diff(torch_log, seeded(tmp_path / "tf.jsonl", in_tensorflow), "--rtol", "1e-4")
    assert code == 0, said
    other = [kernels[0], tf.Variable(kernels[1] * 1.5)]
    found = compare(
        graphdebug.load(torch_log),
        graphdebug.load(seeded(tmp_path / "other.jsonl", lambda x: in_tensorflow(x, other))),
    ).difference
    assert found is not None
    assert (found.what, found.a.function, found.a.module, found.b.function) == ("value", "linear", "2", "add")

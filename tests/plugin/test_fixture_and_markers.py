"""The fixture, the markers, the assertions and graphdebug.raises, with real torch."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import graphdebug
from tests.plugin.sessions import run

pytestmark = pytest.mark.usefixtures("warm")


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 2, 3)
        self.fc = nn.Linear(2 * 6 * 6, 3)
        self.unused = nn.Linear(2, 2)
        self.dead = nn.Linear(3, 1)

    def forward(self, x):
        x = torch.relu(self.conv1(x)).flatten(1)
        x = self.fc(x)
        return x.sum() + 0.0 * self.dead(x).sum()


@pytest.fixture(scope="module")
def trained():
    torch.manual_seed(0)
    net = Net()
    with graphdebug.record(level="stats") as run:
        net(torch.randn(2, 1, 8, 8)).backward()
    return net, run


def fails_with(text, assertion, *args, **kwargs):
    with pytest.raises(AssertionError) as info:
        assertion(*args, **kwargs)
    assert str(info.value) == text


def test_shapes_are_found_by_module_path(trained):
    _, run = trained
    assert run.shape_of("conv1") == (2, 2, 6, 6)
    assert run.shape_of("fc") == (2, 3)
    with pytest.raises(LookupError, match="no module, layer or node 'conv9' was recorded: there are conv1, fc"):
        run.shape_of("conv9")


def test_assert_shapes(trained):
    _, run = trained
    graphdebug.assert_shapes(run, {"conv1": (2, 2, 6, 6), "fc": (None, 3)})
    line = Net.forward.__code__.co_firstlineno
    fails_with(
        "2 of 3 shapes are not as expected:\n"
        f"  conv1: expected 2x2x5x?, found 2x2x6x6 at test_fixture_and_markers.py:{line + 1}\n"
        f"  fc: expected 2x3x1, found 2x3 at test_fixture_and_markers.py:{line + 2}",
        graphdebug.assert_shapes,
        run,
        {"conv1": (2, 2, 5, None), "fc": (2, 3, 1), "dead": (2, 1)},
    )


def test_assert_gradients_flow_names_parameters_without_gradient(trained):
    net, run = trained
    fails_with(
        "gradients do not flow to 4 of 8 parameters:\n"
        "  unused.weight: no gradient\n"
        "  unused.bias: no gradient\n"
        "  dead.weight: a gradient of zeros only\n"
        "  dead.bias: a gradient of zeros only",
        graphdebug.assert_gradients_flow,
        run,
        net,
    )
    with pytest.raises(graphdebug.RecordingError) as info:
        graphdebug.assert_gradients_flow(run, net.conv1)
    assert str(info.value) == (
        "weight may be any of dead.weight, fc.weight, conv1.weight: pass the whole model, or None"
    )
    graphdebug.assert_gradients_flow(run, nn.ModuleDict({"fc": net.fc}))


def test_assert_gradients_flow_without_a_model_looks_at_what_forward_used(trained):
    _, run = trained
    fails_with(
        "gradients do not flow to 2 of 6 parameters:\n"
        "  dead.weight: a gradient of zeros only\n"
        "  dead.bias: a gradient of zeros only",
        graphdebug.assert_gradients_flow,
        run,
    )
    with graphdebug.record(level="stats") as empty:
        pass
    fails_with(
        "no parameter was seen: did forward and backward run inside the recording?",
        graphdebug.assert_gradients_flow,
        empty,
    )


def test_an_assertion_asks_for_the_level_it_needs():
    with graphdebug.record(level="shapes") as run:
        torch.ones(2)
    with pytest.raises(graphdebug.RecordingError) as info:
        graphdebug.assert_finite(run)
    assert str(info.value) == "assert_finite needs level='health': this run was recorded at level='shapes'"


def test_assert_finite():
    with graphdebug.record() as run:
        x = torch.tensor([1.0, 0.0, -1.0])
        y = torch.log(x)
        y.exp()
    graphdebug.assert_finite(run, allow=["log", "exp"])
    graphdebug.assert_finite(run, allow=["test_fixture_and_markers.py:*"])
    with pytest.raises(AssertionError) as info:
        graphdebug.assert_finite(run)
    head = "2 of 3 nodes are not finite:\n  log at test_fixture_and_markers.py:"
    assert str(info.value).startswith(head)
    assert "put out 1 NaN, 1 -Inf in 3" in str(info.value)
    assert run.findings[0].text in str(info.value)
    assert run.first_nonfinite() is run.nodes[1]


def test_a_mask_of_minus_infinity_is_finite_enough():
    with graphdebug.record() as run:
        scores = torch.ones(3, 3).masked_fill(torch.ones(3, 3).triu(1).bool(), float("-inf"))
        torch.softmax(scores, -1)
    graphdebug.assert_finite(run)


def test_assert_no_broadcast():
    with graphdebug.record() as run:
        prediction, target = torch.ones(4, 1), torch.ones(4)
        line = test_assert_no_broadcast.__code__.co_firstlineno + 4
        (prediction - target).pow(2) + torch.ones(4)
    fails_with(
        "operands are stretched against each other in 1 of 6 nodes:\n"
        f"  sub at test_fixture_and_markers.py:{line}: 4x1 with 4 gives 4x4",
        graphdebug.assert_no_broadcast,
        run,
    )
    graphdebug.assert_no_broadcast(run, allow=["sub"])


def test_assert_same_run():
    def recorded(scale, extra=False):
        torch.manual_seed(0)
        with graphdebug.record(level="stats") as run:
            x = torch.randn(4) * scale
            if extra:
                x.exp()
        return run

    first = recorded(1.0)
    graphdebug.assert_same_run(first, recorded(1.0))
    graphdebug.assert_same_run(first, recorded(1.0001), tolerance=1e-3)
    with pytest.raises(
        AssertionError, match=r"the runs differ first in node 1, mul at test_fixture.*\n  min: "
    ):
        graphdebug.assert_same_run(first, recorded(1.0001))
    fails_with(
        "one run has 2 nodes, the other 3; the first 2 are the same",
        graphdebug.assert_same_run,
        first,
        recorded(1.0, extra=True),
    )


def test_raises_passes_only_for_the_kind_at_the_line():
    def product():
        torch.ones(2, 3) @ torch.ones(2, 3)

    line = product.__code__.co_firstlineno + 1
    with graphdebug.raises("shape_mismatch", at=f"test_fixture_and_markers.py:{line}") as run:
        product()
    assert run.findings[0].kind == "shape_mismatch"
    with pytest.raises(AssertionError) as info, graphdebug.raises("shape_mismatch", at="other.py:3"):
        product()
    assert str(info.value) == (
        "expected shape_mismatch at other.py:3, but graphdebug reported shape_mismatch at "
        f"test_fixture_and_markers.py:{line}:\n{run.findings[0].text}"
    )
    assert isinstance(info.value.__cause__, RuntimeError)
    with (
        pytest.raises(
            AssertionError, match=r"^expected nonfinite at any line, but graphdebug reported nothing$"
        ),
        graphdebug.raises("nonfinite"),
    ):
        torch.ones(2)
    with pytest.raises(KeyboardInterrupt), graphdebug.raises("nonfinite"):
        raise KeyboardInterrupt


def test_the_fixture_is_the_run_of_the_test(pytester):
    pytester.makepyfile(
        """
        import pytest, torch
        import graphdebug as gd
        from torch import nn

        @pytest.fixture
        def net():
            return nn.ModuleDict({"fc": nn.Linear(3, 2)})

        def test_run(net, graphdebug):
            net["fc"](torch.ones(4, 3)).sum().backward()
            assert [one.name for one in graphdebug.gradients] == ["fc.bias", "fc.weight"]
            assert graphdebug.shape_of("fc") == (4, 2)
            assert graphdebug.first_nonfinite() is None
            assert not graphdebug.findings
            assert {node.function for node in graphdebug.nodes} >= {"linear", "sum"}
            graphdebug.assert_finite()
            graphdebug.assert_gradients_flow(net)
            graphdebug.assert_shapes({"fc": (4, 2)})
            graphdebug.assert_no_broadcast()
            with gd.record(level="stats") as other: pass
            graphdebug.assert_same_run(graphdebug)
            with graphdebug.raises("shape_mismatch"):
                torch.ones(2, 3) @ torch.ones(2, 3)

        def test_fails(graphdebug):
            torch.ones(2, 3) @ torch.ones(2, 3)

        def test_asked_for_late(request):
            run = request.getfixturevalue("graphdebug")
            torch.ones(2)
            assert len(run.nodes) == 1
        """
    )
    result = run(pytester)
    result.assert_outcomes(passed=2, failed=1)
    result.stdout.fnmatch_lines(
        [
            "graphdebug: shape mismatch in matmul, at *.py:26 *",
            "log: not kept; pytest --graphdebug keeps it",
        ]
    )
    run(pytester, "--graphdebug").assert_outcomes(passed=2, failed=1)


MARKED = """
    import pytest, torch

    @pytest.mark.graphdebug(nonfinite="fail")
    def test_nan(): torch.log(torch.tensor([0.0, -1.0]))

    @pytest.mark.graphdebug(nonfinite="fail", allow=["log"])
    def test_allowed(): torch.log(torch.tensor([0.0, -1.0]))

    @pytest.mark.graphdebug(level="values")
    def test_level(): torch.ones(2)

    @pytest.mark.no_graphdebug
    def test_left_alone(): torch.ones(2)
"""


@pytest.mark.parametrize("flags", [[], ["--graphdebug=always"]], ids=["off", "always"])
def test_markers_assert_with_and_without_the_flag(pytester, flags):
    pytester.makepyfile(test_marked=MARKED)
    result = run(pytester, "--strict-markers", *flags)
    result.assert_outcomes(failed=1, passed=3)
    result.stdout.fnmatch_lines(
        ["1 of 2 nodes are not finite:", "  log at test_marked.py:4 put out 1 NaN, 1 -Inf in 2"]
    )
    kept = {path.stem.split(".")[-1]: path for path in (pytester.path / ".graphdebug").glob("*")}
    assert set(kept) == ({"test_nan", "test_allowed", "test_level"} if flags else set())
    if flags:
        start = graphdebug.load(kept["test_level"]).start
        assert start is not None
        assert start.options["level"] == "values"


@pytest.mark.parametrize(
    ("marker", "message"),
    [
        ("levl='stats'", "unknown 'levl': use level, nonfinite, allow"),
        ("level='all'", "unknown level 'all': use one of shapes, health, stats, values"),
        ("nonfinite='warn'", "nonfinite='warn' must be 'fail'"),
        ("allow='log'", "allow='log' must be a list of patterns"),
    ],
)
def test_a_wrong_marker_is_a_usage_error_that_names_the_test(pytester, marker, message):
    pytester.makepyfile(test_wrong=f"import pytest\n@pytest.mark.graphdebug({marker})\ndef test_it(): pass\n")
    result = run(pytester)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: test_wrong.py::test_it: @pytest.mark.graphdebug: {message}"])


def test_the_fixture_and_no_graphdebug_contradict_each_other(pytester):
    pytester.makepyfile("import pytest\n@pytest.mark.no_graphdebug\ndef test_it(graphdebug): pass\n")
    result = run(pytester)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(
        ["the fixture graphdebug needs a recording, and this test is marked no_graphdebug"]
    )


ALLOWING = """
    import torch

    def test_fails_elsewhere():
        print(torch.log(torch.zeros(2)))
        raise AssertionError("not about numbers")
"""


@pytest.mark.parametrize("ini", [False, True], ids=["option", "ini"])
def test_what_is_allowed_is_not_reported_with_a_failing_test(pytester, ini):
    pytester.makepyfile(test_allowing=ALLOWING)
    if ini:
        pytester.makeini("[pytest]\ngraphdebug_allow = log")
    result = run(pytester, "--graphdebug", *([] if ini else ["--graphdebug-allow=log"]))
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["graphdebug: nothing wrong was found in * recorded nodes"])


def test_what_is_not_allowed_is_reported_with_a_failing_test(pytester):
    pytester.makepyfile(test_allowing=ALLOWING)
    run(pytester, "--graphdebug", "--graphdebug-allow=exp").stdout.fnmatch_lines(
        ["graphdebug: log is not finite*"]
    )

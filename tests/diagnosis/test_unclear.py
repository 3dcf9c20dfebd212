"""What the evidence does not carry is called unknown, and what is no framework's error is left alone."""

from __future__ import annotations

import pytest
import tensorflow as tf
import torch
from torch import nn

from tests.diagnosis.programs import assert_well_told, recorded

v1 = tf.compat.v1


def _found(program):
    """The findings of a program, all well told, and no trouble of the recorder's own."""
    run, _ = recorded(program)
    assert not run.tool_errors
    for one in run.findings:
        assert_well_told(one)
    return run.findings


def _not_positive():
    torch.linalg.cholesky(torch.tensor([[1.0, 2.0], [2.0, 1.0]]))


def _weights_below_zero():
    torch.multinomial(torch.tensor([0.0, -1.0, 2.0]), 2)


def _singular():
    tf.linalg.inv(tf.zeros([2, 2]))


def _text_for_numbers():
    tf.strings.to_number("abc")


UNKNOWN = [_not_positive, _weights_below_zero, _singular, _text_for_numbers]


@pytest.mark.parametrize("program", UNKNOWN)
def test_a_refusal_that_no_rule_explains_is_unknown_and_named_where_it_failed(program):
    (found,) = _found(program)
    assert (found.kind, found.confidence) == ("unknown", 0.3)
    assert found.site.line == program.__code__.co_firstlineno + 1
    assert "of unknown cause" in found.text.splitlines()[0]


def _words_of_a_framework():
    torch.rand(2, 3)
    raise RuntimeError("mat1 and mat2 shapes cannot be multiplied (2x3 and 4x5)")


def _own_check():
    scores = nn.Linear(3, 4)(torch.rand(2, 3))
    assert scores.shape == (2, 5)


def _key_that_is_not_there():
    {"a": tf.ones([2])}["b"]


@pytest.mark.parametrize("program", [_words_of_a_framework, _own_check, _key_that_is_not_there])
def test_an_error_of_the_programs_own_has_no_finding(program):
    assert _found(program) == ()


def _in_a_graph(call):
    def program():
        with tf.Graph().as_default():
            call(v1.placeholder(tf.float32, [2, 4]))

    return program


def _eager(call):
    return lambda: call(tf.ones([2, 4]))


AXES = {
    "sum": (lambda: torch.rand(2, 4).sum(5), 5, 1),
    "softmax": (lambda: torch.softmax(torch.rand(2, 4), 2), 2, 1),
    "unsqueeze": (lambda: torch.rand(2, 4).unsqueeze(4), 4, 2),
    "eager sum": (_eager(lambda x: tf.reduce_sum(x, axis=5)), 5, 1),
    "eager softmax": (_eager(lambda x: tf.nn.softmax(x, axis=3)), 3, 1),
    "eager expand": (_eager(lambda x: tf.expand_dims(x, 7)), 7, 2),
    "eager concat": (_eager(lambda x: tf.concat([x, x], 4)), 4, 1),
    "eager argmax": (_eager(lambda x: tf.argmax(x, 4)), 4, 1),
    "eager stack": (_eager(lambda x: tf.stack([x, x], 9)), 9, 2),
    "graph sum": (_in_a_graph(lambda x: tf.reduce_sum(x, axis=5)), 5, 1),
    "graph softmax": (_in_a_graph(lambda x: tf.nn.softmax(x, axis=3)), 3, 1),
    "graph expand": (_in_a_graph(lambda x: tf.expand_dims(x, 7)), 7, 2),
    "graph argmax": (_in_a_graph(lambda x: tf.argmax(x, 4)), 4, 1),
}


@pytest.mark.parametrize("name", AXES)
def test_an_axis_that_is_not_there_is_told_with_those_that_are(name):
    program, axis, last = AXES[name]
    (found,) = _found(program)
    assert found.kind == "index_range"
    assert f"axis {axis} was asked for; it takes {-last - 1} to {last}" in found.text


def _negative_deviation():
    scale = nn.Linear(2, 1)(torch.ones(1, 2)) - 5
    torch.distributions.Normal(torch.zeros(1, 1), scale, validate_args=True)  # dynamo switches it off


def test_a_parameter_that_a_distribution_is_not_defined_for_is_a_value_not_a_shape():
    (found,) = _found(_negative_deviation)
    assert found.kind == "value_range"
    assert "its scale must satisfy GreaterThan(lower_bound=0.0)" in found.text


def _state_and_output_for_one():
    given = nn.LSTM(3, 4)(torch.rand(5, 2, 3))
    nn.Linear(4, 2)(given)


def test_what_a_layer_returns_in_several_parts_is_no_tensor():
    (found,) = _found(_state_and_output_for_one)
    assert found.kind == "not_a_tensor"
    assert found.site.line == _state_and_output_for_one.__code__.co_firstlineno + 1


def _branch_on_many():
    @tf.function
    def positive(x):
        if x > 0:
            return x
        return -x

    positive(tf.ones([3]))


def test_of_a_message_about_converted_code_its_reason_is_quoted():
    (found,) = _found(_branch_on_many)
    assert "in user code" not in found.text
    assert "condition of if statement expected to be `tf.bool` scalar" in found.text


class _Odd(nn.Module):
    def __init__(self):
        super().__init__()
        self.parts = nn.ModuleDict({"a name with\na line break": nn.Linear(3, 4)})

    def forward(self, x):
        return self.parts["a name with\na line break"](x)


def test_a_line_break_in_a_name_breaks_no_line_of_the_report():
    (found,) = _found(lambda: _Odd()(torch.rand(2, 5)))
    assert "parts.a name with a line break.weight" in found.text


def _loss_in_torch():
    weight = torch.zeros(3, requires_grad=True)
    loss = torch.log(weight * 0).sum()
    loss.backward()
    print(loss, weight.grad)


def _loss_on_a_tape(decorate=lambda f: f):
    weight = tf.Variable(tf.zeros([3]))

    @decorate
    def step():
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(tf.math.log(weight * 0.0))
        return loss, tape.gradient(loss, weight)

    print(step())


def _loss_in_a_session():
    with tf.Graph().as_default(), v1.Session() as session:
        weight = v1.get_variable("w", [3], initializer=v1.zeros_initializer())
        loss = tf.reduce_sum(tf.math.log(weight * 0.0))
        gradient = tf.gradients(loss, weight)
        session.run(v1.global_variables_initializer())
        print(session.run([loss, gradient]))


BOTH = {
    "torch": _loss_in_torch,
    "eager": _loss_on_a_tape,
    "function": lambda: _loss_on_a_tape(tf.function),
    "session": _loss_in_a_session,
}


@pytest.mark.parametrize("mode", BOTH)
def test_what_is_not_finite_in_forward_and_in_backward_has_one_verdict(mode):
    (found,) = _found(BOTH[mode])
    assert found.kind == "nonfinite"
    assert found.text.startswith("graphdebug: log is not finite")


def _closed(session):
    x = tf.constant(1.0)
    session.close()
    session.run(x)


def _fed_by_a_bare_name(session):
    x = v1.placeholder(tf.float32, [None])
    session.run(x + 1, {"x": [1.0]})


def _name_that_is_not_there(session):
    tf.constant(1.0)
    session.run("loss:0")


@pytest.mark.parametrize(
    ("build", "way"),
    [
        (_closed, "run it before its session is closed: within the with that opens it"),
        (_fed_by_a_bare_name, "give the placeholder itself as the key, or its name with :0"),
        (_name_that_is_not_there, "fetch a tensor, an operation, or the name of one that the graph has"),
    ],
)
def test_a_run_that_was_refused_says_what_to_give_it(build, way):
    def program():
        with tf.Graph().as_default(), v1.Session() as session:
            build(session)

    (found,) = _found(program)
    assert found.text.splitlines()[-1] == f"  try: {way}"

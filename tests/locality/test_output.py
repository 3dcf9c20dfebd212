from pathlib import Path

from graphdebug.locality.output import Output, without_frames_of

PROGRAM = Path("/home/ada/net.py")

TRACEBACK = """\
step 0 loss 2.3
Traceback (most recent call last):
  File "/home/ada/net.py", line 29, in <module>
    loss = criterion(model(images), labels)
                     ^^^^^^^^^^^^^
  File "/venv/lib/torch/nn/modules/module.py", line 1778, in _wrapped_call_impl
    return self._call_impl(*args, **kwargs)
  File "/home/ada/net.py", line 18, in forward
    return self.fc(x)
RuntimeError: mat1 and mat2 shapes cannot be multiplied (4x20000 and 1568x10)
"""

REPORT = """\
graphdebug: shape mismatch in linear, born at net.py:12, shows at net.py:18 (forward, step 1)
    12 |  self.fc = nn.Linear(1568, 10)
  x       8x40000      <- view, net.py:17
"""

SESSION = """\
Traceback (most recent call last):
  File "/home/ada/net.py", line 31, in <module>
    sess.run(train)
tensorflow.python.framework.errors_impl.InvalidArgumentError: Graph execution error:

Detected at node 'MatMul' defined at (most recent call last):
    File "/home/ada/net.py", line 40, in <module>
    File "/home/ada/net.py", line 24, in build
Node: 'MatMul'
"""

CHECKED = """\
  Stack trace of op's creation ("->": inferred user code):
    + ...lib/python3.11/runpy.py (L198) _run_module_as_main
    + ...ada/net.py (L40) <module>
 -> |   loss = build()
    + ...ada/net.py (L12) build
 -> |   return tf.log(x)
"""


def read(text: str) -> Output:
    return Output(text, PROGRAM)


def test_frames_of_a_stack_count_from_the_innermost_out():
    down, up = read(TRACEBACK).readings()
    assert down.places == up.places == [18, 29]
    assert (down.rank({29}), down.space({29})) == (2, 1)
    assert (down.rank({18}), down.space({18})) == (1, 0)


def test_noise_counts_the_lines_down_to_the_first_naming():
    assert read(TRACEBACK).first_naming({18}) == 8
    assert read(TRACEBACK).first_naming({5}) is None


def test_a_line_that_is_not_named_has_no_rank_and_no_space():
    down, _ = read(TRACEBACK).readings()
    assert (down.rank({5}), down.space({5})) == (None, None)


def test_the_report_below_the_traceback_counts_before_it():
    down, up = read(TRACEBACK + REPORT).readings()
    assert down.places == up.places == [12, 18, 17, 29]
    assert down.space({17}) == 2


def test_the_stacks_of_a_message_can_be_read_down_or_up():
    down, up = read(SESSION).readings()
    assert down.places == [31, 24, 40]
    assert up.places == [24, 40, 31]


def test_cut_off_paths_of_check_numerics_are_known():
    down, _ = read(CHECKED).readings()
    assert down.places == [12, 40]


def test_another_file_of_the_same_name_is_not_the_program():
    assert read('  File "/home/bob/net.py", line 3, in f\n').readings()[0].places == []
    assert read("/venv/lib/torch/other_net.py:3: UserWarning: no\n").readings()[0].places == []


def test_the_launchers_frames_are_taken_out_with_their_source_lines():
    launcher = '  File "/x/host.py", line 3, in run\n    exec(code)\n    ^^^^\n'
    users = '  File "/home/ada/net.py", line 1\n    f()\n'
    assert without_frames_of({"/x/host.py"}, "Traceback:\n" + launcher + users) == "Traceback:\n" + users

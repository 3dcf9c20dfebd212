"""The fixture that guards every test can fail."""

from __future__ import annotations

import sys

import graphdebug
from tests.left_behind import differences, snapshot


def test_an_open_recording_is_seen():
    before = snapshot()
    with graphdebug.record():
        left = differences(before, snapshot())
    assert any(line.startswith("recordings: was 0, is 1") for line in left)
    assert any(line.startswith("sys.meta_path") for line in left) or {"torch", "tensorflow"} <= set(sys.modules)


def test_a_torch_mode_and_a_global_hook_are_seen():
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode

    class Plain(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            return func(*args, **(kwargs or {}))

    before = snapshot()
    handle = torch.nn.modules.module.register_module_forward_hook(lambda *_: None)
    try:
        with Plain():
            left = differences(before, snapshot())
    finally:
        handle.remove()
    assert any("torch dispatch modes: was 0, is 1" in line for line in left)
    assert any("_global_forward_hooks" in line for line in left)
    assert not differences(before, snapshot())


def test_a_patched_session_is_seen(monkeypatch):
    from tensorflow.python.client.session import BaseSession

    before = snapshot()
    with monkeypatch.context() as patch:
        patch.setattr(BaseSession, "run", lambda self, *a, **k: None)
        assert any(line.startswith("tf.BaseSession.run") for line in differences(before, snapshot()))
    assert not differences(before, snapshot())

"""torch's anomaly mode (``anomaly=True``): its forward traceback goes into the log, not to stderr."""

from __future__ import annotations

import re
import warnings
from typing import Any

import torch

from graphdebug.backends.torch.eager import EagerRecorder
from graphdebug.model.event import Notice, Site

__all__ = ["Anomaly"]

_FRAME = re.compile(r'  File "([^"]+)", line (\d+), in (\S+)')


class Anomaly:
    """Switches anomaly mode on where asked to, and takes in what it says."""

    def __init__(self, recorder: EagerRecorder) -> None:
        self._recorder = recorder
        self._asked = recorder.options.anomaly
        if self._asked:
            self._was = torch.is_anomaly_enabled(), torch.is_anomaly_check_nan_enabled()
            torch.autograd.set_detect_anomaly(True)
            self._show = warnings.showwarning
            self._ours: Any = self._shown
            warnings.showwarning = self._ours

    def drain(self) -> None:
        """Nothing is held back here."""

    def detach(self) -> None:
        """Put anomaly mode and the display of warnings back as they were."""
        if self._asked:
            torch.autograd.set_detect_anomaly(*self._was)
            if warnings.showwarning is self._ours:
                warnings.showwarning = self._show

    def _shown(self, message: Any, *rest: Any, **options: Any) -> None:
        text = str(message)
        if not text.startswith("Error detected in "):
            self._show(message, *rest, **options)
            return
        sites = [
            self._recorder.sink.sites.at(file, int(line), function)
            for file, line, function in _FRAME.findall(text)
            if self._recorder.sink.sites.is_user(file)
        ]
        site: Site | None = sites[-1] if sites else None
        sink = self._recorder.sink
        sink.emit([Notice(sink.next_seq(), "anomaly", text, site)])
        self._recorder.anomaly_site = site

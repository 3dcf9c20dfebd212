"""Tensors of failing calls, saved whole: safetensors files in the folder ``<log>.tensors`` beside the log."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

__all__ = ["TensorFolder"]

_MOST_BYTES = 64_000_000
"""Bytes that one recording saves in all."""


class TensorFolder:
    """The folder of one log's tensors; it is made when the first tensor is saved.

    Args:
        log: the log's path. Tensors of an earlier log of that name are removed.

    """

    def __init__(self, log: Path) -> None:
        self.room = _MOST_BYTES
        """Bytes that may still be saved."""
        self._folder = log.with_name(f"{log.name}.tensors")
        self._clear()

    def save(self, seq: int, tensors: Mapping[str, tuple[str, tuple[int, ...], bytes]]) -> dict[str, str]:
        """Write the tensors of event `seq` to one file.

        Args:
            seq: sequence number of the event they belong to; it names the file.
            tensors: dtype (numpy's words, and ``bfloat16``, ``float8_e4m3fn`` ...), shape and elements in
                row-major order by key.

        Returns:
            Where each lies, by key: ``<log>.tensors/<seq>.safetensors#<key>``, relative to the log's folder.
            Those of a dtype that the format has no word for (``complex128``) are not among them.

        Raises:
            ImportError: the safetensors library is not installed.
            Exception: the file can't be written; nothing is left of it.

        """
        from safetensors import SafetensorError, TensorSpec, serialize_file

        specs = {}
        for key, (dtype, shape, data) in tensors.items():
            with suppress(SafetensorError):  # it knows the dtypes
                specs[key] = TensorSpec(dtype=dtype, shape=shape, data_ptr=_address(data), data_len=len(data))
        if not specs:
            return {}
        self._folder.mkdir(exist_ok=True)
        file = self._folder / f"{seq}.safetensors"
        try:
            serialize_file(specs, file)
        except BaseException:
            file.unlink(missing_ok=True)
            raise
        self.room -= sum(len(tensors[key][2]) for key in specs)
        return {key: f"{self._folder.name}/{file.name}#{key}" for key in specs}

    def _clear(self) -> None:
        """Remove what an earlier recording saved here; files of others stay."""
        with suppress(OSError):  # what can't be removed is never referred to by the new log
            for file in self._folder.glob("*.safetensors"):
                if file.stem.isdigit():
                    file.unlink()
            self._folder.rmdir()


def _address(data: bytes) -> int:
    return ctypes.cast(ctypes.c_char_p(data), ctypes.c_void_p).value or 0

"""Write the golden log of format 1: one event of each kind with every field set. Run once, kept for ever."""

from __future__ import annotations

import sys

from graphdebug.log.writer import LogWriter
from graphdebug.model.event import (
    Declaration,
    End,
    Event,
    Failure,
    Framework,
    Gradient,
    Node,
    Notice,
    Operand,
    RunStart,
    Site,
    Source,
    Stats,
    TensorFact,
    ToolError,
    number,
)

SITE = Site(file="net.py", line=2, column=8, end_line=2, end_column=18, function="Net.forward")
BUILT = Site(file="net.py", line=1, function="build")
FACT = TensorFact(
    shape=(8, None),
    dtype="float32",
    device="cuda:0",
    layout="strided",
    alias_of=3,
    finite=False,
    stats=Stats(
        nan=1, pos_inf=2, neg_inf=3, zero=4, min=number(-1.5), max=number(2.0), mean=0.25, std=0.5, l2=3.0,
        histogram=(1, 0, 2),
    ),
    values=(number(float("nan")), number(float("inf")), number(float("-inf")), 1.5, True, "text"),
    saved="run.jsonl.tensors/7.safetensors#input",
)  # fmt: skip
OPERAND = Operand(
    fact=TensorFact((8, 4), "int64", unchecked="integers are always finite"),
    origin="parameter", producer=3, output=1, name="fc.weight", role="weight", expression="self.fc.weight",
)  # fmt: skip

EVENTS: list[Event] = [
    RunStart(0, 1, "0.1.0", "2026-11-23T18:00:00.000+00:00", "3.11.7", "Linux", ("train.py", "--fast"),
             "/home/me", 42, {"level": "stats"}, rank=0, world_size=2, host="one"),
    Framework(1, "torch", "2.13.0", {"threads": 1}),
    Source(2, "net.py", "w = 1\nx = self.fc(x)\n"),
    Declaration(3, "fc", "Linear", BUILT, "source", {"in_features": 4, "out_features": 2},
                {"weight": TensorFact((2, 4), "float32")}, callers=(SITE,)),
    Node(4, 0, op="aten::addmm", function="linear", family="linear", framework="torch", mode="eager",
         phase="backward", name="fc/MatMul", module="encoder.fc", overload="out", site=SITE, run_site=BUILT,
         callers=(BUILT,), inputs=(OPERAND,), outputs=(FACT,), forward=3, mutates=(0,),
         attributes={"stride": [1, 1], "eps": 1e-5, "layout": "NCHW", "transposed": False, "axis": None},
         execution="inferred", time=0.5, duration=0.25, device="cuda:0", thread=7),
    Gradient(5, 0, FACT, name="fc.weight", node=4, output=1, producer=4, site=SITE, stage="combined"),
    Failure(6, 1, "RuntimeError", "mat1 and mat2 shapes cannot be multiplied", category="shape",
            detail={"expected": 4, "found": 9}, framework="torch", mode="eager", phase="backward", op="linear",
            function="linear", family="linear", name="fc/MatMul", module="fc", site=SITE, run_site=BUILT,
            frames=(BUILT, SITE), operands=(OPERAND,), attributes={"weight_layout": "OI"}, node=4),
    Notice(7, "graph_break", "a graph break hides two ops", SITE, {"ops": 2}),
    ToolError(8, "statistics", "ValueError: x", "Traceback ..."),
    End(9, "failed", steps=2, events=10, seconds=1.5),
]  # fmt: skip

if __name__ == "__main__":
    writer = LogWriter(sys.argv[1])
    writer.write(EVENTS)
    writer.close()

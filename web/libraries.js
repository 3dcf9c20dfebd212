// What the report uses of its libraries, as one global.
import * as dagre from "@dagrejs/dagre";
import uPlot from "uplot";
import {
  Virtualizer, elementScroll, observeElementOffset, observeElementRect,
} from "@tanstack/virtual-core";

globalThis.libraries = {
  dagre, uPlot, Virtualizer, elementScroll, observeElementOffset, observeElementRect,
};

// The map: one polygon a cell; the slider chooses a cutoff, a click (or the list beside it) explains a cell.
"use strict";
(() => {
  const held = document.getElementById("map-data");
  if (!held) return;
  const map = JSON.parse(held.textContent);
  const CLASSES = [  // probability from, colour (ColorBrewer YlGnBu: safe for colour-blind readers and in print)
    [0, "#ffffcc"], [0.005, "#c7e9b4"], [0.02, "#7fcdbb"], [0.05, "#41b6c4"], [0.1, "#2c7fb8"], [0.2, "#253494"],
  ];
  const SVG = "http://www.w3.org/2000/svg";
  const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const n = map.cells.length;
  const steps = new DataView(bytes(map.risk).buffer);
  const events = bytes(map.events);
  const reasons = map.reasons ? bytes(map.reasons) : null;
  const probability = (at) => 1 / (1 + Math.exp(15 - (30 * steps.getUint16(2 * at, true)) / 65535));
  const percent = (p) => (p < 0.1 ? (100 * p).toFixed(1) : Math.round(100 * p)) + " %";
  const find = (id) => document.getElementById(id);
  const middle = (corners, axis) => {
    let sum = 0;
    for (let i = axis; i < corners.length; i += 2) sum += corners[i];
    return (2 * sum) / corners.length;
  };
  const [first] = map.outlines;
  const radius = 0.35 * Math.hypot(first[0] - middle(first, 0), first[1] - middle(first, 1));  // of an event's mark
  let chosen = null;

  const shapes = map.outlines.map((corners, cell) => {
    const path = document.createElementNS(SVG, "path");
    path.setAttribute("d", "M" + corners.join(" ") + "Z");
    path.addEventListener("click", () => choose(cell));
    find("cells").append(path);
    return path;
  });

  function show(cutoff) {
    const marks = document.createDocumentFragment();
    const order = [];
    let followed = 0;
    for (let cell = 0; cell < n; cell++) {
      const at = cutoff * n + cell;
      const p = probability(at);
      shapes[cell].setAttribute("fill", CLASSES.findLast(([from]) => p >= from)[1]);
      order.push(cell);
      if (events[at]) {
        followed++;
        const mark = document.createElementNS(SVG, "circle");
        mark.setAttribute("cx", middle(map.outlines[cell], 0));
        mark.setAttribute("cy", middle(map.outlines[cell], 1));
        mark.setAttribute("r", radius);
        mark.setAttribute("stroke-width", radius / 4);
        marks.append(mark);
      }
    }
    find("events").replaceChildren(marks);
    order.sort((a, b) => steps.getUint16(2 * (cutoff * n + b), true) - steps.getUint16(2 * (cutoff * n + a), true));
    const flagged = Math.max(1, Math.round(n * 0.05));
    const hits = order.slice(0, flagged).filter((cell) => events[cutoff * n + cell]).length;
    find("cutoff-shown").textContent = map.cutoffs[cutoff];
    find("map-summary").textContent =
      `In the ${map.horizon_days} days from ${map.cutoffs[cutoff]} on an event followed in ${followed} of ${n} cells; ` +
      `${hits} of those ${followed} are among the ${flagged} cells (5 %) of highest risk.`;
    find("highest").replaceChildren(...order.slice(0, 10).map((cell) => {
      const at = cutoff * n + cell;
      const row = document.createElement("tr");
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = map.cells[cell];
      button.addEventListener("click", () => choose(cell));
      for (const content of [button, percent(probability(at)), events[at] ? "● yes" : "no"]) {
        const box = document.createElement("td");
        box.append(content);
        row.append(box);
      }
      return row;
    }));
    if (chosen !== null) explain(cutoff);
  }

  function choose(cell) {
    if (chosen !== null) shapes[chosen].classList.remove("chosen");
    chosen = cell;
    shapes[cell].classList.add("chosen");
    find("cells").append(shapes[cell]);  // last drawn: its outline is on top
    explain(Number(find("cutoff").value));
  }

  function explain(cutoff) {
    const at = cutoff * n + chosen;
    const lines = [`${percent(probability(at))} from ${map.cutoffs[cutoff]} for ${map.horizon_days} days; ` +
      (events[at] ? "an event followed." : "no event followed.")];
    for (let i = 0; reasons && i < 3; i++) {
      const step = reasons[6 * at + 2 * i + 1] - 128;
      const times = Math.exp(step * 0.05);
      const group = map.groups[reasons[6 * at + 2 * i]].replaceAll("_", " ");
      lines.push(`${group}: odds × ${times < 0.1 ? times.toFixed(3) : times.toFixed(2)}`);
    }
    find("cell-name").textContent = `Cell ${map.cells[chosen]}`;
    find("cell-reasons").replaceChildren(...lines.map((line) => {
      const item = document.createElement("li");
      item.textContent = line;
      return item;
    }));
  }

  find("legend").replaceChildren(...CLASSES.map(([from, colour], i) => {
    const item = document.createElement("li");
    const box = document.createElement("i");
    box.style.background = colour;
    const to = CLASSES[i + 1];
    item.append(box, to ? `${100 * from}–${100 * to[0]} %` : `over ${100 * from} %`);
    return item;
  }), find("legend-event"));
  find("cutoff").addEventListener("input", (event) => show(Number(event.target.value)));
  show(Number(find("cutoff").value));
})();

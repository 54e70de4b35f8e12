"use strict";
// The data are what mnflow/report/gather.py documents. Words from runs go in as text, never as markup.
const data = JSON.parse(document.getElementById("data").textContent);
const shown = new Set(data.runs.map((_, i) => i));
const state = { curve: null, embedding: null, sort: null, descending: true };
const SVG = "http://www.w3.org/2000/svg";

function element(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else if (value !== false && value !== null) node.setAttribute(key, value === true ? "" : value);
  }
  node.append(...children);
  return node;
}
function svg(tag, attributes = {}, text = null) {
  const node = document.createElementNS(SVG, tag);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  if (text !== null) node.textContent = text;
  return node;
}
function show(id, ...children) { document.getElementById(id).replaceChildren(...children); }
function visibleRuns() { return data.runs.filter((_, i) => shown.has(i)); }
function swatch(run) {
  const icon = svg("svg", { width: 26, height: 10, class: "swatch", "aria-hidden": "true" });
  icon.append(svg("line", { x1: 1, x2: 25, y1: 5, y2: 5, stroke: run.colour, "stroke-width": 3, "stroke-dasharray": run.dash }));
  return icon;
}
function number(value) {
  if (typeof value !== "number") return value ?? "";
  return Math.abs(value) >= 1000 || Number.isInteger(value) ? String(Math.round(value)) : value.toPrecision(4);
}

// ---- tip
const tip = document.getElementById("tip");
function showTip(event, text) {
  tip.textContent = text;
  tip.hidden = false;
  const box = tip.getBoundingClientRect();
  tip.style.left = Math.max(4, Math.min(event.clientX + 14, innerWidth - box.width - 8)) + "px";
  tip.style.top = Math.max(4, Math.min(event.clientY + 14, innerHeight - box.height - 8)) + "px";
}
function hideTip() { tip.hidden = true; }

// ---- axes shared by all charts
function ticks(low, high, count) {
  const raw = (high - low) / count, power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= raw);
  const found = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9; i++) found.push(+(i * step).toPrecision(10));
  return found;
}
function frame(width, height, margin, x, y, xLabel, yLabel, percent) {
  const px = (v) => margin.left + ((v - x[0]) / (x[1] - x[0])) * (width - margin.left - margin.right);
  const py = (v) => height - margin.bottom - ((v - y[0]) / (y[1] - y[0])) * (height - margin.top - margin.bottom);
  const chart = svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `${yLabel} against ${xLabel}` });
  for (const v of ticks(y[0], y[1], 6)) {
    chart.append(svg("line", { class: "grid", x1: margin.left, x2: width - margin.right, y1: py(v), y2: py(v) }));
    const text = percent ? `${+(v * 100).toPrecision(4)} %` : String(v);
    chart.append(svg("text", { x: margin.left - 8, y: py(v) + 4, "text-anchor": "end" }, text));
  }
  for (const v of ticks(x[0], x[1], 10)) {
    chart.append(svg("line", { class: "grid", x1: px(v), x2: px(v), y1: margin.top, y2: height - margin.bottom }));
    chart.append(svg("text", { x: px(v), y: height - margin.bottom + 17, "text-anchor": "middle" }, String(v)));
  }
  const bottom = height - margin.bottom;
  chart.append(svg("path", { class: "axis", fill: "none", d: `M${margin.left} ${margin.top}V${bottom}H${width - margin.right}` }));
  chart.append(svg("text", { x: (margin.left + width - margin.right) / 2, y: height - 6, "text-anchor": "middle" }, xLabel));
  const middle = (margin.top + bottom) / 2;
  chart.append(svg("text", { x: 14, y: middle, "text-anchor": "middle", transform: `rotate(-90 14 ${middle})` }, yLabel));
  return { chart, px, py };
}
function extent(values) {
  let low = Infinity, high = -Infinity;
  for (const v of values) { if (v < low) low = v; if (v > high) high = v; }
  return high > low ? [low, high] : [low - 0.5, high + 0.5];
}

// ---- runs
function drawRuns() {
  show("runs", ...data.runs.map((run, i) => element("label", { title: `${run.id}\n${run.note}` },
    element("input", { type: "checkbox", checked: shown.has(i), onchange: (event) => {
      if (event.target.checked) shown.add(i); else shown.delete(i);
      drawAll();
    } }), swatch(run), run.label)));
  show("verdict", ...(data.verdict ?? []).map((text) => element("p", {}, text)));
  document.getElementById("summary").textContent = `${data.runs.length} runs of ${data.store}; written ${data.written}.`;
}

// ---- metrics side by side
function drawOverview() {
  const runs = visibleRuns();
  const named = new Map(data.columns ?? []), measured = new Set(runs.flatMap((r) => Object.keys(r.metrics)));
  const first = [...named.keys()].filter((key) => measured.has(key));
  const keys = [...first, ...[...measured].filter((key) => !named.has(key)).sort()];  // what is compared comes first
  if (state.sort) runs.sort((a, b) => ((a.metrics[state.sort] ?? -Infinity) - (b.metrics[state.sort] ?? -Infinity)) * (state.descending ? -1 : 1));
  const head = element("tr", {}, element("th", {}, "run"), ...keys.map((key) => element("th", {
    class: "number", "data-key": key, "aria-sort": state.sort === key ? (state.descending ? "descending" : "ascending") : "none",
    onclick: () => { state.descending = state.sort === key ? !state.descending : true; state.sort = key; drawOverview(); },
  }, (named.get(key) ?? key) + (state.sort === key ? (state.descending ? " ▼" : " ▲") : ""))));
  const rows = runs.map((run) => element("tr", {}, element("td", {}, swatch(run), run.label), ...keys.map((key) => {
    const all = runs.map((r) => r.metrics[key]).filter((v) => v !== undefined);
    const best = /accuracy|agreement|vote/.test(key) && !/std|interval/.test(key) && all.length > 1 && run.metrics[key] === Math.max(...all);
    return element("td", { class: best ? "number best" : "number" }, number(run.metrics[key]));
  })));
  show("overview-table", keys.length ? element("table", {}, element("thead", {}, head), element("tbody", {}, ...rows)) : empty("No metrics."));
}
function empty(text) { return element("p", { class: "empty" }, text); }

// ---- curves
function drawCurves() {
  const keys = [...new Set(data.runs.flatMap((r) => Object.keys(r.curves)))].sort();
  if (!keys.includes(state.curve)) state.curve = keys.find((k) => k.startsWith("shift")) ?? keys[0] ?? null;
  show("curve-keys", ...keys.map((key) => element("button", {
    "aria-pressed": String(key === state.curve), onclick: () => { state.curve = key; drawCurves(); },
  }, key)));
  const lines = visibleRuns().filter((r) => r.curves[state.curve]).map((run) => ({ run, ...run.curves[state.curve] }));
  if (!lines.length) return show("curve-chart", empty("No curves in the runs shown."));
  const percent = /accuracy/.test(state.curve);
  const x = extent(lines.flatMap((l) => l.x));
  const values = extent(lines.flatMap((l) => [...l.y, ...(l.low ?? [])]));
  const y = percent ? [values[0] > 0.92 ? 0.9 : values[0] > 0.52 ? 0.5 : 0, 1] : values;
  const margin = { left: 66, right: 14, top: 12, bottom: 42 };
  const { chart, px, py } = frame(1100, 420, margin, x, y, lines[0].x_label, percent ? "accuracy" : state.curve, percent);
  for (const l of lines) if (l.low) chart.append(svg("path", { d: band(l, px, py), fill: l.run.colour, opacity: 0.14 }));
  for (const l of lines) {
    chart.append(svg("path", { d: path(l.x, l.y, px, py), fill: "none", stroke: l.run.colour, "stroke-width": 2.2, "stroke-dasharray": l.run.dash }));
  }
  follow(chart, lines, px, margin, percent);
  show("curve-chart", chart);
}
function path(x, y, px, py) { return x.map((v, i) => `${i ? "L" : "M"}${px(v).toFixed(1)} ${py(y[i]).toFixed(1)}`).join(""); }
function band(l, px, py) {
  const back = l.x.map((v, i) => `L${px(v).toFixed(1)} ${py(l.low[i]).toFixed(1)}`).reverse().join("");
  return path(l.x, l.high, px, py) + back + "Z";
}
function follow(chart, lines, px, margin, percent) {
  const ruler = svg("line", { class: "axis", y1: margin.top, y2: 420 - margin.bottom, visibility: "hidden" });
  chart.append(ruler);
  chart.addEventListener("pointermove", (event) => {
    const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(chart.getScreenCTM().inverse()).x;
    const xs = lines.reduce((a, l) => (l.x.length > a.length ? l.x : a), []);
    const nearest = xs.reduce((a, v) => (Math.abs(px(v) - at) < Math.abs(px(a) - at) ? v : a), xs[0]);
    for (const end of ["x1", "x2"]) ruler.setAttribute(end, px(nearest));
    ruler.setAttribute("visibility", "visible");
    const rows = lines.filter((l) => l.x.includes(nearest)).map((l) => {
      const value = l.y[l.x.indexOf(nearest)];
      return { value, text: `${percent ? (value * 100).toFixed(2) + " %" : number(value)}  ${l.run.label}` };
    }).sort((a, b) => b.value - a.value);
    showTip(event, `${lines[0].x_label}: ${nearest}\n` + rows.map((r) => r.text).join("\n"));
  });
  chart.addEventListener("pointerleave", () => { hideTip(); ruler.setAttribute("visibility", "hidden"); });
}

// ---- references
function drawReferences() {
  const runs = visibleRuns().filter((r) => r.references.length);
  if (!runs.length) return show("reference-table", empty("None of the runs shown has a reference test."));
  const spectra = new Map();
  for (const run of runs) for (const r of run.references) spectra.set(r.name, r);
  const order = [...spectra.values()].sort((a, b) => (a.truth < 0) - (b.truth < 0) || a.truth - b.truth || a.name.localeCompare(b.name));
  const rows = [];
  let last = null;
  for (const spectrum of order) {
    if (spectrum.truth !== last) {
      last = spectrum.truth;
      const name = last < 0 ? "mixed or unknown" : data.classes[last];
      rows.push(element("tr", { class: "subhead" }, element("td", { colspan: runs.length + 1 }, name)));
    }
    rows.push(element("tr", {}, element("td", {}, spectrum.name), ...runs.map((run) => referenceCell(run, spectrum.name))));
  }
  rows.push(element("tr", { class: "total" }, element("th", {}, "right, of those with one valence"), ...runs.map((run) => {
    const single = run.references.filter((r) => r.truth >= 0);
    return element("td", { class: "cell" }, `${single.filter((r) => winner(r.p) === r.truth).length} of ${single.length}`);
  })));
  const head = element("tr", {}, element("th", {}, "spectrum"), ...runs.map((run) => element("th", {}, swatch(run), run.label)));
  show("reference-table", element("table", {}, element("thead", {}, head), element("tbody", {}, ...rows)));
}
function winner(p) { return p.indexOf(Math.max(...p)); }
function referenceCell(run, name) {
  const r = run.references.find((other) => other.name === name);
  if (!r) return element("td", { class: "cell" }, "–");
  const best = winner(r.p);
  const wrong = r.truth >= 0 && best !== r.truth;
  const cell = element("td", { class: wrong ? "cell wrong" : "cell" }, `${data.classes[best]} ${r.p[best].toFixed(2)}`);
  cell.style.background = data.class_colours[best] + Math.round(25 + 90 * r.p[best]).toString(16).padStart(2, "0");
  const text = `${name}\n${run.label}\n` + data.classes.map((c, i) => `${c}  ${r.p[i].toFixed(3)}`).join("\n");
  cell.addEventListener("pointermove", (event) => showTip(event, text));
  cell.addEventListener("pointerleave", hideTip);
  return cell;
}

// ---- t-SNE
function drawEmbedding() {
  const runs = visibleRuns().filter((r) => Object.keys(r.embedding).length);
  if (!runs.length) { show("embedding-runs"); return show("embedding-charts", empty("None of the runs shown has a t-SNE.")); }
  if (!runs.some((r) => r.id === state.embedding)) state.embedding = runs[0].id;
  show("embedding-runs", ...runs.map((run) => element("button", {
    "aria-pressed": String(run.id === state.embedding), onclick: () => { state.embedding = run.id; drawEmbedding(); },
  }, run.label)));
  const spaces = runs.find((r) => r.id === state.embedding).embedding;
  show("embedding-charts", ...Object.entries(spaces).map(([space, points]) =>
    element("figure", {}, element("figcaption", {}, space), scatter(points))));
}
function scatter(points) {
  const margin = { left: 8, right: 8, top: 8, bottom: 24 }, size = 520;
  const [x, y] = [extent(points.x), extent(points.y)];
  const px = (v) => margin.left + 8 + ((v - x[0]) / (x[1] - x[0])) * (size - 32);
  const py = (v) => size - margin.bottom - 8 - ((v - y[0]) / (y[1] - y[0])) * (size - 48);
  const chart = svg("svg", { viewBox: `0 0 ${size} ${size}`, role: "img", "aria-label": "t-SNE of spectra and references" });
  chart.append(svg("rect", { x: margin.left, y: margin.top, width: size - 16, height: size - 32, fill: "none", class: "grid" }));
  const order = points.x.map((_, i) => i).sort((a, b) => points.reference[a] - points.reference[b]);
  for (const i of order) chart.append(mark(points, i, px(points.x[i]), py(points.y[i])));
  const names = [...data.classes, "mixed"];
  names.forEach((name, i) => {
    const at = margin.left + 10 + (i * (size - 20)) / names.length;
    chart.append(svg("circle", { cx: at, cy: size - 9, r: 5, fill: colourOf(i < data.classes.length ? i : -1) }));
    chart.append(svg("text", { x: at + 9, y: size - 5 }, name));
  });
  return chart;
}
function colourOf(label) { return label < 0 ? data.unknown_colour : data.class_colours[label]; }
function mark(points, i, cx, cy) {
  const reference = points.reference[i], fill = colourOf(points.label[i]);
  const node = reference
    ? svg("path", { d: `M${cx} ${cy - 7}l6.5 12h-13z`, fill, stroke: "#000", "stroke-width": 1.2 })
    : svg("circle", { cx, cy, r: 3, fill, opacity: 0.55 });
  const name = points.label[i] < 0 ? "mixed or unknown" : data.classes[points.label[i]];
  node.addEventListener("pointermove", (event) => showTip(event, `${points.name[i]}\n${name}${reference ? ", reference" : ""}`));
  node.addEventListener("pointerleave", hideTip);
  return node;
}

// ---- parameters
function drawParameters() {
  const runs = visibleRuns(), everything = document.getElementById("all-parameters").checked;
  const keys = [...new Set(runs.flatMap((r) => Object.keys(r.params)))].sort();
  const differ = (key) => new Set(runs.map((r) => r.params[key] ?? "")).size > 1;
  const chosen = keys.filter((key) => everything || differ(key));
  if (!chosen.length) return show("parameter-table", empty("The runs shown have the same parameters."));
  const head = element("tr", {}, element("th", {}, "parameter"), ...runs.map((run) => element("th", {}, swatch(run), run.label)));
  const rows = chosen.map((key) => element("tr", {}, element("td", {}, key), ...runs.map((run) =>
    element("td", { class: everything && differ(key) ? "best" : "" }, run.params[key] ?? "–"))));
  show("parameter-table", element("table", {}, element("thead", {}, head), element("tbody", {}, ...rows)));
}

function drawAll() { hideTip(); drawOverview(); drawCurves(); drawReferences(); drawEmbedding(); drawParameters(); }
document.getElementById("all-parameters").addEventListener("change", drawParameters);
drawRuns();
drawAll();

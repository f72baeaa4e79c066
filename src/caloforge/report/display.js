"use strict";
// The event display: two showers side by side. The page holds the showers (#showers) and the controls (#display-*).
(() => {
  const scenes = JSON.parse(document.getElementById("showers").textContent);
  const plot = document.getElementById("display-plot");
  const control = (name) => document.getElementById(`display-${name}`);
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const narrow = matchMedia("(max-width: 50rem)");
  const state = { scene: 0, shown: [0, 1], shower: 0 };
  const SIZES = [2.5, 11], STEPS = 100;

  const inked = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
  const words = (mev) => {
    const [factor, unit] = [[1e-3, "GeV"], [1, "MeV"], [1e3, "keV"], [1e6, "eV"]].find(([f]) => mev * f >= 0.9995) || [1e6, "eV"];
    return `${Number((mev * factor).toPrecision(3))} ${unit}`;
  };
  const scene = () => scenes[state.scene];
  const shower = (panel) => scene().showers[state.shown[panel]][state.shower];
  const deposits = () => [0, 1].flatMap((panel) => shower(panel).deposits);
  const ends = (list) => list.reduce(([low, high], e) => [Math.min(low, e), Math.max(high, e)], [Infinity, 0]);
  const decades = (list) => (list.length ? ends(list).map(Math.log10) : [-3, 0]);

  function threshold() {
    const share = Number(control("threshold").value) / STEPS;
    const [low, high] = decades(scenes.flatMap((s) => s.showers.flat().flatMap((one) => one.deposits)));
    return share === 0 ? 0 : 10 ** (low + share * (high - low));
  }

  function points(panel, least, range) {
    const { cells, deposits: energies } = shower(panel);
    const kept = cells.map((cell, k) => [cell, energies[k]]).filter(([, e]) => e >= least);
    const [low, high] = range;
    const level = (e) => (Math.log10(e) - low) / (high - low || 1);
    const at = (axis) => kept.map(([cell]) => scene().centres[axis][cell]);
    return {
      type: "scatter3d", mode: "markers", scene: panel ? "scene2" : "scene", x: at(0), y: at(1), z: at(2),
      text: kept.map(([, e]) => words(e)), hovertemplate: "%{text}<br>depth %{x}, x %{y}, y %{z} mm<extra></extra>",
      marker: {
        size: kept.map(([, e]) => SIZES[0] + (SIZES[1] - SIZES[0]) * Math.max(0, level(e)) ** 1.5),
        color: kept.map(([, e]) => Math.log10(e)), colorscale: "Viridis", reversescale: !dark.matches,
        cmin: low, cmax: high, opacity: 0.85, line: { width: 0 }, showscale: panel === 1 || !control("same").checked,
        colorbar: bar(panel, low, high),
      },
    };
  }

  function bar(panel, low, high) {
    const ticks = [];
    for (let decade = Math.ceil(low - 0.001); decade <= high + 0.001; decade += 1) ticks.push(decade);
    const [x, y, len] = narrow.matches ? [1.0, panel ? 0.24 : 0.76, 0.42] : [panel ? 1.0 : 0.47, 0.5, 0.7];
    return { x, y, len, thickness: 10, outlinewidth: 0, tickvals: ticks, ticktext: ticks.map((t) => words(10 ** t)), xpad: 4 };
  }

  function beam(panel) {
    const line = { color: inked("apart"), width: 4 };
    const [from, to] = scene().beam;
    return { type: "scatter3d", mode: "lines", scene: panel ? "scene2" : "scene", x: [from, to], y: [0, 0], z: [0, 0], line, hoverinfo: "skip" };
  }

  function axes(panel) {
    const axis = (title) => ({ title: { text: title }, color: inked("soft"), gridcolor: inked("line"), zeroline: false, showbackground: false, nticks: 5 });
    const halves = narrow.matches ? { x: [0, 0.96], y: panel ? [0, 0.48] : [0.52, 1] } : { x: panel ? [0.51, 0.97] : [0, 0.46], y: [0, 1] };
    const [x, y, z] = scene().sides;
    const camera = plot.layout?.scene?.camera || { eye: { x: -0.7, y: -1.75, z: 0.75 } };
    return { domain: halves, xaxis: axis("depth [mm]"), yaxis: axis("x [mm]"), zaxis: axis("y [mm]"), aspectmode: "manual", aspectratio: { x, y, z }, camera };
  }

  function tell(panel, least) {
    const { row, text, deposits: energies } = shower(panel);
    const kept = energies.filter((e) => e >= least);
    const share = kept.reduce((a, b) => a + b, 0) / (energies.reduce((a, b) => a + b, 0) || 1);
    control(`note-${panel}`).textContent =
      `${scene().samples[state.shown[panel]]}, shower ${row} (${text}): ${kept.length} of ${energies.length} cells, ${(100 * share).toFixed(1)} % of their energy`;
  }

  function draw() {
    const least = threshold(), common = decades(deposits());
    const ranges = [0, 1].map((panel) => (control("same").checked ? common : decades(shower(panel).deposits)));
    control("threshold-value").textContent = least ? words(least) : "none";
    [0, 1].forEach((panel) => tell(panel, least));
    const layout = {
      scene: axes(0), scene2: axes(1), showlegend: false, margin: { l: 0, r: 0, t: 0, b: 0 }, height: narrow.matches ? 760 : 440,
      paper_bgcolor: "rgba(0,0,0,0)", font: { color: inked("ink"), size: 11, family: "system-ui, sans-serif" },
    };
    const data = [0, 1].flatMap((panel) => [points(panel, least, ranges[panel]), beam(panel)]);
    return Plotly.react(plot, data, layout, { responsive: true, displaylogo: false, modeBarButtonsToRemove: ["toImage"] });
  }

  function fill(name, entries, chosen) {
    control(name).replaceChildren(...entries.map((text, k) => new Option(text, k, false, k === chosen)));
  }

  function offer() {
    fill("scene", scenes.map((s) => s.title), state.scene);
    [0, 1].forEach((panel) => fill(`sample-${panel}`, scene().samples, state.shown[panel]));
    fill("shower", scene().showers[state.shown[0]].map((one) => `${one.text} (shower ${one.row})`), state.shower);
  }

  function show(change) {
    Object.assign(state, change);
    offer();
    return draw();
  }

  offer();
  draw().then(() => plot.on("plotly_relayout", (change) => {
    ["scene", "scene2"].forEach((turned, panel) => {
      const camera = change[`${turned}.camera`], other = panel ? "scene" : "scene2";
      if (camera && JSON.stringify(plot.layout[other].camera) !== JSON.stringify(camera)) Plotly.relayout(plot, { [`${other}.camera`]: camera });
    });
  }));
  control("scene").addEventListener("change", (e) => show({ scene: Number(e.target.value), shown: [0, 1], shower: 0 }));
  control("shower").addEventListener("change", (e) => show({ shower: Number(e.target.value) }));
  [0, 1].forEach((panel) => control(`sample-${panel}`).addEventListener("change", (e) => show({ shown: state.shown.with(panel, Number(e.target.value)) })));
  ["threshold", "same"].forEach((name) => control(name).addEventListener("input", draw));
  [dark, narrow].forEach((query) => query.addEventListener("change", draw));
  document.querySelectorAll("a[data-shower]").forEach((link) => link.addEventListener("click", () => {
    const [scene, sample, shower] = link.dataset.shower.split(",").map(Number);
    show({ scene, shown: sample ? [0, sample] : [0, state.shown[1]], shower });
  }));
})();

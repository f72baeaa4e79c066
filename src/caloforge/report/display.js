"use strict";
// The event display: two showers side by side. The page holds what can be shown (#showers) and the controls (#display-*).
(() => {
  const scenes = JSON.parse(document.getElementById("showers").textContent);
  const plot = document.getElementById("display-plot");
  const control = (name) => document.getElementById(`display-${name}`);
  const dark = matchMedia("(prefers-color-scheme: dark)"), narrow = matchMedia("(max-width: 50rem)");
  const SIZES = [3, 12], STEPS = 100, PANELS = [0, 1];
  const BUTTONS = [["tableRotation", "orbitRotation", "zoom3d", "pan3d", "resetCameraDefault3d"]];
  const state = { scene: 0, shown: [0, 1], shower: [0, 0] };

  const scene = () => scenes[state.scene];
  const middle = () => Math.floor(scene().examples / 2);
  const shower = (panel) => scene().showers[state.shown[panel]][state.shower[panel]];
  const inked = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
  const sum = (list) => list.reduce((a, b) => a + b, 0);
  const decades = (list) => (list.length ? [Math.log10(list.reduce((a, b) => Math.min(a, b))), Math.log10(list.reduce((a, b) => Math.max(a, b)))] : [-3, 0]);
  const words = (mev) => {
    const [factor, unit] = [[1e-3, "GeV"], [1, "MeV"], [1e3, "keV"]].find(([f]) => mev * f >= 0.9995) || [1e6, "eV"];
    return `${Number((mev * factor).toPrecision(3))} ${unit}`;
  };

  function threshold() {
    const share = Number(control("threshold").value) / STEPS;
    const [low, high] = decades(scenes.flatMap((one) => one.showers.flat().flatMap((each) => each.deposits)));
    return share === 0 ? 0 : 10 ** (low + share * (high - low));
  }

  function points(panel, least, [low, high]) {
    const { cells, deposits } = shower(panel);
    const kept = cells.map((cell, k) => [cell, deposits[k]]).filter(([, energy]) => energy >= least);
    const level = (energy) => Math.max(0, (Math.log10(energy) - low) / (high - low || 1));
    const [x, y, z] = scene().centres.map((column) => kept.map(([cell]) => column[cell]));
    return {
      type: "scatter3d", mode: "markers", scene: panel ? "scene2" : "scene", x, y, z,
      text: kept.map(([, energy]) => words(energy)), hovertemplate: `%{text}<br>${scene().depth.split(" ")[0]} %{x}, x %{y}, y %{z} mm<extra></extra>`,
      marker: {
        size: kept.map(([, energy]) => SIZES[0] + (SIZES[1] - SIZES[0]) * level(energy) ** 1.5),
        color: kept.map(([, energy]) => Math.log10(energy)), colorscale: "Viridis", reversescale: !dark.matches, cmin: low, cmax: high,
        opacity: 0.85, line: { width: 0 }, showscale: panel === 1 || !control("same").checked, colorbar: bar(panel, low, high),
      },
    };
  }

  function bar(panel, low, high) {
    const tickvals = [];
    for (let decade = Math.ceil(low - 0.001); decade <= high + 0.001; decade += 1) tickvals.push(decade);
    const [x, y, len] = narrow.matches ? [1, panel ? 0.24 : 0.76, 0.42] : [panel ? 1 : 0.46, 0.5, 0.7];
    return { x, y, len, thickness: 10, outlinewidth: 0, xpad: 4, tickvals, ticktext: tickvals.map((decade) => words(10 ** decade)) };
  }

  function beam(panel) {
    const line = { color: inked("apart"), width: 4 };
    return { type: "scatter3d", mode: "lines", scene: panel ? "scene2" : "scene", x: scene().beam, y: [0, 0], z: [0, 0], line, hoverinfo: "skip" };
  }

  function box(panel) {
    const axis = (text, range) => ({ title: { text }, range, color: inked("soft"), gridcolor: inked("line"), zeroline: false, showbackground: false, nticks: 5 });
    const domain = narrow.matches ? { x: [0, 0.94], y: panel ? [0, 0.49] : [0.51, 1] } : { x: panel ? [0.5, 0.96] : [0, 0.46], y: [0, 1] };
    const { sides: [x, y, z], ranges, depth } = scene();
    const camera = plot.layout?.scene?.camera || { eye: { x: -0.65, y: -1.4, z: 0.5 }, center: { x: -0.12, y: 0, z: -0.06 } };
    const [xaxis, yaxis, zaxis] = [depth, "x [mm]", "y [mm]"].map((text, k) => axis(text, ranges[k]));
    return { domain, xaxis, yaxis, zaxis, aspectmode: "manual", aspectratio: { x, y, z }, camera };
  }

  function tell(panel, least) {
    const { row, text, deposits } = shower(panel);
    const kept = deposits.filter((energy) => energy >= least), share = (100 * sum(kept)) / (sum(deposits) || 1);
    const counted = `${kept.length} of ${deposits.length} cells, ${share.toFixed(1)} % of their energy`;
    control(`note-${panel}`).textContent = `${scene().samples[state.shown[panel]]}, shower ${row} (${text}): ${counted}`;
  }

  function draw() {
    const least = threshold(), own = PANELS.map((panel) => decades(shower(panel).deposits));
    const common = [Math.min(own[0][0], own[1][0]), Math.max(own[0][1], own[1][1])];
    control("threshold-value").textContent = least ? words(least) : "0";
    PANELS.forEach((panel) => tell(panel, least));
    const clear = "rgba(0,0,0,0)";
    const layout = {
      scene: box(0), scene2: box(1), showlegend: false, margin: { l: 0, r: 0, t: 0, b: 0 }, height: narrow.matches ? 800 : 460,
      paper_bgcolor: clear, modebar: { bgcolor: clear, color: inked("soft"), activecolor: inked("ink") },
      font: { color: inked("ink"), size: 11, family: "system-ui, sans-serif" },
    };
    const data = PANELS.flatMap((panel) => [points(panel, least, control("same").checked ? common : own[panel]), beam(panel)]);
    return Plotly.react(plot, data, layout, { responsive: true, displaylogo: false, modeBarButtons: BUTTONS });
  }

  function offer() {
    const fill = (name, entries, chosen) => control(name).replaceChildren(...entries.map(([value, text]) => new Option(text, value, false, value === chosen)));
    const { samples, showers, examples, outliers } = scene(), [left, right] = state.shown;
    fill("scene", scenes.map((one, k) => [String(k), one.title]), String(state.scene));
    PANELS.forEach((panel) => fill(`sample-${panel}`, samples.map((name, k) => [String(k), name]), String(state.shown[panel])));
    const common = showers[left].slice(0, examples).map((one, k) => [`both,${k}`, `${one.text} (shower ${one.row})`]);
    const tails = PANELS.slice(0, left === right ? 1 : 2).flatMap((panel) => showers[state.shown[panel]].slice(examples, examples + outliers[state.shown[panel]]).map(
      (one, k) => [`${panel},${examples + k}`, `${samples[state.shown[panel]]} in the tails: ${one.text} (shower ${one.row})`]));
    const odd = PANELS.find((panel) => inTails(state.shown[panel], state.shower[panel]));
    fill("shower", [...common, ...tails], odd === undefined ? `both,${state.shower[0]}` : `${odd},${state.shower[odd]}`);
  }

  function show(change) {
    Object.assign(state, change);
    offer();
    return draw();
  }

  const inTails = (sample, k) => k >= scene().examples && k < scene().examples + scene().outliers[sample];

  function nearest(sample, energy) {
    const off = scene().showers[sample].map((one, k) => (inTails(sample, k) ? Infinity : Math.abs(one.energy - energy)));
    return off.indexOf(Math.min(...off));
  }

  // One shower in both panels if it is an example; one from the tails in its own panel, beside one of the same energy that is not.
  function choose(panel, k) {
    if (k < scene().examples) return show({ shower: [k, k] });
    const other = nearest(state.shown[1 - panel], scene().showers[state.shown[panel]][k].energy);
    return show({ shower: panel ? [other, k] : [k, other] });
  }

  function turnTogether(change) {
    PANELS.forEach((panel) => {
      const camera = change[`${panel ? "scene2" : "scene"}.camera`], other = panel ? "scene" : "scene2";
      if (camera && JSON.stringify(plot.layout[other].camera) !== JSON.stringify(camera)) Plotly.relayout(plot, { [`${other}.camera`]: camera });
    });
  }

  show({ shower: [middle(), middle()] }).then(() => plot.on("plotly_relayout", turnTogether));
  control("scene").addEventListener("change", (event) => {
    state.scene = Number(event.target.value);
    show({ shown: [0, 1], shower: [middle(), middle()] });
  });
  control("shower").addEventListener("change", (event) => {
    const [panel, k] = event.target.value.split(",").map(Number);
    choose(panel || 0, k);
  });
  PANELS.forEach((panel) => control(`sample-${panel}`).addEventListener("change", (event) => {
    state.shown[panel] = Number(event.target.value);
    show({ shower: state.shower.some((k) => k >= scene().examples) ? [middle(), middle()] : state.shower });
  }));
  ["threshold", "same"].forEach((name) => control(name).addEventListener("input", draw));
  [dark, narrow].forEach((query) => query.addEventListener("change", draw));
  document.querySelectorAll("a[data-shower]").forEach((link) => link.addEventListener("click", () => {
    const [of, sample, k] = link.dataset.shower.split(",").map(Number);
    Object.assign(state, { scene: of, shown: [0, sample || (state.scene === of && state.shown[1]) || 1] });
    choose(sample ? 1 : 0, k);
  }));
})();

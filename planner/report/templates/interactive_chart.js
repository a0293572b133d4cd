// Pictures of a position: memory, formats by layer, tokens/s along one axis.
const SVG = "http://www.w3.org/2000/svg";
const MEMORY = ["weights", "cache", "activations", "runtime"];
const element = (id) => document.getElementById(id);

function make(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}
function draw(tag, attributes = {}, ...children) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}
function write(id, text) {
  const node = element(id);
  if (node.textContent !== text) node.textContent = text;
}

function showMemory(found) {
  write("wi-memory-title", say("memory.title", { used: found.used, usable: data.usable }));
  const sizes = MEMORY.map((name) => Number(found[name]));
  const usable = Number(data.usable);
  const free = Math.max(usable - sizes.reduce((a, b) => a + b, 0), 0);
  const kept = Math.max(data.capacity - usable, 0);
  const parts = [...MEMORY.map((name, n) => [name, sizes[n]]), ["free", free], ["kept", kept]];
  const bar = element("wi-memory");
  if (!bar.childElementCount) {
    bar.append(...parts.map(([name]) => make("span", { class: `wi-${name} ${name}` })));
    element("wi-memory-legend").append(...parts.slice(0, 5).map(([name]) =>
      make("li", {}, make("span", { class: `swatch wi-${name} ${name}` }), make("span"))));
  }
  parts.forEach(([, size], n) => { bar.children[n].style.flex = `${size} 0 0`; });
  [...element("wi-memory-legend").children].forEach((item, n) => {
    const [name, size] = parts[n];
    item.lastChild.textContent = `${data.memory[name]} ${size.toFixed(1)} GiB`;
  });
}

let drawn = null;
function showFormats([, strips]) {
  if (drawn === strips) return;
  drawn = strips;
  const used = new Set();
  const rows = strips.flatMap((strip, kind) => {
    if (strip < 0) return [];
    let first = 0;
    const said = [];
    const runs = data.strips[strip].map(([count, scheme]) => {
      const run = make("div", { class: scheme < 0 ? "run none" : "run" });
      run.style.flex = `${count} 0 0`;
      if (scheme >= 0) {
        const [name, fill, ink] = data.schemes[scheme];
        used.add(scheme);
        run.style.setProperty("--n", count);
        run.style.backgroundColor = fill;
        run.style.color = ink;
        run.append(make("span", {}, name));
        run.title = say("map.run", { first, last: first + count - 1, scheme: name });
        said.push(run.title);
      }
      first += count;
      return run;
    });
    const name = data.kinds[kind];
    return [make("div", { class: "name", "aria-hidden": "true" }, name),
      make("div", { class: "strip", role: "img",
        "aria-label": say("map.label", { kind: name, runs: said.join(", ") }) }, ...runs)];
  });
  element("wi-map").replaceChildren(...rows);
  element("wi-map-legend").replaceChildren(...[...used].sort((a, b) => a - b).map((scheme) => {
    const swatch = make("span", { class: "swatch" });
    swatch.style.background = data.schemes[scheme][1];
    return make("li", {}, swatch, data.schemes[scheme][0]);
  }));
}

// Tokens/s along an axis: one line a position, a dot with its interval, nothing in between.
const LINE = 27;
const TOP = 20;
const BOTTOM = 24;
const WIDEST = 704;
const LETTER = 6.8;
function showChart(n, go) {
  const axis = axes[n];
  const rows = axis.values.map((_, v) => look(moved(n, v)));
  const plans = rows.filter((found) => !found.refused);
  element("wi-chart-part").hidden = !plans.length;
  if (!plans.length) return;
  const width = Math.min(Math.max(element("wi-chart").clientWidth, 280), WIDEST);
  const left = Math.min(Math.max(...axis.ticks.map(broad)) + 12, width * 0.42);
  const height = TOP + LINE * rows.length + BOTTOM;
  const ends = plans.flatMap((found) => [number(found.low), number(found.high)]);
  ends.push(number(own.rate));
  const low = Math.log10(Math.min(...ends));
  const high = Math.max(Math.log10(Math.max(...ends)), low + 0.3);
  const x = (value) => left + 8 + (width - left - 76) * (Math.log10(value) - low) / (high - low);
  const parts = [draw("rect", { class: "here", x: 0, y: TOP + LINE * at[n], width, height: LINE })];
  const unit = say("figure.rate_unit");
  parts.push(draw("text", { x: width, y: height - 8, "text-anchor": "end" }, unit));
  let free = -Infinity;
  for (const value of ticks(low, high)) {
    const written = value.toLocaleString("en-US");
    const half = broad(written) / 2 + 4;
    if (x(value) - half < free || x(value) + half > width - broad(unit)) continue;
    free = x(value) + half;
    parts.push(draw("line", { class: "grid", x1: x(value), x2: x(value), y1: TOP,
      y2: height - BOTTOM }), draw("text", { x: x(value), y: height - 8, "text-anchor": "middle" },
      written));
  }
  const mine = x(number(own.rate));
  parts.push(draw("line", { class: "own", x1: mine, x2: mine, y1: TOP - 4, y2: height - BOTTOM }),
    draw("text", { class: "own", x: mine, y: 11,
      "text-anchor": mine > width * 0.7 ? "end" : mine < width * 0.3 ? "start" : "middle" },
    say("chart.own")));
  rows.forEach((found, v) => {
    const y = TOP + LINE * (v + 0.5);
    const group = draw("g", { class: v === at[n] ? "on" : "" });
    group.append(draw("text", { class: "name", x: left, y: y + 4, "text-anchor": "end" },
      shortened(axis.ticks[v], left)));
    if (found.refused) {
      group.append(draw("text", { x: left + 10, y: y + 4 }, `× ${say("answer.without")}`));
    } else {
      const [from, here, to] = [found.low, found.rate, found.high].map((text) => x(number(text)));
      group.append(draw("line", { class: "whisker", x1: from, x2: to, y1: y, y2: y }),
        draw("circle", { class: "dot", cx: here, cy: y, r: 5 }),
        draw("text", { class: "value", x: to + 8, y: y + 4 }, found.rate));
    }
    const hit = draw("rect", { class: "hit", x: 0, y: y - LINE / 2, width, height: LINE });
    hit.addEventListener("click", () => go(n, v));
    group.append(hit);
    parts.push(group);
  });
  const points = rows.map((found, v) => say(found.refused ? "chart.none" : "chart.point",
    { value: axis.labels[v], rate: found.rate, low: found.low, high: found.high })).join("; ");
  element("wi-chart").replaceChildren(draw("svg", {
    viewBox: `0 0 ${width} ${height}`, width, height, role: "img",
    "aria-label": say("chart.label", { axis: axis.label, points }) }, ...parts));
}
// About how wide a text is; Chinese characters are as wide as they are high.
const broad = (text) => [...text].reduce((sum, c) => sum + (c > "\u2e80" ? 12.5 : LETTER), 0);
function shortened(text, room) {
  if (broad(text) <= room - 8) return text;
  return `${text.slice(0, Math.floor(((room - 16) / broad(text)) * text.length))}…`;
}
function ticks(low, high) {
  const found = [];
  for (let power = Math.floor(low); power <= Math.ceil(high); power += 1) {
    for (const digit of [1, 2, 5]) {
      const value = Number(`${digit}e${power}`);
      if (Math.log10(value) >= low && Math.log10(value) <= high) found.push(value);
    }
  }
  const every = Math.ceil(found.length / 5);
  return found.filter((_, n) => n % every === 0);
}

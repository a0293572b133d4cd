// The what-if page: shows the row that was planned for the settings. No plan is computed here.
(() => {
  "use strict";
  const data = JSON.parse(document.getElementById("what-if-data").textContent);
  const { axes, texts } = data;
  const SVG = "http://www.w3.org/2000/svg";
  const SLIDERS = new Set(["context", "batch", "devices", "max-loss"]);
  const MEMORY = ["weights", "cache", "activations", "runtime"];
  const LONGEST_LINK = 2000;
  const at = axes.map((axis) => axis.base);
  const place = new Map(axes.map((axis, n) => [axis.name, n]));
  const element = (id) => document.getElementById(id);

  // Texts: "{name}" is filled in; names that are not given stay as they are.
  const say = (key, values = {}) =>
    texts[key].replace(/\{(\w+)\}/g, (whole, name) => (name in values ? values[name] : whole));
  const number = (text) => Number(text.replaceAll(",", ""));

  // The plan of a position as an object by field, or why there is none.
  function look(where) {
    let flat = 0;
    axes.forEach((axis, n) => { flat = flat * axis.values.length + where[n]; });
    const found = data.index[flat];
    if (found < 0) {
      const [limit, need, have] = data.refused[-1 - found];
      return { refused: { limit, need, have } };
    }
    const parts = data.rows[found].split("|");
    return Object.fromEntries(data.fields.map((name, n) => [name, parts[n]]));
  }
  const moved = (axis, value) => at.map((v, n) => (n === axis ? value : v));

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

  // Controls: sliders with a bar over each position, sets of formats as radio buttons.
  const controls = axes.map((axis, n) => {
    const box = document.querySelector(`.what-if [data-axis="${axis.name}"]`);
    if (!SLIDERS.has(axis.name)) {
      const inputs = [...box.querySelectorAll("input")];
      inputs.forEach((input, v) => input.addEventListener("change", () => move(n, v)));
      return { inputs };
    }
    const input = box.querySelector("input");
    const last = axis.values.length - 1;
    const left = (v) => `${last ? (100 * v) / last : 0}%`;
    const bars = axis.values.map((_, v) => {
      const bar = document.createElement("i");
      bar.style.left = left(v);
      return bar;
    });
    [...box.querySelectorAll(".wi-ticks span")].forEach((tick, v) => {
      tick.style.left = left(v);
      tick.className = v === 0 ? "first" : v === last ? "last" : "";
    });
    box.querySelector(".wi-bars").append(...bars);
    input.addEventListener("input", () => move(n, Number(input.value)));
    return { input, bars, output: box.querySelector("output") };
  });

  function showControls() {
    axes.forEach((axis, n) => {
      const own = controls[n];
      const found = axis.values.map((_, v) => look(moved(n, v)));
      if (own.inputs) {
        own.inputs.forEach((input, v) => {
          input.checked = v === at[n];
          input.parentNode.classList.toggle("none", v !== at[n] && Boolean(found[v].refused));
        });
        return;
      }
      const rates = found.map((row) => (row.refused ? 0 : number(row.rate)));
      const most = Math.max(...rates, 1e-9);
      own.bars.forEach((bar, v) => {
        const none = Boolean(found[v].refused);
        bar.className = (v === at[n] ? "on" : "") + (none ? " none" : "");
        bar.style.height = none ? "" : `${(100 * rates[v]) / most}%`;
        bar.textContent = none ? "×" : "";
      });
      const label = axis.labels[at[n]];
      own.input.value = at[n];
      own.input.setAttribute("aria-valuetext",
        found[at[n]].refused ? say("answer.none", { value: label }) : label);
      if (own.output.textContent !== label) own.output.textContent = label;
    });
    element("wi-reset").disabled = axes.every((axis, n) => at[n] === axis.base);
  }

  // The answer: number, sentence, figures, memory, formats.
  const label = (name) => axes[place.get(name)].labels[at[place.get(name)]];
  const change = (now, before) => {
    const ratio = now / before - 1;
    if (Math.abs(ratio) < 0.0005) return "";
    if (ratio >= 1) return `×${(ratio + 1).toFixed(1)}`;
    return `${ratio > 0 ? "+" : "−"}${Math.abs(ratio * 100).toFixed(Math.abs(ratio) < 0.1 ? 1 : 0)} %`;
  };

  function showPlan(row) {
    write("wi-rate", row.rate);
    write("wi-range", say("figure.interval",
      { low: row.low, high: row.high, basis: data.basis[row.basis] }));
    const here = axes.every((axis, n) => at[n] === axis.base) && data.matches;
    const against = change(number(row.rate), data.own.rate);
    write("wi-change", here || !against ? (here ? say("figure.same") : "")
      : say("figure.against", { change: against }));
    write("wi-answer", say("answer.plan", {
      formats: data.formats[row.formats][0], sequences: row.together,
      context: axes[place.get("context")].ticks[at[place.get("context")]], rate: row.rate,
      tpot: row.tpot, devices: label("devices"), layout: data.layouts[row.layout] }));
    const note = (text, now, before) =>
      [text, here ? "" : change(now, before)].filter(Boolean).join("; ");
    write("wi-each", `${row.each} ${say("figure.rate_unit")}`);
    write("wi-each-note", note(row.each_range, number(row.each), data.own.each));
    write("wi-tpot", row.tpot);
    write("wi-tpot-note", row.tpot_range);
    write("wi-ttft", row.ttft);
    write("wi-ttft-note", `${row.ttft_range}, ${data.basis[row.ttft_basis]}`);
    write("wi-users", row.users);
    write("wi-users-note", note(say("figure.batch", { n: row.together }), number(row.users),
      data.own.users));
    write("wi-loss", row.loss);
    const [low, high] = row.loss_range.split(" – ");
    write("wi-loss-note", data.loss_unit
      ? say("figure.relative", { scheme: data.loss_unit, low, high })
      : say("figure.nats", { low, high }));
    showMemory(row);
    showFormats(Number(row.formats));
  }

  // The best two pools of the context, devices and limit on loss; positions are of one pool.
  function showPools(row) {
    if (!data.pools.length) return;
    const here = (name) => at[place.get(name)];
    const size = (name) => axes[place.get(name)].values.length;
    const [text, rate] = data.pools[(here("context") * size("devices") + here("devices"))
      * size("max-loss") + here("max-loss")];
    const against = row.refused || !rate ? "" : change(rate, number(row.rate));
    write("wi-pools", against ? `${text} ${say("pools.against", { change: against })}` : text);
  }

  function showMemory(row) {
    write("wi-memory-title", say("memory.title", { used: row.used, usable: data.usable }));
    const sizes = MEMORY.map((name) => Number(row[name]));
    const usable = Number(data.usable);
    const free = Math.max(usable - sizes.reduce((a, b) => a + b, 0), 0);
    const kept = Math.max(data.capacity - Math.max(usable, usable - free), 0);
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

  let drawn = -1;
  function showFormats(which) {
    if (which === drawn) return;
    drawn = which;
    const used = new Set();
    const rows = data.formats[which][1].flatMap((strip, kind) => {
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
      const kindName = data.kinds[kind];
      return [make("div", { class: "name", "aria-hidden": "true" }, kindName),
        make("div", { class: "strip", role: "img",
          "aria-label": say("map.label", { kind: kindName, runs: said.join(", ") }) }, ...runs)];
    });
    element("wi-map").replaceChildren(...rows);
    element("wi-map-legend").replaceChildren(...[...used].sort((a, b) => a - b).map((scheme) => {
      const swatch = make("span", { class: "swatch" });
      swatch.style.background = data.schemes[scheme][1];
      return make("li", {}, swatch, data.schemes[scheme][0]);
    }));
  }

  function showRefusal({ limit, need, have }) {
    write("wi-rate", say("answer.refused"));
    write("wi-change", "");
    write("wi-range", say(limit.includes("+") ? "refused.several" : `refused.${limit}`, {
      need, have, devices: axes[place.get("devices")].ticks[at[place.get("devices")]],
      batch: label("batch"), names: limit.replaceAll("+", ", ") }));
    write("wi-answer", "");
  }

  // The closest position of each axis that has a plan, as buttons.
  function showMoves(refused) {
    const box = element("wi-moves");
    if (!refused) return box.replaceChildren();
    const moves = axes.flatMap((axis, n) => {
      const plans = axis.values.map((_, v) => v).filter((v) => !look(moved(n, v)).refused);
      if (!plans.length) return [];
      const best = plans.reduce((a, b) => (Math.abs(b - at[n]) < Math.abs(a - at[n]) ? b : a));
      const text = say("answer.one_move", { axis: axis.label, value: axis.labels[best] });
      const button = make("button", { type: "button" }, text);
      button.addEventListener("click", () => { move(n, best); focusOn(n); });
      return [button];
    });
    return box.replaceChildren(say(moves.length ? "answer.nearest" : "answer.nothing"), " ",
      ...moves);
  }
  function focusOn(n) {
    const own = controls[n];
    (own.input || own.inputs[at[n]]).focus();
  }

  // Tokens/s against context: one dot a position, its interval, no line between them.
  const BOX = { width: 640, height: 230, left: 56, right: 4, top: 22, bottom: 30 };
  function showChart() {
    const n = place.get("context");
    const axis = axes[n];
    const rows = axis.values.map((_, v) => look(moved(n, v)));
    const planned = rows.filter((row) => !row.refused);
    element("wi-chart-part").hidden = !planned.length;
    if (!planned.length) return;
    BOX.width = Math.min(Math.max(element("wi-chart").clientWidth, 280), 704);
    const ends = planned.flatMap((row) => [number(row.low), number(row.high)]);
    ends.push(data.own.rate);
    const low = Math.log10(Math.min(...ends));
    const high = Math.max(Math.log10(Math.max(...ends)), low + 0.3);
    const inner = BOX.height - BOX.top - BOX.bottom;
    const y = (value) => BOX.top + inner * (1 - (Math.log10(value) - low) / (high - low));
    const step = (BOX.width - BOX.left - BOX.right) / axis.values.length;
    const x = (v) => BOX.left + step * (v + 0.5);
    const bottom = BOX.height - BOX.bottom;
    const parts = [draw("rect", { class: "here", x: x(at[n]) - step / 2, y: BOX.top - 18, width: step,
      height: inner + 18 })];
    for (const value of ticks(low, high)) {
      parts.push(draw("line", { class: "grid", x1: BOX.left, x2: BOX.width - BOX.right, y1: y(value),
        y2: y(value) }), draw("text", { x: BOX.left - 8, y: y(value) + 4, "text-anchor": "end" },
        value.toLocaleString("en-US")));
    }
    rows.forEach((row, v) => {
      const group = draw("g", { class: v === at[n] ? "on" : "" });
      if (row.refused) {
        group.append(draw("text", { x: x(v), y: bottom - 6, "text-anchor": "middle" }, "×"));
      } else {
        group.append(
          draw("line", { class: "whisker", x1: x(v), x2: x(v), y1: y(number(row.low)),
            y2: y(number(row.high)) }),
          draw("circle", { class: "dot", cx: x(v), cy: y(number(row.rate)), r: 5 }),
          draw("text", { class: v === at[n] ? "value" : "", x: x(v) + 13, y: y(number(row.rate)) + 4 },
            row.rate));
      }
      if (axis.values[v] === data.own.context) {
        const top = y(data.own.rate);
        group.append(draw("path", { class: "own", d: `M${x(v)} ${top - 9}l9 9l-9 9l-9 -9z` }));
      }
      group.append(draw("text", { x: x(v), y: BOX.height - 10, "text-anchor": "middle" },
        axis.ticks[v]));
      const hit = draw("rect", { class: "hit", x: x(v) - step / 2, y: 0, width: step,
        height: BOX.height });
      hit.addEventListener("click", () => move(n, v));
      group.append(hit);
      parts.push(group);
    });
    const points = rows.map((row, v) => say(row.refused ? "chart.none" : "chart.point",
      { context: axis.ticks[v], rate: row.rate })).join("; ");
    element("wi-chart").replaceChildren(draw("svg", {
      viewBox: `0 0 ${BOX.width} ${BOX.height}`, width: BOX.width, height: BOX.height, role: "img",
      "aria-label": say("chart.label", { points }) }, ...parts));
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

  function command() {
    return [data.command, ...axes.map((axis, n) => axis.flags[at[n]])].filter(Boolean).join(" ");
  }

  // The link's fragment: one known value an axis; whatever else stands there is left alone.
  const link = () => axes.map((axis, n) =>
    `${axis.name}=${encodeURIComponent(axis.values[at[n]])}`).join("&");
  function read() {
    const text = window.location.hash.slice(1);
    if (text.length > LONGEST_LINK) return false;
    const given = new URLSearchParams(text);
    let known = false;
    axes.forEach((axis, n) => {
      const value = axis.values.indexOf(given.get(axis.name) ?? "");
      if (value < 0) return;
      at[n] = value;
      known = true;
    });
    return known;
  }
  let waiting = 0;
  function remember() {
    window.clearTimeout(waiting);
    waiting = window.setTimeout(() => {
      try {
        window.history.replaceState(null, "", `#${link()}`);
      } catch {
        // A page without an address of its own keeps its settings to itself.
      }
    }, 120);
  }

  function show() {
    const row = look(at);
    showControls();
    element("wi-plan").hidden = Boolean(row.refused);
    element("wi-unit").hidden = Boolean(row.refused);
    if (row.refused) showRefusal(row.refused);
    else showPlan(row);
    showMoves(row.refused);
    showPools(row);
    showChart();
    write("wi-command", command());
  }
  function move(axis, value) {
    if (at[axis] === value) return;
    at[axis] = value;
    show();
    remember();
  }

  element("wi-reset").addEventListener("click", () => {
    axes.forEach((axis, n) => { at[n] = axis.base; });
    show();
    remember();
    focusOn(0);
  });
  window.addEventListener("hashchange", () => {
    axes.forEach((axis, n) => { at[n] = axis.base; });
    if (read()) show();
  });
  window.addEventListener("resize", showChart);
  const linked = read();
  element("what-if").hidden = false;
  show();
  if (linked) element("what-if").scrollIntoView();
})();

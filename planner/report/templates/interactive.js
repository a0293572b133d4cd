// The what-if page: controls, the answer of a position, its link and its command.
const LONGEST_LINK = 2000;
const PAUSE = 120;
const PRICE = /^\d{1,9}(\.\d{1,9})?$/;
const visible = data.shown.flatMap(([, places]) => places);
const label = (n) => axes[n].labels[at[n]];
const named = (name) => (place.has(name) ? label(place.get(name)) : "");
const steps = (n, a, b) => (axes[n].slider ? Math.abs(a - b) : Number(a !== b));

// Controls by axis: sliders with a bar over each position, choices as radio buttons.
const controls = new Map(visible.map((n) => {
  const axis = axes[n];
  const box = document.querySelector(`.what-if [data-axis="${axis.name}"]`);
  if (!axis.slider) {
    const inputs = [...box.querySelectorAll("input")];
    inputs.forEach((input, v) => input.addEventListener("change", () => move(n, v)));
    return [n, { inputs, bars: [...box.querySelectorAll("i")],
      none: [...box.querySelectorAll(".hidden")] }];
  }
  const input = box.querySelector("input");
  const last = axis.values.length - 1;
  const left = (v) => `${(100 * v) / last}%`;
  const bars = axis.values.map((_, v) => {
    const bar = make("i");
    bar.style.left = left(v);
    return bar;
  });
  [...box.querySelectorAll(".wi-ticks span")].forEach((tick, v) => {
    tick.style.left = left(v);
    tick.className = v === 0 ? "first" : v === last ? "last" : "";
  });
  box.querySelector(".wi-bars").append(...bars);
  input.addEventListener("input", () => move(n, Number(input.value)));
  return [n, { input, bars, output: box.querySelector("output") }];
}));

function showControls() {
  for (const [n, own] of controls) {
    const axis = axes[n];
    const found = axis.values.map((_, v) => look(moved(n, v)));
    const rates = found.map((one) => (one.refused ? 0 : number(one.rate)));
    const most = Math.max(...rates, 1e-9);
    if (own.inputs) {
      own.inputs.forEach((input, v) => {
        const none = Boolean(found[v].refused);
        input.checked = v === at[n];
        input.parentNode.classList.toggle("none", none && v !== at[n]);
        own.bars[v].style.width = `${(100 * rates[v]) / most}%`;
        own.none[v].textContent = none ? say("answer.without") : "";
      });
      continue;
    }
    own.bars.forEach((bar, v) => {
      const none = Boolean(found[v].refused);
      bar.className = (v === at[n] ? "on" : "") + (none ? " none" : "");
      bar.style.height = none ? "" : `${(100 * rates[v]) / most}%`;
      bar.textContent = none ? "×" : "";
    });
    own.input.value = at[n];
    own.input.setAttribute("aria-valuetext",
      found[at[n]].refused ? say("answer.none", { value: label(n) }) : label(n));
    if (own.output.textContent !== label(n)) own.output.textContent = label(n);
  }
  element("wi-reset").disabled = axes.every((axis, n) => at[n] === axis.base)
    && element("wi-price").value === data.price;
}

// The price of a device-hour, or null where the field holds none.
function price() {
  const { value, validity } = element("wi-price");
  const fine = PRICE.test(value);
  const wrong = !fine && (value !== "" || validity.badInput);
  element("wi-price").setAttribute("aria-invalid", String(wrong));
  return fine ? Number(value) : null;
}

// The table: what this position gives, and the report's plan beside it.
const atOwn = () => axes.every((axis, n) => at[n] === axis.base);
const MORE_IS_BETTER = { rate: true, each: true, users: true, tpot: false, ttft: false, loss: false,
  usd: false, joules: false };
function verdict(name, difference) {
  if (!(name in MORE_IS_BETTER) || !/^[+−×]/.test(difference)) return "";
  return difference.startsWith("−") === MORE_IS_BETTER[name] ? " worse" : " better";
}
function showFigure(name, value, range, before, difference) {
  write(`wi-${name}-here`, value);
  write(`wi-${name}-range`, range);
  write(`wi-${name}-own`, before);
  write(`wi-${name}-change`, difference);
  element(`wi-${name}-change`).className = `n${verdict(name, difference)}`;
}
function showFigures(found) {
  const range = (low, high, ...rest) => [`${low} – ${high}`, ...rest.filter(Boolean)].join(", ");
  const plain = (name, ends) => showFigure(name, found[name], ends, own[name],
    change(found[name], own[name]));
  const time = (name, more) => showFigure(name, found[name],
    range(found[`${name}_low`], found[`${name}_high`], more), own[name],
    change(seconds(found[name]), seconds(own[name])));
  plain("rate", range(found.low, found.high));
  plain("each", range(found.each_low, found.each_high));
  time("tpot", "");
  time("ttft", found.ttft_basis === found.basis ? "" : basis(found.ttft_basis));
  plain("users", say("figure.batch", { n: found.together }));
  plain("loss", range(found.loss_low, found.loss_high));
  plain("used", say("figure.usable", { usable: data.usable }));
  if (element("wi-joules-here")) {
    const known = found.joules !== "";
    showFigure("joules", found.joules || "–", known ? range(found.joules_low, found.joules_high,
      basis(found.joules_basis)) : "", own.joules || "–", change(found.joules, own.joules));
  }
  const usd = price();
  if (usd === null) return showFigure("usd", "–", say("price.none"), "–", "");
  const [value, low, high] = cost(usd, found);
  const [before] = cost(usd, own);
  showFigure("usd", value, range(low, high), before, change(value, before));
}

function showPlan(found) {
  write("wi-rate", found.rate);
  write("wi-range", say("figure.interval",
    { low: found.low, high: found.high, basis: basis(found.basis), tpot: found.tpot }));
  write("wi-change", atOwn() ? say("figure.same") : found.rate === own.rate ? say("figure.equal")
    : say("figure.against", { change: change(found.rate, own.rate) }));
  write("wi-answer", say("answer.plan", {
    requests: named("workload"), devices: named("devices"), layout: found.layout,
    engine: found.engine ? say("answer.engine", { engine: found.engine }) : say("answer.theory"),
    sequences: found.together, formats: found.formats[0] }));
  showFigures(found);
  showMemory(found);
  showFormats(found.formats);
}

// The best two pools of a position's requests, devices and limit on loss.
function showPools(found) {
  if (!data.pools.length) return;
  const flat = data.pools_by.filter((name) => place.has(name)).reduce((sum, name) =>
    sum * axes[place.get(name)].values.length + at[place.get(name)], 0);
  const [text, rate] = data.pools[flat];
  const against = found.refused || !rate ? "" : change(String(rate), found.rate);
  write("wi-pools", against ? `${text} ${say("pools.against", { change: against })}` : text);
}

const value = (name) => axes[place.get(name)].values[at[place.get(name)]];
function refusalKey(limit) {
  if (limit.includes("+")) return "several";
  return limit === "engine" && value("engine") === "auto" ? "unserved" : limit;
}
function reason({ limit, need, have, missing }) {
  return say(`refused.${refusalKey(limit)}`, {
    need, have, missing, devices: named("devices"), batch: named("batch"), engine: named("engine"),
    tpot: named("tpot-ms"), names: limit.split("+").map((name) => texts[`limit.${name}`] ?? name)
      .join(say("answer.comma")) });
}
function showRefusal(refused) {
  write("wi-rate", say("answer.refused"));
  write("wi-change", "");
  write("wi-range", reason(refused));
  write("wi-answer", "");
}

// The closest position with a plan on each axis, or, where there is none, the closest of all.
function showMoves(refused) {
  const box = element("wi-moves");
  if (!refused) return box.replaceChildren();
  const single = visible.flatMap((n) => {
    const plans = axes[n].values.map((_, v) => v).filter((v) => planned(moved(n, v)));
    if (!plans.length) return [];
    return [moved(n, plans.reduce((a, b) => (steps(n, b, at[n]) < steps(n, a, at[n]) ? b : a)))];
  });
  const moves = single.length ? single : closest();
  return box.replaceChildren(say(moves.length ? "answer.nearest" : "answer.nothing"), " ",
    ...moves.map(moveButton));
}
function moveButton(where) {
  const changed = visible.filter((n) => where[n] !== at[n]);
  const text = changed.map((n) => say("answer.one_move",
    { axis: axes[n].label, value: axes[n].labels[where[n]] })).join(say("answer.comma"));
  const button = make("button", { type: "button" }, text);
  button.addEventListener("click", () => { go(where); focusOn(changed[0]); });
  return button;
}
function closest() {
  let [best, least] = [null, Infinity];
  const where = axes.map(() => 0);
  const visit = (n, far) => {
    if (far >= least) return;
    if (n === axes.length) {
      if (planned(where)) [best, least] = [[...where], far];
      return;
    }
    for (let v = 0; v < axes[n].values.length; v += 1) {
      where[n] = v;
      visit(n + 1, far + steps(n, v, at[n]));
    }
  };
  visit(0, 0);
  return best ? [best] : [];
}
function focusOn(n) {
  const control = controls.get(n);
  if (control) (control.input || control.inputs[at[n]]).focus();
}

const command = () =>
  [data.command, ...axes.map((axis, n) => axis.flags[at[n]])].filter(Boolean).join(" ");

// The link's fragment: one known value an axis, and the price; whatever else stands there is left.
const link = () => [...visible.map((n) =>
  `${axes[n].name}=${encodeURIComponent(axes[n].values[at[n]])}`),
`price=${encodeURIComponent(element("wi-price").value)}`].join("&");
function start() {
  axes.forEach((axis, n) => { at[n] = axis.base; });
  element("wi-price").value = data.price;
}
function read() {
  const text = window.location.hash.slice(1);
  if (text.length > LONGEST_LINK) return false;
  const given = new URLSearchParams(text);
  let found = false;
  axes.forEach((axis, n) => {
    const value = axis.values.indexOf(given.get(axis.name) ?? "");
    if (value < 0) return;
    at[n] = value;
    found = true;
  });
  const cost = given.get("price");
  if (cost === "" || PRICE.test(cost ?? "-")) {
    element("wi-price").value = cost;
    found = true;
  }
  return found;
}
function said(found) {
  const usd = price();
  return [say("answer.said", { rate: found.rate, tpot: found.tpot, users: found.users,
    change: element("wi-change").textContent }),
  usd === null ? "" : say("price.said", { usd: cost(usd, found)[0] })].filter(Boolean).join(" ");
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
    // Said once the hand rests: a screen reader hears the last position, not every one passed.
    const found = look(at);
    write("wi-said", found.refused ? `${say("answer.refused")}: ${reason(found.refused)}`
      : said(found));
  }, PAUSE);
}

const over = element("wi-over");
function show() {
  const found = look(at);
  showControls();
  element("wi-plan").hidden = Boolean(found.refused);
  element("wi-unit").hidden = Boolean(found.refused);
  if (found.refused) showRefusal(found.refused);
  else showPlan(found);
  showMoves(found.refused);
  showPools(found);
  if (over) showChart(Number(over.value), move);
  write("wi-command", command());
}
function go(where) {
  if (where.every((v, n) => v === at[n])) return;
  where.forEach((v, n) => { at[n] = v; });
  show();
  remember();
}
function move(axis, value) { go(moved(axis, value)); }

element("wi-price").addEventListener("input", () => { show(); remember(); });
element("wi-reset").addEventListener("click", () => {
  start();
  show();
  remember();
  focusOn(visible[0]);
});
element("wi-copy").addEventListener("click", async () => {
  const code = element("wi-command");
  try {
    await window.navigator.clipboard.writeText(code.textContent);
  } catch {
    window.getSelection().selectAllChildren(code);
    document.execCommand("copy");
  }
  write("wi-copied", say("command.copied"));
});
if (over) {
  const redraw = () => showChart(Number(over.value), move);
  over.addEventListener("change", redraw);
  window.addEventListener("resize", redraw);
}
window.addEventListener("hashchange", () => {
  start();
  if (read()) show();
});
start();
const linked = read();
element("what-if").hidden = false;
show();
if (linked) element("what-if").scrollIntoView();

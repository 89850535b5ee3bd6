// Elements and words. Text from data becomes text nodes and attributes, never markup.

const byId = (id) => document.getElementById(id);
const SVG = "http://www.w3.org/2000/svg";

/** An element; `text` is its text, functions are listeners (`click`), the rest attributes. */
function make(tag, props = {}, ...children) {
  return dress(document.createElement(tag), props, children);
}

function svg(tag, props = {}, ...children) {
  return dress(document.createElementNS(SVG, tag), props, children);
}

function dress(element, props, children) {
  for (const [name, value] of Object.entries(props)) {
    if (typeof value === "function") element.addEventListener(name, value);
    else if (name === "text") element.textContent = value;
    else if (value !== null && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

const icon = (name) => svg("svg", { "aria-hidden": "true" }, svg("use", { href: `#i-${name}` }));
const pressed = (button, yes) => button.setAttribute("aria-pressed", String(yes));

/** The mark of a class: eight colours, and another shape for each further eight. */
const SHAPES = ["M0 0h10v10H0z", "M5 0a5 5 0 1 1 0 10A5 5 0 0 1 5 0z", "M5 0l5 10H0z", "M5 0l5 5-5 5-5-5z"];
const colourNumber = (c) => c % 8;

function swatch(c) {
  const shape = SHAPES[Math.floor(c / 8) % SHAPES.length];
  return svg("svg", { class: `swatch k${colourNumber(c)}`, viewBox: "0 0 10 10", "aria-hidden": "true" }, svg("path", { d: shape }));
}

let sayTimer = 0;

/** A message; one that asks for something stays until it is closed, others go by themselves. */
function say(text, { stays = false } = {}) {
  byId("say-text").textContent = text;
  byId("say").hidden = false;
  clearTimeout(sayTimer);
  if (!stays) sayTimer = setTimeout(() => (byId("say").hidden = true), 15_000);
}

// Words ---------------------------------------------------------------------------------------

const whole = (n) => n.toLocaleString("en");
const plural = (n, one, many = `${one}s`) => `${whole(n)} ${n === 1 ? one : many}`;
const clamp = (x, low, high) => Math.min(Math.max(x, low), high);
const toMillisecond = (seconds) => Math.round(seconds * 1000) / 1000;

/** 75.25 -> 1:15.3; hours appear when there are any. */
function clockText(seconds, digits = 1) {
  const unit = 10 ** digits;
  const ticks = Math.round(Math.max(seconds, 0) * unit);
  const total = Math.floor(ticks / unit);
  const [h, m, s] = [Math.floor(total / 3600), Math.floor(total / 60) % 60, total % 60];
  const tail = digits ? `.${String(ticks % unit).padStart(digits, "0")}` : "";
  return (h ? `${h}:${String(m).padStart(2, "0")}` : `${m}`) + `:${String(s).padStart(2, "0")}${tail}`;
}

const scoreText = (score) => (score === null ? "–" : Math.abs(score) < 10 ? score.toFixed(2) : score.toFixed(1));

// Messages between the parts of the page ---------------------------------------------------------

const listeners = new Map();

function when(topic, listener) {
  listeners.set(topic, [...(listeners.get(topic) ?? []), listener]);
}

function tell(topic) {
  for (const listener of listeners.get(topic) ?? []) listener();
}

/** The same function, at most once a frame, however often it is asked for. */
function oncePerFrame(draw) {
  let asked = false;
  return () => {
    if (asked) return;
    asked = true;
    requestAnimationFrame(() => {
      asked = false;
      draw();
    });
  };
}

// Canvases: sharp on every screen, in the colours of the theme.

let inks = {};

/** Read the theme's colours; a custom property says `light-dark(...)`, a computed colour does not. */
function readInks() {
  const probe = make("span", { hidden: true });
  document.body.append(probe);
  const read = (name) => {
    probe.style.color = `var(--${name})`;
    return getComputedStyle(probe).color;
  };
  const names = ["ink", "soft", "line", "edge", "paper", "page", "sunk", "accent", "head", "good", "alarm"];
  inks = Object.fromEntries(names.map((name) => [name, read(name)]));
  inks.classes = Array.from({ length: 8 }, (_, k) => read(`c${k}`));
  probe.remove();
}

const classInk = (c) => inks.classes[colourNumber(c)];

/** A brush for an empty canvas, in CSS pixels. */
function canvasOf(canvas) {
  const scale = window.devicePixelRatio || 1;
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  const [wide, tall] = [Math.round(width * scale), Math.round(height * scale)];
  if (canvas.width !== wide || canvas.height !== tall) {
    canvas.width = wide;
    canvas.height = tall;
  }
  const brush = canvas.getContext("2d");
  brush.setTransform(scale, 0, 0, scale, 0, 0);
  brush.clearRect(0, 0, width, height);
  return { brush, width, height };
}

/** Light or dark: as the system says, until somebody presses the button. */
function startTheme() {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const root = document.documentElement;
  const apply = (theme) => {
    if (theme) root.dataset.theme = theme;
    pressed(byId("theme"), (root.dataset.theme ?? (dark.matches ? "dark" : "light")) === "dark");
    readInks();
    tell("theme");
  };
  byId("theme").addEventListener("click", () => {
    const theme = byId("theme").getAttribute("aria-pressed") === "true" ? "light" : "dark";
    remember("wtal-theme", theme);
    apply(theme);
  });
  dark.addEventListener("change", () => apply(null));
  const theme = recall("wtal-theme");
  apply(theme === "light" || theme === "dark" ? theme : null);
}

// What the browser keeps. Some browsers keep nothing for a page opened from a file.

function recall(key) {
  try {
    return localStorage.getItem(key);
  } catch {
    return null;
  }
}

function remember(key, value) {
  try {
    localStorage.setItem(key, value);
    return true;
  } catch {
    return false;
  }
}

// Keys: one table for what they do and for the help that lists them.

const KEYS = [
  [[" "], "space", "Play or pause", () => setPlaying(!clock.playing)],
  [["ArrowLeft"], "←", "Back 1 s; with Shift one frame (1/25 s)", (event) => seek(timeNow() - (event.shiftKey ? 0.04 : 1))],
  [["ArrowRight"], "→", "Forward 1 s; with Shift one frame", (event) => seek(timeNow() + (event.shiftKey ? 0.04 : 1))],
  [["n", "ArrowDown"], "n ↓", "Next segment", () => stepSegment(1)],
  [["p", "ArrowUp"], "p ↑", "Previous segment", () => stepSegment(-1)],
  [["l"], "l", "Loop the selected segment, or stop that", () => setLooping(!clock.looping)],
  [["a"], "a", "Accept the selected segment", () => judge(selected(), "accepted")],
  [["r"], "r", "Reject it", () => judge(selected(), "rejected")],
  [["["], "[", "It starts at the current time", () => edgeHere("start")],
  [["]"], "]", "It ends at the current time", () => edgeHere("end")],
  [["Delete", "Backspace"], "Del", "Take its verdict back; remove it if it was added", () => clearVerdict(selected())],
  [["e"], "e", "Add a segment at the current time", addHere],
  [["c"], "c", "Mark the video as completely reviewed, or not", () => setComplete(!byId("complete").checked)],
  [["u"], "u", "Undo the last correction", undo],
  [["j"], "j", "Next video of the list", () => stepVideo(1)],
  [["k"], "k", "Previous video", () => stepVideo(-1)],
  [["/"], "/", "Search", goSearch],
  [["+", "="], "+", "Zoom in at the current time", () => zoomKey(1 / 2)],
  [["-"], "−", "Zoom out", () => zoomKey(2)],
  [["0"], "0", "Show the whole video", () => showSpan(0, clock.length)],
  [["Escape"], "Esc", "Select nothing; leave a field", () => (select(null), setDrawing(false), (byId("say").hidden = true))],
  [["?"], "?", "This help", () => byId("help").showModal()],
];
const EVERYWHERE = ["/", "?", "u", "j", "k"];

function goSearch() {
  if (document.body.dataset.view !== "videos" && innerWidth <= 760) location.hash = "#videos";
  if (document.body.dataset.view === "overview") location.hash = "#videos";
  // The list comes back when the browser has told about the new address.
  setTimeout(() => byId("search").focus(), 50);
}

function pressKey(event) {
  const target = event.target;
  if ((event.ctrlKey || event.metaKey) && event.key === "s") {
    event.preventDefault();
    if (!byId("save").disabled) save();
    return;
  }
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  if (belongsTo(target, event.key)) {
    if (event.key === "Escape") target.blur();
    return;
  }
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  const found = KEYS.find(([names]) => names.includes(key));
  const hasVideo = current.video >= 0 && !byId("video").hidden;
  if (!found || (!hasVideo && !EVERYWHERE.includes(key))) return;
  event.preventDefault();
  found[3](event);
}

/** Fields keep what is typed, a slider its arrows, and a button the space bar. */
function belongsTo(target, key) {
  if (target.closest("input[type='range']")) return /^(Arrow|Home|End|Page|Escape)/.test(key);
  if (target.closest("input:not([type='checkbox']), select, textarea")) return true;
  return key === " " && target.closest("button, summary, input") !== null;
}

/** Who clicks with a mouse means the next space for the player, not for that button again. */
function leaveButton(event) {
  if (event.pointerType === "mouse" && byId("video").contains(event.target)) event.target.closest("button")?.blur();
}

function startKeys() {
  addEventListener("click", leaveButton);
  addEventListener("keydown", pressKey, true);
  byId("keys").tBodies[0].append(...KEYS.map(([, shown, text]) => make("tr", {}, make("td", {}, ...shown.split(" ").flatMap((key) => [make("kbd", { text: key }), " "])), make("td", { text }))));
  byId("help-open").addEventListener("click", () => byId("help").showModal());
  byId("about-open").addEventListener("click", () => byId("about").showModal());
  byId("say-close").addEventListener("click", () => (byId("say").hidden = true));
  for (const dialog of document.querySelectorAll("dialog")) {
    dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  }
}

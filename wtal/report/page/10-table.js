// The segments as a table: everything that the timeline shows, for keyboards and screen readers.

const PAGE = 200; // rows at first; a button brings more
let rowsWanted = PAGE;
const tableRows = new Map(); // segment id -> row

function showTable() {
  const visible = current.segments;
  tableRows.clear();
  const rows = visible.slice(0, rowsWanted).map((segment) => {
    const row = tableRow(segment);
    tableRows.set(segment.id, row);
    return row;
  });
  const focus = focusInTable();
  byId("segments").replaceChildren(...rows);
  restoreFocus(focus);
  const all = videos.first[current.video + 1] - videos.first[current.video];
  const found = counts.ofVideo[current.video];
  byId("segments-count").textContent = found === all ? plural(all, "detection") : `${whole(found)} of ${plural(all, "detection")}`;
  byId("more-segments").hidden = visible.length <= rowsWanted;
  byId("more-segments").textContent = `Show ${whole(Math.min(PAGE, visible.length - rowsWanted))} more`;
  byId("no-segments").hidden = visible.length > 0;
  byId("rows").querySelector("table").hidden = visible.length === 0;
  byId("no-segments").textContent = all ? "Nothing is shown: lower the threshold or show more classes." : "Nothing was found in this video. Add a segment if something is there.";
  markRows();
}

/** Which button has the focus, so that it has it again after the rows are made anew. */
function focusInTable() {
  const button = document.activeElement;
  const row = byId("segments").contains(button) ? button.closest("tr") : null;
  return row === null ? null : { id: row.dataset.id, kind: button.dataset.kind, place: row.sectionRowIndex };
}

function restoreFocus(focus) {
  if (focus === null) return;
  const row = tableRows.get(focus.id) ?? byId("segments").rows[Math.min(focus.place, byId("segments").rows.length - 1)];
  (row?.querySelector(`[data-kind="${focus.kind}"]`) ?? byId("rows")).focus({ preventScroll: true });
}

const VERDICT_WORDS = { accepted: "accepted", edited: "edited", rejected: "rejected", added: "added by hand" };

function tableRow(segment) {
  const label = classes[segment.c];
  const { verdict } = segment;
  const spoken = verdict ? make("span", { class: "unseen", text: `, ${VERDICT_WORDS[verdict]}` }) : null;
  const pick = make("button", { type: "button", class: "pick", "data-kind": "pick", title: label, click: () => select(segment) }, swatch(segment.c), make("span", { text: label }), spoken);
  const judgeButton = (kind, name, icons, on) => {
    const button = make("button", { type: "button", class: `icon ${kind}`, "data-kind": kind, title: name, "aria-label": `${name} ${label} at ${clockText(segment.start)}`, click: () => judgeRow(segment, kind) }, icon(icons));
    pressed(button, on);
    return button;
  };
  const row = make(
    "tr",
    { class: verdict ?? "", "data-id": segment.id },
    make("td", {}, pick),
    make("td", { text: clockText(segment.start) }),
    make("td", { text: clockText(segment.end) }),
    make("td", { text: verdict === "added" ? "added" : verdict === "edited" ? "edited" : scoreText(segment.score) }),
    make(
      "td",
      {},
      verdict === "added" ? null : judgeButton("yes", "Accept", "yes", verdict === "accepted" || verdict === "edited"),
      judgeButton("no", verdict === "added" ? "Remove" : "Reject", "no", verdict === "rejected"),
    ),
  );
  return row;
}

/** The buttons of a row: pressing one a second time takes its verdict back. */
function judgeRow(segment, kind) {
  const verdict = kind === "yes" ? "accepted" : "rejected";
  if (segment.verdict === verdict) clearVerdict(segment);
  else judge(segment, verdict);
}

/** Mark the selected row, and bring it into sight. */
function markRows() {
  for (const [id, row] of tableRows) {
    const chosen = id === current.chosen;
    row.classList.toggle("chosen", chosen);
    const pick = row.querySelector(".pick");
    if (chosen) pick.setAttribute("aria-current", "true");
    else pick.removeAttribute("aria-current");
  }
  const row = tableRows.get(current.chosen);
  const box = byId("rows");
  if (!row) return;
  const head = 26;
  const [top, bottom] = [row.offsetTop - head, row.offsetTop + row.offsetHeight];
  if (top < box.scrollTop) box.scrollTop = top;
  else if (bottom > box.scrollTop + box.clientHeight) box.scrollTop = bottom - box.clientHeight;
}

/** Mark what is running at this time. */
function markNow(time) {
  for (const segment of current.segments) {
    tableRows.get(segment.id)?.classList.toggle("now", time >= segment.start && time < segment.end);
  }
}

function startTable() {
  byId("more-segments").addEventListener("click", () => {
    rowsWanted += PAGE;
    showTable();
  });
  when("segments", showTable);
  when("selection", markRows);
}

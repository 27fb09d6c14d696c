// Puts the page together, and keeps it up to date while the run goes on.

const REFRESH_SECONDS = 10;
const TYPING_SECONDS = 0.15;

const query = document.getElementById("query");
const sort = document.getElementById("sort");
const direction = document.getElementById("direction");
const states = document.getElementById("states");
const notice = document.getElementById("notice");

function drawHead() {
  const { head, videos } = run;
  const done = videos.filter(({ state }) => state === "done");
  const values = (name) => done.map((video) => video[name]).filter(isNumber);
  const sum = (numbers) => numbers.reduce((total, number) => total + number, 0);
  document.title = head.name;
  document.getElementById("run-name").textContent = head.name;
  const jobs = [...new Set(head.launches.map(({ job }) => job))].join(", ");
  document.getElementById("run-line").textContent = [jobs && `job ${jobs}`, launchLine(head), `as of ${moment(head.built)}`].filter(Boolean).join(" · ");
  document.getElementById("run-figures").replaceChildren(
    ...terms([
      ["Videos", done.length === videos.length ? videos.length.toLocaleString() : `${done.length.toLocaleString()} of ${videos.length.toLocaleString()}`],
      ["Time for one", duration(median(values("seconds"))), "Median of the videos' seconds"],
      ["Speed-up", ratio(median(values("speedup"))), "Median; against all rounds full, from the seconds of each video's own full rounds"],
      ["All together", duration(sum(values("seconds"))), "Seconds of all videos, one after the other"],
    ]),
  );
}

function launchLine({ launches }) {
  if (isGoingOn()) return "rendering";
  const died = launches.filter(({ stale }) => stale);
  return died.length ? `${count(died.length, "launch", "launches")} died` : "";
}

function drawControls(choice) {
  const counts = { all: run.videos.length };
  for (const { state } of run.videos) counts[state] = (counts[state] ?? 0) + 1;
  const chosen = Object.keys(STATES).filter((state) => counts[state] || state === choice.state);
  const focused = states.querySelector(":focus")?.value;
  states.replaceChildren(states.firstElementChild, ...chosen.map((state) => stateButton(state, counts[state] ?? 0, choice)));
  states.querySelector(`[value="${focused}"]`)?.focus();
  if (document.activeElement !== query) query.value = choice.q;
  sort.value = choice.sort;
  const descends = Boolean(SORTS[choice.sort].descends) !== Boolean(choice.turned);
  direction.textContent = descends ? "↓" : "↑";
  direction.setAttribute("aria-label", descends ? "Largest or last first; turn" : "Smallest or first first; turn");
}

function stateButton(state, number, choice) {
  const input = el("input", { type: "radio", name: "state", value: state, checked: state === choice.state });
  return el("label", { class: state }, input, el("span", {}, `${STATES[state]} `, el("b", {}, number.toLocaleString())));
}

let drawn = "";

/** Draw what the address says; the grid only if it has changed. */
function draw({ isNew = false } = {}) {
  if (!run.head) return;
  const choice = readChoice();
  const wanted = addressOf({ ...choice, video: "" });
  if (isNew) {
    drawHead();
    drawPairs();
  }
  if (isNew || drawn !== wanted) {
    drawControls(choice);
    drawGrid(choice);
    drawn = wanted;
  }
  drawVideo(choice);
}

async function refresh() {
  const before = run.head?.built;
  try {
    await loadRun();
    notice.hidden = true;
  } catch {
    if (!before) {
      notice.textContent = "page/videos.js is not beside this page: copy the whole folder, or build it with python -m orchestrator.page.";
      notice.hidden = false;
    }
  }
  if (run.head && run.head.built !== before) draw({ isNew: true });
  if (run.head && isGoingOn()) setTimeout(refresh, 1000 * REFRESH_SECONDS);
}

let typing = 0;
query.addEventListener("input", () => {
  clearTimeout(typing);
  typing = setTimeout(() => choose({ q: query.value, page: "1" }), 1000 * TYPING_SECONDS);
});
states.addEventListener("change", ({ target }) => choose({ state: target.value, page: "1" }));
sort.append(...Object.entries(SORTS).map(([name, { label }]) => el("option", { value: name }, label)));
sort.addEventListener("change", () => choose({ sort: sort.value, turned: "", page: "1" }));
direction.addEventListener("click", () => choose({ turned: readChoice().turned ? "" : "1", page: "1" }));
document.getElementById("controls").addEventListener("submit", (event) => event.preventDefault());
for (const news of ["choice", "hashchange", "popstate"]) addEventListener(news, () => draw());

refresh();

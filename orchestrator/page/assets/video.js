// A video's own view: a dialog, which keeps the focus and closes with Escape.

const dialog = document.getElementById("video");
let shownId = "";

// Escape closes a dialog by itself; the event comes late, when another video may be open already.
dialog.addEventListener("close", () => shownId && !dialog.open && leave());
dialog.addEventListener("click", (event) => event.target === dialog && leave());
dialog.addEventListener("keydown", (event) => {
  if (event.target.closest("input, video, pre, select") || event.altKey || event.ctrlKey || event.metaKey) return;
  if (event.key === "ArrowLeft") step(-1);
  if (event.key === "ArrowRight") step(1);
});

/** Show the video that the address names; none closes the view. */
function drawVideo(choice) {
  const video = run.byId.get(choice.video);
  if (!video) {
    if (shownId) closeView();
    return;
  }
  if (shownId === video.id) return;
  shownId = video.id;
  letGo(dialog);
  const more = el("div", { class: "more", "aria-live": "polite" }, el("p", { class: "quiet" }, "Loading…"));
  dialog.replaceChildren(headOf(video, choice), ...pictureOf(video), more);
  if (!dialog.open) dialog.showModal();
  dialog.scrollTop = 0;
  loadDetails(video).then((details) => {
    if (shownId === video.id) more.replaceChildren(...detailsOf(video, details));
  });
}

function leave() {
  choose({ video: "" });
}

function closeView() {
  const card = grid.querySelector(`[data-id="${CSS.escape(shownId)}"]`);
  shownId = "";
  letGo(dialog);
  dialog.replaceChildren();
  dialog.close();
  card?.focus();
}

function step(by) {
  const choice = readChoice();
  const videos = chosenVideos(choice);
  const at = videos.findIndex(({ id }) => id === choice.video);
  const next = videos[at + by];
  if (at < 0 || !next) return;
  choose({ video: next.id, page: String(Math.floor((at + by) / PAGE_SIZE) + 1) });
  dialog.querySelector(by < 0 ? ".previous" : ".next").focus();
}

function headOf(video, choice) {
  const videos = chosenVideos(choice);
  const at = videos.findIndex(({ id }) => id === video.id);
  const turn = (by, label, name, kind) =>
    el("button", { type: "button", class: `icon ${kind}`, "aria-label": name, "aria-disabled": videos[at + by] && at >= 0 ? null : "true", click: () => step(by) }, label);
  return el(
    "header",
    { class: "dialog-head" },
    el("div", {}, video.name ? el("p", { class: "quiet", dir: "auto" }, video.name) : null, el("h2", { id: "video-prompt", dir: "auto" }, video.prompt ?? video.id)),
    el("div", { class: "buttons" }, turn(-1, "‹", "Previous video", "previous"), turn(1, "›", "Next video", "next"), el("button", { type: "button", class: "icon", "aria-label": "Close", autofocus: true, click: leave }, "✕")),
  );
}

function pictureOf(video) {
  if (video.state !== "done") return [el("div", { class: `picture large ${video.state}` }, stateOf(video))];
  if (run.head.pairs[video.id]) {
    const { element, player } = pairPanel(video, { withPrompt: false });
    if (!prefersStill.matches) player.play();
    return [element];
  }
  const large = videoOf(video.id, { controls: true, class: "large" });
  if (prefersStill.matches) openFile(large);
  else play(large);
  return [large];
}

function detailsOf(video, details) {
  if (video.state === "failed") return failureOf(video, details?.failure);
  const sidecar = details?.sidecar;
  const figures = section("Figures", el("dl", { class: "facts" }, ...terms(factsOf(video, sidecar))));
  if (video.state !== "done") return [figures];
  if (!sidecar) return [figures, el("p", { class: "notice" }, "video.json cannot be read.")];
  const hasRounds = Array.isArray(sidecar.plan) && Array.isArray(sidecar.seconds?.rounds);
  return [
    figures,
    hasRounds ? section("Rounds", roundsChart(sidecar)) : null,
    sidecar.seconds?.stages ? section("Stages", stagesChart(sidecar.seconds.stages)) : null,
    details.command ? section("Render it again", code(details.command, "command")) : null,
    section("Files", filesOf(video)),
    el("details", {}, el("summary", {}, "The whole record, video.json"), code(JSON.stringify(sidecar, null, 2), "record")),
  ].filter(Boolean);
}

function factsOf(video, sidecar) {
  const request = sidecar?.request ?? {};
  const layout = sidecar?.layout;
  return [
    ["Time", isNumber(video.seconds) ? duration(video.seconds) : null],
    ["Speed-up", isNumber(video.speedup) ? ratio(video.speedup) : null, "Against all rounds full, from the seconds of the video's own full rounds"],
    ["Full rounds", isNumber(video.full) ? `${video.full} of ${video.steps}` : null],
    ["Forecast", video.method],
    ["Seed", video.seed],
    ["Size", video.width ? `${video.width}×${video.height}, ${video.frames} frames at ${video.fps}/s` : null],
    ["Guidance", request.guidance_scale],
    ["Negative prompt", request.negative_prompt ? el("bdi", {}, request.negative_prompt) : null],
    ["Model", sidecar?.model ? `${sidecar.model.name}, ${sidecar.model.dtype}` : null],
    ["Ranks", layout ? `${layout.ranks} (${layout.cfg} × ${layout.ring} × ${layout.ulysses}: branches, ring, Ulysses)` : null],
    ["Device", sidecar?.device],
    ["Peak memory of a rank", bytes(sidecar?.peak_memory_bytes)],
    ["Taken up again at", sidecar?.resumed?.length ? sidecar.resumed.join(", ") : null],
    ["Finished", video.finished ? moment(video.finished) : null],
    ["Video id", video.id],
  ];
}

function failureOf(video, failure) {
  const tries = isNumber(video.attempts) ? ` after ${count(video.attempts, "attempt")}` : "";
  return [
    section(`Set aside${tries}`, code(video.error ?? "No error is given.", "error")),
    failure?.traceback ? section("What the rank left", code(failure.traceback, "traceback")) : null,
    el("p", { class: "quiet" }, "Launch again with retry.failed=true to try it again."),
  ].filter(Boolean);
}

function filesOf(video) {
  const names = [["video.mp4", "the video"], ["preview.png", "a filmstrip"], ["video.json", "the record"]];
  return el("ul", { class: "files" }, ...names.map(([file, what]) => el("li", {}, el("a", { href: `${video.id}/${file}` }, file), ` – ${what}`)));
}

function section(title, ...children) {
  return el("section", {}, el("h3", {}, title), ...children);
}

/** Text to copy. */
function code(text, name) {
  const block = el("pre", { tabindex: 0, dir: "ltr", class: name, "aria-label": name }, withoutUnseen(text));
  const button = el("button", { type: "button", class: "copy", "aria-label": `Copy the ${name}` }, "Copy");
  button.addEventListener("click", async () => {
    button.textContent = (await copied(text)) ? "Copied" : "Select it and copy";
    setTimeout(() => (button.textContent = "Copy"), 2000);
  });
  return el("div", { class: "code" }, block, button);
}

async function copied(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false;
  }
}

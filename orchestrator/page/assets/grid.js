// The grid: a page of cards, each a link to its video's own view.

const grid = document.getElementById("videos");
/** Cards on the page, and what they show: one of a video that has not changed stays, and goes on playing. */
let cards = new Map();

function drawGrid(choice) {
  const videos = chosenVideos(choice);
  const page = pageOf(choice, videos);
  const first = (page - 1) * PAGE_SIZE;
  const shown = videos.slice(first, first + PAGE_SIZE);
  grid.style.setProperty("--shape", shapeOf(shown));
  grid.start = first + 1;
  placeCards(shown);
  drawMatches(videos, first, shown.length);
  drawPages(page, numPages(videos));
}

function placeCards(videos) {
  const before = cards;
  cards = new Map(videos.map((video) => {
    const key = JSON.stringify(video);
    return [key, before.get(key) ?? cardOf(video)];
  }));
  for (const [key, card] of before) {
    if (cards.has(key)) continue;
    letGo(card);
    card.remove();
  }
  videos.forEach((video, index) => {
    const card = cards.get(JSON.stringify(video));
    card.firstElementChild.href = addressOf({ ...readChoice(), video: video.id });
    if (grid.children[index] !== card) grid.insertBefore(card, grid.children[index] ?? null);
  });
}

/** Width over height of the cards' pictures: of most videos, within what suits a card. */
function shapeOf(videos) {
  return Math.min(Math.max(median(videos.map(({ width, height }) => width / height).filter(isNumber)) ?? 1.6, 1), 1.8);
}

function cardOf(video) {
  const isDone = video.state === "done";
  const picture = isDone ? loadNearby(videoOf(video.id, { tabindex: -1, "aria-hidden": "true" })) : stateOf(video);
  const link = el(
    "a",
    { class: "card", "data-id": video.id, click: openOf(video) },
    el("div", { class: `picture ${video.state}` }, picture),
    el("p", { class: "prompt", dir: "auto" }, titleOf(video)),
    el("dl", { class: "numbers" }, ...terms(isDone ? figuresOf(video) : [["Seed", video.seed]])),
  );
  if (isDone) playWhileLookedAt(link, picture);
  return el("li", {}, link);
}

function openOf(video) {
  return (event) => {
    event.preventDefault();
    choose({ video: video.id }, { isStep: true });
  };
}

function figuresOf(video) {
  return [
    ["Seed", video.seed],
    ["Time", duration(video.seconds)],
    ["Speed-up", ratio(video.speedup), "Against all rounds full, from the seconds of the video's own full rounds"],
    ["Full", isNumber(video.full) ? `${video.full} of ${video.steps}` : MISSING, "Rounds that ran the whole network"],
  ];
}

/** In the place of the picture of a video that is not there. */
function stateOf(video) {
  const says = { failed: "Failed", under_way: "Under way", waiting: "Waiting" }[video.state];
  const lastLine = (video.error ?? "").trim().split("\n").at(-1);
  const more = {
    failed: lastLine,
    under_way: video.stale ? `stopped: ${video.stale}` : `${video.stage}, step ${video.step} of ${video.steps}`,
  }[video.state];
  return el("div", { class: "state" }, el("strong", {}, says), more ? el("span", { dir: "auto" }, more) : null);
}

function drawMatches(videos, first, shown) {
  const total = count(run.videos.length, "video");
  const isAll = videos.length === run.videos.length;
  const part = shown < videos.length ? `${(first + 1).toLocaleString()}–${(first + shown).toLocaleString()} of ` : "";
  const matching = isAll ? total : `${videos.length.toLocaleString()} matching, of ${total}`;
  document.getElementById("matches").textContent = videos.length ? part + matching : `No video matches, of ${total}`;
}

function drawPages(page, pages) {
  const nav = document.getElementById("pages");
  nav.hidden = pages < 2;
  const turn = (to, label, name) =>
    el("button", { type: "button", disabled: to < 1 || to > pages || to === page, "aria-label": name, click: () => turnTo(to) }, label);
  const at = el("input", { type: "number", min: 1, max: pages, value: page, "aria-label": "Page" });
  at.addEventListener("change", () => turnTo(at.value));
  nav.replaceChildren(
    turn(1, "«", "First page"),
    turn(page - 1, "‹", "Previous page"),
    at,
    el("span", { class: "quiet" }, `of ${pages.toLocaleString()}`),
    turn(page + 1, "›", "Next page"),
    turn(pages, "»", "Last page"),
  );
}

function turnTo(page) {
  choose({ page: String(page) }, { isStep: true });
  grid.focus({ preventScroll: true });
  document.getElementById("controls").scrollIntoView({ block: "start" });
}

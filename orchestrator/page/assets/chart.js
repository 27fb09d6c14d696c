// Where a video's time went: its stages, its rounds, and how far forecasts would have been off.

/** A bar of the stages, each as wide as it took, with their names below. */
function stagesChart(stages) {
  const entries = Object.entries(stages);
  const total = entries.reduce((sum, [, seconds]) => sum + seconds, 0) || 1;
  const bar = entries.map(([stage, seconds]) => {
    const part = el("span", { class: `stage ${stage}` });
    part.style.flexGrow = seconds / total;
    return part;
  });
  const names = entries.map(([stage, seconds]) =>
    el("li", {}, el("i", { class: `stage ${stage}` }), `${stage} `, el("b", {}, duration(seconds)), ` ${percent(seconds / total)}`),
  );
  return el("div", { class: "stages-chart" }, el("div", { class: "bar", "aria-hidden": "true" }, ...bar), el("ul", { class: "legend" }, ...names));
}

/** The rounds of a sidecar as plain rows. */
function roundsOf(sidecar) {
  return sidecar.plan.map((kind, step) => ({
    step,
    kind,
    seconds: sidecar.seconds.rounds[step],
    error: sidecar.forecast_errors?.[step],
    isFallback: sidecar.fallback_steps?.includes(step) ?? false,
  }));
}

function describeRound({ step, kind, seconds, error, isFallback }) {
  const why = isFallback ? ", as its forecast was not trusted" : "";
  const off = isNumber(error) ? `; a forecast would have been off by ${percent(error)}` : "";
  return `Step ${step}: ${kind}, ${duration(seconds)}${why}${off}`;
}

/** Bars of the rounds' seconds over the errors of forecasts, drawn for the width at hand. */
function roundsChart(sidecar) {
  const rounds = roundsOf(sidecar);
  const numFull = rounds.filter(({ kind }) => kind === "full").length;
  const hasErrors = rounds.some(({ error }) => isNumber(error));
  const readout = el("p", { class: "readout quiet", "aria-hidden": "true" });
  const idle = "Point at a round to read it.";
  const frame = el("div", { class: "rounds-chart", role: "img" });
  frame.setAttribute(
    "aria-label",
    `${rounds.length} rounds, ${numFull} full and ${rounds.length - numFull} forecast. The table below has all of them.`,
  );
  const draw = () => frame.clientWidth && frame.replaceChildren(drawRounds(rounds, frame.clientWidth, hasErrors));
  new ResizeObserver(draw).observe(frame);
  frame.addEventListener("pointermove", (event) => {
    const { left, width } = frame.getBoundingClientRect();
    const share = (event.clientX - left - CHART.left) / (width - CHART.left - CHART.right);
    const round = rounds[Math.floor(share * rounds.length)];
    readout.textContent = round ? describeRound(round) : idle;
    const cursor = frame.querySelector(".cursor");
    cursor.setAttribute("visibility", round ? "visible" : "hidden");
    if (round) cursor.setAttribute("x", frame.querySelector(`[data-step="${round.step}"]`).getAttribute("x"));
  });
  frame.addEventListener("pointerleave", () => {
    readout.textContent = idle;
    frame.querySelector(".cursor").setAttribute("visibility", "hidden");
  });
  readout.textContent = idle;
  return el("div", {}, roundsLegend(hasErrors), frame, readout, roundsTable(rounds));
}

function roundsLegend(hasErrors) {
  const names = [["full", "full round"], ["forecast", "forecast round"]];
  if (hasErrors) names.push(["error", "how far a forecast would have been off"]);
  return el("ul", { class: "legend" }, ...names.map(([kind, name]) => el("li", {}, el("i", { class: kind }), name)));
}

const CHART = { left: 52, right: 8, top: 8, seconds: 110, gap: 26, errors: 80, bottom: 22, smallest: 3 };

function drawRounds(rounds, width, hasErrors) {
  const { left, right, top, seconds: tall, gap, errors, bottom, smallest } = CHART;
  const foot = top + tall;
  const height = foot + (hasErrors ? gap + errors : 0) + bottom;
  const slot = (width - left - right) / rounds.length;
  const most = Math.max(...rounds.map((round) => round.seconds ?? 0)) || 1;
  const x = (step) => left + slot * step;
  const inset = slot > 4 ? 1 : 0;
  const bars = rounds.map(({ step, kind, seconds = 0 }) => {
    const barHeight = Math.max((tall * seconds) / most, smallest);
    return svg("rect", { class: kind, "data-step": step, x: x(step), y: foot - barHeight, width: Math.max(slot - inset, 0.5), height: barHeight });
  });
  const drawing = svg(
    "svg",
    { width, height, viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true" },
    svg("rect", { class: "cursor", visibility: "hidden", x: 0, y: top, width: Math.max(slot, 1), height: height - top - bottom }),
    axisLines(left, width - right, [[top, duration(most)], [foot, "0"]]),
    bars,
    hasErrors ? drawErrors(rounds, { x: (step) => x(step) + slot / 2, left, end: width - right, top: foot + gap, tall: errors }) : null,
    stepLabels(rounds.length, { x: (step) => x(step) + slot / 2, y: height - 6, room: width - left - right }),
  );
  return drawing;
}

function drawErrors(rounds, { x, left, end, top, tall }) {
  const known = rounds.filter(({ error }) => isNumber(error));
  const most = Math.max(...known.map(({ error }) => error)) || 1;
  const y = (error) => top + tall * (1 - error / most);
  const points = known.map(({ step, error }) => [x(step), y(error)]);
  return [
    axisLines(left, end, [[top, percent(most)], [top + tall, "0"]]),
    svg("polyline", { class: "error", points: points.map((point) => point.join(",")).join(" ") }),
    points.map(([cx, cy]) => svg("circle", { class: "error", cx, cy, r: 3 })),
  ];
}

function axisLines(from, to, marks) {
  return marks.flatMap(([y, label]) => [
    svg("line", { class: "axis", x1: from, x2: to, y1: y, y2: y }),
    svg("text", { x: from - 6, y: y + 4, "text-anchor": "end" }, label),
  ]);
}

function stepLabels(steps, { x, y, room }) {
  const every = [1, 2, 5, 10, 20, 50, 100, 200, 500].find((step) => (room / steps) * step >= 36) ?? steps;
  const marked = Array.from({ length: Math.ceil(steps / every) }, (_, index) => index * every);
  return marked.map((step) => svg("text", { x: x(step), y, "text-anchor": "middle" }, step === 0 ? "step 0" : String(step)));
}

/** The same in words, for those who do not see the drawing. */
function roundsTable(rounds) {
  const head = ["Step", "Round", "Seconds", "Forecast off by"];
  const body = el("tbody", {});
  const fill = () =>
    body.childElementCount ||
    body.append(
      ...rounds.map(({ step, kind, seconds, error, isFallback }) =>
        el("tr", {}, ...[step, isFallback ? `${kind} (forecast not trusted)` : kind, duration(seconds), isNumber(error) ? percent(error) : ""].map((cell) => el("td", {}, String(cell)))),
      ),
    );
  return el(
    "details",
    { toggle: fill },
    el("summary", {}, "All rounds as a table"),
    el("div", { class: "scroll" }, el("table", {}, el("thead", {}, el("tr", {}, ...head.map((name) => el("th", { scope: "col" }, name)))), body)),
  );
}

(() => {
  "use strict";
  const data = JSON.parse(document.getElementById("data").textContent);
  const by = id => document.getElementById(id);
  const make = (tag, attributes = {}, ...children) => {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) if (value !== null && value !== undefined) node.setAttribute(name, value);
    node.append(...children.filter(child => child !== null));
    return node;
  };
  const short = name => name.replace(/^(AF|SOCK|IPPROTO)_/, "");

  // Protocols by their place in the space; a row of answers for each family and type: the number of a run, or -1.
  const protos = [];
  for (const [first, last] of data.protos) for (let number = first; number <= last; number++) protos.push(number);
  const place = new Map(protos.map((number, i) => [number, i]));
  const rows = data.families.map(() => data.types.map(() => new Int32Array(protos.length).fill(-1)));
  data.cells.forEach(([family, type, first, last], run) => {
    for (let number = first; number <= last; number++) {
      const i = place.get(number);
      if (i !== undefined) rows[family][type][i] = run;
    }
  });
  const outcomeOf = run => data.cells[run][4];
  const protoName = (family, number) => (number ? data.names[data.families[family][3]][number] : undefined);
  const protoLabel = (family, number) => {
    const name = protoName(family, number);
    return name ? `${name} (${number})` : `${number}`;
  };
  const absent = new Set(data.absent);

  // ---- what is wanted

  const form = by("filters");
  const pressed = new Set();
  const matcher = text => {
    const words = text.toLowerCase().split(/[\s,]+/).filter(Boolean);
    if (!words.length) return null;
    const tests = words.map(word => {
      const range = /^(\d+)-(\d+)$/.exec(word);
      if (range) return number => number >= +range[1] && number <= +range[2];
      if (/^\d+$/.test(word)) return number => number === +word;
      const bare = word.replace(/^(af|pf|sock|ipproto)_/, "");
      return (number, name) => name !== undefined && short(name).toLowerCase().startsWith(bare);
    });
    return (number, name) => tests.some(test => test(number, name));
  };
  const wanted = () => ({
    family: matcher(form.family.value), type: matcher(form.type.value), proto: matcher(form.proto.value),
  });

  for (const [id, list] of [["families", data.families], ["types", data.types]])
    by(id).append(...list.map(([, name]) => make("option", { value: short(name) })));
  const known = new Set(data.names.flatMap(found => Object.values(found)).map(short));
  by("protos").append(...[...known].sort().map(name => make("option", { value: name })));
  by("absentbox").hidden = !absent.size || absent.size === data.families.length;
  if (absent.size === data.families.length) form.absent.checked = true;
  by("absentbox").querySelector("span").textContent = `${absent.size} families that are not here`;

  // ---- the map

  const map = by("map");
  const head = make("tr", { role: "row" }, make("td"));
  for (const [number, name] of data.types) head.append(make("th", { scope: "col", role: "columnheader", title: `${name} (${number})` }, short(name)));
  const body = make("tbody", { role: "rowgroup" });
  const grid = data.families.map(([number, name, meaning], f) => {
    const row = make("tr", { role: "row" }, make("th", { scope: "row", role: "rowheader", title: `${name} (${number}) ${meaning}`.trim() }, short(name)));
    const cells = data.types.map((type, t) => {
      const cell = make("td", { role: "gridcell", tabindex: "-1", "aria-selected": "false" }, make("span"));
      cell.dataset.at = `${f},${t}`;
      row.append(cell);
      return cell;
    });
    body.append(row);
    return { row, cells };
  });
  map.append(make("thead", { role: "rowgroup" }, head), body);

  const chips = data.outcomes.map(([name, number, message, look, key], outcome) => {
    const count = make("b");
    const chip = make("button", { type: "button", class: `chip o-${look}`, "aria-pressed": "false", title: message }, make("i", {}, key), name, count);
    chip.addEventListener("click", () => {
      if (!pressed.delete(outcome)) pressed.add(outcome);
      chip.setAttribute("aria-pressed", pressed.has(outcome));
      draw();
    });
    by("outcomes").append(chip);
    return { chip, count };
  });

  let chosen = null; // [family, type]
  let proto = null; // place of a protocol
  let shownProtos = protos.map(() => true);

  const draw = () => {
    const want = wanted();
    const total = data.outcomes.map(() => 0);
    let matching = 0;
    data.families.forEach(([number, name], f) => {
      const visible = want.family ? want.family(number, name) : !absent.has(f) || form.absent.checked;
      grid[f].row.hidden = !visible;
      const choose = protos.map(p => !want.proto || want.proto(p, protoName(f, p)));
      data.types.forEach(([type, typeName], t) => {
        const cell = grid[f].cells[t];
        const counts = new Map();
        if (visible && (!want.type || want.type(type, typeName)))
          rows[f][t].forEach((run, i) => {
            if (run < 0 || !choose[i]) return;
            const outcome = outcomeOf(run);
            counts.set(outcome, (counts.get(outcome) || 0) + 1);
            total[outcome]++;
          });
        const fits = [...counts].filter(([outcome]) => !pressed.size || pressed.has(outcome)).sort((a, b) => b[1] - a[1]);
        matching += fits.reduce((sum, [, count]) => sum + count, 0);
        const best = fits.find(([outcome]) => outcome === 0) || fits[0] || [...counts].sort((a, b) => b[1] - a[1])[0];
        const span = cell.firstChild;
        cell.classList.toggle("out", !fits.length);
        if (!best) {
          span.className = "faint o-EAFNOSUPPORT";
          span.textContent = "";
          cell.setAttribute("aria-label", `${name} ${typeName}: nothing to show`);
          return;
        }
        const [outcomeName, , , look, key] = data.outcomes[best[0]];
        span.className = `o-${look}${best[0] ? " faint" : ""}`;
        span.textContent = best[0] === 0 || pressed.size ? best[1] : key;
        const told = [...counts].sort((a, b) => b[1] - a[1]).map(([outcome, count]) => `${count} ${data.outcomes[outcome][0]}`).join(", ");
        cell.setAttribute("aria-label", `${name} ${typeName}: ${told}`);
        cell.title = `${name}, ${typeName}: ${told}`;
        void outcomeName;
      });
    });
    data.types.forEach(([number, name], t) => head.children[t + 1].classList.toggle("out", Boolean(want.type) && !want.type(number, name)));
    chips.forEach(({ chip, count }, outcome) => {
      count.textContent = total[outcome].toLocaleString("en");
      chip.hidden = !total[outcome] && !pressed.has(outcome);
    });
    const all = total.reduce((sum, count) => sum + count, 0);
    by("summary").textContent = pressed.size ? `${matching.toLocaleString("en")} of ${all.toLocaleString("en")} combinations` : `${all.toLocaleString("en")} combinations`;
    if (chosen) strip();
    rove();
  };

  const rove = () => {
    const all = map.querySelectorAll("td[role=gridcell]");
    const current = chosen && !grid[chosen[0]].row.hidden ? grid[chosen[0]].cells[chosen[1]] : null;
    const first = current || [...all].find(cell => !cell.parentNode.hidden);
    for (const cell of all) cell.tabIndex = cell === first ? 0 : -1;
  };

  // ---- one family and type

  const strip = () => {
    const [f, t] = chosen;
    const want = wanted();
    const list = by("strip");
    shownProtos = protos.map((p, i) => rows[f][t][i] >= 0 && (!want.proto || want.proto(p, protoName(f, p))));
    const line = make("div", { role: "row" });
    protos.forEach((number, i) => {
      const run = rows[f][t][i];
      if (run < 0) return;
      const [name, , , look, key] = data.outcomes[outcomeOf(run)];
      const out = !shownProtos[i] || (pressed.size && !pressed.has(outcomeOf(run)));
      const label = `${protoLabel(f, number)}: ${name}`;
      const cell = make("div", {
        role: "gridcell", tabindex: "-1", class: `o-${look}${out ? " out" : ""}`, title: label, "aria-label": label,
        "aria-selected": String(i === proto),
      }, outcomeOf(run) ? "" : key);
      cell.dataset.proto = i;
      line.append(cell);
    });
    list.replaceChildren(line);
    const current = list.querySelector("[aria-selected=true]") || line.firstChild;
    if (current) current.tabIndex = 0;

    const runs = [];
    protos.forEach((number, i) => {
      const run = rows[f][t][i];
      if (run < 0) return;
      const last = runs[runs.length - 1];
      if (last && last.outcome === outcomeOf(run) && last.end === number - 1) last.end = number;
      else runs.push({ begin: number, end: number, outcome: outcomeOf(run) });
    });
    by("runs").hidden = protos.length < 2;
    by("runs").tBodies[0].replaceChildren(...runs.map(({ begin, end, outcome }) => make("tr", {},
      make("th", { scope: "row" }, make("button", { type: "button", "data-proto": place.get(begin) }, begin === end ? protoLabel(f, begin) : `${begin} – ${end}`)),
      make("td", {}, make("span", { class: `dot o-${data.outcomes[outcome][3]}` }), data.outcomes[outcome][0]))));
  };

  const choose = (f, t, { focus = false } = {}) => {
    if (chosen) grid[chosen[0]].cells[chosen[1]].setAttribute("aria-selected", "false");
    chosen = [f, t];
    const cell = grid[f].cells[t];
    cell.setAttribute("aria-selected", "true");
    const [number, name, meaning] = data.families[f];
    by("storytitle").textContent = `${name}, ${data.types[t][1]}`;
    by("storyhint").textContent = meaning ? `family ${number}: ${meaning}; type ${data.types[t][0]}` : `family ${number}; type ${data.types[t][0]}`;
    const row = rows[f][t];
    const keep = proto !== null && row[proto] >= 0 ? proto : null;
    proto = keep === null ? [...row.keys()].find(i => row[i] >= 0) ?? null : keep;
    strip();
    tell();
    rove();
    if (focus) cell.focus();
  };

  // ---- one cell

  const fill = (text, f, number) => text.replaceAll("\u0001", protoName(f, number) || "").replaceAll("\u0002", number);
  const word = (name, number) => (/^\d+$/.test(name) ? number : short(name));

  const tell = () => {
    const card = by("card");
    if (proto === null) { card.replaceChildren(); return; }
    const [f, t] = chosen;
    const number = protos[proto];
    const [, , , , outcome, story, flags, got] = data.cells[rows[f][t][proto]];
    const [name, errno, message, look] = data.outcomes[outcome];
    const [family, familyName] = data.families[f];
    const [type, typeName] = data.types[t];
    const [why, source, next, elsewhere, module] = story < 0 ? ["", "", "", "", ""] : data.stories[story].map(text => fill(text, f, number));
    const details = make("dl");
    const detail = (term, text) => { if (text) details.append(make("dt", {}, term), make("dd", {}, text)); };
    detail("why", outcome ? why : "");
    detail("checked in", source);
    detail("module", module);
    detail("try", next);
    detail("elsewhere", elsewhere);
    if (got) {
      const labels = [
        got[0] === null ? "not told" : (data.families.find(row => row[0] === got[0]) || [0, got[0]])[1],
        got[1] === null ? "not told" : (data.types.find(row => row[0] === got[1]) || [0, got[1]])[1],
        got[2] === null ? "not told" : protoLabel(f, got[2]),
      ];
      detail("the kernel made", labels.join(", "));
      detail("since", why);
    }
    if (flags & 1) detail("how", "inferred: the kernel decides this before it looks at what differs from a combination that was asked");
    if (flags & 2) detail("changed", "it was answered otherwise earlier in the sweep, before a module was loaded");
    const constant = (label, value, prefix) => (label && !/^\d+$/.test(label) && label.startsWith(prefix) ? `socket.${label}` : String(value));
    card.replaceChildren(
      make("h3", {}, `${familyName}, ${typeName}, ${protoLabel(f, number)}`),
      make("span", { class: `badge o-${look}` }, errno === null ? name : `${name} ${errno}`),
      make("span", { class: "hint" }, message ? ` ${message}` : ""),
      details,
      make("pre", {}, `sockkit probe --family ${word(familyName, family)} --type ${word(typeName, type)}${number ? ` --proto ${word(protoName(f, number) || "0", number)}` : ""}`),
      make("pre", {}, `socket.socket(${constant(familyName, family, "AF_")}, ${constant(typeName, type, "SOCK_")}, ${number ? constant(protoName(f, number), number, "IPPROTO_") : 0})`),
    );
    for (const cell of by("strip").querySelectorAll("[role=gridcell]")) {
      const here = +cell.dataset.proto === proto;
      cell.setAttribute("aria-selected", String(here));
      cell.tabIndex = here ? 0 : -1;
    }
    history.replaceState(null, "", `#${family},${type},${number}`);
  };

  // ---- pointer and keyboard

  map.addEventListener("click", event => {
    const cell = event.target.closest("td[role=gridcell]");
    if (!cell) return;
    choose(...cell.dataset.at.split(",").map(Number), { focus: true });
    if (matchMedia("(max-width: 1000px)").matches) by("storytitle").scrollIntoView({ block: "start" });
  });
  const moves = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
  map.addEventListener("keydown", event => {
    const cell = event.target.closest("td[role=gridcell]");
    if (!cell) return;
    let [f, t] = cell.dataset.at.split(",").map(Number);
    if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      choose(f, t);
      const first = by("strip").querySelector("[tabindex='0']");
      if (first) first.focus();
      return;
    }
    const visible = grid.map((_, i) => i).filter(i => !grid[i].row.hidden);
    if (event.key === "Home") t = 0;
    else if (event.key === "End") t = data.types.length - 1;
    else if (moves[event.key]) {
      const [down, right] = moves[event.key];
      t = Math.min(Math.max(t + right, 0), data.types.length - 1);
      f = visible[Math.min(Math.max(visible.indexOf(f) + down, 0), visible.length - 1)];
    } else return;
    event.preventDefault();
    choose(f, t, { focus: true });
  });
  by("strip").addEventListener("click", event => {
    const cell = event.target.closest("[role=gridcell]");
    if (!cell) return;
    proto = +cell.dataset.proto;
    tell();
    cell.focus();
  });
  by("runs").addEventListener("click", event => {
    const button = event.target.closest("button");
    if (!button) return;
    proto = +button.dataset.proto;
    tell();
  });
  by("strip").addEventListener("keydown", event => {
    const cells = [...by("strip").querySelectorAll("[role=gridcell]")];
    const at = cells.indexOf(event.target);
    if (at < 0) return;
    if (event.key === "Escape") {
      event.preventDefault();
      grid[chosen[0]].cells[chosen[1]].focus();
      return;
    }
    const across = cells.filter(cell => cell.offsetTop === cells[0].offsetTop).length;
    const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -across, ArrowDown: across, Home: -at, End: cells.length - 1 - at }[event.key];
    if (step === undefined) return;
    event.preventDefault();
    const next = cells[at + step];
    if (!next) return;
    proto = +next.dataset.proto;
    tell();
    next.focus();
  });
  form.addEventListener("input", draw);
  form.addEventListener("reset", () => {
    pressed.clear();
    for (const { chip } of chips) chip.setAttribute("aria-pressed", "false");
    setTimeout(draw);
  });

  // ---- begin: where the address says, or with what works

  draw();
  const [family, type, number] = location.hash.slice(1).split(",").map(Number);
  let f = data.families.findIndex(row => row[0] === family);
  let t = data.types.findIndex(row => row[0] === type);
  if (f < 0 || t < 0) {
    f = t = -1;
    data.families.forEach((_, i) => data.types.forEach((_, j) => {
      if (f < 0 && rows[i][j].some(run => run >= 0 && outcomeOf(run) === 0)) [f, t] = [i, j];
    }));
    if (f < 0) [f, t] = [0, 0];
  } else if (place.has(number)) proto = place.get(number);
  if (absent.has(f) && !form.absent.checked) { form.absent.checked = true; draw(); }
  choose(f, t);
})();
